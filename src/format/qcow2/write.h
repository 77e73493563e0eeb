/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writing a new qcow2 image: what the files for that share.
 *
 * The image grows from its beginning to its end, and nothing is written twice. The first cluster is
 * kept for the header. Behind it come the guest's clusters in the guest's order, and L2 tables,
 * many together, whenever enough are complete; then the rest of them, the L1 table, and refcounts;
 * the header is written last. All places are found in the turn of disk/parcel.h, so one thread at a
 * time looks at what stands below "in turn". Every cluster below the end is in use: none leaks. */
#pragma once

#include "disk/format.h"
#include "format/qcow2/layout.h"

/* Compressed data is written in whole blocks of this size or of a cluster: no block is written by
 * two threads, and none twice. */
#define QCOW2_BLOCK 4096

typedef struct
{
  /* Constant. */
  Qcow2Layout layout;
  ImgFile *file; /* borrowed */
  ImgFile *data; /* borrowed: what plain clusters are in; file, or the data file */
  char *backing_name, *backing_format, *data_name; /* owned, or NULL */
  gboolean has_backing;    /* zeros hide what is behind; else it shows through */
  gboolean compares;       /* and what is like it is left out */
  gboolean shows_through;  /* the disk is empty but for what is behind it */
  const ImgDisk *previous; /* borrowed: what the image was, if it is written anew; or NULL */
  gboolean is_clean, is_in_place, is_durable, is_zero; /* as in ImgCreateParams */
  guint64 sparse_size;
  gboolean (*before_valid) (gpointer closure, GError **error); /* likewise */
  void (*before_change) (gpointer closure);                    /* likewise */
  gpointer closure;
  gsize block; /* of compressed data */

  /* In turn. */
  guint64 next;        /* host offset: what is behind it is free */
  guint64 packed;      /* host offset: where compressed data goes next, if there is room */
  guint64 packed_end;  /* end of the cluster that is in */
  guint64 tail_offset; /* of the block that is not full yet, with tail_length bytes */
  gsize tail_length;
  guint8 *tail;        /* owned; block bytes */
  GArray *l1;          /* owned guint64: host offsets of L2 tables, as far as they are written */
  guint8 *tables;      /* owned: L2 tables that are complete, and the one that is being filled */
  GArray *table_index; /* owned guint64: which entries of L1 these are */
  guint max_tables;
  GPtrArray *bitmaps; /* owned ImgBitmap: to be copied; or NULL */
  guint32 n_bitmaps;  /* that were */
  guint64 bitmap_directory_offset, bitmap_directory_bytes;
  GPtrArray *shared; /* owned, or NULL where all are 0: refcounts less 1, in pages of guint16 */
} Qcow2Writer;

/* ---- write.c ---- */

/* The state of @disk, with what @params say about writing; and its end: clusters from @next on are
 * free. */
Qcow2Writer *qcow2_writer_new (ImgDisk *disk, const ImgCreateParams *params);
void qcow2_writer_begin (ImgDisk *disk, guint64 next);

/* Write @length bytes at @host_offset of @file; runs of at least @block zeros are left out where
 * the file reads as zeros already. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_write_sparse (const Qcow2Writer *w, ImgFile *file, guint64 host_offset,
                             const guint8 *bytes, gsize length, gsize block, GError **error);

/* ---- place.c ---- */

/* A place for @length guest bytes as they are (a number of clusters): in the tables and at
 * *@host_offset of the data file. @bitmap is that of each extended entry. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_place_plain (Qcow2Writer *w, guint64 guest_offset, guint64 length, guint64 bitmap,
                            guint64 *host_offset, GError **error);

/* Set an L2 entry; @bitmap only if it is extended. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_set_entry (Qcow2Writer *w, guint64 guest_offset, guint64 value, guint64 bitmap,
                          GError **error);

/* A place for one cluster that was compressed to @length bytes. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_place_packed (Qcow2Writer *w, guint64 guest_offset, gsize length,
                             guint64 *host_offset, GError **error);

/* See disk/parcel.h. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_place_range (ImgDisk *disk, guint64 guest_offset, guint64 length, ImgPlaceKind kind,
                            GError **error);
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_place_host (ImgDisk *disk, guint64 guest_offset, guint64 length, ImgFile **file,
                           guint64 *host_offset, GError **error);
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_try_to_share (ImgDisk *disk, ImgFile *source, guint64 host_offset, GError **error);

/* One cluster reads as zeros although there is a disk behind. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_place_zero (Qcow2Writer *w, guint64 guest_offset, GError **error);

/* ---- tables.c ---- */

/* The L2 entry of @guest_offset, to be filled in before the next is asked for; NULL on failure. */
G_GNUC_WARN_UNUSED_RESULT
guint8 *qcow2_writer_entry (Qcow2Writer *w, guint64 guest_offset, GError **error);

/* Write the L2 tables that are there. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_writer_flush_tables (Qcow2Writer *w, GError **error);

/* One more user of the cluster at @host_offset. */
void qcow2_writer_share (Qcow2Writer *w, guint64 host_offset);
guint64 qcow2_writer_users (const Qcow2Writer *w, guint64 host_offset);

/* Write all that is left of the tables, L1 and refcounts, and the header of a disk of @size bytes.
 */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_writer_finish (Qcow2Writer *w, guint64 size, GError **error);

/* ---- bitmap-write.c ---- */

/* See disk/bitmap.h. */
void qcow2_keep_bitmaps (ImgDisk *disk, GPtrArray *bitmaps);

/* Write the bitmaps of a disk of @size bytes, in turn and when all else of the guest is placed. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_bitmaps_write (Qcow2Writer *w, guint64 size, GError **error);

/* ---- write-header.c ---- */

/* Where things are, for the header. */
typedef struct
{
  guint64 size; /* guest bytes */
  guint64 l1_offset, refcount_offset;
  guint32 l1_entries, refcount_clusters;
} Qcow2Places;

/* The first cluster, a new block of memory; NULL if the names do not fit into it. */
G_GNUC_WARN_UNUSED_RESULT
guint8 *qcow2_header_write (const Qcow2Writer *w, const Qcow2Places *places, GError **error);

/* The extension that leads to bitmaps, if there are any. */
void qcow2_append_bitmaps (const Qcow2Writer *w, GByteArray *area);

/* ---- parcel.c, write.c ---- */

extern const ImgParcelFuncs qcow2_parcels;

/* See disk/format.h. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_create (ImgDisk *disk, const ImgCreateParams *params, GError **error);

/* Write what is left of the compressed data. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_tail_finish (Qcow2Writer *w, GError **error);
