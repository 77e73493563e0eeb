/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel's lock table, /proc/locks: what this host holds, on whatever file. */
#pragma once

#include "holder/inode-key.h"
#include "lock/locks-line.h"

/* The lines of /proc/locks with @key, or all of them if it is NULL, sorted; waiters left out. NULL
 * if there is no /proc/locks. The file is no snapshot: while other locks come and go, lines are
 * missing or repeated; so it is read until two readings agree about the key. */
GArray *img_proc_locks_read (const ImgInodeKey *key);

/* Keep of @lines only what @others has too, each line as often as both have it. */
void img_proc_locks_keep_common (GArray *lines, const GArray *others);
