/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The first cluster of a new image: header, extensions, and the name of the backing file. */
#include <string.h>

#include "base/bytes.h"
#include "format/qcow2/extension.h"
#include "format/qcow2/qcow2.h"
#include "format/qcow2/write.h"

/* The names that QEMU gives to features, so that who does not know one can say what it is. */
static const struct
{
  guint8 kind, bit; /* kind: incompatible, compatible, autoclear */
  const char *name;
} features[] = {
  { 0, 0, "dirty bit" },        { 0, 1, "corrupt bit" },         { 0, 2, "external data file" },
  { 0, 3, "compression type" }, { 0, 4, "extended L2 entries" }, { 1, 0, "lazy refcounts" },
  { 2, 0, "bitmaps" },          { 2, 1, "raw external data" },
};

static guint64
incompatible_features (const Qcow2Layout *layout)
{
  return (layout->has_data_file ? QCOW2_DATA_FILE : 0)
         | (layout->compression != IMG_COMPRESSION_ZLIB ? QCOW2_COMPRESSION : 0)
         | (layout->has_extended_l2 ? QCOW2_EXTENDED_L2 : 0);
}

static void
put_fields (const Qcow2Writer *w, const Qcow2Places *places, guint8 *header)
{
  const Qcow2Layout *layout = &w->layout;

  img_store_be32 (header, QCOW2_MAGIC);
  img_store_be32 (header + 4, layout->version);
  img_store_be32 (header + 20, layout->cluster_bits);
  img_store_be64 (header + 24, places->size);
  img_store_be32 (header + 36, places->l1_entries);
  img_store_be64 (header + 40, places->l1_offset);
  img_store_be64 (header + 48, places->refcount_offset);
  img_store_be32 (header + 56, places->refcount_clusters);
  if (layout->version < 3)
    return;
  img_store_be64 (header + 72, incompatible_features (layout));
  img_store_be64 (header + 80, layout->has_lazy_refcounts ? QCOW2_LAZY_REFCOUNTS : 0);
  img_store_be64 (header + 88, (layout->data_file_is_raw ? QCOW2_RAW_DATA_FILE : 0)
                                   | (w->n_bitmaps > 0 ? QCOW2_BITMAPS : 0));
  img_store_be32 (header + 96, layout->refcount_order);
  img_store_be32 (header + 100, QCOW2_FIELDS_LENGTH);
  header[QCOW2_V3_LENGTH] = (guint8)layout->compression;
}

static void
append_extension (GByteArray *area, guint32 type, gconstpointer data, gsize length)
{
  static const guint8 zeros[8];
  guint8 head[8];
  img_store_be32 (head, type);
  img_store_be32 (head + 4, (guint32)length);
  g_byte_array_append (area, head, sizeof head);
  if (length > 0)
    g_byte_array_append (area, data, (guint)length);
  g_byte_array_append (area, zeros, (guint)(-length & 7));
}

static void
append_text (GByteArray *area, guint32 type, const char *text)
{
  if (text != NULL)
    append_extension (area, type, text, strlen (text));
}

static void
append_features (GByteArray *area)
{
  guint8 table[G_N_ELEMENTS (features) * QCOW2_FEATURE_ENTRY] = { 0 };
  for (guint i = 0; i < G_N_ELEMENTS (features); i++)
    {
      guint8 *entry = table + i * QCOW2_FEATURE_ENTRY;
      entry[0] = features[i].kind;
      entry[1] = features[i].bit;
      memcpy (entry + 2, features[i].name, strlen (features[i].name));
    }
  append_extension (area, QCOW2_EXTENSION_FEATURE_NAMES, table, sizeof table);
}

void
qcow2_append_bitmaps (const Qcow2Writer *w, GByteArray *area)
{
  guint8 data[24] = { 0 };
  if (w->n_bitmaps == 0)
    return;
  img_store_be32 (data, w->n_bitmaps);
  img_store_be64 (data + 8, w->bitmap_directory_bytes);
  img_store_be64 (data + 16, w->bitmap_directory_offset);
  append_extension (area, QCOW2_EXTENSION_BITMAPS, data, sizeof data);
}

guint8 *
qcow2_header_write (const Qcow2Writer *w, const Qcow2Places *places, GError **error)
{
  gsize cluster = (gsize)w->layout.cluster_size;
  gsize name_length = w->backing_name == NULL ? 0 : strlen (w->backing_name);
  gsize fields = w->layout.version < 3 ? QCOW2_V2_LENGTH : QCOW2_FIELDS_LENGTH;
  gsize features_length = sizeof features / sizeof features[0] * QCOW2_FEATURE_ENTRY + 8;
  g_autoptr (GByteArray) area = g_byte_array_new ();

  append_text (area, QCOW2_EXTENSION_BACKING_FORMAT, w->backing_format);
  append_text (area, QCOW2_EXTENSION_DATA_FILE_NAME, w->data_name);
  qcow2_append_bitmaps (w, area);
  /* Nice to have, where there is room. */
  if (w->layout.version >= 3 && fields + area->len + features_length + 8 + name_length <= cluster)
    append_features (area);
  append_extension (area, QCOW2_EXTENSION_END, NULL, 0);
  if (fields + area->len + name_length > cluster || name_length > QCOW2_MAX_BACKING_NAME)
    return img_null_throw (error, IMG_ERROR_FAILED,
                           "the names of backing file and data file are too long for an image "
                           "with clusters of %" G_GSIZE_FORMAT " bytes",
                           cluster);
  guint8 *header = g_malloc0 (cluster);
  put_fields (w, places, header);
  memcpy (header + fields, area->data, area->len);
  if (name_length > 0)
    {
      memcpy (header + fields + area->len, w->backing_name, name_length);
      img_store_be64 (header + 8, fields + area->len);
      img_store_be32 (header + 16, (guint32)name_length);
    }
  return header;
}
