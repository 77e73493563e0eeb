/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The options of convert, which are qemu-img's and more, and what goes together with what. */
#pragma once

#include "cli/command.h"
#include "engine/convert.h"

typedef struct
{
  CliCommon common;          /* for the sources */
  ImgConvertParams convert;  /* without the images */
  const char *target_format; /* NULL: none was said */
  gboolean target_image_opts;
  char *target_options;                 /* owned; -o */
  const char *backing, *backing_format; /* -B, -F */
  gboolean is_compressed;               /* -c */
  gboolean with_bitmaps;                /* --bitmaps */
  ImgCreateOptions create;              /* what these say together */
  char **digests;                       /* owned; names */
  int target_cache;                     /* of -t; -1: none was said */
  gboolean is_not_flushed;              /* --no-fsync */
  gboolean with_sparse_size;            /* -S was said */
  gboolean with_percent;                /* -p */
  gint64 progress_fd;                   /* of --progress=json:FD, or -1 */
  const CliOption *unsupported;         /* the first option that no format here can follow */
} CliConvertParams;

extern const CliOption cli_convert_options[];

gpointer cli_convert_new_params (void);
void cli_convert_clear_params (gpointer params);

/* Whether the options go together, and fill in what follows from them. */
G_GNUC_WARN_UNUSED_RESULT
gboolean cli_convert_check_options (CliConvertParams *params, GError **error);

/* The format that the target is to have, unless --target-image-opts says it; constant. */
const char *cli_convert_target_format (const CliConvertParams *params);

/* Whether they go together with standard output as the target. */
G_GNUC_WARN_UNUSED_RESULT
gboolean cli_convert_check_stdout (const CliConvertParams *params, GError **error);
