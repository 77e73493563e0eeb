/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/text.h"
#include "format/qcow2/check.h"
#include "format/qcow2/rewrite.h"

/* What a disk may keep of its tables, and spend on decompressing, if nobody says less. */
#define TABLES_BUDGET ((gsize)8 << 20)
#define DECODERS_PER_TABLES 6

static void
close_state (ImgDisk *disk)
{
  Qcow2 *q = disk->state;
  g_clear_pointer (&q->decoders, qcow2_decoders_free);
  g_clear_pointer (&q->tables, qcow2_tables_free);
  g_free (q->safe_path);
  g_free (q);
}

static gboolean
open_image (ImgDisk *disk, GError **error)
{
  Qcow2 *q = g_new0 (Qcow2, 1);

  disk->state = q;
  q->file = disk->file;
  q->safe_path = img_text_escape (img_file_path (disk->file), -1);
  if (!qcow2_header_read (q, disk, error))
    return FALSE;
  disk->size = q->size;
  return TRUE;
}

static gboolean
begin (ImgDisk *disk, GError **error)
{
  Qcow2 *q = disk->state;
  gsize budget = disk->cache_budget == 0 ? TABLES_BUDGET : disk->cache_budget;

  if (q->crypt != QCOW2_CRYPT_NONE)
    return img_throw (error, IMG_ERROR_UNSUPPORTED,
                      "'%s' is encrypted (%s), and reading that is not supported yet", q->safe_path,
                      q->crypt == QCOW2_CRYPT_LUKS ? "LUKS" : "AES");
  if ((q->incompatible & QCOW2_DATA_FILE) && disk->data == NULL)
    return img_throw (error, IMG_ERROR_FAILED,
                      "'%s': its content is in another file, and it does not say in which",
                      q->safe_path);
  g_assert (disk->backing.name == NULL || disk->backing_disk != NULL);
  q->tables = qcow2_tables_new (q->file, budget);
  q->decoders = qcow2_decoders_new (q->compression, (gsize)q->cluster_size,
                                    DECODERS_PER_TABLES * budget, disk->workspace);
  return TRUE;
}

static gboolean
map (ImgDisk *disk, guint64 guest_offset, guint64 length, ImgMapping *mapping, GError **error)
{
  const Qcow2 *q = disk->state;
  Qcow2Run run;

  if (!qcow2_find_run (disk, guest_offset, length, &run, error))
    return FALSE;
  mapping->guest_offset = guest_offset;
  mapping->length = run.length;
  mapping->kind = run.kind;
  mapping->is_compressed = run.compressed != 0;
  mapping->packed = (ImgPacked){ .file = q->file,
                                 .host_offset = run.host_offset,
                                 .length = run.compressed,
                                 .cluster = q->cluster_size,
                                 .in_cluster = run.in_cluster,
                                 .compression = (ImgCompression)q->compression };
  mapping->file = run.has_host ? qcow2_data (disk) : NULL;
  mapping->host_offset = run.host_offset;
  return TRUE;
}

const ImgFormat img_qcow2_format = {
  .name = "qcow2",
  .open = open_image,
  .select = qcow2_snapshot_select,
  .begin = begin,
  .describe = qcow2_describe,
  .read = qcow2_read,
  .map = map,
  .find_bitmaps = qcow2_bitmaps_find,
  .read_bitmap = qcow2_bitmap_read,
  .create_rows = qcow2_create_rows,
  .check_options = qcow2_check_options,
  .create = qcow2_create,
  .rewrite = qcow2_rewrite,
  .check = qcow2_check,
  .close = close_state,
};
