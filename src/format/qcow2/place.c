/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where in a new image the guest's clusters go. */
#include "base/bytes.h"
#include "file/clone.h"
#include "file/zero.h"
#include "format/qcow2/entry.h"
#include "format/qcow2/rewrite.h"

/* Of extended entries: all subclusters are there, or all read as zeros. */
#define ALL_THERE G_GUINT64_CONSTANT (0x00000000ffffffff)
#define ALL_ZERO G_GUINT64_CONSTANT (0xffffffff00000000)

/* Of entries of clusters that are not compressed. */
#define OFFSET_BITS 56

gboolean
qcow2_set_entry (Qcow2Writer *w, guint64 guest_offset, guint64 value, guint64 bitmap,
                 GError **error)
{
  guint8 *entry = qcow2_writer_entry (w, guest_offset, error);
  if (entry == NULL)
    return FALSE;
  img_store_be64 (entry, value);
  if (w->layout.has_extended_l2)
    img_store_be64 (entry + 8, bitmap);
  return TRUE;
}

/* Whether an entry has room for the offset of the last of @length bytes at @host_offset, of which
 * it keeps @bits. */
static gboolean
check_offset (guint64 host_offset, guint64 length, guint bits, GError **error)
{
  return (host_offset + length - 1) >> bits == 0
         || img_throw (error, IMG_ERROR_FAILED,
                       "the image becomes too large: offset %" G_GUINT64_FORMAT
                       " of its file does not fit into its tables",
                       host_offset + length - 1);
}

gboolean
qcow2_place_plain (Qcow2Writer *w, guint64 guest_offset, guint64 length, guint64 bitmap,
                   guint64 *host_offset, GError **error)
{
  guint64 cluster = w->layout.cluster_size;

  g_assert (length % cluster == 0);
  if (w->previous != NULL)
    {
      gboolean is_there;
      g_assert (length == cluster);
      if (!qcow2_rewrite_find (w, guest_offset, &is_there, host_offset, error))
        return FALSE;
      if (is_there)
        return qcow2_set_entry (w, guest_offset, *host_offset | QCOW2_COPIED, bitmap, error);
    }
  /* In a data file the guest's bytes lie where they are for the guest. */
  *host_offset = w->layout.has_data_file ? guest_offset : w->next;
  if (!check_offset (*host_offset, length, OFFSET_BITS, error))
    return FALSE;
  if (!w->layout.has_data_file)
    w->next += length;
  for (guint64 at = 0; at < length; at += cluster)
    if (!qcow2_set_entry (w, guest_offset + at, (*host_offset + at) | QCOW2_COPIED, bitmap, error))
      return FALSE;
  return TRUE;
}

gboolean
qcow2_place_zero (Qcow2Writer *w, guint64 guest_offset, GError **error)
{
  return qcow2_set_entry (w, guest_offset, w->layout.has_extended_l2 ? 0 : QCOW2_READS_AS_ZERO,
                          ALL_ZERO, error);
}

/* ---- compressed ---- */

/* Whether what is compressed next may begin in the cluster that the last ended in. */
static gboolean
may_share (const Qcow2Writer *w)
{
  guint64 most
      = w->layout.refcount_order >= 4 ? G_MAXUINT16 : (1u << (1u << w->layout.refcount_order)) - 1;
  return w->packed < w->packed_end && qcow2_writer_users (w, w->packed) < most;
}

gboolean
qcow2_place_packed (Qcow2Writer *w, guint64 guest_offset, gsize length, guint64 *host_offset,
                    GError **error)
{
  guint64 cluster = w->layout.cluster_size;
  gboolean shares = may_share (w);
  gboolean fits = shares && length <= w->packed_end - w->packed;

  if (!fits)
    {
      /* It may go on into the next cluster if that comes right behind. */
      shares = shares && w->packed_end == w->next;
      if (!shares)
        w->packed = w->next;
      w->next += cluster;
      w->packed_end = w->next;
    }
  if (shares)
    qcow2_writer_share (w, w->packed);
  *host_offset = w->packed;
  w->packed += length;
  guint64 sectors = (*host_offset + length - 1) / QCOW2_SECTOR - *host_offset / QCOW2_SECTOR;
  guint shift = 62 - (w->layout.cluster_bits - 8);
  return check_offset (*host_offset, length, MIN (shift, OFFSET_BITS), error)
         && qcow2_set_entry (w, guest_offset, *host_offset | sectors << shift | QCOW2_COMPRESSED, 0,
                             error);
}

/* ---- without a parcel ---- */

/* Version 2 cannot hide what is behind it but by data. */
static gboolean
place_written_zeros (Qcow2Writer *w, guint64 guest_offset, GError **error)
{
  guint64 cluster = w->layout.cluster_size, host_offset;
  return qcow2_place_plain (w, guest_offset, cluster, 0, &host_offset, error)
         && (w->is_clean || img_file_zero (w->data, host_offset, cluster, 0, error));
}

static gboolean
place_zeros (Qcow2Writer *w, guint64 guest_offset, guint64 length, GError **error)
{
  guint64 cluster = w->layout.cluster_size, host_offset;

  if (w->is_zero)
    return qcow2_rewrite_keep (w, guest_offset, length, error);
  if (w->layout.preallocation != IMG_PREALLOCATION_OFF)
    return qcow2_place_plain (w, guest_offset, length, w->shows_through ? 0 : ALL_THERE,
                              &host_offset, error)
           && (w->is_clean
               || img_file_zero (w->data, host_offset, length, IMG_ZERO_MAY_UNMAP, error));
  if (!w->has_backing)
    return TRUE;
  for (guint64 at = 0; at < length; at += cluster)
    if (!(w->layout.version < 3 ? place_written_zeros (w, guest_offset + at, error)
                                : qcow2_place_zero (w, guest_offset + at, error)))
      return FALSE;
  return TRUE;
}

gboolean
qcow2_place_range (ImgDisk *disk, guint64 guest_offset, guint64 length, ImgPlaceKind kind,
                   GError **error)
{
  Qcow2Writer *w = disk->state;
  guint64 mask = w->layout.cluster_size - 1;

  if (kind == IMG_PLACE_SAME)
    return TRUE;
  return place_zeros (w, guest_offset, (length + mask) & ~mask, error);
}

gboolean
qcow2_place_host (ImgDisk *disk, guint64 guest_offset, guint64 length, ImgFile **file,
                  guint64 *host_offset, GError **error)
{
  Qcow2Writer *w = disk->state;
  guint64 mask = w->layout.cluster_size - 1;

  g_assert (!w->layout.is_compressed);
  *file = w->data;
  return qcow2_place_plain (w, guest_offset, (length + mask) & ~mask, ALL_THERE, host_offset,
                            error);
}

/* The place of the header is free to try it; in place only its end, for nobody must take for an
 * image what the source begins with. Blocks of a file system are not smaller than this, and in a
 * data file there is no such place. */
gboolean
qcow2_try_to_share (ImgDisk *disk, ImgFile *source, guint64 host_offset, GError **error)
{
  const Qcow2Writer *w = disk->state;
  guint64 cluster = w->layout.cluster_size, length = w->is_in_place ? QCOW2_BLOCK : cluster;

  if (w->layout.is_compressed || w->layout.has_data_file || w->previous != NULL
      || cluster < QCOW2_BLOCK || (w->is_in_place && cluster == QCOW2_BLOCK)
      || host_offset % QCOW2_BLOCK != 0 || img_file_size (source) < length
      || host_offset > img_file_size (source) - length)
    return img_throw (error, IMG_ERROR_UNSUPPORTED, "nothing can be shared with this image");
  return img_file_clone (source, host_offset, w->file, cluster - length, length, error);
}
