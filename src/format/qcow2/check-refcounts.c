/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The refcounts that are in the file. */
#include <string.h>

#include "base/bytes.h"
#include "format/qcow2/check.h"

static gboolean
read_reftable (Qcow2Check *check, GError **error)
{
  const Qcow2 *q = check->q;
  gsize bytes = q->refcount_table_clusters * (gsize)q->cluster_size; /* at most 8 MiB */

  check->n_reftable = bytes / 8;
  check->reftable = g_try_malloc (MAX (bytes, 8));
  if (check->reftable == NULL)
    return img_throw (error, IMG_ERROR_FAILED, "'%s': there is not enough memory to check it",
                      q->safe_path);
  if (!qcow2_check_read (check, q->refcount_table_offset, check->reftable, bytes, error))
    return FALSE;
  for (guint64 i = 0; i < check->n_reftable; i++)
    check->reftable[i] = GUINT64_FROM_BE (check->reftable[i]);
  return TRUE;
}

gboolean
qcow2_check_find_block (const Qcow2Check *check, guint64 index, guint64 *offset)
{
  if (index >= check->n_reftable)
    return FALSE;
  *offset = check->reftable[index] & QCOW2_REFTABLE_OFFSET;
  return *offset != 0 && (*offset & (check->q->cluster_size - 1)) == 0
         && *offset < check->file_size;
}

gboolean
qcow2_check_is_unknown (const Qcow2Check *check, guint64 cluster)
{
  guint64 index = cluster / check->block_entries;
  return index < check->n_reftable
         && (check->reftable[index] & QCOW2_REFTABLE_OFFSET & (check->q->cluster_size - 1)) != 0;
}

/* How many bytes from @offset on are blocks that are wanted next. */
static guint64
run_of_blocks (const Qcow2Check *check, guint64 index, guint64 end)
{
  guint64 first, next, length = check->q->cluster_size;

  if (!qcow2_check_find_block (check, index, &first))
    return 0;
  while (++index < end && length < check->window.size
         && qcow2_check_find_block (check, index, &next) && next == first + length)
    length += check->q->cluster_size;
  return length;
}

gboolean
qcow2_check_load_refcount (const Qcow2Check *check, guint64 cluster, guint64 *refcount,
                           GError **error)
{
  const Qcow2 *q = check->q;
  guint64 offset, index = cluster % check->block_entries;
  guint8 bytes[8] = { 0 };
  guint bits = 1u << q->refcount_order;

  *refcount = 0;
  if (!qcow2_check_find_block (check, cluster / check->block_entries, &offset))
    return TRUE;
  if (!qcow2_check_read (check, offset + index * bits / 8, bytes, MAX (bits / 8, 1), error))
    return FALSE;
  *refcount = qcow2_refcount_load (bytes, q->refcount_order, bits < 8 ? index % (8 / bits) : 0);
  return TRUE;
}

/* Which of the clusters of a block have the refcount 1. */
static void
take_singles (Qcow2Check *check, const guint8 *block, guint64 first)
{
  guint64 words[QCOW2_SET_CHUNK / 64];
  guint order = check->q->refcount_order;
  guint64 n = MIN (check->block_entries, check->n_room - first);

  for (guint64 i = 0; i < n; i += QCOW2_SET_CHUNK)
    {
      guint64 end = MIN (n - i, QCOW2_SET_CHUNK);
      memset (words, 0, sizeof words);
      if (order == 4)
        for (guint64 j = 0; j < end; j++)
          words[j / 64] |= (guint64)(img_load_be16 (block + (i + j) * 2) == 1) << j % 64;
      else
        for (guint64 j = 0; j < end; j++)
          words[j / 64] |= (guint64)(qcow2_refcount_load (block, order, i + j) == 1) << j % 64;
      qcow2_set_put_chunk (check->single, first + i, words);
    }
}

/* Blocks of a few entries do not fill a chunk of the set. */
static void
take_few_singles (Qcow2Check *check, const guint8 *block, guint64 first)
{
  for (guint64 i = 0; i < check->block_entries && first + i < check->n_room; i++)
    if (qcow2_refcount_load (block, check->q->refcount_order, i) == 1)
      qcow2_set_add (check->single, first + i);
}

gboolean
qcow2_check_load_refcounts (Qcow2Check *check, GError **error)
{
  guint64 offset, n;

  if (!read_reftable (check, error))
    return FALSE;
  for (guint64 i = 0; i < check->n_reftable; i++)
    if (qcow2_check_find_block (check, i, &offset))
      qcow2_set_add (check->metadata, offset >> check->q->cluster_bits);
  n = MIN (check->n_reftable, (check->n_room + check->block_entries - 1) / check->block_entries);
  check->total += 2 * n * check->q->cluster_size;
  for (guint64 i = 0; i < n; i++)
    {
      if (!qcow2_check_find_block (check, i, &offset))
        continue;
      const guint8 *block = qcow2_check_get (check, offset, (gsize)check->q->cluster_size,
                                             run_of_blocks (check, i, n), error);
      if (block == NULL)
        return FALSE;
      if (check->block_entries >= QCOW2_SET_CHUNK)
        take_singles (check, block, i * check->block_entries);
      else
        take_few_singles (check, block, i * check->block_entries);
      qcow2_check_tell (check, check->q->cluster_size);
    }
  return TRUE;
}

/* ---- where the blocks are ---- */

static void
check_block (Qcow2Check *check, guint64 index)
{
  const Qcow2 *q = check->q;
  guint64 entry = check->reftable[index], offset = entry & QCOW2_REFTABLE_OFFSET;
  ImgFindingPlace place = { .host_offset = q->refcount_table_offset + index * 8 };

  if (entry & QCOW2_REFTABLE_RESERVED)
    img_check_note (check->result, IMG_FINDING_REFCOUNT_BLOCK, 1, &place,
                    " refcount table entry %" G_GUINT64_FORMAT " has reserved bits set", index);
  else if ((offset & (q->cluster_size - 1)) != 0)
    img_check_note (check->result, IMG_FINDING_REFCOUNT_BLOCK, 1, &place,
                    " refcount block %" G_GUINT64_FORMAT
                    " is not cluster aligned; refcount table entry corrupted",
                    index);
  else if (offset >> q->cluster_bits >= check->n_clusters)
    img_check_note (check->result, IMG_FINDING_REFCOUNT_BLOCK, 1, &place,
                    " refcount block %" G_GUINT64_FORMAT " is outside image", index);
  else
    {
      if (offset == 0)
        return;
      qcow2_check_refer_metadata (check, "refcount block", offset, q->cluster_size, 1, NULL);
      guint64 count = qcow2_counts_get (check->counts, offset >> q->cluster_bits);
      if (count == 1)
        return;
      img_check_note (check->result, IMG_FINDING_REFCOUNT_BLOCK, 1, &place,
                      " refcount block %" G_GUINT64_FORMAT " refcount=%" G_GUINT64_FORMAT, index,
                      count);
    }
  check->must_rebuild = TRUE;
}

void
qcow2_check_refcount_blocks (Qcow2Check *check)
{
  for (guint64 i = 0; i < check->n_reftable; i++)
    if (check->reftable[i] != 0)
      check_block (check, i);
}

/* ---- comparing ---- */

static void
note_mismatch (Qcow2Check *check, guint64 cluster, guint64 refcount, guint64 reference)
{
  ImgFindingPlace place = { .host_offset = cluster << check->q->cluster_bits };
  img_check_note (
      check->result, refcount < reference ? IMG_FINDING_REFCOUNT_LOW : IMG_FINDING_LEAK, 1, &place,
      " cluster %" G_GUINT64_FORMAT " refcount=%" G_GUINT64_FORMAT " reference=%" G_GUINT64_FORMAT,
      cluster, refcount, reference);
}

/* The clusters from @from to @to, all in one chunk; the refcounts of those from @first on are in
 * @block (NULL: they are 0). */
static void
compare_chunk (Qcow2Check *check, const guint8 *block, guint64 first, guint64 from, guint64 to,
               guint64 *highest)
{
  guint order = check->q->refcount_order;

  for (guint64 i = from; i < to; i++)
    {
      guint64 refcount = block == NULL ? 0 : qcow2_refcount_load (block, order, i - first);
      guint64 reference = qcow2_counts_get (check->counts, i);
      if (refcount > 0 || reference > 0)
        *highest = i;
      if (refcount != reference)
        note_mismatch (check, i, refcount, reference);
      if (block == NULL && reference > 0)
        check->must_rebuild = TRUE;
    }
}

/* Whether all of them are as they should be, and the last is not 0: mostly so, and quickly seen. */
static gboolean
chunk_is_right (const Qcow2Check *check, const guint8 *block, guint64 first, guint64 from,
                guint64 to)
{
  const guint16 *counts
      = (const guint16 *)(gpointer)check->counts->chunks[from >> QCOW2_COUNTS_CHUNK_BITS];
  const guint8 *stored = block + (from - first) * 2;
  guint difference = 0;

  if (counts == NULL)
    return FALSE;
  counts += from % QCOW2_COUNTS_CHUNK;
  for (guint64 i = 0; i < to - from; i++)
    difference |= (guint)img_load_be16 (stored + i * 2) ^ counts[i];
  return difference == 0 && counts[to - from - 1] != 0;
}

static void
compare_block (Qcow2Check *check, const guint8 *block, guint64 first, guint64 end, guint64 *highest)
{
  guint order = check->q->refcount_order;
  guint64 to;

  for (guint64 from = first; from < end; from = to)
    {
      to = MIN (end, (from / QCOW2_COUNTS_CHUNK + 1) * QCOW2_COUNTS_CHUNK);
      if (block == NULL && qcow2_counts_chunk_is_empty (check->counts, from))
        continue;
      if (block != NULL && order == 4 && chunk_is_right (check, block, first, from, to))
        *highest = to - 1;
      else
        compare_chunk (check, block, first, from, to, highest);
    }
}

static void
note_unreadable (Qcow2Check *check, guint64 index, guint64 n)
{
  ImgFindingPlace place = { .host_offset = check->q->refcount_table_offset + index * 8 };
  img_check_note (check->result, IMG_FINDING_INTERNAL, n, &place,
                  " the refcounts of %" G_GUINT64_FORMAT
                  " clusters cannot be known: refcount block "
                  "%" G_GUINT64_FORMAT " is not cluster aligned",
                  n, index);
}

/* Refcounts in @block of clusters from @from on. */
static void
count_past_end (Qcow2Check *check, const guint8 *block, guint64 first, guint64 from)
{
  ImgFindingPlace place = { .host_offset = G_MAXUINT64 };
  guint64 n = 0;

  for (guint64 i = from - first; i < check->block_entries; i++)
    if (qcow2_refcount_load (block, check->q->refcount_order, i) != 0)
      {
        if (n++ == 0)
          place.host_offset = (first + i) << check->q->cluster_bits;
      }
  img_check_note (check->result, IMG_FINDING_REFCOUNT_PAST, n, &place,
                  " %" G_GUINT64_FORMAT " refcounts from offset %" G_GUINT64_FORMAT
                  " on are of clusters past the end of the file: it may have been cut short",
                  n, place.host_offset);
}

static int
by_number (gconstpointer a, gconstpointer b)
{
  guint64 x = *(const guint64 *)a, y = *(const guint64 *)b;
  return x < y ? -1 : x > y;
}

/* Blocks that are only about what is past the end, each read once. */
static gboolean
compare_past_end (Qcow2Check *check, guint64 first_index, GError **error)
{
  g_autoptr (GArray) offsets = g_array_new (FALSE, FALSE, sizeof (guint64));
  guint64 offset, last = 0;

  for (guint64 i = first_index; i < check->n_reftable; i++)
    if (qcow2_check_find_block (check, i, &offset))
      g_array_append_val (offsets, offset);
  g_array_sort (offsets, by_number);
  for (guint i = 0; i < offsets->len; i++)
    {
      offset = g_array_index (offsets, guint64, i);
      if (offset == last)
        continue;
      last = offset;
      const guint8 *block
          = qcow2_check_get (check, offset, (gsize)check->q->cluster_size, 0, error);
      if (block == NULL)
        return FALSE;
      count_past_end (check, block, 0, 0);
    }
  return TRUE;
}

gboolean
qcow2_check_compare (Qcow2Check *check, GError **error)
{
  guint64 offset, highest = 0, per = check->block_entries;
  guint64 n = (check->n_clusters + per - 1) / per;

  for (guint64 i = 0; i < n; i++)
    {
      guint64 first = i * per, end = MIN (first + per, check->n_clusters);
      const guint8 *block = NULL;
      if (qcow2_check_is_unknown (check, first))
        {
          note_unreadable (check, i, end - first);
          continue;
        }
      if (qcow2_check_find_block (check, i, &offset))
        {
          block = qcow2_check_get (check, offset, (gsize)check->q->cluster_size,
                                   run_of_blocks (check, i, n), error);
          if (block == NULL)
            return FALSE;
          qcow2_check_tell (check, check->q->cluster_size);
        }
      compare_block (check, block, first, end, &highest);
      if (block != NULL && end < first + per)
        count_past_end (check, block, first, end);
    }
  check->result->image_end_offset = (highest + 1) << check->q->cluster_bits;
  return compare_past_end (check, n, error);
}
