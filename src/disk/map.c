/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the bytes of a disk come from, through all disks behind it. */
#include <string.h>

#include "disk/format.h"
#include "file/extent.h"

/* Extents are put together up to multiples of this: who asks should not wait for a walk through all
 * tables. */
#define JOIN_LIMIT (G_GUINT64_CONSTANT (64) << 20)

/* Where a table cannot be read, the question is asked again after this. */
#define BLIND_STEP (G_GUINT64_CONSTANT (1) << 20)

/* What the file has at @mapping, as far as that goes in one direction. Asking is slow where the
 * file system has to look at each page, so the answer is kept. */
static gboolean
look_at_file (ImgDisk *disk, const ImgMapping *mapping, ImgFileExtent *extent)
{
  ImgFile *file = mapping->file;
  gboolean is_known;

  g_mutex_lock (&disk->seen.mutex);
  *extent = disk->seen.extent;
  is_known = disk->seen.file == file && mapping->host_offset >= extent->offset
             && mapping->host_offset - extent->offset < extent->length;
  if (!is_known)
    {
      is_known = img_file_extent (file, mapping->host_offset,
                                  img_file_size (file) - mapping->host_offset, extent, NULL);
      disk->seen.file = is_known ? file : NULL;
      disk->seen.extent = *extent;
    }
  g_mutex_unlock (&disk->seen.mutex);
  return is_known;
}

/* The same of a disk that is a file as it is. What cannot be found out is data. */
static void
map_file (ImgDisk *disk, guint64 length, ImgMapping *mapping)
{
  ImgFileExtent extent;

  if (mapping->host_offset >= img_file_size (disk->file) || !look_at_file (disk, mapping, &extent))
    return;
  mapping->length = MIN (length, extent.offset + extent.length - mapping->host_offset);
  mapping->kind = extent.is_hole ? IMG_MAPPING_ZERO : IMG_MAPPING_DATA;
}

/* What @disk itself knows, of a range inside it. */
static gboolean
map_here (ImgDisk *disk, guint64 guest_offset, guint64 length, ImgMapping *mapping, GError **error)
{
  ImgExtent extent = { .guest_offset = guest_offset, .length = length };

  if (disk->format->map != NULL)
    return disk->format->map (disk, guest_offset, length, mapping, error);
  if (disk->format->extent != NULL && disk->file == NULL
      && !disk->format->extent (disk, guest_offset, length, &extent, error))
    return FALSE;
  mapping->guest_offset = guest_offset;
  mapping->length = extent.length;
  mapping->kind = extent.kind == IMG_EXTENT_ZERO ? IMG_MAPPING_ZERO : IMG_MAPPING_DATA;
  mapping->file = disk->file;
  mapping->host_offset = guest_offset;
  if (disk->format->extent != NULL && disk->file != NULL)
    map_file (disk, length, mapping);
  return TRUE;
}

gboolean
img_disk_map (ImgDisk *disk, guint64 guest_offset, guint64 length, ImgMapping *mapping,
              GError **error)
{
  guint depth = 0;

  g_assert (guest_offset < disk->size);
  for (;; disk = disk->backing_disk, depth++)
    {
      /* The zeros behind its end belong to the disk in front, which is longer. */
      if (guest_offset >= disk->size)
        {
          depth--;
          break;
        }
      memset (mapping, 0, sizeof *mapping);
      if (!map_here (disk, guest_offset, MIN (length, disk->size - guest_offset), mapping, error))
        return FALSE;
      length = mapping->length;
      if (mapping->kind != IMG_MAPPING_ABSENT || disk->backing_disk == NULL)
        break;
    }
  mapping->depth = depth;
  return TRUE;
}

/* ---- extents ---- */

/* Tables that were made in advance say "data" of what was never written: the file knows. */
static gboolean
is_hole (ImgDisk *disk, ImgMapping *mapping)
{
  ImgFile *file = mapping->file;
  ImgFileExtent extent;

  if (file == NULL || img_file_allocated (file) >= img_file_size (file)
      || mapping->host_offset >= img_file_size (file)
      || mapping->length > img_file_size (file) - mapping->host_offset
      || !look_at_file (disk, mapping, &extent))
    return FALSE;
  mapping->length = MIN (mapping->length, extent.offset + extent.length - mapping->host_offset);
  return extent.is_hole;
}

/* The next part of an extent. */
static void
find_part (ImgDisk *disk, guint64 guest_offset, guint64 length, ImgExtent *part)
{
  ImgMapping mapping;

  part->guest_offset = guest_offset;
  part->kind = IMG_EXTENT_DATA;
  part->length = MIN (length, BLIND_STEP - guest_offset % BLIND_STEP);
  if (!img_disk_map (disk, guest_offset, length, &mapping, NULL))
    return;
  if (mapping.kind != IMG_MAPPING_DATA || (!mapping.is_compressed && is_hole (disk, &mapping)))
    part->kind = IMG_EXTENT_ZERO;
  part->length = mapping.length;
}

gboolean
img_disk_extent (ImgDisk *disk, guint64 guest_offset, guint64 length, ImgExtent *extent,
                 GError **error)
{
  ImgExtent part;

  if (disk->format->extent != NULL)
    return disk->format->extent (disk, guest_offset, length, extent, error);
  if (disk->format->map == NULL)
    {
      extent->guest_offset = guest_offset;
      extent->length = length;
      extent->kind = IMG_EXTENT_DATA;
      return TRUE;
    }
  length = MIN (length, JOIN_LIMIT - guest_offset % JOIN_LIMIT);
  find_part (disk, guest_offset, length, extent);
  while (extent->length < length)
    {
      find_part (disk, guest_offset + extent->length, length - extent->length, &part);
      if (part.kind != extent->kind)
        break;
      extent->length += part.length;
    }
  return TRUE;
}

/* ---- for copying inside the kernel ---- */

gboolean
img_disk_map_host (ImgDisk *disk, guint64 guest_offset, guint64 *length, ImgFile **file,
                   guint64 *host_offset)
{
  ImgMapping mapping;

  if (disk->format->map == NULL)
    {
      *file = disk->file;
      *host_offset = guest_offset;
      return disk->file != NULL;
    }
  if (!img_disk_map (disk, guest_offset, *length, &mapping, NULL)
      || mapping.kind != IMG_MAPPING_DATA || mapping.is_compressed || mapping.file == NULL
      || mapping.host_offset >= img_file_size (mapping.file)
      || mapping.length > img_file_size (mapping.file) - mapping.host_offset)
    return FALSE;
  *length = mapping.length;
  *file = mapping.file;
  *host_offset = mapping.host_offset;
  return TRUE;
}

/* ---- what is not here ---- */

gboolean
img_disk_read_backing (ImgDisk *disk, guint64 guest_offset, void *buffer, gsize length,
                       GError **error)
{
  ImgDisk *backing = disk->backing_disk;
  gsize here = 0, got;

  if (backing != NULL && guest_offset < backing->size)
    here = (gsize)MIN (length, backing->size - guest_offset);
  memset ((guint8 *)buffer + here, 0, length - here);
  return here == 0 || img_disk_read (backing, guest_offset, buffer, here, &got, error);
}
