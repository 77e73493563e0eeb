/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lock/permission.h"

const char *
img_perm_name (guint bit)
{
  static const char *const names[IMG_PERM_BITS]
      = { "consistent read", "write", "write unchanged", "resize", "graph mod" };
  g_assert (bit < IMG_PERM_BITS);
  return names[bit];
}

char *
img_perm_names (guint perms)
{
  GString *names = g_string_new (NULL);
  for (guint bit = 0; bit < IMG_PERM_BITS; bit++)
    if (perms & (1u << bit))
      g_string_append_printf (names, "%s%s", names->len > 0 ? ", " : "", img_perm_name (bit));
  if (names->len == 0)
    g_string_append (names, "nothing");
  return g_string_free (names, FALSE);
}
