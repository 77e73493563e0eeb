/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How far a lock reaches: who, of all that can use the file, meets it.
 *
 * On a local file system everybody does. Elsewhere the type of the mount and its options tell, or,
 * on FUSE, where a lock was seen: what this kernel lists it keeps itself, and the server was not
 * told. What is called unsafe here was measured so: two hosts, each with a lock on one image.
 * Source: nfs(5), mount.cifs(8); the table in imgtool-locking(7). */
#pragma once

#include <glib.h>

typedef enum
{
  IMG_REACH_HOST,      /* the file is this host's alone, and all of it meets the lock */
  IMG_REACH_SERVER,    /* kept by a server, for all hosts */
  IMG_REACH_MANDATORY, /* the same, and it stops reading and writing too (SMB) */
  IMG_REACH_THIS_HOST, /* other hosts can use the file and do not meet the lock */
  IMG_REACH_MOUNT,     /* nor do other mounts of the same files on this host */
  IMG_REACH_NODE,      /* nor do other nodes of the same device */
  IMG_REACH_UNKNOWN,
} ImgReachKind;

typedef struct
{
  ImgReachKind kind;
  const char *option; /* constant; the mount option that makes it so, or NULL */
  gboolean is_fuse;   /* where a lock was seen would tell more */
  gboolean is_unsafe; /* others can write beside somebody who has locked, where one might think
                         that they cannot: not so of overlay and devices, which everybody knows */
} ImgReach;

/* Where a lock on the file was seen. */
typedef enum
{
  IMG_SIGHT_NONE,   /* there is none, or it was not looked for */
  IMG_SIGHT_KERNEL, /* in this kernel's table */
  IMG_SIGHT_SERVER, /* only in answers of the server */
} ImgLockSight;

/* Of a mount of @type with @options (joined by commas); both may be NULL. */
ImgReach img_reach_of (const char *type, const char *options, ImgLockSight sight);

/* Of the file behind @fd, with a lock on it as @sight says. */
ImgReach img_reach_of_fd (int fd, ImgLockSight sight);

/* "host", "server" ...; constant. */
const char *img_reach_name (ImgReachKind kind);

/* What a person should know about locks that reach so far, and do; NULL where all is well. @type as
 * above. Returns a new string, safe to print. */
char *img_reach_advice (const ImgReach *reach, const char *type);
