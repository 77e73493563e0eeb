/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "file/move.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* Whether the operation that has just failed was done nevertheless. */
static gboolean
was_done (const ImgPlace *place, const struct stat *st)
{
  int saved_errno = errno;
  gboolean is_done = img_place_has (place, place->name, st);
  errno = saved_errno;
  return is_done;
}

gboolean
img_move_over (const ImgPlace *place, const char *part, const struct stat *st)
{
  return renameat (place->folder, part, place->folder, place->name) == 0 || was_done (place, st);
}

/* Take the old name off, when there are two. */
static gboolean
drop (const ImgPlace *place, const char *part, const struct stat *st)
{
  return unlinkat (place->folder, part, 0) == 0 || errno == ENOENT
         || !img_place_has (place, part, st);
}

static gboolean
is_not_supported (int why)
{
  return why == EINVAL || why == ENOSYS || why == ENOTSUP;
}

/* File systems without links say all kinds of things. */
static gboolean
has_no_links (int why)
{
  return is_not_supported (why) || why == EPERM || why == EACCES || why == EMLINK || why == EIO;
}

static gboolean
move_over_placeholder (const ImgPlace *place, const char *part, const struct stat *st)
{
  g_auto (ImgFd) fd = openat (place->folder, place->name,
                              O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  struct stat placeholder;

  if (fd < 0 || fstat (fd, &placeholder) < 0)
    return FALSE;
  img_fd_clear (&fd);
  if (img_move_over (place, part, st))
    return TRUE;
  int saved_errno = errno;
  if (img_place_has (place, place->name, &placeholder))
    (void)unlinkat (place->folder, place->name, 0);
  errno = saved_errno;
  return FALSE;
}

gboolean
img_move_new (const ImgPlace *place, const char *part, const struct stat *st)
{
  if (renameat2 (place->folder, part, place->folder, place->name, RENAME_NOREPLACE) == 0)
    return TRUE;
  if (was_done (place, st))
    return drop (place, part, st);
  if (!is_not_supported (errno))
    return FALSE;
  if (linkat (place->folder, part, place->folder, place->name, 0) == 0 || was_done (place, st))
    return drop (place, part, st);
  return has_no_links (errno) && move_over_placeholder (place, part, st);
}
