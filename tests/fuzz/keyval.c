/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* "KEY=VALUE,...": what was parsed and is written again must be parsed to the same. */
#include <string.h>

#include "base/keyval.h"
#include "fuzz.h"

static void
append_part (GString *text, const char *part)
{
  for (const char *c = part; *c != '\0'; c++)
    g_string_append (text, *c == ',' ? ",," : (char[]){ *c, '\0' });
}

static char *
write_pairs (const GArray *pairs)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < pairs->len; i++)
    {
      const ImgKeyValue *pair = &g_array_index (pairs, ImgKeyValue, i);
      g_assert (pair->key[0] != '\0' && strchr (pair->key, '=') == NULL);
      if (i > 0)
        g_string_append_c (text, ',');
      append_part (text, pair->key);
      g_string_append_c (text, '=');
      append_part (text, pair->value);
    }
  return g_string_free (text, FALSE);
}

static void
run (const guint8 *data, gsize size)
{
  g_autofree char *text = fuzz_text (data, size);
  GError *error = NULL;
  g_autoptr (GArray) pairs = img_keyval_parse (text, &error);

  fuzz_check_error (pairs == NULL, &error);
  if (pairs == NULL)
    return;
  g_autofree char *written = write_pairs (pairs);
  g_autoptr (GArray) again = img_keyval_parse (written, &error);
  g_assert_no_error (error);
  g_autofree char *rewritten = write_pairs (again);
  g_assert_cmpuint (again->len, ==, pairs->len);
  g_assert_cmpstr (rewritten, ==, written);
}

const FuzzTarget fuzz_keyval = { .name = "keyval", .run = run };
