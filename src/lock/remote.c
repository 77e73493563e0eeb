/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lock/remote.h"

#include <sys/vfs.h>

#include "base/mounts.h"

/* From linux/magic.h and statfs(2). */
#define MAGIC_FUSE 0x65735546u
#define MAGIC_NFS 0x6969u
#define MAGIC_SMB 0xff534d42u
#define MAGIC_SMB2 0xfe534d42u
#define MAGIC_CEPH 0x00c36400u
#define MAGIC_9P 0x01021997u

static gboolean
is_nfs3 (int fd)
{
  g_autoptr (ImgMount) mount = img_mount_of_fd (fd);
  return mount != NULL && img_mount_is_nfs3 (mount);
}

ImgRemote
img_remote_kind (int fd)
{
  struct statfs fs;
  if (fstatfs (fd, &fs) < 0)
    return IMG_REMOTE_NOT;
  switch ((guint)fs.f_type)
    {
    case MAGIC_FUSE:
      return IMG_REMOTE_FUSE;
    case MAGIC_NFS:
      return is_nfs3 (fd) ? IMG_REMOTE_NFS3 : IMG_REMOTE_NFS;
    case MAGIC_SMB:
    case MAGIC_SMB2:
    case MAGIC_CEPH:
    case MAGIC_9P:
      return IMG_REMOTE_OTHER;
    default:
      return IMG_REMOTE_NOT;
    }
}
