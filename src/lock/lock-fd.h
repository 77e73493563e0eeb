/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One byte-range lock operation, in OFD or POSIX dress.
 *
 * OFD locks (fcntl F_OFD_*, Linux 3.15) belong to the open file description; POSIX locks (F_SETLK)
 * belong to the process and go when it closes any descriptor of the file. Both kinds conflict with
 * each other. A query asks as a writer would, so that it sees read locks too. */
#pragma once

#include <glib.h>
#include <sys/types.h>

typedef enum
{
  IMG_LOCK_NONE,
  IMG_LOCK_OFD,
  IMG_LOCK_POSIX,
} ImgLockKind;

/* The last byte of a range that reaches to the end of the file, however long it grows. */
#define IMG_RANGE_TO_EOF ((guint64)G_MAXINT64)

/* A range of bytes that somebody has locked. */
typedef struct
{
  guint64 start;
  guint64 end; /* inclusive */
  gint64 pid;  /* as the kernel says: 0 and below are no local process */
  gboolean is_write;
} ImgLockRange;

/* Whether this kernel has OFD locks at all, tried on an anonymous file, once. ENOLCK counts as yes:
 * it says that locks are short, not that the command is unknown. */
gboolean img_lock_kernel_has_ofd (void);

/* Put a read or an exclusive lock on one byte, or take it off; never waits. Returns 0 or an errno
 * value; EAGAIN and EACCES (SMB) mean that somebody has a write lock there. */
G_GNUC_WARN_UNUSED_RESULT
int img_lock_byte (int fd, ImgLockKind kind, guint64 byte);
int img_lock_byte_exclusively (int fd, ImgLockKind kind, guint64 byte);
int img_unlock_byte (int fd, ImgLockKind kind, guint64 byte);

/* Ask for one lock of somebody else within @start..@end (inclusive). Sets *@is_locked, and *@found
 * to the holder's whole range, which may reach beyond what was asked. Returns 0 or an errno value.
 * Needs only a readable descriptor. */
G_GNUC_WARN_UNUSED_RESULT
int img_lock_query (int fd, ImgLockKind kind, guint64 start, guint64 end, gboolean *is_locked,
                    ImgLockRange *found);
