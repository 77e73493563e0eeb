/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

void
img_fd_clear (ImgFd *fd)
{
  int saved_errno = errno;
  if (*fd >= 0)
    close (img_fd_steal (fd));
  errno = saved_errno;
}

/* off_t is signed, and a range must not leave it. */
static gboolean
is_in_range (guint64 offset, gsize length)
{
  if (offset <= G_MAXINT64 && length <= G_MAXINT64 - offset)
    return TRUE;
  errno = EOVERFLOW;
  return FALSE;
}

gssize
img_fd_read_once (int fd, guint64 offset, void *buffer, gsize length, int flags)
{
  struct iovec part = { .iov_base = buffer, .iov_len = length };
  ssize_t got;

  if (!is_in_range (offset, length))
    return -1;
  do
    got = preadv2 (fd, &part, 1, (off_t)offset, flags);
  while (got < 0 && errno == EINTR);
  return got;
}

gssize
img_fd_write_once (int fd, guint64 offset, const void *buffer, gsize length, int flags)
{
  struct iovec part = { .iov_base = (void *)(guintptr)buffer, .iov_len = length };
  ssize_t put;

  if (!is_in_range (offset, length))
    return -1;
  do
    put = pwritev2 (fd, &part, 1, (off_t)offset, flags);
  while (put < 0 && errno == EINTR);
  if (put == 0 && length > 0)
    {
      /* Trying again would never end. */
      errno = EIO;
      return -1;
    }
  return put;
}

gssize
img_fd_read_at (int fd, guint64 offset, void *buffer, gsize length)
{
  gsize done = 0;

  if (!is_in_range (offset, length))
    return -1;
  while (done < length)
    {
      gssize got = img_fd_read_once (fd, offset + done, (char *)buffer + done, length - done, 0);
      if (got < 0)
        return -1;
      if (got == 0)
        break;
      done += (gsize)got;
    }
  return (gssize)done;
}

gboolean
img_fd_write_at (int fd, guint64 offset, const void *buffer, gsize length)
{
  gsize done = 0;

  while (done < length)
    {
      gssize put
          = img_fd_write_once (fd, offset + done, (const char *)buffer + done, length - done, 0);
      if (put < 0)
        return FALSE;
      done += (gsize)put;
    }
  return TRUE;
}

gssize
img_fd_read_some (int fd, void *buffer, gsize length)
{
  ssize_t got;
  do
    got = read (fd, buffer, length);
  while (got < 0 && errno == EINTR);
  return got;
}

gboolean
img_fd_read_file (int directory, const char *name, GString *into)
{
  g_auto (ImgFd) fd = openat (directory, name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  char buffer[8192];

  g_string_truncate (into, 0);
  if (fd < 0)
    return FALSE;
  for (;;)
    {
      gssize got = img_fd_read_some (fd, buffer, sizeof buffer);
      if (got < 0)
        return FALSE;
      if (got == 0)
        return TRUE;
      g_string_append_len (into, buffer, got);
    }
}

gboolean
img_fd_write_all (int fd, const void *bytes, gsize length)
{
  const char *rest = bytes;
  while (length > 0)
    {
      ssize_t put = write (fd, rest, length);
      if (put < 0 && errno == EINTR)
        continue;
      if (put == 0)
        errno = EIO;
      if (put <= 0)
        return FALSE;
      rest += put;
      length -= (gsize)put;
    }
  return TRUE;
}
