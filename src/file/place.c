/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "file/place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "lock/remote.h"

/* As many as the kernel follows. */
#define MAX_LINKS 40

void
img_place_free (ImgPlace *place)
{
  img_fd_clear (&place->folder);
  g_free (place->folder_path);
  g_free (place->name);
  g_free (place);
}

/* Go from the folder of @place (or the working directory) to that of @path. FALSE with errno set.
 */
static gboolean
enter (ImgPlace *place, const char *path)
{
  const char *slash = strrchr (path, '/');
  const char *name = slash == NULL ? path : slash + 1;
  g_autofree char *folder = slash == NULL   ? g_strdup (".")
                            : slash == path ? g_strdup ("/")
                                            : g_strndup (path, (gsize)(slash - path));
  int start = place->folder >= 0 ? place->folder : AT_FDCWD;

  if (name[0] == '\0' || strcmp (name, ".") == 0 || strcmp (name, "..") == 0)
    {
      errno = EISDIR;
      return FALSE;
    }
  place->is_readable = TRUE;
  int fd = openat (start, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 && errno == EACCES)
    {
      place->is_readable = FALSE;
      fd = openat (start, folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    }
  if (fd < 0)
    return FALSE;
  img_fd_clear (&place->folder);
  place->folder = fd;

  g_autofree char *from = g_steal_pointer (&place->folder_path);
  place->folder_path = from == NULL || folder[0] == '/' ? g_strdup (folder)
                       : slash == NULL                  ? g_strdup (from)
                                                        : g_build_filename (from, folder, NULL);
  char *old_name = place->name; /* @path may be part of it */
  place->name = g_strdup (name);
  g_free (old_name);
  return TRUE;
}

/* Where the link at @place leads, NULL if there is none, or with errno set. */
static char *
read_link (const ImgPlace *place)
{
  char target[PATH_MAX];
  ssize_t length = readlinkat (place->folder, place->name, target, sizeof target);

  if (length == (ssize_t)sizeof target)
    errno = ENAMETOOLONG;
  else if (length >= 0)
    return g_strndup (target, (gsize)length);
  else if (errno == EINVAL || errno == ENOENT)
    errno = 0;
  return NULL;
}

static gboolean
follow (ImgPlace *place, const char *path)
{
  struct stat st;

  /* What the kernel does not want to be followed is an error here. */
  if (stat (path, &st) < 0 && errno != ENOENT)
    return FALSE;
  if (!enter (place, path))
    return FALSE;
  for (guint links = 0; links < MAX_LINKS; links++)
    {
      g_autofree char *target = read_link (place);
      if (target == NULL)
        return errno == 0;
      if (!enter (place, target))
        return FALSE;
    }
  errno = ELOOP;
  return FALSE;
}

ImgPlace *
img_place_find (const char *path, GError **error)
{
  g_autoptr (ImgPlace) place = g_new0 (ImgPlace, 1);
  g_autofree char *safe = img_text_escape (path, -1);

  place->folder = -1;
  if (*path == '\0')
    return img_null_throw (error, IMG_ERROR_FAILED, "cannot create '': that is no name of a file");
  if (!follow (place, path))
    return img_null_throw_errno (error, "cannot create '%s'", safe);
  return g_steal_pointer (&place);
}

gboolean
img_place_has (const ImgPlace *place, const char *name, const struct stat *st)
{
  struct stat now;
  return fstatat (place->folder, name, &now, AT_SYMLINK_NOFOLLOW) == 0 && now.st_dev == st->st_dev
         && now.st_ino == st->st_ino;
}

/* To give the name anew makes FUSE and NFS clients look it up anew, as a new name must not be there
 * (LOOKUP_EXCL in their d_revalidate functions), before they fail for whatever reason. */
gboolean
img_place_has_now (const ImgPlace *place, const char *name, int fd)
{
  g_autofree char *self = g_strdup_printf ("/proc/self/fd/%d", fd);
  struct stat st;

  if (img_remote_kind (fd) != IMG_REMOTE_NOT
      && linkat (AT_FDCWD, self, place->folder, name, AT_SYMLINK_FOLLOW) == 0)
    {
      (void)!unlinkat (place->folder, name, 0);
      return FALSE;
    }
  return fstat (fd, &st) == 0 && img_place_has (place, name, &st);
}

gboolean
img_place_flush (const ImgPlace *place, int fd)
{
  if (place->is_readable)
    {
      if (fsync (place->folder) == 0)
        return TRUE;
      if (errno != EINVAL && errno != ENOTSUP && errno != ENOSYS)
        return FALSE;
    }
  return syncfs (fd) == 0;
}
