/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bitmaps that are kept with a disk: which parts of it were written to since some moment.
 *
 * Bit n stands for the n-th range of the disk, and is bit n % 8 of byte n / 8, the least first.
 * Those behind the last range are 0. */
#pragma once

#include "disk/disk.h"

/* Why what a bitmap says cannot be relied on. */
typedef enum
{
  IMG_BITMAP_GOOD,
  IMG_BITMAP_IN_USE,  /* somebody noted writes elsewhere, and never came back to save that */
  IMG_BITMAP_UNKNOWN, /* it needs to be known what else the image says about it, and is not */
} ImgBitmapState;

typedef struct
{
  ImgDisk *disk; /* borrowed: whose it is */
  char *name;    /* owned; as it is in the image */
  ImgBitmapState state;
  guint granularity_bits; /* log2 of the guest bytes that a bit stands for */
  gboolean is_recording;  /* who writes to the disk must note it here */
  GBytes *extra; /* owned: what else the image says about it, to be left as it is; or NULL */
} ImgBitmap;

void img_bitmap_free (ImgBitmap *bitmap);

/* How many bits and bytes it takes for a disk of @size bytes. */
guint64 img_bitmap_bits (const ImgBitmap *bitmap, guint64 size);
guint64 img_bitmap_bytes (const ImgBitmap *bitmap, guint64 size);

/* The bitmaps of @disk, which can be read, as a new array of ImgBitmap; it must not outlive the
 * disk. *@are_stale: it has some that are not told, for somebody who does not know of bitmaps wrote
 * to it. IMG_ERROR_UNSUPPORTED if there can be none. */
G_GNUC_WARN_UNUSED_RESULT
GPtrArray *img_disk_find_bitmaps (ImgDisk *disk, gboolean *are_stale, GError **error);

/* Read @length bytes at @offset of a good one; all of them are below img_bitmap_bytes(). */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_bitmap_read (const ImgBitmap *bitmap, guint64 offset, guint8 *buffer, gsize length,
                          GError **error);

/* Keep copies of those of @bitmaps that are good with @disk, a new image whose options said that
 * there may be some. Whatever they belong to must live until it is finished. */
void img_disk_keep_bitmaps (ImgDisk *disk, GPtrArray *bitmaps);
