/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ImgFile: the host bytes of an image, a regular file or a block device.
 *
 * Every subcommand opens images here and nowhere else. A file is locked before anybody looks at its
 * content, and what was locked is what the name stands for: after the lock was granted, the
 * descriptor is compared with the path, and the opening starts again if a rename won. Reads are
 * whole and position-free. */
#pragma once

#include "base/error.h"
#include "lock/image-lock.h"
#include "lock/verify.h"

typedef struct ImgFile ImgFile;

typedef struct
{
  gboolean is_writable; /* open for reading and writing, else for reading only */
  ImgLocking locking;
  ImgPermSet permissions; /* what to lock */
  gint64 lock_wait;       /* microseconds, IMG_WAIT_NONE or IMG_WAIT_FOREVER */
} ImgFileParams;

/* Open and lock the image at @path. Errors: those of img_lock_take(), and IMG_ERROR_FAILED. */
G_GNUC_WARN_UNUSED_RESULT
ImgFile *img_file_open (const char *path, const ImgFileParams *params, GError **error);

/* Unlock and close. */
void img_file_close (ImgFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImgFile, img_file_close)

/* Read @length bytes at @offset; an end of file in between is an error. Any thread may call. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_file_read (ImgFile *file, guint64 offset, void *buffer, gsize length, GError **error);

/* Fail with IMG_ERROR_LOCK_LOST if the locks are proven gone. What cannot be told is no error:
 * *@state (may be NULL) says so. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_file_verify_lock (ImgFile *file, ImgLockState *state, GError **error);

const char *img_file_path (const ImgFile *file);  /* as given; borrowed */
guint64 img_file_size (const ImgFile *file);      /* bytes, when it was opened */
guint64 img_file_allocated (const ImgFile *file); /* bytes on disk (st_blocks) */
gboolean img_file_is_device (const ImgFile *file);
const ImgLock *img_file_lock (const ImgFile *file); /* borrowed */

/* For libraries that read through a descriptor; borrowed, positioned reads only, not to be closed.
 */
int img_file_fd (const ImgFile *file);
