/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the refcounts alone do not tell: data in the place of metadata, and whose data it is. */
#include <stdlib.h>

#include "base/bytes.h"
#include "format/qcow2/check.h"

void
qcow2_check_add_overlap (Qcow2Check *check, guint64 cluster, guint64 times,
                         const ImgFindingPlace *place)
{
  Qcow2Overlap overlap = { .cluster = cluster, .times = times, .place = *place };

  if (check->overlaps->len < QCOW2_MAX_OVERLAPS)
    g_array_append_val (check->overlaps, overlap);
}

guint64
qcow2_check_users (const Qcow2Check *check, guint i)
{
  const Qcow2TableRef *ref = &g_array_index (check->tables, Qcow2TableRef, i);
  return (guint64)ref->n_active + ref->n_inactive;
}

static gboolean
has_overlap (const Qcow2Check *check, guint64 cluster)
{
  for (guint i = 0; i < check->overlaps->len; i++)
    if (g_array_index (check->overlaps, Qcow2Overlap, i).cluster == cluster)
      return TRUE;
  return FALSE;
}

/* The same for L2 tables: more users than the table has. An entry that cannot be right is a finding
 * already, and no proof of another use. */
static gboolean
check_tables_alone (Qcow2Check *check, GError **error)
{
  guint n_noted = 0;

  for (guint i = 0; check->n_lost == 0 && i < check->tables->len && n_noted < QCOW2_MAX_OVERLAPS;
       i++)
    {
      guint64 offset = g_array_index (check->tables, Qcow2TableRef, i).host_offset;
      guint64 cluster = offset >> check->q->cluster_bits, refcount;
      guint64 count = qcow2_counts_get (check->counts, cluster);
      ImgFindingPlace place = { .host_offset = offset };
      if (offset == 0 || (offset & (check->q->cluster_size - 1)) != 0
          || count <= qcow2_check_users (check, i) || qcow2_check_is_unknown (check, cluster))
        continue;
      if (!qcow2_check_load_refcount (check, cluster, &refcount, error))
        return FALSE;
      if (refcount != count || has_overlap (check, cluster))
        continue;
      n_noted++;
      img_check_note (
          check->result, IMG_FINDING_OVERLAP, 1, &place,
          " cluster %" G_GUINT64_FORMAT " is a table and something else at the same time", cluster);
    }
  return TRUE;
}

gboolean
qcow2_check_overlaps (Qcow2Check *check, GError **error)
{
  for (guint i = 0; i < check->overlaps->len; i++)
    {
      const Qcow2Overlap *overlap = &g_array_index (check->overlaps, Qcow2Overlap, i);
      guint64 refcount;
      if (qcow2_check_is_unknown (check, overlap->cluster))
        continue;
      if (!qcow2_check_load_refcount (check, overlap->cluster, &refcount, error))
        return FALSE;
      if (refcount == qcow2_counts_get (check->counts, overlap->cluster))
        img_check_note (check->result, IMG_FINDING_OVERLAP, 1, &overlap->place,
                        " cluster %" G_GUINT64_FORMAT
                        " is data of the guest and metadata of the image at the same time",
                        overlap->cluster);
    }
  return check_tables_alone (check, error);
}

/* ---- whose data it is ---- */

static int
by_offset (gconstpointer a, gconstpointer b)
{
  guint64 x = (*(ImgFinding *const *)a)->place.host_offset;
  guint64 y = (*(ImgFinding *const *)b)->place.host_offset;
  return x < y ? -1 : x > y;
}

static int
compare_offset (gconstpointer key, gconstpointer element)
{
  guint64 x = *(const guint64 *)key, y = (*(ImgFinding *const *)element)->place.host_offset;
  return x < y ? -1 : x > y;
}

/* Where the data of @entry begins, at the beginning of a cluster. */
static guint64
cluster_of (const Qcow2Check *check, guint64 entry)
{
  guint64 mask = ~(check->q->cluster_size - 1);
  guint offset_bits = 62 - (check->q->cluster_bits - 8);

  if (entry & QCOW2_COMPRESSED)
    return entry & ((G_GUINT64_CONSTANT (1) << offset_bits) - 1) & mask;
  return entry & QCOW2_OFFSET_MASK & mask;
}

static void
locate_in_table (Qcow2Check *check, const Qcow2TableRef *ref, const guint8 *table,
                 GPtrArray *wanted)
{
  const Qcow2 *q = check->q;
  const Qcow2Snapshot *snapshot
      = ref->n_active == 0 ? check->snapshots->pdata[ref->snapshot] : NULL;
  guint64 size = snapshot == NULL ? q->size : snapshot->shown.disk_size;

  for (guint64 i = 0; i < q->cluster_size / check->entry_bytes; i++)
    {
      guint64 offset = cluster_of (check, img_load_be64 (table + i * check->entry_bytes));
      if (offset == 0)
        continue;
      ImgFinding **found
          = bsearch (&offset, wanted->pdata, wanted->len, sizeof (gpointer), compare_offset);
      if (found == NULL || (*found)->place.guest_length != 0)
        continue;
      guint64 guest_offset = ref->guest_offset + (i << q->cluster_bits);
      if (guest_offset >= size)
        continue; /* nobody sees it */
      (*found)->place.guest_offset = guest_offset;
      (*found)->place.guest_length = MIN (q->cluster_size, size - guest_offset);
      (*found)->place.snapshot = g_strdup (snapshot == NULL ? NULL : snapshot->shown.name);
    }
}

gboolean
qcow2_check_locate (Qcow2Check *check, GError **error)
{
  g_autoptr (GPtrArray) wanted = g_ptr_array_new ();

  for (guint i = 0; i < check->result->findings->len; i++)
    {
      ImgFinding *finding = check->result->findings->pdata[i];
      if (finding->kind == IMG_FINDING_REFCOUNT_LOW)
        g_ptr_array_add (wanted, finding);
    }
  g_ptr_array_sort (wanted, by_offset);
  for (guint i = 0; wanted->len > 0 && !check->has_data_file && i < check->tables->len; i++)
    {
      const Qcow2TableRef *ref = &g_array_index (check->tables, Qcow2TableRef, i);
      const guint8 *table = qcow2_check_get (check, ref->host_offset, (gsize)check->q->cluster_size,
                                             qcow2_check_run_of_tables (check, i), error);
      if (table == NULL)
        return FALSE;
      locate_in_table (check, ref, table, wanted);
    }
  return TRUE;
}
