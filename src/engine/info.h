/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is known about an image without reading its content: format, sizes, what the format tells,
 * of a raw disk a guess at what is in it. Only the image itself is opened. */
#pragma once

#include "disk/content.h"
#include "disk/describe.h"
#include "disk/inspect.h"
#include "engine/open.h"

/* Another file that the image names. */
typedef struct
{
  const char *kind; /* "backing file" or "data file" */
  char *name;       /* owned; as it is in the image */
  char *format;     /* owned; as recorded, or NULL */
  char *path;       /* owned; where it would be looked for; NULL: it is not followed */
  char *refusal;    /* owned; why not, or NULL */
} ImgInfoReference;

typedef struct
{
  char *path;         /* owned; as given */
  const char *format; /* constant */
  gboolean is_device, is_raw;
  guint64 virtual_size; /* bytes; of a raw disk rounded up to 512 as QEMU does */
  guint64 file_length;  /* bytes, exact */
  guint64 allocated;    /* bytes on disk */
  ImgContent content;   /* of a raw disk */
  ImgDescription description;
  ImgReference backing, data_file; /* owned; what the image names */
  char *full_backing_name;         /* owned; NULL if there is none */
  GPtrArray *references;           /* owned ImgInfoReference: the same, judged */
  guint64 device, inode;           /* of the file */
  char *warning, *remark;          /* owned; how it was locked, see img_lock_warning(); or NULL */
} ImgInfo;

/* Look at @path, opened for @use (IMG_USE_INFO or IMG_USE_CHECK) as @params say. Errors: those of
 * img_open(), and IMG_ERROR_LOCK_LOST. */
G_GNUC_WARN_UNUSED_RESULT
ImgInfo *img_info_new (const char *path, ImgUse use, const ImgOpenParams *params, GError **error);

/* Whether the image can be trusted, as @params->policy says; see disk/inspect.h. Errors as above,
 * but a format that is not supported is a reason. */
G_GNUC_WARN_UNUSED_RESULT
ImgInspection *img_info_inspect (const char *path, const ImgOpenParams *params, GError **error);

/* The same for the image and everything behind it, each opened by itself and closed again: new
 * ImgInfo in @chain, from the front. What was found before an error stays in it. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_info_chain (const char *path, ImgUse use, const ImgOpenParams *params,
                         GPtrArray *chain, GError **error);
void img_info_free (ImgInfo *info);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImgInfo, img_info_free)
