/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who is in the way of a use although he has no lock, or also who has one: asked before an image is
 * opened. */
#pragma once

#include "lock/image-lock.h"
#include "lock/use.h"

/* Who would make @use of the image at @path unsafe although the lock is granted (or, @with_locks,
 * is in the way), in words; NULL if nobody is known, or this command has the image open already.
 * Returns a new string. */
char *img_find_obstacle (const char *path, ImgLocking locking, ImgUse use, gboolean with_locks);
