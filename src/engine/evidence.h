/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What was seen about an image, and who must therefore hold it. */
#pragma once

#include "holder/filesystem.h"
#include "holder/holder.h"
#include "holder/lease.h"
#include "holder/openers.h"
#include "lock/probe.h"

typedef struct
{
  ImgInodeKey key;
  ImgFsKind fs_kind;
  guint64 size;
  const ImgProbe *probe;   /* borrowed; NULL: not asked */
  GArray *lines;           /* owned; ImgLocksLine of /proc/locks that have the key */
  ImgOpenerScan *scan;     /* owned; NULL: not made */
  GPtrArray *kernel_users; /* owned; ImgKernelUser, NULL: not looked for */
  GPtrArray *nfs_clients;  /* owned; ImgNfsClient, NULL: not looked for */
  ImgWriters writers;
} ImgEvidence;

void img_evidence_clear (ImgEvidence *evidence);

/* Everybody that @evidence proves to hold the image, as owned ImgHolder; what stays unexplained is
 * held by an unidentified one. Adds to @notes (owned strings) what a person should know about it.
 */
GPtrArray *img_evidence_holders (const ImgEvidence *evidence, GPtrArray *notes);
