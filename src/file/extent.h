/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where a file has data and where it has nothing.
 *
 * Source: lseek(2), SEEK_DATA and SEEK_HOLE. Block devices, and file systems that do not know, are
 * data throughout. Each question goes to the file system, which may walk through all it knows: ask
 * for as much as you can use. */
#pragma once

#include "file/file.h"

typedef struct
{
  guint64 offset, length; /* bytes */
  gboolean is_hole;       /* reads as zeros, and has no space */
} ImgFileExtent;

/* The extent of @file that begins at @offset, below its size, cut off at @offset + @length. Any
 * thread may call; the shared file position moves (nothing here uses it). */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_file_extent (ImgFile *file, guint64 offset, guint64 length, ImgFileExtent *extent,
                          GError **error);
