/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "holder/loop.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>

#include "base/fd.h"

gboolean
img_loop_ask (const char *name, ImgLoop *loop)
{
  struct loop_info64 info = { 0 };
  g_autofree char *node = g_strconcat ("/dev/", name, NULL);
  g_auto (ImgFd) fd = open (node, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

  if (fd < 0 || ioctl (fd, LOOP_GET_STATUS64, &info) < 0)
    return FALSE;
  *loop = (ImgLoop){ .dev = info.lo_device,
                     .ino = info.lo_inode,
                     .rdev = info.lo_rdevice,
                     .offset = info.lo_offset,
                     .limit = info.lo_sizelimit };
  return TRUE;
}
