/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk/bitmap.h"

#include "base/text.h"
#include "disk/format.h"

void
img_bitmap_free (ImgBitmap *bitmap)
{
  g_free (bitmap->name);
  g_clear_pointer (&bitmap->extra, g_bytes_unref);
  g_free (bitmap);
}

guint64
img_bitmap_bits (const ImgBitmap *bitmap, guint64 size)
{
  guint64 granularity = G_GUINT64_CONSTANT (1) << bitmap->granularity_bits;
  return (size >> bitmap->granularity_bits) + ((size & (granularity - 1)) != 0 ? 1 : 0);
}

guint64
img_bitmap_bytes (const ImgBitmap *bitmap, guint64 size)
{
  guint64 bits = img_bitmap_bits (bitmap, size);
  return bits / 8 + (bits % 8 != 0 ? 1 : 0);
}

GPtrArray *
img_disk_find_bitmaps (ImgDisk *disk, gboolean *are_stale, GError **error)
{
  *are_stale = FALSE;
  /* As qemu-img says it. */
  if (disk->format->find_bitmaps == NULL)
    return img_null_throw (error, IMG_ERROR_UNSUPPORTED,
                           "source lacks bitmap support: its format is %s", disk->format->name);
  return disk->format->find_bitmaps (disk, are_stale, error);
}

gboolean
img_bitmap_read (const ImgBitmap *bitmap, guint64 offset, guint8 *buffer, gsize length,
                 GError **error)
{
  guint64 bytes = img_bitmap_bytes (bitmap, bitmap->disk->size);
  guint used = (guint)(img_bitmap_bits (bitmap, bitmap->disk->size) % 8);

  g_assert (length > 0 && offset + length <= bytes);
  if (!bitmap->disk->format->read_bitmap (bitmap, offset, buffer, length, error))
    {
      g_autofree char *safe = img_text_escape (bitmap->name, -1);
      g_prefix_error (error, "bitmap '%s': ", safe);
      return FALSE;
    }
  if (offset + length == bytes && used != 0)
    buffer[length - 1] &= (guint8)((1u << used) - 1);
  return TRUE;
}

void
img_disk_keep_bitmaps (ImgDisk *disk, GPtrArray *bitmaps)
{
  g_assert (disk->format->keep_bitmaps != NULL);
  disk->format->keep_bitmaps (disk, bitmaps);
}
