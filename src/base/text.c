/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/text.h"

#include <string.h>

static gboolean
is_bidi_control (gunichar c)
{
  return c == 0x061c || c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e)
         || (c >= 0x2066 && c <= 0x2069);
}

static gboolean
is_harmless (gunichar c)
{
  return g_unichar_isprint (c) && !is_bidi_control (c) && c != 0x2028 && c != 0x2029
         && g_unichar_type (c) != G_UNICODE_FORMAT;
}

/* Without printf: there are images whose names are 64 MiB of such bytes. */
static void
append_byte (GString *text, guint8 byte)
{
  static const char digits[] = "0123456789abcdef";
  const char escaped[] = { '\\', 'x', digits[byte >> 4], digits[byte & 0xf] };
  g_string_append_len (text, escaped, sizeof escaped);
}

static void
append_escaped (GString *text, gunichar c)
{
  if (c == '\n')
    g_string_append (text, "\\n");
  else if (c == '\t')
    g_string_append (text, "\\t");
  else if (c == '\\')
    g_string_append (text, "\\\\");
  else if (c < 0x80)
    append_byte (text, (guint8)c);
  else
    g_string_append_printf (text, "\\u{%04x}", c);
}

static char *
escape (const char *bytes, gssize length, const char *kept)
{
  const char *end = bytes + (length < 0 ? strlen (bytes) : (gsize)length);
  GString *text = g_string_sized_new ((gsize)(end - bytes));

  while (bytes < end)
    {
      gunichar c = g_utf8_get_char_validated (bytes, end - bytes);
      if (c == (gunichar)-1 || c == (gunichar)-2)
        {
          append_byte (text, (guint8)*bytes++);
          continue;
        }
      if ((c != 0 && c < 0x80 && strchr (kept, (int)c) != NULL) || (c != '\\' && is_harmless (c)))
        g_string_append_unichar (text, c);
      else
        append_escaped (text, c);
      /* A NUL has no valid UTF-8 form for g_utf8_next_char(), but it is one byte all the same. */
      bytes += c == 0 ? 1 : g_utf8_skip[(guchar)*bytes];
    }
  return g_string_free (text, FALSE);
}

char *
img_text_escape (const char *bytes, gssize length)
{
  return escape (bytes, length, "");
}

char *
img_text_escape_again (const char *text)
{
  return escape (text, -1, "\\\n");
}

static gboolean
needs_quotes (const char *word)
{
  static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                              "@%_-+=:,./";
  return *word == '\0' || word[strspn (word, plain)] != '\0';
}

char *
img_text_command_line (const char *const *argv)
{
  GString *line = g_string_new (NULL);
  for (; *argv != NULL; argv++)
    {
      g_autofree char *quoted = needs_quotes (*argv) ? g_shell_quote (*argv) : g_strdup (*argv);
      g_autofree char *safe = img_text_escape (quoted, -1);
      g_string_append_printf (line, "%s%s", line->len > 0 ? " " : "", safe);
    }
  return g_string_free (line, FALSE);
}

char *
img_text_to_utf8 (const char *bytes)
{
  return g_utf8_make_valid (bytes, -1);
}
