/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Is a lock that was granted still there?
 *
 * POSIX locks go silently when any descriptor of the file is closed, and network file systems lose
 * locks with their server or lease. What can be known depends on the file system:
 *   local     the lock lines in /proc/self/fdinfo of the locked descriptor;
 *   FUSE with locks kept by its server (no lock lines): F_GETLK from a helper process, which sees
 *             the locks of this one;
 *   NFS       the lock lines, and one uncached read through the locked descriptor, which fails with
 *             EIO once the server has revoked the lock, although the lines stay.
 * F_OFD_GETLK with F_UNLCK proves nothing: EINVAL on Linux 6.1, always "free" on FUSE. */
#pragma once

#include "lock/image-lock.h"
#include "lock/other-eyes.h"

typedef struct ImgLockProof ImgLockProof;

/* Prepare for verification: to be called once after @lock was granted, while opening files is still
 * possible. @lock is borrowed and must outlive the result. Never fails. */
ImgLockProof *img_lock_proof_new (ImgLock *lock);
void img_lock_proof_free (ImgLockProof *proof);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImgLockProof, img_lock_proof_free)

/* Look now. A lock that holds nothing is IMG_LOCK_HELD; IMG_LOCK_UNANSWERED only if it was seen
 * when it was new. */
ImgLockState img_lock_verify (ImgLockProof *proof);
