/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qcow2: what the files of this folder share.
 *
 * Source of every fact about the format: QEMU docs/interop/qcow2.txt; of the limits:
 * block/qcow2.h. All numbers of the header are checked when the image is opened; lengths and
 * offsets of tables are checked before they are used. Nothing here is trusted because QEMU would
 * not have written it. */
#pragma once

#include "disk/format.h"
#include "format/qcow2/compress.h"
#include "format/qcow2/scan.h"
#include "format/qcow2/table.h"

#define QCOW2_MAGIC 0x514649fbu
#define QCOW2_V2_LENGTH 72
#define QCOW2_V3_LENGTH 104

/* The header's fields up to the compression type, and the padding behind it. */
#define QCOW2_FIELDS_LENGTH 112

#define QCOW2_MIN_CLUSTER_BITS 9
#define QCOW2_MAX_CLUSTER_BITS 21
#define QCOW2_MAX_L1_BYTES (G_GUINT64_CONSTANT (32) << 20)
#define QCOW2_MAX_REFCOUNT_TABLE_BYTES (G_GUINT64_CONSTANT (8) << 20)
#define QCOW2_MAX_SNAPSHOTS 65536
#define QCOW2_MAX_SNAPSHOT_TABLE_BYTES (G_GUINT64_CONSTANT (64) << 20)
#define QCOW2_MAX_SNAPSHOT_EXTRA 1024
#define QCOW2_MAX_BITMAPS 65535
#define QCOW2_MAX_BITMAP_NAME 1023
#define QCOW2_MAX_BITMAP_DIRECTORY_BYTES (G_GUINT64_CONSTANT (65535) * (24 + 1023 + 1))
#define QCOW2_MAX_BITMAP_TABLE_BYTES (G_GUINT64_CONSTANT (0x8000000) * 8)
#define QCOW2_MAX_BACKING_NAME 1023
#define QCOW2_MAX_DATA_FILE_NAME 4095 /* ours: nothing can be opened by a longer one */

/* incompatible_features */
#define QCOW2_DIRTY (G_GUINT64_CONSTANT (1) << 0)
#define QCOW2_CORRUPT (G_GUINT64_CONSTANT (1) << 1)
#define QCOW2_DATA_FILE (G_GUINT64_CONSTANT (1) << 2)
#define QCOW2_COMPRESSION (G_GUINT64_CONSTANT (1) << 3)
#define QCOW2_EXTENDED_L2 (G_GUINT64_CONSTANT (1) << 4)
#define QCOW2_KNOWN_INCOMPATIBLE G_GUINT64_CONSTANT (0x1f)

/* compatible_features */
#define QCOW2_LAZY_REFCOUNTS (G_GUINT64_CONSTANT (1) << 0)

/* autoclear_features */
#define QCOW2_BITMAPS (G_GUINT64_CONSTANT (1) << 0)
#define QCOW2_AUTOCLEAR_AT 88 /* of the header */
#define QCOW2_RAW_DATA_FILE (G_GUINT64_CONSTANT (1) << 1)
#define QCOW2_KNOWN_AUTOCLEAR (QCOW2_BITMAPS | QCOW2_RAW_DATA_FILE)

typedef enum
{
  QCOW2_CRYPT_NONE,
  QCOW2_CRYPT_AES,
  QCOW2_CRYPT_LUKS,
} Qcow2Crypt;

/* The state of an ImgDisk. */
typedef struct
{
  ImgFile *file;   /* borrowed */
  char *safe_path; /* owned; for messages */

  /* From the header. */
  guint version; /* 2 or 3 */
  guint cluster_bits;
  guint64 cluster_size;
  guint64 size; /* guest bytes */
  Qcow2Crypt crypt;
  guint32 l1_entries;
  guint64 l1_offset;
  guint32 refcount_table_clusters;
  guint64 refcount_table_offset;
  guint refcount_order; /* log2 of the bits of a refcount */
  guint32 n_snapshots;
  guint64 snapshots_offset;
  guint64 incompatible, compatible, autoclear;
  guint32 header_length;
  Qcow2Compression compression;

  /* From the header's extensions. */
  guint32 n_bitmaps;          /* 0 also if they are not to be believed */
  gboolean has_stale_bitmaps; /* which is so */
  guint64 bitmap_directory_offset, bitmap_directory_bytes;
  guint64 luks_offset, luks_length; /* 0: there is none */
  guint32 strange_extension;        /* the first one that is not known, or out of place; or 0 */

  /* For reading; NULL before. */
  Qcow2Tables *tables;     /* owned */
  Qcow2Decoders *decoders; /* owned */
} Qcow2;

/* A run of guest bytes of one kind that lie one behind the other in one table. */
typedef struct
{
  guint64 length; /* bytes */
  ImgMappingKind kind;
  gboolean has_host;   /* there is space in the file for it, read or not */
  guint64 host_offset; /* of the first byte, or of the compressed cluster */
  gsize compressed;    /* bytes in the file; 0: not compressed */
  guint64 in_cluster;  /* of compressed data: where in its cluster the run begins */
} Qcow2Run;

/* A snapshot, and where it is. */
typedef struct
{
  ImgSnapshot shown; /* first: img_snapshot_free() frees all of it */
  guint64 l1_offset;
  guint32 l1_entries;
  guint32 extra_bytes, entry_bytes; /* of its extra data, and of all without what aligns the next */
} Qcow2Snapshot;

/* A bitmap, and where it is. */
typedef struct
{
  guint64 table_offset;
  guint32 table_entries, flags;
  guint granularity_bits;
  gsize name_length;    /* more than that of the name if there is a NUL in it */
  guint64 extra_offset; /* of its extra data, in the file */
  gsize extra_length;
} Qcow2BitmapEntry;

/* How many entries the L1 table needs for @size guest bytes. */
guint64 qcow2_l1_needed (const Qcow2 *q, guint64 size);

/* Whether a table of @entries entries of @entry_bytes at @offset is aligned, at most @max_bytes
 * long and ends before 2^63; @what ("L1 table") is for the message. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_check_table (const Qcow2 *q, const char *what, guint64 offset, guint64 entries,
                            guint64 entry_bytes, guint64 max_bytes, GError **error);

/* Read the header and its extensions into @q and the references of @disk. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_header_read (Qcow2 *q, ImgDisk *disk, GError **error);

/* The extensions in @area, which begins behind the header. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_extensions_read (Qcow2 *q, ImgDisk *disk, const guint8 *area, gsize length,
                                GError **error);

/* Fail if @unknown, bits of incompatible_features, is not 0, with the names that the table in @area
 * gives them. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_features_check (const Qcow2 *q, guint64 unknown, const guint8 *area, gsize length,
                               GError **error);

/* All snapshots, as new Qcow2Snapshot. */
G_GNUC_WARN_UNUSED_RESULT
GPtrArray *qcow2_snapshots_read (const Qcow2 *q, GError **error);

/* Those that are listed, see IMG_MAX_LISTED. */
G_GNUC_WARN_UNUSED_RESULT
GPtrArray *qcow2_snapshots_list (const Qcow2 *q, GError **error);

/* See disk/format.h. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_snapshot_select (ImgDisk *disk, const char *id, const char *name, gboolean *is_found,
                                GError **error);

/* The next entry of the directory that @scan is in; returns its name, a new string. */
G_GNUC_WARN_UNUSED_RESULT
char *qcow2_bitmap_take (const Qcow2 *q, Qcow2Scan *scan, Qcow2BitmapEntry *entry, GError **error);

/* What of such a bitmap cannot be right, so that nobody can use it; NULL: nothing. How large one is
 * that was in use when its writer ended does not matter: it may be of before the disk was resized.
 * Constant. */
const char *qcow2_bitmap_wrong (const Qcow2 *q, const Qcow2BitmapEntry *entry);

/* See disk/bitmap.h. */
G_GNUC_WARN_UNUSED_RESULT
GPtrArray *qcow2_bitmaps_find (ImgDisk *disk, gboolean *are_stale, GError **error);
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_bitmap_read (const ImgBitmap *bitmap, guint64 offset, guint8 *buffer, gsize length,
                            GError **error);

/* Add the list of bitmaps to @facts, if there are any. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_bitmaps_describe (const Qcow2 *q, ImgFact *facts, GError **error);

/* How much of a LUKS header is looked at, in bytes. */
#define QCOW2_LUKS_FIELDS 592

/* Add how the content is encrypted to @facts, if it is. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_crypt_describe (const Qcow2 *q, ImgFact *facts, GError **error);

/* Whether there is a LUKS header where the image says so; QCOW2_LUKS_FIELDS bytes must be in the
 * file. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_crypt_check (const Qcow2 *q, gboolean *is_good, GError **error);

/* The run at @guest_offset, which is below the size, cut off at @length. Whether what it points to
 * is inside the file is for the reader to see. Any thread. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_find_run (const ImgDisk *disk, guint64 guest_offset, guint64 length, Qcow2Run *run,
                         GError **error);

/* The L2 entry of @guest_offset as it is in the table, and of extended ones the bitmap; both 0
 * where there is no table. Any thread. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_find_entry (const ImgDisk *disk, guint64 guest_offset, guint64 *entry,
                           guint64 *bitmap, GError **error);

/* How long the file must be for its tables, those of the first level followed to the second. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_find_needed (const Qcow2 *q, guint64 *bytes, GError **error);

/* Where the guest's bytes are that are not compressed. */
static inline ImgFile *
qcow2_data (const ImgDisk *disk)
{
  return disk->data != NULL ? disk->data : disk->file;
}

/* Whether so much of the compressed data of @length bytes (a number of whole sectors at its end) at
 * @host_offset is missing from a file of @file_size bytes that it cannot be read: of the last
 * sector only the first byte need be there. In io.c. */
gboolean qcow2_stream_is_cut (guint64 host_offset, guint64 length, guint64 file_size);

/* Whether the L1 table of @snapshot is long enough for its disk. In snapshot.c. */
gboolean qcow2_snapshot_has_l1 (const Qcow2 *q, const Qcow2Snapshot *snapshot);

G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_read (ImgDisk *disk, guint64 guest_offset, void *buffer, gsize length, gsize *got,
                     GError **error);

G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_describe (ImgDisk *disk, ImgDescription *description, GError **error);

extern const ImgFormat img_qcow2_format;
