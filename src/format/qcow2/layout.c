/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/qcow2/layout.h"

#include "format/qcow2/deflate.h"
#include "format/qcow2/qcow2.h"
#include "format/qcow2/write.h"

#define DEFAULT_CLUSTER_SIZE 65536
#define LEAST_EXTENDED_CLUSTER 16384

static const ImgCreateChoice versions[]
    = { { "1.1", 3 }, { "0.10", 2 }, { "v3", 3 }, { "v2", 2 }, { NULL, 0 } };

static const ImgCreateChoice compressions[]
    = { { "zlib", IMG_COMPRESSION_ZLIB }, { "zstd", IMG_COMPRESSION_ZSTD }, { NULL, 0 } };

static const ImgCreateChoice preallocations[] = { { "off", IMG_PREALLOCATION_OFF },
                                                  { "metadata", IMG_PREALLOCATION_METADATA },
                                                  { "falloc", IMG_PREALLOCATION_FALLOC },
                                                  { "full", IMG_PREALLOCATION_FULL },
                                                  { NULL, 0 } };

#define FIELD(member) offsetof (ImgCreateOptions, member)

const ImgCreateRow qcow2_create_rows[] = {
  { "backing_file", IMG_CREATE_TEXT, FIELD (backing_file), "File name of a base image", NULL,
    "str" },
  { "backing_fmt", IMG_CREATE_TEXT, FIELD (backing_format), "Image format of the base image", NULL,
    "str" },
  { "cluster_size", IMG_CREATE_SIZE, FIELD (cluster_size), "Size of a cluster, 512 to 2M", NULL,
    "size" },
  { "compat", IMG_CREATE_CHOICE, FIELD (version), "Version (v2 [0.10] or v3 [1.1])", versions,
    "str" },
  { "compression_level", IMG_CREATE_NUMBER, FIELD (compression_level),
    "How hard to compress: 1 to 12 (zlib), 1 to 19 (zstd)", NULL, "num" },
  { "compression_type", IMG_CREATE_CHOICE, FIELD (compression),
    "How clusters are compressed (zlib, zstd)", compressions, "str" },
  { "data_file", IMG_CREATE_TEXT, FIELD (data_file), "File name of an external data file", NULL,
    "str" },
  { "data_file_raw", IMG_CREATE_CHOICE, FIELD (data_file_is_raw),
    "The external data file is always valid as a raw image", img_create_booleans, "bool (on/off)" },
  { "extended_l2", IMG_CREATE_CHOICE, FIELD (extended_l2), "Extended L2 tables",
    img_create_booleans, "bool (on/off)" },
  { "lazy_refcounts", IMG_CREATE_CHOICE, FIELD (lazy_refcounts), "Postpone refcount updates",
    img_create_booleans, "bool (on/off)" },
  { "preallocation", IMG_CREATE_CHOICE, FIELD (preallocation),
    "Preallocation mode (allowed values: off, metadata, falloc, full)", preallocations, "str" },
  { "refcount_bits", IMG_CREATE_NUMBER, FIELD (refcount_bits), "Bits of a reference count, 1 to 64",
    NULL, "num" },
  { "size", IMG_CREATE_SIZE, FIELD (size), "Virtual disk size", NULL, "size" },
  { 0 },
};

/* log2 of @value if that is a power of two from @least to @most. */
static gboolean
take_power (guint64 value, guint64 least, guint64 most, guint *bits)
{
  if (value < least || value > most || (value & (value - 1)) != 0)
    return FALSE;
  for (*bits = 0; value > 1; value >>= 1)
    ++*bits;
  return TRUE;
}

static gboolean
take_numbers (Qcow2Layout *layout, const ImgCreateOptions *options, GError **error)
{
  guint64 cluster
      = options->cluster_size == G_MAXUINT64 ? DEFAULT_CLUSTER_SIZE : options->cluster_size;
  guint64 bits = options->refcount_bits == G_MAXUINT64 ? 16 : options->refcount_bits;

  layout->cluster_size = cluster;
  if (!take_power (cluster, 1u << QCOW2_MIN_CLUSTER_BITS, 1u << QCOW2_MAX_CLUSTER_BITS,
                   &layout->cluster_bits))
    return img_throw (error, IMG_ERROR_USAGE,
                      "cluster size must be a power of two between 512 and 2048k");
  if (!take_power (bits, 1, 64, &layout->refcount_order))
    return img_throw (error, IMG_ERROR_USAGE,
                      "refcount width must be a power of two and may not exceed 64 bits");
  return TRUE;
}

static gboolean
take_compression (Qcow2Layout *layout, const ImgCreateOptions *options, GError **error)
{
  guint64 level = options->compression_level;

  layout->is_compressed = options->is_compressed;
  layout->compression
      = options->compression >= 0 ? (ImgCompression)options->compression : IMG_COMPRESSION_ZLIB;
  if (!qcow2_deflater_check (layout->compression, level, error))
    return FALSE;
  layout->compression_level = level == G_MAXUINT64 ? 0 : (int)level;
  return TRUE;
}

/* What excludes what. */
static gboolean
check_layout (const Qcow2Layout *layout, const ImgCreateOptions *options, GError **error)
{
  gboolean has_backing = options->backing_file != NULL;
  const struct
  {
    gboolean is_wrong;
    const char *message;
  } rules[] = {
    { layout->version < 3 && layout->refcount_order != 4,
      "different refcount widths than 16 bits require compatibility level 1.1 or above (use "
      "compat=1.1)" },
    { layout->version < 3 && layout->has_lazy_refcounts,
      "lazy refcounts only supported with compatibility level 1.1 and above (use compat=1.1)" },
    { layout->version < 3 && layout->compression != IMG_COMPRESSION_ZLIB,
      "non-zlib compression type is only supported with compatibility level 1.1 and above (use "
      "compat=1.1)" },
    { layout->version < 3 && layout->has_extended_l2,
      "extended L2 entries are only supported with compatibility level 1.1 and above (use "
      "compat=1.1)" },
    { layout->version < 3 && layout->has_data_file,
      "external data files are only supported with compatibility level 1.1 and above (use "
      "compat=1.1)" },
    { layout->version < 3 && layout->has_bitmaps,
      "bitmaps are only supported with compatibility level 1.1 and above (use compat=1.1)" },
    { layout->has_extended_l2 && layout->cluster_size < LEAST_EXTENDED_CLUSTER,
      "extended L2 entries are only supported with cluster sizes of at least 16384 bytes" },
    { layout->data_file_is_raw && !layout->has_data_file, "data-file-raw requires data-file" },
    { layout->data_file_is_raw && has_backing,
      "backing file and data-file-raw cannot be used at the same time" },
    { options->backing_format != NULL && !has_backing,
      "backing format cannot be used without backing file" },
    { has_backing && options->backing_file[0] == '\0',
      "expected backing file name, got empty string" },
    { has_backing && layout->preallocation != IMG_PREALLOCATION_OFF && !layout->has_extended_l2,
      "backing file and preallocation can only be used at the same time if extended_l2 is on" },
    { layout->is_compressed && layout->preallocation != IMG_PREALLOCATION_OFF,
      "compression and preallocation not supported at the same time" },
    { layout->is_compressed && layout->has_data_file,
      "compression is not possible with an external data file" },
  };
  for (guint i = 0; i < G_N_ELEMENTS (rules); i++)
    if (rules[i].is_wrong)
      return img_throw (error, IMG_ERROR_USAGE, "%s", rules[i].message);
  return TRUE;
}

gboolean
qcow2_layout_init (Qcow2Layout *layout, const ImgCreateOptions *options, GError **error)
{
  *layout = (Qcow2Layout){
    .version = options->version > 0 ? (guint)options->version : 3,
    .has_extended_l2 = options->extended_l2 > 0,
    .has_lazy_refcounts = options->lazy_refcounts > 0,
    .has_data_file = options->data_file != NULL,
    .data_file_is_raw = options->data_file_is_raw > 0,
    .has_bitmaps = options->has_bitmaps,
    .preallocation = options->preallocation >= 0 ? (ImgPreallocation)options->preallocation
                                                 : IMG_PREALLOCATION_OFF,
  };
  if (!take_numbers (layout, options, error) || !take_compression (layout, options, error)
      || !check_layout (layout, options, error))
    return FALSE;
  /* Whoever writes to the data file alone must find a place for all of it in the tables. */
  if (layout->data_file_is_raw && layout->preallocation == IMG_PREALLOCATION_OFF)
    layout->preallocation = IMG_PREALLOCATION_METADATA;
  return TRUE;
}

/* The names have to fit into the header's cluster. */
static gboolean
check_names (const Qcow2Layout *layout, const ImgCreateOptions *options, GError **error)
{
  const Qcow2Places places = { 0 };
  const Qcow2Writer w = { .layout = *layout,
                          .n_bitmaps = layout->has_bitmaps ? 1 : 0,
                          .backing_name = options->backing_file,
                          .backing_format = options->backing_format,
                          .data_name = options->data_file };
  g_autofree guint8 *header = qcow2_header_write (&w, &places, error);
  return header != NULL;
}

gboolean
qcow2_check_options (const ImgCreateOptions *options, guint64 size, GError **error)
{
  Qcow2Layout layout;

  if (!qcow2_layout_init (&layout, options, error) || !check_names (&layout, options, error))
    return FALSE;
  if (size != IMG_DISK_SIZE_UNKNOWN
      && size >> qcow2_layout_l2_bits (&layout) >= QCOW2_MAX_L1_BYTES / 8)
    return img_throw (error, IMG_ERROR_FAILED,
                      "the disk is too large for clusters of %" G_GUINT64_FORMAT
                      " bytes; a larger cluster_size makes room",
                      layout.cluster_size);
  return TRUE;
}
