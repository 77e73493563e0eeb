/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The directory of bitmaps, as far as it is shown. */
#include <string.h>

#include "base/bytes.h"
#include "base/size.h"
#include "format/qcow2/bitmap-entry.h"
#include "format/qcow2/entry.h"
#include "format/qcow2/qcow2.h"
#include "format/qcow2/scan.h"

char *
qcow2_bitmap_take (const Qcow2 *q, Qcow2Scan *scan, Qcow2BitmapEntry *entry, GError **error)
{
  guint8 fixed[QCOW2_BITMAP_FIXED];

  if (!qcow2_scan_take (scan, fixed, sizeof fixed, error))
    return NULL;
  entry->table_offset = img_load_be64 (fixed);
  entry->table_entries = img_load_be32 (fixed + 8);
  entry->flags = img_load_be32 (fixed + 12);
  entry->granularity_bits = fixed[17];
  gsize name_length = img_load_be16 (fixed + 18), extra_length = img_load_be32 (fixed + 20);
  if (fixed[16] != QCOW2_DIRTY_TRACKING || entry->granularity_bits < QCOW2_MIN_GRANULARITY_BITS
      || entry->granularity_bits > QCOW2_MAX_GRANULARITY_BITS || name_length == 0
      || name_length > QCOW2_MAX_BITMAP_NAME || extra_length > q->bitmap_directory_bytes)
    return img_null_throw (error, IMG_ERROR_FAILED,
                           "'%s': an entry of its bitmap directory makes no sense", q->safe_path);
  entry->name_length = name_length;
  entry->extra_offset = scan->offset;
  entry->extra_length = extra_length;
  if (!qcow2_scan_take (scan, NULL, extra_length, error))
    return NULL;
  g_autofree char *name = qcow2_scan_take_text (scan, name_length, error);
  gsize total = QCOW2_BITMAP_FIXED + extra_length + name_length;
  if (name == NULL || !qcow2_scan_take (scan, NULL, (8 - total % 8) % 8, error))
    return NULL;
  return g_steal_pointer (&name);
}

/* How many entries the table has, and *@bytes the bitmap, of a disk of @size bytes. */
static guint64
count_entries (const Qcow2 *q, const Qcow2BitmapEntry *entry, guint64 size, guint64 *bytes)
{
  const ImgBitmap bitmap = { .granularity_bits = entry->granularity_bits };

  *bytes = img_bitmap_bytes (&bitmap, size);
  return img_size_divide_up (*bytes, q->cluster_size);
}

const char *
qcow2_bitmap_wrong (const Qcow2 *q, const Qcow2BitmapEntry *entry)
{
  guint64 bytes, whole_bytes;
  guint64 entries = count_entries (q, entry, q->size, &bytes);
  /* QEMU has disks of whole sectors. */
  guint64 of_sectors
      = count_entries (q, entry, q->size / QCOW2_SECTOR * QCOW2_SECTOR, &whole_bytes);

  if ((entry->flags & ~QCOW2_BITMAP_KNOWN_FLAGS) != 0)
    return "flags";
  if (entry->table_offset == 0 || entry->table_entries == 0)
    return "place";
  if ((entry->flags & QCOW2_BITMAP_IN_USE) == 0
      && (whole_bytes > QCOW2_MAX_BITMAP_BYTES
          || (entry->table_entries != entries && entry->table_entries != of_sectors)))
    return "size";
  return NULL;
}

/* The bitmaps that are listed so far. */
typedef struct
{
  ImgFact *facts; /* borrowed */
  gsize bytes;    /* of their names */
} List;

static gboolean
describe_one (const Qcow2 *q, Qcow2Scan *scan, List *list, GError **error)
{
  Qcow2BitmapEntry entry;
  g_autofree char *name = qcow2_bitmap_take (q, scan, &entry, error);

  if (name == NULL)
    return FALSE;
  list->bytes += strlen (name);
  if (list->facts->facts->len >= IMG_MAX_LISTED || list->bytes > IMG_MAX_LISTED_BYTES)
    return TRUE;
  ImgFact *bitmap = img_fact_add_group (list->facts, NULL);
  ImgFact *flag_list = img_fact_add_list (bitmap, "flags");
  if (entry.flags & QCOW2_BITMAP_IN_USE)
    img_fact_add_text (flag_list, NULL, "in-use");
  if (entry.flags & QCOW2_BITMAP_AUTO)
    img_fact_add_text (flag_list, NULL, "auto");
  img_fact_add_text (bitmap, "name", name);
  img_fact_add_number (bitmap, "granularity", G_GUINT64_CONSTANT (1) << entry.granularity_bits);
  return TRUE;
}

gboolean
qcow2_bitmaps_describe (const Qcow2 *q, ImgFact *facts, GError **error)
{
  g_auto (Qcow2Scan) scan = { 0 };

  if (q->n_bitmaps == 0)
    return TRUE;
  List list = { .facts = img_fact_add_list (facts, "bitmaps") };
  qcow2_scan_begin (&scan, q->file, "bitmap directory", q->bitmap_directory_offset,
                    q->bitmap_directory_bytes);
  for (guint32 i = 0; i < q->n_bitmaps; i++)
    if (!describe_one (q, &scan, &list, error))
      return FALSE;
  if (list.facts->facts->len < q->n_bitmaps)
    img_fact_add_number (facts, "bitmaps-total", q->n_bitmaps);
  return TRUE;
}
