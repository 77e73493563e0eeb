/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a repair overwrote, in a file, so that it can be put back.
 *
 * The file and its name are on the disk before the image changes. It has a record for each place
 * that is written, with the bytes before and after; putting back looks first whether each place
 * still has one of the two, and whether the image is otherwise as the repair left it. */
#pragma once

#include "disk/plan.h"
#include "file/file.h"

typedef struct ImgUndo ImgUndo;

/* A new file at @path, which must not exist; its name is on the disk then. */
G_GNUC_WARN_UNUSED_RESULT
ImgUndo *img_undo_new (const char *path, GError **error);
void img_undo_free (ImgUndo *undo);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImgUndo, img_undo_free)

/* Save what @plan is going to overwrite in @image. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_undo_save (ImgUndo *undo, ImgFile *image, const ImgPlan *plan, GError **error);

/* The repair is complete: note how it left @image. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_undo_finish (ImgUndo *undo, ImgFile *image, GError **error);

/* Put back in @image, which is locked for writing, what is in the file at @path; *@n_places says
 * how many places there were. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_undo_apply (const char *path, ImgFile *image, guint *n_places, GError **error);
