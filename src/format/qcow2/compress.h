/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Compressed clusters.
 *
 * There are as many decoders as fit into a budget of memory, and each is used by one thread at a
 * time. A decoder keeps the cluster it was asked for a part of, since the next part is likely to be
 * asked for next. Where the budget is too small for a single one, nothing is kept, and the memory
 * is lent by a workspace that all disks of a chain share. */
#pragma once

#include "disk/budget.h"
#include "file/file.h"

typedef enum
{
  QCOW2_ZLIB,
  QCOW2_ZSTD,
} Qcow2Compression;

/* Where the compressed data of a cluster is. */
typedef struct
{
  ImgFile *file;        /* borrowed */
  guint64 host_offset;  /* of the file */
  gsize length;         /* bytes; what is behind the end of the stream does not matter */
  guint64 guest_offset; /* of the cluster; for messages */
} Qcow2Compressed;

typedef struct Qcow2Decoders Qcow2Decoders;

/* @workspace may be NULL: there is none. */
Qcow2Decoders *qcow2_decoders_new (Qcow2Compression compression, gsize cluster_size, gsize budget,
                                   ImgBudget *workspace);
void qcow2_decoders_free (Qcow2Decoders *decoders);

/* The @length bytes at @at of the cluster in @data, into @buffer. A stream that ends early is an
 * error, one that goes on is not (zlib) or is (zstd), as with QEMU. Any thread. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_decode (Qcow2Decoders *decoders, const Qcow2Compressed *data, gsize at, void *buffer,
                       gsize length, GError **error);
