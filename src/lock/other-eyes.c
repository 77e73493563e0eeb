/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lock/other-eyes.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the helper process: is @byte locked by @owner, by somebody, or by nobody? */
static ImgLockState
state_of_byte (int fd, guint64 byte, pid_t owner)
{
  ImgLockRange found;
  gboolean is_locked = FALSE;
  if (img_lock_query (fd, IMG_LOCK_POSIX, byte, byte, &is_locked, &found) != 0)
    return IMG_LOCK_UNANSWERED;
  if (!is_locked)
    return IMG_LOCK_LOST;
  return found.pid == owner ? IMG_LOCK_HELD : IMG_LOCK_UNVERIFIED;
}

/* What the helper process does; nothing but system calls on the stack. */
static ImgLockState
look_as_another_process (int fd, const guint64 *bytes, guint n, pid_t owner)
{
  ImgLockState worst = IMG_LOCK_HELD;
  for (guint i = 0; i < n; i++)
    worst = MAX (worst, state_of_byte (fd, bytes[i], owner));
  return worst;
}

static ImgLockState
bytes_seen_by_others (int fd, const guint64 *bytes, guint n)
{
  pid_t owner = getpid ();
  sigset_t all, before;
  int status;

  /* A signal handler that ran in the helper would unlock the description that both share. */
  sigfillset (&all);
  sigprocmask (SIG_SETMASK, &all, &before);
  pid_t helper = fork ();
  if (helper != 0)
    sigprocmask (SIG_SETMASK, &before, NULL);
  if (helper < 0)
    return IMG_LOCK_UNVERIFIED;
  if (helper == 0)
    _exit ((int)look_as_another_process (fd, bytes, n, owner));
  while (waitpid (helper, &status, 0) < 0)
    if (errno != EINTR)
      return IMG_LOCK_UNVERIFIED;
  if (!WIFEXITED (status) || WEXITSTATUS (status) > IMG_LOCK_LOST)
    return IMG_LOCK_UNVERIFIED;
  return (ImgLockState)WEXITSTATUS (status);
}

ImgLockState
img_lock_seen_by_others (int fd, ImgPermSet set)
{
  guint64 bytes[2 * IMG_PERM_BITS];
  guint n = 0;
  for (guint bit = 0; bit < IMG_PERM_BITS; bit++)
    {
      if (set.uses & (1u << bit))
        bytes[n++] = IMG_PERM_USED_BASE + bit;
      if (set.forbids & (1u << bit))
        bytes[n++] = IMG_PERM_FORBIDDEN_BASE + bit;
    }
  return bytes_seen_by_others (fd, bytes, n);
}

ImgLockState
img_lock_byte_seen_by_others (int fd, guint64 byte)
{
  return bytes_seen_by_others (fd, &byte, 1);
}
