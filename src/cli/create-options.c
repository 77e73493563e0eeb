/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/create-options.h"

#include <string.h>

#include "base/keyval.h"
#include "base/size.h"
#include "base/text.h"

static const char *const preallocation_names[] = { [IMG_PREALLOCATION_OFF] = "off",
                                                   [IMG_PREALLOCATION_FALLOC] = "falloc",
                                                   [IMG_PREALLOCATION_FULL] = "full" };

const char *
cli_preallocation_name (ImgPreallocation preallocation)
{
  return preallocation_names[preallocation];
}

gboolean
cli_create_options_want_help (const char *list)
{
  if (list == NULL)
    return FALSE;
  g_auto (GStrv) parts = g_strsplit (list, ",", -1);
  return g_strv_contains ((const char *const *)parts, "help")
         || g_strv_contains ((const char *const *)parts, "?");
}

void
cli_create_options_append_help (GString *text, gboolean with_size)
{
  g_string_append (text,
                   "Supported raw options:\n"
                   "  preallocation=<str>    - Preallocation mode (allowed values: off, falloc, "
                   "full)\n");
  if (with_size)
    g_string_append (text, "  size=<size>            - Virtual disk size\n");
}

static gboolean
set_preallocation (const char *value, CliCreateOptions *options, GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS (preallocation_names); i++)
    if (strcmp (value, preallocation_names[i]) == 0)
      {
        options->preallocation = (ImgPreallocation)i;
        options->has_preallocation = TRUE;
        return TRUE;
      }
  g_autofree char *safe = img_text_escape (value, -1);
  return img_throw (error, IMG_ERROR_USAGE,
                    "bad value '%s' for preallocation: it must be off, falloc or full", safe);
}

static gboolean
set_one (const ImgKeyValue *pair, gboolean with_size, CliCreateOptions *options, GError **error)
{
  if (strcmp (pair->key, "preallocation") == 0)
    return set_preallocation (pair->value, options, error);
  if (strcmp (pair->key, "size") == 0 && with_size)
    {
      g_autofree char *safe = img_text_escape (pair->value, -1);
      options->has_size = TRUE;
      return img_size_parse (pair->value, &options->size)
             || img_throw (error, IMG_ERROR_USAGE, "bad value '%s' for size: it must be a size",
                           safe);
    }
  g_autofree char *safe = img_text_escape (pair->key, -1);
  return img_throw (error, IMG_ERROR_USAGE, "unknown key '%s' in -o: a raw image has %s", safe,
                    with_size ? "preallocation and size" : "preallocation");
}

gboolean
cli_create_options_parse (const char *list, gboolean with_size, CliCreateOptions *options,
                          GError **error)
{
  if (list == NULL)
    return TRUE;
  g_autoptr (GArray) pairs = img_keyval_parse (list, error);
  if (pairs == NULL)
    return FALSE;
  for (guint i = 0; i < pairs->len; i++)
    if (!set_one (&g_array_index (pairs, ImgKeyValue, i), with_size, options, error))
      return FALSE;
  return TRUE;
}
