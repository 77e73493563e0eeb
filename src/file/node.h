/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A file as a name in the tree: what it is, found out without opening it.
 *
 * Opening has side effects (a FIFO's writer wakes up, a tape rewinds, POSIX locks go at the close);
 * an O_PATH descriptor has none. It pins the inode, so that what is opened through it later is what
 * was looked at. */
#pragma once

#include <sys/stat.h>

#include "base/error.h"
#include "base/fd.h"
#include "file/root.h"

/* An O_PATH descriptor of @path (symbolic links followed), and its stat. Fails unless it is a
 * regular file or a block device. The caller owns the descriptor. Returns -1 on error. */
G_GNUC_WARN_UNUSED_RESULT
int img_node_find (const char *path, struct stat *st, GError **error);

/* The same for a path that an image names: what belongs to a process and only looks like a file
 * (/proc/PID/fd and whatever leads there, files of /proc and /sys) is refused, and what is not in
 * @root, unless that is NULL. */
G_GNUC_WARN_UNUSED_RESULT
int img_node_find_named (const char *path, const ImgRoot *root, struct stat *st, GError **error);

/* Open what @node (an O_PATH descriptor) stands for, with O_CLOEXEC | O_NOCTTY | O_NONBLOCK added
 * to @flags. Returns -1 with errno set. */
G_GNUC_WARN_UNUSED_RESULT
int img_node_open (int node, int flags);
