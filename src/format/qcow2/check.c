/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/buffer.h"
#include "format/qcow2/repair.h"

/* QEMU counts clusters in an int. */
#define MAX_CLUSTERS ((guint64)G_MAXINT32)
#define WINDOW_BYTES ((gsize)512 * 1024)

static const ImgFindingPlace nowhere = { .host_offset = G_MAXUINT64 };

void
qcow2_check_init (Qcow2Check *check, const ImgDisk *disk, const ImgCheckParams *params,
                  ImgCheckResult *result)
{
  const Qcow2 *q = disk->state;

  *check = (Qcow2Check){
    .disk = disk,
    .q = q,
    .params = params,
    .result = result,
    .file_size = img_file_size (q->file),
    .has_data_file = (q->incompatible & QCOW2_DATA_FILE) != 0,
    .has_subclusters = (q->incompatible & QCOW2_EXTENDED_L2) != 0,
    .block_entries = q->cluster_size * 8 >> q->refcount_order,
    .tables = g_array_new (FALSE, FALSE, sizeof (Qcow2TableRef)),
  };
  check->overlaps = g_array_new (FALSE, FALSE, sizeof (Qcow2Overlap));
  check->entry_bytes = check->has_subclusters ? 16 : 8;
  check->n_clusters = (check->file_size + q->cluster_size - 1) >> q->cluster_bits;
  check->n_whole = check->file_size >> check->q->cluster_bits;
  check->n_room = check->n_clusters + 1; /* what begins in the file may end in one more */
  check->window.size = MAX (WINDOW_BYTES, (gsize)q->cluster_size);
}

void
qcow2_check_clear (Qcow2Check *check)
{
  g_clear_pointer (&check->reftable, g_free);
  g_clear_pointer (&check->counts, qcow2_counts_free);
  g_clear_pointer (&check->single, qcow2_set_free);
  g_clear_pointer (&check->metadata, qcow2_set_free);
  g_clear_pointer (&check->tables, g_array_unref);
  g_clear_pointer (&check->overlaps, g_array_unref);
  g_clear_pointer (&check->snapshots, g_ptr_array_unref);
  g_clear_pointer (&check->window.bytes, g_free);
}

/* ---- reading ---- */

gboolean
qcow2_check_read (const Qcow2Check *check, guint64 offset, void *buffer, gsize length,
                  GError **error)
{
  guint64 there = offset < check->file_size ? check->file_size - offset : 0;
  gsize part = (gsize)MIN (length, there);

  memset ((guint8 *)buffer + part, 0, length - part);
  return part == 0 || img_file_read (check->q->file, offset, buffer, part, error);
}

const guint8 *
qcow2_check_get (Qcow2Check *check, guint64 offset, gsize length, guint64 wanted, GError **error)
{
  Qcow2Window *window = &check->window;

  if (window->bytes == NULL)
    window->bytes = img_buffer_alloc (window->size, img_file_path (check->q->file), error);
  if (window->bytes == NULL)
    return NULL;
  if (window->length == 0 || offset < window->offset
      || offset + length > window->offset + window->length)
    {
      window->offset = offset;
      window->length = (gsize)MIN (MAX (length, wanted), window->size);
      if (!qcow2_check_read (check, offset, window->bytes, window->length, error))
        {
          window->length = 0;
          return NULL;
        }
    }
  return window->bytes + (offset - window->offset);
}

void
qcow2_check_tell (Qcow2Check *check, guint64 more)
{
  check->done += more;
  if (check->params->progress != NULL)
    check->params->progress (check->done, MAX (check->done, check->total), check->params->closure);
}

/* ---- references ---- */

void
qcow2_check_refer (Qcow2Check *check, guint64 offset, guint64 length, guint64 times,
                   const ImgFindingPlace *place)
{
  const Qcow2 *q = check->q;

  if (length == 0)
    return;
  /* The last cluster need not be whole, so up to one may be missing; as with QEMU. */
  if (offset + length >= check->file_size + q->cluster_size)
    {
      check->n_dangling += times;
      check->n_lost++;
      check->is_uncounted = check->is_uncounted || offset < check->file_size;
      img_check_note (check->result, IMG_FINDING_PAST_END, times, place,
                      ": counting reference for region exceeding the end of the file by one "
                      "cluster or more: offset 0x%" G_GINT64_MODIFIER "x size 0x%" G_GINT64_MODIFIER
                      "x",
                      offset, length);
      return;
    }
  guint64 last = (offset + length - 1) >> q->cluster_bits;
  for (guint64 i = offset >> q->cluster_bits; i <= last; i++)
    {
      guint64 excess = qcow2_counts_add (check->counts, i, times);
      if (excess > 0)
        img_check_note (check->result, IMG_FINDING_OVERFLOW, excess, place,
                        ": overflow cluster offset=0x%" G_GINT64_MODIFIER "x",
                        i << q->cluster_bits);
    }
  check->n_clusters = MAX (check->n_clusters, last + 1);
}

void
qcow2_check_note_cut (Qcow2Check *check, const char *what, guint64 offset, guint64 length,
                      guint64 times, const ImgFindingPlace *place)
{
  ImgFindingPlace here = { .host_offset = offset };

  if (offset + length <= check->file_size
      || offset + length >= check->file_size + check->q->cluster_size)
    return;
  check->n_lost++;
  check->n_dangling += times; /* if the file grew, there would be zeros */
  img_check_note (check->result, IMG_FINDING_CUT_TABLE, times, place != NULL ? place : &here,
                  " the %s at offset %" G_GUINT64_FORMAT " ends at %" G_GUINT64_FORMAT
                  ", but the file ends at %" G_GUINT64_FORMAT ": the image is truncated",
                  what, offset, offset + length, check->file_size);
}

void
qcow2_check_note_cut_data (Qcow2Check *check, guint64 offset, guint64 length, guint64 times,
                           const ImgFindingPlace *place)
{
  guint64 end = offset + length;

  if (end <= check->file_size || end >= check->file_size + check->q->cluster_size)
    return;
  check->n_dangling += times; /* as above */
  img_check_note (check->result, IMG_FINDING_DATA, times, place,
                  ": content from offset %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT
                  " of the file, which ends at %" G_GUINT64_FORMAT,
                  offset, end, check->file_size);
}

void
qcow2_check_refer_metadata (Qcow2Check *check, const char *what, guint64 offset, guint64 length,
                            guint64 times, const ImgFindingPlace *place)
{
  const Qcow2 *q = check->q;
  ImgFindingPlace here = { .host_offset = offset };

  if (length == 0)
    return;
  qcow2_check_refer (check, offset, length, times, place != NULL ? place : &here);
  qcow2_check_note_cut (check, what, offset, length, times, place);
  guint64 end = MIN (((offset + length - 1) >> q->cluster_bits) + 1, check->n_room);
  for (guint64 i = offset >> q->cluster_bits; i < end; i++)
    qcow2_set_add (check->metadata, i);
}

/* ---- all of it ---- */

static gboolean
get_memory (Qcow2Check *check, GError **error)
{
  const Qcow2 *q = check->q;

  if (check->n_room > MAX_CLUSTERS)
    return img_throw (error, IMG_ERROR_FAILED,
                      "'%s': a file of %" G_GUINT64_FORMAT
                      " bytes has too many clusters of %" G_GUINT64_FORMAT " bytes to be checked",
                      q->safe_path, check->file_size, q->cluster_size);
  check->counts = qcow2_counts_new (q->refcount_order, check->n_room);
  check->single = qcow2_set_new (check->n_room);
  check->metadata = qcow2_set_new (check->n_room);
  if (check->counts != NULL && check->single != NULL && check->metadata != NULL)
    return TRUE;
  return img_throw (error, IMG_ERROR_FAILED, "'%s': there is not enough memory to check it",
                    q->safe_path);
}

static gboolean
had_memory (const Qcow2Check *check, GError **error)
{
  if (!check->counts->is_short_of_memory && !check->single->is_short_of_memory
      && !check->metadata->is_short_of_memory)
    return TRUE;
  return img_throw (error, IMG_ERROR_FAILED, "'%s': there is not enough memory to check it",
                    check->q->safe_path);
}

gboolean
qcow2_check_run (Qcow2Check *check, GError **error)
{
  const Qcow2 *q = check->q;

  check->result->total_clusters
      = (q->size >> q->cluster_bits) + ((q->size & (q->cluster_size - 1)) != 0 ? 1 : 0);
  if (!get_memory (check, error) || !qcow2_check_load_refcounts (check, error))
    return FALSE;
  qcow2_check_refer_metadata (check, "header", 0, MIN (q->cluster_size, check->file_size), 1, NULL);
  if (!qcow2_check_metadata (check, error))
    return FALSE;
  qcow2_check_refer_metadata (check, "refcount table", q->refcount_table_offset,
                              q->refcount_table_clusters * q->cluster_size, 1, NULL);
  if (!qcow2_check_l1_tables (check, error) || !qcow2_check_l2_tables (check, error))
    return FALSE;
  qcow2_check_refcount_blocks (check);
  if (check->has_data_file && q->n_snapshots > 0)
    img_check_note (check->result, IMG_FINDING_SNAPSHOT, 1, &nowhere,
                    " %u snapshots in image with data file", q->n_snapshots);
  return had_memory (check, error) && qcow2_check_compare (check, error)
         && qcow2_check_overlaps (check, error) && qcow2_check_locate (check, error);
}

/* With a data file no cluster of the image itself is data. If there is only the bit that says so,
 * it may be wrong and all data here: to call that leaked would be to lose it. */
static gboolean
has_its_data_file (const ImgDisk *disk, GError **error)
{
  const Qcow2 *q = disk->state;

  if ((q->incompatible & QCOW2_DATA_FILE) == 0 || disk->data_file.name != NULL)
    return TRUE;
  return img_throw (error, IMG_ERROR_FAILED,
                    "'%s': its content is in another file, and it does not say in which",
                    q->safe_path);
}

gboolean
qcow2_check (ImgDisk *disk, const ImgCheckParams *params, ImgCheckResult *result, GError **error)
{
  g_auto (Qcow2Check) check = { 0 };

  if (!has_its_data_file (disk, error))
    return FALSE;
  qcow2_check_init (&check, disk, params, result);
  return qcow2_check_run (&check, error) && (!params->with_data || qcow2_check_data (&check, error))
         && (params->plan == NULL
             || qcow2_repair_plan (&check, params->repair, params->plan, error));
}
