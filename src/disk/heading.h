/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an image says that must be known before it can be read: how large the disk is, and which
 * other files it is made of. Little enough to be found out in another process than the one that
 * opens those. */
#pragma once

#include "disk/gate.h"

typedef struct
{
  ImgReference backing, data_file; /* owned */
  guint64 size;                    /* guest bytes, of the state that was asked for */
} ImgHeading;

typedef struct
{
  const ImgGatePolicy *policy; /* borrowed; NULL: that was asked of the image in front of it */
  gboolean was_probed;         /* nobody said what format it has, and nobody names it */
  const char *snapshot;        /* borrowed: of which state; NULL: as it is now */
} ImgHeadingParams;

void img_heading_clear (ImgHeading *heading);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ImgHeading, img_heading_clear)

/* Whether what @heading says of the image at @path, of the format called @format, may be followed
 * and read. Asked by who opens the files: whoever read the image may have been made to lie. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_heading_check (const ImgHeading *heading, const char *path, const char *format,
                            const ImgHeadingParams *params, GError **error);

/* Fill in @heading (zeroed) for the image in @file, of the format called @format, if what is in
 * it may be read. It is valid, and to be cleared, also after an error. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_heading_read (ImgFile *file, const char *format, const ImgHeadingParams *params,
                           ImgHeading *heading, GError **error);
