/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One line of /proc/locks, or of the "lock:" lines in /proc/PID/fdinfo/FD, which look the same.
 *
 *   17: OFDLCK ADVISORY  READ -1 fe:00:11034827 100 101
 *   17: -> POSIX  ADVISORY  WRITE 6931 fe:00:11034827 100 EOF
 *
 * Source: proc(5) and Linux fs/locks.c, lock_get_status(). The device is the superblock's, in hex,
 * and need not be what stat(2) says (btrfs, overlayfs). */
#pragma once

#include "lock/lock-fd.h"
#include "lock/permission.h"

typedef enum
{
  IMG_LOCKS_LINE_POSIX,
  IMG_LOCKS_LINE_OFD,
  IMG_LOCKS_LINE_FLOCK,
  IMG_LOCKS_LINE_LEASE, /* or a delegation, which is nfsd's lease */
  IMG_LOCKS_LINE_OTHER, /* what is to come */
} ImgLocksLineKind;

typedef struct
{
  ImgLocksLineKind kind;
  gboolean is_waiting; /* blocked behind the lock above it */
  guint major, minor;
  guint64 ino;
  ImgLockRange range; /* with the pid of the line: -1 for OFD locks */
} ImgLocksLine;

/* Parse @text up to a newline or NUL; FALSE if it is not such a line, or of a lock on trial, which
 * means nothing (lock/trial.h). */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_locks_line_parse (const char *text, ImgLocksLine *line);

/* What the "lock:" lines of @fdinfo say is held by locks of @kind. */
ImgPermSet img_locks_text_held (const char *fdinfo, ImgLockKind kind);

/* The same of this process's descriptor @fd: nothing if it cannot be read. */
void img_locks_fdinfo_held (int fd, ImgLockKind kind, ImgPermSet *held);
