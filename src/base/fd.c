/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

void
img_fd_clear (ImgFd *fd)
{
  int saved_errno = errno;
  if (*fd >= 0)
    close (img_fd_steal (fd));
  errno = saved_errno;
}

gssize
img_fd_read_at (int fd, guint64 offset, void *buffer, gsize length)
{
  gsize done = 0;
  if (offset > G_MAXINT64 || length > G_MAXINT64 - offset)
    {
      errno = EOVERFLOW;
      return -1;
    }
  while (done < length)
    {
      ssize_t got = pread (fd, (char *)buffer + done, length - done, (off_t)(offset + done));
      if (got < 0 && errno == EINTR)
        continue;
      if (got < 0)
        return -1;
      if (got == 0)
        break;
      done += (gsize)got;
    }
  return (gssize)done;
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
      if (put < 0)
        return FALSE;
      rest += put;
      length -= (gsize)put;
    }
  return TRUE;
}
