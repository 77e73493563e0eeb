/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether two files or block devices have bytes in common: what must not be copied onto each other.
 */
#pragma once

#include <glib.h>
#include <sys/stat.h>

/* @a and @b are what stat(2) said. TRUE for one inode or device by two names, a disk and one of its
 * partitions, a loop device and its file, another loop device of that if their ranges meet, and so
 * on through loop devices of loop devices; a volume of device-mapper or md and what it lies on. */
gboolean img_overlap (const struct stat *a, const struct stat *b);
