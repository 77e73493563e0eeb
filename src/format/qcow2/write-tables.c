/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tables of a new image: L2 on the way, the rest at the end. */
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/size.h"
#include "format/qcow2/counts.h"
#include "format/qcow2/entry.h"
#include "format/qcow2/qcow2.h"
#include "format/qcow2/write.h"

/* Tables are written in pieces of about this size. */
#define BATCH ((gsize)4 << 20)

/* Clusters of tables are large, and often nearly empty. */
static gboolean
write_tables (const Qcow2Writer *w, guint64 host_offset, const guint8 *bytes, gsize length,
              GError **error)
{
  return qcow2_write_sparse (w, w->file, host_offset, bytes, length, QCOW2_BLOCK, error);
}

/* ---- L2 ---- */

gboolean
qcow2_writer_flush_tables (Qcow2Writer *w, GError **error)
{
  guint64 cluster = w->layout.cluster_size, host_offset = w->next;
  gsize length = w->table_index->len * (gsize)cluster;

  if (length == 0)
    return TRUE;
  w->next += length;
  if (!write_tables (w, host_offset, w->tables, length, error))
    return FALSE;
  for (guint i = 0; i < w->table_index->len; i++)
    {
      guint64 index = g_array_index (w->table_index, guint64, i);
      if (w->l1->len <= index)
        g_array_set_size (w->l1, (guint)index + 1);
      g_array_index (w->l1, guint64, index) = (host_offset + i * cluster) | QCOW2_COPIED;
    }
  g_array_set_size (w->table_index, 0);
  return TRUE;
}

static gboolean
begin_table (Qcow2Writer *w, guint64 index, GError **error)
{
  gsize cluster = (gsize)w->layout.cluster_size;

  if (w->tables == NULL)
    {
      w->max_tables = (guint)MAX (BATCH / cluster, 1);
      w->tables = img_buffer_new (w->max_tables * cluster);
      if (w->tables == NULL)
        return img_throw_errno (error, "cannot get memory for tables");
    }
  if (w->table_index->len == w->max_tables && !qcow2_writer_flush_tables (w, error))
    return FALSE;
  memset (w->tables + w->table_index->len * cluster, 0, cluster);
  g_array_append_val (w->table_index, index);
  return TRUE;
}

guint8 *
qcow2_writer_entry (Qcow2Writer *w, guint64 guest_offset, GError **error)
{
  guint l2_bits = qcow2_layout_l2_bits (&w->layout);
  guint64 index = guest_offset >> l2_bits, in_table = guest_offset & ((1ull << l2_bits) - 1);
  guint n = w->table_index->len;

  if ((n == 0 || g_array_index (w->table_index, guint64, n - 1) != index)
      && !begin_table (w, index, error))
    return NULL;
  return w->tables + (w->table_index->len - 1) * (gsize)w->layout.cluster_size
         + (in_table >> w->layout.cluster_bits << qcow2_layout_entry_bits (&w->layout));
}

/* ---- how many use a cluster ---- */

#define PAGE_CLUSTERS 65536

void
qcow2_writer_share (Qcow2Writer *w, guint64 host_offset)
{
  guint64 index = host_offset >> w->layout.cluster_bits;
  guint page = (guint)(index / PAGE_CLUSTERS);

  if (w->shared->len <= page)
    g_ptr_array_set_size (w->shared, (gint)page + 1);
  if (w->shared->pdata[page] == NULL)
    w->shared->pdata[page] = g_new0 (guint16, PAGE_CLUSTERS);
  ((guint16 *)w->shared->pdata[page])[index % PAGE_CLUSTERS]++;
}

guint64
qcow2_writer_users (const Qcow2Writer *w, guint64 host_offset)
{
  guint64 index = host_offset >> w->layout.cluster_bits, page = index / PAGE_CLUSTERS;
  const guint16 *shared = page < w->shared->len ? w->shared->pdata[page] : NULL;
  return 1 + (shared == NULL ? 0 : (guint64)shared[index % PAGE_CLUSTERS]);
}

/* ---- refcounts ---- */

/* Write the refcounts of the first @n_clusters in @n_blocks blocks at @offset. */
static gboolean
write_refcounts (Qcow2Writer *w, guint64 offset, guint64 n_blocks, guint64 n_clusters,
                 guint8 *buffer, gsize size, GError **error)
{
  guint64 per_block = w->layout.cluster_size * 8 >> w->layout.refcount_order, cluster = 0;
  guint64 batch = size / w->layout.cluster_size;

  for (guint64 block = 0; block < n_blocks; block += batch)
    {
      guint64 n = MIN (batch, n_blocks - block);
      guint64 end = MIN (n_clusters, (block + n) * per_block);
      gsize length = (gsize)(n * w->layout.cluster_size);
      memset (buffer, 0, length);
      for (guint64 first = cluster; cluster < end; cluster++)
        qcow2_refcount_store (buffer, w->layout.refcount_order, cluster - first,
                              qcow2_writer_users (w, cluster << w->layout.cluster_bits));
      if (!write_tables (w, offset + block * w->layout.cluster_size, buffer, length, error))
        return FALSE;
    }
  return TRUE;
}

/* ---- L1, and the table of refcount blocks ---- */

typedef guint64 (*Entry) (const Qcow2Writer *w, guint64 index, guint64 base);

static guint64
l1_entry (const Qcow2Writer *w, guint64 index, G_GNUC_UNUSED guint64 base)
{
  return index < w->l1->len ? g_array_index (w->l1, guint64, index) : 0;
}

static guint64
block_entry (const Qcow2Writer *w, guint64 index, guint64 base)
{
  return base + index * w->layout.cluster_size;
}

/* Write a table of @n entries and what fills its last cluster at @offset. */
static gboolean
write_table (Qcow2Writer *w, guint64 offset, guint64 n, guint64 n_clusters, Entry entry,
             guint64 base, guint8 *buffer, gsize size, GError **error)
{
  guint64 bytes = n_clusters * w->layout.cluster_size;

  for (guint64 at = 0; at < bytes; at += size)
    {
      gsize length = (gsize)MIN (size, bytes - at);
      memset (buffer, 0, length);
      for (gsize i = 0; i < length && (at + i) / 8 < n; i += 8)
        img_store_be64 (buffer + i, entry (w, (at + i) / 8, base));
      if (!write_tables (w, offset + at, buffer, length, error))
        return FALSE;
    }
  return TRUE;
}

/* ---- the end ---- */

/* What comes behind the guest's clusters and the L2 tables. */
typedef struct
{
  guint64 l1_clusters;
  guint64 block_offset, n_blocks;
  guint64 table_clusters;
  guint64 n_clusters; /* of the whole file */
} Rest;

/* The refcounts count their own clusters as well. */
static gboolean
lay_out_rest (Qcow2Writer *w, Qcow2Places *places, Rest *rest, GError **error)
{
  guint64 cluster = w->layout.cluster_size, used;
  guint64 per_block = cluster * 8 >> w->layout.refcount_order;
  guint64 l1_entries
      = img_size_divide_up (places->size, (guint64)1 << qcow2_layout_l2_bits (&w->layout));

  places->l1_entries = (guint32)l1_entries;
  places->l1_offset = l1_entries == 0 ? 0 : w->next; /* a disk of no size needs none */
  rest->l1_clusters = img_size_divide_up (l1_entries * 8, cluster);
  rest->block_offset = w->next + rest->l1_clusters * cluster;
  used = rest->block_offset / cluster;
  rest->n_clusters = used;
  do
    {
      rest->n_blocks = img_size_divide_up (rest->n_clusters, per_block);
      rest->table_clusters = img_size_divide_up (rest->n_blocks * 8, cluster);
      rest->n_clusters = used + rest->n_blocks + rest->table_clusters;
    }
  while (rest->n_blocks * per_block < rest->n_clusters);
  places->refcount_offset = rest->block_offset + rest->n_blocks * cluster;
  places->refcount_clusters = (guint32)rest->table_clusters;
  w->next = rest->n_clusters * cluster;
  /* A stream's size is not known before its end. */
  return (l1_entries * 8 <= QCOW2_MAX_L1_BYTES
          && rest->table_clusters * cluster <= QCOW2_MAX_REFCOUNT_TABLE_BYTES)
         || img_throw (error, IMG_ERROR_FAILED,
                       "the image becomes too large for clusters of %" G_GUINT64_FORMAT
                       " bytes; a larger cluster_size makes room",
                       cluster);
}

static gboolean
write_rest (Qcow2Writer *w, const Qcow2Places *places, const Rest *rest, guint8 *buffer, gsize size,
            GError **error)
{
  return write_table (w, places->l1_offset, places->l1_entries, rest->l1_clusters, l1_entry, 0,
                      buffer, size, error)
         && write_refcounts (w, rest->block_offset, rest->n_blocks, rest->n_clusters, buffer, size,
                             error)
         && write_table (w, places->refcount_offset, rest->n_blocks, rest->table_clusters,
                         block_entry, rest->block_offset, buffer, size, error);
}

/* The header makes it an image: last, and where the file has its name already, not before all else
 * is on the disk. */
static gboolean
write_header (Qcow2Writer *w, const Qcow2Places *places, GError **error)
{
  g_autofree guint8 *header = qcow2_header_write (w, places, error);
  return header != NULL
         && (!w->is_in_place
             || ((!w->is_durable || img_file_flush (w->file, error))
                 && (w->before_valid == NULL || w->before_valid (w->closure, error))))
         && img_file_write (w->file, 0, header, (gsize)w->layout.cluster_size, error);
}

gboolean
qcow2_writer_finish (Qcow2Writer *w, guint64 size, GError **error)
{
  gsize buffer_size = MAX (BATCH, (gsize)w->layout.cluster_size);
  Qcow2Places places = { .size = size };
  Rest rest = { 0 };

  if (!qcow2_writer_flush_tables (w, error) || !lay_out_rest (w, &places, &rest, error))
    return FALSE;
  guint8 *buffer = img_buffer_new (buffer_size);
  if (buffer == NULL)
    return img_throw_errno (error, "cannot get memory for tables");
  gboolean is_good = write_rest (w, &places, &rest, buffer, buffer_size, error);
  img_buffer_free (buffer, buffer_size);
  return is_good && (img_file_is_device (w->file) || img_file_resize (w->file, w->next, error))
         && write_header (w, &places, error);
}
