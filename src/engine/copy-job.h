/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside the copy engine: what its workers share. */
#pragma once

#include "disk/parcel.h"
#include "engine/copy.h"
#include "engine/digest.h"
#include "engine/verify.h"

/* What is known about a way to copy inside the kernel. */
typedef enum
{
  IMG_SHORTCUT_NONE, /* not wanted, or does not work */
  IMG_SHORTCUT_UNTRIED,
  IMG_SHORTCUT_WORKS,
} ImgShortcut;

/* A part of the work for one worker. */
typedef struct
{
  guint64 number; /* its turn */
  guint64 offset; /* guest bytes */
  guint64 length;
  gboolean is_zero;
  gboolean is_same;   /* it is in the disk behind the target already */
  gboolean is_loaded; /* a stream's bytes are in the buffer already */
} ImgPiece;

typedef struct
{
  /* Constant while workers run. */
  ImgDisk *source, *target; /* borrowed */
  const ImgCopyParams *params;
  gboolean is_ordered; /* something must happen in the order of the pieces */
  gboolean needs_data; /* a clone alone will not do: the bytes must be seen */
  gboolean is_alone;   /* the main thread does it all */
  guint64 unit;        /* of the target; 1: any */
  guint64 chunk;       /* data of a piece does not cross a multiple of this many bytes */
  GPtrArray *digests;  /* owned ImgDigest; fed in turn */

  /* ImgShortcut; set by whoever finds out. */
  gint clone, copy_range;

  /* Under the mutex of taking, which is kept while a stream is waited for. */
  GMutex taking;
  guint64 offset;   /* what comes next */
  ImgExtent extent; /* of the source, there; length 0: not looked up */
  guint64 n_pieces;
  gint64 rate_time; /* when the next data may be written */

  /* Under the other mutex, which may be taken inside the first. */
  GMutex mutex;
  GCond has_failed;             /* error has been set */
  GCond turns[IMG_MAX_WORKERS]; /* for the piece of that number, modulo: no more are on the way */
  guint64 turn;
  GError *error; /* owned; the first */
  ImgProgressState state;
  GArray *unreadable; /* owned ImgRange, in no order */
  GArray *checks;     /* owned ImgCheck; NULL: not to be verified */

  gint64 shown; /* by the main thread only: when the progress was shown last */
} ImgCopyJob;

/* What a worker has of its own. */
typedef struct
{
  ImgCopyJob *job;   /* borrowed */
  guint8 *buffer;    /* borrowed; job->chunk bytes */
  ImgParcel *parcel; /* owned; NULL if the target takes none */
} ImgCopyHand;
/* What became of the bytes of a piece. */
typedef struct
{
  guint64 copied, zero, cloned, same;
} ImgTally;

/* Do @piece. FALSE with an error, or without one if another worker failed. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_piece_copy (ImgCopyHand *hand, const ImgPiece *piece, GError **error);

/* Read @length bytes at @begin of @piece, or zeros where salvaging finds nothing. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_piece_read (ImgCopyJob *job, const ImgPiece *piece, guint64 begin, gsize length,
                         guint8 *buffer, GError **error);

/* Wait for the turn of @piece; FALSE if somebody failed. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_piece_await_turn (ImgCopyJob *job, const ImgPiece *piece);
void img_piece_end_turn (ImgCopyJob *job);

/* ---- targets that take parcels (copy-parcel.c) ---- */

/* Cut @piece, which is an extent of the source, to the target's units, and find out whether it is
 * in the disk behind already. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_parcel_fit (ImgCopyJob *job, ImgPiece *piece, GError **error);

/* Find out, if nobody has, whether blocks can be shared with @file, which has data at @host_offset.
 */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_parcel_try_to_share (ImgCopyJob *job, ImgFile *file, guint64 host_offset,
                                  GError **error);

/* What img_piece_copy() does for them. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_parcel_copy (ImgCopyHand *hand, const ImgPiece *piece, ImgTally *tally,
                          GError **error);

/* That nothing was shared though --reflink=always asks for it. */
gboolean img_piece_throw_unshared (const ImgPiece *piece, GError **error);
