/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks that are in no image: a pipe, or whatever else standard input and output are (bytes in
 * order and nothing more), and zeros. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "disk/detect.h"
#include "disk/format.h"

#define ZEROS (64 * 1024)

typedef struct
{
  int fd;           /* borrowed */
  const char *name; /* constant */
  guint8 head[IMG_DETECT_BYTES];
  gsize n_head, n_used; /* bytes that were looked at before, and those of them that were read */
} Stream;

static gboolean
stream_read (ImgDisk *disk, G_GNUC_UNUSED guint64 guest_offset, void *buffer, gsize length,
             gsize *got, GError **error)
{
  Stream *stream = disk->state;

  *got = MIN (length, stream->n_head - stream->n_used);
  memcpy (buffer, stream->head + stream->n_used, *got);
  stream->n_used += *got;
  while (*got < length)
    {
      gssize part = img_fd_read_some (stream->fd, (char *)buffer + *got, length - *got);
      if (part < 0)
        return img_throw_errno (error, "cannot read %s", stream->name);
      if (part == 0)
        return TRUE;
      *got += (gsize)part;
    }
  return TRUE;
}

static gboolean
stream_write (ImgDisk *disk, G_GNUC_UNUSED guint64 guest_offset, const void *buffer, gsize length,
              GError **error)
{
  const Stream *stream = disk->state;
  if (!img_fd_write_all (stream->fd, buffer, length))
    return img_throw_errno (error, "cannot write to %s", stream->name);
  return TRUE;
}

static gboolean
stream_zero (ImgDisk *disk, guint64 guest_offset, guint64 length, G_GNUC_UNUSED guint flags,
             GError **error)
{
  static const guint8 zeros[ZEROS];
  while (length > 0)
    {
      gsize part = (gsize)MIN (length, ZEROS);
      if (!stream_write (disk, guest_offset, zeros, part, error))
        return FALSE;
      length -= part;
    }
  return TRUE;
}

/* Where a file or device is behind it, that can be done; a pipe has nothing to bring anywhere. */
static gboolean
stream_flush (ImgDisk *disk, GError **error)
{
  const Stream *stream = disk->state;
  if (fsync (stream->fd) < 0 && errno != EINVAL && errno != EROFS && errno != ENOTSUP)
    return img_throw_errno (error, "cannot bring %s to the disk", stream->name);
  return TRUE;
}

static void
stream_close (ImgDisk *disk)
{
  g_free (disk->state);
}

static const ImgFormat stream_format = {
  .name = "raw",
  .read = stream_read,
  .write = stream_write,
  .zero = stream_zero,
  .flush = stream_flush,
  .close = stream_close,
};

ImgDisk *
img_disk_open_stream (int fd, const char *name)
{
  ImgDisk *disk = g_new0 (ImgDisk, 1);
  Stream *stream = g_new0 (Stream, 1);

  stream->fd = fd;
  stream->name = name;
  disk->format = &stream_format;
  disk->size = IMG_DISK_SIZE_UNKNOWN;
  disk->is_sequential = TRUE;
  disk->state = stream;
  return disk;
}

const char *
img_disk_probe_stream (ImgDisk *disk, GError **error)
{
  Stream *stream = disk->state;

  if (!stream_read (disk, 0, stream->head, sizeof stream->head, &stream->n_head, error))
    return NULL;
  return img_detect_format (stream->head, stream->n_head);
}

/* ---- zeros ---- */

static gboolean
zeros_read (G_GNUC_UNUSED ImgDisk *disk, G_GNUC_UNUSED guint64 guest_offset, void *buffer,
            gsize length, gsize *got, G_GNUC_UNUSED GError **error)
{
  memset (buffer, 0, length);
  *got = length;
  return TRUE;
}

static gboolean
zeros_extent (G_GNUC_UNUSED ImgDisk *disk, guint64 guest_offset, guint64 length, ImgExtent *extent,
              G_GNUC_UNUSED GError **error)
{
  extent->guest_offset = guest_offset;
  extent->length = length;
  extent->kind = IMG_EXTENT_ZERO;
  return TRUE;
}

static const ImgFormat zeros_format = { .name = "raw", .read = zeros_read, .extent = zeros_extent };

ImgDisk *
img_disk_open_zeros (guint64 size)
{
  ImgDisk *disk = g_new0 (ImgDisk, 1);
  disk->format = &zeros_format;
  disk->size = size;
  return disk;
}
