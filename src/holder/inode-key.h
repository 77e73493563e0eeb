/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which file it is: for stat(2), and for the kernel's lock tables.
 *
 * /proc/locks names the superblock's device and the kernel's inode number. On btrfs and on
 * overlayfs over several file systems that device is not st_dev, and on btrfs the numbers repeat
 * from one subvolume to the next; so the key comes from fdinfo and mountinfo, and a holder found by
 * it is confirmed by the stat identity of its descriptor. */
#pragma once

#include <sys/stat.h>

#include "base/error.h"

typedef struct
{
  dev_t dev; /* as stat(2) says */
  ino_t ino;
  dev_t rdev;              /* of a block device, else 0 */
  guint major, minor;      /* the device in /proc/locks */
  guint64 locks_ino;       /* the inode number in /proc/locks */
  guint mount_id;          /* in this process's /proc/self/mountinfo */
  gboolean has_key;        /* the last four are known */
  gboolean is_ambiguous;   /* other files can have the same key (btrfs) */
  const char *hidden_type; /* constant: the file system's type when mountinfo does not list it */
} ImgInodeKey;

/* What @fd (O_PATH is enough) is. Never fails: has_key says whether /proc told. */
void img_inode_key_get (int fd, const struct stat *st, ImgInodeKey *key);

/* Whether a descriptor with this stat identity is the same image: the same inode, or for block
 * devices the same device through any node. */
gboolean img_inode_key_matches (const ImgInodeKey *key, mode_t mode, dev_t dev, ino_t ino,
                                dev_t rdev);
