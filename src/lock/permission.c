/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lock/permission.h"

#include <string.h>

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

/* The bit of "consistent-read" and so on, or 0. */
static guint
parse_one (const char *word)
{
  g_autofree char *name = g_strdelimit (g_strdup (word), "-", ' ');
  for (guint bit = 0; bit < IMG_PERM_BITS; bit++)
    if (strcmp (name, img_perm_name (bit)) == 0)
      return (1u << bit) & IMG_PERM_ALL;
  return 0;
}

gboolean
img_perm_parse (const char *list, guint *perms)
{
  g_auto (GStrv) words = g_strsplit (list, ",", -1);

  *perms = strcmp (list, "all") == 0 ? IMG_PERM_ALL : 0;
  if (*perms != 0 || strcmp (list, "none") == 0)
    return TRUE;
  for (guint i = 0; words[i] != NULL; i++)
    {
      guint bit = parse_one (words[i]);
      if (bit == 0)
        return FALSE;
      *perms |= bit;
    }
  return *perms != 0;
}
