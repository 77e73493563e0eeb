/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading what the guest sees. */
#include <string.h>

#include "base/text.h"
#include "format/qcow2/qcow2.h"

#define SECTOR 512

/* Whoever finds less in the file than the tables promise has a part of an image. */
static gboolean
throw_truncated (ImgFile *file, guint64 guest_offset, guint64 host_offset, guint64 end,
                 GError **error)
{
  g_autofree char *safe = img_text_escape (img_file_path (file), -1);
  return img_throw (error, IMG_ERROR_FAILED,
                    "'%s' is truncated: guest offset %" G_GUINT64_FORMAT
                    " needs its bytes %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT
                    ", and it has only %" G_GUINT64_FORMAT,
                    safe, guest_offset, host_offset, end, img_file_size (file));
}

static gboolean
read_plain (const ImgDisk *disk, guint64 guest_offset, const Qcow2Run *run, void *buffer,
            GError **error)
{
  ImgFile *file = qcow2_data (disk);
  guint64 size = img_file_size (file), end = run->host_offset + run->length;

  if (end > size)
    return throw_truncated (file, guest_offset, run->host_offset, end, error);
  return img_file_read (file, run->host_offset, buffer, (gsize)run->length, error);
}

/* Writers end a file with the last byte they need, and only sectors are counted. */
gboolean
qcow2_stream_is_cut (guint64 host_offset, guint64 length, guint64 file_size)
{
  guint64 end = host_offset + length;
  return host_offset >= file_size || (end > file_size && end - file_size >= SECTOR);
}

static gboolean
read_compressed (const ImgDisk *disk, guint64 guest_offset, const Qcow2Run *run, void *buffer,
                 GError **error)
{
  const Qcow2 *q = disk->state;
  guint64 size = img_file_size (q->file), end = run->host_offset + run->compressed;
  Qcow2Compressed data = { .file = q->file,
                           .host_offset = run->host_offset,
                           .length = run->compressed,
                           .guest_offset = guest_offset - run->in_cluster };

  if (qcow2_stream_is_cut (run->host_offset, run->compressed, size))
    return throw_truncated (q->file, guest_offset, run->host_offset, end, error);
  data.length = (gsize)MIN (data.length, size - run->host_offset);
  return qcow2_decode (q->decoders, &data, (gsize)run->in_cluster, buffer, (gsize)run->length,
                       error);
}

static gboolean
read_run (ImgDisk *disk, guint64 guest_offset, const Qcow2Run *run, void *buffer, GError **error)
{
  if (run->compressed != 0)
    return read_compressed (disk, guest_offset, run, buffer, error);
  if (run->kind == IMG_MAPPING_DATA)
    return read_plain (disk, guest_offset, run, buffer, error);
  if (run->kind == IMG_MAPPING_ABSENT)
    return img_disk_read_backing (disk, guest_offset, buffer, (gsize)run->length, error);
  memset (buffer, 0, (gsize)run->length);
  return TRUE;
}

gboolean
qcow2_read (ImgDisk *disk, guint64 guest_offset, void *buffer, gsize length, gsize *got,
            GError **error)
{
  Qcow2Run run;

  *got = length;
  for (guint8 *next = buffer; length > 0; next += run.length)
    {
      if (!qcow2_find_run (disk, guest_offset, length, &run, error)
          || !read_run (disk, guest_offset, &run, next, error))
        return FALSE;
      guest_offset += run.length;
      length -= (gsize)run.length;
    }
  return TRUE;
}
