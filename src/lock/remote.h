/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether locks on a file are kept by this kernel or by a server, as statfs(2) tells. (9p passes
 * the server's own type on, so that it looks local.) */
#pragma once

#include <glib.h>

typedef enum
{
  IMG_REMOTE_NOT,
  IMG_REMOTE_FUSE,
  IMG_REMOTE_NFS,
  IMG_REMOTE_NFS3, /* whose servers, Linux since late 2025, call bytes free that others have
                      read-locked */
  IMG_REMOTE_OTHER,
} ImgRemote;

ImgRemote img_remote_kind (int fd);
