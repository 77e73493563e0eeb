/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "holder/inode-key.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "base/fd.h"
#include "base/mounts.h"

/* The types whose st_dev is the superblock's device, which /proc/locks shows, and the others. */
static const struct
{
  guint32 magic;
  gboolean has_own_device;
  const char *type;
} types_by_magic[] = {
  { 0xef53, TRUE, "ext4" },         { 0x58465342, TRUE, "xfs" },  { 0x01021994, TRUE, "tmpfs" },
  { 0xf2f52010, TRUE, "f2fs" },     { 0x2fc12fc1, TRUE, "zfs" },  { 0x9123683e, FALSE, "btrfs" },
  { 0x794c7630, FALSE, "overlay" }, { 0x65735546, TRUE, "fuse" }, { 0x6969, TRUE, "nfs" },
  { 0xff534d42, TRUE, "cifs" },     { 0xfe534d42, TRUE, "smb3" }, { 0x00c36400, TRUE, "ceph" },
  { 0x01021997, TRUE, "9p" },
};

/* In a chroot whose root is no mount point, mountinfo leaves out the mount that all is on. */
static void
key_without_mount (int fd, const struct stat *st, ImgInodeKey *key)
{
  struct statfs sfs;
  if (fstatfs (fd, &sfs) != 0)
    return;
  for (gsize i = 0; i < G_N_ELEMENTS (types_by_magic); i++)
    if ((guint32)sfs.f_type == types_by_magic[i].magic)
      {
        key->hidden_type = types_by_magic[i].type;
        key->major = major (st->st_dev);
        key->minor = minor (st->st_dev);
        key->has_key = types_by_magic[i].has_own_device;
        return;
      }
}

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
    {
      key_without_mount (fd, st, key);
      return;
    }
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
