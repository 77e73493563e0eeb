/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lock/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "lock/locks-line.h"
#include "lock/remote.h"

struct ImgLockProof
{
  ImgLock *lock;      /* borrowed */
  ImgFd fdinfo;       /* owned; /proc/self/fdinfo of the locked descriptor, or -1 */
  gboolean is_listed; /* the lines showed the whole lock when it was new */
  gboolean is_seen;   /* a helper process saw it when it was new */
  ImgRemote remote;   /* who keeps the locks */
};

static gboolean
is_listed (const ImgLockProof *proof, gboolean *could_read)
{
  char text[8192];
  gssize length = proof->fdinfo < 0 ? -1 : img_fd_read_at (proof->fdinfo, 0, text, sizeof text - 1);
  *could_read = length > 0;
  if (length <= 0)
    return FALSE;
  text[length] = '\0';
  ImgPermSet held = img_lock_held (proof->lock);
  ImgPermSet shown = img_locks_text_held (text, img_lock_kind (proof->lock));
  return (held.uses & ~shown.uses) == 0 && (held.forbids & ~shown.forbids) == 0;
}

ImgLockProof *
img_lock_proof_new (ImgLock *lock)
{
  ImgLockProof *proof = g_new0 (ImgLockProof, 1);
  g_autofree char *path = g_strdup_printf ("/proc/self/fdinfo/%d", img_lock_fd (lock));
  gboolean could_read;

  proof->lock = lock;
  proof->fdinfo = open (path, O_RDONLY | O_CLOEXEC);
  proof->is_listed = is_listed (proof, &could_read);
  proof->remote = img_remote_kind (img_lock_fd (lock));
  /* A server that does not even show a new lock cannot show its loss. */
  if (!proof->is_listed && proof->remote == IMG_REMOTE_FUSE
      && img_lock_kind (lock) != IMG_LOCK_NONE)
    proof->is_seen
        = img_lock_seen_by_others (img_lock_fd (lock), img_lock_held (lock)) == IMG_LOCK_HELD;
  return proof;
}

void
img_lock_proof_free (ImgLockProof *proof)
{
  img_fd_clear (&proof->fdinfo);
  g_free (proof);
}

/* One read that must reach the server. */
static ImgLockState
read_uncached (int fd)
{
  g_autofree void *block = NULL;
  int flags = fcntl (fd, F_GETFL);

  if (flags < 0 || posix_memalign (&block, 4096, 4096) != 0
      || fcntl (fd, F_SETFL, flags | O_DIRECT) < 0)
    return IMG_LOCK_UNVERIFIED;
  gssize got = img_fd_read_at (fd, 0, block, 4096);
  int read_errno = errno;
  if (fcntl (fd, F_SETFL, flags) < 0)
    return IMG_LOCK_UNVERIFIED;
  if (got >= 0)
    return IMG_LOCK_HELD;
  return read_errno == EIO ? IMG_LOCK_LOST : IMG_LOCK_UNVERIFIED;
}

ImgLockState
img_lock_verify (ImgLockProof *proof)
{
  gboolean could_read;

  if (img_lock_kind (proof->lock) == IMG_LOCK_NONE)
    return IMG_LOCK_HELD;
  if (!proof->is_listed)
    return proof->is_seen
               ? img_lock_seen_by_others (img_lock_fd (proof->lock), img_lock_held (proof->lock))
               : IMG_LOCK_UNVERIFIED;
  gboolean listed = is_listed (proof, &could_read);
  if (!could_read)
    return IMG_LOCK_UNVERIFIED;
  if (!listed)
    return IMG_LOCK_LOST;
  if ((proof->remote == IMG_REMOTE_NFS || proof->remote == IMG_REMOTE_NFS3))
    return read_uncached (img_lock_fd (proof->lock));
  if (proof->remote == IMG_REMOTE_OTHER)
    return IMG_LOCK_UNVERIFIED;
  return IMG_LOCK_HELD;
}
