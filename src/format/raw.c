/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/raw.h"

#include "file/extent.h"
#include "file/zero.h"

static gboolean
raw_open (ImgDisk *disk, G_GNUC_UNUSED GError **error)
{
  disk->size = img_file_size (disk->file);
  return TRUE;
}

static gboolean
raw_read (ImgDisk *disk, guint64 guest_offset, void *buffer, gsize length, gsize *got,
          GError **error)
{
  *got = length;
  return img_file_read (disk->file, guest_offset, buffer, length, error);
}

static gboolean
raw_write (ImgDisk *disk, guint64 guest_offset, const void *buffer, gsize length, GError **error)
{
  return img_file_write (disk->file, guest_offset, buffer, length, error);
}

static gboolean
raw_zero (ImgDisk *disk, guint64 guest_offset, guint64 length, guint flags, GError **error)
{
  return img_file_zero (disk->file, guest_offset, length, flags, error);
}

static gboolean
raw_extent (ImgDisk *disk, guint64 guest_offset, guint64 length, ImgExtent *extent, GError **error)
{
  ImgFileExtent found;
  if (!img_file_extent (disk->file, guest_offset, length, &found, error))
    return FALSE;
  extent->guest_offset = found.offset;
  extent->length = found.length;
  extent->kind = found.is_hole ? IMG_EXTENT_ZERO : IMG_EXTENT_DATA;
  return TRUE;
}

/* What came from a stream is as long as it turned out to be. */
static gboolean
raw_finish (ImgDisk *disk, guint64 size, GError **error)
{
  if (img_file_is_device (disk->file) || img_file_size (disk->file) >= size)
    return TRUE;
  return img_file_resize (disk->file, size, error);
}

const ImgFormat img_raw_format = {
  .name = "raw",
  .open = raw_open,
  .read = raw_read,
  .write = raw_write,
  .zero = raw_zero,
  .extent = raw_extent,
  .finish = raw_finish,
};
