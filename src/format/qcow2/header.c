/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/text.h"
#include "format/qcow2/qcow2.h"

guint64
qcow2_l1_needed (const Qcow2 *q, guint64 size)
{
  guint entry_bits = q->incompatible & QCOW2_EXTENDED_L2 ? 4 : 3;
  guint l2_bits = q->cluster_bits - entry_bits + q->cluster_bits;
  return (size >> l2_bits) + ((size & ((G_GUINT64_CONSTANT (1) << l2_bits) - 1)) != 0 ? 1 : 0);
}

gboolean
qcow2_check_table (const Qcow2 *q, const char *what, guint64 offset, guint64 entries,
                   guint64 entry_bytes, guint64 max_bytes, GError **error)
{
  guint64 bytes, end;
  if (!g_uint64_checked_mul (&bytes, entries, entry_bytes) || bytes > max_bytes)
    return img_throw (error, IMG_ERROR_FAILED,
                      "'%s': its %s has %" G_GUINT64_FORMAT
                      " entries, which is more than a qcow2 image may have",
                      q->safe_path, what, entries);
  if (!g_uint64_checked_add (&end, offset, bytes) || end > G_MAXINT64
      || (offset & (q->cluster_size - 1)) != 0)
    return img_throw (error, IMG_ERROR_FAILED,
                      "'%s': its %s cannot begin at offset %" G_GUINT64_FORMAT, q->safe_path, what,
                      offset);
  return TRUE;
}

/* The fields that both versions have. */
static gboolean
take_common (Qcow2 *q, const guint8 *fields, GError **error)
{
  guint32 crypt = img_load_be32 (fields + 32);

  q->cluster_bits = img_load_be32 (fields + 20);
  q->size = img_load_be64 (fields + 24);
  q->l1_entries = img_load_be32 (fields + 36);
  q->l1_offset = img_load_be64 (fields + 40);
  q->refcount_table_offset = img_load_be64 (fields + 48);
  q->refcount_table_clusters = img_load_be32 (fields + 56);
  q->n_snapshots = img_load_be32 (fields + 60);
  q->snapshots_offset = img_load_be64 (fields + 64);
  if (q->cluster_bits < QCOW2_MIN_CLUSTER_BITS || q->cluster_bits > QCOW2_MAX_CLUSTER_BITS)
    return img_throw (error, IMG_ERROR_FAILED,
                      "'%s': clusters of 2^%u bytes are not possible in qcow2 (2^9 to 2^21 are)",
                      q->safe_path, q->cluster_bits);
  q->cluster_size = G_GUINT64_CONSTANT (1) << q->cluster_bits;
  if (crypt > QCOW2_CRYPT_LUKS)
    return img_throw (error, IMG_ERROR_UNSUPPORTED,
                      "'%s': unknown method of encryption %u in its header", q->safe_path, crypt);
  q->crypt = (Qcow2Crypt)crypt;
  return TRUE;
}

/* The fields of version 3; @length bytes of the header could be read. */
static gboolean
take_version_3 (Qcow2 *q, const guint8 *fields, gsize length, GError **error)
{
  if (length < QCOW2_V3_LENGTH)
    return img_throw (error, IMG_ERROR_FAILED, "'%s': the file ends inside its header",
                      q->safe_path);
  q->incompatible = img_load_be64 (fields + 72);
  q->compatible = img_load_be64 (fields + 80);
  q->autoclear = img_load_be64 (fields + 88);
  q->refcount_order = img_load_be32 (fields + 96);
  q->header_length = img_load_be32 (fields + 100);
  if (q->header_length < QCOW2_V3_LENGTH || q->header_length > q->cluster_size)
    return img_throw (error, IMG_ERROR_FAILED,
                      "'%s': a header of %u bytes is not possible (104 to the size of a cluster)",
                      q->safe_path, q->header_length);
  if (q->refcount_order > 6)
    return img_throw (error, IMG_ERROR_FAILED,
                      "'%s': refcounts of 2^%u bits are not possible (64 at most)", q->safe_path,
                      q->refcount_order);
  return TRUE;
}

/* Byte 104, which only images with that feature have. */
static gboolean
take_compression (Qcow2 *q, const guint8 *fields, gsize length, GError **error)
{
  guint type = q->header_length > QCOW2_V3_LENGTH && length > QCOW2_V3_LENGTH
                   ? fields[QCOW2_V3_LENGTH]
                   : 0;

  if ((type != QCOW2_ZLIB) != ((q->incompatible & QCOW2_COMPRESSION) != 0))
    return img_throw (error, IMG_ERROR_FAILED,
                      "'%s': its compression type %u contradicts its feature bits", q->safe_path,
                      type);
  if (type > QCOW2_ZSTD)
    return img_throw (error, IMG_ERROR_UNSUPPORTED, "'%s': unknown compression type %u",
                      q->safe_path, type);
  q->compression = (Qcow2Compression)type;
  return TRUE;
}

static gboolean
check_tables (const Qcow2 *q, GError **error)
{
  if (q->size > G_MAXINT64)
    return img_throw (error, IMG_ERROR_FAILED,
                      "'%s': a disk of %" G_GUINT64_FORMAT " bytes is not possible", q->safe_path,
                      q->size);
  if ((q->incompatible & QCOW2_EXTENDED_L2) && q->cluster_bits < 14)
    return img_throw (error, IMG_ERROR_FAILED,
                      "'%s': extended L2 entries need clusters of 16 KiB at least", q->safe_path);
  if (!qcow2_check_table (q, "L1 table", q->l1_offset, q->l1_entries, 8, QCOW2_MAX_L1_BYTES, error)
      || !qcow2_check_table (q, "refcount table", q->refcount_table_offset,
                             q->refcount_table_clusters, q->cluster_size,
                             QCOW2_MAX_REFCOUNT_TABLE_BYTES, error)
      || !qcow2_check_table (q, "snapshot table", q->snapshots_offset, q->n_snapshots, 1,
                             QCOW2_MAX_SNAPSHOTS, error))
    return FALSE;
  if (q->l1_entries < qcow2_l1_needed (q, q->size))
    return img_throw (error, IMG_ERROR_FAILED,
                      "'%s': an L1 table of %u entries is too small for %" G_GUINT64_FORMAT
                      " bytes",
                      q->safe_path, q->l1_entries, q->size);
  return TRUE;
}

/* The name of the backing file, at @offset of the header's cluster @head. */
static gboolean
take_backing (const Qcow2 *q, ImgDisk *disk, const guint8 *head, gsize length, guint64 offset,
              guint32 name_length, GError **error)
{
  if (offset == 0)
    return TRUE;
  if (name_length > MIN (QCOW2_MAX_BACKING_NAME, q->cluster_size - offset))
    return img_throw (error, IMG_ERROR_FAILED,
                      "'%s': the name of its backing file is too long (%u bytes)", q->safe_path,
                      name_length);
  if (offset + name_length > length)
    return img_throw (error, IMG_ERROR_FAILED,
                      "'%s': the file ends inside the name of its backing file", q->safe_path);
  if (memchr (head + offset, 0, name_length) != NULL)
    return img_throw (error, IMG_ERROR_FAILED, "'%s': the name of its backing file contains a NUL",
                      q->safe_path);
  if (name_length > 0)
    disk->backing.name = g_strndup ((const char *)head + offset, name_length);
  return TRUE;
}

/* What stands between the header and the end of its cluster, or the backing file's name. */
static gboolean
take_rest (Qcow2 *q, ImgDisk *disk, const guint8 *fields, GError **error)
{
  guint64 backing_offset = img_load_be64 (fields + 8);
  guint64 unknown = q->incompatible & ~QCOW2_KNOWN_INCOMPATIBLE;

  if (backing_offset > q->cluster_size || (backing_offset != 0 && backing_offset < QCOW2_V2_LENGTH))
    return img_throw (error, IMG_ERROR_FAILED,
                      "'%s': the name of its backing file cannot be at offset %" G_GUINT64_FORMAT,
                      q->safe_path, backing_offset);
  gsize length = (gsize)MIN (q->cluster_size, img_file_size (q->file));
  gsize end = (gsize)(backing_offset != 0 ? MIN (backing_offset, length) : length);
  gsize begin = MIN (q->header_length, end);
  g_autofree guint8 *head = img_buffer_alloc (length, img_file_path (q->file), error);
  return head != NULL && img_file_read (q->file, 0, head, length, error)
         && qcow2_features_check (q, unknown, head + begin, end - begin, error)
         && take_backing (q, disk, head, length, backing_offset, img_load_be32 (fields + 16), error)
         && qcow2_extensions_read (q, disk, head + begin, end - begin, error);
}

gboolean
qcow2_header_read (Qcow2 *q, ImgDisk *disk, GError **error)
{
  guint8 fields[QCOW2_FIELDS_LENGTH] = { 0 };
  gsize length = (gsize)MIN (sizeof fields, img_file_size (q->file));

  if (!img_file_read (q->file, 0, fields, length, error))
    return FALSE;
  if (length < QCOW2_V2_LENGTH || img_load_be32 (fields) != QCOW2_MAGIC)
    return img_throw (error, IMG_ERROR_FAILED, "'%s' is not a qcow2 image%s", q->safe_path,
                      length < QCOW2_V2_LENGTH ? ": it is too short" : "");
  q->version = img_load_be32 (fields + 4);
  if (q->version != 2 && q->version != 3)
    return img_throw (error, IMG_ERROR_UNSUPPORTED,
                      "'%s' is a qcow2 image of version %u; 2 and 3 are known", q->safe_path,
                      q->version);
  q->header_length = QCOW2_V2_LENGTH;
  q->refcount_order = 4;
  if (!take_common (q, fields, error)
      || (q->version >= 3 && !take_version_3 (q, fields, length, error)))
    return FALSE;
  return take_rest (q, disk, fields, error) && take_compression (q, fields, length, error)
         && check_tables (q, error);
}
