/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "file/adopt.h"
#include "file/file-private.h"
#include "file/node.h"

/* A name that is replaced this often while it is being opened is an attack or a bug elsewhere. */
#define MAX_REOPENS 16

/* How long to wait at least for somebody's lease to be given up. */
#define LEASE_PATIENCE (200 * G_TIME_SPAN_MILLISECOND)

/* Sizes from @fd. */
static gboolean
measure (ImgFile *file, GError **error)
{
  struct stat st;

  if (fstat (file->inode->fd, &st) < 0)
    return img_throw_errno (error, "cannot look at '%s'", file->safe_path);
  file->is_device = S_ISBLK (st.st_mode);
  file->allocated = (guint64)st.st_blocks * 512;
  if (!file->is_device)
    file->size = (guint64)st.st_size;
  else if (ioctl (file->inode->fd, BLKGETSIZE64, &file->size) < 0)
    return img_throw_errno (error, "cannot find out the size of '%s'", file->safe_path);
  img_file_io_init (file, &st);
  return TRUE;
}

/* The guard's own description of the file, if this runs inside a guard of it; NULL without an error
 * if not. */
static ImgLock *
adopt (const struct stat *st, const char *path, const ImgFileParams *params, ImgFd *fd,
       GError **error)
{
  if (params->locking == IMG_LOCKING_OFF || params->locking == IMG_LOCKING_POSIX)
    return NULL;
  *fd = img_adopt_find (st->st_dev, st->st_ino, params->is_writable);
  if (*fd < 0)
    return NULL;
  return img_lock_adopt (*fd, path, params->permissions, params->lock_wait, error);
}

/* Somebody's lease on the file (a look at it by lock-status, Samba's oplocks) is given up when
 * another process opens it; until then a non-blocking open fails. */
static int
open_despite_lease (int node, int flags, const ImgFileParams *params)
{
  gint64 begin = g_get_monotonic_time ();
  int fd;
  do
    {
      fd = img_node_open (node, flags);
      if (fd >= 0 || errno != EWOULDBLOCK)
        return fd;
      g_usleep (5000);
    }
  while (g_get_monotonic_time () - begin < MAX (params->lock_wait, LEASE_PATIENCE));
  errno = EWOULDBLOCK;
  return fd;
}

/* A fresh description of @node. Of a block device O_EXCL without O_CREAT means that the kernel
 * itself (a mount, swap, RAID) must not use it; see open(2). */
static int
open_node (int node, const struct stat *st, const char *path, const ImgFileParams *params,
           GError **error)
{
  gboolean is_exclusive = params->is_exclusive && S_ISBLK (st->st_mode);
  g_autofree char *safe = img_text_escape (path, -1);
  g_auto (ImgFd) fd = open_despite_lease (
      node, (params->is_writable ? O_RDWR : O_RDONLY) | (is_exclusive ? O_EXCL : 0), params);
  int flags = fd < 0 ? -1 : fcntl (fd, F_GETFL);

  if (fd < 0 && errno == EBUSY && is_exclusive)
    {
      img_throw (error, IMG_ERROR_FAILED,
                 "cannot open '%s'%s: this system uses the device itself (a mount, swap, RAID, "
                 "LVM, or another program that has it for itself alone)",
                 safe, params->is_writable ? " for writing" : "");
      return -1;
    }
  if (fd < 0 && errno == ENOENT && access ("/proc/self/fd", F_OK) < 0)
    {
      img_throw (error, IMG_ERROR_FAILED, "cannot open '%s': /proc is not mounted, and is needed",
                 safe);
      return -1;
    }
  /* Non-blocking was for the opening: on devices it could change what reads do. */
  if (flags < 0 || fcntl (fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
    {
      img_throw_errno (error, "cannot open '%s'%s", safe,
                       params->is_writable ? " for writing" : "");
      return -1;
    }
  return img_fd_steal (&fd);
}

/* A description of @node of its own or a guard's, locked. */
static ImgInode *
open_and_lock (int node, const struct stat *st, const char *path, const ImgFileParams *params,
               GError **error)
{
  g_auto (ImgFd) fd = -1;
  g_autoptr (GError) failure = NULL;
  ImgLock *lock = adopt (st, path, params, &fd, &failure);

  if (lock != NULL && params->is_exclusive && S_ISBLK (st->st_mode))
    {
      /* The guard did not ask; its locks are OFD locks, which closing this does not touch. */
      g_auto (ImgFd) alone = open_node (node, st, path, params, &failure);
      if (alone < 0)
        g_clear_pointer (&lock, img_lock_release);
    }
  if (lock == NULL && failure == NULL)
    {
      fd = open_node (node, st, path, params, error);
      if (fd < 0)
        return NULL;
      lock = img_lock_take (fd, path, params->locking, params->permissions, params->lock_wait,
                            &failure);
    }
  if (lock == NULL)
    {
      g_propagate_error (error, g_steal_pointer (&failure));
      return NULL;
    }
  return img_inode_add (st, img_fd_steal (&fd), params->is_writable, path, lock,
                        params->permissions);
}

/* The inode behind @path, opened and locked, or shared if this process has it open. */
static ImgInode *
open_inode (const char *path, const ImgFileParams *params, GError **error)
{
  struct stat st;
  ImgInode *inode;
  g_auto (ImgFd) node = params->is_named ? img_node_find_named (path, params->root, &st, error)
                                         : img_node_find (path, &st, error);

  if (node >= 0 && params->no_devices && S_ISBLK (st.st_mode))
    {
      g_autofree char *safe = img_text_escape (path, -1);
      img_throw (error, IMG_ERROR_FAILED,
                 "cannot open '%s': it is a block device; --allow-devices permits that", safe);
      return NULL;
    }
  if (node < 0
      || !img_inode_find (&st, path, params->is_writable, params->permissions, &inode, error))
    return NULL;
  if (inode == NULL)
    return open_and_lock (node, &st, path, params, error);
  if (!img_inode_extend (inode, params->permissions, params->lock_wait, error))
    {
      img_inode_unref (inode);
      return NULL;
    }
  return inode;
}

/* Whether @path still names @inode. */
static gboolean
is_current (const ImgInode *inode, const char *path, const ImgRoot *root)
{
  struct stat st;
  if (root != NULL)
    {
      g_auto (ImgFd) node = img_root_find (root, path, NULL);
      if (node < 0 || fstat (node, &st) < 0)
        return FALSE;
    }
  else if (stat (path, &st) < 0)
    return FALSE;
  return img_inode_is (inode, &st);
}

ImgFile *
img_file_open (const char *path, const ImgFileParams *params, GError **error)
{
  g_autoptr (ImgFile) file = g_new0 (ImgFile, 1);
  file->path = g_strdup (path);
  file->safe_path = img_text_escape (path, -1);

  for (guint tries = 0; tries < MAX_REOPENS; tries++)
    {
      g_autoptr (GError) failure = NULL;
      file->inode = open_inode (path, params, &failure);
      /* An NFS client went by what it remembered of a name that has another file now. open(2) would
       * have asked again; the two steps here have to. */
      if (g_error_matches (failure, IMG_ERROR, IMG_ERROR_STALE) && tries + 1 < MAX_REOPENS)
        continue;
      if (file->inode == NULL)
        {
          g_propagate_error (error, g_steal_pointer (&failure));
          return NULL;
        }
      if (is_current (file->inode, path, params->is_named ? params->root : NULL))
        return measure (file, error) ? g_steal_pointer (&file) : NULL;
      img_inode_unref (g_steal_pointer (&file->inode));
    }
  return img_null_throw (error, IMG_ERROR_FAILED,
                         "cannot open '%s': it is being replaced by another file all the time",
                         file->safe_path);
}

ImgFile *
img_file_adopt (int fd, const char *path, const ImgFileParams *params, GError **error)
{
  g_auto (ImgFd) owned = fd;
  g_autoptr (ImgFile) file = g_new0 (ImgFile, 1);
  struct stat st;
  file->path = g_strdup (path);
  file->safe_path = img_text_escape (path, -1);

  if (fstat (fd, &st) < 0)
    return img_null_throw_errno (error, "cannot look at '%s'", file->safe_path);
  g_assert (!img_inode_is_open (&st)); /* the caller has to look before it opens */
  ImgLock *lock
      = img_lock_take (fd, path, params->locking, params->permissions, params->lock_wait, error);
  if (lock == NULL)
    return NULL;
  file->inode = img_inode_add (&st, img_fd_steal (&owned), params->is_writable, path, lock,
                               params->permissions);
  return measure (file, error) ? g_steal_pointer (&file) : NULL;
}

void
img_file_close (ImgFile *file)
{
  img_file_io_clear (file);
  if (file->inode != NULL)
    img_inode_unref (file->inode);
  g_free (file->path);
  g_free (file->safe_path);
  g_free (file);
}

gboolean
img_file_verify_lock (ImgFile *file, ImgLockState *state, GError **error)
{
  ImgLockState found = img_lock_verify (file->inode->proof);
  if (state != NULL)
    *state = found;
  if (found == IMG_LOCK_LOST)
    return img_throw (error, IMG_ERROR_LOCK_LOST,
                      "the lock on '%s' was lost: another program may have written to it",
                      file->safe_path);
  return TRUE;
}

gboolean
img_file_extend_lock (ImgFile *file, ImgPermSet set, gint64 wait, GError **error)
{
  return img_inode_extend (file->inode, set, wait, error);
}

const char *
img_file_path (const ImgFile *file)
{
  return file->path;
}

guint64
img_file_size (const ImgFile *file)
{
  return file->size;
}

guint64
img_file_allocated (const ImgFile *file)
{
  return file->allocated;
}

gboolean
img_file_is_device (const ImgFile *file)
{
  return file->is_device;
}

const ImgLock *
img_file_lock (const ImgFile *file)
{
  return file->inode->lock;
}

int
img_file_fd (const ImgFile *file)
{
  return file->inode->fd;
}
