/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk/create.h"

#include <string.h>

#include "base/size.h"
#include "base/text.h"

const ImgCreateChoice img_create_booleans[] = { { "on", TRUE }, { "off", FALSE }, { NULL, 0 } };

void
img_create_options_init (ImgCreateOptions *options)
{
  memset (options, 0, sizeof *options);
  options->size = options->cluster_size = G_MAXUINT64;
  options->compression_level = options->refcount_bits = G_MAXUINT64;
  options->preallocation = options->data_file_is_raw = options->version = -1;
  options->compression = options->extended_l2 = options->lazy_refcounts = -1;
}

void
img_create_options_clear (ImgCreateOptions *options)
{
  g_clear_pointer (&options->backing_file, g_free);
  g_clear_pointer (&options->backing_format, g_free);
  g_clear_pointer (&options->data_file, g_free);
}

const char *
img_create_choice_name (const ImgCreateChoice *choices, int value)
{
  for (; choices->name != NULL; choices++)
    if (choices->value == value)
      return choices->name;
  return NULL;
}

/* "a, b or c": @name, the last if @is_last, behind what is there. */
static void
add_name (GString *names, const char *name, gboolean is_last)
{
  g_string_append_printf (names, "%s%s", names->len == 0 ? "" : is_last ? " or " : ", ", name);
}

static gboolean
set_choice (const ImgCreateRow *row, const char *value, int *field, GError **error)
{
  g_autoptr (GString) names = g_string_new (NULL);
  g_autofree char *safe = img_text_escape (value, -1);

  for (const ImgCreateChoice *choice = row->choices; choice->name != NULL; choice++)
    {
      if (strcmp (choice->name, value) == 0)
        {
          *field = choice->value;
          return TRUE;
        }
      add_name (names, choice->name, choice[1].name == NULL);
    }
  return img_throw (error, IMG_ERROR_USAGE, "bad value '%s' for %s: it must be %s", safe, row->name,
                    names->str);
}

static gboolean
set_number (const ImgCreateRow *row, const char *value, guint64 *field, GError **error)
{
  g_autofree char *safe = img_text_escape (value, -1);

  if (row->kind == IMG_CREATE_SIZE)
    return img_size_parse (value, field)
           || img_throw (error, IMG_ERROR_USAGE, "bad value '%s' for %s: it must be a size", safe,
                         row->name);
  return g_ascii_string_to_unsigned (value, 10, 0, G_MAXINT, field, NULL)
         || img_throw (error, IMG_ERROR_USAGE, "bad value '%s' for %s: it must be a number", safe,
                       row->name);
}

static gboolean
set_row (ImgCreateOptions *options, const ImgCreateRow *row, const char *value, GError **error)
{
  char *field = (char *)options + row->field;

  switch (row->kind)
    {
    case IMG_CREATE_CHOICE:
      return set_choice (row, value, (int *)(gpointer)field, error);
    case IMG_CREATE_TEXT:
      g_free (*(char **)(gpointer)field);
      *(char **)(gpointer)field = g_strdup (value);
      return TRUE;
    default:
      return set_number (row, value, (guint64 *)(gpointer)field, error);
    }
}

gboolean
img_create_options_set (ImgCreateOptions *options, const ImgCreateRow *rows, const char *key,
                        const char *value, GError **error)
{
  g_autoptr (GString) names = g_string_new (NULL);
  g_autofree char *safe = img_text_escape (key, -1);

  for (const ImgCreateRow *row = rows; row->name != NULL; row++)
    {
      if (strcmp (row->name, key) == 0)
        return set_row (options, row, value, error);
      add_name (names, row->name, row[1].name == NULL);
    }
  return img_throw (error, IMG_ERROR_USAGE, "unknown key '%s' in -o: it can be %s", safe,
                    names->str);
}
