/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an image has beside the tables of its disk: snapshots, a LUKS header, bitmaps. */
#include "base/bytes.h"
#include "base/text.h"
#include "format/qcow2/bitmap-entry.h"
#include "format/qcow2/check.h"
#include "format/qcow2/scan.h"

/* ---- snapshots ---- */

/* How long the snapshot table is: the last entry without what is needed to align a next one. */
static guint64
snapshot_table_bytes (const GPtrArray *snapshots)
{
  guint64 bytes = 0;
  for (guint i = 0; i < snapshots->len; i++)
    bytes = ((bytes + 7) & ~G_GUINT64_CONSTANT (7))
            + ((const Qcow2Snapshot *)snapshots->pdata[i])->entry_bytes;
  return bytes;
}

static void
check_snapshots (Qcow2Check *check)
{
  const Qcow2 *q = check->q;
  g_autoptr (GError) failure = NULL;

  if (q->n_snapshots == 0)
    return;
  check->snapshots = qcow2_snapshots_read (q, &failure);
  if (check->snapshots == NULL)
    {
      ImgFindingPlace place = { .host_offset = q->snapshots_offset };
      check->n_lost++;
      img_check_note (check->result, IMG_FINDING_INTERNAL, 1, &place,
                      " failed to read the snapshot table: %s", failure->message);
      return;
    }
  for (guint i = 0; i < check->snapshots->len; i++)
    {
      const Qcow2Snapshot *snapshot = check->snapshots->pdata[i];
      ImgFindingPlace place
          = { .host_offset = q->snapshots_offset, .snapshot = snapshot->shown.name };
      if (q->version < 3 || snapshot->extra_bytes >= 16)
        continue;
      check->n_incomplete++;
      img_check_note (check->result, IMG_FINDING_SNAPSHOT, 1, &place,
                      " snapshot table entry %u is incomplete", i);
    }
  qcow2_check_refer_metadata (check, "snapshot table", q->snapshots_offset,
                              snapshot_table_bytes (check->snapshots), 1, NULL);
}

/* ---- bitmaps ---- */

static void
check_bitmap_entry (Qcow2Check *check, guint64 entry, const char *safe_name,
                    const ImgFindingPlace *place)
{
  const Qcow2 *q = check->q;
  guint64 offset = entry & QCOW2_BITMAP_OFFSET_MASK;

  if (!qcow2_bitmap_entry_is_good (entry, q->cluster_size))
    {
      check->n_lost++;
      img_check_note (check->result, IMG_FINDING_BITMAP, 1, place,
                      " bitmap '%s' has a table entry that cannot be right: %" G_GINT64_MODIFIER
                      "x",
                      safe_name, entry);
    }
  else if (offset != 0)
    qcow2_check_refer (check, offset, q->cluster_size, 1, place);
}

static gboolean
check_bitmap_table (Qcow2Check *check, guint64 offset, guint64 entries, const char *name,
                    GError **error)
{
  g_autofree char *safe = img_text_escape (name, -1);

  if (!qcow2_check_table (check->q, "bitmap table", offset, entries, 8,
                          QCOW2_MAX_BITMAP_TABLE_BYTES, error))
    return FALSE;
  qcow2_check_refer_metadata (check, "bitmap table", offset, entries * 8, 1, NULL);
  for (guint64 i = 0; i < entries && offset + i * 8 < check->file_size; i++)
    {
      ImgFindingPlace place = { .host_offset = offset + i * 8 };
      const guint8 *bytes = qcow2_check_get (check, place.host_offset, 8, (entries - i) * 8, error);
      if (bytes == NULL)
        return FALSE;
      check_bitmap_entry (check, img_load_be64 (bytes), safe, &place);
    }
  return TRUE;
}

/* What makes a bitmap useless as a whole. QEMU then does not open the image for writing. @digests:
 * of the names before, which could be too many to be kept. */
static void
check_bitmap (Qcow2Check *check, const Qcow2BitmapEntry *entry, guint64 offset, const char *name,
              GHashTable *digests)
{
  const char *wrong = qcow2_bitmap_wrong (check->q, entry);
  ImgFindingPlace place = { .host_offset = offset };
  g_autofree char *safe = img_text_escape (name, -1);

  check->n_lost += wrong == NULL ? 0 : 1;
  if (wrong != NULL)
    img_check_note (check->result, IMG_FINDING_BITMAP, 1, &place,
                    " the %s of bitmap '%s' cannot be right", wrong, safe);
  if (!g_hash_table_add (digests, g_compute_checksum_for_string (G_CHECKSUM_SHA256, name, -1)))
    img_check_note (check->result, IMG_FINDING_BITMAP, 1, &place,
                    " there is another bitmap called '%s'", safe);
}

static gboolean
check_bitmaps (Qcow2Check *check, GError **error)
{
  const Qcow2 *q = check->q;
  g_auto (Qcow2Scan) scan = { 0 };
  g_autoptr (GHashTable) digests = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  if (q->n_bitmaps == 0)
    return TRUE;
  qcow2_check_refer_metadata (check, "bitmap directory", q->bitmap_directory_offset,
                              q->bitmap_directory_bytes, 1, NULL);
  qcow2_scan_begin (&scan, q->file, "bitmap directory", q->bitmap_directory_offset,
                    q->bitmap_directory_bytes);
  for (guint32 i = 0; i < q->n_bitmaps; i++)
    {
      Qcow2BitmapEntry entry;
      guint64 offset = scan.offset;
      g_autofree char *name = qcow2_bitmap_take (q, &scan, &entry, error);
      if (name == NULL)
        return FALSE;
      check_bitmap (check, &entry, offset, name, digests);
      if (entry.table_offset != 0
          && !check_bitmap_table (check, entry.table_offset, entry.table_entries, name, error))
        return FALSE;
    }
  return TRUE;
}

/* ---- encryption ---- */

/* Where there is no LUKS header, it is somewhere else, and its keys with it. */
static gboolean
check_encryption (Qcow2Check *check, GError **error)
{
  const Qcow2 *q = check->q;
  ImgFindingPlace place = { .host_offset = q->luks_offset };
  gboolean is_there, is_good = FALSE;

  if (q->crypt != QCOW2_CRYPT_LUKS)
    return TRUE;
  qcow2_check_refer_metadata (check, "LUKS header", q->luks_offset, q->luks_length, 1, NULL);
  is_there = q->luks_length >= QCOW2_LUKS_FIELDS && check->file_size >= QCOW2_LUKS_FIELDS
             && q->luks_offset <= check->file_size - QCOW2_LUKS_FIELDS;
  if (is_there && !qcow2_crypt_check (q, &is_good, error))
    return FALSE;
  if (is_good)
    return TRUE;
  check->n_lost++;
  img_check_note (check->result, IMG_FINDING_HEADER, 1, &place,
                  " in header: what it points to is not a LUKS header");
  return TRUE;
}

/* ---- the header ---- */

/* QEMU does not open such an image. */
static void
check_header (Qcow2Check *check)
{
  ImgFindingPlace place = { .host_offset = QCOW2_AUTOCLEAR_AT };

  if ((check->q->autoclear & QCOW2_RAW_DATA_FILE) != 0 && !check->has_data_file)
    img_check_note (check->result, IMG_FINDING_HEADER, 1, &place,
                    " in header: data-file-raw requires a data file");
}

gboolean
qcow2_check_metadata (Qcow2Check *check, GError **error)
{
  check_header (check);
  check_snapshots (check);
  return check_encryption (check, error) && check_bitmaps (check, error);
}
