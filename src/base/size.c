/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/size.h"

#include <string.h>

char *
img_size_to_text (guint64 bytes)
{
  static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
  double value = (double)bytes;
  guint i = 0;

  while (i + 1 < G_N_ELEMENTS (units) && value / 1024 >= 1000.0 / 1024)
    {
      value /= 1024;
      i++;
    }
  return g_strdup_printf ("%0.3g %s", value, units[i]);
}

guint64
img_size_round_up (guint64 bytes, guint64 unit)
{
  g_assert (unit != 0 && (unit & (unit - 1)) == 0);
  if (bytes > G_MAXUINT64 - (unit - 1))
    return G_MAXUINT64 & ~(unit - 1);
  return (bytes + unit - 1) & ~(unit - 1);
}

/* The unit that @letter stands for; 0 if it is none. */
static guint64
unit_of (char letter)
{
  static const char letters[] = "bkmgtpe";
  const char *found = letter == '\0' ? letters : strchr (letters, g_ascii_tolower (letter));
  return found == NULL ? 0 : G_GUINT64_CONSTANT (1) << (10 * (found - letters));
}

gboolean
img_size_parse (const char *text, guint64 *bytes)
{
  const char *at = text;
  guint64 whole = 0, unit;
  gdouble fraction = 0, weight = 1;
  gboolean has_digits = FALSE;

  while (g_ascii_isspace (*at))
    at++;
  if (*at == '+')
    at++;
  for (; g_ascii_isdigit (*at); at++, has_digits = TRUE)
    if (!g_uint64_checked_mul (&whole, whole, 10)
        || !g_uint64_checked_add (&whole, whole, (guint64)g_ascii_digit_value (*at)))
      return FALSE;
  if (*at == '.')
    for (at++; g_ascii_isdigit (*at); at++, has_digits = TRUE)
      fraction += g_ascii_digit_value (*at) * (weight /= 10);
  unit = unit_of (*at);
  if (!has_digits || unit == 0 || (*at != '\0' && at[1] != '\0') || (unit == 1 && fraction > 0))
    return FALSE;
  if (!g_uint64_checked_mul (&whole, whole, unit)
      || !g_uint64_checked_add (&whole, whole, (guint64)(fraction * (gdouble)unit + 0.5))
      || whole > G_MAXINT64)
    return FALSE;
  *bytes = whole;
  return TRUE;
}

guint64
img_size_divide_up (guint64 a, guint64 b)
{
  return a / b + (a % b != 0 ? 1 : 0);
}
