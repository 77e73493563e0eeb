/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "file/file-private.h"
#include "file/rwf.h"
#include "lock/remote.h"

/* What reads and writes through the page cache are best multiples of. */
#define CACHED_ALIGNMENT 4096

void
img_file_io_init (ImgFile *file, const struct stat *st)
{
  file->mtime = st->st_mtim;
  file->ctime = st->st_ctim;
  img_direct_end (file); /* somebody before us was killed */
  img_pages_init (&file->pages, file->inode->fd, file->is_device,
                  !file->is_device && file->size == 0);
}

void
img_file_io_clear (ImgFile *file)
{
  if (file->inode != NULL)
    {
      img_direct_end (file);
      img_pages_clear (file);
    }
  g_rw_lock_clear (&file->direct.lock);
  g_mutex_clear (&file->zeroing.mutex);
}

gboolean
img_file_fail (ImgFile *file, int error_number)
{
  (void)g_atomic_int_compare_and_exchange (&file->failed, 0, error_number);
  errno = error_number;
  return FALSE;
}

gboolean
img_file_read (ImgFile *file, guint64 offset, void *buffer, gsize length, GError **error)
{
  gssize got = file->direct.is_on ? img_direct_read (file, offset, buffer, length)
                                  : img_pages_read (file, offset, buffer, length);
  if (got < 0)
    return img_throw_errno (
        error, "cannot read %" G_GSIZE_FORMAT " bytes at offset %" G_GUINT64_FORMAT " of '%s'",
        length, offset, file->safe_path);
  if (got == 0 && length > 0)
    return img_throw (error, IMG_ERROR_FAILED,
                      "cannot read %" G_GSIZE_FORMAT " bytes at offset %" G_GUINT64_FORMAT
                      " of '%s', where the file ends or has ended before",
                      length, offset, file->safe_path);
  if ((gsize)got < length)
    return img_throw (error, IMG_ERROR_FAILED,
                      "cannot read %" G_GSIZE_FORMAT " bytes at offset %" G_GUINT64_FORMAT
                      " of '%s': the file ends at %" G_GUINT64_FORMAT,
                      length, offset, file->safe_path, offset + (guint64)got);
  return TRUE;
}

/* In the way of the cache mode, with @flags (RWF_...). */
static gboolean
write_with (ImgFile *file, guint64 offset, const void *buffer, gsize length, int flags)
{
  if (file->direct.is_on)
    return img_direct_write (file, offset, buffer, length, flags);
  return img_pages_write (file, offset, buffer, length, flags);
}

/* To the disk at once, with RWF_DSYNC or as it was done before Linux 4.7. */
static gboolean
write_synchronously (ImgFile *file, guint64 offset, const void *buffer, gsize length)
{
  if (!g_atomic_int_get (&file->lacks_dsync))
    {
      if (write_with (file, offset, buffer, length, RWF_DSYNC))
        return TRUE;
      /* What the kernel reports of a write-back here it does not report to fsync(2) again. */
      if (!img_rwf_is_unknown (errno))
        return img_file_fail (file, errno);
      g_atomic_int_set (&file->lacks_dsync, 1);
    }
  if (!write_with (file, offset, buffer, length, 0))
    return FALSE;
  return fdatasync (file->inode->fd) == 0 || img_file_fail (file, errno);
}

gboolean
img_file_write (ImgFile *file, guint64 offset, const void *buffer, gsize length, GError **error)
{
  gboolean is_synchronous
      = file->cache_mode == IMG_CACHE_WRITETHROUGH || file->cache_mode == IMG_CACHE_DIRECTSYNC;
  if (length == 0
      || (is_synchronous ? write_synchronously (file, offset, buffer, length)
                         : write_with (file, offset, buffer, length, 0)))
    return TRUE;
  return img_throw_errno (
      error, "cannot write %" G_GSIZE_FORMAT " bytes at offset %" G_GUINT64_FORMAT " of '%s'",
      length, offset, file->safe_path);
}

gboolean
img_file_resize (ImgFile *file, guint64 size, GError **error)
{
  int result;

  if (size > G_MAXINT64)
    {
      errno = EFBIG;
      result = -1;
    }
  else
    do
      result = ftruncate (file->inode->fd, (off_t)size);
    while (result < 0 && errno == EINTR);
  if (result < 0)
    return img_throw_errno (error, "cannot make '%s' %" G_GUINT64_FORMAT " bytes long",
                            file->safe_path, size);
  file->size = size;
  return TRUE;
}

gboolean
img_file_flush (ImgFile *file, GError **error)
{
  int result = 0;

  if (g_atomic_int_get (&file->failed) == 0)
    {
      do
        result = fsync (file->inode->fd);
      while (result < 0 && errno == EINTR);
      if (result < 0)
        (void)img_file_fail (file, errno);
    }
  errno = g_atomic_int_get (&file->failed);
  if (errno != 0)
    return img_throw_errno (error, "cannot bring what was written to '%s' to the disk",
                            file->safe_path);
  img_pages_drop_written (file);
  return TRUE;
}

gboolean
img_file_has_failed (const ImgFile *file)
{
  return g_atomic_int_get (&file->failed) != 0;
}

/* Closing a copy of the descriptor brings them out while nothing has happened yet, but would take
 * POSIX locks away. */
gboolean
img_file_collect_errors (ImgFile *file, GError **error)
{
  int fd = file->inode->fd;

  if (img_lock_kind (img_file_lock (file)) == IMG_LOCK_POSIX)
    return img_remote_kind (fd) == IMG_REMOTE_NOT || img_file_flush (file, error);
  int copy = fcntl (fd, F_DUPFD_CLOEXEC, 0);
  if (copy >= 0 && (close (copy) == 0 || errno == EINTR))
    return TRUE;
  return img_throw_errno (error, "cannot finish writing '%s'", file->safe_path);
}

gboolean
img_file_set_cache (ImgFile *file, ImgCacheMode mode, GError **error)
{
  gboolean is_direct = mode == IMG_CACHE_NONE || mode == IMG_CACHE_DIRECTSYNC;

  file->cache_mode = mode;
  if (mode == IMG_CACHE_UNSAFE)
    file->pages.is_off = TRUE;
  if (!is_direct || img_direct_begin (file))
    return TRUE;
  if (errno == EINVAL || errno == EOPNOTSUPP)
    return img_throw (error, IMG_ERROR_UNSUPPORTED,
                      "cannot read or write '%s' past the page cache (O_DIRECT), as -t none and "
                      "-T none want it: its file system does not support that",
                      file->safe_path);
  return img_throw_errno (error, "cannot read or write '%s' past the page cache (O_DIRECT)",
                          file->safe_path);
}

guint64
img_file_alignment (const ImgFile *file)
{
  if (!file->direct.is_on)
    return CACHED_ALIGNMENT;
  return MAX (512, MAX (file->direct.offset_alignment, file->direct.memory_alignment));
}

void
img_file_forget (ImgFile *file, guint64 offset, guint64 length)
{
  int fd = file->inode->fd;
  guint64 page = (guint64)sysconf (_SC_PAGESIZE), begin = offset & ~(page - 1);
  guint64 end = length == 0 || offset + length < length ? 0 : offset + length;

  if (begin > G_MAXINT64 || end > G_MAXINT64 - page)
    return;
  end = (end + page - 1) & ~(page - 1);
  off_t count = end == 0 ? 0 : (off_t)(end - begin);
  (void)img_pages_sync (file, begin, (guint64)count, IMG_SYNC_AND_WAIT);
  (void)posix_fadvise (fd, (off_t)begin, count, POSIX_FADV_DONTNEED);
}

static gboolean
is_same_time (const struct timespec *a, const struct timespec *b)
{
  return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

gboolean
img_file_has_changed (ImgFile *file, gboolean *changed, guint64 *size, GError **error)
{
  struct stat st;

  if (fstat (file->inode->fd, &st) < 0)
    return img_throw_errno (error, "cannot look at '%s'", file->safe_path);
  *changed = FALSE;
  *size = file->size;
  if (file->is_device)
    return TRUE;
  *size = (guint64)st.st_size;
  *changed = *size != file->size || !is_same_time (&st.st_mtim, &file->mtime)
             || !is_same_time (&st.st_ctim, &file->ctime);
  return TRUE;
}
