/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside the copy engine: what its workers share. */
#pragma once

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
  guint64 number;        /* its turn */
  ImgDisk *source;       /* borrowed */
  guint64 source_offset; /* guest bytes of the source */
  guint64 offset;        /* guest bytes of the target */
  guint64 length;
  gboolean is_zero;
  gboolean is_loaded; /* a stream's bytes are in the buffer already */
} ImgPiece;

typedef struct
{
  /* Constant while workers run. */
  ImgDisk *const *sources; /* borrowed */
  guint n_sources;
  ImgDisk *target; /* borrowed */
  const ImgCopyParams *params;
  gboolean is_ordered; /* something must happen in the order of the pieces */
  gboolean needs_data; /* a clone alone will not do: the bytes must be seen */
  gboolean is_alone;   /* the main thread does it all */
  GPtrArray *digests;  /* owned ImgDigest; fed in turn */

  /* ImgShortcut; set by whoever finds out. */
  gint clone, copy_range;

  /* Under the mutex of taking, which is kept while a stream is waited for. */
  GMutex taking;
  guint source_index;
  guint64 source_offset, offset; /* what comes next */
  ImgExtent extent;              /* of the source, at source_offset; length 0: not looked up */
  guint64 n_pieces;
  gint64 rate_time; /* when the next data may be written */

  /* Under the other mutex, which may be taken inside the first. */
  GMutex mutex;
  GCond turn_changed;
  guint64 turn;
  GError *error; /* owned; the first */
  ImgProgressState state;
  GArray *unreadable; /* owned ImgRange, in no order */
  GArray *checks;     /* owned ImgCheck; NULL: not to be verified */

  gint64 shown; /* by the main thread only: when the progress was shown last */
} ImgCopyJob;

/* Do @piece. FALSE with an error, or without one if another worker failed. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_piece_copy (ImgCopyJob *job, const ImgPiece *piece, guint8 *buffer, GError **error);
