/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Holding images while something else works on them.
 *
 * All images are locked or none; they are locked in the order of their device and inode numbers, so
 * that two guards of the same images never wait for each other. A guard never stands for a lock
 * that it does not have: where nothing can be locked it fails, unless no lock was asked for.
 *
 * Which files a chain has is read before they are locked, and again afterwards: if it has changed
 * meanwhile, all locks are given back and it begins anew. */
#pragma once

#include "engine/image-spec.h"
#include "engine/open.h"

typedef struct
{
  ImgLocking locking;
  ImgPermSet permissions;
  gint64 lock_wait;     /* microseconds for all images together; see img_lock_take() */
  gboolean with_chain;  /* also what is behind the images, as QEMU locks what it only reads */
  ImgGatePolicy policy; /* with_chain: for what the images name */
} ImgGuardParams;

typedef struct ImgGuard ImgGuard;

/* Lock the @n images of @specs (whose locking counts, not that of @params). Errors: those of
 * img_open_file(); IMG_ERROR_NO_LOCKS also where --locking=auto would go on without. */
G_GNUC_WARN_UNUSED_RESULT
ImgGuard *img_guard_new (const ImgImageSpec *specs, guint n, const ImgGuardParams *params,
                         GError **error);

/* Whether all locks are there, from when they were taken until now: IMG_ERROR_LOCK_LOST if one was
 * lost, or if the server that showed it then does not answer now, for some seconds. *@is_certain is
 * FALSE if it could not be told from the beginning, or others have locked the same. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_guard_verify (ImgGuard *guard, gboolean *is_certain, GError **error);

/* Unlock and close. */
void img_guard_free (ImgGuard *guard);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImgGuard, img_guard_free)

/* Warnings about how the locks were taken (owned strings, not NULL); borrowed. */
const GPtrArray *img_guard_warnings (const ImgGuard *guard);

/* Set IMG_GUARD_VARIABLE for the processes to come, so that imgtool can work inside this guard. */
void img_guard_export (const ImgGuard *guard);

/* Lock the open file description behind @fd, which belongs to the caller's parent and keeps the
 * lock when this process has ended; OFD locks only. If @path is not NULL, @fd must be that file.
 * *@warning: img_lock_reach_warning(), or NULL. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_guard_lock_fd (int fd, const char *path, const ImgGuardParams *params, char **warning,
                            GError **error);

/* Take QEMU's bytes off the description behind @fd; @path as above. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_guard_unlock_fd (int fd, const char *path, GError **error);
