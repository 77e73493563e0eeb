/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/size.h"

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
