/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What another process sees of the locks of this one: a helper process asks with F_GETLK. */
#pragma once

#include "lock/lock-fd.h"
#include "lock/permission.h"

typedef enum
{
  IMG_LOCK_HELD,       /* proven */
  IMG_LOCK_UNVERIFIED, /* cannot tell; never an alarm */
  IMG_LOCK_UNANSWERED, /* whoever keeps it answered before, and does not now */
  IMG_LOCK_LOST,       /* proven gone */
} ImgLockState;

/* IMG_LOCK_HELD if every byte of @set on @fd is seen locked by this process, IMG_LOCK_LOST if one
 * is seen free, IMG_LOCK_UNANSWERED if asking fails, else IMG_LOCK_UNVERIFIED (others have locked
 * it too). */
ImgLockState img_lock_seen_by_others (int fd, ImgPermSet set);

/* The same of one byte. */
ImgLockState img_lock_byte_seen_by_others (int fd, guint64 byte);
