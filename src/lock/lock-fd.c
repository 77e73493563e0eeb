/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lock/lock-fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "base/fd.h"

/* @lock is passed whole and zeroed by the callers: OFD commands fail with EINVAL unless l_pid is
 * 0 (fcntl(2)). */
static int
lock_command (int fd, int command, struct flock *lock)
{
  int result;
  do
    result = fcntl (fd, command, lock);
  while (result < 0 && errno == EINTR);
  return result < 0 ? errno : 0;
}

static gboolean
try_ofd (void)
{
  struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1 };
  g_auto (ImgFd) fd = memfd_create ("imgtool-lock-probe", MFD_CLOEXEC);
  if (fd < 0)
    fd = open ("/dev/null", O_RDWR | O_CLOEXEC);
  if (fd < 0)
    return FALSE;
  int result = lock_command (fd, F_OFD_SETLK, &lock);
  return result == 0 || result == ENOLCK;
}

gboolean
img_lock_kernel_has_ofd (void)
{
  static gsize answer = 0;
  if (g_once_init_enter (&answer))
    g_once_init_leave (&answer, try_ofd () ? 1 : 2);
  return answer == 1;
}

static int
set_byte (int fd, ImgLockKind kind, short type, guint64 byte)
{
  struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)byte, .l_len = 1 };
  g_assert (kind != IMG_LOCK_NONE);
  return lock_command (fd, kind == IMG_LOCK_OFD ? F_OFD_SETLK : F_SETLK, &lock);
}

int
img_lock_byte (int fd, ImgLockKind kind, guint64 byte)
{
  return set_byte (fd, kind, F_RDLCK, byte);
}

int
img_lock_byte_exclusively (int fd, ImgLockKind kind, guint64 byte)
{
  return set_byte (fd, kind, F_WRLCK, byte);
}

int
img_unlock_byte (int fd, ImgLockKind kind, guint64 byte)
{
  return set_byte (fd, kind, F_UNLCK, byte);
}

int
img_lock_query (int fd, ImgLockKind kind, guint64 start, guint64 end, gboolean *is_locked,
                ImgLockRange *found)
{
  struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)start };
  g_assert (kind != IMG_LOCK_NONE && start <= end && end <= IMG_RANGE_TO_EOF);
  lock.l_len = end == IMG_RANGE_TO_EOF ? 0 : (off_t)(end - start + 1);

  int result = lock_command (fd, kind == IMG_LOCK_OFD ? F_OFD_GETLK : F_GETLK, &lock);
  if (result != 0)
    return result;
  *is_locked = lock.l_type != F_UNLCK;
  if (*is_locked)
    {
      found->start = (guint64)lock.l_start;
      found->end = lock.l_len == 0 ? IMG_RANGE_TO_EOF : (guint64)(lock.l_start + lock.l_len - 1);
      found->pid = lock.l_pid;
      found->is_write = lock.l_type == F_WRLCK;
    }
  return 0;
}
