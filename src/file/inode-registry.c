/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "file/inode-registry.h"

#include "base/fd.h"
#include "base/text.h"

static GPtrArray *open_inodes; /* ImgInode, borrowed: each is owned by its users */

gboolean
img_inode_find (dev_t dev, ino_t ino, const char *name, gboolean writable, ImgPermSet set,
                ImgInode **inode, GError **error)
{
  *inode = NULL;
  for (guint i = 0; open_inodes != NULL && i < open_inodes->len; i++)
    {
      ImgInode *open_inode = open_inodes->pdata[i];
      g_autofree char *safe = img_text_escape (name, -1);
      if (open_inode->dev != dev || open_inode->ino != ino)
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
img_inode_is_open (dev_t dev, ino_t ino)
{
  for (guint i = 0; open_inodes != NULL && i < open_inodes->len; i++)
    {
      const ImgInode *inode = open_inodes->pdata[i];
      if (inode->dev == dev && inode->ino == ino)
        return TRUE;
    }
  return FALSE;
}

ImgInode *
img_inode_add (dev_t dev, ino_t ino, int fd, gboolean writable, const char *name, ImgLock *lock,
               ImgPermSet set)
{
  ImgInode *inode = g_new0 (ImgInode, 1);
  inode->dev = dev;
  inode->ino = ino;
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
