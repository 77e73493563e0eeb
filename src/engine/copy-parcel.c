/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What becomes of one piece where the target finds a place for it: shared, or read, packed, placed
 * in its turn, and put there. */
#include "base/error.h"
#include "base/size.h"
#include "engine/copy-job.h"
#include "file/clone.h"

/* ---- which piece ---- */

/* Whether both disks have the same bytes of the same file at job->offset; for *@length bytes. */
static gboolean
is_same_place (ImgCopyJob *job, guint64 *length)
{
  ImgDisk *behind = job->target->backing_disk;
  ImgMapping here, there;

  if (job->offset >= behind->size || !img_disk_map (job->source, job->offset, *length, &here, NULL)
      || !img_disk_map (behind, job->offset, MIN (here.length, behind->size - job->offset), &there,
                        NULL))
    return FALSE;
  *length = there.length;
  return here.kind == IMG_MAPPING_DATA && there.kind == IMG_MAPPING_DATA && !here.is_compressed
         && !there.is_compressed && here.file != NULL && there.file != NULL
         && img_file_fd (here.file) == img_file_fd (there.file)
         && here.host_offset == there.host_offset;
}

/* Whether the disk behind the target reads as zeros at job->offset; *@length is cut off where that
 * changes. */
static gboolean
is_zero_behind (ImgCopyJob *job, guint64 *length, gboolean *is_zero, GError **error)
{
  ImgDisk *behind = job->target->backing_disk;
  ImgExtent extent;

  *is_zero = job->offset >= behind->size;
  if (*is_zero)
    return TRUE;
  if (!img_disk_extent (behind, job->offset, MIN (*length, behind->size - job->offset), &extent,
                        error))
    return FALSE;
  *is_zero = extent.kind == IMG_EXTENT_ZERO;
  *length = extent.length;
  return TRUE;
}

/* The part of @piece that need not be in the target, since it is as in the disk behind. */
static gboolean
find_same (ImgCopyJob *job, ImgPiece *piece, GError **error)
{
  guint64 length = piece->length;
  gboolean is_same;

  if (piece->is_zero)
    {
      if (!is_zero_behind (job, &length, &is_same, error))
        return FALSE;
    }
  else
    is_same = !job->needs_data && is_same_place (job, &length);
  length -= length < job->source->size - job->offset ? length % job->unit : 0;
  if (length == 0 || (!is_same && !piece->is_zero))
    return TRUE;
  piece->is_same = is_same;
  piece->length = length;
  return TRUE;
}

/* Whether a range of zeros that ends with the source may end inside a unit: nothing is behind it.
 */
static gboolean
may_end_anywhere (const ImgCopyJob *job)
{
  const ImgDisk *previous = job->target->previous;
  return previous == NULL || previous->size <= job->source->size;
}

gboolean
img_parcel_fit (ImgCopyJob *job, ImgPiece *piece, GError **error)
{
  guint64 left = job->source->size - job->offset;

  if (job->params->sparse_size == 0)
    piece->is_zero = FALSE;
  if (piece->is_zero && (piece->length < left || !may_end_anywhere (job)))
    piece->length -= piece->length % job->unit;
  if (piece->length == 0) /* a few zeros, and then something else */
    {
      piece->is_zero = FALSE;
      piece->length = 1;
    }
  if (!piece->is_zero)
    piece->length = MIN (img_size_round_up (piece->length, job->unit), left);
  return job->target->backing_disk == NULL || job->params->sparse_size == 0
         || find_same (job, piece, error);
}

gboolean
img_parcel_try_to_share (ImgCopyJob *job, ImgFile *file, guint64 host_offset, GError **error)
{
  g_autoptr (GError) failure = NULL;

  if (g_atomic_int_get (&job->clone) != IMG_SHORTCUT_UNTRIED)
    return TRUE;
  if (img_disk_try_to_share (job->target, file, host_offset, &failure))
    {
      g_atomic_int_set (&job->clone, IMG_SHORTCUT_WORKS);
      return TRUE;
    }
  g_atomic_int_set (&job->clone, IMG_SHORTCUT_NONE);
  if (g_error_matches (failure, IMG_ERROR, IMG_ERROR_UNSUPPORTED))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&failure));
  return FALSE;
}

/* ---- in turn ---- */

static void
feed_digests (ImgCopyJob *job, const ImgPiece *piece, const guint8 *bytes)
{
  for (guint i = 0; i < job->digests->len; i++)
    if (piece->is_zero)
      img_digest_add_zeros (job->digests->pdata[i], piece->length);
    else
      img_digest_add (job->digests->pdata[i], bytes, (gsize)piece->length);
}

static gboolean
copy_range (ImgCopyJob *job, const ImgPiece *piece, GError **error)
{
  if (!img_piece_await_turn (job, piece))
    return FALSE;
  feed_digests (job, piece, NULL);
  if (!img_disk_place_range (job->target, piece->offset, piece->length,
                             piece->is_same ? IMG_PLACE_SAME : IMG_PLACE_ZERO, error))
    return FALSE;
  img_piece_end_turn (job);
  return TRUE;
}

/* ---- sharing ---- */

/* Read @piece and write it where its place is, after all. */
static gboolean
copy_to_place (ImgCopyHand *hand, const ImgPiece *piece, ImgFile *file, guint64 host_offset,
               ImgTally *tally, GError **error)
{
  gsize part;
  for (guint64 at = 0; at < piece->length; at += part)
    {
      part = (gsize)MIN (piece->length - at, hand->job->chunk);
      if (!img_piece_read (hand->job, piece, at, part, hand->buffer, error)
          || !img_file_write (file, host_offset + at, hand->buffer, part, error))
        return FALSE;
    }
  tally->copied += piece->length;
  return TRUE;
}

/* Let the kernel do it, if what @piece is lies together in a file: *@is_done. Where the bytes are
 * needed, they are in the buffer. */
static gboolean
share (ImgCopyHand *hand, const ImgPiece *piece, ImgTally *tally, gboolean *is_done, GError **error)
{
  g_autoptr (GError) failure = NULL;
  ImgCopyJob *job = hand->job;
  guint64 length = piece->length, source_host, target_host;
  ImgFile *source_file, *target_file;

  *is_done = g_atomic_int_get (&job->clone) == IMG_SHORTCUT_WORKS && !piece->is_loaded
             && img_disk_map_host (job->source, piece->offset, &length, &source_file, &source_host)
             && length == piece->length;
  if (!*is_done)
    return TRUE;
  if (!img_piece_await_turn (job, piece))
    return FALSE;
  feed_digests (job, piece, hand->buffer);
  if (!img_disk_place_host (job->target, piece->offset, piece->length, &target_file, &target_host,
                            error))
    return FALSE;
  img_piece_end_turn (job);
  if (img_file_clone (source_file, source_host, target_file, target_host, length, &failure))
    {
      tally->cloned += length;
      return TRUE;
    }
  if (!g_error_matches (failure, IMG_ERROR, IMG_ERROR_UNSUPPORTED))
    {
      g_propagate_error (error, g_steal_pointer (&failure));
      return FALSE;
    }
  return job->params->reflink == IMG_REFLINK_ALWAYS
             ? img_piece_throw_unshared (piece, error)
             : copy_to_place (hand, piece, target_file, target_host, tally, error);
}

/* ---- a piece ---- */

static gboolean
copy_data (ImgCopyHand *hand, const ImgPiece *piece, ImgTally *tally, GError **error)
{
  ImgCopyJob *job = hand->job;
  gsize length = (gsize)piece->length;
  guint64 zeros;

  if (!img_parcel_pack (job->target, hand->parcel, piece->offset, hand->buffer, length,
                        piece->is_loaded ? NULL : job->source, &zeros, error)
      || !img_piece_await_turn (job, piece))
    return FALSE;
  feed_digests (job, piece, hand->buffer);
  if (!img_parcel_place (job->target, hand->parcel, error))
    return FALSE;
  img_piece_end_turn (job);
  tally->zero += zeros;
  tally->copied += length - zeros;
  return img_parcel_put (job->target, hand->parcel, error);
}

gboolean
img_parcel_copy (ImgCopyHand *hand, const ImgPiece *piece, ImgTally *tally, GError **error)
{
  ImgCopyJob *job = hand->job;
  gboolean is_shared;

  if (piece->is_zero || piece->is_same)
    {
      tally->zero += piece->is_zero ? piece->length : 0;
      tally->same += piece->is_zero ? 0 : piece->length;
      return copy_range (job, piece, error);
    }
  if (job->needs_data && !piece->is_loaded
      && !img_piece_read (job, piece, 0, (gsize)piece->length, hand->buffer, error))
    return FALSE;
  if (job->checks != NULL)
    img_check_add (job->checks, &job->mutex, piece->offset, hand->buffer, (gsize)piece->length);
  if (!share (hand, piece, tally, &is_shared, error))
    return FALSE;
  if (is_shared)
    return TRUE;
  if (piece->length > job->chunk) /* it lay together in a file a moment ago */
    return img_throw (error, IMG_ERROR_FAILED,
                      "the source was changed while it was read, at offset %" G_GUINT64_FORMAT,
                      piece->offset);
  if (job->params->reflink == IMG_REFLINK_ALWAYS)
    return img_piece_throw_unshared (piece, error);
  if (!job->needs_data && !piece->is_loaded
      && !img_piece_read (job, piece, 0, (gsize)piece->length, hand->buffer, error))
    return FALSE;
  return copy_data (hand, piece, tally, error);
}
