/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "holder/filesystem.h"

#include <string.h>

#include "base/mounts.h"

static const char *const network_types[] = {
  "nfs",    "nfs4", "cifs",   "smb3",     "smbfs", "9p",   "ceph",     "afs",    "gfs2", "ocfs2",
  "lustre", "gpfs", "beegfs", "orangefs", "pvfs2", "coda", "virtiofs", "vboxsf", NULL,
};

ImgFsKind
img_fs_kind_of (const char *type)
{
  if (strcmp (type, "overlay") == 0)
    return IMG_FS_OVERLAY;
  if (strcmp (type, "fuse") == 0 || strcmp (type, "fuseblk") == 0
      || g_str_has_prefix (type, "fuse."))
    return IMG_FS_FUSE;
  if (img_reach_of (type, NULL, IMG_SIGHT_NONE).kind == IMG_REACH_HOST)
    return IMG_FS_LOCAL;
  if (g_strv_contains (network_types, type))
    return IMG_FS_NETWORK;
  return IMG_FS_UNKNOWN;
}

void
img_filesystem_get (const ImgInodeKey *key, ImgFilesystem *fs)
{
  g_autoptr (ImgMount) mount = key->has_key ? img_mount_by_id (key->mount_id) : NULL;

  memset (fs, 0, sizeof *fs);
  fs->kind = IMG_FS_UNKNOWN;
  if (mount != NULL)
    {
      fs->kind = img_fs_kind_of (mount->type);
      fs->type = g_steal_pointer (&mount->type);
      fs->options = g_steal_pointer (&mount->options);
    }
  else if (key->hidden_type != NULL)
    {
      fs->kind = img_fs_kind_of (key->hidden_type);
      fs->type = g_strdup (key->hidden_type);
    }
  if (key->rdev != 0)
    fs->kind = IMG_FS_DEVICE;
  img_filesystem_judge_reach (fs, IMG_SIGHT_NONE);
}

void
img_filesystem_judge_reach (ImgFilesystem *fs, ImgLockSight sight)
{
  fs->reach = img_reach_of (fs->type, fs->options, sight);
  if (fs->kind == IMG_FS_DEVICE)
    fs->reach.kind = IMG_REACH_NODE;
}

void
img_filesystem_clear (ImgFilesystem *fs)
{
  g_clear_pointer (&fs->type, g_free);
  g_clear_pointer (&fs->options, g_free);
}

const char *
img_fs_kind_name (ImgFsKind kind)
{
  static const char *const names[] = {
    [IMG_FS_LOCAL] = "local",     [IMG_FS_OVERLAY] = "overlay", [IMG_FS_FUSE] = "fuse",
    [IMG_FS_NETWORK] = "network", [IMG_FS_DEVICE] = "device",   [IMG_FS_UNKNOWN] = "unknown",
  };
  return names[kind];
}

gboolean
img_fs_is_this_host_only (ImgFsKind kind)
{
  return kind == IMG_FS_LOCAL || kind == IMG_FS_OVERLAY || kind == IMG_FS_DEVICE;
}
