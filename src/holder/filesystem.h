/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where a file lives, and how far its locks can be seen from here. */
#pragma once

#include "holder/inode-key.h"
#include "lock/reach.h"

typedef enum
{
  IMG_FS_LOCAL,   /* one kernel, one lock table */
  IMG_FS_OVERLAY, /* locks are per overlay: the same file elsewhere has its own */
  IMG_FS_FUSE,    /* whatever the server does */
  IMG_FS_NETWORK, /* other hosts may hold locks */
  IMG_FS_DEVICE,  /* locks are on this device node */
  IMG_FS_UNKNOWN,
} ImgFsKind;

typedef struct
{
  ImgFsKind kind;
  char *type;    /* owned; "ext4", or NULL */
  char *options; /* owned; mount options, or NULL */
  ImgReach reach;
} ImgFilesystem;

void img_filesystem_get (const ImgInodeKey *key, ImgFilesystem *fs);

/* Find out how far locks reach there, now that one was seen, or none. */
void img_filesystem_judge_reach (ImgFilesystem *fs, ImgLockSight sight);
void img_filesystem_clear (ImgFilesystem *fs);

/* "local", "overlay" ...; constant. */
const char *img_fs_kind_name (ImgFsKind kind);

/* The kind of a mount of type @type. */
ImgFsKind img_fs_kind_of (const char *type);

/* Whether "nobody holds it" can be known at all from this host without asking for locks. */
gboolean img_fs_is_this_host_only (ImgFsKind kind);
