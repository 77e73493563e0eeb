/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any bytes, on their way to a terminal, to JSON and to a shell's command line. */
#include <string.h>

#include "base/text.h"
#include "fuzz.h"

static void
check_printable (const char *text)
{
  g_assert_true (g_utf8_validate (text, -1, NULL));
  for (const char *c = text; *c != '\0'; c = g_utf8_next_char (c))
    {
      gunichar character = g_utf8_get_char (c);
      g_assert (!g_unichar_iscntrl (character) && g_unichar_isdefined (character)
                && character != 0x2028 && character != 0x2029
                && (character < 0x202a || character > 0x202e)
                && (character < 0x2066 || character > 0x2069));
    }
}

static void
run (const guint8 *data, gsize size)
{
  g_autofree char *text = fuzz_text (data, size);
  g_autofree char *safe = img_text_escape ((const char *)data, (gssize)size);
  g_autofree char *safe_text = img_text_escape (text, -1);
  g_autofree char *utf8 = img_text_to_utf8 (text);
  const char *const argv[] = { text, text + strlen (text) / 2, NULL };
  g_autofree char *line = img_text_command_line (argv);

  check_printable (safe);
  check_printable (safe_text);
  check_printable (line);
  g_assert_true (g_utf8_validate (utf8, -1, NULL));
}

const FuzzTarget fuzz_escape = { .name = "escape", .run = run };
