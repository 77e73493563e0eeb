/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Working inside a guard: `imgtool lock --write t.raw -- imgtool ... t.raw`.
 *
 * The guard tells in the environment which of its descriptors hold locks; a program of ours that
 * runs inside borrows the locked open file description itself (pidfd_getfd(2)), so that the guard's
 * locks are its own and not in its way. Nothing is inherited: the locks end with the guard. It
 * works for OFD locks only, as POSIX locks cannot be shared between processes. */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* PID:START-TICKS:FD[,FD...] of each guard, the outermost first, separated by blanks. */
#define IMG_GUARD_VARIABLE "IMGTOOL_GUARD"

/* A new descriptor of the guard's locked description of the file @dev:@ino, open for writing if
 * @writable; the caller owns it. -1 if there is no guard, or it has no such description. */
G_GNUC_WARN_UNUSED_RESULT
int img_adopt_find (dev_t dev, ino_t ino, gboolean writable);
