/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether an image from a stranger is what it seems, and leads nowhere.
 *
 * A list of what is allowed, not of what is forbidden: no reference to another file, one format and
 * no signature of a second one wherever it would be looked for, no feature that is not known to be
 * harmless, no disk larger than agreed. The manual page is imgtool-formats(7); keep the two alike.
 */
#pragma once

#include "disk/gate.h"

/* How large a disk may be where nobody said. */
#define IMG_UNTRUSTED_MAX_SIZE (G_GUINT64_CONSTANT (1) << 40)

typedef struct
{
  const char *kind; /* "backing file" or "data file"; constant */
  char *name;       /* owned; as it is in the image */
  char *format;     /* owned; as recorded, or NULL */
} ImgInspectedReference;

typedef struct
{
  char *path;            /* owned; as given */
  const char *format;    /* constant; what it is taken for */
  gboolean has_size;     /* the image could be opened: */
  guint64 virtual_size;  /* guest bytes */
  guint64 file_length;   /* bytes */
  GPtrArray *candidates; /* constant strings: every format and content whose signature it has */
  GPtrArray *references; /* owned ImgInspectedReference */
  GPtrArray *features;   /* owned char *: what it uses of its format beyond the least */
  GPtrArray *reasons;    /* owned char *, safe to print: why it is not safe; none: it is */
} ImgInspection;

/* One of @file in which nothing is said yet. */
ImgInspection *img_inspection_new (ImgFile *file, const char *format);

/* Look at @file, which is taken for the format called @format (one that is known). Errors: it
 * cannot be read; what is wrong with the image itself is a reason. */
G_GNUC_WARN_UNUSED_RESULT
ImgInspection *img_inspect (ImgFile *file, const char *format, const ImgGatePolicy *policy,
                            GError **error);
void img_inspection_free (ImgInspection *inspection);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImgInspection, img_inspection_free)

/* Whether @disk may be read, as @policy says: if it is not trusted, everything above but the size.
 */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_inspect_check (const ImgDisk *disk, const ImgGatePolicy *policy, GError **error);

/* Whether the disk in the image at @path, with @size bytes as it is going to be read, is not too
 * large. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_inspect_check_size (const char *path, guint64 size, const ImgGatePolicy *policy,
                                 GError **error);
