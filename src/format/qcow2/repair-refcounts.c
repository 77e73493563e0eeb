/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Refcounts as they should be: in the blocks that are there, or in new ones. */
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "format/qcow2/repair.h"

#define REFTABLE_FIELDS_AT 48

/* ---- in place ---- */

/* Block @index, which is in @block, as two steps: with all that is too low raised, and with all
 * that is too high lowered. */
static void
mend_block (Qcow2Check *check, guint64 index, guint64 offset, const guint8 *block, guint8 *raised,
            guint8 *lowered, ImgRepair repair, ImgPlan *plan)
{
  guint order = check->q->refcount_order;
  gsize size = (gsize)check->q->cluster_size;
  guint64 first = index * check->block_entries;

  memcpy (raised, block, size);
  memcpy (lowered, block, size);
  for (guint64 i = 0; i < check->block_entries; i++)
    {
      guint64 refcount = qcow2_refcount_load (block, order, i);
      guint64 count
          = first + i < check->n_clusters ? qcow2_counts_get (check->counts, first + i) : 0;
      if (refcount < count && repair == IMG_REPAIR_ALL)
        {
          qcow2_refcount_store (raised, order, i, count);
          qcow2_refcount_store (lowered, order, i, count);
        }
      if (refcount > count && check->n_lost == 0)
        qcow2_refcount_store (lowered, order, i, count);
    }
  img_plan_add_changes (plan, IMG_STAGE_RAISE, offset, block, raised, size);
  img_plan_add_changes (plan, IMG_STAGE_LOWER, offset, raised, lowered, size);
}

gboolean
qcow2_repair_refcounts (Qcow2Check *check, ImgRepair repair, ImgPlan *plan, GError **error)
{
  gsize size = (gsize)check->q->cluster_size;
  g_autofree guint8 *raised = img_buffer_alloc (2 * size, img_file_path (check->q->file), error);
  guint8 *lowered = raised == NULL ? NULL : raised + size;
  guint64 offset;

  if (raised == NULL)
    return FALSE;
  for (guint64 i = 0; i < check->n_reftable; i++)
    {
      /* What is cut by the end of the file stays so, as other tables do. */
      if (!qcow2_check_find_block (check, i, &offset) || offset + size > check->file_size)
        continue;
      const guint8 *block = qcow2_check_get (check, offset, size, 0, error);
      if (block == NULL)
        return FALSE;
      mend_block (check, i, offset, block, raised, lowered, repair, plan);
    }
  return TRUE;
}

/* ---- anew ---- */

/* Where the new table and the new blocks are. */
typedef struct
{
  guint64 first_cluster; /* of the table; the blocks follow */
  guint64 table_clusters, n_blocks;
  guint64 n_entries; /* of the table that are used */
} Place;

/* The old ones are not there any more when the new ones are. */
static void
uncount_old (Qcow2Check *check)
{
  const Qcow2 *q = check->q;
  guint64 offset;

  for (guint64 i = 0; i < q->refcount_table_clusters; i++)
    qcow2_counts_take_one (check->counts, (q->refcount_table_offset >> q->cluster_bits) + i);
  for (guint64 i = 0; i < check->n_reftable; i++)
    if ((check->reftable[i] & QCOW2_REFTABLE_RESERVED) == 0
        && qcow2_check_find_block (check, i, &offset))
      qcow2_counts_take_one (check->counts, offset >> q->cluster_bits);
}

static guint64
count_of (const Qcow2Check *check, const Place *place, guint64 cluster)
{
  guint64 n = place->table_clusters + place->n_blocks;
  if (cluster >= place->first_cluster && cluster - place->first_cluster < n)
    return 1;
  return cluster < check->n_clusters ? qcow2_counts_get (check->counts, cluster) : 0;
}

static gboolean
needs_block (const Qcow2Check *check, const Place *place, guint64 index)
{
  guint64 first = index * check->block_entries;
  guint64 end = MIN (first + check->block_entries, check->n_clusters);
  guint64 n = place->table_clusters + place->n_blocks;

  if (n > 0 && place->first_cluster < first + check->block_entries
      && place->first_cluster + n > first)
    return TRUE;
  if (check->n_lost > 0 && qcow2_check_find_block (check, index, &first))
    return TRUE;
  for (guint64 i = first; i < end; i++)
    if (qcow2_counts_get (check->counts, i) != 0)
      return TRUE;
  return FALSE;
}

/* The new ones need refcounts too: make room for more until it is enough. */
static gboolean
find_place (const Qcow2Check *check, Place *place, GError **error)
{
  const Qcow2 *q = check->q;
  guint64 n_blocks, clusters;

  *place = (Place){ .first_cluster = check->n_clusters };
  for (;;)
    {
      guint64 end = check->n_clusters + place->table_clusters + place->n_blocks;
      place->n_entries = (end + check->block_entries - 1) / check->block_entries;
      clusters = (place->n_entries * 8 + q->cluster_size - 1) >> q->cluster_bits;
      n_blocks = 0;
      for (guint64 i = 0; i < place->n_entries; i++)
        n_blocks += needs_block (check, place, i) ? 1 : 0;
      if (clusters * q->cluster_size > QCOW2_MAX_REFCOUNT_TABLE_BYTES)
        return img_throw (error, IMG_ERROR_FAILED,
                          "'%s': its refcounts would need a table larger than is possible",
                          q->safe_path);
      if (clusters <= place->table_clusters && n_blocks <= place->n_blocks)
        return TRUE;
      place->table_clusters = MAX (clusters, place->table_clusters);
      place->n_blocks = MAX (n_blocks, place->n_blocks);
    }
}

/* Block @index as it should be. While something is lost, a cluster keeps the refcount it had. */
static gboolean
fill_block (Qcow2Check *check, const Place *place, guint64 index, guint8 *block, GError **error)
{
  gsize size = (gsize)check->q->cluster_size;
  guint order = check->q->refcount_order;
  const guint8 *old = NULL;
  guint64 offset;

  if (check->n_lost > 0 && qcow2_check_find_block (check, index, &offset))
    {
      old = qcow2_check_get (check, offset, size, 0, error);
      if (old == NULL)
        return FALSE;
    }
  memset (block, 0, size);
  for (guint64 i = 0; i < check->block_entries; i++)
    {
      guint64 count = count_of (check, place, index * check->block_entries + i);
      guint64 kept = old == NULL ? 0 : qcow2_refcount_load (old, order, i);
      qcow2_refcount_store (block, order, i, MAX (count, kept));
    }
  return TRUE;
}

static gboolean
write_blocks (Qcow2Check *check, const Place *place, ImgPlan *plan, GError **error)
{
  const Qcow2 *q = check->q;
  gsize size = (gsize)q->cluster_size;
  const char *path = img_file_path (q->file);
  g_autofree guint8 *block = img_buffer_alloc (size, path, error);
  g_autofree guint8 *table
      = block == NULL ? NULL : img_buffer_alloc0 (place->table_clusters * size, path, error);
  guint64 next = place->first_cluster + place->table_clusters;

  if (table == NULL)
    return FALSE;
  for (guint64 i = 0; i < place->n_entries; i++)
    {
      if (!needs_block (check, place, i))
        continue;
      guint64 offset = next++ << q->cluster_bits, word = GUINT64_TO_BE (offset);
      memcpy (table + i * 8, &word, sizeof word);
      if (!fill_block (check, place, i, block, error))
        return FALSE;
      img_plan_add (plan, IMG_STAGE_RAISE, offset, block, size);
    }
  img_plan_add (plan, IMG_STAGE_RAISE, place->first_cluster << q->cluster_bits, table,
                place->table_clusters * size);
  return TRUE;
}

gboolean
qcow2_repair_rebuild (Qcow2Check *check, ImgPlan *plan, GError **error)
{
  const Qcow2 *q = check->q;
  guint8 fields[12];
  Place place;

  uncount_old (check);
  if (!find_place (check, &place, error) || !write_blocks (check, &place, plan, error))
    return FALSE;
  plan->size = (place.first_cluster + place.table_clusters + place.n_blocks) << q->cluster_bits;
  for (guint i = 0; i < 8; i++)
    fields[i] = (guint8)((place.first_cluster << q->cluster_bits) >> (56 - 8 * i));
  for (guint i = 0; i < 4; i++)
    fields[8 + i] = (guint8)(place.table_clusters >> (24 - 8 * i));
  img_plan_add (plan, IMG_STAGE_SWITCH, REFTABLE_FIELDS_AT, fields, sizeof fields);
  return TRUE;
}
