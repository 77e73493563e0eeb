/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lock/trial.h"

#include <fcntl.h>
#include <string.h>

#include "base/fd.h"
#include "lock/other-eyes.h"
#include "lock/remote.h"

/* Whether this kernel lists a lock of @fd, which can only be the one on trial. */
static gboolean
is_listed (int fd, gboolean *could_read)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autofree char *path = g_strdup_printf ("/proc/self/fdinfo/%d", fd);
  *could_read = img_fd_read_file (AT_FDCWD, path, text);
  return *could_read && strstr (text->str, "lock:") != NULL;
}

ImgTrial
img_trial_make (int fd, ImgLockKind kind)
{
  ImgTrial result = IMG_TRIAL_NONE;
  gboolean could_read;

  if (img_remote_kind (fd) != IMG_REMOTE_FUSE || img_lock_byte (fd, kind, IMG_TRIAL_BYTE) != 0)
    return IMG_TRIAL_NONE;
  if (is_listed (fd, &could_read))
    result = IMG_TRIAL_KERNEL;
  else if (could_read)
    switch (img_lock_byte_seen_by_others (fd, IMG_TRIAL_BYTE))
      {
      case IMG_LOCK_HELD:
      case IMG_LOCK_UNVERIFIED: /* the server names somebody else, or nobody */
        result = IMG_TRIAL_SHOWN;
        break;
      case IMG_LOCK_LOST:
        result = IMG_TRIAL_HIDDEN;
        break;
      case IMG_LOCK_UNANSWERED:
        break;
      }
  if (img_unlock_byte (fd, kind, IMG_TRIAL_BYTE) != 0)
    return IMG_TRIAL_NONE;
  return result;
}
