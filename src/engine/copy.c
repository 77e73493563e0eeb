/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/copy.h"

#include <string.h>

#include "disk/format.h"
#include "engine/copy-job.h"
#include "engine/workers.h"
#include "file/clone.h"

/* Pieces that need no memory are longer, but not so long that nobody can follow the progress. */
#define LONGEST_PIECE (G_GUINT64_CONSTANT (1) << 30)

#define SHOW_EVERY (100 * G_TIME_SPAN_MILLISECOND)

void
img_copy_result_clear (ImgCopyResult *result)
{
  g_clear_pointer (&result->unreadable, g_array_unref);
  g_clear_pointer (&result->digests, g_ptr_array_unref);
}

/* ---- handing out pieces, one worker at a time ---- */

/* The next bytes of a stream, into the worker's @buffer. */
static gboolean
take_from_stream (ImgCopyJob *job, ImgPiece *piece, guint8 *buffer, GError **error)
{
  gsize got;
  if (!img_disk_read (job->source, job->offset, buffer, (gsize)job->chunk, &got, error))
    return FALSE;
  /* That it is too long is seen only now. */
  if (job->target->keeps_size && job->offset + got > job->target->size)
    return img_throw (error, IMG_ERROR_FAILED,
                      "output file is smaller than input file: its disk has %" G_GUINT64_FORMAT
                      " bytes",
                      job->target->size);
  piece->length = got;
  piece->is_loaded = TRUE;
  if (got < job->chunk)
    job->source->size = job->offset + got; /* it has ended */
  return TRUE;
}

/* Whole units of the target, but for the end of the source. */
static guint64
in_units (const ImgCopyJob *job, guint64 length)
{
  return length < job->source->size - job->offset ? length - length % job->unit : length;
}

/* A piece may be long if it need not pass through memory: whether this one, which is data, may; it
 * ends where what lies together in a file does. */
static gboolean
limit_to_file (ImgCopyJob *job, ImgPiece *piece, gboolean *is_long, GError **error)
{
  guint64 length = piece->length, host_offset;
  ImgFile *file;

  *is_long = FALSE;
  if ((g_atomic_int_get (&job->clone) == IMG_SHORTCUT_NONE
       && g_atomic_int_get (&job->copy_range) == IMG_SHORTCUT_NONE)
      || !img_disk_map_host (job->source, job->offset, &length, &file, &host_offset)
      || in_units (job, length) == 0)
    return TRUE;
  if (img_disk_takes_parcels (job->target)
      && !img_parcel_try_to_share (job, file, host_offset, error))
    return FALSE;
  piece->length = in_units (job, length);
  *is_long = !job->needs_data && !job->is_ordered && job->params->rate == 0
             && (g_atomic_int_get (&job->clone) == IMG_SHORTCUT_WORKS
                 || g_atomic_int_get (&job->copy_range) == IMG_SHORTCUT_WORKS);
  return TRUE;
}

/* The next bytes of a file. */
static gboolean
take_from_file (ImgCopyJob *job, ImgPiece *piece, GError **error)
{
  ImgExtent *extent = &job->extent;
  guint64 left = job->source->size - job->offset;
  gboolean is_long = TRUE;

  if (extent->length == 0 && !img_disk_extent (job->source, job->offset, left, extent, error))
    return FALSE;
  g_assert (extent->length > 0 && extent->guest_offset == job->offset);
  piece->is_zero = extent->kind == IMG_EXTENT_ZERO;
  piece->length = MIN (extent->length, LONGEST_PIECE);
  if (img_disk_takes_parcels (job->target) && !img_parcel_fit (job, piece, error))
    return FALSE;
  if (!piece->is_zero && !piece->is_same && !limit_to_file (job, piece, &is_long, error))
    return FALSE;
  if (!is_long)
    piece->length = MIN (piece->length, job->chunk - piece->offset % job->chunk);
  extent->guest_offset += piece->length;
  extent->length -= MIN (piece->length, extent->length);
  return TRUE;
}

static gboolean
take_next (ImgCopyJob *job, ImgPiece *piece, guint8 *buffer, GError **error)
{
  memset (piece, 0, sizeof *piece);
  piece->offset = job->offset;
  if (job->offset == job->source->size
      || !(job->source->is_sequential ? take_from_stream (job, piece, buffer, error)
                                      : take_from_file (job, piece, error))
      || piece->length == 0)
    return FALSE;
  piece->number = job->n_pieces++;
  job->offset += piece->length;
  return TRUE;
}

/* How long to sleep before @piece may be copied, with a limited rate. */
static gint64
delay (ImgCopyJob *job, const ImgPiece *piece)
{
  gint64 now = g_get_monotonic_time ();
  if (job->params->rate == 0 || piece->is_zero || piece->is_same)
    return 0;
  gint64 begin = MAX (job->rate_time, now);
  job->rate_time
      = begin + (gint64)((double)piece->length / (double)job->params->rate * G_TIME_SPAN_SECOND);
  return begin - now;
}

static void
fail (ImgCopyJob *job, GError *failure)
{
  g_mutex_lock (&job->mutex);
  if (job->error == NULL)
    job->error = failure;
  else
    g_error_free (failure);
  g_cond_broadcast (&job->has_failed);
  for (guint i = 0; i < IMG_MAX_WORKERS; i++)
    g_cond_signal (&job->turns[i]);
  g_mutex_unlock (&job->mutex);
}

static gboolean
has_failed (ImgCopyJob *job)
{
  g_mutex_lock (&job->mutex);
  gboolean has_error = job->error != NULL;
  g_mutex_unlock (&job->mutex);
  return has_error;
}

/* Sleep for so many microseconds; FALSE if somebody has failed meanwhile, at once. */
static gboolean
rest (ImgCopyJob *job, gint64 sleep)
{
  gint64 end = g_get_monotonic_time () + sleep;

  g_mutex_lock (&job->mutex);
  while (job->error == NULL && g_cond_wait_until (&job->has_failed, &job->mutex, end))
    continue;
  gboolean goes_on = job->error == NULL;
  g_mutex_unlock (&job->mutex);
  return goes_on;
}

/* The next piece; FALSE if there is none, or somebody has failed. */
static gboolean
take (ImgCopyJob *job, ImgPiece *piece, guint8 *buffer)
{
  GError *failure = NULL;
  g_mutex_lock (&job->taking);
  gboolean is_taken = !has_failed (job) && take_next (job, piece, buffer, &failure);
  gint64 sleep = is_taken ? delay (job, piece) : 0;
  g_mutex_unlock (&job->taking);
  if (failure != NULL)
    fail (job, failure);
  return is_taken && (sleep <= 0 || rest (job, sleep));
}

/* ---- the work ---- */

static void
show (ImgCopyJob *job, gboolean is_urgent)
{
  gint64 now = g_get_monotonic_time ();
  if (job->params->progress.show == NULL || (!is_urgent && now - job->shown < SHOW_EVERY))
    return;
  job->shown = now;
  g_mutex_lock (&job->mutex);
  ImgProgressState state = job->state;
  g_mutex_unlock (&job->mutex);
  job->params->progress.show (&state, job->params->progress.closure);
}

static void
tick (gpointer data)
{
  show (data, FALSE);
}

static void
work_with (ImgCopyHand *hand)
{
  ImgCopyJob *job = hand->job;
  ImgPiece piece;

  while (take (job, &piece, hand->buffer))
    {
      GError *failure = NULL;
      if (!img_piece_copy (hand, &piece, &failure))
        {
          if (failure != NULL)
            fail (job, failure);
          return;
        }
      if (job->is_alone)
        show (job, FALSE);
    }
}

static void
work (gpointer data, void *buffer)
{
  ImgCopyHand hand = { .job = data, .buffer = buffer };
  ImgDisk *target = hand.job->target;
  GError *failure = NULL;

  if (img_disk_takes_parcels (target))
    {
      hand.parcel = img_parcel_new (target, &failure);
      if (hand.parcel == NULL)
        {
          fail (hand.job, failure);
          return;
        }
    }
  work_with (&hand);
  if (hand.parcel != NULL)
    img_parcel_free (target, hand.parcel);
}

static gboolean
run (ImgCopyJob *job, GError **error)
{
  guint n = job->params->workers > 0 ? job->params->workers : img_workers_default ();
  ImgWorkers workers = { .n_wanted = MIN (n, IMG_MAX_WORKERS),
                         .buffer_size = (gsize)job->chunk,
                         .work = work,
                         .tick = tick };
  job->is_alone = workers.n_wanted == 1;
  if (!img_workers_run (&workers, job, error))
    return FALSE;
  if (job->error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&job->error));
      return FALSE;
    }
  return TRUE;
}

/* ---- before the work ---- */

static void
decide_shortcuts (ImgCopyJob *job, ImgDisk *const *sources, guint n_sources)
{
  const ImgCopyParams *params = job->params;
  gboolean is_free = !job->target->is_sequential && params->sparse_size > 0;

  job->clone
      = is_free && params->reflink != IMG_REFLINK_NEVER ? IMG_SHORTCUT_UNTRIED : IMG_SHORTCUT_NONE;
  is_free = is_free && !params->salvage && !img_disk_takes_parcels (job->target);
  for (guint i = 0; i < n_sources && is_free; i++)
    if (sources[i]->file != NULL && job->target->file != NULL)
      if (params->copy_range || img_file_copies_remotely (sources[i]->file, job->target->file))
        job->copy_range = IMG_SHORTCUT_UNTRIED;
}

/* A new file that shares everything with the source: one call, and holes stay holes. */
static gboolean
clone_whole (ImgCopyJob *job, gboolean *is_done, GError **error)
{
  g_autoptr (GError) failure = NULL;
  ImgDisk *source = job->source, *target = job->target;
  guint64 length = source->size, source_host, target_host;
  ImgFile *source_file, *target_file;

  *is_done = FALSE;
  if (job->clone == IMG_SHORTCUT_NONE || job->needs_data || img_disk_takes_parcels (target)
      || source->is_sequential || !target->reads_as_zeros || length == 0
      || !img_disk_map_host (source, 0, &length, &source_file, &source_host)
      || !img_disk_map_host (target, 0, &length, &target_file, &target_host)
      || length < source->size || source_host != 0 || target_host != 0)
    return TRUE;
  if (img_file_clone (source_file, 0, target_file, 0, length, &failure))
    {
      job->state.cloned = job->state.done = job->offset = length;
      job->state.has_data = TRUE; /* nobody has looked */
      *is_done = TRUE;
      return TRUE;
    }
  if (g_error_matches (failure, IMG_ERROR, IMG_ERROR_UNSUPPORTED))
    return TRUE; /* extent by extent may work */
  g_propagate_error (error, g_steal_pointer (&failure));
  return FALSE;
}

/* ---- the whole ---- */

static gint
compare_ranges (gconstpointer a, gconstpointer b)
{
  guint64 first = ((const ImgRange *)a)->guest_offset, second = ((const ImgRange *)b)->guest_offset;
  return first < second ? -1 : first > second;
}

/* In order, and neighbours joined. */
static GArray *
join_ranges (GArray *ranges)
{
  GArray *joined = g_array_new (FALSE, FALSE, sizeof (ImgRange));
  g_array_sort (ranges, compare_ranges);
  for (guint i = 0; i < ranges->len; i++)
    {
      const ImgRange *range = &g_array_index (ranges, ImgRange, i);
      ImgRange *last = joined->len == 0 ? NULL : &g_array_index (joined, ImgRange, joined->len - 1);
      if (last != NULL && last->guest_offset + last->length == range->guest_offset)
        last->length += range->length;
      else
        g_array_append_val (joined, *range);
    }
  return joined;
}

/* Read what was written, as whoever opens it next. */
static gboolean
verify_disk (ImgCopyJob *job, ImgDisk *disk, GError **error)
{
  return img_verify (disk, job->checks, job->offset, (gsize)job->chunk, &job->params->progress,
                     &job->state, error);
}

/* The same, of an image that was only to be written to. */
static gboolean
verify_image (ImgCopyJob *job, GError **error)
{
  ImgDisk *target = job->target;
  g_autoptr (ImgDisk) disk = img_disk_open (target->file, target->format->name, error);

  if (disk == NULL)
    return FALSE;
  disk->data = target->data;
  disk->backing_disk
      = target->previous != NULL ? target->previous->backing_disk : target->backing_disk;
  gboolean is_good = img_disk_begin (disk, error) && verify_disk (job, disk, error);
  disk->backing_disk = NULL; /* it is the target's, or its predecessor's */
  return is_good;
}

static gboolean
verify (ImgCopyJob *job, GError **error)
{
  job->state.phase = IMG_PHASE_FLUSH;
  show (job, TRUE);
  return img_disk_flush (job->target, error)
         && (img_disk_takes_parcels (job->target) ? verify_image (job, error)
                                                  : verify_disk (job, job->target, error));
}

static gboolean
copy (ImgCopyJob *job, ImgCopyResult *result, GError **error)
{
  gboolean is_done;

  job->state.phase = IMG_PHASE_COPY;
  job->state.total = job->source->size;
  show (job, TRUE);
  if (!clone_whole (job, &is_done, error) || (!is_done && !run (job, error))
      || !img_disk_finish (job->target, job->offset, error))
    return FALSE;
  show (job, TRUE);
  result->size = job->offset;
  result->copied = job->state.copied;
  result->zero = job->state.zero;
  result->cloned = job->state.cloned;
  result->same = job->state.same;
  result->unreadable = join_ranges (job->unreadable);
  result->digests = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; i < job->digests->len; i++)
    g_ptr_array_add (result->digests,
                     img_digest_finish (g_steal_pointer (&job->digests->pdata[i])));
  return job->checks == NULL || verify (job, error);
}

static void
job_init (ImgCopyJob *job)
{
  const ImgCopyParams *params = job->params;

  job->unit = MAX (job->target->unit, 1);
  job->chunk = MAX (IMG_COPY_CHUNK, job->unit);
  job->digests = g_ptr_array_new ();
  for (guint i = 0; params->digests != NULL && params->digests[i] != NULL; i++)
    g_ptr_array_add (job->digests, img_digest_new (params->digests[i]));
  job->unreadable = g_array_new (FALSE, FALSE, sizeof (ImgRange));
  job->checks = params->verify ? g_array_new (FALSE, FALSE, sizeof (ImgCheck)) : NULL;
  job->is_ordered = job->digests->len > 0 || job->target->is_sequential;
  job->needs_data = job->digests->len > 0 || params->verify;
  g_mutex_init (&job->taking);
  g_mutex_init (&job->mutex);
  g_cond_init (&job->has_failed);
  for (guint i = 0; i < IMG_MAX_WORKERS; i++)
    g_cond_init (&job->turns[i]);
}

static void
job_clear (ImgCopyJob *job)
{
  for (guint i = 0; i < job->digests->len; i++)
    g_clear_pointer (&job->digests->pdata[i], img_digest_free);
  g_ptr_array_unref (job->digests);
  g_array_unref (job->unreadable);
  g_clear_pointer (&job->checks, g_array_unref);
  g_clear_error (&job->error);
  g_mutex_clear (&job->taking);
  g_mutex_clear (&job->mutex);
  g_cond_clear (&job->has_failed);
  for (guint i = 0; i < IMG_MAX_WORKERS; i++)
    g_cond_clear (&job->turns[i]);
}

gboolean
img_copy (ImgDisk *const *sources, guint n_sources, ImgDisk *target, const ImgCopyParams *params,
          ImgCopyResult *result, GError **error)
{
  g_autoptr (ImgDisk) all = n_sources == 1 ? NULL : img_disk_open_concat (sources, n_sources);
  ImgCopyJob job = { .source = all != NULL ? all : sources[0], .target = target, .params = params };

  job_init (&job);
  decide_shortcuts (&job, sources, n_sources);
  gboolean is_good = copy (&job, result, error);
  job_clear (&job);
  return is_good;
}
