/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What becomes of one piece: shared, copied by the kernel, or read, looked at and written. */
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/size.h"
#include "engine/copy-job.h"
#include "file/clone.h"
#include "file/zero.h"

/* Where zeros must be made and not only left out, short runs are cheaper written. */
#define SHORTEST_ZEROING G_GUINT64_CONSTANT (65536)

/* Blocks of file systems that can share them are at most this long. */
#define CLONE_UNIT G_GUINT64_CONSTANT (4096)

/* Salvaging goes down to this. */
#define SECTOR 512

static void
account (ImgCopyJob *job, const ImgPiece *piece, const ImgTally *tally)
{
  g_mutex_lock (&job->mutex);
  job->state.has_data |= !piece->is_zero;
  job->state.copied += tally->copied;
  job->state.zero += tally->zero;
  job->state.cloned += tally->cloned;
  job->state.same += tally->same;
  job->state.done += tally->copied + tally->zero + tally->cloned + tally->same;
  g_mutex_unlock (&job->mutex);
}

gboolean
img_piece_await_turn (ImgCopyJob *job, const ImgPiece *piece)
{
  g_mutex_lock (&job->mutex);
  while (job->turn != piece->number && job->error == NULL)
    g_cond_wait (&job->turns[piece->number % IMG_MAX_WORKERS], &job->mutex);
  gboolean goes_on = job->error == NULL;
  g_mutex_unlock (&job->mutex);
  return goes_on;
}

void
img_piece_end_turn (ImgCopyJob *job)
{
  g_mutex_lock (&job->mutex);
  job->turn++;
  g_cond_signal (&job->turns[job->turn % IMG_MAX_WORKERS]);
  g_mutex_unlock (&job->mutex);
}

/* ---- reading ---- */

static void
note_unreadable (ImgCopyJob *job, guint64 guest_offset, guint64 length)
{
  ImgRange range = { .guest_offset = guest_offset, .length = length };
  g_mutex_lock (&job->mutex);
  g_array_append_val (job->unreadable, range);
  g_mutex_unlock (&job->mutex);
}

/* Read in steps of @step what failed as a whole, and what fails again in smaller ones; zeros stand
 * for what cannot be read. */
static void
salvage (ImgCopyJob *job, const ImgPiece *piece, guint64 begin, gsize length, guint8 *buffer,
         gsize step)
{
  gsize part, got;
  for (gsize at = 0; at < length; at += part)
    {
      part = MIN (step, length - at);
      if (img_disk_read (job->source, piece->offset + begin + at, buffer + at, part, &got, NULL))
        continue;
      if (step > SECTOR)
        {
          salvage (job, piece, begin + at, part, buffer + at,
                   MAX (step / 16 / SECTOR * SECTOR, SECTOR));
          continue;
        }
      memset (buffer + at, 0, part);
      note_unreadable (job, piece->offset + begin + at, part);
    }
}

gboolean
img_piece_read (ImgCopyJob *job, const ImgPiece *piece, guint64 begin, gsize length, guint8 *buffer,
                GError **error)
{
  g_autoptr (GError) failure = NULL;
  gsize got;

  if (img_disk_read (job->source, piece->offset + begin, buffer, length, &got, &failure))
    return TRUE;
  if (!job->params->salvage)
    {
      g_propagate_error (error, g_steal_pointer (&failure));
      return FALSE;
    }
  salvage (job, piece, begin, length, buffer, MAX (length / 16 / SECTOR * SECTOR, SECTOR));
  return TRUE;
}

/* ---- writing ---- */

/* How long the run at @buffer is, and whether it is zeros that need not be written. Runs are cut at
 * multiples of @block of the target, where its blocks are. */
static gsize
find_run (guint64 offset, const guint8 *buffer, gsize length, guint64 block, gboolean *zero)
{
  gsize head = (gsize)MIN ((block - offset % block) % block, length); /* any multiple of 512 */
  if (head == 0)
    return img_buffer_run (buffer, length, (gsize)block, zero);
  *zero = img_buffer_is_zero (buffer, head);
  return head;
}

/* Write what is not zero, and make the rest zero where it is not. */
static gboolean
write_sparse (ImgCopyJob *job, guint64 offset, const guint8 *buffer, gsize length, ImgTally *tally,
              GError **error)
{
  gboolean is_clean = job->target->reads_as_zeros;
  guint64 block
      = is_clean ? job->params->sparse_size : MAX (job->params->sparse_size, SHORTEST_ZEROING);
  gsize data = 0; /* bytes before @at that are to be written in one go */

  for (gsize at = 0; at < length;)
    {
      gboolean is_zero;
      gsize run = find_run (offset + at, buffer + at, length - at, block, &is_zero);
      if (!is_zero)
        data += run;
      at += run;
      if (data > 0 && (is_zero || at == length))
        {
          gsize begin = at - (is_zero ? run : 0) - data;
          if (!img_disk_write (job->target, offset + begin, buffer + begin, data, error))
            return FALSE;
          tally->copied += data;
          data = 0;
        }
      if (!is_zero)
        continue;
      if (!is_clean
          && !img_disk_zero (job->target, offset + at - run, run, IMG_ZERO_MAY_UNMAP, error))
        return FALSE;
      tally->zero += run;
    }
  return TRUE;
}

static gboolean
write_part (ImgCopyJob *job, guint64 offset, const guint8 *buffer, gsize length, ImgTally *tally,
            GError **error)
{
  if (job->params->sparse_size > 0 && !job->target->is_sequential)
    return write_sparse (job, offset, buffer, length, tally, error);
  tally->copied += length;
  return img_disk_write (job->target, offset, buffer, length, error);
}

/* Write zeros as such. */
static gboolean
write_zeros (ImgCopyJob *job, const ImgPiece *piece, guint8 *buffer, GError **error)
{
  guint64 part;
  memset (buffer, 0, IMG_COPY_CHUNK);
  for (guint64 at = 0; at < piece->length; at += part)
    {
      part = MIN (piece->length - at, IMG_COPY_CHUNK);
      if (!img_disk_write (job->target, piece->offset + at, buffer, (gsize)part, error))
        return FALSE;
    }
  return TRUE;
}

/* ---- without reading ---- */

/* Whether a failure to share these blocks says something about the files, and not about them. */
static gboolean
is_shareable (const ImgPiece *piece, ImgFile *file, guint64 source_host, guint64 target_host)
{
  return source_host % CLONE_UNIT == 0 && target_host % CLONE_UNIT == 0
         && (piece->length % CLONE_UNIT == 0
             || source_host + piece->length == img_file_size (file));
}

typedef gboolean (*HostCopy) (ImgFile *source, guint64 source_offset, ImgFile *target,
                              guint64 target_offset, guint64 length, GError **error);

/* Let the kernel do it by @copy, if it can: *@is_done. */
static gboolean
copy_on_host (ImgCopyJob *job, const ImgPiece *piece, HostCopy copy, gint *shortcut,
              gboolean *is_done, GError **error)
{
  g_autoptr (GError) failure = NULL;
  guint64 length = piece->length, source_host, target_host;
  ImgFile *source_file, *target_file;

  *is_done = FALSE;
  if (g_atomic_int_get (shortcut) == IMG_SHORTCUT_NONE
      || !img_disk_map_host (job->source, piece->offset, &length, &source_file, &source_host)
      || !img_disk_map_host (job->target, piece->offset, &length, &target_file, &target_host)
      || length < piece->length)
    return TRUE;
  if (copy (source_file, source_host, target_file, target_host, length, &failure))
    {
      g_atomic_int_set (shortcut, IMG_SHORTCUT_WORKS);
      *is_done = TRUE;
      return TRUE;
    }
  if (g_error_matches (failure, IMG_ERROR, IMG_ERROR_UNSUPPORTED))
    {
      if (copy != img_file_clone || is_shareable (piece, source_file, source_host, target_host))
        g_atomic_int_set (shortcut, IMG_SHORTCUT_NONE);
      return TRUE;
    }
  g_propagate_error (error, g_steal_pointer (&failure));
  return FALSE;
}

gboolean
img_piece_throw_unshared (const ImgPiece *piece, GError **error)
{
  return img_throw (error, IMG_ERROR_UNSUPPORTED,
                    "cannot share %" G_GUINT64_FORMAT " bytes at offset %" G_GUINT64_FORMAT
                    " between source and target: their file system cannot do it, or they are "
                    "on two of them; --reflink=auto copies then",
                    piece->length, piece->offset);
}

/* Copy @piece inside the kernel, if allowed and possible. */
static gboolean
copy_without_reading (ImgCopyJob *job, const ImgPiece *piece, ImgTally *tally, gboolean *is_done,
                      GError **error)
{
  *is_done = FALSE;
  if (piece->is_loaded)
    return TRUE;
  if (!copy_on_host (job, piece, img_file_clone, &job->clone, is_done, error))
    return FALSE;
  if (*is_done)
    {
      tally->cloned += piece->length;
      return TRUE;
    }
  if (job->params->reflink == IMG_REFLINK_ALWAYS)
    return img_piece_throw_unshared (piece, error);
  if (job->needs_data)
    return TRUE;
  if (!copy_on_host (job, piece, img_file_copy_range, &job->copy_range, is_done, error))
    return FALSE;
  if (*is_done)
    tally->copied += piece->length;
  return TRUE;
}

/* ---- a piece ---- */

static gboolean
copy_zeros (ImgCopyJob *job, const ImgPiece *piece, guint8 *buffer, GError **error)
{
  if (job->is_ordered)
    {
      if (!img_piece_await_turn (job, piece))
        return FALSE;
      for (guint i = 0; i < job->digests->len; i++)
        img_digest_add_zeros (job->digests->pdata[i], piece->length);
    }
  if (job->params->sparse_size == 0 && !job->target->is_sequential)
    {
      if (!write_zeros (job, piece, buffer, error))
        return FALSE;
    }
  else if (!job->target->reads_as_zeros
           && !img_disk_zero (job->target, piece->offset, piece->length, IMG_ZERO_MAY_UNMAP, error))
    return FALSE;
  if (job->is_ordered)
    img_piece_end_turn (job);
  return TRUE;
}

/* What must see the bytes in their order: the digests and a sequential target. */
static gboolean
take_turn (ImgCopyJob *job, const ImgPiece *piece, const guint8 *buffer, gsize length,
           ImgTally *tally, GError **error)
{
  if (!img_piece_await_turn (job, piece))
    return FALSE;
  for (guint i = 0; i < job->digests->len; i++)
    img_digest_add (job->digests->pdata[i], buffer, length);
  if (job->target->is_sequential && !write_part (job, piece->offset, buffer, length, tally, error))
    return FALSE;
  img_piece_end_turn (job);
  return TRUE;
}

static gboolean
copy_data (ImgCopyJob *job, const ImgPiece *piece, guint8 *buffer, ImgTally *tally, GError **error)
{
  gboolean is_done;
  gsize part;

  if (!copy_without_reading (job, piece, tally, &is_done, error))
    return FALSE;
  if (is_done && !job->needs_data)
    return TRUE;
  /* One part only, where order matters or the bytes are needed: img_copy() cuts pieces so. */
  for (guint64 at = 0; at < piece->length; at += part)
    {
      part = (gsize)MIN (piece->length - at, IMG_COPY_CHUNK);
      if (!piece->is_loaded && !img_piece_read (job, piece, at, part, buffer, error))
        return FALSE;
      if (job->checks != NULL)
        img_check_add (job->checks, &job->mutex, piece->offset + at, buffer, part);
      if (job->is_ordered && !take_turn (job, piece, buffer, part, tally, error))
        return FALSE;
      if (!is_done && !job->target->is_sequential
          && !write_part (job, piece->offset + at, buffer, part, tally, error))
        return FALSE;
    }
  return TRUE;
}

gboolean
img_piece_copy (ImgCopyHand *hand, const ImgPiece *piece, GError **error)
{
  ImgCopyJob *job = hand->job;
  ImgTally tally = { 0 };

  if (hand->parcel != NULL)
    {
      if (!img_parcel_copy (hand, piece, &tally, error))
        return FALSE;
    }
  else if (piece->is_zero)
    {
      if (!copy_zeros (job, piece, hand->buffer, error))
        return FALSE;
      tally.zero = piece->length;
    }
  else if (!copy_data (job, piece, hand->buffer, &tally, error))
    return FALSE;
  account (job, piece, &tally);
  return TRUE;
}
