/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Entries of L1 and L2 tables, and their flags. */
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "format/qcow2/repair.h"

#define SUBCLUSTERS G_GUINT64_CONSTANT (0xffffffff)

/* Before refcounts change, and after: flags are cleared first, and set last. */
typedef struct
{
  Qcow2Check *check;
  ImgRepair repair;
  guint8 *cleared, *set; /* owned copies of a table */
  gsize size;
  gboolean is_stale;
} Tables;

static void
store (guint8 *at, guint64 value)
{
  value = GUINT64_TO_BE (value);
  memcpy (at, &value, sizeof value);
}

/* Whether the refcount will be 1 when all is done. */
static gboolean
will_be_single (const Qcow2Check *check, guint64 cluster, gboolean *is_single, GError **error)
{
  guint64 refcount, count = qcow2_counts_get (check->counts, cluster);

  *is_single = count == 1;
  if (check->n_lost == 0)
    return TRUE;
  /* Refcounts that are too high stay. */
  if (!qcow2_check_load_refcount (check, cluster, &refcount, error))
    return FALSE;
  *is_single = MAX (refcount, count) == 1;
  return TRUE;
}

/* @entry (and what its cluster is used for) with the flag as it should be: cleared in *@first where
 * it must not be, set in *@last where it may. */
static gboolean
mend_flag (const Tables *tables, guint64 entry, guint64 *first, guint64 *last, GError **error)
{
  const Qcow2Check *check = tables->check;
  guint64 cluster = (entry & QCOW2_OFFSET_MASK) >> check->q->cluster_bits;
  gboolean is_single;

  *first = *last = entry;
  if (cluster >= check->n_clusters || qcow2_check_is_unknown (check, cluster))
    return TRUE; /* whatever it was, it is lost */
  if (!will_be_single (check, cluster, &is_single, error))
    return FALSE;
  if (!is_single)
    *first = *last = entry & ~QCOW2_COPIED;
  else
    *last = entry | QCOW2_COPIED;
  return TRUE;
}

/* ---- L2 ---- */

static gboolean
mend_standard (Tables *tables, gsize at, gboolean is_active, GError **error)
{
  Qcow2Check *check = tables->check;
  const Qcow2 *q = check->q;
  guint64 entry = img_load_be64 (tables->cleared + at) & ~qcow2_check_l2_reserved (check), first,
          last;
  guint64 bitmap = check->has_subclusters ? img_load_be64 (tables->cleared + at + 8) : 0;
  guint64 offset = entry & QCOW2_OFFSET_MASK;
  gboolean is_zero
      = check->has_subclusters ? (bitmap & SUBCLUSTERS) == 0 : (entry & QCOW2_READS_AS_ZERO) != 0;

  if (is_zero && (offset & (q->cluster_size - 1)) != 0 && q->version >= 3)
    {
      tables->is_stale = TRUE;
      entry = check->has_subclusters ? 0 : QCOW2_READS_AS_ZERO;
      offset = 0;
    }
  first = last = entry;
  if (check->has_data_file)
    {
      if (is_active && (offset != 0 || (entry & QCOW2_COPIED) != 0))
        first = last = entry | QCOW2_COPIED;
    }
  else if (is_active && offset != 0 && !mend_flag (tables, entry, &first, &last, error))
    return FALSE;
  store (tables->cleared + at, first);
  store (tables->set + at, last);
  return TRUE;
}

static gboolean
mend_table (Tables *tables, const Qcow2TableRef *ref, const guint8 *bytes, ImgPlan *plan,
            GError **error)
{
  const Qcow2Check *check = tables->check;

  memcpy (tables->cleared, bytes, tables->size);
  memcpy (tables->set, bytes, tables->size);
  for (gsize at = 0; at < tables->size; at += check->entry_bytes)
    {
      guint64 entry = img_load_be64 (bytes + at);
      if (entry == 0)
        continue;
      if (entry & QCOW2_COMPRESSED)
        {
          store (tables->cleared + at, entry & ~QCOW2_COPIED);
          store (tables->set + at, entry & ~QCOW2_COPIED);
        }
      else if (!mend_standard (tables, at, ref->n_active > 0, error))
        return FALSE;
    }
  img_plan_add_changes (plan, IMG_STAGE_CLEAR, ref->host_offset, bytes, tables->cleared,
                        tables->size);
  img_plan_add_changes (plan, IMG_STAGE_SET, ref->host_offset, tables->cleared, tables->set,
                        tables->size);
  return TRUE;
}

/* Whether nothing but one table, with @n users, is in the cluster: else to mend the one would be to
 * change the other. */
static gboolean
is_alone (const Qcow2Check *check, guint64 offset, guint64 n)
{
  return offset != 0 && (offset & (check->q->cluster_size - 1)) == 0
         && qcow2_counts_get (check->counts, offset >> check->q->cluster_bits) == n;
}

static gboolean
mend_l2 (Tables *tables, ImgPlan *plan, GError **error)
{
  Qcow2Check *check = tables->check;

  for (guint i = 0; i < check->tables->len; i++)
    {
      const Qcow2TableRef *ref = &g_array_index (check->tables, Qcow2TableRef, i);
      if (ref->host_offset + tables->size > check->file_size)
        continue;
      if (!is_alone (check, ref->host_offset, qcow2_check_users (check, i)))
        {
          plan->is_held_back = TRUE;
          continue;
        }
      const guint8 *bytes = qcow2_check_get (check, ref->host_offset, tables->size,
                                             qcow2_check_run_of_tables (check, i), error);
      if (bytes == NULL || !mend_table (tables, ref, bytes, plan, error))
        return FALSE;
    }
  return TRUE;
}

/* ---- L1 ---- */

/* The part of the L1 table in one cluster, or of what fits into the tables' memory. */
static gboolean
mend_l1_part (Tables *tables, guint64 offset, gsize length, ImgPlan *plan, GError **error)
{
  Qcow2Check *check = tables->check;
  g_autofree guint8 *bytes = img_buffer_alloc (length, img_file_path (check->q->file), error);

  if (bytes == NULL || !qcow2_check_read (check, offset, bytes, length, error))
    return FALSE;
  memcpy (tables->cleared, bytes, length);
  memcpy (tables->set, bytes, length);
  for (gsize at = 0; at + 8 <= length; at += 8)
    {
      guint64 entry = img_load_be64 (bytes + at) & ~QCOW2_L1_RESERVED, first = entry, last = entry;
      if ((entry & (check->q->cluster_size - 1)) != 0)
        continue; /* whatever it was, it is lost */
      if ((entry & QCOW2_OFFSET_MASK) != 0 && !mend_flag (tables, entry, &first, &last, error))
        return FALSE;
      store (tables->cleared + at, first);
      store (tables->set + at, last);
    }
  img_plan_add_changes (plan, IMG_STAGE_CLEAR, offset, bytes, tables->cleared, length);
  img_plan_add_changes (plan, IMG_STAGE_SET, offset, tables->cleared, tables->set, length);
  return TRUE;
}

static gboolean
mend_l1 (Tables *tables, ImgPlan *plan, GError **error)
{
  const Qcow2 *q = tables->check->q;
  guint64 bytes = (guint64)q->l1_entries * 8;

  for (guint64 at = 0; at < bytes; at += q->cluster_size)
    {
      guint64 length = MIN (q->cluster_size, bytes - at), offset = q->l1_offset + at;
      if (offset + length > tables->check->file_size)
        continue;
      if (!is_alone (tables->check, offset, 1))
        {
          plan->is_held_back = TRUE;
          continue;
        }
      if (!mend_l1_part (tables, offset, (gsize)length, plan, error))
        return FALSE;
    }
  return TRUE;
}

gboolean
qcow2_repair_tables (Qcow2Check *check, ImgRepair repair, ImgPlan *plan, gboolean *is_stale,
                     GError **error)
{
  gsize size = (gsize)check->q->cluster_size;
  g_autofree guint8 *cleared = img_buffer_alloc (2 * size, img_file_path (check->q->file), error);
  Tables tables = { .check = check, .repair = repair, .cleared = cleared, .size = size };

  if (cleared == NULL)
    return FALSE;
  tables.set = cleared + size;
  if (!mend_l2 (&tables, plan, error) || !mend_l1 (&tables, plan, error))
    return FALSE;
  *is_stale = tables.is_stale;
  return TRUE;
}
