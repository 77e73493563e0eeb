/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/qcow2/rewrite.h"

#include "base/buffer.h"
#include "base/size.h"
#include "file/zero.h"
#include "format/qcow2/entry.h"
#include "format/qcow2/qcow2.h"

gboolean
qcow2_write_sparse (const Qcow2Writer *w, ImgFile *file, guint64 host_offset, const guint8 *bytes,
                    gsize length, gsize block, GError **error)
{
  gsize run;

  if (!w->is_clean)
    return img_file_write (file, host_offset, bytes, length, error);
  for (gsize at = 0; at < length; at += run)
    {
      gboolean is_zero;
      run = img_buffer_run (bytes + at, length - at, block, &is_zero);
      if (!is_zero && !img_file_write (file, host_offset + at, bytes + at, run, error))
        return FALSE;
    }
  return TRUE;
}

static void
close_writer (ImgDisk *disk)
{
  Qcow2Writer *w = disk->state;
  if (w->tables != NULL)
    img_buffer_free (w->tables, w->max_tables * (gsize)w->layout.cluster_size);
  for (guint i = 0; i < w->shared->len; i++)
    g_free (w->shared->pdata[i]);
  g_ptr_array_unref (w->shared);
  g_clear_pointer (&w->bitmaps, g_ptr_array_unref);
  g_array_unref (w->l1);
  g_array_unref (w->table_index);
  g_free (w->tail);
  g_free (w->backing_name);
  g_free (w->backing_format);
  g_free (w->data_name);
  g_free (w);
}

static gboolean
finish (ImgDisk *disk, guint64 size, GError **error)
{
  Qcow2Writer *w = disk->state;
  if (w->previous != NULL)
    return qcow2_tail_finish (w, error) && qcow2_rewrite_finish (w, size, error);
  /* As QEMU counts, in sectors. */
  return qcow2_tail_finish (w, error)
         && (!w->layout.has_data_file || img_file_is_device (w->data)
             || img_file_size (w->data) >= size || img_file_resize (w->data, size, error))
         && qcow2_bitmaps_write (w, size, error)
         && qcow2_writer_finish (w, img_size_round_up (size, QCOW2_SECTOR), error);
}

static gboolean
flush (ImgDisk *disk, GError **error)
{
  const Qcow2Writer *w = disk->state;
  return (w->data == w->file || img_file_flush (w->data, error)) && img_file_flush (w->file, error);
}

static const ImgFormat writer_format = {
  .name = "qcow2",
  .parcels = &qcow2_parcels,
  .finish = finish,
  .flush = flush,
  .keep_bitmaps = qcow2_keep_bitmaps,
  .close = close_writer,
};

/* ---- creating ---- */

/* How large the file of a disk is whose clusters are all there; nearly. */
static guint64
full_size (const Qcow2Layout *layout, guint64 size)
{
  guint64 cluster = layout->cluster_size;
  guint64 tables = img_size_divide_up (size, (guint64)1 << qcow2_layout_l2_bits (layout));
  guint64 n = 1 + tables + img_size_divide_up (tables * 8, cluster);
  if (!layout->has_data_file)
    n += img_size_divide_up (size, cluster);
  guint64 blocks = img_size_divide_up (n, cluster * 8 >> layout->refcount_order);
  return (n + blocks + img_size_divide_up (blocks * 8, cluster)) * cluster;
}

static gboolean
allocate (const Qcow2Writer *w, guint64 size, GError **error)
{
  ImgPreallocation preallocation = w->layout.preallocation;

  return preallocation < IMG_PREALLOCATION_FALLOC || size == 0
         || img_file_allocate_first (w->data,
                                     w->data == w->file ? full_size (&w->layout, size) : size,
                                     preallocation == IMG_PREALLOCATION_FULL, error);
}

/* Nobody must take for an image what is not whole: an old header goes first. */
static gboolean
invalidate (const Qcow2Writer *w, GError **error)
{
  if (w->is_clean || !w->is_in_place)
    return TRUE;
  if (w->before_change != NULL)
    w->before_change (w->closure);
  return img_file_zero (w->file, 0, MIN (w->layout.cluster_size, img_file_size (w->file)), 0, error)
         && (!w->is_durable || img_file_flush (w->file, error));
}

Qcow2Writer *
qcow2_writer_new (ImgDisk *disk, const ImgCreateParams *params)
{
  Qcow2Writer *w = g_new0 (Qcow2Writer, 1);

  disk->state = w;
  disk->format = &writer_format;
  w->l1 = g_array_new (FALSE, TRUE, sizeof (guint64));
  w->table_index = g_array_new (FALSE, FALSE, sizeof (guint64));
  w->shared = g_ptr_array_new ();
  w->file = disk->file;
  w->data = params->data != NULL ? params->data : disk->file;
  w->is_clean = params->is_clean;
  w->is_in_place = params->is_in_place;
  w->is_durable = params->is_durable;
  w->sparse_size = params->sparse_size;
  w->before_valid = params->before_valid;
  w->before_change = params->before_change;
  w->closure = params->closure;
  return w;
}

void
qcow2_writer_begin (ImgDisk *disk, guint64 next)
{
  Qcow2Writer *w = disk->state;

  w->block = (gsize)MIN (QCOW2_BLOCK, w->layout.cluster_size);
  w->tail = g_malloc (w->block);
  w->next = next;
  disk->unit = w->layout.cluster_size;
}

gboolean
qcow2_create (ImgDisk *disk, const ImgCreateParams *params, GError **error)
{
  Qcow2Writer *w = qcow2_writer_new (disk, params);

  if (!qcow2_layout_init (&w->layout, params->options, error))
    return FALSE;
  w->backing_name = g_strdup (params->options->backing_file);
  w->backing_format = g_strdup (params->options->backing_format);
  w->data_name = g_strdup (params->options->data_file);
  w->has_backing = w->compares = params->backing_disk != NULL;
  w->shows_through = params->options->backing_file != NULL && !w->has_backing;
  qcow2_writer_begin (disk, w->layout.cluster_size);
  return invalidate (w, error)
         && (params->size == IMG_DISK_SIZE_UNKNOWN || allocate (w, params->size, error));
}
