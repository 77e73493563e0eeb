/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copying inside the kernel: sharing blocks (reflink), or at least not passing through memory.
 *
 * Source: ioctl_ficlonerange(2), copy_file_range(2). */
#pragma once

#include "file/file.h"

/* Let @target share @length bytes of @source (FICLONERANGE; the whole file with FICLONE where the
 * range is all of both). IMG_ERROR_UNSUPPORTED where these two cannot (another file system, no
 * reflinks, not aligned): whether trying again elsewhere makes sense the caller knows. Any thread.
 */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_file_clone (ImgFile *source, guint64 source_offset, ImgFile *target,
                         guint64 target_offset, guint64 length, GError **error);

/* copy_file_range(2), until all is copied. IMG_ERROR_UNSUPPORTED if some of it could not be
 * (another kind of file system, a device). A source that ends early is an error. Any thread. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_file_copy_range (ImgFile *source, guint64 source_offset, ImgFile *target,
                              guint64 target_offset, guint64 length, GError **error);

/* Whether copy_file_range(2) between the two is done by a server, without the data passing through
 * here (NFSv4.2, SMB on one server). */
gboolean img_file_copies_remotely (ImgFile *source, ImgFile *target);
