/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* locker [OPTION]... FILE [START LENGTH]...
 *
 * Holds byte-range locks of any shape for as long as a test needs them. Once the locks are
 * there it prints "ready PID", with --fork followed by the pid of the child, and it keeps
 * everything as it is until its standard input ends.
 *
 *   --ofd --posix --flock --none   the kind of lock (OFD when nothing is said); --flock locks
 *                                  the whole file, --none only opens it
 *   --write-lock                   exclusive locks; shared ones are the default
 *   --read-only --write-only --read-write   how FILE is opened (read-write)
 *   --fork                         a child process keeps the same open file description
 *   --again                        a second description in the same process, locked alike
 *   --churn                        take the locks and drop them, over and over again
 *   --and-writer                   a second description, open for writing and not locked
 *   --leave-main                   the first thread ends, another one goes on
 *
 * LENGTH 0 reaches to the end of the file wherever that will be; LENGTH "size" is the size that
 * the file has now.
 */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum
{
  OPTION_OFD = 256,
  OPTION_POSIX,
  OPTION_FLOCK,
  OPTION_NONE,
  OPTION_WRITE_LOCK,
  OPTION_READ_ONLY,
  OPTION_WRITE_ONLY,
  OPTION_READ_WRITE,
  OPTION_FORK,
  OPTION_AGAIN,
  OPTION_CHURN,
  OPTION_AND_WRITER,
  OPTION_LEAVE_MAIN
};

typedef struct
{
  int kind; /* OPTION_OFD and so on */
  int open_flags;
  bool exclusive;
  bool shared_with_child;
  bool twice;
  bool churns;
  bool is_writer_too;
  bool leaves_main;
  const char *file;
  char **ranges; /* START LENGTH pairs; borrowed from argv */
  int range_words;
} Wish;

static void
die (const char *what, const char *name)
{
  fprintf (stderr, "locker: %s '%s': %s\n", what, name, strerror (errno));
  exit (1);
}

static off_t
parse_number (const char *text)
{
  char *end = NULL;
  long long value;

  errno = 0;
  value = strtoll (text, &end, 0);
  if (errno != 0 || end == text || *end != '\0' || value < 0)
    {
      fprintf (stderr, "locker: bad number '%s'\n", text);
      exit (2);
    }
  return (off_t)value;
}

static off_t
current_size (int fd, const char *file)
{
  struct stat st;

  if (fstat (fd, &st) != 0)
    die ("cannot stat", file);
  return st.st_size;
}

static int
open_and_lock (const Wish *wish)
{
  int fd = open (wish->file, wish->open_flags | O_CLOEXEC);

  if (fd < 0)
    die ("cannot open", wish->file);
  if (wish->kind == OPTION_FLOCK
      && flock (fd, (wish->exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0)
    die ("cannot flock", wish->file);
  if (wish->kind != OPTION_OFD && wish->kind != OPTION_POSIX)
    return fd;

  for (int i = 0; i + 1 < wish->range_words; i += 2)
    {
      const char *length = wish->ranges[i + 1];
      struct flock lock;

      memset (&lock, 0, sizeof lock);
      lock.l_type = wish->exclusive ? F_WRLCK : F_RDLCK;
      lock.l_whence = SEEK_SET;
      lock.l_start = parse_number (wish->ranges[i]);
      lock.l_len
          = strcmp (length, "size") == 0 ? current_size (fd, wish->file) : parse_number (length);
      if (fcntl (fd, wish->kind == OPTION_OFD ? F_OFD_SETLK : F_SETLK, &lock) != 0)
        die ("cannot lock", wish->file);
    }
  return fd;
}

static void
wait_for_end_of_input (void)
{
  char buffer[256];
  ssize_t n;

  do
    n = read (STDIN_FILENO, buffer, sizeof buffer);
  while (n > 0 || (n < 0 && errno == EINTR));
}

static bool
input_has_ended (void)
{
  struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };

  return poll (&input, 1, 0) != 0;
}

/* The child dies with its parent, so that no test leaves one behind. */
static pid_t
fork_child (void)
{
  pid_t parent = getpid ();
  pid_t child = fork ();

  if (child < 0)
    die ("cannot fork for", "--fork");
  if (child == 0)
    {
      if (prctl (PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || getppid () != parent)
        _exit (1);
      for (;;)
        pause ();
    }
  return child;
}

static void
usage (void)
{
  fprintf (stderr,
           "usage: locker [--ofd|--posix|--flock|--none] [--write-lock]\n"
           "              [--read-only|--write-only|--read-write] [--fork] [--again]\n"
           "              [--churn] [--and-writer] [--leave-main] FILE [START LENGTH]...\n");
  exit (2);
}

static void
parse_options (int argc, char **argv, Wish *wish)
{
  static const struct option options[] = {
    { "ofd", no_argument, NULL, OPTION_OFD },
    { "posix", no_argument, NULL, OPTION_POSIX },
    { "flock", no_argument, NULL, OPTION_FLOCK },
    { "none", no_argument, NULL, OPTION_NONE },
    { "write-lock", no_argument, NULL, OPTION_WRITE_LOCK },
    { "read-only", no_argument, NULL, OPTION_READ_ONLY },
    { "write-only", no_argument, NULL, OPTION_WRITE_ONLY },
    { "read-write", no_argument, NULL, OPTION_READ_WRITE },
    { "fork", no_argument, NULL, OPTION_FORK },
    { "again", no_argument, NULL, OPTION_AGAIN },
    { "churn", no_argument, NULL, OPTION_CHURN },
    { "and-writer", no_argument, NULL, OPTION_AND_WRITER },
    { "leave-main", no_argument, NULL, OPTION_LEAVE_MAIN },
    { NULL, 0, NULL, 0 },
  };
  int c;

  while ((c = getopt_long (argc, argv, "", options, NULL)) != -1)
    switch (c)
      {
      case OPTION_OFD:
      case OPTION_POSIX:
      case OPTION_FLOCK:
      case OPTION_NONE:
        wish->kind = c;
        break;
      case OPTION_WRITE_LOCK:
        wish->exclusive = true;
        break;
      case OPTION_READ_ONLY:
        wish->open_flags = O_RDONLY;
        break;
      case OPTION_WRITE_ONLY:
        wish->open_flags = O_WRONLY;
        break;
      case OPTION_READ_WRITE:
        wish->open_flags = O_RDWR;
        break;
      case OPTION_FORK:
        wish->shared_with_child = true;
        break;
      case OPTION_AGAIN:
        wish->twice = true;
        break;
      case OPTION_CHURN:
        wish->churns = true;
        break;
      case OPTION_AND_WRITER:
        wish->is_writer_too = true;
        break;
      case OPTION_LEAVE_MAIN:
        wish->leaves_main = true;
        break;
      default:
        usage ();
      }
  if (optind >= argc || (argc - optind) % 2 == 0)
    usage ();
  wish->file = argv[optind];
  wish->ranges = argv + optind + 1;
  wish->range_words = argc - optind - 1;
}

static void *
go_on (void *unused)
{
  (void)unused;
  wait_for_end_of_input ();
  exit (0);
}

int
main (int argc, char **argv)
{
  Wish wish = { .kind = OPTION_OFD, .open_flags = O_RDWR };

  parse_options (argc, argv, &wish);
  (void)open_and_lock (&wish);
  if (wish.twice)
    (void)open_and_lock (&wish);

  if (wish.is_writer_too && open (wish.file, O_RDWR | O_CLOEXEC) < 0)
    die ("cannot open", wish.file);

  printf ("ready %ld", (long)getpid ());
  if (wish.shared_with_child)
    {
      fflush (stdout);
      printf (" %ld", (long)fork_child ());
    }
  printf ("\n");
  fflush (stdout);

  if (wish.leaves_main)
    {
      pthread_t thread;
      if (pthread_create (&thread, NULL, go_on, NULL) != 0)
        return 1;
      pthread_exit (NULL);
    }
  while (wish.churns && !input_has_ended ())
    close (open_and_lock (&wish));
  wait_for_end_of_input ();
  return 0;
}
