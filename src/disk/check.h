/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a check of an image's own structure found, whatever its format.
 *
 * Counters are complete and have the meaning they have with qemu-img. Of the findings themselves
 * only the first are kept: a small file can be wrong in millions of places. */
#pragma once

#include "disk/disk.h"
#include "disk/plan.h"

#define IMG_CHECK_MAX_KEPT 100

typedef enum
{
  IMG_FINDING_REFCOUNT_LOW,   /* a cluster has more users than its refcount says */
  IMG_FINDING_LEAK,           /* a cluster has fewer users than its refcount says */
  IMG_FINDING_COPIED,         /* the flag "only one user" contradicts the refcount */
  IMG_FINDING_REFCOUNT_BLOCK, /* the refcounts themselves are in a bad place */
  IMG_FINDING_ENTRY,          /* an entry of a table cannot be right */
  IMG_FINDING_PAST_END,       /* an entry points past the end of the file */
  IMG_FINDING_OVERFLOW,       /* more users than the refcount can count */
  IMG_FINDING_SNAPSHOT,       /* an entry of the snapshot table cannot be right */
  IMG_FINDING_BITMAP,         /* a bitmap, or an entry of its table, cannot be right */
  IMG_FINDING_HEADER,         /* the header contradicts itself, or what it points to */
  IMG_FINDING_CUT_TABLE,      /* a table lies in the file only in part */
  IMG_FINDING_OVERLAP,        /* data and metadata, or two tables, in one place */
  IMG_FINDING_REFCOUNT_PAST,  /* refcounts of clusters past the end of the file */
  IMG_FINDING_DATA,           /* content that cannot be read or decompressed */
  IMG_FINDING_INTERNAL,       /* something that could not be checked */
} ImgFindingKind;

#define IMG_N_FINDING_KINDS 15

/* Which counter a kind adds to. */
typedef enum
{
  IMG_FINDING_IS_CORRUPTION,
  IMG_FINDING_IS_LEAK,
  IMG_FINDING_IS_ERROR,
  IMG_FINDING_IS_PAST,
} ImgFindingClass;

/* Where something was found. */
typedef struct
{
  guint64 host_offset;                /* bytes of the file; G_MAXUINT64: nowhere */
  guint64 guest_offset, guest_length; /* bytes of the disk; length 0: not known */
  const char *snapshot;               /* borrowed; as it is in the image; NULL: the disk as it is */
} ImgFindingPlace;

typedef struct
{
  ImgFindingKind kind;
  char *text;            /* owned; goes on behind "ERROR", safe to print */
  ImgFindingPlace place; /* its snapshot is owned */
} ImgFinding;

typedef struct
{
  guint64 image_end_offset; /* bytes */
  guint64 total_clusters, allocated_clusters, fragmented_clusters, compressed_clusters;
  guint64 corruptions, leaks, errors;
  guint64 corruptions_fixed, leaks_fixed;
  guint64 past_end;                       /* refcounts of clusters past the end of the file */
  guint64 n_of_kind[IMG_N_FINDING_KINDS]; /* all of them */
  GPtrArray *findings;                    /* owned ImgFinding: the first */
} ImgCheckResult;

typedef struct
{
  gboolean with_data; /* read and decompress all content too */
  ImgPlan *plan;      /* borrowed: add what is to be done about it; NULL: nothing is */
  ImgRepair repair;   /* what may be done */
  /* How far it has come, in bytes of metadata; may be NULL. */
  void (*progress) (guint64 done, guint64 total, gpointer closure);
  gpointer closure;
} ImgCheckParams;

void img_check_result_init (ImgCheckResult *result);
void img_check_result_clear (ImgCheckResult *result);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ImgCheckResult, img_check_result_clear)

/* Count @times findings of @kind, and keep one as an example while there is room. @text goes on
 * behind "ERROR", with a colon or a space; foreign text in it is escaped. */
void img_check_note (ImgCheckResult *result, ImgFindingKind kind, guint64 times,
                     const ImgFindingPlace *place, const char *format, ...) G_GNUC_PRINTF (5, 6);

/* "refcount-low" and so on; constant. */
const char *img_finding_name (ImgFindingKind kind);
ImgFindingClass img_finding_class (ImgFindingKind kind);

/* The number of all findings, kept or not. */
guint64 img_check_n_findings (const ImgCheckResult *result);

/* Whether images of the format called @name (one that is supported) have anything to check. */
gboolean img_format_has_check (const char *name);

/* Check the structure of @disk, which is open but need not be ready for reading. Errors: the file
 * cannot be read, or what is in it makes no sense at all; IMG_ERROR_UNSUPPORTED: the format has
 * nothing to check. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_disk_check (ImgDisk *disk, const ImgCheckParams *params, ImgCheckResult *result,
                         GError **error);
