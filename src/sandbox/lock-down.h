/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Giving up, for good, all that is not needed to read and write what is open.
 *
 * After it the process and its threads can read, write, clone, punch and flush through the
 * descriptors they have, get memory and start threads; they cannot open, make, link, rename or
 * remove a file, get a socket, run a program, or signal or trace another process. Three layers, of
 * which each is kept if the kernel lacks another: resource limits, Landlock without any rule, and a
 * list of the system calls that are allowed. Sources: landlock(7), seccomp(2), syscalls(2). */
#pragma once

#include "base/error.h"

/* What happens at a call that is not allowed. */
typedef enum
{
  IMG_LOCK_DOWN_REFUSE, /* it fails with EPERM */
  IMG_LOCK_DOWN_KILL,   /* SIGSYS: so that a test sees a call that is missing in the list */
} ImgLockDownMode;

/* Layers that this kernel does not have. */
typedef enum
{
  IMG_LOCK_DOWN_NO_LANDLOCK = 1,
  IMG_LOCK_DOWN_NO_SECCOMP = 2,
} ImgLockDownLacks;

#define IMG_LOCK_DOWN_ALL_LACKS (IMG_LOCK_DOWN_NO_LANDLOCK | IMG_LOCK_DOWN_NO_SECCOMP)

/* Do it, in a process with one thread; @memory is the most address space in bytes that it may have
 * from now on, 0 for no limit. Returns the ImgLockDownLacks. */
guint img_lock_down (ImgLockDownMode mode, guint64 memory);
