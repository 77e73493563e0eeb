/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/keyval.h"

#include <string.h>

#include "base/text.h"

static void
clear_pair (gpointer data)
{
  ImgKeyValue *pair = data;
  g_free (pair->key);
  g_free (pair->value);
}

/* The part of *@text up to a single comma, which is skipped. A new string. */
static char *
next_part (const char **text)
{
  GString *part = g_string_new (NULL);
  const char *at = *text;
  for (; *at != '\0'; at++)
    {
      if (at[0] == ',' && at[1] != ',')
        break;
      if (at[0] == ',')
        at++;
      g_string_append_c (part, *at);
    }
  *text = *at == ',' ? at + 1 : at;
  return g_string_free (part, FALSE);
}

GArray *
img_keyval_parse (const char *text, GError **error)
{
  g_autoptr (GArray) pairs = g_array_new (FALSE, FALSE, sizeof (ImgKeyValue));
  g_array_set_clear_func (pairs, clear_pair);
  do
    {
      g_autofree char *part = next_part (&text);
      const char *equals = strchr (part, '=');
      if (equals == NULL || equals == part)
        {
          g_autofree char *safe = img_text_escape (part, -1);
          return img_null_throw (error, IMG_ERROR_USAGE, "'%s' is not of the form KEY=VALUE", safe);
        }
      ImgKeyValue pair
          = { .key = g_strndup (part, (gsize)(equals - part)), .value = g_strdup (equals + 1) };
      g_array_append_val (pairs, pair);
    }
  while (*text != '\0');
  return g_steal_pointer (&pairs);
}
