/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include "base/fd.h"
#include "base/size.h"
#include "file/file-private.h"
#include "file/rwf.h"

void
img_pages_init (ImgPages *pages, int fd, gboolean is_device, gboolean is_empty)
{
  struct statfs fs;

  pages->was_empty = is_empty;
  /* Several readers that take turns are still one that goes forward: with this the kernel reads
   * farther ahead of them, in longer requests. It is a hint, and may be unknown. */
  if (!is_empty)
    (void)posix_fadvise (fd, 0, 0, POSIX_FADV_SEQUENTIAL);
  if (is_device)
    return; /* its node's file system says nothing */
  pages->is_off = fstatfs (fd, &fs) == 0
                  && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC
                      || (guint)fs.f_type == HUGETLBFS_MAGIC);
}

static void
drop (guint64 begin, guint64 end, gpointer file)
{
  (void)posix_fadvise (((ImgFile *)file)->inode->fd, (off_t)begin, (off_t)(end - begin),
                       POSIX_FADV_DONTNEED);
}

/* What is cached of a window so long after it was looked at may have been brought in by others. */
#define STALE (30 * G_TIME_SPAN_SECOND)

/* A window that nobody reads any more, or NULL. */
static void
finish_window (ImgFile *file, ImgReadWindow *window, gboolean is_complete)
{
  if (window == NULL)
    return;
  if (is_complete || g_get_monotonic_time () - window->looked < STALE)
    img_residents_each_absent (&window->before, window->offset, IMG_READ_WINDOW, drop, file);
  img_residents_clear (&window->before);
  g_free (window);
}

static ImgReadWindow *
remove_window (ImgPages *pages, guint at)
{
  ImgReadWindow *window = pages->windows[at];

  pages->n_windows--;
  memmove (pages->windows + at, pages->windows + at + 1,
           (pages->n_windows - at) * sizeof pages->windows[0]);
  return window;
}

/* Its place among the windows, or their number. */
static guint
find_window (const ImgPages *pages, guint64 offset)
{
  guint at = 0;

  while (at < pages->n_windows && pages->windows[at]->offset != offset)
    at++;
  return at;
}

/* Look at the window at @offset unless that was done. Returns a window that had to make room, or
 * NULL. */
static ImgReadWindow *
look_at_window (ImgFile *file, guint64 offset)
{
  ImgPages *pages = &file->pages;
  ImgReadWindow *window, *oldest = NULL;

  if (offset >= file->size || find_window (pages, offset) < pages->n_windows)
    return NULL;
  if (pages->n_windows == IMG_READ_WINDOWS)
    oldest = remove_window (pages, 0);
  window = g_new0 (ImgReadWindow, 1);
  window->offset = offset;
  window->looked = g_get_monotonic_time ();
  if (!img_residents_look (&window->before, file->inode->fd, offset, IMG_READ_WINDOW,
                           &pages->lacks_cachestat))
    g_atomic_int_set (&pages->is_blind, 1);
  pages->windows[pages->n_windows++] = window;
  return oldest;
}

/* Before @length bytes at @offset are read, see what is cached: there, and where the kernel may
 * read ahead. */
static void
look_before (ImgFile *file, guint64 offset, guint64 length)
{
  guint64 begin = offset & ~(IMG_READ_WINDOW - 1);

  for (guint64 at = begin; at < offset + length + IMG_LOOK_AHEAD; at += IMG_READ_WINDOW)
    {
      ImgReadWindow *oldest;
      g_mutex_lock (&file->pages.mutex);
      oldest = look_at_window (file, at);
      g_mutex_unlock (&file->pages.mutex);
      finish_window (file, oldest, FALSE);
    }
}

/* @length bytes at @offset, within one window, were read. */
static void
account (ImgFile *file, guint64 offset, guint64 length)
{
  ImgPages *pages = &file->pages;
  ImgReadWindow *window, *complete = NULL;
  guint at;

  g_mutex_lock (&pages->mutex);
  at = find_window (pages, offset & ~(IMG_READ_WINDOW - 1));
  if (at < pages->n_windows)
    {
      window = pages->windows[at];
      window->done += length;
      if (window->done >= MIN (IMG_READ_WINDOW, file->size - MIN (file->size, window->offset)))
        complete = remove_window (pages, at);
    }
  g_mutex_unlock (&pages->mutex);
  finish_window (file, complete, TRUE);
}

/* Whether a read is a small one in the middle of nowhere, as of a file with much between its data:
 * the kernel reads just that, and looking at a window around it would take longer than reading. */
static gboolean
is_isolated (ImgFile *file, guint64 offset, gsize length)
{
  ImgPages *pages = &file->pages;

  if (length >= IMG_ISOLATED_READ)
    return FALSE;
  g_mutex_lock (&pages->mutex);
  gboolean is_alone = find_window (pages, offset & ~(IMG_READ_WINDOW - 1)) == pages->n_windows;
  g_mutex_unlock (&pages->mutex);
  return is_alone;
}

/* Read that, and give it up at once. */
static gssize
read_isolated (ImgFile *file, guint64 offset, void *buffer, gsize length)
{
  guint64 page = img_page_size (), begin = offset / page * page;
  guint64 span = img_size_round_up (offset + length, page) - begin;
  ImgResidents before;

  if (!img_residents_look (&before, file->inode->fd, begin, span, &file->pages.lacks_cachestat))
    {
      g_atomic_int_set (&file->pages.is_blind, 1);
      return img_fd_read_at (file->inode->fd, offset, buffer, length);
    }
  gssize got = img_fd_read_at (file->inode->fd, offset, buffer, length);
  img_residents_each_absent (&before, begin, span, drop, file);
  img_residents_clear (&before);
  return got;
}

/* All of it with RWF_DONTCACHE, and without as soon as that fails. */
static gssize
read_blindly (ImgFile *file, guint64 offset, void *buffer, gsize length)
{
  gint *lacks = &file->pages.lacks_dontcache;
  gsize done = 0;

  while (done < length)
    {
      int flags = g_atomic_int_get (lacks) ? 0 : RWF_DONTCACHE;
      gssize got = img_fd_read_once (file->inode->fd, offset + done, (char *)buffer + done,
                                     length - done, flags);
      if (got < 0 && flags != 0 && img_rwf_is_unknown (errno))
        g_atomic_int_set (lacks, 1);
      else if (got < 0)
        return -1;
      else if (got == 0)
        break;
      else
        done += (gsize)got;
    }
  return (gssize)done;
}

gssize
img_pages_read (ImgFile *file, guint64 offset, void *buffer, gsize length)
{
  gssize got;
  gsize part;

  if (file->pages.is_off)
    return img_fd_read_at (file->inode->fd, offset, buffer, length);
  if (!g_atomic_int_get (&file->pages.is_blind) && is_isolated (file, offset, length))
    return read_isolated (file, offset, buffer, length);
  if (!g_atomic_int_get (&file->pages.is_blind))
    look_before (file, offset, length);
  if (g_atomic_int_get (&file->pages.is_blind))
    return read_blindly (file, offset, buffer, length);
  got = img_fd_read_at (file->inode->fd, offset, buffer, length);
  for (gsize done = 0; got > 0 && done < (gsize)got; done += part)
    {
      guint64 at = offset + done;
      part = (gsize)MIN ((gsize)got - done, IMG_READ_WINDOW - (at & (IMG_READ_WINDOW - 1)));
      account (file, at, part);
    }
  return got;
}

void
img_pages_clear (ImgFile *file)
{
  ImgPages *pages = &file->pages;

  while (pages->n_windows > 0)
    finish_window (file, remove_window (pages, 0), FALSE);
  img_pages_drop_written (file);
  g_mutex_clear (&pages->mutex);
  g_mutex_clear (&pages->writing);
}
