/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an image is, when nobody said so; and how far such a guess is believed.
 *
 * A guest can write a qcow2 header into its raw disk, and in it the name of any file of the host.
 * It cannot rename its disk. So a format that was found by looking may lead to other files only
 * where the name of the image says the same. */
#pragma once

#include "disk/disk.h"

/* The format of @file by its first bytes (constant); NULL if they cannot be read. */
G_GNUC_WARN_UNUSED_RESULT
const char *img_probe (ImgFile *file, GError **error);

/* The same, also if it cannot be read. */
G_GNUC_WARN_UNUSED_RESULT
const char *img_probe_any (ImgFile *file, GError **error);

/* Whether the files that the image at @path names may be followed, where its format (called
 * @format) was found by looking. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_probe_check (const char *path, const char *format, const ImgReference *backing,
                          const ImgReference *data_file, GError **error);
