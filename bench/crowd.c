/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* crowd PROCESSES DESCRIPTORS: so many processes with so many open files each, on regular files,
 * pipes and devices, until stdin ends. Prints "ready" when all are there. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Open until @n descriptors are there, counting the three standard ones. */
static void
open_files (long n)
{
  static const char *const paths[]
      = { "/etc/passwd", "/dev/null", "/etc/hostname", "/proc/version" };
  int pair[2];
  for (long i = 3; i < n; i++)
    if (i % 5 != 0)
      {
        if (open (paths[i % 4], O_RDONLY) < 0)
          _exit (1);
      }
    else if (socketpair (AF_UNIX, SOCK_STREAM, 0, pair) < 0 || close (pair[1]) < 0)
      _exit (1);
}

int
main (int argc, char **argv)
{
  long processes = argc > 1 ? atol (argv[1]) : 5000;
  long descriptors = argc > 2 ? atol (argv[2]) : 25;
  pid_t parent = getpid ();

  for (long i = 0; i < processes; i++)
    {
      pid_t child = fork ();
      if (child < 0)
        {
          perror ("crowd: fork");
          return 1;
        }
      if (child == 0)
        {
          if (prctl (PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid () != parent)
            _exit (1);
          open_files (descriptors);
          for (;;)
            pause ();
        }
    }
  sleep (2); /* they open their files */
  puts ("ready");
  fflush (stdout);
  while (getchar () != EOF)
    ;
  return 0;
}
