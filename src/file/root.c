/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "file/root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"

/* The kernel gives up where something is renamed while it goes through "..". */
#define MAX_TRIES 64

struct ImgRoot
{
  ImgFd fd;           /* owned; O_PATH */
  char *safe;         /* owned; for messages */
  char *given, *real; /* owned; its name, absolute, and what it really is; without a slash behind */
  char *image_folder; /* owned; of the image that names begin at, as in its name */
  char *image_real;   /* owned; what that really is */
};

static void
clear (gpointer data)
{
  ImgRoot *root = data;
  img_fd_clear (&root->fd);
  g_free (root->safe);
  g_free (root->given);
  g_free (root->real);
  g_free (root->image_folder);
  g_free (root->image_real);
}

ImgRoot *
img_root_ref (ImgRoot *root)
{
  return g_rc_box_acquire (root);
}

void
img_root_unref (ImgRoot *root)
{
  g_rc_box_release_full (root, clear);
}

static int
open_beneath (int folder, const char *path)
{
  struct open_how how
      = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
  int fd;
  guint tries = 0;
  do
    fd = (int)syscall (SYS_openat2, folder, path, &how, sizeof how);
  while (fd < 0 && (errno == EAGAIN || errno == EINTR) && ++tries < MAX_TRIES);
  return fd;
}

/* An absolute path without a slash at its end, "" for the root directory. */
static char *
without_slash (char *path)
{
  gsize length = strlen (path);
  while (length > 0 && path[length - 1] == '/')
    path[--length] = '\0';
  return path;
}

/* @path with its symbolic links resolved; NULL with errno. */
static char *
resolve (const char *path)
{
  char *real = realpath (path, NULL);
  char *copy = real == NULL ? NULL : without_slash (g_strdup (real));
  free (real);
  return copy;
}

static char *
absolute (const char *path)
{
  g_autofree char *here = g_get_current_dir ();
  return without_slash (path[0] == '/' ? g_strdup (path) : g_strconcat (here, "/", path, NULL));
}

ImgRoot *
img_root_open (const char *folder, const char *image, GError **error)
{
  g_autoptr (ImgRoot) root = g_rc_box_new0 (ImgRoot);

  root->safe = img_text_escape (folder, -1);
  root->fd = open (folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root->fd >= 0)
    root->real = resolve (folder);
  if (root->fd < 0 || root->real == NULL)
    return img_null_throw_errno (error, "cannot open the folder '%s'", root->safe);
  root->given = absolute (folder);
  g_auto (ImgFd) trial = open_beneath (root->fd, ".");
  if (trial < 0 && (errno == ENOSYS || errno == EPERM))
    return img_null_throw (
        error, IMG_ERROR_UNSUPPORTED,
        "names cannot be confined to '%s' here: the kernel, or a sandbox, has no "
        "openat2()",
        root->safe);
  if (trial < 0)
    return img_null_throw_errno (error, "cannot open the folder '%s'", root->safe);
  root->image_folder = g_path_get_dirname (image);
  root->image_real = resolve (root->image_folder);
  if (root->image_real == NULL)
    {
      g_autofree char *safe = img_text_escape (image, -1);
      return img_null_throw_errno (error, "cannot look at the folder of '%s'", safe);
    }
  return g_steal_pointer (&root);
}

/* What of @path is below @folder; NULL if it is not. */
static const char *
below (const char *path, const char *folder)
{
  gsize length = strlen (folder);
  if (strncmp (path, folder, length) != 0 || path[length] != '/')
    return NULL;
  path += length;
  return path + strspn (path, "/");
}

/* @path, which is absolute or begins at the folder of the image, as an absolute one. */
static char *
from_image (const ImgRoot *root, const char *path)
{
  const char *rest = below (path, strcmp (root->image_folder, "/") == 0 ? "" : root->image_folder);
  if (rest == NULL && path[0] != '/')
    rest = path; /* the image's name has no folder */
  return rest == NULL ? g_strdup (path) : g_strconcat (root->image_real, "/", rest, NULL);
}

int
img_root_find (const ImgRoot *root, const char *path, GError **error)
{
  g_autofree char *full = from_image (root, path);
  g_autofree char *safe = img_text_escape (path, -1);
  const char *rest = below (full, root->real);

  if (rest == NULL)
    rest = below (full, root->given);
  int fd = rest == NULL ? -1 : open_beneath (root->fd, rest);
  if (fd >= 0)
    return fd;
  if (rest == NULL || errno == EXDEV)
    img_throw (error, IMG_ERROR_FAILED,
               "cannot open '%s': it leads out of '%s', which --chain-under forbids", safe,
               root->safe);
  else
    img_throw_errno (error, "cannot open '%s'", safe);
  return -1;
}
