/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The part file: what is written until it is whole.
 *
 * Its name is predictable, .NAME.imgtool-part, and whoever has it locked is writing the target
 * NAME. Only who holds the lock on a part file, and has seen since that the name still is that
 * file, uses or removes it. A run always makes a new one: a leftover, which nobody has locked, is
 * removed first. Without locks nobody could tell a leftover, so the name is then random and only
 * the run that made it removes it. The mode is 0600 until the caller changes it. */
#pragma once

#include "file/file.h"
#include "file/place.h"

typedef struct ImgPart ImgPart;

/* The predictable name; one too long for the file system is cut and has a hash. Returns a new
 * string. */
char *img_part_name (const ImgPlace *place);

/* Make, lock and register one for signals. @place is borrowed; @target is its name in messages,
 * escaped. A leftover must belong to this process's user or to @owner, that of the file to replace,
 * to whom it is given just before it is published. IMG_ERROR_LOCKED if another run writes the same
 * target. */
G_GNUC_WARN_UNUSED_RESULT
ImgPart *img_part_new (const ImgPlace *place, const char *target, uid_t owner, ImgLocking locking,
                       ImgPermSet permissions, GError **error);

ImgFile *img_part_file (const ImgPart *part);        /* borrowed */
const char *img_part_path (const ImgPart *part);     /* borrowed; for messages */
const char *img_part_name_now (const ImgPart *part); /* borrowed; in the place's folder */

/* Its inode; dev and ino only stay true. */
const struct stat *img_part_stat (const ImgPart *part);

/* The file has got its final name and is nothing to remove any more. To be called while signals are
 * held off (base/at-signal.h), together with the renaming. */
void img_part_set_published (ImgPart *part);

/* Remove it unless it was published, unlock and close. */
void img_part_free (ImgPart *part);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImgPart, img_part_free)
