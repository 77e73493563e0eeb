/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What -o says about an image that is to be made: "preallocation=full,size=10G". */
#pragma once

#include "engine/convert.h"

typedef struct
{
  ImgPreallocation preallocation;
  gboolean has_preallocation; /* it was said, also if it is the default */
  gboolean has_size;
  guint64 size; /* bytes */
} CliCreateOptions;

/* Whether @list asks, with help or ?, what there is. NULL asks nothing. */
gboolean cli_create_options_want_help (const char *list);

/* What can be said about a raw image; @with_size if its size can be. */
void cli_create_options_append_help (GString *text, gboolean with_size);

/* Parse @list (or NULL) for a raw image. FALSE with IMG_ERROR_USAGE. */
G_GNUC_WARN_UNUSED_RESULT
gboolean cli_create_options_parse (const char *list, gboolean with_size, CliCreateOptions *options,
                                   GError **error);

/* "off", "falloc", "full"; constant. */
const char *cli_preallocation_name (ImgPreallocation preallocation);
