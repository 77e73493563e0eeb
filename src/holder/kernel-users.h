/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Users of an image that are no process: loop devices on a file; mounts and stacked devices
 * (device-mapper, md) on a block device. */
#pragma once

#include "holder/inode-key.h"

typedef enum
{
  IMG_KERNEL_LOOP,
  IMG_KERNEL_MOUNT,
  IMG_KERNEL_DEVICE,
} ImgKernelUserKind;

typedef struct
{
  ImgKernelUserKind kind;
  char *name; /* owned; "/dev/loop0", the mount point, "dm-3" */
  gboolean is_read_only;
} ImgKernelUser;

/* Who uses the file or device with this key: array of owned ImgKernelUser. Loop devices that may
 * not be asked (only root may, and not about files of servers, which may hang) are matched by the
 * path the kernel shows for their backing file, @real_path. @node is an O_PATH descriptor. */
GPtrArray *img_kernel_users (const ImgInodeKey *key, const char *real_path, int node);
