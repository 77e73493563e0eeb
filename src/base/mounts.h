/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /proc/self/mountinfo, line by line (proc(5)). */
#pragma once

#include <glib.h>

typedef struct
{
  guint id;
  guint major, minor; /* the superblock's device */
  char *mount_point;  /* owned; unescaped */
  char *type;         /* owned; "ext4", "fuse.sshfs" */
  char *source;       /* owned; unescaped; "/dev/sda1", "server:/export" */
  char *options;      /* owned; those of the mount and of the superblock, joined by a comma */
  gboolean is_read_only;
} ImgMount;

void img_mount_free (ImgMount *mount);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImgMount, img_mount_free)

/* Parse one line; NULL if it is none. */
ImgMount *img_mount_parse (const char *line);

/* The mount with this id, or NULL. */
ImgMount *img_mount_by_id (guint id);

/* The mount that the file behind @fd is on, or NULL. */
ImgMount *img_mount_of_fd (int fd);

/* Whether it is NFS version 3, with locks kept by the server. */
gboolean img_mount_is_nfs3 (const ImgMount *mount);

/* The mount that a path lies on, by its mount point; NULL if there is none. */
ImgMount *img_mount_by_path (const char *path);

/* The first mount of a block device, or NULL. On btrfs, whose superblocks have device numbers of
 * their own, the source counts. */
ImgMount *img_mount_by_device (guint device_major, guint device_minor);
