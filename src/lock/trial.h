/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Trying out what a FUSE file system makes of locks.
 *
 * Asked about locks a file server may call bytes free that others have read-locked, which is how
 * QEMU locks. So this process read-locks a byte that nobody uses, and another one asks for it; the
 * lock is taken off at once. Programs that lock whole files can meet it in that instant; its byte
 * counts as free to all that looks at locks here. */
#pragma once

#include "lock/lock-fd.h"

/* Beyond any image, and far enough from the end of what can be locked. */
#define IMG_TRIAL_BYTE (G_GUINT64_CONSTANT (1) << 60)

typedef enum
{
  IMG_TRIAL_WANTED, /* as a parameter: to be made */
  IMG_TRIAL_NONE,   /* not made: not FUSE, or no lock could be had */
  IMG_TRIAL_KERNEL, /* this kernel keeps the lock, and the server was not told */
  IMG_TRIAL_SHOWN,  /* the server keeps it, and shows it to others */
  IMG_TRIAL_HIDDEN, /* the server keeps it, and does not show it */
} ImgTrial;

/* Try it on @fd, a readable descriptor of a file that this process has no lock on. */
ImgTrial img_trial_make (int fd, ImgLockKind kind);
