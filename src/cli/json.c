/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/json.h"

#include <string.h>

#include "base/text.h"

void
cli_json_init (void)
{
  /* Functions that add to an object would fail, and what they return is not looked at. */
  json_set_alloc_funcs (g_malloc, g_free);
}

json_t *
cli_json_text (const char *bytes)
{
  if (bytes == NULL)
    return json_null ();
  g_autofree char *text = img_text_to_utf8 (bytes);
  return json_string (text);
}

void
cli_json_set_filename (json_t *object, const char *key, const char *bytes_key, const char *path)
{
  json_object_set_new (object, key, cli_json_text (path));
  if (!g_utf8_validate (path, -1, NULL))
    {
      g_autofree char *base64 = g_base64_encode ((const guchar *)path, strlen (path));
      json_object_set_new (object, bytes_key, json_string (base64));
    }
}

void
cli_json_append (GString *output, json_t *root)
{
  char *text = json_dumps (root, JSON_INDENT (4));
  g_assert (text != NULL);
  g_string_append_printf (output, "%s\n", text);
  g_free (text);
  json_decref (root);
}
