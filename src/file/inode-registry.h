/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One open file description per inode in this process.
 *
 * Two descriptions of one file would be two dangers: closing either drops all POSIX locks of the
 * process on that file, and POSIX locks (or none) do not conflict inside one process, so that
 * source and target could be the same file. Whoever opens an image asks here first, with the
 * identity from an O_PATH descriptor (whose closing is harmless); the same inode is shared, under a
 * lock that covers all its users, or refused when the users cannot bear each other.
 * Not thread-safe: images are opened and closed by the main thread. */
#pragma once

#include <sys/stat.h>

#include "base/error.h"
#include "lock/verify.h"

typedef struct
{
  dev_t dev;
  ino_t ino;
  dev_t rdev; /* of a block device, else 0 */
  int fd;     /* owned */
  gboolean is_writable;
  char *name;          /* owned; the first user's name for it, for messages */
  ImgLock *lock;       /* owned */
  ImgLockProof *proof; /* owned */
  guint users;         /* how many ImgFiles share this */
  ImgPermSet asked;    /* what all users together use and forbid, locked or not */
} ImgInode;

/* Whether @st is that of @inode, or of another node of the same block device. */
gboolean img_inode_is (const ImgInode *inode, const struct stat *st);

/* Look for the open inode with @st (or another node of the same block device): TRUE with *@inode
 * and one user more, or with NULL if it is not open; FALSE with an error if its users and @set
 * exclude each other. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_inode_find (const struct stat *st, const char *name, gboolean writable, ImgPermSet set,
                         ImgInode **inode, GError **error);

/* Register @fd (taken over) with its @lock (taken over), for one user. */
ImgInode *img_inode_add (const struct stat *st, int fd, gboolean writable, const char *name,
                         ImgLock *lock, ImgPermSet set);

/* One user less; the last one unlocks and closes. */
void img_inode_unref (ImgInode *inode);

/* Whether this process has the file with @st open as an image. Whoever opens files outside this
 * room must not touch such a one. */
gboolean img_inode_is_open (const struct stat *st);

/* Take @set too on an inode that is shared. Errors as of img_lock_extend(). */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_inode_extend (ImgInode *inode, ImgPermSet set, gint64 wait, GError **error);
