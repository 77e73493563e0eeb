/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "file/inode-registry.h"

#include "base/fd.h"
#include "base/text.h"

static GPtrArray *open_inodes; /* ImgInode, borrowed: each is owned by its users */

gboolean
img_inode_is (const ImgInode *inode, const struct stat *st)
{
  if (inode->dev == st->st_dev && inode->ino == st->st_ino)
    return TRUE;
  return inode->rdev != 0 && S_ISBLK (st->st_mode) && inode->rdev == st->st_rdev;
}

gboolean
img_inode_find (const struct stat *st, const char *name, gboolean writable, ImgPermSet set,
                ImgInode **inode, GError **error)
{
  *inode = NULL;
  for (guint i = 0; open_inodes != NULL && i < open_inodes->len; i++)
    {
      ImgInode *open_inode = open_inodes->pdata[i];
      g_autofree char *safe = img_text_escape (name, -1);
      if (!img_inode_is (open_inode, st))
        continue;
      if ((open_inode->asked.uses & set.forbids) || (open_inode->asked.forbids & set.uses))
        return img_throw (error, IMG_ERROR_FAILED,
                          "cannot open '%s': it is the same file as '%s', which is already in use "
                          "by this command",
                          safe, open_inode->name);
      if (writable && !open_inode->is_writable)
        return img_throw (error, IMG_ERROR_FAILED,
                          "cannot open '%s' for writing: it is the same file as '%s', which is "
                          "open for reading",
                          safe, open_inode->name);
      *inode = open_inode;
      open_inode->users++;
      return TRUE;
    }
  return TRUE;
}

gboolean
img_inode_is_open (const struct stat *st)
{
  for (guint i = 0; open_inodes != NULL && i < open_inodes->len; i++)
    {
      const ImgInode *inode = open_inodes->pdata[i];
      if (img_inode_is (inode, st))
        return TRUE;
    }
  return FALSE;
}

ImgInode *
img_inode_add (const struct stat *st, int fd, gboolean writable, const char *name, ImgLock *lock,
               ImgPermSet set)
{
  ImgInode *inode = g_new0 (ImgInode, 1);
  inode->dev = st->st_dev;
  inode->ino = st->st_ino;
  inode->rdev = S_ISBLK (st->st_mode) ? st->st_rdev : 0;
  inode->fd = fd;
  inode->is_writable = writable;
  inode->name = img_text_escape (name, -1);
  inode->lock = lock;
  inode->proof = img_lock_proof_new (lock);
  inode->users = 1;
  inode->asked = set;
  if (open_inodes == NULL)
    open_inodes = g_ptr_array_new ();
  g_ptr_array_add (open_inodes, inode);
  return inode;
}

gboolean
img_inode_extend (ImgInode *inode, ImgPermSet set, gint64 wait, GError **error)
{
  if (!img_lock_extend (inode->lock, set, wait, error))
    return FALSE;
  inode->asked.uses |= set.uses;
  inode->asked.forbids |= set.forbids;
  /* What can be proven depends on what was seen of the lock when it was new. */
  img_lock_proof_free (inode->proof);
  inode->proof = img_lock_proof_new (inode->lock);
  return TRUE;
}

void
img_inode_unref (ImgInode *inode)
{
  if (--inode->users > 0)
    return;
  g_ptr_array_remove_fast (open_inodes, inode);
  if (open_inodes->len == 0)
    g_clear_pointer (&open_inodes, g_ptr_array_unref);
  img_lock_proof_free (inode->proof);
  img_lock_release (inode->lock);
  img_fd_clear (&inode->fd);
  g_free (inode->name);
  g_free (inode);
}
