/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A library to be preloaded (LD_PRELOAD) into a program whose calls of the system are to go wrong:
 *
 *   FAULT=CALL:WHAT:NTH[:PATH]   FAULT_RANGE=START-END   FAULT_LOG=FILE
 *
 * CALL is a function of libc (pwritev2) or a group (write); all threads count together. Only calls
 * are counted whose file's path contains PATH. The NTH of them, with "NTH+" also all later ones,
 * meets WHAT: a name or number of errno; short (half of what was asked is done); kill (SIGKILL
 * before the call); stop (SIGSTOP before the call, so that a test can do something just then); slow
 * (the call begins two seconds later).
 * FAULT_LOG gets a line "GROUP CALL PATH OFFSET LENGTH" for each call that is watched and whose
 * path contains PATH, with " FAULT" behind the one that went wrong.
 *
 * Groups: read, write, sync, resize, allocate, close, open, rename, link, unlink, seek, clone,
 * malloc. The two descriptors of copy_file_range are a read and a write. A close that fails has
 * closed. A child that is forked is watched like the program, except that kill and stop end only
 * the process that makes the call. malloc is watched if the library was built with -DFAULT_MALLOC;
 * FAULT_RANGE is then of the sizes that are meant.
 * It needs glibc. */
#undef _FILE_OFFSET_BITS /* both names of each call are ours, off_t has 64 bits anyway */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

typedef enum
{
  FAULT_NONE,
  FAULT_ERRNO, /* errno is set, the call fails */
  FAULT_SHORT,
} Fault;

static struct
{
  bool is_on, and_later, is_short, is_slow;
  char call[32], path[256];
  int error, signal;
  unsigned long nth;
  long long start, end; /* of the bytes that are meant; END 0: wherever */
} rule;

/* In memory that a forked child shares: what is counted are the calls of all. */
static atomic_ulong *n_calls;
static int log_fd = -1;

/* A child that gives up its rights (a sandbox) cannot ask where a descriptor leads: what was open
 * when it was forked is known by then. */
#define MOST_FDS 256
static char *known_paths[MOST_FDS];
static bool is_child;

static const struct
{
  const char *name;
  int error;
} error_names[] = {
  { "EIO", EIO },       { "ENOSPC", ENOSPC }, { "EINTR", EINTR },   { "EAGAIN", EAGAIN },
  { "EACCES", EACCES }, { "ENOMEM", ENOMEM }, { "EDQUOT", EDQUOT }, { "EINVAL", EINVAL },
  { "EPERM", EPERM },   { "EROFS", EROFS },   { "EFBIG", EFBIG },   { "EOPNOTSUPP", EOPNOTSUPP },
  { "ESTALE", ESTALE },
};

static void
die (const char *text)
{
  fprintf (stderr, "fault-shim: %s\n", text);
  _exit (125);
}

static void
parse_what (const char *what)
{
  rule.is_short = strcmp (what, "short") == 0;
  rule.is_slow = strcmp (what, "slow") == 0;
  rule.signal = strcmp (what, "kill") == 0 ? SIGKILL : strcmp (what, "stop") == 0 ? SIGSTOP : 0;
  rule.error = atoi (what);
  for (size_t i = 0; i < sizeof error_names / sizeof error_names[0]; i++)
    if (strcmp (what, error_names[i].name) == 0)
      rule.error = error_names[i].error;
  if (!rule.is_short && !rule.is_slow && rule.signal == 0 && rule.error == 0)
    die ("FAULT: it is not known what should happen");
}

__attribute__ ((constructor)) static void
begin (void)
{
  const char *text = getenv ("FAULT");
  const char *log = getenv ("FAULT_LOG");
  (void)unsetenv ("LD_PRELOAD"); /* another program that it runs is not meant */
  n_calls = mmap (NULL, sizeof *n_calls, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (n_calls == MAP_FAILED)
    die ("no memory");
  if (log != NULL)
    log_fd
        = (int)syscall (SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (text == NULL)
    return;
  char what[32], nth[32];
  int fields = sscanf (text, "%31[^:]:%31[^:]:%31[^:]:%255s", rule.call, what, nth, rule.path);
  if (fields < 3)
    die ("FAULT is not CALL:WHAT:NTH[:PATH]");
  parse_what (what);
  char *end;
  rule.nth = strtoul (nth, &end, 10);
  rule.and_later = *end == '+';
  const char *range = getenv ("FAULT_RANGE");
  if (range != NULL && sscanf (range, "%lld-%lld", &rule.start, &rule.end) != 2)
    die ("FAULT_RANGE is not START-END");
  rule.is_on = true;
}

static void
write_log (const char *group, const char *call, const char *path, long long offset,
           long long length, bool is_fault)
{
  if (log_fd < 0)
    return;
  char line[PATH_MAX + 128];
  int n = snprintf (line, sizeof line, "%s %s %s %lld %lld%s\n", group, call, path, offset, length,
                    is_fault ? " FAULT" : "");
  if (n > 0)
    (void)!syscall (SYS_write, log_fd, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

static bool
is_meant (const char *group, const char *call, long long offset, long long length)
{
  if (!rule.is_on || (strcmp (rule.call, group) != 0 && strcmp (rule.call, call) != 0))
    return false;
  return rule.end == 0 || (offset < rule.end && offset + length > rule.start);
}

/* One call is about to happen on @path. */
static Fault
watch_path (const char *group, const char *call, const char *path, long long offset,
            long long length)
{
  if (!rule.is_on && log_fd < 0)
    return FAULT_NONE;
  if (rule.is_on && strstr (path, rule.path) == NULL)
    return FAULT_NONE;
  bool is_due = false;
  if (is_meant (group, call, offset, length))
    {
      unsigned long n = atomic_fetch_add (n_calls, 1) + 1;
      is_due = n == rule.nth || (rule.and_later && n >= rule.nth);
    }
  write_log (group, call, path, offset, length, is_due);
  if (!is_due)
    return FAULT_NONE;
  if (rule.signal != 0)
    {
      (void)syscall (SYS_tgkill, getpid (), syscall (SYS_gettid), rule.signal);
      return FAULT_NONE;
    }
  if (rule.is_slow)
    {
      struct timespec left = { 2, 0 };
      while (nanosleep (&left, &left) < 0)
        ;
      return FAULT_NONE;
    }
  errno = rule.error;
  return rule.is_short ? FAULT_SHORT : FAULT_ERRNO;
}

static void
find_path (int fd, char path[PATH_MAX])
{
  char link[64];
  ssize_t n = -1;

  if (is_child)
    {
      const char *known = fd >= 0 && fd < MOST_FDS ? known_paths[fd] : NULL;
      snprintf (path, PATH_MAX, "%s", known == NULL ? "" : known);
      return;
    }
  snprintf (link, sizeof link, "/proc/self/fd/%d", fd);
  n = readlink (link, path, PATH_MAX - 1);
  path[n > 0 ? n : 0] = '\0';
}

static Fault
watch (const char *group, const char *call, int fd, long long offset, long long length)
{
  char path[PATH_MAX];

  if (!rule.is_on && log_fd < 0)
    return FAULT_NONE;
  find_path (fd, path);
  return watch_path (group, call, path, offset, length);
}

/* The function that would be called without this library. */
#define REAL(name)                \
  static __typeof__ (&name) real; \
  if (real == NULL)               \
  real = (__typeof__ (&name))dlsym (RTLD_NEXT, #name)

/* Return -1 for a fault, halve @length for a short one. */
#define MEET(group, call, fd, offset, length)                                          \
  do                                                                                   \
    {                                                                                  \
      Fault fault = watch (group, call, fd, (long long)(offset), (long long)(length)); \
      if (fault == FAULT_ERRNO)                                                        \
        return -1;                                                                     \
      if (fault == FAULT_SHORT && (length) > 1)                                        \
        (length) /= 2;                                                                 \
    }                                                                                  \
  while (0)

#define MEET_PATH(group, call, path)                           \
  do                                                           \
    {                                                          \
      if (watch_path (group, call, path, 0, 0) == FAULT_ERRNO) \
        return -1;                                             \
    }                                                          \
  while (0)

#define READ_OR_WRITE(name, group, Buffer)            \
  ssize_t name (int fd, Buffer buffer, size_t length) \
  {                                                   \
    REAL (name);                                      \
    MEET (group, #name, fd, -1, length);              \
    return real (fd, buffer, length);                 \
  }

#define POSITIONED(name, group, Buffer)                             \
  ssize_t name (int fd, Buffer buffer, size_t length, off_t offset) \
  {                                                                 \
    REAL (name);                                                    \
    MEET (group, #name, fd, offset, length);                        \
    return real (fd, buffer, length, offset);                       \
  }

static long long
total (const struct iovec *vector, int count)
{
  long long sum = 0;
  for (int i = 0; i < count; i++)
    sum += (long long)vector[i].iov_len;
  return sum;
}

/* A vector cut short is the first half of its first part. */
#define VECTOR(name, group, PARAMS, ARGS, OFFSET)                          \
  ssize_t name PARAMS                                                      \
  {                                                                        \
    REAL (name);                                                           \
    Fault fault = watch (group, #name, fd, OFFSET, total (vector, count)); \
    if (fault == FAULT_ERRNO)                                              \
      return -1;                                                           \
    struct iovec half = count > 0 ? vector[0] : (struct iovec){ 0 };       \
    if (fault == FAULT_SHORT && half.iov_len > 1)                          \
      {                                                                    \
        half.iov_len /= 2;                                                 \
        vector = &half;                                                    \
        count = 1;                                                         \
      }                                                                    \
    return real ARGS;                                                      \
  }

#define V3 (int fd, const struct iovec *vector, int count)
#define V4 (int fd, const struct iovec *vector, int count, off_t offset)
#define V5 (int fd, const struct iovec *vector, int count, off_t offset, int flags)

READ_OR_WRITE (read, "read", void *)
READ_OR_WRITE (write, "write", const void *)
POSITIONED (pread, "read", void *)
POSITIONED (pread64, "read", void *)
POSITIONED (pwrite, "write", const void *)
POSITIONED (pwrite64, "write", const void *)
VECTOR (readv, "read", V3, (fd, vector, count), -1)
VECTOR (writev, "write", V3, (fd, vector, count), -1)
VECTOR (preadv, "read", V4, (fd, vector, count, offset), offset)
VECTOR (preadv64, "read", V4, (fd, vector, count, offset), offset)
VECTOR (pwritev, "write", V4, (fd, vector, count, offset), offset)
VECTOR (pwritev64, "write", V4, (fd, vector, count, offset), offset)
VECTOR (preadv2, "read", V5, (fd, vector, count, offset, flags), offset)
VECTOR (preadv64v2, "read", V5, (fd, vector, count, offset, flags), offset)
VECTOR (pwritev2, "write", V5, (fd, vector, count, offset, flags), offset)
VECTOR (pwritev64v2, "write", V5, (fd, vector, count, offset, flags), offset)

ssize_t
copy_file_range (int from, off64_t *from_offset, int to, off64_t *to_offset, size_t length,
                 unsigned flags)
{
  REAL (copy_file_range);
  MEET ("read", "copy_file_range", from, from_offset != NULL ? *from_offset : -1, length);
  MEET ("write", "copy_file_range", to, to_offset != NULL ? *to_offset : -1, length);
  return real (from, from_offset, to, to_offset, length, flags);
}

#define SYNC(name)                       \
  int name (int fd)                      \
  {                                      \
    REAL (name);                         \
    long long length = 0;                \
    MEET ("sync", #name, fd, 0, length); \
    return real (fd);                    \
  }
SYNC (fsync)
SYNC (fdatasync)
SYNC (syncfs)

#define RESIZE(name)                          \
  int name (int fd, off_t size)               \
  {                                           \
    REAL (name);                              \
    long long length = 0;                     \
    MEET ("resize", #name, fd, size, length); \
    return real (fd, size);                   \
  }
RESIZE (ftruncate)
RESIZE (ftruncate64)

#define ALLOCATE(name)                                    \
  int name (int fd, int mode, off_t offset, off_t length) \
  {                                                       \
    REAL (name);                                          \
    MEET ("allocate", #name, fd, offset, length);         \
    return real (fd, mode, offset, length);               \
  }
ALLOCATE (fallocate)
ALLOCATE (fallocate64)

#define SEEK(name)                              \
  off_t name (int fd, off_t offset, int whence) \
  {                                             \
    REAL (name);                                \
    long long length = 0;                       \
    MEET ("seek", #name, fd, offset, length);   \
    return real (fd, offset, whence);           \
  }
SEEK (lseek)
SEEK (lseek64)

int
close (int fd)
{
  REAL (close);
  Fault fault = watch ("close", "close", fd, 0, 0);
  int error = errno;
  int result = real (fd);
  if (fault != FAULT_ERRNO)
    return result;
  errno = error;
  return -1;
}

#define MODE_OF(flags, mode)                  \
  mode_t mode = 0;                            \
  if (((flags) & (O_CREAT | O_TMPFILE)) != 0) \
    {                                         \
      va_list args;                           \
      va_start (args, flags);                 \
      mode = va_arg (args, mode_t);           \
      va_end (args);                          \
    }

pid_t
fork (void)
{
  REAL (fork);
  char path[PATH_MAX];

  for (int i = 0; i < MOST_FDS; i++)
    {
      free (known_paths[i]);
      find_path (i, path);
      known_paths[i] = *path == '\0' ? NULL : strdup (path);
    }
  pid_t pid = real ();
  is_child = is_child || pid == 0;
  return pid;
}

#define OPEN(name)                            \
  int name (const char *path, int flags, ...) \
  {                                           \
    REAL (name);                              \
    MODE_OF (flags, mode)                     \
    MEET_PATH ("open", #name, path);          \
    return real (path, flags, mode);          \
  }
OPEN (open)
OPEN (open64)

#define OPENAT(name)                                      \
  int name (int folder, const char *path, int flags, ...) \
  {                                                       \
    REAL (name);                                          \
    MODE_OF (flags, mode)                                 \
    MEET_PATH ("open", #name, path);                      \
    return real (folder, path, flags, mode);              \
  }
OPENAT (openat)
OPENAT (openat64)

/* What open() without a mode becomes in a program that was built with _FORTIFY_SOURCE. */
#define OPEN_FORTIFIED(name)              \
  int name (const char *path, int flags); \
  int name (const char *path, int flags)  \
  {                                       \
    REAL (name);                          \
    MEET_PATH ("open", #name, path);      \
    return real (path, flags);            \
  }
OPEN_FORTIFIED (__open_2)
OPEN_FORTIFIED (__open64_2)

#define OPENAT_FORTIFIED(name)                        \
  int name (int folder, const char *path, int flags); \
  int name (int folder, const char *path, int flags)  \
  {                                                   \
    REAL (name);                                      \
    MEET_PATH ("open", #name, path);                  \
    return real (folder, path, flags);                \
  }
OPENAT_FORTIFIED (__openat_2)
OPENAT_FORTIFIED (__openat64_2)

int
rename (const char *from, const char *to)
{
  REAL (rename);
  MEET_PATH ("rename", "rename", to);
  return real (from, to);
}

int
renameat (int from_folder, const char *from, int to_folder, const char *to)
{
  REAL (renameat);
  MEET_PATH ("rename", "renameat", to);
  return real (from_folder, from, to_folder, to);
}

int
renameat2 (int from_folder, const char *from, int to_folder, const char *to, unsigned flags)
{
  REAL (renameat2);
  MEET_PATH ("rename", "renameat2", to);
  return real (from_folder, from, to_folder, to, flags);
}

int
linkat (int from_folder, const char *from, int to_folder, const char *to, int flags)
{
  REAL (linkat);
  MEET_PATH ("link", "linkat", to);
  return real (from_folder, from, to_folder, to, flags);
}

int
unlink (const char *path)
{
  REAL (unlink);
  MEET_PATH ("unlink", "unlink", path);
  return real (path);
}

int
unlinkat (int folder, const char *path, int flags)
{
  REAL (unlinkat);
  MEET_PATH ("unlink", "unlinkat", path);
  return real (folder, path, flags);
}

int
ioctl (int fd, unsigned long request, ...)
{
  REAL (ioctl);
  va_list args;
  va_start (args, request);
  void *argument = va_arg (args, void *);
  va_end (args);
  long long length = 0;
  if (request == FICLONE || request == FICLONERANGE)
    MEET ("clone", "ioctl", fd, 0, length);
  return real (fd, request, argument);
}

#ifdef FAULT_MALLOC /* not for programs with an allocator of their own */
/* glibc's own names for them: dlsym() allocates, so it cannot be asked. */
extern void *__libc_malloc (size_t size);
extern void *__libc_calloc (size_t count, size_t size);
extern void *__libc_realloc (void *old, size_t size);

static bool
has_memory (const char *call, size_t size)
{
  if (!rule.is_on || strcmp (rule.call, "malloc") != 0)
    return true;
  return watch_path ("malloc", call, rule.path, (long long)size, 1) == FAULT_NONE;
}

void *
malloc (size_t size)
{
  return has_memory ("malloc", size) ? __libc_malloc (size) : NULL;
}

void *
calloc (size_t count, size_t size)
{
  return has_memory ("calloc", count * size) ? __libc_calloc (count, size) : NULL;
}

void *
realloc (void *old, size_t size)
{
  return has_memory ("realloc", size) ? __libc_realloc (old, size) : NULL;
}
#endif
