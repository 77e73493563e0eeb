/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "holder/inode-key.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "holder/mounts.h"

void
img_inode_key_get (int fd, const struct stat *st, ImgInodeKey *key)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autofree char *path = g_strdup_printf ("/proc/self/fdinfo/%d", fd);

  memset (key, 0, sizeof *key);
  key->dev = st->st_dev;
  key->ino = st->st_ino;
  key->rdev = S_ISBLK (st->st_mode) ? st->st_rdev : 0;
  key->locks_ino = st->st_ino; /* fdinfo has no ino line before Linux 5.14; the two are equal */

  if (!img_fd_read_file (AT_FDCWD, path, text))
    return;
  const char *mount_line = strstr (text->str, "\nmnt_id:");
  const char *ino_line = strstr (text->str, "\nino:");
  if (mount_line == NULL || sscanf (mount_line, "\nmnt_id: %u", &key->mount_id) != 1)
    return;
  if (ino_line != NULL)
    key->locks_ino = g_ascii_strtoull (ino_line + strlen ("\nino:"), NULL, 10);

  g_autoptr (ImgMount) mount = img_mount_by_id (key->mount_id);
  if (mount == NULL)
    return;
  key->major = mount->major;
  key->minor = mount->minor;
  key->is_ambiguous = strcmp (mount->type, "btrfs") == 0;
  key->has_key = TRUE;
}

gboolean
img_inode_key_matches (const ImgInodeKey *key, mode_t mode, dev_t dev, ino_t ino, dev_t rdev)
{
  if (dev == key->dev && ino == key->ino)
    return TRUE;
  return key->rdev != 0 && S_ISBLK (mode) && rdev == key->rdev;
}
