/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>

#include "base/fd.h"
#include "base/size.h"
#include "file/file-private.h"
#include "file/rwf.h"

static void
note_span (guint64 begin, guint64 end, gpointer spans)
{
  GArray *array = spans;
  ImgSpan span = { begin, end };
  ImgSpan *last = array->len == 0 ? NULL : &g_array_index (array, ImgSpan, array->len - 1);

  if (last != NULL && last->end == begin)
    last->end = end;
  else
    g_array_append_val (array, span);
}

/* What of a range that is about to be written is not cached, as a new array; NULL if that need not
 * be known. */
static GArray *
find_own (ImgFile *file, guint64 offset, guint64 length)
{
  ImgPages *pages = &file->pages;
  guint64 page = img_page_size (), begin = offset & ~(page - 1);
  guint64 end = img_size_round_up (offset + length, page);
  GArray *own;
  ImgResidents residents;

  if (pages->was_empty)
    return NULL;
  own = g_array_new (FALSE, FALSE, sizeof (ImgSpan));
  if (!img_residents_look (&residents, file->inode->fd, begin, end - begin,
                           &pages->lacks_cachestat))
    g_atomic_int_set (&pages->is_blind, 1);
  img_residents_each_absent (&residents, begin, end - begin, note_span, own);
  img_residents_clear (&residents);
  return own;
}

static void
drop_span (const ImgFile *file, const ImgSpan *span)
{
  (void)posix_fadvise (file->inode->fd, (off_t)span->begin, (off_t)(span->end - span->begin),
                       POSIX_FADV_DONTNEED);
}

/* Give up the pages of a batch that is on the disk. */
static void
drop_batch (ImgFile *file, ImgWriteBatch *batch)
{
  /* The kernel's large pages go only as a whole. */
  ImgSpan around = { batch->span.begin & ~(IMG_WRITE_BATCH - 1), batch->span.end };

  if (batch->bytes > 0 && file->pages.was_empty)
    drop_span (file, &around);
  for (guint i = 0; batch->own != NULL && i < batch->own->len; i++)
    drop_span (file, &g_array_index (batch->own, ImgSpan, i));
  g_clear_pointer (&batch->own, g_array_unref);
}

gboolean
img_pages_sync (ImgFile *file, guint64 offset, guint64 length, guint flags)
{
  int result;

  do
    result = sync_file_range (file->inode->fd, (off_t)offset, (off_t)length, flags);
  while (result < 0 && errno == EINTR);
  if (result == 0)
    return TRUE;
  if (!img_rwf_is_unknown (errno) && errno != ESPIPE && errno != EPERM)
    return img_file_fail (file, errno);
  g_atomic_int_set (&file->pages.lacks_batches, 1);
  return TRUE;
}

static gboolean
send_batch (ImgFile *file, const ImgWriteBatch *batch, guint flags)
{
  return img_pages_sync (file, batch->span.begin, batch->span.end - batch->span.begin, flags);
}

/* Add what was written to the batch that is being filled. */
static void
fill (ImgWriteBatch *batch, guint64 offset, guint64 length, const GArray *own)
{
  if (batch->bytes == 0)
    batch->span = (ImgSpan){ offset, offset + length };
  batch->span.begin = MIN (batch->span.begin, offset);
  batch->span.end = MAX (batch->span.end, offset + length);
  batch->bytes += length;
  for (guint i = 0; own != NULL && i < own->len; i++)
    {
      const ImgSpan *span = &g_array_index (own, ImgSpan, i);
      if (batch->own == NULL)
        batch->own = g_array_new (FALSE, FALSE, sizeof (ImgSpan));
      note_span (span->begin, span->end, batch->own);
    }
}

/* @length bytes at @offset were written; the pages of @own (may be NULL) came by that. */
static gboolean
wrote (ImgFile *file, guint64 offset, guint64 length, const GArray *own)
{
  ImgPages *pages = &file->pages;
  ImgWriteBatch full = { .bytes = 0 }, oldest = { .bytes = 0 };
  gboolean is_sent = TRUE;

  if (g_atomic_int_get (&pages->lacks_batches))
    return TRUE;
  g_mutex_lock (&pages->mutex);
  fill (&pages->filling, offset, length, own);
  if (pages->filling.bytes >= IMG_WRITE_BATCH)
    {
      if (pages->n_sent == IMG_WRITE_BATCHES)
        {
          oldest = pages->sent[0];
          pages->n_sent--;
          memmove (pages->sent, pages->sent + 1, pages->n_sent * sizeof pages->sent[0]);
        }
      full = pages->sent[pages->n_sent++] = pages->filling;
      pages->filling = (ImgWriteBatch){ .bytes = 0 };
    }
  g_mutex_unlock (&pages->mutex);

  if (full.bytes > 0)
    is_sent = send_batch (file, &full, SYNC_FILE_RANGE_WRITE);
  if (oldest.bytes > 0)
    {
      is_sent = is_sent && send_batch (file, &oldest, IMG_SYNC_AND_WAIT);
      drop_batch (file, &oldest);
    }
  return is_sent;
}

gboolean
img_pages_wrote (ImgFile *file, guint64 offset, guint64 length)
{
  return file->pages.is_off || wrote (file, offset, length, NULL);
}

gboolean
img_pages_write (ImgFile *file, guint64 offset, const void *buffer, gsize length, int flags)
{
  gboolean is_off = file->pages.is_off;
  g_autoptr (GArray) own = is_off ? NULL : find_own (file, offset, length);
  gsize done = 0;
  gssize put = 0;

  if (!file->is_device)
    g_mutex_lock (&file->pages.writing);
  while (done < length && put >= 0)
    {
      put = img_fd_write_once (file->inode->fd, offset + done, (const char *)buffer + done,
                               length - done, flags);
      done += (gsize)MAX (put, 0);
    }
  int why = errno;
  if (!file->is_device)
    g_mutex_unlock (&file->pages.writing);
  errno = why;
  if (put < 0)
    return FALSE;
  return is_off || wrote (file, offset, length, own);
}

void
img_pages_drop_written (ImgFile *file)
{
  ImgPages *pages = &file->pages;
  ImgSpan all = { 0, 0 };

  g_mutex_lock (&pages->mutex);
  if (pages->was_empty && (pages->filling.bytes > 0 || pages->n_sent > 0))
    drop_span (file, &all);
  while (pages->n_sent > 0)
    drop_batch (file, &pages->sent[--pages->n_sent]);
  drop_batch (file, &pages->filling);
  pages->filling = (ImgWriteBatch){ .bytes = 0 };
  g_mutex_unlock (&pages->mutex);
}
