/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading the heading of an image where a stranger's bytes are read: in the sandbox. */
#pragma once

#include "disk/heading.h"

/* Does what img_heading_read() does. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_read_heading (ImgFile *file, const char *format, const ImgHeadingParams *params,
                           ImgHeading *heading, GError **error);
