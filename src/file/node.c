/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "file/node.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
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

/* Fail unless @opened, the node at @path or -1 with errno, is a disk. */
static int
check (int opened, const char *path, struct stat *st, GError **error)
{
  g_auto (ImgFd) node = opened;
  g_autofree char *safe = img_text_escape (path, -1);
  struct statfs fs;

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
  /* Its size is not that of what can be read. */
  if (fstatfs (node, &fs) == 0 && (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC))
    {
      img_throw (error, IMG_ERROR_FAILED, "cannot open '%s': it is no file, but made by the kernel",
                 safe);
      return -1;
    }
  return img_fd_steal (&node);
}

int
img_node_find (const char *path, struct stat *st, GError **error)
{
  return check (open (path, O_PATH | O_CLOEXEC), path, st, error);
}

static int
open_anywhere (const char *path)
{
  struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_MAGICLINKS };
  int node = (int)syscall (SYS_openat2, AT_FDCWD, path, &how, sizeof how);

  /* Linux before 5.6, or a sandbox that does not know the call. */
  if (node < 0 && (errno == ENOSYS || errno == EPERM))
    node = open (path, O_PATH | O_CLOEXEC);
  return node;
}

int
img_node_find_named (const char *path, const ImgRoot *root, struct stat *st, GError **error)
{
  g_auto (ImgFd) node = root == NULL ? open_anywhere (path) : img_root_find (root, path, error);

  if (node < 0 && root != NULL)
    return -1;
  return check (img_fd_steal (&node), path, st, error);
}

int
img_node_open (int node, int flags)
{
  g_autofree char *link = g_strdup_printf ("/proc/self/fd/%d", node);
  return open (link, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}
