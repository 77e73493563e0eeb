/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Does anybody on this host have a local file open for writing?
 *
 * The kernel grants a read lease only on a file that nobody has open for writing: no process in any
 * container, no loop device, no mapping that outlived its descriptor. The lease is given back at
 * once. Only the file's owner or CAP_LEASE may ask, on regular files of local file systems.
 * Source: fcntl(2) F_SETLEASE; Linux fs/locks.c, check_conflicting_open(). */
#pragma once

#include "holder/filesystem.h"

typedef enum
{
  IMG_WRITERS_NONE,
  IMG_WRITERS_SOME,
  IMG_WRITERS_UNKNOWN,
} ImgWriters;

/* @fd must be open for reading only. */
ImgWriters img_lease_ask (int fd, const struct stat *st, ImgFsKind kind);
