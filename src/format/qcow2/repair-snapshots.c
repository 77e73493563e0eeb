/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Snapshots as version 3 wants them: with the size of the disk, and of a saved machine in 64 bits.
 * Entries become longer, so the table is written anew in another place. */
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/size.h"
#include "format/qcow2/repair.h"

#define FIXED_BYTES 40
#define EXTRA_SIZE_AT 36
#define WANTED_EXTRA_BYTES 16
#define SNAPSHOTS_OFFSET_AT 64

static guint64
align (guint64 bytes)
{
  return img_size_round_up (bytes, 8);
}

static void
store_be64 (guint8 *bytes, guint64 value)
{
  guint64 word = GUINT64_TO_BE (value);
  memcpy (bytes, &word, sizeof word);
}

/* Append the entry at @offset of the file, with what is missing in its extra data. */
static gboolean
append_entry (const Qcow2Check *check, const Qcow2Snapshot *snapshot, guint64 offset,
              GByteArray *table, GError **error)
{
  guint32 extra = snapshot->extra_bytes, wanted = MAX (extra, WANTED_EXTRA_BYTES);
  g_autofree guint8 *entry
      = img_buffer_alloc (snapshot->entry_bytes, img_file_path (check->q->file), error);
  guint8 full[WANTED_EXTRA_BYTES];
  guint32 word = GUINT32_TO_BE (wanted);

  if (entry == NULL || !qcow2_check_read (check, offset, entry, snapshot->entry_bytes, error))
    return FALSE;
  g_byte_array_set_size (table, (guint)align (table->len));
  memcpy (entry + EXTRA_SIZE_AT, &word, sizeof word);
  g_byte_array_append (table, entry, FIXED_BYTES + extra);
  store_be64 (full, snapshot->shown.vm_state_size);
  store_be64 (full + 8, snapshot->shown.disk_size);
  if (extra < wanted)
    g_byte_array_append (table, full + extra, wanted - extra);
  g_byte_array_append (table, entry + FIXED_BYTES + extra,
                       snapshot->entry_bytes - FIXED_BYTES - extra);
  return TRUE;
}

static gboolean
make_table (const Qcow2Check *check, GByteArray *table, GError **error)
{
  guint64 offset = check->q->snapshots_offset;

  for (guint i = 0; i < check->snapshots->len; i++)
    {
      const Qcow2Snapshot *snapshot = check->snapshots->pdata[i];
      if (!append_entry (check, snapshot, offset, table, error))
        return FALSE;
      offset = align (offset + snapshot->entry_bytes);
    }
  return TRUE;
}

/* The first of @n free clusters in a row that have refcounts; G_MAXUINT64 if there are none. */
static guint64
find_room (Qcow2Check *check, guint64 n)
{
  guint64 found = 0, offset;

  for (guint64 i = 1; i < check->n_clusters + n; i++)
    {
      gboolean is_used = i < check->n_clusters && qcow2_counts_get (check->counts, i) != 0;
      if (is_used || !qcow2_check_find_block (check, i / check->block_entries, &offset))
        found = 0;
      else if (++found == n)
        return i + 1 - n;
    }
  return G_MAXUINT64;
}

/* Refcounts of 1 for @n clusters from @first on. */
static gboolean
take_room (Qcow2Check *check, guint64 first, guint64 n, ImgPlan *plan, GError **error)
{
  gsize size = (gsize)check->q->cluster_size;
  g_autofree guint8 *raised = img_buffer_alloc (size, img_file_path (check->q->file), error);

  if (raised == NULL)
    return FALSE;
  for (guint64 i = first; i < first + n;)
    {
      guint64 index = i / check->block_entries, offset;
      const guint8 *block = qcow2_check_find_block (check, index, &offset)
                                ? qcow2_check_get (check, offset, size, 0, error)
                                : NULL;
      if (block == NULL)
        return FALSE;
      memcpy (raised, block, size);
      for (; i < first + n && i / check->block_entries == index; i++)
        qcow2_refcount_store (raised, check->q->refcount_order, i % check->block_entries, 1);
      img_plan_add_changes (plan, IMG_STAGE_RAISE, offset, block, raised, size);
    }
  return TRUE;
}

gboolean
qcow2_repair_snapshots (Qcow2Check *check, ImgPlan *plan, GError **error)
{
  const Qcow2 *q = check->q;
  g_autoptr (GByteArray) table = g_byte_array_new ();
  guint8 offset[8];

  if (!make_table (check, table, error))
    return FALSE;
  guint64 n = img_size_divide_up (table->len, q->cluster_size);
  guint64 first = find_room (check, n);
  if (first == G_MAXUINT64)
    {
      plan->is_held_back = TRUE;
      return TRUE;
    }
  guint64 end = (first + n) << q->cluster_bits;
  if (!take_room (check, first, n, plan, error))
    return FALSE;
  plan->size = end > check->file_size ? end : 0;
  img_plan_add (plan, IMG_STAGE_RAISE, first << q->cluster_bits, table->data, table->len);
  store_be64 (offset, first << q->cluster_bits);
  img_plan_add (plan, IMG_STAGE_SWITCH, SNAPSHOTS_OFFSET_AT, offset, sizeof offset);
  return TRUE;
}
