/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every image lock on this host, found without knowing a path.
 *
 * The kernel's lock table says which inodes are locked, the descriptors of all processes say by
 * whom and under which path. What counts is a lock in the style of a virtual machine monitor,
 * whoever has it. Locks that only a file server knows (FUSE, other hosts) are in no table here. */
#pragma once

#include "holder/holder.h"

typedef struct
{
  char *path;         /* owned; as the kernel shows it; NULL: no visible process has it open */
  guint major, minor; /* where there is no path: as in /proc/locks */
  guint64 ino;
  GPtrArray *holders; /* owned ImgHolder */
} ImgHostImage;

typedef struct
{
  GPtrArray *images;   /* owned ImgHostImage, by path */
  guint n_uninspected; /* processes that may not be looked into */
  gboolean is_confined;
} ImgHostStatus;

/* Look now. NULL with an error if /proc/locks cannot be read. */
G_GNUC_WARN_UNUSED_RESULT
ImgHostStatus *img_host_status_new (GError **error);
void img_host_status_free (ImgHostStatus *status);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImgHostStatus, img_host_status_free)
