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

/* ---- new images ---- */

static const ImgCreateChoice preallocations[] = { { "off", IMG_PREALLOCATION_OFF },
                                                  { "falloc", IMG_PREALLOCATION_FALLOC },
                                                  { "full", IMG_PREALLOCATION_FULL },
                                                  { NULL, 0 } };

static const ImgCreateRow create_rows[] = {
  { "preallocation", IMG_CREATE_CHOICE, offsetof (ImgCreateOptions, preallocation),
    "Preallocation mode (allowed values: off, falloc, full)", preallocations, "str" },
  { "size", IMG_CREATE_SIZE, offsetof (ImgCreateOptions, size), "Virtual disk size", NULL, "size" },
  { 0 },
};

static gboolean
raw_check_options (const ImgCreateOptions *options, G_GNUC_UNUSED guint64 size, GError **error)
{
  if (options->is_compressed)
    return img_throw (error, IMG_ERROR_USAGE,
                      "a raw image cannot be compressed: -c needs -O qcow2");
  /* As qemu-img says it. */
  if (options->has_bitmaps)
    return img_throw (error, IMG_ERROR_USAGE,
                      "format driver 'raw' does not support bitmaps: --bitmaps needs -O qcow2");
  return options->backing_file == NULL
         || img_throw (error, IMG_ERROR_USAGE,
                       "a raw image cannot have a backing file: that needs -O qcow2");
}

const ImgFormat img_raw_format = {
  .name = "raw",
  .open = raw_open,
  .read = raw_read,
  .write = raw_write,
  .zero = raw_zero,
  .extent = raw_extent,
  .create_rows = create_rows,
  .check_options = raw_check_options,
  .finish = raw_finish,
};
