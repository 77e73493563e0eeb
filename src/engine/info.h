/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is known about an image without reading its content: format, sizes, a guess at what is in
 * it.
 */
#pragma once

#include "disk/content.h"
#include "engine/open.h"

typedef struct
{
  char *path;         /* owned; as given */
  const char *format; /* constant */
  gboolean is_device;
  guint64 virtual_size; /* bytes, rounded up to 512 as QEMU does */
  guint64 file_length;  /* bytes, exact */
  guint64 allocated;    /* bytes on disk */
  ImgContent content;
  char *warning, *remark; /* owned; how it was locked, see img_lock_warning(); or NULL */
} ImgInfo;

/* Look at @path, opened for @use (IMG_USE_INFO or IMG_USE_CHECK) as @params say. Errors: those of
 * img_open(), and IMG_ERROR_LOCK_LOST. */
G_GNUC_WARN_UNUSED_RESULT
ImgInfo *img_info_new (const char *path, ImgUse use, const ImgOpenParams *params, GError **error);
void img_info_free (ImgInfo *info);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImgInfo, img_info_free)
