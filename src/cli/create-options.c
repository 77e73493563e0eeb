/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/create-options.h"

#include <string.h>

#include "base/keyval.h"
#include "base/text.h"
#include "cli/command.h"

/* Where qemu-img begins its explanations. */
#define HELP_COLUMN 24

gboolean
cli_create_options_want_help (const char *list)
{
  if (list == NULL)
    return FALSE;
  g_auto (GStrv) parts = g_strsplit (list, ",", -1);
  return g_strv_contains ((const char *const *)parts, "help")
         || g_strv_contains ((const char *const *)parts, "?");
}

/* The rows of @format, without the size unless @with_size. */
static GArray *
list_rows (const char *format, gboolean with_size)
{
  GArray *rows = g_array_new (TRUE, FALSE, sizeof (ImgCreateRow));
  for (const ImgCreateRow *row = img_disk_create_rows (format); row->name != NULL; row++)
    if (with_size || strcmp (row->name, "size") != 0)
      g_array_append_val (rows, *row);
  return rows;
}

void
cli_create_options_append_help (GString *text, const char *format, gboolean with_size)
{
  g_autoptr (GArray) rows = list_rows (format, with_size);

  g_string_append_printf (text, "Supported %s options:\n", format);
  for (guint i = 0; i < rows->len; i++)
    {
      const ImgCreateRow *row = &g_array_index (rows, ImgCreateRow, i);
      g_autofree char *name = g_strdup_printf ("%s=<%s>", row->name, row->type);
      g_string_append_printf (text, "  %-*s - %s\n", HELP_COLUMN - 2, name, row->help);
    }
}

gboolean
cli_create_options_parse (const char *list, const char *format, gboolean with_size,
                          ImgCreateOptions *options, GError **error)
{
  if (list == NULL)
    return TRUE;
  g_autoptr (GArray) rows = list_rows (format, with_size);
  g_autoptr (GArray) pairs = img_keyval_parse (list, error);
  if (pairs == NULL)
    return FALSE;
  for (guint i = 0; i < pairs->len; i++)
    {
      const ImgKeyValue *pair = &g_array_index (pairs, ImgKeyValue, i);
      if (!img_create_options_set (options, (const ImgCreateRow *)(gpointer)rows->data, pair->key,
                                   pair->value, error))
        return FALSE;
    }
  return TRUE;
}

static void
replace (char **text, const char *by)
{
  if (by == NULL)
    return;
  g_free (*text);
  *text = g_strdup (by);
}

gboolean
cli_create_options_add_backing (ImgCreateOptions *options, const char *backing,
                                const char *backing_format, GError **error)
{
  replace (&options->backing_file, backing);
  replace (&options->backing_format, backing_format);
  /* To look at it now and write down what it seems to be is how guests get at files of the host. */
  if (options->backing_file != NULL && options->backing_format == NULL)
    return img_throw (error, IMG_ERROR_USAGE,
                      "backing file specified without backing format: -F says what it is");
  return options->backing_format == NULL || cli_check_format (options->backing_format, error);
}

/* ---- what was made ---- */

/* What is told of a new image, also if nobody said it. */
typedef struct
{
  const char *name, *fallback;
} Told;

/* The value of the row called @name, if something was said or there is a @fallback to say. */
static void
append_value (GString *text, const char *format, const char *name, const ImgCreateOptions *options,
              const char *fallback)
{
  const ImgCreateRow *row = img_disk_create_rows (format);
  g_autofree char *value = NULL;

  while (strcmp (row->name, name) != 0)
    row++;
  const void *field = (const char *)options + row->field;
  if (row->kind == IMG_CREATE_TEXT)
    value = *(char *const *)field == NULL ? NULL : img_text_escape (*(char *const *)field, -1);
  else if (row->kind == IMG_CREATE_CHOICE)
    value = g_strdup (img_create_choice_name (row->choices, *(const int *)field));
  else if (*(const guint64 *)field != G_MAXUINT64)
    value = g_strdup_printf ("%" G_GUINT64_FORMAT, *(const guint64 *)field);
  if (value != NULL || fallback != NULL)
    g_string_append_printf (text, " %s=%s", name, value != NULL ? value : fallback);
}

void
cli_create_options_append (GString *text, const char *name, const char *format,
                           const ImgCreateOptions *options)
{
  /* The order is QEMU's, and so is what it says although nobody asked. */
  static const Told raw[] = { { "size", NULL }, { "preallocation", NULL }, { NULL, NULL } };
  static const Told qcow2[] = { { "cluster_size", "65536" },
                                { "extended_l2", "off" },
                                { "preallocation", NULL },
                                { "compression_type", "zlib" },
                                { "size", NULL },
                                { "compat", NULL },
                                { "backing_file", NULL },
                                { "backing_fmt", NULL },
                                { "data_file", NULL },
                                { "data_file_raw", NULL },
                                { "lazy_refcounts", "off" },
                                { "refcount_bits", "16" },
                                { NULL, NULL } };
  const Told *row = strcmp (format, "qcow2") == 0 ? qcow2 : raw;
  g_autofree char *safe = img_text_escape (name, -1);

  g_string_append_printf (text, "Formatting '%s', fmt=%s", safe, format);
  for (; row->name != NULL; row++)
    append_value (text, format, row->name, options, row->fallback);
  g_string_append_c (text, '\n');
}
