/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether two files or block devices have bytes in common: what must not be copied onto each other.
 */
#pragma once

#include <glib.h>
#include <sys/stat.h>

/* @a and @b are what stat(2) said. TRUE for one inode or device by two names, a disk and one of its
 * partitions, a loop device and its file, or another loop device of that if their ranges meet. What
 * device-mapper puts together is not looked into. */
gboolean img_overlap (const struct stat *a, const struct stat *b);
