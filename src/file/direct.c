/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "file/direct.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "base/buffer.h"
#include "base/fd.h"
#include "base/size.h"
#include "file/file-private.h"

/* What suits every device there is, where nobody says what it wants. */
#define SAFE_ALIGNMENT 4096

/* The most that is read or written through our own memory at once. */
#define BOUNCE_SIZE (G_GUINT64_CONSTANT (1) << 20)

/* Memory that lives as long as a call. */
typedef struct
{
  char *bytes;
  gsize size;
} Bounce;

static void
bounce_clear (Bounce *bounce)
{
  img_buffer_free (bounce->bytes, bounce->size);
  bounce->bytes = NULL;
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Bounce, bounce_clear)

static gboolean
bounce_init (Bounce *bounce, guint64 size)
{
  bounce->size = size;
  bounce->bytes = img_buffer_new (size);
  return bounce->bytes != NULL;
}

static gboolean
is_power_of_two (guint64 number)
{
  return number != 0 && (number & (number - 1)) == 0;
}

/* FALSE with errno if O_DIRECT is known not to work. */
static gboolean
find_alignment (ImgFile *file)
{
  ImgDirect *direct = &file->direct;
  int sector;

  direct->offset_alignment = direct->memory_alignment = SAFE_ALIGNMENT;
  if (file->is_device && ioctl (file->inode->fd, BLKSSZGET, &sector) == 0 && sector >= 512
      && is_power_of_two ((guint64)sector))
    direct->offset_alignment = direct->memory_alignment = (guint64)sector;
#ifdef STATX_DIOALIGN
  struct statx stx;
  if (statx (file->inode->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) < 0
      || !(stx.stx_mask & STATX_DIOALIGN))
    return TRUE;
  if (stx.stx_dio_offset_align == 0)
    {
      errno = EOPNOTSUPP;
      return FALSE;
    }
  if (is_power_of_two (stx.stx_dio_offset_align))
    direct->offset_alignment = stx.stx_dio_offset_align;
  if (is_power_of_two (stx.stx_dio_mem_align))
    direct->memory_alignment = stx.stx_dio_mem_align;
#endif
  return TRUE;
}

static gboolean
switch_direct (int fd, gboolean on)
{
  int flags = fcntl (fd, F_GETFL);
  return flags >= 0 && fcntl (fd, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

gboolean
img_direct_begin (ImgFile *file)
{
  if (!find_alignment (file) || !switch_direct (file->inode->fd, TRUE))
    return FALSE;
  file->direct.is_on = TRUE;
  return TRUE;
}

void
img_direct_end (ImgFile *file)
{
  int flags = fcntl (file->inode->fd, F_GETFL);

  if (flags >= 0 && (flags & O_DIRECT))
    (void)switch_direct (file->inode->fd, FALSE);
  file->direct.is_on = FALSE;
}

static gboolean
is_aligned (const ImgDirect *direct, guint64 offset, const void *buffer, guint64 length)
{
  return ((offset | length) & (direct->offset_alignment - 1)) == 0
         && ((guintptr)buffer & (direct->memory_alignment - 1)) == 0;
}

/* All of an aligned range. A short answer that is not aligned is the end of the file. */
static gssize
read_aligned (ImgFile *file, guint64 offset, char *buffer, gsize length)
{
  gsize done = 0;
  gssize got;

  do
    {
      got = img_fd_read_once (file->inode->fd, offset + done, buffer + done, length - done, 0);
      if (got < 0)
        return -1;
      done += (gsize)got;
    }
  while (got > 0 && done < length && (done & (file->direct.offset_alignment - 1)) == 0);
  return (gssize)done;
}

gssize
img_direct_read (ImgFile *file, guint64 offset, void *buffer, gsize length)
{
  const ImgDirect *direct = &file->direct;
  guint64 mask = direct->offset_alignment - 1;
  g_auto (Bounce) bounce = { NULL, 0 };
  gsize done = 0;

  if (is_aligned (direct, offset, buffer, length))
    return read_aligned (file, offset, buffer, length);
  if (!bounce_init (&bounce, MIN (BOUNCE_SIZE, img_size_round_up (length, direct->offset_alignment))
                                 + direct->offset_alignment))
    return -1;
  while (done < length)
    {
      guint64 at = offset + done, skip = at & mask;
      gsize wanted = (gsize)MIN (length - done, bounce.size - skip);
      gssize got = read_aligned (file, at - skip, bounce.bytes,
                                 (gsize)img_size_round_up (skip + wanted, mask + 1));
      if (got < 0)
        return -1;
      if ((guint64)got <= skip)
        break;
      gsize usable = MIN (wanted, (gsize)got - skip);
      memcpy ((char *)buffer + done, bounce.bytes + skip, usable);
      done += usable;
      if (usable < wanted)
        break;
    }
  return (gssize)done;
}

/* All of an aligned range. After a short answer it goes on where the last whole block ended, so
 * that the next answer says why. */
static gboolean
write_aligned (ImgFile *file, guint64 offset, const char *buffer, gsize length, int flags)
{
  gsize done = 0;

  while (done < length)
    {
      gssize put
          = img_fd_write_once (file->inode->fd, offset + done, buffer + done, length - done, flags);
      if (put < 0)
        return FALSE;
      if ((guint64)put < file->direct.offset_alignment)
        {
          errno = EIO;
          return FALSE;
        }
      done += (gsize)((guint64)put & ~(file->direct.offset_alignment - 1));
    }
  return TRUE;
}

/* Aligned offset and length, but not memory. */
static gboolean
write_bounced (ImgFile *file, guint64 offset, const char *buffer, gsize length, int flags)
{
  g_auto (Bounce) bounce = { NULL, 0 };
  gsize done = 0;

  if (!bounce_init (&bounce, MIN (BOUNCE_SIZE, length)))
    return FALSE;
  while (done < length)
    {
      gsize part = MIN (bounce.size, length - done);
      memcpy (bounce.bytes, buffer + done, part);
      if (!write_aligned (file, offset + done, bounce.bytes, part, flags))
        return FALSE;
      done += part;
    }
  return TRUE;
}

/* Through the page cache, and out of it again before others write beside it. */
static gboolean
write_unaligned (ImgFile *file, guint64 offset, const void *buffer, gsize length)
{
  int fd = file->inode->fd, saved_errno;
  gboolean is_written;

  g_rw_lock_writer_lock (&file->direct.lock);
  is_written = switch_direct (fd, FALSE) && img_fd_write_at (fd, offset, buffer, length)
               && (fdatasync (fd) == 0 || img_file_fail (file, errno));
  saved_errno = errno;
  if (is_written)
    (void)posix_fadvise (fd, 0, 0, POSIX_FADV_DONTNEED);
  if (!switch_direct (fd, TRUE) && is_written)
    {
      saved_errno = errno;
      is_written = FALSE;
    }
  g_rw_lock_writer_unlock (&file->direct.lock);
  errno = saved_errno;
  return is_written;
}

/* A range whose ends are aligned, from memory that need not be. */
static gboolean
write_blocks (ImgFile *file, guint64 offset, const char *buffer, gsize length, int flags)
{
  gboolean is_written;

  if (length == 0)
    return TRUE;
  g_rw_lock_reader_lock (&file->direct.lock);
  is_written = is_aligned (&file->direct, offset, buffer, length)
                   ? write_aligned (file, offset, buffer, length, flags)
                   : write_bounced (file, offset, buffer, length, flags);
  g_rw_lock_reader_unlock (&file->direct.lock);
  return is_written;
}

gboolean
img_direct_write (ImgFile *file, guint64 offset, const void *buffer, gsize length, int flags)
{
  const char *bytes = buffer;
  guint64 mask = file->direct.offset_alignment - 1;
  gsize head = (gsize)MIN (length, (mask + 1 - (offset & mask)) & mask);
  gsize tail = (gsize)((length - head) & mask), middle = length - head - tail;

  if (head > 0 && !write_unaligned (file, offset, bytes, head))
    return FALSE;
  if (!write_blocks (file, offset + head, bytes + head, middle, flags))
    return FALSE;
  return tail == 0 || write_unaligned (file, offset + head + middle, bytes + head + middle, tail);
}
