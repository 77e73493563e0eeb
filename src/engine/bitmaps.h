/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which bitmaps of a source come into the copy. */
#pragma once

#include "disk/bitmap.h"
#include "engine/convert.h"

/* Those of @disk, as a new array of ImgBitmap that must not outlive it; it is an error if one
 * cannot be copied and @params do not let it be left out. With @omissions they are also known to be
 * readable, and what is left out is appended to it, in words that are safe to print; with NULL that
 * was done before. */
G_GNUC_WARN_UNUSED_RESULT
GPtrArray *img_bitmaps_find (const ImgConvertParams *params, ImgDisk *disk, GPtrArray *omissions,
                             GError **error);

/* Whether any of @bitmaps (or NULL) can be copied. */
gboolean img_bitmaps_any_good (const GPtrArray *bitmaps);

/* Bitmaps are as large as their disk: that of the image at @path, which has @size bytes, must be
 * like the source's. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_bitmaps_check_size (const char *path, guint64 size, guint64 source_size,
                                 GError **error);
