/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/wrap.h"

/* How many columns a character takes on a terminal. */
static guint
columns_of (gunichar c)
{
  return g_unichar_iswide (c) ? 2 : g_unichar_iszerowidth (c) ? 0 : 1;
}

char *
cli_wrap (const char *text, guint width)
{
  GString *lines = g_string_new (NULL);
  gsize blank = 0;                   /* where in @lines the last blank of this line is; 0: none */
  guint column = 0, after_blank = 0; /* columns used; those behind that blank */

  for (; *text != '\0'; text = g_utf8_next_char (text))
    {
      gunichar c = g_utf8_get_char (text);
      guint columns = columns_of (c);
      if (column + columns > width && c != ' ')
        {
          if (blank != 0)
            {
              lines->str[blank] = '\n';
              column = after_blank;
            }
          else
            {
              g_string_append_c (lines, '\n');
              column = 0;
            }
          blank = 0;
        }
      if (c == ' ')
        {
          blank = lines->len;
          after_blank = 0;
        }
      else
        after_blank += columns;
      g_string_append_unichar (lines, c);
      column += columns;
    }
  return g_string_free (lines, FALSE);
}

guint
cli_text_width (const char *text)
{
  guint width = 0;
  for (; *text != '\0'; text = g_utf8_next_char (text))
    width += columns_of (g_utf8_get_char (text));
  return width;
}
