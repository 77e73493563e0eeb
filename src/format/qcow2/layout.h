/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a new qcow2 image is to be: the options, checked, and what follows from them. */
#pragma once

#include "disk/disk.h"

typedef struct
{
  guint version; /* 2 or 3 */
  guint cluster_bits;
  guint64 cluster_size;
  guint refcount_order; /* log2 of the bits of a refcount */
  ImgCompression compression;
  int compression_level;  /* of the library; 0: the one that suits */
  gboolean is_compressed; /* clusters are */
  gboolean has_extended_l2, has_lazy_refcounts;
  gboolean has_data_file, data_file_is_raw;
  gboolean has_bitmaps; /* it may */
  ImgPreallocation preallocation;
} Qcow2Layout;

extern const ImgCreateRow qcow2_create_rows[];

/* What @options ask for. Errors are QEMU's, where it has one. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_layout_init (Qcow2Layout *layout, const ImgCreateOptions *options, GError **error);

/* See disk/format.h. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_check_options (const ImgCreateOptions *options, guint64 size, GError **error);

/* log2 of the bytes of an L2 entry. */
static inline guint
qcow2_layout_entry_bits (const Qcow2Layout *layout)
{
  return layout->has_extended_l2 ? 4 : 3;
}

/* log2 of the guest bytes that an L2 table is about. */
static inline guint
qcow2_layout_l2_bits (const Qcow2Layout *layout)
{
  return 2 * layout->cluster_bits - qcow2_layout_entry_bits (layout);
}
