/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From guest offsets to what the L1 and L2 tables say about them. */
#include "base/bytes.h"
#include "format/qcow2/entry.h"
#include "format/qcow2/qcow2.h"

/* A table, as far as a page of it goes. */
typedef struct
{
  const ImgDisk *disk;   /* borrowed */
  const Qcow2Page *page; /* borrowed */
  guint entry_bytes;
  guint unit_bits;     /* log2 of the bytes that one answer is about: a cluster, or part of one */
  guint64 guest_begin; /* what the first entry of the page is about */
} View;

static guint
entry_bits_of (const Qcow2 *q)
{
  return q->incompatible & QCOW2_EXTENDED_L2 ? 4 : 3;
}

/* ---- one entry ---- */

static gboolean
throw_entry (const ImgDisk *disk, guint64 guest_offset, guint64 entry, const char *why,
             GError **error)
{
  const Qcow2 *q = disk->state;
  return img_throw (error, IMG_ERROR_FAILED,
                    "'%s' is damaged: the L2 entry 0x%" G_GINT64_MODIFIER
                    "x of guest offset %" G_GUINT64_FORMAT " %s",
                    q->safe_path, entry, guest_offset, why);
}

/* Offset and length of compressed data share a word; how many bits each has depends on the size of
 * clusters. The length is in sectors, the last of which may be used in part only. */
static gboolean
take_compressed (const ImgDisk *disk, guint64 guest_offset, guint64 entry, Qcow2Run *unit,
                 GError **error)
{
  const Qcow2 *q = disk->state;
  guint length_bits = q->cluster_bits - 8, offset_bits = 62 - length_bits;
  guint64 sectors = (entry >> offset_bits & ((G_GUINT64_CONSTANT (1) << length_bits) - 1)) + 1;

  if (q->incompatible & QCOW2_DATA_FILE)
    return throw_entry (disk, guest_offset, entry,
                        "is compressed, which is not possible with a data file", error);
  unit->kind = IMG_MAPPING_DATA;
  unit->host_offset = entry & ((G_GUINT64_CONSTANT (1) << offset_bits) - 1);
  if (unit->host_offset >> 56 != 0)
    return throw_entry (disk, guest_offset, entry, "has bits that are reserved", error);
  unit->compressed = (gsize)(sectors * QCOW2_SECTOR - unit->host_offset % QCOW2_SECTOR);
  unit->in_cluster = guest_offset & (q->cluster_size - 1);
  return TRUE;
}

/* The part of extended entries that is about one subcluster. */
static gboolean
take_subcluster (const ImgDisk *disk, guint64 guest_offset, guint64 entry, guint64 bitmap,
                 Qcow2Run *unit, GError **error)
{
  const Qcow2 *q = disk->state;
  guint n = (guint)(guest_offset >> (q->cluster_bits - 5)) % QCOW2_SUBCLUSTERS;
  gboolean is_allocated = (bitmap >> n & 1) != 0, is_zero = (bitmap >> (n + 32) & 1) != 0;

  if ((is_allocated && is_zero) || (is_allocated && !unit->has_host))
    return throw_entry (disk, guest_offset, entry, "contradicts its bitmap of subclusters", error);
  unit->kind = is_zero ? IMG_MAPPING_ZERO : is_allocated ? IMG_MAPPING_DATA : IMG_MAPPING_ABSENT;
  return TRUE;
}

/* What @entry (and @bitmap, of extended entries) says about the bytes from @guest_offset to the end
 * of the unit, whose length is set already. */
static gboolean
take_entry (const ImgDisk *disk, guint64 guest_offset, guint64 entry, guint64 bitmap,
            Qcow2Run *unit, GError **error)
{
  const Qcow2 *q = disk->state;
  guint64 in_cluster = guest_offset & (q->cluster_size - 1), offset = entry & QCOW2_OFFSET_MASK;
  gboolean is_extended = (q->incompatible & QCOW2_EXTENDED_L2) != 0;
  gboolean is_zero = !is_extended && (entry & QCOW2_READS_AS_ZERO) != 0;
  gboolean has_data_file = (q->incompatible & QCOW2_DATA_FILE) != 0;

  unit->compressed = 0;
  unit->in_cluster = in_cluster;
  if (entry & QCOW2_COMPRESSED)
    return take_compressed (disk, guest_offset, entry, unit, error);
  if (is_zero && q->version < 3)
    return throw_entry (disk, guest_offset, entry, "has a zero flag, which version 2 has not",
                        error);
  if ((offset & (q->cluster_size - 1)) != 0)
    return throw_entry (disk, guest_offset, entry, "does not point to the beginning of a cluster",
                        error);
  /* Only a data file has a cluster at 0. */
  unit->has_host = offset != 0 || (has_data_file && (entry & QCOW2_COPIED) != 0);
  unit->host_offset = unit->has_host ? offset + in_cluster : 0;
  if (has_data_file && unit->has_host && unit->host_offset != guest_offset)
    return throw_entry (disk, guest_offset, entry, "points to another place of the data file",
                        error);
  if (is_extended)
    return take_subcluster (disk, guest_offset, entry, bitmap, unit, error);
  unit->kind = is_zero ? IMG_MAPPING_ZERO : unit->has_host ? IMG_MAPPING_DATA : IMG_MAPPING_ABSENT;
  return TRUE;
}

/* ---- runs of entries ---- */

/* What the table says about the rest of the unit that @guest_offset is in; FALSE without an error
 * where the page ends. */
static gboolean
take_unit (const View *view, guint64 guest_offset, Qcow2Run *unit, GError **error)
{
  const Qcow2 *q = view->disk->state;
  guint64 index = (guest_offset - view->guest_begin) >> q->cluster_bits;
  gsize at = (gsize)index * view->entry_bytes;
  guint64 unit_size = G_GUINT64_CONSTANT (1) << view->unit_bits;

  if (at + view->entry_bytes > view->page->length)
    return FALSE;
  guint64 entry = img_load_be64 (view->page->bytes + at);
  guint64 bitmap = view->entry_bytes > 8 ? img_load_be64 (view->page->bytes + at + 8) : 0;
  if (entry & QCOW2_COMPRESSED)
    unit_size = q->cluster_size;
  unit->length = unit_size - (guest_offset & (unit_size - 1));
  return take_entry (view->disk, guest_offset, entry, bitmap, unit, error);
}

static gboolean
continues (const Qcow2Run *run, const Qcow2Run *unit)
{
  if (unit->kind != run->kind || unit->compressed != 0)
    return FALSE;
  return unit->has_host == run->has_host
         && (!run->has_host || unit->host_offset == run->host_offset + run->length);
}

static gboolean
find_in_view (const View *view, guint64 guest_offset, guint64 length, Qcow2Run *run, GError **error)
{
  Qcow2Run unit = { 0 };

  if (!take_unit (view, guest_offset, run, error))
    return FALSE;
  while (run->compressed == 0 && run->length < length
         && take_unit (view, guest_offset + run->length, &unit, NULL) && continues (run, &unit))
    run->length += unit.length;
  run->length = MIN (run->length, length);
  return TRUE;
}

/* ---- the two levels ---- */

/* The L2 table that L1 entry @index points to, or 0; and for how many entries on there is none. */
static gboolean
find_l2 (const Qcow2 *q, guint64 index, guint64 *l2_offset, guint64 *n_empty, GError **error)
{
  guint64 bytes = (guint64)q->l1_entries * 8, begin = index * 8 & ~(guint64)(QCOW2_PAGE_BYTES - 1);
  gsize at = (gsize)(index * 8 - begin);
  g_autoptr (Qcow2Page) page
      = qcow2_tables_get (q->tables, "L1 table", q->l1_offset + begin,
                          (gsize)MIN (QCOW2_PAGE_BYTES, bytes - begin), error);

  if (page == NULL)
    return FALSE;
  *l2_offset = img_load_be64 (page->bytes + at) & QCOW2_OFFSET_MASK;
  *n_empty = 0;
  for (; *l2_offset == 0 && at < MIN (QCOW2_PAGE_BYTES, bytes - begin)
         && (img_load_be64 (page->bytes + at) & QCOW2_OFFSET_MASK) == 0;
       at += 8)
    ++*n_empty;
  if ((*l2_offset & (q->cluster_size - 1)) == 0)
    return TRUE;
  return img_throw (error, IMG_ERROR_FAILED,
                    "'%s' is damaged: entry %" G_GUINT64_FORMAT
                    " of its L1 table does not point to the beginning of a cluster, but to "
                    "%" G_GUINT64_FORMAT,
                    q->safe_path, index, *l2_offset);
}

gboolean
qcow2_find_run (const ImgDisk *disk, guint64 guest_offset, guint64 length, Qcow2Run *run,
                GError **error)
{
  const Qcow2 *q = disk->state;
  guint entry_bits = entry_bits_of (q), l2_bits = 2 * q->cluster_bits - entry_bits;
  guint64 l1_index = guest_offset >> l2_bits;
  guint64 l2_begin = l1_index << l2_bits; /* the guest offset that the table begins with */
  guint64 l2_offset, n_empty;

  g_assert (l1_index < q->l1_entries);
  memset (run, 0, sizeof *run);
  if (!find_l2 (q, l1_index, &l2_offset, &n_empty, error))
    return FALSE;
  if (l2_offset == 0)
    {
      run->kind = IMG_MAPPING_ABSENT;
      run->length = MIN (length, (n_empty << l2_bits) - (guest_offset - l2_begin));
      return TRUE;
    }
  gsize page_bytes = (gsize)MIN (QCOW2_PAGE_BYTES, q->cluster_size);
  guint64 at = (guest_offset - l2_begin) >> q->cluster_bits << entry_bits;
  guint64 page_at = at & ~(guint64)(page_bytes - 1);
  g_autoptr (Qcow2Page) page
      = qcow2_tables_get (q->tables, "L2 table", l2_offset + page_at, page_bytes, error);
  if (page == NULL)
    return FALSE;
  View view = { .disk = disk,
                .page = page,
                .entry_bytes = 1u << entry_bits,
                .unit_bits = entry_bits == 4 ? q->cluster_bits - 5 : q->cluster_bits,
                .guest_begin = l2_begin + (page_at >> entry_bits << q->cluster_bits) };
  return find_in_view (&view, guest_offset, length, run, error);
}

gboolean
qcow2_find_entry (const ImgDisk *disk, guint64 guest_offset, guint64 *entry, guint64 *bitmap,
                  GError **error)
{
  const Qcow2 *q = disk->state;
  guint entry_bits = entry_bits_of (q), l2_bits = 2 * q->cluster_bits - entry_bits;
  guint64 l1_index = guest_offset >> l2_bits, l2_offset, n_empty;

  g_assert (l1_index < q->l1_entries);
  *entry = *bitmap = 0;
  if (!find_l2 (q, l1_index, &l2_offset, &n_empty, error))
    return FALSE;
  if (l2_offset == 0)
    return TRUE;
  gsize page_bytes = (gsize)MIN (QCOW2_PAGE_BYTES, q->cluster_size);
  guint64 at = (guest_offset - (l1_index << l2_bits)) >> q->cluster_bits << entry_bits;
  guint64 page_at = at & ~(guint64)(page_bytes - 1);
  g_autoptr (Qcow2Page) page
      = qcow2_tables_get (q->tables, "L2 table", l2_offset + page_at, page_bytes, error);
  if (page == NULL)
    return FALSE;
  *entry = img_load_be64 (page->bytes + (at - page_at));
  *bitmap = entry_bits == 4 ? img_load_be64 (page->bytes + (at - page_at) + 8) : 0;
  return TRUE;
}

/* ---- how much of a file there must be ---- */

static void
reach (guint64 *bytes, guint64 offset, guint64 length)
{
  *bytes = MAX (*bytes, offset + length);
}

gboolean
qcow2_find_needed (const Qcow2 *q, guint64 *bytes, GError **error)
{
  guint64 l1_bytes = (guint64)q->l1_entries * 8;
  g_autofree guint8 *part = g_malloc (QCOW2_PAGE_BYTES);

  *bytes = 0;
  reach (bytes, q->l1_offset, l1_bytes);
  reach (bytes, q->refcount_table_offset, q->refcount_table_clusters * q->cluster_size);
  if (*bytes > img_file_size (q->file))
    return TRUE;
  for (guint64 at = 0; at < l1_bytes; at += QCOW2_PAGE_BYTES)
    {
      gsize length = (gsize)MIN (QCOW2_PAGE_BYTES, l1_bytes - at);
      if (!img_file_read (q->file, q->l1_offset + at, part, length, error))
        return FALSE;
      for (gsize i = 0; i < length; i += 8)
        {
          guint64 offset = img_load_be64 (part + i) & QCOW2_OFFSET_MASK;
          if (offset != 0)
            reach (bytes, offset, q->cluster_size);
        }
    }
  return TRUE;
}
