/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bitmaps of a new image, behind the guest's clusters: of each its clusters of bits and its table,
 * and then the directory. What all the bits of a cluster are needs no cluster. */
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/size.h"
#include "base/text.h"
#include "format/qcow2/bitmap-entry.h"
#include "format/qcow2/write.h"

/* Bits are read and written in pieces of this size, or of a cluster. */
#define PIECE ((gsize)1 << 20)

void
qcow2_keep_bitmaps (ImgDisk *disk, GPtrArray *bitmaps)
{
  Qcow2Writer *w = disk->state;
  g_assert (w->layout.has_bitmaps && w->bitmaps == NULL);
  w->bitmaps = g_ptr_array_ref (bitmaps);
}

/* Write @length bytes, whole clusters, behind all that is there. */
static gboolean
append (Qcow2Writer *w, const guint8 *bytes, gsize length, guint64 *host_offset, GError **error)
{
  *host_offset = w->next;
  w->next += length;
  return qcow2_write_sparse (w, w->file, *host_offset, bytes, length, QCOW2_BLOCK, error);
}

static gboolean
are_ones (const guint8 *bytes, gsize length)
{
  return bytes[0] == 0xff && memcmp (bytes, bytes + 1, length - 1) == 0;
}

/* A piece of a bitmap, filled up with zeros to whole clusters. */
typedef struct
{
  guint8 *bytes;  /* owned */
  gsize size;     /* there is room for */
  gsize length;   /* of the bitmap */
  guint8 last;    /* what its last byte is if all bits are set */
  guint8 *tables; /* borrowed: entries of the table that belong to it */
} Piece;

/* The table's entry for the cluster at @at; G_MAXUINT64 if that has to be stored. */
static guint64
find_entry (Piece *piece, gsize at, gsize cluster)
{
  gsize length = MIN (cluster, piece->length - at);
  guint8 *last = piece->bytes + at + length - 1;
  guint8 kept = *last;

  if (img_buffer_is_zero (piece->bytes + at, length))
    return 0;
  if (at + length == piece->length && kept == piece->last)
    *last = 0xff;
  gboolean is_full = are_ones (piece->bytes + at, length);
  *last = kept;
  return is_full ? QCOW2_BITMAP_ALL_ONES : G_MAXUINT64;
}

/* Store what has to be, each run of it with one write. */
static gboolean
write_piece (Qcow2Writer *w, Piece *piece, GError **error)
{
  gsize cluster = (gsize)w->layout.cluster_size, begin = 0;
  guint8 *entry = piece->tables;
  guint64 host_offset;

  for (gsize at = 0; at < piece->length; at += cluster, entry += 8)
    {
      guint64 value = find_entry (piece, at, cluster);
      if (value == G_MAXUINT64)
        {
          img_store_be64 (entry, w->next + at - begin);
          continue;
        }
      img_store_be64 (entry, value);
      if (begin < at && !append (w, piece->bytes + begin, at - begin, &host_offset, error))
        return FALSE;
      begin = at + cluster;
    }
  gsize end = (gsize)img_size_round_up (piece->length, cluster);
  return begin >= end || append (w, piece->bytes + begin, end - begin, &host_offset, error);
}

static gboolean
write_bits (Qcow2Writer *w, const ImgBitmap *bitmap, guint64 bytes, Piece *piece, guint8 *table,
            GError **error)
{
  guint64 cluster = w->layout.cluster_size;
  guint rest = (guint)(img_bitmap_bits (bitmap, bitmap->disk->size) % 8);
  guint8 last = (guint8)(rest == 0 ? 0xffu : (1u << rest) - 1);

  for (guint64 at = 0; at < bytes; at += piece->size)
    {
      piece->length = (gsize)MIN (piece->size, bytes - at);
      piece->tables = table + at / cluster * 8;
      piece->last = at + piece->length == bytes ? last : 0xff;
      if (!img_bitmap_read (bitmap, at, piece->bytes, piece->length, error))
        return FALSE;
      memset (piece->bytes + piece->length, 0,
              (gsize)img_size_round_up (piece->length, cluster) - piece->length);
      if (!write_piece (w, piece, error))
        return FALSE;
    }
  return TRUE;
}

/* Add the entry of @bitmap to @directory. */
static void
append_entry (GByteArray *directory, const ImgBitmap *bitmap, guint64 table_offset, guint64 entries)
{
  static const guint8 zeros[8];
  guint8 fixed[QCOW2_BITMAP_FIXED] = { 0 };
  gsize name_length = strlen (bitmap->name), extra_length = 0;
  const void *extra
      = bitmap->extra == NULL ? NULL : g_bytes_get_data (bitmap->extra, &extra_length);

  img_store_be64 (fixed, table_offset);
  img_store_be32 (fixed + 8, (guint32)entries);
  img_store_be32 (fixed + 12, (bitmap->is_recording ? QCOW2_BITMAP_AUTO : 0)
                                  | (extra_length > 0 ? QCOW2_BITMAP_EXTRA_COMPATIBLE : 0));
  fixed[16] = QCOW2_DIRTY_TRACKING;
  fixed[17] = (guint8)bitmap->granularity_bits;
  img_store_be16 (fixed + 18, (guint16)name_length);
  img_store_be32 (fixed + 20, (guint32)extra_length);
  g_byte_array_append (directory, fixed, sizeof fixed);
  if (extra_length > 0)
    g_byte_array_append (directory, extra, (guint)extra_length);
  g_byte_array_append (directory, (const guint8 *)bitmap->name, (guint)name_length);
  g_byte_array_append (directory, zeros, -directory->len & 7);
}

static gboolean
write_one (Qcow2Writer *w, const ImgBitmap *bitmap, guint64 size, Piece *piece,
           GByteArray *directory, GError **error)
{
  guint64 cluster = w->layout.cluster_size, table_offset;
  guint64 bytes = img_bitmap_bytes (bitmap, size);
  guint64 entries = img_size_round_up (bytes, cluster) / cluster;

  if (img_bitmap_bits (bitmap, size) != img_bitmap_bits (bitmap, bitmap->disk->size))
    {
      g_autofree char *safe = img_text_escape (bitmap->name, -1);
      return img_throw (error, IMG_ERROR_FAILED, "bitmap '%s' is about a disk of another size",
                        safe);
    }
  gsize table_length = (gsize)img_size_round_up (entries * 8, cluster);
  g_autofree guint8 *table = img_buffer_alloc0 (table_length, img_file_path (w->file), error);
  if (table == NULL || !write_bits (w, bitmap, bytes, piece, table, error)
      || !append (w, table, table_length, &table_offset, error))
    return FALSE;
  append_entry (directory, bitmap, table_offset, entries);
  return TRUE;
}

static gboolean
write_directory (Qcow2Writer *w, GByteArray *directory, GError **error)
{
  guint used = directory->len;

  g_byte_array_set_size (directory, (guint)img_size_round_up (used, w->layout.cluster_size));
  memset (directory->data + used, 0, directory->len - used);
  w->bitmap_directory_bytes = used;
  return append (w, directory->data, directory->len, &w->bitmap_directory_offset, error);
}

gboolean
qcow2_bitmaps_write (Qcow2Writer *w, guint64 size, GError **error)
{
  Piece piece = { .size = MAX (PIECE, (gsize)w->layout.cluster_size) };
  g_autoptr (GByteArray) directory = g_byte_array_new ();
  gboolean is_good = TRUE;

  if (w->bitmaps == NULL)
    return TRUE;
  piece.bytes = img_buffer_new (piece.size);
  if (piece.bytes == NULL)
    return img_throw_errno (error, "cannot get memory for bitmaps");
  for (guint i = 0; is_good && i < w->bitmaps->len; i++)
    {
      const ImgBitmap *bitmap = w->bitmaps->pdata[i];
      if (bitmap->state != IMG_BITMAP_GOOD)
        continue;
      w->n_bitmaps++;
      is_good = write_one (w, bitmap, size, &piece, directory, error);
    }
  img_buffer_free (piece.bytes, piece.size);
  return is_good && (w->n_bitmaps == 0 || write_directory (w, directory, error));
}
