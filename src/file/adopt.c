/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "file/adopt.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/proc-stat.h"

/* Whether @fd is the file wanted, fit for the access wanted, and really locked by OFD locks. */
static gboolean
is_fit (int fd, dev_t dev, ino_t ino, gboolean writable)
{
  g_autoptr (GString) fdinfo = g_string_new (NULL);
  g_autofree char *path = g_strdup_printf ("/proc/self/fdinfo/%d", fd);
  struct stat st;
  int flags = fcntl (fd, F_GETFL);

  return fstat (fd, &st) == 0 && st.st_dev == dev && st.st_ino == ino && flags >= 0
         && (!writable || (flags & O_ACCMODE) == O_RDWR) && (flags & O_ACCMODE) != O_WRONLY
         && img_fd_read_file (AT_FDCWD, path, fdinfo) && strstr (fdinfo->str, "OFDLCK") != NULL;
}

/* Look at what one guard, PID:START-TICKS:FD[,FD...], has. Returns a descriptor or -1. */
static int
find_in_guard (const char *guard, dev_t dev, ino_t ino, gboolean writable)
{
  unsigned long long ticks;
  int pid, used = 0;

  if (sscanf (guard, "%d:%llu:%n", &pid, &ticks, &used) != 2 || used == 0 || pid <= 0
      || img_proc_start_ticks (pid) != ticks)
    return -1;
  g_auto (ImgFd) process = (int)syscall (SYS_pidfd_open, pid, 0);
  g_auto (GStrv) numbers = g_strsplit (guard + used, ",", -1);
  for (guint i = 0; process >= 0 && numbers[i] != NULL; i++)
    {
      guint64 number;
      if (!g_ascii_string_to_unsigned (numbers[i], 10, 0, G_MAXINT, &number, NULL))
        return -1;
      g_auto (ImgFd) fd = (int)syscall (SYS_pidfd_getfd, process, (int)number, 0);
      if (fd >= 0 && is_fit (fd, dev, ino, writable))
        return img_fd_steal (&fd);
    }
  return -1;
}

int
img_adopt_find (dev_t dev, ino_t ino, gboolean writable)
{
  const char *variable = g_getenv (IMG_GUARD_VARIABLE);
  g_auto (GStrv) guards = variable == NULL ? NULL : g_strsplit (variable, " ", -1);

  for (guint i = 0; guards != NULL && guards[i] != NULL; i++)
    {
      int fd = find_in_guard (guards[i], dev, ino, writable);
      if (fd >= 0)
        return fd;
    }
  return -1;
}
