/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/copy.h"

#include <string.h>

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
  if (!img_disk_read (piece->source, piece->source_offset, buffer, IMG_COPY_CHUNK, &got, error))
    return FALSE;
  piece->length = got;
  piece->is_loaded = TRUE;
  if (got < IMG_COPY_CHUNK)
    piece->source->size = job->source_offset + got; /* it has ended */
  return TRUE;
}

/* The next bytes of a file. */
static gboolean
take_from_file (ImgCopyJob *job, ImgPiece *piece, GError **error)
{
  ImgExtent *extent = &job->extent;
  gboolean may_skip_memory = g_atomic_int_get (&job->clone) != IMG_SHORTCUT_NONE
                             || g_atomic_int_get (&job->copy_range) != IMG_SHORTCUT_NONE;
  ImgFile *file;
  guint64 host_offset;
  /* What is read must fit into a buffer. */
  gboolean is_short = job->needs_data || job->is_ordered || job->params->rate > 0
                      || (g_atomic_int_get (&job->clone) != IMG_SHORTCUT_WORKS
                          && g_atomic_int_get (&job->copy_range) != IMG_SHORTCUT_WORKS);

  if (extent->length == 0
      && !img_disk_extent (piece->source, job->source_offset,
                           piece->source->size - job->source_offset, extent, error))
    return FALSE;
  g_assert (extent->length > 0 && extent->guest_offset == job->source_offset);
  piece->is_zero = extent->kind == IMG_EXTENT_ZERO;
  piece->length = MIN (extent->length, LONGEST_PIECE);
  /* Only what lies together in a file can be copied there in one go. */
  if (!piece->is_zero && may_skip_memory)
    is_short |= !img_disk_map_host (piece->source, job->source_offset, &piece->length, &file,
                                    &host_offset);
  if (!piece->is_zero && is_short)
    piece->length = MIN (piece->length, IMG_COPY_CHUNK - piece->offset % IMG_COPY_CHUNK);
  extent->guest_offset += piece->length;
  extent->length -= piece->length;
  return TRUE;
}

/* Move on to the next source that has something left; FALSE at the end of the last. */
static gboolean
find_source (ImgCopyJob *job)
{
  while (job->source_index < job->n_sources
         && job->source_offset == job->sources[job->source_index]->size)
    {
      job->source_index++;
      job->source_offset = 0;
      job->extent.length = 0;
    }
  return job->source_index < job->n_sources;
}

static gboolean
take_next (ImgCopyJob *job, ImgPiece *piece, guint8 *buffer, GError **error)
{
  while (find_source (job))
    {
      memset (piece, 0, sizeof *piece); /* also of what an empty stream has left */
      piece->source = job->sources[job->source_index];
      piece->source_offset = job->source_offset;
      piece->offset = job->offset;
      if (!(piece->source->is_sequential ? take_from_stream (job, piece, buffer, error)
                                         : take_from_file (job, piece, error)))
        return FALSE;
      if (piece->length == 0)
        continue;
      piece->number = job->n_pieces++;
      job->source_offset += piece->length;
      job->offset += piece->length;
      return TRUE;
    }
  return FALSE;
}

/* How long to sleep before @piece may be copied, with a limited rate. */
static gint64
delay (ImgCopyJob *job, const ImgPiece *piece)
{
  gint64 now = g_get_monotonic_time ();
  if (job->params->rate == 0 || piece->is_zero)
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
  g_cond_broadcast (&job->turn_changed);
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
  if (sleep > 0)
    g_usleep ((gulong)sleep);
  return is_taken;
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
work (gpointer data, void *buffer)
{
  ImgCopyJob *job = data;
  ImgPiece piece;

  while (take (job, &piece, buffer))
    {
      GError *failure = NULL;
      if (!img_piece_copy (job, &piece, buffer, &failure))
        {
          if (failure != NULL)
            fail (job, failure);
          return;
        }
      if (job->is_alone)
        show (job, FALSE);
    }
}

static gboolean
run (ImgCopyJob *job, GError **error)
{
  guint n = job->params->workers > 0 ? job->params->workers : img_workers_default ();
  ImgWorkers workers = {
    .n_wanted = MIN (n, IMG_MAX_WORKERS), .buffer_size = IMG_COPY_CHUNK, .work = work, .tick = tick
  };
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
decide_shortcuts (ImgCopyJob *job)
{
  const ImgCopyParams *params = job->params;
  gboolean is_free = !job->target->is_sequential && params->sparse_size > 0;

  job->clone
      = is_free && params->reflink != IMG_REFLINK_NEVER ? IMG_SHORTCUT_UNTRIED : IMG_SHORTCUT_NONE;
  for (guint i = 0; i < job->n_sources && is_free && !params->salvage; i++)
    if (job->sources[i]->file != NULL && job->target->file != NULL)
      if (params->copy_range || img_file_copies_remotely (job->sources[i]->file, job->target->file))
        job->copy_range = IMG_SHORTCUT_UNTRIED;
}

/* A new file that shares everything with the only source: one call, and holes stay holes. */
static gboolean
clone_whole (ImgCopyJob *job, gboolean *is_done, GError **error)
{
  g_autoptr (GError) failure = NULL;
  ImgDisk *source = job->sources[0], *target = job->target;
  guint64 length = source->size, source_host, target_host;
  ImgFile *source_file, *target_file;

  *is_done = FALSE;
  if (job->clone == IMG_SHORTCUT_NONE || job->needs_data || job->n_sources > 1
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

static guint64
sum_sizes (ImgDisk *const *sources, guint n_sources)
{
  guint64 total = 0;
  for (guint i = 0; i < n_sources; i++)
    {
      if (sources[i]->size == IMG_DISK_SIZE_UNKNOWN)
        return IMG_DISK_SIZE_UNKNOWN;
      total += sources[i]->size;
    }
  return total;
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

static gboolean
verify (ImgCopyJob *job, GError **error)
{
  job->state.phase = IMG_PHASE_FLUSH;
  show (job, TRUE);
  return img_file_flush (job->target->file, error)
         && img_verify (job->target, job->checks, job->offset, &job->params->progress, &job->state,
                        error);
}

static gboolean
copy (ImgCopyJob *job, ImgCopyResult *result, GError **error)
{
  gboolean is_done;

  job->state.phase = IMG_PHASE_COPY;
  job->state.total = sum_sizes (job->sources, job->n_sources);
  show (job, TRUE);
  decide_shortcuts (job);
  if (!clone_whole (job, &is_done, error) || (!is_done && !run (job, error))
      || !img_disk_finish (job->target, job->offset, error))
    return FALSE;
  show (job, TRUE);
  result->size = job->offset;
  result->copied = job->state.copied;
  result->zero = job->state.zero;
  result->cloned = job->state.cloned;
  result->unreadable = join_ranges (job->unreadable);
  result->digests = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; i < job->digests->len; i++)
    g_ptr_array_add (result->digests,
                     img_digest_finish (g_steal_pointer (&job->digests->pdata[i])));
  return job->checks == NULL || verify (job, error);
}

gboolean
img_copy (ImgDisk *const *sources, guint n_sources, ImgDisk *target, const ImgCopyParams *params,
          ImgCopyResult *result, GError **error)
{
  ImgCopyJob job
      = { .sources = sources, .n_sources = n_sources, .target = target, .params = params };

  job.digests = g_ptr_array_new ();
  for (guint i = 0; params->digests != NULL && params->digests[i] != NULL; i++)
    g_ptr_array_add (job.digests, img_digest_new (params->digests[i]));
  job.unreadable = g_array_new (FALSE, FALSE, sizeof (ImgRange));
  job.checks = params->verify ? g_array_new (FALSE, FALSE, sizeof (ImgCheck)) : NULL;
  job.is_ordered = job.digests->len > 0 || target->is_sequential;
  job.needs_data = job.digests->len > 0 || params->verify;
  g_mutex_init (&job.taking);
  g_mutex_init (&job.mutex);
  g_cond_init (&job.turn_changed);

  gboolean is_good = copy (&job, result, error);

  for (guint i = 0; i < job.digests->len; i++)
    g_clear_pointer (&job.digests->pdata[i], img_digest_free);
  g_ptr_array_unref (job.digests);
  g_array_unref (job.unreadable);
  g_clear_pointer (&job.checks, g_array_unref);
  g_clear_error (&job.error);
  g_mutex_clear (&job.taking);
  g_mutex_clear (&job.mutex);
  g_cond_clear (&job.turn_changed);
  return is_good;
}
