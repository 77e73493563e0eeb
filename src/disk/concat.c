/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Several disks, one behind the other, as one that can be read. */
#include "disk/format.h"

typedef struct
{
  ImgDisk **parts; /* owned array of borrowed disks */
  guint n;
  guint at;        /* of a sequential one: which part is being read, */
  guint64 in_part; /* and how much of it has been */
} Concat;

/* The part that has @guest_offset, and where it is in that. */
static ImgDisk *
find_part (const Concat *concat, guint64 guest_offset, guint64 *in_part)
{
  guint i = 0;
  for (*in_part = guest_offset; *in_part >= concat->parts[i]->size; i++)
    *in_part -= concat->parts[i]->size;
  return concat->parts[i];
}

static gboolean
read_parts (ImgDisk *disk, guint64 guest_offset, void *buffer, gsize length, gsize *got,
            GError **error)
{
  guint8 *next = buffer;
  guint64 in_part;
  gsize part_got;

  *got = length;
  for (gsize part; length > 0; next += part, guest_offset += part, length -= part)
    {
      ImgDisk *source = find_part (disk->state, guest_offset, &in_part);
      part = (gsize)MIN (length, source->size - in_part);
      if (!img_disk_read (source, in_part, next, part, &part_got, error))
        return FALSE;
    }
  return TRUE;
}

/* Where one of them is a stream, all are read as if they were: in order, to the end of the last. */
static gboolean
read_in_order (ImgDisk *disk, void *buffer, gsize length, gsize *got, GError **error)
{
  Concat *concat = disk->state;
  gsize part_got;

  for (*got = 0; *got < length && concat->at < concat->n; *got += part_got)
    {
      ImgDisk *part = concat->parts[concat->at];
      gsize wanted = (gsize)MIN (length - *got, part->size - concat->in_part);
      part_got = 0;
      if (wanted > 0
          && !img_disk_read (part, concat->in_part, (guint8 *)buffer + *got, wanted, &part_got,
                             error))
        return FALSE;
      concat->in_part += part_got;
      if (part_got < wanted || concat->in_part == part->size)
        {
          concat->at++;
          concat->in_part = 0;
        }
    }
  return TRUE;
}

static gboolean
concat_read (ImgDisk *disk, guint64 guest_offset, void *buffer, gsize length, gsize *got,
             GError **error)
{
  return disk->is_sequential ? read_in_order (disk, buffer, length, got, error)
                             : read_parts (disk, guest_offset, buffer, length, got, error);
}

static gboolean
concat_extent (ImgDisk *disk, guint64 guest_offset, guint64 length, ImgExtent *extent,
               GError **error)
{
  guint64 in_part;
  ImgDisk *part = find_part (disk->state, guest_offset, &in_part);

  if (!img_disk_extent (part, in_part, MIN (length, part->size - in_part), extent, error))
    return FALSE;
  extent->guest_offset = guest_offset;
  return TRUE;
}

static gboolean
concat_map (ImgDisk *disk, guint64 guest_offset, guint64 length, ImgMapping *mapping,
            GError **error)
{
  guint64 in_part;
  ImgDisk *part = find_part (disk->state, guest_offset, &in_part);

  if (!img_disk_map (part, in_part, MIN (length, part->size - in_part), mapping, error))
    return FALSE;
  mapping->guest_offset = guest_offset;
  return TRUE;
}

static void
concat_close (ImgDisk *disk)
{
  Concat *concat = disk->state;
  g_free (concat->parts);
  g_free (concat);
}

static const ImgFormat concat_format = {
  .name = "raw",
  .read = concat_read,
  .extent = concat_extent,
  .map = concat_map,
  .close = concat_close,
};

ImgDisk *
img_disk_open_concat (ImgDisk *const *parts, guint n)
{
  ImgDisk *disk = g_new0 (ImgDisk, 1);
  Concat *concat = g_new0 (Concat, 1);

  concat->parts = g_memdup2 (parts, n * sizeof (ImgDisk *));
  concat->n = n;
  for (guint i = 0; i < n; i++)
    {
      disk->is_sequential |= parts[i]->is_sequential;
      if (parts[i]->size == IMG_DISK_SIZE_UNKNOWN || disk->size == IMG_DISK_SIZE_UNKNOWN)
        disk->size = IMG_DISK_SIZE_UNKNOWN;
      else
        disk->size += parts[i]->size;
    }
  disk->format = &concat_format;
  disk->state = concat;
  return disk;
}
