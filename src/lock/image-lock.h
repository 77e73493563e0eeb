/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Taking QEMU's locks on an image.
 *
 * First every byte is read-locked (apply), then others are looked for (check): of two racers both
 * may fail, never both succeed. A lock is given back byte by byte before the descriptor is closed,
 * since some file servers never hear of a close. The caller keeps the descriptor open while the
 * lock lives, and opens and closes no other descriptor of that file meanwhile: the latter would
 * silently drop POSIX locks (file/inode-registry.h sees to it).
 * Source: QEMU block/file-posix.c, raw_handle_perm_lock(). */
#pragma once

#include "base/error.h"
#include "lock/lock-fd.h"
#include "lock/permission.h"

/* The values of --locking. */
typedef enum
{
  IMG_LOCKING_AUTO,
  IMG_LOCKING_ON,
  IMG_LOCKING_OFF,
  IMG_LOCKING_POSIX,
} ImgLocking;

/* "auto" and so on, both ways; FALSE if @name is none of the four. */
const char *img_locking_name (ImgLocking locking);
G_GNUC_WARN_UNUSED_RESULT
gboolean img_locking_parse (const char *name, ImgLocking *locking);

/* How long to wait for a lock of others to go away, in microseconds. */
#define IMG_WAIT_NONE 0
#define IMG_WAIT_FOREVER G_MAXINT64

typedef struct ImgLock ImgLock;

/* Take @set on @fd, a descriptor of the image called @image in messages; @fd is borrowed.
 *   IMG_LOCKING_OFF    takes nothing and succeeds.
 *   IMG_LOCKING_AUTO   OFD locks; none where the kernel has none. Where the file system refuses
 *                      them a reader goes on without, with a warning, and a writer fails.
 *   IMG_LOCKING_ON     OFD locks, else POSIX locks with a warning, else fails.
 *   IMG_LOCKING_POSIX  POSIX locks.
 * A conflict is tried again a few times, as the holder may only have been in the same race, and
 * then for @wait microseconds. Errors: IMG_ERROR_LOCKED (somebody holds it; the message is QEMU's),
 * IMG_ERROR_NO_LOCKS (it cannot be locked this way), IMG_ERROR_FAILED. */
G_GNUC_WARN_UNUSED_RESULT
ImgLock *img_lock_take (int fd, const char *image, ImgLocking locking, ImgPermSet set, gint64 wait,
                        GError **error);

/* The same with OFD locks for a description that is somebody else's too, and may have locks
 * already: they count as its own, and releasing takes off only what was added. */
G_GNUC_WARN_UNUSED_RESULT
ImgLock *img_lock_adopt (int fd, const char *image, ImgPermSet set, gint64 wait, GError **error);

/* Make @lock cover @set too. On failure the lock is as it was. Errors as above. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_lock_extend (ImgLock *lock, ImgPermSet set, gint64 wait, GError **error);

/* Unlock every byte and free @lock. */
void img_lock_release (ImgLock *lock);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImgLock, img_lock_release)

/* Free @lock and leave its bytes locked: OFD locks go with their description, which somebody else
 * has too. */
void img_lock_leave (ImgLock *lock);

/* Unlock the bytes of all locks of this process, for a signal handler that is about to end it: some
 * file servers never hear of a close. Async-signal-safe; the locks are of no use afterwards. */
void img_lock_unlock_all (void);

/* IMG_LOCK_NONE if nothing had to be, or could be, locked. */
ImgLockKind img_lock_kind (const ImgLock *lock);

/* Whether the lock was taken without knowing if others have locks: the file server does not show
 * them and the descriptor cannot write. There is a warning then. */
gboolean img_lock_is_unchecked (const ImgLock *lock);

/* What is held now. */
ImgPermSet img_lock_held (const ImgLock *lock);

/* The borrowed descriptor. */
int img_lock_fd (const ImgLock *lock);

/* What a writer who holds @set should be told where others do not meet its lock, or where the lock
 * is in its own way; NULL where all is well. Returns a new string, safe to print. Part of
 * img_lock_warning() already, unless the lock was adopted. */
char *img_lock_reach_warning (const ImgLock *lock, ImgPermSet set);

/* What the user should be told about how the lock was taken, or NULL; borrowed. A warning concerns
 * safety; a remark is for -v. */
const char *img_lock_warning (const ImgLock *lock);
const char *img_lock_remark (const ImgLock *lock);
