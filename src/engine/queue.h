/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What else the kernel's lock table says about a file: who waits for a lock on it, and who has a
 * lease on it. Neither makes an image in use. */
#pragma once

#include "engine/evidence.h"

typedef struct
{
  gboolean is_lease;
  ImgHeldKind held; /* of the lock waited for */
  ImgLockRange range;
  ImgProcess *process; /* owned; NULL: not known (OFD locks name nobody) */
} ImgQueued;

/* Array of owned ImgQueued. On btrfs, where a line of the table may be another file's, only of
 * processes that have this one open. */
GPtrArray *img_queue_read (const ImgEvidence *evidence);
