/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/qcow2/rewrite.h"

#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/size.h"
#include "file/zero.h"
#include "format/qcow2/entry.h"
#include "format/qcow2/repair.h"

/* Of the header: from the number of L1 entries to that of the clusters of the refcount table. */
#define TABLES_AT 36
#define TABLES_LENGTH 24

/* ---- whether it can be done ---- */

static gboolean
check_kind (const Qcow2 *q, GError **error)
{
  const struct
  {
    gboolean is_wrong;
    const char *message;
  } rules[] = {
    { (q->incompatible & (QCOW2_DIRTY | QCOW2_CORRUPT)) != 0,
      "it is marked as dirty or corrupt; imgtool check -r all repairs it" },
    { (q->incompatible & QCOW2_DATA_FILE) != 0, "its content is in a data file" },
    { (q->autoclear & QCOW2_BITMAPS) != 0 && q->n_bitmaps > 0,
      "it has persistent bitmaps, which would not be right any more" },
  };
  for (guint i = 0; i < G_N_ELEMENTS (rules); i++)
    if (rules[i].is_wrong)
      return img_throw (error, IMG_ERROR_UNSUPPORTED, "'%s' cannot be written into: %s",
                        q->safe_path, rules[i].message);
  return TRUE;
}

/* Flags and refcounts are relied upon: they must be right. *@end is where the image ends. */
static gboolean
check_content (ImgDisk *previous, guint64 *end, GError **error)
{
  const Qcow2 *q = previous->state;
  const ImgCheckParams params = { 0 };
  g_auto (ImgCheckResult) result = { 0 };

  img_check_result_init (&result);
  if (!qcow2_check (previous, &params, &result, error))
    return FALSE;
  *end = result.image_end_offset;
  if (result.corruptions == 0 && result.errors == 0)
    return TRUE;
  return img_throw (error, IMG_ERROR_FAILED,
                    "'%s' cannot be written into: it has errors (imgtool check lists them, -r "
                    "repairs them)",
                    q->safe_path);
}

/* ---- beginning ---- */

static void
take_layout (Qcow2Writer *w, const Qcow2 *q, const ImgCreateOptions *options)
{
  guint64 level = options->compression_level;

  w->layout = (Qcow2Layout){ .version = q->version,
                             .cluster_bits = q->cluster_bits,
                             .cluster_size = q->cluster_size,
                             .refcount_order = q->refcount_order,
                             .compression = (ImgCompression)q->compression,
                             .compression_level = level == G_MAXUINT64 ? 0 : (int)level,
                             .is_compressed = options->is_compressed,
                             .has_extended_l2 = (q->incompatible & QCOW2_EXTENDED_L2) != 0,
                             .has_bitmaps = options->has_bitmaps };
}

/* What belongs to features that are not known here is out of date once anything is written. */
static gboolean
clear_unknown (const Qcow2Writer *w, const Qcow2 *q, GError **error)
{
  guint64 known = q->autoclear & QCOW2_KNOWN_AUTOCLEAR;
  guint64 word = GUINT64_TO_BE (known);

  return q->version < 3 || known == q->autoclear
         || (img_file_write (w->file, QCOW2_AUTOCLEAR_AT, &word, sizeof word, error)
             && (!w->is_durable || img_file_flush (w->file, error)));
}

gboolean
qcow2_rewrite (ImgDisk *disk, const ImgCreateParams *params, GError **error)
{
  const ImgDisk *previous = disk->previous;
  const Qcow2 *q = previous->state;
  Qcow2Writer *w = qcow2_writer_new (disk, params);
  guint64 end;

  w->previous = previous;
  take_layout (w, q, params->options);
  if (!check_kind (q, error) || (w->layout.has_bitmaps && !qcow2_rewrite_check_room (q, error))
      || !check_content (disk->previous, &end, error))
    return FALSE;
  w->has_backing = previous->backing.name != NULL;
  w->is_zero = params->is_zero;
  w->is_clean = FALSE;
  w->is_in_place = TRUE;
  qcow2_writer_begin (disk, img_size_round_up (end, q->cluster_size));
  return clear_unknown (w, q, error);
}

/* ---- on the way ---- */

gboolean
qcow2_rewrite_find (Qcow2Writer *w, guint64 guest_offset, gboolean *is_there, guint64 *host_offset,
                    GError **error)
{
  guint64 entry, bitmap;

  if (!qcow2_find_entry (w->previous, guest_offset, &entry, &bitmap, error))
    return FALSE;
  *host_offset = entry & QCOW2_OFFSET_MASK;
  *is_there = (entry & QCOW2_COPIED) != 0 && (entry & QCOW2_COMPRESSED) == 0 && *host_offset != 0;
  return TRUE;
}

static gboolean
keep_entry (Qcow2Writer *w, guint64 guest_offset, GError **error)
{
  guint64 entry, bitmap;

  if (!qcow2_find_entry (w->previous, guest_offset, &entry, &bitmap, error))
    return FALSE;
  return (entry == 0 && bitmap == 0) || qcow2_set_entry (w, guest_offset, entry, bitmap, error);
}

gboolean
qcow2_rewrite_keep (Qcow2Writer *w, guint64 guest_offset, guint64 length, GError **error)
{
  guint64 end = MIN (guest_offset + length, w->previous->size);
  Qcow2Run run;

  for (guint64 at = guest_offset; at < end; at += w->layout.cluster_size)
    {
      /* Where nothing is known of much it need not be looked at cluster by cluster. */
      if (!qcow2_find_run (w->previous, at, end - at, &run, error))
        return FALSE;
      if (run.kind == IMG_MAPPING_ABSENT && !run.has_host && run.length > w->layout.cluster_size)
        at += run.length / w->layout.cluster_size * w->layout.cluster_size - w->layout.cluster_size;
      else if (!keep_entry (w, at, error))
        return FALSE;
    }
  return TRUE;
}

/* ---- the end ---- */

/* The L1 table: what was written, and behind it what was there. The L2 table in between has entries
 * of both kinds. */
static gboolean
complete_l1 (Qcow2Writer *w, guint64 size, GError **error)
{
  const Qcow2 *q = w->previous->state;
  guint64 cluster = q->cluster_size, covered = (guint64)1 << qcow2_layout_l2_bits (&w->layout);
  guint64 end = img_size_round_up (size, cluster);
  guint64 middle = img_size_round_up (end, covered), word;

  if (end < middle && end < q->size && !qcow2_rewrite_keep (w, end, middle - end, error))
    return FALSE;
  if (!qcow2_writer_flush_tables (w, error))
    return FALSE;
  if (w->l1->len < q->l1_entries)
    g_array_set_size (w->l1, q->l1_entries);
  for (guint64 i = middle / covered; i < q->l1_entries; i++)
    {
      if (!img_file_read (q->file, q->l1_offset + i * 8, &word, sizeof word, error))
        return FALSE;
      g_array_index (w->l1, guint64, i) = GUINT64_FROM_BE (word);
    }
  return TRUE;
}

static gboolean
write_l1 (Qcow2Writer *w, guint64 *offset, GError **error)
{
  gsize length = (gsize)img_size_round_up ((guint64)w->l1->len * 8, w->layout.cluster_size);
  g_autofree guint8 *bytes = img_buffer_alloc0 (length, img_file_path (w->file), error);

  if (bytes == NULL)
    return FALSE;
  for (guint i = 0; i < w->l1->len; i++)
    img_store_be64 (bytes + i * 8, g_array_index (w->l1, guint64, i));
  *offset = w->next;
  w->next += length;
  return img_file_write (w->file, *offset, bytes, length, error);
}

/* Write the patches of the new refcounts, and find what the header is to say about them. */
static gboolean
write_plan (Qcow2Writer *w, const ImgPlan *plan, guint8 *fields, GError **error)
{
  if (!img_plan_check (plan, img_file_path (w->file), error))
    return FALSE;
  for (guint i = 0; i < plan->patches->len; i++)
    {
      const ImgPatch *patch = plan->patches->pdata[i];
      if (patch->stage == IMG_STAGE_SWITCH)
        memcpy (fields + patch->offset - TABLES_AT, patch->bytes, patch->length);
      else if (!img_file_write (w->file, patch->offset, patch->bytes, patch->length, error))
        return FALSE;
    }
  return TRUE;
}

/* All that is in use must be found, or what a snapshot has would be free: once more, now that there
 * is the new L1 table. */
static gboolean
knows_uses (const Qcow2Check *check, GError **error)
{
  const ImgCheckResult *result = check->result;
  const char *reason = NULL;

  if (check->n_lost == 0 && result->errors == 0 && result->n_of_kind[IMG_FINDING_OVERFLOW] == 0
      && !check->is_uncounted)
    return TRUE;
  for (guint i = 0; i < result->findings->len && reason == NULL; i++)
    {
      const ImgFinding *finding = result->findings->pdata[i];
      if (img_finding_class (finding->kind) == IMG_FINDING_IS_ERROR)
        reason = finding->text;
    }
  return img_throw (error, IMG_ERROR_FAILED, "'%s': what is in use cannot be found again%s%s",
                    check->q->safe_path, reason == NULL ? "" : ":", reason == NULL ? "" : reason);
}

/* Count all references anew, with the new L1 table in place of the old one, and write what comes of
 * it behind all else. */
static gboolean
write_refcounts (Qcow2Writer *w, Qcow2Check *check, guint8 *fields, GError **error)
{
  g_autoptr (ImgPlan) plan = img_plan_new ();

  if (!qcow2_check_run (check, error) || !knows_uses (check, error))
    return FALSE;
  check->n_clusters = w->next >> w->layout.cluster_bits;
  return qcow2_repair_rebuild (check, plan, error)
         && (img_file_is_device (w->file) || img_file_resize (w->file, plan->size, error))
         && write_plan (w, plan, fields, error);
}

static gboolean
switch_over (Qcow2Writer *w, const guint8 *fields, GError **error)
{
  return (!w->is_durable || img_file_flush (w->file, error))
         && img_file_write (w->file, TABLES_AT, fields, TABLES_LENGTH, error)
         && (!w->is_durable || img_file_flush (w->file, error));
}

/* What nobody refers to any more, the old content among it, takes no space. */
static void
give_back (Qcow2Writer *w, const Qcow2Check *check)
{
  guint64 begin = 0;

  for (guint64 i = 0; i <= check->n_clusters; i++)
    {
      if (i < check->n_clusters && qcow2_counts_get (check->counts, i) == 0)
        continue;
      if (begin < i
          && !img_file_zero (w->file, begin << w->layout.cluster_bits,
                             (i - begin) << w->layout.cluster_bits,
                             IMG_ZERO_MAY_UNMAP | IMG_ZERO_NO_FALLBACK, NULL))
        return; /* it can do without */
      begin = i + 1;
    }
}

/* The tables as they will be, for who counts the references. */
static gboolean
finish_with (Qcow2Writer *w, guint64 l1_offset, guint8 *fields, GError **error)
{
  Qcow2 q = *(const Qcow2 *)w->previous->state;
  const ImgDisk disk = { .file = w->file, .state = &q };
  const ImgCheckParams params = { 0 };
  g_auto (ImgCheckResult) result = { 0 };
  g_auto (Qcow2Check) check = { 0 };

  q.l1_offset = l1_offset;
  q.n_bitmaps = w->n_bitmaps;
  q.bitmap_directory_offset = w->bitmap_directory_offset;
  q.bitmap_directory_bytes = w->bitmap_directory_bytes;
  img_check_result_init (&result);
  qcow2_check_init (&check, &disk, &params, &result);
  if (!write_refcounts (w, &check, fields, error) || !switch_over (w, fields, error)
      || !qcow2_rewrite_add_bitmaps (w, error))
    return FALSE;
  if (!img_file_is_device (w->file))
    give_back (w, &check);
  return TRUE;
}

gboolean
qcow2_rewrite_finish (Qcow2Writer *w, guint64 size, GError **error)
{
  const Qcow2 *q = w->previous->state;
  guint8 fields[TABLES_LENGTH];
  guint64 l1_offset;

  if (!complete_l1 (w, size, error) || !qcow2_bitmaps_write (w, q->size, error)
      || !write_l1 (w, &l1_offset, error)
      || (!img_file_is_device (w->file) && !img_file_resize (w->file, w->next, error)))
    return FALSE;
  img_store_be32 (fields, q->l1_entries);
  img_store_be64 (fields + 4, l1_offset);
  return finish_with (w, l1_offset, fields, error);
}
