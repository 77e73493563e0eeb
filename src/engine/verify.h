/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading a copy again, from the disk, and comparing it with what was to be written.
 *
 * While copying, each piece of data leaves a check: where it went, and the beginning of its
 * SHA-256. What has no check must read as zeros. */
#pragma once

#include "disk/disk.h"
#include "engine/progress.h"

#define IMG_CHECK_BYTES 16

typedef struct
{
  guint64 guest_offset;
  guint64 length;
  guint8 hash[IMG_CHECK_BYTES];
} ImgCheck;

/* Add a check for @length bytes to @checks, an array of ImgCheck which @mutex protects. */
void img_check_add (GArray *checks, GMutex *mutex, guint64 guest_offset, const void *buffer,
                    gsize length);

/* Compare the first @size bytes of @disk, which was flushed, with @checks (which are put in order,
 * and have at most @longest bytes each). IMG_ERROR_FAILED names the first range that differs. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_verify (ImgDisk *disk, GArray *checks, guint64 size, gsize longest,
                     const ImgProgress *progress, ImgProgressState *state, GError **error);
