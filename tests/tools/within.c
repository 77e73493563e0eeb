/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* within SECONDS MEMORY LENGTH COST COMMAND...: run COMMAND within limits, of bytes of address
 * space and of what it may write to a file, 0 for no limit; after so many seconds its process group
 * is killed. File COST says "PEAK CPU": the largest resident size of a process, in KiB, and the
 * processor time of all, in milliseconds. The exit status is the command's, 128 and more if a
 * signal ended it. timeout(1), time(1) and prlimit(1) in one, for tests that run thousands. */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t child;

static void
end_it (int number)
{
  (void)number;
  kill (-child, SIGKILL);
}

static void
limit (int resource, const char *text)
{
  struct rlimit most = { .rlim_cur = strtoull (text, NULL, 10), .rlim_max = RLIM_INFINITY };

  if (most.rlim_cur == 0)
    return;
  most.rlim_max = most.rlim_cur;
  if (setrlimit ((__rlimit_resource_t)resource, &most) == 0)
    return;
  perror ("setrlimit");
  _exit (125);
}

static void
become (char **argv)
{
  setpgid (0, 0);
  limit (RLIMIT_AS, argv[2]);
  limit (RLIMIT_FSIZE, argv[3]);
  execvp (argv[5], argv + 5);
  perror (argv[5]);
  _exit (127);
}

static long
in_ms (struct timeval time)
{
  return time.tv_sec * 1000L + time.tv_usec / 1000;
}

int
main (int argc, char **argv)
{
  struct rusage used;
  int status, cost;

  if (argc < 6)
    {
      fprintf (stderr, "usage: within SECONDS MEMORY LENGTH COST COMMAND...\n");
      return 125;
    }
  child = fork ();
  if (child == 0)
    become (argv);
  if (child < 0)
    {
      perror ("fork");
      return 125;
    }
  setpgid (child, child); /* whoever of the two comes first */
  signal (SIGALRM, end_it);
  alarm ((unsigned)strtoul (argv[1], NULL, 10));
  while (wait4 (child, &status, 0, &used) < 0)
    if (errno != EINTR)
      return 125;
  cost = open (argv[4], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (cost < 0
      || dprintf (cost, "%ld %ld\n", used.ru_maxrss, in_ms (used.ru_utime) + in_ms (used.ru_stime))
             < 0)
    {
      perror (argv[4]);
      return 125;
    }
  return WIFEXITED (status) ? WEXITSTATUS (status) : 128 + WTERMSIG (status);
}
