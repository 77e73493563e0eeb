/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* inside IMAGE: for a moment the only one who may write to it, or so its guard says. What shows
 * that somebody else is in too is appended to file "overlaps": folder "in", which each makes, is
 * there already; the first bytes of the image change. */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LENGTH 512

static void
note (const char *line)
{
  int fd = open ("overlaps", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);

  if (fd < 0 || dprintf (fd, "%s\n", line) < 0 || close (fd) != 0)
    {
      perror ("overlaps");
      exit (1);
    }
}

/* Opened anew each time, as other clients of a file server have to, to see what is there. */
static void
look (const char *image, char bytes[LENGTH])
{
  int fd = open (image, O_RDONLY | O_CLOEXEC);

  if (fd < 0 || pread (fd, bytes, LENGTH, 0) != LENGTH)
    {
      perror (image);
      exit (1);
    }
  close (fd);
}

/* Up to ten milliseconds. */
static void
stay (void)
{
  struct timespec time;

  clock_gettime (CLOCK_MONOTONIC, &time);
  time.tv_nsec = (time.tv_nsec / 1000 % 10) * 1000000;
  time.tv_sec = 0;
  nanosleep (&time, NULL);
}

int
main (int argc, char **argv)
{
  char before[LENGTH], after[LENGTH];

  if (argc != 2)
    {
      fprintf (stderr, "usage: %s IMAGE\n", argv[0]);
      return 2;
    }
  if (mkdir ("in", 0777) != 0)
    note (errno == EEXIST ? "two imgtools" : strerror (errno));
  look (argv[1], before);
  stay ();
  look (argv[1], after);
  if (memcmp (before, after, LENGTH) != 0)
    note ("qemu-io wrote");
  rmdir ("in");
  return 0;
}
