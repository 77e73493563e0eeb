/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sizes as a user writes them. */
#include "base/size.h"
#include "fuzz.h"

static void
run (const guint8 *data, gsize size)
{
  g_autofree char *text = fuzz_text (data, size);
  guint64 bytes, again;

  if (!img_size_parse (text, &bytes))
    return;
  g_assert_cmpuint (bytes, <=, G_MAXINT64);
  g_assert_cmpuint (img_size_round_up (bytes, 512) % 512, ==, 0);
  g_autofree char *shown = img_size_to_text (bytes);
  g_assert_true (g_utf8_validate (shown, -1, NULL));
  g_autofree char *exact = g_strdup_printf ("%" G_GUINT64_FORMAT, bytes);
  g_assert_true (img_size_parse (exact, &again));
  g_assert_cmpuint (again, ==, bytes);
}

const FuzzTarget fuzz_size = { .name = "size", .run = run };
