/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lock/reach.h"

#include <string.h>

#include "base/mounts.h"
#include "base/text.h"

static const char *const host_types[] = {
  "ext2",  "ext3",     "ext4",      "xfs",      "btrfs",    "tmpfs", "ramfs",
  "f2fs",  "bcachefs", "zfs",       "jfs",      "nilfs2",   "vfat",  "exfat",
  "ntfs3", "hfsplus",  "udf",       "iso9660",  "squashfs", "erofs", "rootfs",
  "minix", "reiserfs", "hugetlbfs", "devtmpfs", "fuseblk",  NULL,
};
/* Whose locks are kept by a server for every client, whatever the options. */
static const char *const server_types[] = { "ceph", "nfs", "nfs4", NULL };
static const char *const smb_types[] = { "cifs", "smb3", NULL };

/* Options that keep locks on this host. The kernel shows local_lock=none where nothing is local;
 * local_lock=flock is about flock(2) only. */
static const struct
{
  const char *type_prefix, *option;
} local_options[] = {
  { "nfs", "nolock" },       { "nfs", "local_lock=all" }, { "nfs", "local_lock=posix" },
  { "cifs", "nobrl" },       { "smb3", "nobrl" },         { "cifs", "vers=1.0" },
  { "gfs2", "localflocks" }, { "lustre", "localflock" },  { "9p", "trans=virtio" },
  { "9p", "trans=xen" },
};

static gboolean
is_fuse (const char *type)
{
  return strcmp (type, "fuse") == 0 || strcmp (type, "virtiofs") == 0
         || g_str_has_prefix (type, "fuse.");
}

static const char *
find_local_option (const char *type, char **options)
{
  for (guint i = 0; i < G_N_ELEMENTS (local_options); i++)
    if (g_str_has_prefix (type, local_options[i].type_prefix)
        && g_strv_contains ((const char *const *)options, local_options[i].option)
        && !g_strv_contains ((const char *const *)options, "unix"))
      return local_options[i].option;
  return NULL;
}

/* Without its server a FUSE file system is one mount; with it, what the server makes of it. */
static ImgReach
reach_of_fuse (const char *type, ImgLockSight sight)
{
  ImgReach reach = { .kind = IMG_REACH_UNKNOWN, .is_fuse = TRUE };
  if (sight == IMG_SIGHT_SERVER)
    reach.kind = IMG_REACH_SERVER;
  else if (sight == IMG_SIGHT_KERNEL || strcmp (type, "fuse.fuse-overlayfs") == 0)
    reach.kind = IMG_REACH_MOUNT;
  reach.is_unsafe = reach.kind == IMG_REACH_MOUNT && strcmp (type, "fuse.fuse-overlayfs") != 0;
  return reach;
}

ImgReach
img_reach_of (const char *type, const char *options, ImgLockSight sight)
{
  g_auto (GStrv) list = g_strsplit (options == NULL ? "" : options, ",", -1);
  ImgReach reach = { .kind = IMG_REACH_UNKNOWN };

  if (type == NULL)
    return reach;
  if (is_fuse (type))
    return reach_of_fuse (type, sight);
  reach.option = find_local_option (type, list);
  if (reach.option != NULL)
    {
      reach.kind = IMG_REACH_THIS_HOST;
      reach.is_unsafe = TRUE;
    }
  else if (strcmp (type, "overlay") == 0)
    reach.kind = IMG_REACH_MOUNT;
  else if (g_strv_contains (host_types, type))
    reach.kind = IMG_REACH_HOST;
  else if (g_strv_contains (server_types, type))
    reach.kind = IMG_REACH_SERVER;
  else if (g_strv_contains (smb_types, type))
    {
      /* With SMB1's Unix extensions locks are advisory; that was not measured. */
      gboolean is_mandatory = !g_strv_contains ((const char *const *)list, "unix");
      reach.kind = is_mandatory ? IMG_REACH_MANDATORY : IMG_REACH_UNKNOWN;
      reach.is_unsafe = is_mandatory;
    }
  return reach;
}

ImgReach
img_reach_of_fd (int fd, ImgLockSight sight)
{
  g_autoptr (ImgMount) mount = img_mount_of_fd (fd);
  return mount == NULL ? img_reach_of (NULL, NULL, sight)
                       : img_reach_of (mount->type, mount->options, sight);
}

const char *
img_reach_name (ImgReachKind kind)
{
  static const char *const names[] = {
    [IMG_REACH_HOST] = "host",           [IMG_REACH_SERVER] = "server",
    [IMG_REACH_MANDATORY] = "mandatory", [IMG_REACH_THIS_HOST] = "this-host",
    [IMG_REACH_MOUNT] = "this-mount",    [IMG_REACH_NODE] = "this-node",
    [IMG_REACH_UNKNOWN] = "unknown",
  };
  return names[kind];
}

static char *
advice_on_unknown (const ImgReach *reach, const char *type)
{
  if (reach->is_fuse)
    return g_strdup_printf ("whether the server of this %s file system is told of locks, so that "
                            "other hosts meet them, can only be seen while somebody here holds one",
                            type);
  return g_strdup_printf ("whether locks on this %s file system reach other hosts is not known",
                          type);
}

char *
img_reach_advice (const ImgReach *reach, const char *type)
{
  g_autofree char *safe = img_text_escape (type == NULL ? "strange" : type, -1);
  switch (reach->kind)
    {
    case IMG_REACH_MANDATORY:
      return g_strdup ("locks on SMB are mandatory: while bytes 100 to 203 are locked nobody can "
                       "write there, and QEMU cannot write the header of a qcow2 image; use NFS, "
                       "or, if only this host uses the image, the mount option nobrl");
    case IMG_REACH_THIS_HOST:
      return g_strdup_printf ("locks on this %s file system (%s) do not reach other hosts; mount "
                              "it otherwise, or let only this host use the image",
                              safe, reach->option);
    case IMG_REACH_MOUNT:
      if (!reach->is_fuse)
        return g_strdup ("users of the same file through another overlay mount, or below this one, "
                         "cannot be seen; let all use it through this mount");
      return g_strdup_printf ("the server of this %s file system is not told of locks: they do not "
                              "reach other hosts, nor other mounts of the same files; let all use "
                              "the image through this mount",
                              safe);
    case IMG_REACH_NODE:
      return g_strdup ("locks belong to this device node: users of another node of the device, or "
                       "of what it stands on, do not meet them; let all use this node");
    case IMG_REACH_UNKNOWN:
      return advice_on_unknown (reach, safe);
    case IMG_REACH_HOST:
    case IMG_REACH_SERVER:
      break;
    }
  return NULL;
}
