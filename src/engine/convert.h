/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* imgtool convert: open and check everything, then copy, then put in place.
 *
 * The order is the safety: options, sources (locked against writers), sizes, the target (compared
 * with the sources by inode, asked for writers without a lock, locked exclusively), and only then
 * the first byte. */
#pragma once

#include "engine/copy.h"
#include "engine/image-spec.h"
#include "engine/open.h"

typedef struct
{
  const ImgImageSpec *sources; /* borrowed; the path "-" is standard input, if streams are meant */
  guint n_sources;
  const char *source_snapshot; /* -l: read that state of the source; or NULL */
  ImgGatePolicy policy;        /* for what the sources name */
  const ImgImageSpec *target;  /* likewise standard output; its format is not NULL */
  gboolean dash_is_stream;
  int input_fd, output_fd; /* what the streams are */
  gboolean force_share;    /* -U, of the sources */
  gboolean no_create;      /* -n: write into what is there */
  gboolean in_place;       /* no part file: the target is emptied and written */
  gboolean target_is_zero; /* with no_create: it reads as zeros, believe it */
  gboolean ignore_openers; /* who has the target open without a lock does not matter */
  gboolean is_strict;      /* a source that changes is an error */
  gboolean is_durable;     /* fsync */
  gint64 lock_wait;        /* microseconds */
  ImgCacheMode source_cache, target_cache;
  ImgCreateOptions create;      /* borrowed texts: what the target is to be, if it is new */
  gboolean skip_broken_bitmaps; /* create.has_bitmaps: leave them out instead of failing */
  ImgCopyParams copy;
} ImgConvertParams;

typedef struct
{
  ImgCopyResult copy;
  GPtrArray *warnings;  /* owned char *: what a person should know, though it went well */
  GPtrArray *omissions; /* owned char *: likewise, what is not in the copy */
  GPtrArray *remarks;   /* owned char *: for -v */
} ImgConvertResult;

void img_convert_result_clear (ImgConvertResult *result);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ImgConvertResult, img_convert_result_clear)

/* Do it. On failure nothing is under the target's name that was not there before, unless it was
 * written in place. IMG_ERROR_LOCKED names the holders. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_convert (const ImgConvertParams *params, ImgConvertResult *result, GError **error);

/* imgtool create: a new disk of *@size zeros, or with what is in its backing file, all or nothing
 * like convert's; of @params what concerns the target. *@size IMG_DISK_SIZE_UNKNOWN: as large as
 * the backing file, filled in. With @is_unchecked the backing file is not opened: it need not
 * exist. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_create (guint64 *size, gboolean is_unchecked, const ImgConvertParams *params,
                     ImgConvertResult *result, GError **error);
