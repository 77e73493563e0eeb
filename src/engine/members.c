/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/members.h"

#include <sys/stat.h>

#include "disk/chain.h"
#include "disk/probe.h"
#include "engine/heading.h"

void
img_member_free (ImgMember *member)
{
  g_free (member->path);
  g_free (member->front);
  g_clear_pointer (&member->root, img_root_unref);
  g_free (member);
}

ImgUse
img_member_use (const ImgMember *member, ImgUse use)
{
  return member->depth == 0 || use == IMG_USE_INFO ? use : IMG_USE_READ;
}

/* What a look at the headers takes: nothing. */
static ImgFile *
open_unlocked (const char *path, gpointer closure, GError **error)
{
  return img_file_open (path, closure, error);
}

void
img_identity_of (const struct stat *st, guint64 *device, guint64 *inode)
{
  gboolean is_device = S_ISBLK (st->st_mode);
  *device = is_device ? G_MAXUINT64 : st->st_dev;
  *inode = is_device ? st->st_rdev : st->st_ino;
}

static gboolean
keep (const ImgChainMember *found, gboolean no_devices, ImgRoot *root, GPtrArray *members,
      GError **error)
{
  struct stat st;
  if (fstat (img_file_fd (found->file), &st) < 0)
    return img_throw_errno (error, "cannot look at an open image");
  ImgMember *member = g_new0 (ImgMember, 1);
  member->path = g_strdup (img_file_path (found->file));
  member->what = found->what;
  member->format = found->format;
  member->front = g_strdup (found->front);
  member->depth = found->depth;
  img_identity_of (&st, &member->device, &member->inode);
  member->no_devices = no_devices && found->front != NULL;
  member->root = root != NULL && found->front != NULL ? img_root_ref (root) : NULL;
  g_ptr_array_add (members, member);
  return TRUE;
}

gboolean
img_members_find (const char *path, const ImgOpenParams *params, GPtrArray *members, char **refused,
                  GError **error)
{
  ImgFileParams look = { .locking = IMG_LOCKING_OFF };
  g_autoptr (GPtrArray) files = g_ptr_array_new_with_free_func ((GDestroyNotify)img_file_close);
  g_auto (ImgChain) chain = { 0 };
  ImgChainParams chain_params = { .policy = params->policy,
                                  .was_probed = params->format == NULL,
                                  .open = open_unlocked,
                                  .closure = &look,
                                  .read_heading = img_read_heading };
  g_autoptr (ImgRoot) root = NULL;
  *refused = NULL;
  if (!img_open_root (path, &params->policy, &root, error))
    return FALSE;
  ImgFile *file = img_file_open (path, &look, error);
  if (file == NULL)
    return FALSE;
  g_ptr_array_add (files, file);
  const char *format = params->format != NULL ? params->format : img_probe (file, error);
  if (format == NULL)
    return FALSE;
  look.is_named = TRUE;
  look.root = root;
  look.no_devices = !params->policy.allow_devices && !img_file_is_device (file);
  gboolean is_whole = img_chain_find (file, format, &chain_params, files, &chain, error);
  *refused = g_steal_pointer (&chain.refused);
  for (guint i = 0; i < chain.members->len; i++)
    if (!keep (&g_array_index (chain.members, ImgChainMember, i), look.no_devices, root, members,
               is_whole ? error : NULL))
      return FALSE;
  return is_whole;
}
