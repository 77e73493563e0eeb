/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which processes have a file open: a walk over every /proc/PID/fd.
 *
 * Other processes' files are looked at only by statx(AT_STATX_DONT_SYNC) and fdinfo, which answer
 * from what the kernel has: a plain stat would hang on an unrelated process's dead NFS mount or
 * stopped FUSE server. Own descriptors are left out, and so are O_PATH ones, which are not open. */
#pragma once

#include "holder/inode-key.h"
#include "lock/locks-line.h"

/* One descriptor of one process. */
typedef struct
{
  pid_t pid, tid; /* tid: the thread through which it was seen, mostly the first */
  int fd;
  dev_t dev; /* of the file, as stat(2) says */
  ino_t ino;
  int flags;          /* of open(2) */
  gboolean same_node; /* FALSE: the same block device through another device node */
  GArray *locks;      /* owned; ImgLocksLine, those of fdinfo */
} ImgOpener;

typedef struct
{
  GPtrArray *openers;  /* owned; ImgOpener, by pid, then fd */
  guint n_uninspected; /* processes whose descriptors may not be looked at */
  gboolean
      is_confined; /* other pid namespaces or hidepid: there may be processes not even counted */
} ImgOpenerScan;

/* Walk over all processes and keep the descriptors of the file with @key. Never fails; what could
 * not be seen is in the result. */
ImgOpenerScan *img_openers_scan (const ImgInodeKey *key);

/* The same for all descriptors that hold locks, on files with one of these inode numbers (set of
 * guint64 *). */
ImgOpenerScan *img_openers_scan_locked (GHashTable *inodes);

/* The path of a descriptor as the kernel shows it, or NULL if it is gone. Returns a new string. */
char *img_opener_path (const ImgOpener *opener);
void img_opener_scan_free (ImgOpenerScan *scan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImgOpenerScan, img_opener_scan_free)

/* Whether two descriptors are one open file description (kcmp(2)). FALSE also if that cannot be
 * asked. */
gboolean img_openers_share (const ImgOpener *a, const ImgOpener *b);
