/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The place of a file: the folder that holds it, open, and its name in there.
 *
 * Everything is then done relative to the open folder, so that no renamed or exchanged parent
 * folder can lead astray. Symbolic links are followed to the file itself, also to one that is not
 * there yet. */
#pragma once

#include <sys/stat.h>

#include "base/error.h"
#include "base/fd.h"

typedef struct
{
  ImgFd folder;         /* owned */
  gboolean is_readable; /* the folder is open for reading, so that fsync(2) works on it */
  char *folder_path;    /* owned; not made absolute */
  char *name;           /* owned; no "." or ".." */
} ImgPlace;

/* The place of @path, whose file need not exist. Links that open(2) refuses to follow are not
 * followed either (proc_sys_fs(5), protected_symlinks). */
G_GNUC_WARN_UNUSED_RESULT
ImgPlace *img_place_find (const char *path, GError **error);
void img_place_free (ImgPlace *place);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImgPlace, img_place_free)

/* Whether @name in the folder is now the file with @st. */
gboolean img_place_has (const ImgPlace *place, const char *name, const struct stat *st);

/* The same for the file behind @fd, asked of the file server if there is one: what the kernel
 * remembers of a name may be some seconds old there, and another host may have removed or replaced
 * the file since. If there is no such name now, the file may have it for an instant, so the caller
 * must be the one who may use the name. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_place_has_now (const ImgPlace *place, const char *name, int fd);

/* Bring the folder's entries to the disk, by fsync(2) or, where the folder cannot be read or has no
 * such thing, with the whole file system that @fd is on. FALSE with errno set. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_place_flush (const ImgPlace *place, int fd);
