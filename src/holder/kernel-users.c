/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "holder/kernel-users.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/fd.h"
#include "base/mounts.h"
#include "holder/filesystem.h"
#include "holder/loop.h"

static void
user_free (gpointer data)
{
  ImgKernelUser *user = data;
  g_free (user->name);
  g_free (user);
}

static void
add_user (GPtrArray *users, ImgKernelUserKind kind, char *name, gboolean is_read_only)
{
  ImgKernelUser *user = g_new0 (ImgKernelUser, 1);
  user->kind = kind;
  user->name = name;
  user->is_read_only = is_read_only;
  g_ptr_array_add (users, user);
}

/* A one-line file of /sys without its newline, or NULL. */
static char *
read_line (const char *path)
{
  g_autoptr (GString) text = g_string_new (NULL);
  if (!img_fd_read_file (AT_FDCWD, path, text))
    return NULL;
  return g_strndup (text->str, strcspn (text->str, "\n"));
}

/* Whether the file behind @backing can be asked about without waiting for a server that may be
 * gone: the loop device would ask its file system. */
static gboolean
is_local (const char *backing)
{
  g_autoptr (ImgMount) mount = img_mount_by_path (backing);
  /* Only the root of a chroot is in no list; it answered when this program was read from it. */
  return mount == NULL || img_fs_kind_of (mount->type) == IMG_FS_LOCAL;
}

static void
look_at_loop (GPtrArray *users, const char *name, const ImgInodeKey *key, const char *real_path)
{
  g_autofree char *backing_path = g_strdup_printf ("/sys/block/%s/loop/backing_file", name);
  g_autofree char *backing = read_line (backing_path);
  gboolean is_ours = FALSE;
  ImgLoop loop;

  if (backing == NULL)
    return; /* not attached */
  if (is_local (backing) && img_loop_ask (name, &loop))
    is_ours = loop.ino == key->ino && loop.dev == key->dev;
  else
    is_ours = real_path != NULL && strcmp (backing, real_path) == 0;
  if (!is_ours)
    return;
  g_autofree char *ro_path = g_strdup_printf ("/sys/block/%s/ro", name);
  g_autofree char *ro = read_line (ro_path);
  add_user (users, IMG_KERNEL_LOOP, g_strconcat ("/dev/", name, NULL),
            ro != NULL && strcmp (ro, "1") == 0);
}

static void
find_loops (GPtrArray *users, const ImgInodeKey *key, const char *real_path)
{
  g_autoptr (GDir) blocks = g_dir_open ("/sys/block", 0, NULL);
  const char *name;
  while (blocks != NULL && (name = g_dir_read_name (blocks)) != NULL)
    if (g_str_has_prefix (name, "loop"))
      look_at_loop (users, name, key, real_path);
}

static void
find_device_users (GPtrArray *users, dev_t rdev)
{
  g_autoptr (ImgMount) mount = img_mount_by_device (major (rdev), minor (rdev));
  g_autofree char *holders_path
      = g_strdup_printf ("/sys/dev/block/%u:%u/holders", major (rdev), minor (rdev));
  g_autoptr (GDir) holders = g_dir_open (holders_path, 0, NULL);
  const char *name;

  if (mount != NULL)
    add_user (users, IMG_KERNEL_MOUNT, g_strdup (mount->mount_point), mount->is_read_only);
  while (holders != NULL && (name = g_dir_read_name (holders)) != NULL)
    add_user (users, IMG_KERNEL_DEVICE, g_strdup (name), FALSE);
}

/* What is mounted elsewhere, swap, a partition in use: the kernel has claimed the device, and does
 * not let it be opened exclusively, which is tried for an instant. */
static gboolean
is_claimed (int node)
{
  g_autofree char *link = g_strdup_printf ("/proc/self/fd/%d", node);
  g_auto (ImgFd) fd = open (link, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC);
  return fd < 0 && errno == EBUSY;
}

GPtrArray *
img_kernel_users (const ImgInodeKey *key, const char *real_path, int node)
{
  GPtrArray *users = g_ptr_array_new_with_free_func (user_free);
  if (key->rdev == 0)
    find_loops (users, key, real_path);
  else
    {
      find_device_users (users, key->rdev);
      if (users->len == 0 && is_claimed (node))
        add_user (users, IMG_KERNEL_DEVICE, g_strdup ("(mount, swap, partition or exclusive user)"),
                  FALSE);
    }
  return users;
}
