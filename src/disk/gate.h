/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The gate: every name of another file that was found inside an image passes here.
 *
 * Whoever wrote the image chose the name, and may mean harm: to have a file of this host read into
 * a copy, to make a program hang at a FIFO, to make it connect to somewhere. So a name is a file
 * name and nothing else, the file is a regular one or (where that was to be expected) a block
 * device, and it is opened once. The manual page is imgtool-formats(7); keep the two alike. */
#pragma once

#include "disk/disk.h"

typedef struct
{
  gboolean allow_devices;   /* block devices behind an image that is in a file */
  gboolean allow_data_file; /* a data file outside the folder of the image */
  const char *chain_under;  /* nothing outside this folder; or NULL */
  gboolean is_untrusted;    /* the image is a stranger's: see disk/inspect.h */
  guint64 max_size;         /* how many bytes the disk may have; 0: nobody said */
} ImgGatePolicy;

/* What a name turned out to mean. */
typedef struct
{
  char *path;   /* owned */
  char *format; /* owned; as recorded, or NULL */
} ImgGatePath;

void img_gate_path_clear (ImgGatePath *path);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ImgGatePath, img_gate_path_clear)

/* @name, found in the image @image, as a path or whatever else it is: what is relative is so to the
 * folder of the image. As QEMU shows it; nothing is checked. Returns a new string. */
char *img_gate_full_name (const char *image, const char *name);

/* The file that the image @image means by @reference, which is its @what ("backing file"). A name
 * such as file:PATH, or a json: of nothing but a format over a file, is reduced to the path. Fails
 * for everything that is not a file name. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_gate_resolve (const char *image, const char *what, const ImgReference *reference,
                           ImgGatePath *path, GError **error);

/* Whether @file, which an image that is in @image calls its @what, may be it. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_gate_check (ImgFile *image, const char *what, gboolean is_data_file, ImgFile *file,
                         const ImgGatePolicy *policy, GError **error);
