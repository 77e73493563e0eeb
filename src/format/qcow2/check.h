/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checking a qcow2 image: what its files share.
 *
 * The refcounts that the image ought to have are counted in memory, from everything that refers to
 * a cluster, and compared with those that it has. Every refcount block is read twice, every L2
 * table once, however often it is referred to, in the order of the file. What is wrong is counted
 * as qemu-img counts it, that is once for each reference. */
#pragma once

#include "format/qcow2/counts.h"
#include "format/qcow2/entry.h"
#include "format/qcow2/qcow2.h"

#define QCOW2_L1_RESERVED G_GUINT64_CONSTANT (0x7f000000000001ff)
#define QCOW2_L2_RESERVED G_GUINT64_CONSTANT (0x3f000000000001fe)
#define QCOW2_EXTENDED_L2_RESERVED (QCOW2_L2_RESERVED | 1) /* where subclusters are zero or not */
#define QCOW2_REFTABLE_OFFSET G_GUINT64_CONSTANT (0xfffffffffffffe00)
#define QCOW2_REFTABLE_RESERVED G_GUINT64_CONSTANT (0x1ff)

/* An L2 table, and who refers to it. */
typedef struct
{
  guint64 host_offset;
  guint64 guest_offset;         /* that its first entry is about, for the first who refers to it */
  guint32 n_active, n_inactive; /* references by the L1 table of the disk, by those of snapshots */
  guint32 snapshot;             /* which one, if no active one refers to it */
} Qcow2TableRef;

/* Data of the guest where there is also metadata. */
typedef struct
{
  guint64 cluster, times;
  ImgFindingPlace place; /* of the entry */
} Qcow2Overlap;

#define QCOW2_MAX_OVERLAPS 4096

/* Reading many small pieces that lie one behind the other. */
typedef struct
{
  guint8 *bytes; /* owned */
  gsize size;
  guint64 offset; /* of the file */
  gsize length;   /* 0: nothing read yet */
} Qcow2Window;

typedef struct
{
  const ImgDisk *disk; /* borrowed */
  const Qcow2 *q;      /* borrowed */
  const ImgCheckParams *params;
  ImgCheckResult *result;

  guint64 file_size, n_clusters; /* of the file */
  guint64 n_whole;               /* clusters that are in the file to their end */
  guint64 n_room;                /* how many clusters there are counters for */
  guint64 block_entries;         /* refcounts in a block */
  guint entry_bytes;             /* of an L2 entry */
  gboolean has_data_file, has_subclusters;

  guint64 *reftable; /* owned; as in the file, in the byte order of the machine */
  guint64 n_reftable;
  Qcow2Counts *counts;  /* owned; what the refcounts should be */
  Qcow2Set *single;     /* owned; clusters whose refcount in the file is 1 */
  Qcow2Set *metadata;   /* owned; clusters with tables and the like */
  GArray *tables;       /* owned Qcow2TableRef */
  guint64 n_tables_max; /* how many of them before they are sorted again */
  GPtrArray *snapshots; /* owned Qcow2Snapshot; NULL: none */
  Qcow2Window window;
  guint64 done, total;   /* bytes of metadata */
  guint64 n_dangling;    /* references past the end of the file */
  guint64 n_lost;        /* things that may refer to clusters, and it is not known to which */
  guint64 n_incomplete;  /* snapshots without what version 3 wants of them */
  gboolean is_uncounted; /* clusters in the file have users that were not counted */
  GArray *overlaps;      /* owned Qcow2Overlap, at most QCOW2_MAX_OVERLAPS */
  gboolean must_rebuild; /* the refcounts cannot be mended in place */
} Qcow2Check;

/* The bits that mean nothing in an entry of an L2 table that is not of a compressed cluster. */
static inline guint64
qcow2_check_l2_reserved (const Qcow2Check *check)
{
  return check->has_subclusters ? QCOW2_EXTENDED_L2_RESERVED : QCOW2_L2_RESERVED;
}

/* See disk/format.h. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_check (ImgDisk *disk, const ImgCheckParams *params, ImgCheckResult *result,
                      GError **error);

/* ---- check.c ---- */

/* Count what there is, and compare; @check stays for who wants to repair. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_check_run (Qcow2Check *check, GError **error);
void qcow2_check_init (Qcow2Check *check, const ImgDisk *disk, const ImgCheckParams *params,
                       ImgCheckResult *result);
void qcow2_check_clear (Qcow2Check *check);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Qcow2Check, qcow2_check_clear)

/* Read what is in the file; behind its end there are zeros, as for QEMU. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_check_read (const Qcow2Check *check, guint64 offset, void *buffer, gsize length,
                           GError **error);

/* The @length bytes at @offset, and with them as many up to @wanted as are useful next. Borrowed,
 * until the next call; NULL on errors. */
G_GNUC_WARN_UNUSED_RESULT
const guint8 *qcow2_check_get (Qcow2Check *check, guint64 offset, gsize length, guint64 wanted,
                               GError **error);

void qcow2_check_tell (Qcow2Check *check, guint64 more);

/* @times references to @length bytes at @offset. */
void qcow2_check_refer (Qcow2Check *check, guint64 offset, guint64 length, guint64 times,
                        const ImgFindingPlace *place);

/* The same for a table or the like, called @what, which must lie wholly in the file. @place may be
 * NULL: it is where the table is. */
void qcow2_check_refer_metadata (Qcow2Check *check, const char *what, guint64 offset,
                                 guint64 length, guint64 times, const ImgFindingPlace *place);

/* Only the last of that: whether it is cut by the end of the file. */
void qcow2_check_note_cut (Qcow2Check *check, const char *what, guint64 offset, guint64 length,
                           guint64 times, const ImgFindingPlace *place);

/* The same for content of the guest, by the rule by which reading it fails (see io.c), where
 * qcow2_check_refer() has nothing to say. */
void qcow2_check_note_cut_data (Qcow2Check *check, guint64 offset, guint64 length, guint64 times,
                                const ImgFindingPlace *place);

/* ---- check-refcounts.c ---- */

G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_check_load_refcounts (Qcow2Check *check, GError **error);

/* Where block @index is; FALSE: there is none that could be read, and all its refcounts are 0. */
gboolean qcow2_check_find_block (const Qcow2Check *check, guint64 index, guint64 *offset);

/* The refcount of a cluster in the file, wherever that is. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_check_load_refcount (const Qcow2Check *check, guint64 cluster, guint64 *refcount,
                                    GError **error);

/* Whether that cannot be known, because the table says something impossible about it. */
gboolean qcow2_check_is_unknown (const Qcow2Check *check, guint64 cluster);

void qcow2_check_refcount_blocks (Qcow2Check *check);

G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_check_compare (Qcow2Check *check, GError **error);

/* ---- check-metadata.c ---- */

/* Snapshots, encryption, bitmaps; without their L1 tables. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_check_metadata (Qcow2Check *check, GError **error);

/* ---- check-overlaps.c ---- */

/* The entry at @place, which @times tables have, says that @cluster, which has metadata, is data.
 */
void qcow2_check_add_overlap (Qcow2Check *check, guint64 cluster, guint64 times,
                              const ImgFindingPlace *place);

/* How often table @i of check->tables is referred to. */
guint64 qcow2_check_users (const Qcow2Check *check, guint i);

/* Those that the refcounts do not show, which QEMU takes for good, are corruptions of their own. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_check_overlaps (Qcow2Check *check, GError **error);

/* Find out what of the guest is in the clusters that were found to be wrong. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_check_locate (Qcow2Check *check, GError **error);

/* ---- check-data.c ---- */

/* Whether the @entry of an L2 table, not of a compressed cluster, has content at @offset. */
gboolean qcow2_check_has_content (const Qcow2Check *check, guint64 entry, guint64 offset);

/* How many bytes of its cluster @guest_offset needs, by the @bitmap of its entry, on a disk of
 * @disk_size bytes. */
guint64 qcow2_check_needed (const Qcow2Check *check, guint64 bitmap, guint64 guest_offset,
                            guint64 disk_size);

/* How large the disk is of who refers to @ref. */
guint64 qcow2_check_disk_size (const Qcow2Check *check, const Qcow2TableRef *ref);

/* Read and decompress all content. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_check_data (Qcow2Check *check, GError **error);

/* ---- check-tables.c ---- */

/* How many bytes of tables lie one behind the other from number @i on. */
guint64 qcow2_check_run_of_tables (const Qcow2Check *check, guint i);

/* All L1 tables, which fill check->tables. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_check_l1_tables (Qcow2Check *check, GError **error);

/* All L2 tables. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_check_l2_tables (Qcow2Check *check, GError **error);
