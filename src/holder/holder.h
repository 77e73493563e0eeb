/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Somebody who has an image: a lock with its processes, a process that has it open without a lock,
 * or the kernel itself.
 *
 * One holder is one open file description (OFD locks, flock) or one process (POSIX locks); a
 * description shared through fork or dup is one holder with several processes. */
#pragma once

#include "holder/dialect.h"
#include "holder/kernel-users.h"
#include "holder/nfs-server.h"
#include "holder/process.h"
#include "lock/permission.h"

typedef enum
{
  IMG_HOLDER_LOCK,
  IMG_HOLDER_OPENER,
  IMG_HOLDER_KERNEL, /* a loop device, a mount, a stacked device */
} ImgHolderKind;

typedef enum
{
  IMG_HELD_NO_LOCK,
  IMG_HELD_OFD,
  IMG_HELD_POSIX,
  IMG_HELD_FLOCK,
  IMG_HELD_UNKNOWN, /* a lock whose kind cannot be seen (FUSE, network) */
} ImgHeldKind;

typedef struct
{
  ImgHolderKind kind;
  ImgHeldKind held;
  GArray *ranges;      /* ImgLockRange; owned */
  ImgDialect dialect;  /* of byte-range locks */
  guint uses, forbids; /* ImgPerm bits that the ranges mean */
  gboolean can_read, can_write;
  gboolean knows_mode;    /* the two above were seen */
  GPtrArray *processes;   /* owned ImgProcess; may be empty */
  gboolean is_identified; /* FALSE: somebody, but not known who */
  const char *stranger;   /* constant; how to call who is not identified */
  GPtrArray *nfs_clients; /* owned ImgNfsClient; NULL: it is no NFS server's, which then has no
                             processes worth naming; empty: they are not known */
  ImgKernelUserKind kernel_kind;
  char *device; /* owned; for IMG_HOLDER_KERNEL */
} ImgHolder;

ImgHolder *img_holder_new (ImgHolderKind kind, ImgHeldKind held);
void img_holder_free (ImgHolder *holder);

/* The process @pid of @holder, looked up now if it is a new one; borrowed. */
ImgProcess *img_holder_add_process (ImgHolder *holder, pid_t pid);

/* Whether @pid is one of the holder's processes. */
gboolean img_holder_has_pid (const ImgHolder *holder, gint64 pid);

/* Add @range unless it is there, and what it means in permissions. */
void img_holder_add_range (ImgHolder *holder, const ImgLockRange *range);

/* Whether the holder's byte-range locks keep somebody from taking @set, and by which permission:
 * *@bit, and *@by_use (it uses what @set forbids) or not (it forbids what @set uses). flock() locks
 * never do. */
gboolean img_holder_blocks (const ImgHolder *holder, ImgPermSet set, guint *bit, gboolean *by_use);
