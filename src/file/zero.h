/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making a range of a file or device read as zeros, the cheapest way that works.
 *
 * The ladder, tried from the top: punch a hole (thin: only with IMG_ZERO_MAY_UNMAP), zero the range
 * (FALLOC_FL_ZERO_RANGE), write zeros. A rung that failed once on a file is not tried again. Where
 * the file system is not a local one a rung can lie (a GlusterFS client answers that it zeroed, and
 * did not): there each is verified once per file, by reading back what it zeroed, before it is
 * believed. Source: fallocate(2); for block devices Linux block/fops.c, blkdev_fallocate(), which
 * writes zeros itself for ZERO_RANGE where the device cannot. */
#pragma once

#include "file/file.h"

typedef enum
{
  IMG_ZERO_MAY_UNMAP = 1 << 0,   /* giving up the space is welcome */
  IMG_ZERO_NO_FALLBACK = 1 << 1, /* IMG_ERROR_UNSUPPORTED rather than writing zeros */
} ImgZeroFlags;

/* Zero @length bytes at @offset; a regular file must be as long already. Any thread may call. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_file_zero (ImgFile *file, guint64 offset, guint64 length, guint flags, GError **error);

/* Allocate the file's first @size bytes without writing (fallocate(2)), so that no write can run
 * out of space. IMG_ERROR_UNSUPPORTED where that is not possible. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_file_allocate (ImgFile *file, guint64 size, GError **error);

/* The same, before all of it is written (@is_written) or not: writing allocates as well, so that it
 * need not be possible then. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_file_allocate_first (ImgFile *file, guint64 size, gboolean is_written, GError **error);
