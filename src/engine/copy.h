/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copying guest bytes from one disk to another, by several workers.
 *
 * The work is cut into pieces: a range of zeros, or data that does not cross a multiple of
 * IMG_COPY_CHUNK. Pieces are handed out in order under one mutex; what must happen in order (a
 * digest, a sequential target) waits for its turn. Memory is bounded by the number of workers times
 * a chunk, the first error wins, and the result does not depend on the number of workers. */
#pragma once

#include "disk/disk.h"
#include "engine/progress.h"

#define IMG_COPY_CHUNK (G_GUINT64_CONSTANT (1) << 20)
#define IMG_MAX_WORKERS 32

typedef enum
{
  IMG_REFLINK_AUTO,
  IMG_REFLINK_ALWAYS,
  IMG_REFLINK_NEVER,
} ImgReflink;

typedef struct
{
  guint workers;       /* 0: as many as make sense; 1: no threads at all */
  guint64 sparse_size; /* zeros in runs of at least this become sparse; 0: none, all is written */
  guint64 rate;        /* bytes of data per second; 0: no limit */
  ImgReflink reflink;
  gboolean copy_range;        /* -C: copy_file_range(2) */
  gboolean salvage;           /* unreadable becomes zeros */
  gboolean verify;            /* read the target again, past the page cache */
  const char *const *digests; /* names, NULL-terminated, of the guest content; or NULL */
  ImgProgress progress;
} ImgCopyParams;

/* A range of the guest, for lists of what could not be read. */
typedef struct
{
  guint64 guest_offset, length;
} ImgRange;

typedef struct
{
  guint64 size; /* guest bytes */
  /* Their sum is size, or more where salvage read twice. */
  guint64 copied, zero, cloned, same;
  GArray *unreadable; /* owned ImgRange, ascending, joined */
  GPtrArray *digests; /* owned char *: hexadecimal, in the order of the names */
} ImgCopyResult;

void img_copy_result_clear (ImgCopyResult *result);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ImgCopyResult, img_copy_result_clear)

/* Copy the sources, one behind the other, to the beginning of @target. The target is complete but
 * not flushed afterwards, unless verify asked for it. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_copy (ImgDisk *const *sources, guint n_sources, ImgDisk *target,
                   const ImgCopyParams *params, ImgCopyResult *result, GError **error);
