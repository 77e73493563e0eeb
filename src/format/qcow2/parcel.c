/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a worker writes to a new image: clusters looked at, compressed, placed, and written. */
#include <string.h>

#include "base/buffer.h"
#include "base/size.h"
#include "format/qcow2/deflate.h"
#include "format/qcow2/inflate.h"
#include "format/qcow2/write.h"

/* Bytes that tell how to compress the rest. */
#define SAMPLE ((gsize)65536)

typedef enum
{
  UNIT_ZERO,
  UNIT_SAME, /* as in the disk behind */
  UNIT_PLAIN,
  UNIT_PACKED,
} UnitKind;

/* A cluster. */
typedef struct
{
  UnitKind kind;
  guint64 bitmap;   /* plain: of its extended entry */
  gsize at, length; /* compressed: of the streams */
} Unit;

/* What goes to one place of a file. */
typedef struct
{
  guint64 host_offset;
  gboolean is_packed;
  gsize head;       /* compressed: bytes of @heads that come first */
  gsize at, length; /* then those of the guest's bytes, or of the streams */
} Write;

struct ImgParcel
{
  Qcow2Deflater *deflater; /* owned, or NULL; and so is the next */
  Qcow2Inflater *inflater;
  guint64 guest_offset;
  const guint8 *bytes; /* borrowed */
  gsize length;
  GArray *units;       /* owned Unit */
  GArray *writes;      /* owned Write */
  GByteArray *heads;   /* owned: of compressed writes, one behind the other */
  GByteArray *streams; /* owned: what was compressed, likewise */
  GByteArray *behind;  /* owned: what is in the disk behind */
  GByteArray *joined;  /* owned: what one write consists of; and a place for passing things */
  ImgDisk *source;     /* borrowed: where the bytes are from; or NULL */
  gboolean has_chosen; /* how to compress what is in the parcel */
};

static void
parcel_free (ImgParcel *parcel)
{
  g_clear_pointer (&parcel->deflater, qcow2_deflater_free);
  g_clear_pointer (&parcel->inflater, qcow2_inflater_free);
  g_array_unref (parcel->units);
  g_array_unref (parcel->writes);
  g_byte_array_unref (parcel->heads);
  g_byte_array_unref (parcel->streams);
  g_byte_array_unref (parcel->behind);
  g_byte_array_unref (parcel->joined);
  g_free (parcel);
}

static ImgParcel *
parcel_new (ImgDisk *disk, GError **error)
{
  const Qcow2Writer *w = disk->state;
  Qcow2Deflater *deflater = NULL;

  if (w->layout.is_compressed)
    {
      deflater = qcow2_deflater_new (w->layout.compression, w->layout.compression_level, error);
      if (deflater == NULL)
        return NULL;
    }
  ImgParcel *parcel = g_new0 (ImgParcel, 1);
  parcel->deflater = deflater;
  parcel->units = g_array_new (FALSE, FALSE, sizeof (Unit));
  parcel->writes = g_array_new (FALSE, FALSE, sizeof (Write));
  parcel->heads = g_byte_array_new ();
  parcel->streams = g_byte_array_new ();
  parcel->behind = g_byte_array_new ();
  parcel->joined = g_byte_array_new ();
  return parcel;
}

/* ---- packing ---- */

/* Bit n and bit n + 32 say what subcluster n is; where nothing is behind, nothing need be said of
 * one that is zero. */
static guint64
find_bitmap (const Qcow2Writer *w, const guint8 *cluster)
{
  gsize size = (gsize)w->layout.cluster_size / 32;
  gboolean is_full = w->sparse_size == 0 || w->layout.preallocation != IMG_PREALLOCATION_OFF;
  guint64 bitmap = 0;

  /* Zeros that only make sure of their space hide nothing. */
  for (guint i = 0; i < 32 && !w->shows_through; i++)
    if (is_full || !img_buffer_is_zero (cluster + i * size, size))
      bitmap |= G_GUINT64_CONSTANT (1) << i;
    else if (w->has_backing)
      bitmap |= G_GUINT64_CONSTANT (1) << (i + 32);
  return bitmap;
}

/* The first data in a parcel tells how to compress all of it. */
static void
choose (ImgParcel *parcel, const guint8 *data)
{
  gsize length = MIN (SAMPLE, parcel->length - (gsize)(data - parcel->bytes));

  if (parcel->has_chosen)
    return;
  parcel->has_chosen = TRUE;
  g_byte_array_set_size (parcel->joined, (guint)length);
  qcow2_deflater_choose (parcel->deflater, data, length, parcel->joined->data, length);
}

/* Compress @cluster, if that makes it smaller. */
static gboolean
compress (const Qcow2Writer *w, ImgParcel *parcel, const guint8 *cluster, Unit *unit)
{
  gsize size = (gsize)w->layout.cluster_size;

  choose (parcel, cluster);
  unit->at = parcel->streams->len;
  g_byte_array_set_size (parcel->streams, (guint)(unit->at + size));
  unit->length
      = qcow2_deflate (parcel->deflater, cluster, size, parcel->streams->data + unit->at, size - 1);
  g_byte_array_set_size (parcel->streams, (guint)(unit->at + unit->length));
  return unit->length > 0;
}

/* How many of the compressed bytes at @packed are in the file. */
static gsize
packed_length (const ImgPacked *packed)
{
  guint64 size = img_file_size (packed->file);
  return packed->host_offset < size ? (gsize)MIN (packed->length, size - packed->host_offset) : 0;
}

/* Whether the source has @cluster compressed in the same way, in a cluster of the same size. */
static gboolean
find_packed (const Qcow2Writer *w, ImgParcel *parcel, const guint8 *cluster, ImgPacked *packed)
{
  guint64 size = w->layout.cluster_size;
  guint64 guest_offset = parcel->guest_offset + (guint64)(cluster - parcel->bytes);
  ImgMapping mapping;

  /* Who says a level wants it to be compressed so. */
  if (parcel->source == NULL || w->layout.compression_level != 0
      || !img_disk_map (parcel->source, guest_offset,
                        MIN (size, parcel->source->size - guest_offset), &mapping, NULL))
    return FALSE;
  *packed = mapping.packed;
  return mapping.is_compressed && packed->compression == w->layout.compression
         && packed->cluster == size && packed->in_cluster == 0 && packed_length (packed) > 0;
}

/* What the source has compressed already is taken as it is, once it was seen to give the same
 * bytes.
 */
static gboolean
take_packed (const Qcow2Writer *w, ImgParcel *parcel, const guint8 *cluster, Unit *unit)
{
  gsize size = (gsize)w->layout.cluster_size;
  ImgPacked packed;

  if (!find_packed (w, parcel, cluster, &packed))
    return FALSE;
  gsize length = packed_length (&packed);
  if (parcel->inflater == NULL)
    parcel->inflater = qcow2_inflater_new ((Qcow2Compression)w->layout.compression, NULL);
  unit->at = parcel->streams->len;
  g_byte_array_set_size (parcel->streams, (guint)(unit->at + length));
  g_byte_array_set_size (parcel->joined, (guint)size);
  guint8 *stream = parcel->streams->data + unit->at, *content = parcel->joined->data;
  if (parcel->inflater != NULL
      && img_file_read (packed.file, packed.host_offset, stream, length, NULL))
    unit->length = qcow2_inflate (parcel->inflater, stream, length, content, size);
  if (unit->length >= size || memcmp (content, cluster, size) != 0)
    unit->length = 0;
  g_byte_array_set_size (parcel->streams, (guint)(unit->at + unit->length));
  return unit->length > 0;
}

static void
pack_data (const Qcow2Writer *w, ImgParcel *parcel, const guint8 *cluster)
{
  Unit unit = { .kind = UNIT_PLAIN };

  if (parcel->deflater != NULL
      && (take_packed (w, parcel, cluster, &unit) || compress (w, parcel, cluster, &unit)))
    unit.kind = UNIT_PACKED;
  else if (w->layout.has_extended_l2)
    unit.bitmap = find_bitmap (w, cluster);
  g_array_append_val (parcel->units, unit);
}

static gboolean
read_behind (ImgDisk *disk, ImgParcel *parcel, GError **error)
{
  g_byte_array_set_size (parcel->behind, (guint)parcel->length);
  return img_disk_read_backing (disk, parcel->guest_offset, parcel->behind->data, parcel->length,
                                error);
}

/* What the cluster at @at is that is zero, in a run of zeros that need no space. */
static UnitKind
kind_of_zeros (const Qcow2Writer *w)
{
  if (w->layout.preallocation != IMG_PREALLOCATION_OFF)
    return UNIT_PLAIN;
  /* Version 2 cannot hide what is behind it but by data. */
  return w->has_backing && w->layout.version < 3 ? UNIT_PLAIN : UNIT_ZERO;
}

static void
pack_run (const Qcow2Writer *w, ImgParcel *parcel, gsize begin, gsize length, gboolean is_zero,
          guint64 *zeros)
{
  gsize cluster = (gsize)w->layout.cluster_size;
  Unit zero = { .kind = is_zero ? kind_of_zeros (w) : UNIT_PLAIN };
  Unit same = { .kind = UNIT_SAME };

  for (gsize at = begin; at < begin + length; at += cluster)
    if (w->compares && memcmp (parcel->behind->data + at, parcel->bytes + at, cluster) == 0)
      g_array_append_val (parcel->units, same);
    else if (zero.kind == UNIT_ZERO)
      g_array_append_val (parcel->units, zero);
    else
      {
        pack_data (w, parcel, parcel->bytes + at);
        continue;
      }
  for (guint i = parcel->units->len - (guint)(length / cluster); i < parcel->units->len; i++)
    *zeros += g_array_index (parcel->units, Unit, i).kind <= UNIT_SAME ? cluster : 0;
}

static gboolean
pack (ImgDisk *disk, ImgParcel *parcel, guint64 guest_offset, guint8 *buffer, gsize length,
      ImgDisk *source, guint64 *zeros, GError **error)
{
  const Qcow2Writer *w = disk->state;
  gsize block = (gsize)img_size_round_up (MAX (w->sparse_size, 1), w->layout.cluster_size);
  gsize run;

  parcel->guest_offset = guest_offset;
  parcel->bytes = buffer;
  parcel->length = length;
  g_array_set_size (parcel->units, 0);
  g_byte_array_set_size (parcel->streams, 0);
  parcel->has_chosen = FALSE;
  parcel->source = source;
  *zeros = 0;
  if (w->compares && !read_behind (disk, parcel, error))
    return FALSE;
  for (gsize at = 0; at < length; at += run)
    {
      gboolean is_zero = FALSE;
      run = w->sparse_size == 0 ? length
                                : img_buffer_run (buffer + at, length - at, block, &is_zero);
      pack_run (w, parcel, at, run, is_zero, zeros);
    }
  return TRUE;
}

/* ---- placing ---- */

static void
add_plain (ImgParcel *parcel, guint64 host_offset, gsize at, gsize length)
{
  guint n = parcel->writes->len;
  Write *last = n == 0 ? NULL : &g_array_index (parcel->writes, Write, n - 1);
  Write write = { .host_offset = host_offset, .at = at, .length = length };

  if (last != NULL && !last->is_packed && last->host_offset + last->length == host_offset
      && last->at + last->length == at)
    last->length += length;
  else
    g_array_append_val (parcel->writes, write);
}

/* The block that is not full goes as it is, filled up with zeros: nothing comes behind it. */
static void
end_tail (Qcow2Writer *w, ImgParcel *parcel)
{
  Write write = { .host_offset = w->tail_offset, .is_packed = TRUE, .head = w->block };

  if (w->tail_length == 0)
    return;
  memset (w->tail + w->tail_length, 0, w->block - w->tail_length);
  g_byte_array_append (parcel->heads, w->tail, (guint)w->block);
  g_array_append_val (parcel->writes, write);
  w->tail_length = 0;
}

/* The streams of @parcel from @at belong to @host_offset: what fills whole blocks with what is in
 * the tail is written, the rest is the new tail. */
static void
add_packed (Qcow2Writer *w, ImgParcel *parcel, guint64 host_offset, gsize at, gsize length)
{
  if (w->tail_length > 0 && host_offset != w->tail_offset + w->tail_length)
    end_tail (w, parcel);
  if (w->tail_length == 0)
    w->tail_offset = host_offset;
  g_assert (w->tail_offset % w->block == 0);

  gsize total = w->tail_length + length, rest = total % w->block;
  Write write = { .host_offset = w->tail_offset,
                  .is_packed = TRUE,
                  .head = w->tail_length,
                  .at = at,
                  .length = total - rest - w->tail_length };
  if (total < w->block)
    {
      memcpy (w->tail + w->tail_length, parcel->streams->data + at, length);
      w->tail_length = total;
      return;
    }
  g_byte_array_append (parcel->heads, w->tail, (guint)w->tail_length);
  g_array_append_val (parcel->writes, write);
  memcpy (w->tail, parcel->streams->data + at + length - rest, rest);
  w->tail_offset += total - rest;
  w->tail_length = rest;
}

/* A stretch of streams that lie together. */
typedef struct
{
  guint64 host_offset;
  gsize at, length;
} Stretch;

static gboolean
place_packed (Qcow2Writer *w, ImgParcel *parcel, guint64 guest_offset, const Unit *unit,
              Stretch *stretch, GError **error)
{
  guint64 host_offset;

  if (!qcow2_place_packed (w, guest_offset, unit->length, &host_offset, error))
    return FALSE;
  if (stretch->length > 0 && host_offset == stretch->host_offset + stretch->length)
    {
      stretch->length += unit->length;
      return TRUE;
    }
  if (stretch->length > 0)
    add_packed (w, parcel, stretch->host_offset, stretch->at, stretch->length);
  *stretch = (Stretch){ .host_offset = host_offset, .at = unit->at, .length = unit->length };
  return TRUE;
}

static gboolean
place_unit (Qcow2Writer *w, ImgParcel *parcel, guint64 guest_offset, const Unit *unit,
            Stretch *stretch, GError **error)
{
  guint64 host_offset;

  switch (unit->kind)
    {
    case UNIT_SAME:
      return TRUE;
    case UNIT_ZERO:
      return !w->has_backing || qcow2_place_zero (w, guest_offset, error);
    case UNIT_PACKED:
      return place_packed (w, parcel, guest_offset, unit, stretch, error);
    default:
      if (!qcow2_place_plain (w, guest_offset, w->layout.cluster_size, unit->bitmap, &host_offset,
                              error))
        return FALSE;
      add_plain (parcel, host_offset, (gsize)(guest_offset - parcel->guest_offset),
                 (gsize)w->layout.cluster_size);
      return TRUE;
    }
}

static gboolean
place (ImgDisk *disk, ImgParcel *parcel, GError **error)
{
  Qcow2Writer *w = disk->state;
  Stretch stretch = { 0 };

  g_array_set_size (parcel->writes, 0);
  g_byte_array_set_size (parcel->heads, 0);
  for (guint i = 0; i < parcel->units->len; i++)
    if (!place_unit (w, parcel, parcel->guest_offset + i * w->layout.cluster_size,
                     &g_array_index (parcel->units, Unit, i), &stretch, error))
      return FALSE;
  if (stretch.length > 0)
    add_packed (w, parcel, stretch.host_offset, stretch.at, stretch.length);
  return TRUE;
}

/* ---- putting ---- */

static gboolean
put_plain (const Qcow2Writer *w, const ImgParcel *parcel, const Write *write, GError **error)
{
  const guint8 *bytes = parcel->bytes + write->at;

  if (w->sparse_size == 0)
    return img_file_write (w->data, write->host_offset, bytes, write->length, error);
  return qcow2_write_sparse (w, w->data, write->host_offset, bytes, write->length,
                             (gsize)MAX (w->sparse_size, QCOW2_BLOCK), error);
}

static gboolean
put_packed (const Qcow2Writer *w, ImgParcel *parcel, const Write *write, gsize *head,
            GError **error)
{
  g_byte_array_set_size (parcel->joined, 0);
  g_byte_array_append (parcel->joined, parcel->heads->data + *head, (guint)write->head);
  g_byte_array_append (parcel->joined, parcel->streams->data + write->at, (guint)write->length);
  *head += write->head;
  return img_file_write (w->file, write->host_offset, parcel->joined->data, parcel->joined->len,
                         error);
}

static gboolean
put (ImgDisk *disk, ImgParcel *parcel, GError **error)
{
  const Qcow2Writer *w = disk->state;
  gsize head = 0;

  for (guint i = 0; i < parcel->writes->len; i++)
    {
      const Write *write = &g_array_index (parcel->writes, Write, i);
      if (!(write->is_packed ? put_packed (w, parcel, write, &head, error)
                             : put_plain (w, parcel, write, error)))
        return FALSE;
    }
  return TRUE;
}

gboolean
qcow2_tail_finish (Qcow2Writer *w, GError **error)
{
  gsize length = w->tail_length;

  w->tail_length = 0;
  memset (w->tail + length, 0, w->block - length);
  return length == 0 || img_file_write (w->file, w->tail_offset, w->tail, w->block, error);
}

const ImgParcelFuncs qcow2_parcels = {
  .create = parcel_new,
  .free = parcel_free,
  .pack = pack,
  .place = place,
  .put = put,
  .place_range = qcow2_place_range,
  .place_host = qcow2_place_host,
  .try_to_share = qcow2_try_to_share,
};
