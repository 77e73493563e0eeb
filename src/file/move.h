/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Giving a finished file its final name, in one step that is done or not done.
 *
 * A file server may do what it was asked, lose the answer, and report a failure when it is asked
 * again. So after a failure the names are looked at before it is believed. */
#pragma once

#include "file/place.h"

/* Rename @part, which is the file with @st, to the place's name, replacing what is there. FALSE
 * with errno set. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_move_over (const ImgPlace *place, const char *part, const struct stat *st);

/* The same, if there is nothing of that name; else FALSE with EEXIST. If taking the old name off is
 * what failed, the file has both. By renameat2(2) with
 * RENAME_NOREPLACE; where that is not supported by a second link (which a killed process may leave
 * behind beside the finished file); where there are no links either, over an empty file made with
 * O_EXCL, which is what is left if the process is killed between these two. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_move_new (const ImgPlace *place, const char *part, const struct stat *st);
