/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What bitmaps say: their tables, each entry of which is a cluster of bits or what all of them are.
 *
 * All is checked before the first bit is asked for. No two bitmaps share a cluster, so that all of
 * them together are not larger than the file. */
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/size.h"
#include "base/text.h"
#include "format/qcow2/bitmap-entry.h"
#include "format/qcow2/qcow2.h"
#include "format/qcow2/scan.h"

/* Names are kept in memory: the longest directory that is copied. */
#define MAX_DIRECTORY ((guint64)16 << 20)

/* A bitmap, and where it is. */
typedef struct
{
  ImgBitmap shown; /* first: img_bitmap_free() frees all of it */
  Qcow2BitmapEntry entry;
} Qcow2Bitmap;

static gboolean
throw_bad (const Qcow2 *q, const Qcow2Bitmap *bitmap, const char *what, GError **error)
{
  g_autofree char *safe = img_text_escape (bitmap->shown.name, -1);
  return img_throw (error, IMG_ERROR_FAILED, "'%s': the %s of its bitmap '%s' makes no sense",
                    q->safe_path, what, safe);
}

/* ---- entries ---- */

static gboolean
take_entry (const Qcow2Bitmap *bitmap, guint64 index, guint64 *entry, GError **error)
{
  const Qcow2 *q = bitmap->shown.disk->state;
  guint64 at = index * 8, begin = at / QCOW2_PAGE_BYTES * QCOW2_PAGE_BYTES;
  gsize length = (gsize)MIN (QCOW2_PAGE_BYTES, (guint64)bitmap->entry.table_entries * 8 - begin);
  g_autoptr (Qcow2Page) page = qcow2_tables_get (q->tables, "entry of a bitmap table",
                                                 bitmap->entry.table_offset + begin, length, error);

  if (page == NULL)
    return FALSE;
  *entry = img_load_be64 (page->bytes + (at - begin));
  guint64 offset = *entry & QCOW2_BITMAP_OFFSET_MASK;
  if (!qcow2_bitmap_entry_is_good (*entry, q->cluster_size))
    return throw_bad (q, bitmap, "table", error);
  if (offset == 0
      || (q->cluster_size <= img_file_size (q->file)
          && offset <= img_file_size (q->file) - q->cluster_size))
    return TRUE;
  return img_throw (error, IMG_ERROR_FAILED,
                    "'%s' is truncated: a cluster of a bitmap is at offset %" G_GUINT64_FORMAT
                    ", and the file has only %" G_GUINT64_FORMAT " bytes",
                    q->safe_path, offset, img_file_size (q->file));
}

gboolean
qcow2_bitmap_read (const ImgBitmap *shown, guint64 offset, guint8 *buffer, gsize length,
                   GError **error)
{
  const Qcow2Bitmap *bitmap = (const Qcow2Bitmap *)shown;
  const Qcow2 *q = shown->disk->state;
  gsize part;

  for (gsize at = 0; at < length; at += part)
    {
      guint64 in_cluster = (offset + at) & (q->cluster_size - 1), entry;
      part = (gsize)MIN (length - at, q->cluster_size - in_cluster);
      if (!take_entry (bitmap, (offset + at) >> q->cluster_bits, &entry, error))
        return FALSE;
      guint64 host_offset = entry & QCOW2_BITMAP_OFFSET_MASK;
      if (host_offset == 0)
        memset (buffer + at, entry & QCOW2_BITMAP_ALL_ONES ? 0xff : 0, part);
      else if (!img_file_read (q->file, host_offset + in_cluster, buffer + at, part, error))
        return FALSE;
    }
  return TRUE;
}

/* ---- checking ---- */

/* *@taken is what bitmaps have of the file so far. */
static gboolean
take_space (const Qcow2 *q, guint64 bytes, guint64 *taken, GError **error)
{
  *taken += bytes;
  return *taken <= img_file_size (q->file)
         || img_throw (error, IMG_ERROR_FAILED,
                       "'%s': its bitmaps are larger than the file: some share clusters",
                       q->safe_path);
}

static gboolean
check_entries (const Qcow2 *q, const Qcow2Bitmap *bitmap, guint64 *taken, GError **error)
{
  guint64 entry;

  for (guint32 i = 0; i < bitmap->entry.table_entries; i++)
    if (!take_entry (bitmap, i, &entry, error)
        || ((entry & QCOW2_BITMAP_OFFSET_MASK) != 0
            && !take_space (q, q->cluster_size, taken, error)))
      return FALSE;
  return TRUE;
}

static gboolean
check (const Qcow2 *q, const Qcow2Bitmap *bitmap, guint64 *taken, GError **error)
{
  const char *wrong = qcow2_bitmap_wrong (q, &bitmap->entry);
  guint64 bytes = img_bitmap_bytes (&bitmap->shown, q->size);
  guint64 entries = img_size_divide_up (bytes, q->cluster_size);

  if (wrong == NULL && (bytes > QCOW2_MAX_BITMAP_BYTES || bitmap->entry.table_entries != entries))
    wrong = "size";
  if (wrong != NULL)
    return throw_bad (q, bitmap, wrong, error);
  return qcow2_check_table (q, "bitmap table", bitmap->entry.table_offset, entries, 8, G_MAXINT64,
                            error)
         && take_space (q, entries * 8, taken, error) && check_entries (q, bitmap, taken, error);
}

/* ---- the directory ---- */

static gboolean
take_extra (const Qcow2 *q, Qcow2Bitmap *bitmap, GError **error)
{
  gsize length = bitmap->entry.extra_length;

  if (length == 0 || bitmap->shown.state != IMG_BITMAP_GOOD)
    return TRUE;
  guint8 *extra = img_buffer_alloc (length, img_file_path (q->file), error);
  if (extra == NULL)
    return FALSE;
  bitmap->shown.extra = g_bytes_new_take (extra, length);
  return img_file_read (q->file, bitmap->entry.extra_offset, extra, length, error);
}

/* The next bitmap in the directory; what the spec says about extra data that nobody knows: it may
 * be used if that is compatible, and otherwise not at all. */
static gboolean
take_one (ImgDisk *disk, Qcow2Scan *scan, Qcow2Bitmap *bitmap, GError **error)
{
  const Qcow2 *q = disk->state;
  const Qcow2BitmapEntry *entry = &bitmap->entry;

  bitmap->shown.disk = disk;
  bitmap->shown.name = qcow2_bitmap_take (q, scan, &bitmap->entry, error);
  if (bitmap->shown.name == NULL)
    return FALSE;
  bitmap->shown.granularity_bits = entry->granularity_bits;
  bitmap->shown.is_recording = (entry->flags & QCOW2_BITMAP_AUTO) != 0;
  if (entry->flags & QCOW2_BITMAP_IN_USE)
    bitmap->shown.state = IMG_BITMAP_IN_USE;
  else if (entry->extra_length > 0 && (entry->flags & QCOW2_BITMAP_EXTRA_COMPATIBLE) == 0)
    bitmap->shown.state = IMG_BITMAP_UNKNOWN;
  return take_extra (q, bitmap, error);
}

/* Each entry, in order, is one with another name, and they are all that there is. */
static GPtrArray *
read_directory (ImgDisk *disk, GError **error)
{
  const Qcow2 *q = disk->state;
  g_autoptr (GPtrArray) bitmaps = g_ptr_array_new_with_free_func ((GDestroyNotify)img_bitmap_free);
  g_autoptr (GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);
  g_auto (Qcow2Scan) scan = { 0 };

  if (q->bitmap_directory_bytes > MAX_DIRECTORY)
    return img_null_throw (error, IMG_ERROR_UNSUPPORTED,
                           "'%s': its bitmap directory is too long to be copied", q->safe_path);
  qcow2_scan_begin (&scan, q->file, "bitmap directory", q->bitmap_directory_offset,
                    q->bitmap_directory_bytes);
  for (guint32 i = 0; i < q->n_bitmaps; i++)
    {
      Qcow2Bitmap *bitmap = g_new0 (Qcow2Bitmap, 1);
      g_ptr_array_add (bitmaps, bitmap);
      if (!take_one (disk, &scan, bitmap, error))
        return NULL;
      if (strlen (bitmap->shown.name) == bitmap->entry.name_length
          && g_hash_table_add (names, bitmap->shown.name))
        continue;
      throw_bad (q, bitmap, "name", error);
      return NULL;
    }
  if (q->n_bitmaps > 0 && scan.offset != q->bitmap_directory_offset + q->bitmap_directory_bytes)
    return img_null_throw (error, IMG_ERROR_FAILED,
                           "'%s': its bitmap directory is longer than the %u bitmaps in it",
                           q->safe_path, q->n_bitmaps);
  return g_steal_pointer (&bitmaps);
}

GPtrArray *
qcow2_bitmaps_find (ImgDisk *disk, gboolean *are_stale, GError **error)
{
  const Qcow2 *q = disk->state;
  guint64 taken = 0;

  if (q->version < 3)
    return img_null_throw (error, IMG_ERROR_UNSUPPORTED,
                           "source lacks bitmap support: '%s' is a qcow2 image of version 2",
                           q->safe_path);
  *are_stale = q->has_stale_bitmaps;
  g_autoptr (GPtrArray) bitmaps = read_directory (disk, error);
  for (guint i = 0; bitmaps != NULL && i < bitmaps->len; i++)
    {
      const Qcow2Bitmap *bitmap = bitmaps->pdata[i];
      if (bitmap->shown.state == IMG_BITMAP_GOOD && !check (q, bitmap, &taken, error))
        return NULL;
    }
  return g_steal_pointer (&bitmaps);
}
