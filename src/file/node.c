/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "file/node.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/text.h"

static const char *
kind_of (mode_t mode)
{
  return S_ISDIR (mode)    ? "a directory"
         : S_ISFIFO (mode) ? "a FIFO"
         : S_ISCHR (mode)  ? "a character device"
         : S_ISSOCK (mode) ? "a socket"
                           : "something else";
}

int
img_node_find (const char *path, struct stat *st, GError **error)
{
  g_auto (ImgFd) node = open (path, O_PATH | O_CLOEXEC);
  g_autofree char *safe = img_text_escape (path, -1);

  if (node < 0 || fstat (node, st) < 0)
    {
      img_throw_errno (error, "cannot open '%s'", safe);
      return -1;
    }
  if (!S_ISREG (st->st_mode) && !S_ISBLK (st->st_mode))
    {
      img_throw (error, IMG_ERROR_FAILED,
                 "cannot open '%s': it is %s, and a disk image is a regular file or a block device",
                 safe, kind_of (st->st_mode));
      return -1;
    }
  return img_fd_steal (&node);
}

int
img_node_open (int node, int flags)
{
  g_autofree char *link = g_strdup_printf ("/proc/self/fd/%d", node);
  return open (link, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}
