/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading all content, once for each table that refers to it: can it be read and decompressed? */
#include "base/buffer.h"
#include "base/bytes.h"
#include "base/text.h"
#include "format/qcow2/check.h"

#define READ_BYTES ((gsize)1 << 20)
#define DECODER_BYTES ((gsize)16 << 20)

/* Clusters that lie one behind the other. */
typedef struct
{
  Qcow2Check *check;
  ImgFile *file;           /* borrowed: where content lies that is not compressed */
  guint64 file_size;       /* bytes of it */
  Qcow2Decoders *decoders; /* owned */
  guint8 *buffer;          /* owned */
  gsize size;
  guint64 host_offset, length; /* bytes; length 0: none */
  ImgFindingPlace place;       /* of the first */
  GError *no_memory;           /* owned: not of the image, and the end of the check; NULL: none */
} Reader;

static void
reader_clear (Reader *reader)
{
  g_clear_pointer (&reader->decoders, qcow2_decoders_free);
  g_clear_error (&reader->no_memory);
  g_free (reader->buffer);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Reader, reader_clear)

static void
note (Reader *reader, const ImgFindingPlace *place, const GError *failure)
{
  img_check_note (reader->check->result, IMG_FINDING_DATA, 1, place, ": %s", failure->message);
}

/* Read what was put together; where that fails, find out which clusters it is. */
static void
read_together (Reader *reader)
{
  Qcow2Check *check = reader->check;
  guint64 step = reader->length, end = reader->host_offset + reader->length;

  if (reader->length == 0)
    return;
  for (guint64 at = reader->host_offset; at < end;)
    {
      g_autoptr (GError) failure = NULL;
      guint64 part = MIN (MIN (step, end - at), reader->file_size - at);
      if (!img_file_read (reader->file, at, reader->buffer, (gsize)part, &failure))
        {
          if (step > check->q->cluster_size)
            {
              step = check->q->cluster_size; /* once more, one by one */
              continue;
            }
          ImgFindingPlace place = reader->place;
          place.host_offset = at;
          place.guest_offset += at - reader->host_offset;
          note (reader, &place, failure);
        }
      at += step;
    }
  qcow2_check_tell (check, reader->length);
  reader->length = 0;
}

static void
read_plain (Reader *reader, guint64 offset, const ImgFindingPlace *place)
{
  guint64 size = reader->check->q->cluster_size;

  if (reader->length > 0
      && (offset != reader->host_offset + reader->length || reader->length + size > reader->size
          || place->guest_offset != reader->place.guest_offset + reader->length))
    read_together (reader);
  if (reader->length == 0)
    {
      reader->host_offset = offset;
      reader->place = *place;
    }
  reader->length += size;
}

/* The content at @place is not in the file to its end. In the image that was found before. */
static void
note_missing (Reader *reader, const ImgFindingPlace *place)
{
  const Qcow2Check *check = reader->check;

  if (check->has_data_file)
    img_check_note (check->result, IMG_FINDING_DATA, 1, place,
                    ": content at offset %" G_GUINT64_FORMAT
                    " of the data file, which ends at %" G_GUINT64_FORMAT,
                    place->host_offset, reader->file_size);
}

static void
read_compressed (Reader *reader, guint64 entry, ImgFindingPlace *place)
{
  Qcow2Check *check = reader->check;
  const Qcow2 *q = check->q;
  guint length_bits = q->cluster_bits - 8, offset_bits = 62 - length_bits;
  guint64 sectors = (entry >> offset_bits & ((G_GUINT64_CONSTANT (1) << length_bits) - 1)) + 1;
  guint64 offset = entry & ((G_GUINT64_CONSTANT (1) << offset_bits) - 1);
  g_autoptr (GError) failure = NULL;

  place->host_offset = offset;
  if (qcow2_stream_is_cut (offset, sectors * 512 - offset % 512, check->file_size))
    return; /* found before */
  Qcow2Compressed data
      = { .file = q->file,
          .host_offset = offset,
          .length = (gsize)MIN (sectors * 512 - offset % 512, check->file_size - offset),
          .guest_offset = place->guest_offset };
  if (!qcow2_decode (reader->decoders, &data, 0, reader->buffer, (gsize)q->cluster_size, &failure))
    {
      if (!g_error_matches (failure, IMG_ERROR, IMG_ERROR_NO_MEMORY))
        note (reader, place, failure);
      else if (reader->no_memory == NULL)
        reader->no_memory = g_steal_pointer (&failure);
    }
  qcow2_check_tell (check, data.length);
}

/* In a data file there may be some at its very beginning. */
gboolean
qcow2_check_has_content (const Qcow2Check *check, guint64 entry, guint64 offset)
{
  return (offset & (check->q->cluster_size - 1)) == 0
         && (offset != 0 || (check->has_data_file && (entry & QCOW2_COPIED) != 0))
         && (check->has_subclusters || !(entry & QCOW2_READS_AS_ZERO));
}

guint64
qcow2_check_disk_size (const Qcow2Check *check, const Qcow2TableRef *ref)
{
  const Qcow2Snapshot *snapshot = ref->n_active > 0 ? NULL : check->snapshots->pdata[ref->snapshot];
  return snapshot == NULL ? check->q->size : snapshot->shown.disk_size;
}

guint64
qcow2_check_needed (const Qcow2Check *check, guint64 bitmap, guint64 guest_offset,
                    guint64 disk_size)
{
  guint64 size = check->q->cluster_size;
  guint64 seen = guest_offset < disk_size ? MIN (size, disk_size - guest_offset) : 0;

  if (check->has_subclusters)
    {
      guint32 has_data = (guint32)bitmap;
      return MIN (seen, size / 32 * g_bit_storage (has_data) * (has_data != 0));
    }
  return seen;
}

static void
take_plain (Reader *reader, guint64 bitmap, const ImgFindingPlace *place, guint64 disk_size)
{
  const Qcow2Check *check = reader->check;
  guint64 offset = place->host_offset;
  guint64 length = qcow2_check_needed (check, bitmap, place->guest_offset, disk_size);

  if (check->has_data_file && length > 0 && offset != place->guest_offset)
    img_check_note (check->result, IMG_FINDING_DATA, 1, place,
                    ": the entry points to another place of the data file");
  else if (length > 0 && (length > reader->file_size || offset > reader->file_size - length))
    note_missing (reader, place);
  else if (offset < reader->file_size)
    read_plain (reader, offset, place);
}

static void
read_table (Reader *reader, const Qcow2TableRef *ref, const guint8 *table)
{
  Qcow2Check *check = reader->check;
  const Qcow2 *q = check->q;
  const Qcow2Snapshot *snapshot = ref->n_active > 0 ? NULL : check->snapshots->pdata[ref->snapshot];
  guint64 disk_size = qcow2_check_disk_size (check, ref);

  for (guint64 i = 0; i < q->cluster_size / check->entry_bytes; i++)
    {
      const guint8 *bytes = table + i * check->entry_bytes;
      guint64 entry = img_load_be64 (bytes);
      guint64 offset = entry & QCOW2_OFFSET_MASK;
      ImgFindingPlace place = { .host_offset = offset,
                                .guest_offset = ref->guest_offset + (i << q->cluster_bits),
                                .guest_length = q->cluster_size,
                                .snapshot = snapshot == NULL ? NULL : snapshot->shown.name };
      if (entry & QCOW2_COMPRESSED)
        {
          read_together (reader); /* they share the buffer */
          read_compressed (reader, entry, &place);
        }
      else if (qcow2_check_has_content (check, entry, offset))
        take_plain (reader, check->has_subclusters ? img_load_be64 (bytes + 8) : 0, &place,
                    disk_size);
    }
}

gboolean
qcow2_check_data (Qcow2Check *check, GError **error)
{
  const Qcow2 *q = check->q;
  g_auto (Reader) reader = { .check = check,
                             .file = check->has_data_file ? check->disk->data : q->file,
                             .size = MAX (READ_BYTES, (gsize)q->cluster_size) };

  if (reader.file == NULL)
    return img_throw (error, IMG_ERROR_FAILED, "'%s': its data file was not opened", q->safe_path);
  reader.file_size = img_file_size (reader.file);
  reader.buffer = img_buffer_alloc (reader.size, img_file_path (reader.file), error);
  if (reader.buffer == NULL)
    return FALSE;
  reader.decoders
      = qcow2_decoders_new (q->compression, (gsize)q->cluster_size, DECODER_BYTES, NULL);
  check->total += (check->result->allocated_clusters - check->result->compressed_clusters)
                  << q->cluster_bits;
  for (guint i = 0; i < check->tables->len; i++)
    {
      const Qcow2TableRef *ref = &g_array_index (check->tables, Qcow2TableRef, i);
      const guint8 *table = qcow2_check_get (check, ref->host_offset, (gsize)q->cluster_size,
                                             qcow2_check_run_of_tables (check, i), error);
      if (table == NULL)
        return FALSE;
      read_table (&reader, ref, table);
      read_together (&reader);
      if (reader.no_memory != NULL)
        {
          g_propagate_error (error, g_steal_pointer (&reader.no_memory));
          return FALSE;
        }
    }
  return TRUE;
}
