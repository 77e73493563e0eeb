/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A target that appears whole, or not at all.
 *
 * A regular target is written as a part file beside it (file/part.h), locked exclusively and
 * compared by inode. Publishing flushes the part file, gives it the final name and flushes the
 * folder; until then the name has its old file or none, whatever ends the process. A signal that
 * ends it removes the part file first; what a kill leaves is unlocked, and the next run to the same
 * target replaces it. Only what was made here is ever removed. Main thread only. */
#pragma once

#include "file/file.h"

typedef struct ImgOutput ImgOutput;

typedef struct
{
  ImgLocking locking;
  ImgPermSet permissions; /* what to lock on the part file */
  gboolean is_durable;    /* fsync(2) file and directory */
  mode_t mode;            /* of a new target, further narrowed by the umask */
} ImgOutputParams;

/* Begin to write what will be @path. @replaced is the open, exclusively locked file that has the
 * name now (taken over, also on failure; kept open and locked to the end), or NULL if there is
 * none: appearing meanwhile is then an error. Symbolic links are resolved; the real file is
 * replaced. Of a replaced file the owner, mode, ACL, extended attributes and chattr flags are kept:
 * what cannot be is found out here, before anything was copied. Errors name --in-place where that
 * is the way out: hard links, a bind-mounted file, a directory that may not be written, an owner
 * that cannot be kept. */
G_GNUC_WARN_UNUSED_RESULT
ImgOutput *img_output_new (const char *path, ImgFile *replaced, const ImgOutputParams *params,
                           GError **error);

/* What to write into: empty, and locked. Borrowed. */
ImgFile *img_output_file (ImgOutput *output);

/* The path of the part file, for messages; borrowed. */
const char *img_output_part_path (const ImgOutput *output);

/* What img_output_new() would use as the part file of @path (to name who has it locked). Returns a
 * new string, NULL if the folder does not exist. */
char *img_output_part_path_of (const char *path);

/* Put the finished file in place. After FALSE the final name is as it was, unless the message says
 * that it is there but may not survive a power cut (the directory could not be flushed). A close
 * that fails after a good fsync is not an error. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_output_publish (ImgOutput *output, GError **error);

/* Close; what was not published is removed. */
void img_output_free (ImgOutput *output);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImgOutput, img_output_free)
