/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/bytes.h"
#include "format/qcow2/qcow2.h"
#include "format/qcow2/scan.h"

#define FIXED_LENGTH 40

/* What the extra data may have: each is there if it is long enough. */
static void
take_extra (Qcow2Snapshot *snapshot, const guint8 *extra, gsize length)
{
  if (length >= 8)
    snapshot->shown.vm_state_size = img_load_be64 (extra);
  if (length >= 16)
    snapshot->shown.disk_size = img_load_be64 (extra + 8);
  if (length >= 24)
    snapshot->shown.icount = img_load_be64 (extra + 16);
}

static Qcow2Snapshot *
take_one (const Qcow2 *q, Qcow2Scan *scan, gboolean is_last, GError **error)
{
  guint8 fixed[FIXED_LENGTH], extra[QCOW2_MAX_SNAPSHOT_EXTRA];

  if (!qcow2_scan_take (scan, fixed, sizeof fixed, error))
    return NULL;
  gsize extra_length = img_load_be32 (fixed + 36);
  gsize id_length = img_load_be16 (fixed + 12), name_length = img_load_be16 (fixed + 14);
  gsize total = FIXED_LENGTH + extra_length + id_length + name_length;
  if (extra_length > sizeof extra)
    return img_null_throw (error, IMG_ERROR_UNSUPPORTED,
                           "'%s': a snapshot has %" G_GSIZE_FORMAT
                           " bytes of extra data, more than the %d that are possible",
                           q->safe_path, extra_length, QCOW2_MAX_SNAPSHOT_EXTRA);
  if (!qcow2_scan_take (scan, extra, extra_length, error))
    return NULL;
  g_autofree char *id = qcow2_scan_take_text (scan, id_length, error);
  g_autofree char *name = id == NULL ? NULL : qcow2_scan_take_text (scan, name_length, error);
  /* Behind the last one the file may end without what would align the next. */
  if (name == NULL || (!is_last && !qcow2_scan_take (scan, NULL, (8 - total % 8) % 8, error)))
    return NULL;

  Qcow2Snapshot *snapshot = g_new0 (Qcow2Snapshot, 1);
  snapshot->l1_offset = img_load_be64 (fixed);
  snapshot->l1_entries = img_load_be32 (fixed + 8);
  snapshot->extra_bytes = (guint32)extra_length;
  snapshot->entry_bytes = (guint32)total;
  snapshot->shown.id = g_steal_pointer (&id);
  snapshot->shown.name = g_steal_pointer (&name);
  snapshot->shown.date_seconds = img_load_be32 (fixed + 16);
  snapshot->shown.date_nanoseconds = img_load_be32 (fixed + 20);
  snapshot->shown.vm_clock = img_load_be64 (fixed + 24);
  snapshot->shown.vm_state_size = img_load_be32 (fixed + 32);
  snapshot->shown.disk_size = q->size;
  snapshot->shown.icount = G_MAXUINT64;
  take_extra (snapshot, extra, extra_length);
  return snapshot;
}

/* All are looked at, so that a table that is cut off is noticed; the first ones are kept, at most
 * @most with names of @most_bytes. */
static GPtrArray *
read_some (const Qcow2 *q, guint most, gsize most_bytes, GError **error)
{
  g_autoptr (GPtrArray) snapshots
      = g_ptr_array_new_with_free_func ((GDestroyNotify)img_snapshot_free);
  g_auto (Qcow2Scan) scan = { 0 };
  gsize bytes = 0;

  qcow2_scan_begin (&scan, q->file, "snapshot table", q->snapshots_offset,
                    QCOW2_MAX_SNAPSHOT_TABLE_BYTES);
  for (guint32 i = 0; i < q->n_snapshots; i++)
    {
      Qcow2Snapshot *snapshot = take_one (q, &scan, i + 1 == q->n_snapshots, error);
      if (snapshot == NULL)
        return NULL;
      bytes += strlen (snapshot->shown.id) + strlen (snapshot->shown.name);
      if (i < most && bytes <= most_bytes)
        g_ptr_array_add (snapshots, snapshot);
      else
        img_snapshot_free (&snapshot->shown);
    }
  return g_steal_pointer (&snapshots);
}

GPtrArray *
qcow2_snapshots_read (const Qcow2 *q, GError **error)
{
  return read_some (q, G_MAXUINT, G_MAXSIZE, error);
}

GPtrArray *
qcow2_snapshots_list (const Qcow2 *q, GError **error)
{
  return read_some (q, IMG_MAX_LISTED, IMG_MAX_LISTED_BYTES, error);
}

/* The first one with that ID and that name (NULL: any), for the caller to free; *@snapshot NULL:
 * there is none. */
static gboolean
find_one (const Qcow2 *q, const char *id, const char *name, Qcow2Snapshot **snapshot,
          GError **error)
{
  g_auto (Qcow2Scan) scan = { 0 };

  qcow2_scan_begin (&scan, q->file, "snapshot table", q->snapshots_offset,
                    QCOW2_MAX_SNAPSHOT_TABLE_BYTES);
  for (guint32 i = 0; i < q->n_snapshots; i++)
    {
      *snapshot = take_one (q, &scan, i + 1 == q->n_snapshots, error);
      if (*snapshot == NULL)
        return FALSE;
      if ((id == NULL || strcmp (id, (*snapshot)->shown.id) == 0)
          && (name == NULL || strcmp (name, (*snapshot)->shown.name) == 0))
        return TRUE;
      img_snapshot_free (&(*snapshot)->shown);
    }
  *snapshot = NULL;
  return TRUE;
}

gboolean
qcow2_snapshot_has_l1 (const Qcow2 *q, const Qcow2Snapshot *snapshot)
{
  return snapshot->shown.disk_size <= G_MAXINT64
         && snapshot->l1_entries >= qcow2_l1_needed (q, snapshot->shown.disk_size);
}

/* Be as the disk was in @snapshot. */
static gboolean
use_snapshot (ImgDisk *disk, const Qcow2Snapshot *snapshot, GError **error)
{
  Qcow2 *q = disk->state;

  if (!qcow2_check_table (q, "L1 table of the snapshot", snapshot->l1_offset, snapshot->l1_entries,
                          8, QCOW2_MAX_L1_BYTES, error))
    return FALSE;
  if (!qcow2_snapshot_has_l1 (q, snapshot))
    return img_throw (error, IMG_ERROR_FAILED,
                      "'%s': the L1 table of the snapshot is too small for %" G_GUINT64_FORMAT
                      " bytes",
                      q->safe_path, snapshot->shown.disk_size);
  q->l1_offset = snapshot->l1_offset;
  q->l1_entries = snapshot->l1_entries;
  q->size = disk->size = snapshot->shown.disk_size;
  return TRUE;
}

gboolean
qcow2_snapshot_select (ImgDisk *disk, const char *id, const char *name, gboolean *is_found,
                       GError **error)
{
  Qcow2Snapshot *snapshot;

  if (!find_one (disk->state, id, name, &snapshot, error))
    return FALSE;
  *is_found = snapshot != NULL;
  if (snapshot == NULL)
    return TRUE;
  gboolean is_good = use_snapshot (disk, snapshot, error);
  img_snapshot_free (&snapshot->shown);
  return is_good;
}
