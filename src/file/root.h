/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A folder that the names found in an image may not lead out of.
 *
 * What is beneath it is settled by the kernel while it looks for the file (openat2(2)), through
 * "..", symbolic links and renames that happen meanwhile. A kernel that cannot do that is an error:
 * there is no second best. Which part of a name is below the folder is found out from its text
 * alone; to be wrong there can only make the kernel refuse. */
#pragma once

#include "base/error.h"

typedef struct ImgRoot ImgRoot;

/* The folder @folder, for the names that begin at the image @image, whose own name is not confined.
 * Has one use. */
G_GNUC_WARN_UNUSED_RESULT
ImgRoot *img_root_open (const char *folder, const char *image, GError **error);
ImgRoot *img_root_ref (ImgRoot *root);
void img_root_unref (ImgRoot *root);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImgRoot, img_root_unref)

/* An O_PATH descriptor of what @path means, which is not outside @root; the caller owns it. Returns
 * -1 on error. */
G_GNUC_WARN_UNUSED_RESULT
int img_root_find (const ImgRoot *root, const char *path, GError **error);
