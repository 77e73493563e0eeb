/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A FUSE file server for tests whose locks misbehave as asked:
 *
 *   lockfs BEHAVIOUR[,BEHAVIOUR...] FOLDER MOUNTPOINT...
 *
 * shows the regular files of FOLDER at each MOUNTPOINT, as one server would to several hosts, and
 * runs until they are unmounted. Prints "ready" when they are mounted. SIGUSR1 drops all locks, as
 * a server does that restarts or whose lease runs out, and prints "forgot". Behaviours:
 *
 *   right         locks of all mounts meet; dropped at close as POSIX and OFD locks should be
 *   leak          only a close by the POSIX owner drops locks: OFD locks outlive their process
 *   none          no lock operations: the kernel keeps the locks of each mount apart
 *   setlk=ERRNO   locking fails with ENOSYS, EOPNOTSUPP, ENOLCK or EIO
 *   getlk=ERRNO   asking fails
 *   eacces        a conflict is EACCES instead of EAGAIN (SMB)
 *   getfree       asking always answers "free"
 *   getread       asking tests for a read lock, whatever is asked (Linux NFSv3 servers of 2025/26)
 *   nopid, pid=N  the answer names no process, or always process N
 *   slow=MS       lock operations take so long
 *   async=MS      a close is noticed so much later
 *   hang          locking never returns (it can be interrupted)
 *   zerolie       fallocate(FALLOC_FL_ZERO_RANGE) returns 0 and does nothing (GlusterFS)
 *   punchlie      fallocate(FALLOC_FL_PUNCH_HOLE) does
 *   seeklie       SEEK_DATA and SEEK_HOLE always answer 0 */
#define FUSE_USE_VERSION 35

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse_lowlevel.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "lock-table.h"

#define MAX_MOUNTS 8
#define MAX_NODES 256
#define ANSWER_TIMEOUT 0.0 /* nothing is cached: each mount sees the others at once */

static struct
{
  bool leaks, has_no_locks, is_eacces, is_getfree, is_getread, is_nopid, is_hanging;
  bool is_zerolie, is_punchlie, is_seeklie;
  int setlk_errno, getlk_errno, pid, slow_ms, async_ms;
} behaviour;

static int folder; /* descriptor */

/* Files get their backing inode's number; this remembers the name behind it. */
static struct
{
  fuse_ino_t ino;
  char name[256];
} nodes[MAX_NODES];
static unsigned n_nodes;
static pthread_mutex_t nodes_mutex = PTHREAD_MUTEX_INITIALIZER;

typedef struct
{
  unsigned number;
  struct fuse_session *session;
} Host;

static unsigned
host_of (fuse_req_t request)
{
  return ((const Host *)fuse_req_userdata (request))->number;
}

static void
sleep_ms (int milliseconds)
{
  if (milliseconds > 0)
    usleep ((useconds_t)milliseconds * 1000);
}

static void
remember (fuse_ino_t ino, const char *name)
{
  pthread_mutex_lock (&nodes_mutex);
  unsigned i = 0;
  while (i < n_nodes && nodes[i].ino != ino)
    i++;
  if (i == MAX_NODES)
    abort ();
  if (i == n_nodes)
    n_nodes++;
  nodes[i].ino = ino;
  snprintf (nodes[i].name, sizeof nodes[i].name, "%s", name);
  pthread_mutex_unlock (&nodes_mutex);
}

/* The name of @ino into @name; "." for the root. */
static bool
name_of (fuse_ino_t ino, char name[256])
{
  bool is_known = ino == FUSE_ROOT_ID;
  snprintf (name, 256, ".");
  pthread_mutex_lock (&nodes_mutex);
  for (unsigned i = 0; i < n_nodes && !is_known; i++)
    if (nodes[i].ino == ino)
      {
        snprintf (name, 256, "%s", nodes[i].name);
        is_known = true;
      }
  pthread_mutex_unlock (&nodes_mutex);
  return is_known;
}

/* Returns 0 or an errno value. */
static int
stat_node (fuse_ino_t ino, struct stat *st)
{
  char name[256];
  if (!name_of (ino, name) || fstatat (folder, name, st, AT_SYMLINK_NOFOLLOW) < 0)
    return ENOENT;
  if (ino == FUSE_ROOT_ID)
    st->st_ino = FUSE_ROOT_ID;
  return 0;
}

static void
fill_entry (const char *name, const struct stat *st, struct fuse_entry_param *entry)
{
  memset (entry, 0, sizeof *entry);
  entry->ino = st->st_ino;
  entry->attr = *st;
  entry->attr_timeout = entry->entry_timeout = ANSWER_TIMEOUT;
  remember (st->st_ino, name);
}

static void
do_lookup (fuse_req_t request, fuse_ino_t parent, const char *name)
{
  struct fuse_entry_param entry;
  struct stat st;
  if (parent != FUSE_ROOT_ID || fstatat (folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0
      || !S_ISREG (st.st_mode))
    {
      fuse_reply_err (request, ENOENT);
      return;
    }
  fill_entry (name, &st, &entry);
  fuse_reply_entry (request, &entry);
}

static void
do_getattr (fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *info)
{
  struct stat st;
  (void)info;
  int error = stat_node (ino, &st);
  if (error != 0)
    fuse_reply_err (request, error);
  else
    fuse_reply_attr (request, &st, ANSWER_TIMEOUT);
}

static void
do_setattr (fuse_req_t request, fuse_ino_t ino, struct stat *attr, int valid,
            struct fuse_file_info *info)
{
  char name[256];
  (void)info;
  int fd = name_of (ino, name) ? openat (folder, name, O_RDWR | O_CLOEXEC) : -1;
  int failed = fd < 0;
  if (!failed && (valid & FUSE_SET_ATTR_SIZE))
    failed = ftruncate (fd, attr->st_size) < 0;
  if (!failed && (valid & FUSE_SET_ATTR_MODE))
    failed = fchmod (fd, attr->st_mode & 07777) < 0;
  int error = failed ? errno : 0;
  if (fd >= 0)
    close (fd);
  if (error != 0)
    fuse_reply_err (request, error);
  else
    do_getattr (request, ino, NULL);
}

static void
do_open (fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *info)
{
  char name[256];
  int fd
      = name_of (ino, name) ? openat (folder, name, (info->flags & ~O_NOFOLLOW) | O_CLOEXEC) : -1;
  if (fd < 0)
    {
      fuse_reply_err (request, errno);
      return;
    }
  info->fh = (uint64_t)fd;
  info->direct_io = 1;
  fuse_reply_open (request, info);
}

static void
do_create (fuse_req_t request, fuse_ino_t parent, const char *name, mode_t mode,
           struct fuse_file_info *info)
{
  struct fuse_entry_param entry;
  struct stat st;
  int fd = parent == FUSE_ROOT_ID
               ? openat (folder, name, (info->flags & ~O_NOFOLLOW) | O_CREAT | O_CLOEXEC, mode)
               : -1;
  if (fd < 0 || fstat (fd, &st) < 0)
    {
      fuse_reply_err (request, errno);
      return;
    }
  fill_entry (name, &st, &entry);
  info->fh = (uint64_t)fd;
  info->direct_io = 1;
  fuse_reply_create (request, &entry, info);
}

static void
do_read (fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *info)
{
  char *buffer = malloc (size);
  (void)ino;
  ssize_t got = buffer == NULL ? -1 : pread ((int)info->fh, buffer, size, offset);
  if (got < 0)
    fuse_reply_err (request, errno);
  else
    fuse_reply_buf (request, buffer, (size_t)got);
  free (buffer);
}

static void
do_write (fuse_req_t request, fuse_ino_t ino, const char *buffer, size_t size, off_t offset,
          struct fuse_file_info *info)
{
  (void)ino;
  ssize_t put = pwrite ((int)info->fh, buffer, size, offset);
  if (put < 0)
    fuse_reply_err (request, errno);
  else
    fuse_reply_write (request, (size_t)put);
}

static void
do_fsync (fuse_req_t request, fuse_ino_t ino, int data_only, struct fuse_file_info *info)
{
  (void)ino;
  (void)data_only;
  fuse_reply_err (request, fsync ((int)info->fh) < 0 ? errno : 0);
}

static void
do_fallocate (fuse_req_t request, fuse_ino_t ino, int mode, off_t offset, off_t length,
              struct fuse_file_info *info)
{
  (void)ino;
  if ((behaviour.is_zerolie && (mode & FALLOC_FL_ZERO_RANGE))
      || (behaviour.is_punchlie && (mode & FALLOC_FL_PUNCH_HOLE)))
    fuse_reply_err (request, 0);
  else
    fuse_reply_err (request, fallocate ((int)info->fh, mode, offset, length) < 0 ? errno : 0);
}

static void
do_lseek (fuse_req_t request, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *info)
{
  (void)ino;
  off_t found = behaviour.is_seeklie ? 0 : lseek ((int)info->fh, offset, whence);
  if (found < 0)
    fuse_reply_err (request, errno);
  else
    fuse_reply_lseek (request, found);
}

static void
do_flush (fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *info)
{
  lock_table_drop_owner (ino, host_of (request), info->lock_owner);
  fuse_reply_err (request, 0);
}

static void
do_release (fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *info)
{
  (void)ino;
  sleep_ms (behaviour.async_ms);
  if (!behaviour.leaks)
    lock_table_drop_handle (info->fh);
  close ((int)info->fh);
  fuse_reply_err (request, 0);
}

static void
do_unlink (fuse_req_t request, fuse_ino_t parent, const char *name)
{
  (void)parent;
  fuse_reply_err (request, unlinkat (folder, name, 0) < 0 ? errno : 0);
}

static void
do_rename (fuse_req_t request, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
           const char *new_name, unsigned int flags)
{
  (void)parent;
  (void)new_parent;
  fuse_reply_err (request, renameat2 (folder, name, folder, new_name, flags) < 0 ? errno : 0);
}

static void
do_readdir (fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
            struct fuse_file_info *info)
{
  char *buffer = calloc (1, size);
  DIR *entries = fdopendir (openat (folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  size_t used = 0;
  struct dirent *entry;
  (void)ino;
  (void)info;
  for (off_t at = 0; entries != NULL && buffer != NULL && (entry = readdir (entries)) != NULL; at++)
    {
      struct stat st = { .st_ino = entry->d_ino, .st_mode = S_IFREG };
      if (at < offset)
        continue;
      size_t needed
          = fuse_add_direntry (request, buffer + used, size - used, entry->d_name, &st, at + 1);
      if (needed > size - used)
        break;
      used += needed;
    }
  fuse_reply_buf (request, buffer, used);
  free (buffer);
  if (entries != NULL)
    closedir (entries);
}

static void
do_statfs (fuse_req_t request, fuse_ino_t ino)
{
  struct statvfs fs;
  (void)ino;
  if (fstatvfs (folder, &fs) < 0)
    fuse_reply_err (request, errno);
  else
    fuse_reply_statfs (request, &fs);
}

static LockEntry
entry_of (fuse_req_t request, fuse_ino_t ino, const struct fuse_file_info *info,
          const struct flock *lock)
{
  LockEntry entry = { .ino = ino,
                      .host = host_of (request),
                      .owner = info->lock_owner,
                      .handle = info->fh,
                      .pid = lock->l_pid,
                      .is_write = lock->l_type == F_WRLCK,
                      .start = lock->l_start,
                      .end = lock->l_len == 0 ? LOCK_TO_EOF : lock->l_start + lock->l_len - 1 };
  return entry;
}

static void
do_getlk (fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *info, struct flock *lock)
{
  LockEntry wanted = entry_of (request, ino, info, lock), found;

  sleep_ms (behaviour.slow_ms);
  if (behaviour.getlk_errno != 0)
    {
      fuse_reply_err (request, behaviour.getlk_errno);
      return;
    }
  if (behaviour.is_getread)
    wanted.is_write = false;
  if (behaviour.is_getfree || !lock_table_find_conflict (&wanted, &found))
    lock->l_type = F_UNLCK;
  else
    {
      lock->l_type = found.is_write ? F_WRLCK : F_RDLCK;
      lock->l_whence = SEEK_SET;
      lock->l_start = found.start;
      lock->l_len = found.end == LOCK_TO_EOF ? 0 : found.end - found.start + 1;
      lock->l_pid = behaviour.is_nopid ? 0 : behaviour.pid != 0 ? behaviour.pid : found.pid;
    }
  fuse_reply_lock (request, lock);
}

static void
do_setlk (fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *info, struct flock *lock,
          int can_sleep)
{
  LockEntry entry = entry_of (request, ino, info, lock);
  (void)can_sleep; /* nobody here waits inside the server */

  sleep_ms (behaviour.slow_ms);
  while (behaviour.is_hanging && !fuse_req_interrupted (request))
    sleep_ms (20);
  if (behaviour.is_hanging)
    fuse_reply_err (request, EINTR);
  else if (behaviour.setlk_errno != 0)
    fuse_reply_err (request, behaviour.setlk_errno);
  else if (lock->l_type == F_UNLCK)
    {
      lock_table_clear (&entry);
      fuse_reply_err (request, 0);
    }
  else if (lock_table_set (&entry))
    fuse_reply_err (request, 0);
  else
    fuse_reply_err (request, behaviour.is_eacces ? EACCES : EAGAIN);
}

static struct fuse_lowlevel_ops operations = {
  .lookup = do_lookup,
  .getattr = do_getattr,
  .setattr = do_setattr,
  .open = do_open,
  .create = do_create,
  .read = do_read,
  .write = do_write,
  .fsync = do_fsync,
  .fallocate = do_fallocate,
  .lseek = do_lseek,
  .flush = do_flush,
  .release = do_release,
  .unlink = do_unlink,
  .rename = do_rename,
  .readdir = do_readdir,
  .statfs = do_statfs,
  .getlk = do_getlk,
  .setlk = do_setlk,
};

static int
errno_by_name (const char *name)
{
  return strcmp (name, "ENOSYS") == 0       ? ENOSYS
         : strcmp (name, "EOPNOTSUPP") == 0 ? EOPNOTSUPP
         : strcmp (name, "ENOLCK") == 0     ? ENOLCK
         : strcmp (name, "EIO") == 0        ? EIO
                                            : 0;
}

static bool
set_behaviour (const char *word)
{
  static const struct
  {
    const char *name;
    bool *flag;
  } flags[] = { { "leak", &behaviour.leaks },           { "none", &behaviour.has_no_locks },
                { "eacces", &behaviour.is_eacces },     { "getfree", &behaviour.is_getfree },
                { "getread", &behaviour.is_getread },   { "nopid", &behaviour.is_nopid },
                { "hang", &behaviour.is_hanging },      { "zerolie", &behaviour.is_zerolie },
                { "punchlie", &behaviour.is_punchlie }, { "seeklie", &behaviour.is_seeklie } };
  static const struct
  {
    const char *name;
    int *number;
  } numbers[] = { { "pid=", &behaviour.pid },
                  { "slow=", &behaviour.slow_ms },
                  { "async=", &behaviour.async_ms } };

  for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++)
    if (strcmp (word, flags[i].name) == 0)
      return *flags[i].flag = true;
  for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++)
    if (strncmp (word, numbers[i].name, strlen (numbers[i].name)) == 0)
      return (*numbers[i].number = atoi (word + strlen (numbers[i].name))) > 0;
  if (strncmp (word, "setlk=", 6) == 0)
    return (behaviour.setlk_errno = errno_by_name (word + 6)) != 0;
  if (strncmp (word, "getlk=", 6) == 0)
    return (behaviour.getlk_errno = errno_by_name (word + 6)) != 0;
  return strcmp (word, "right") == 0;
}

static void *
serve (void *data)
{
  Host *host = data;
  struct fuse_loop_config config = { .clone_fd = 0, .max_idle_threads = 10 };
  fuse_session_loop_mt (host->session, &config);
  fuse_session_unmount (host->session);
  fuse_session_destroy (host->session);
  return NULL;
}

static bool
mount_host (Host *host, const char *path)
{
  char name[] = "lockfs", option[] = "-o", options[] = "fsname=lockfs,subtype=lockfs,allow_other";
  char *argv[] = { name, option, options, NULL };
  struct fuse_args args = FUSE_ARGS_INIT (3, argv);

  host->session = fuse_session_new (&args, &operations, sizeof operations, host);
  fuse_opt_free_args (&args);
  return host->session != NULL && fuse_session_mount (host->session, path) == 0;
}

/* Drop all locks whenever SIGUSR1 comes. */
static void *
forget_on_signal (void *data)
{
  const sigset_t *signals = data;
  int number;
  while (sigwait (signals, &number) == 0)
    {
      lock_table_drop_all ();
      printf ("forgot\n");
      fflush (stdout);
    }
  return NULL;
}

int
main (int argc, char **argv)
{
  static Host hosts[MAX_MOUNTS];
  static sigset_t signals;
  pthread_t threads[MAX_MOUNTS], forgetter;
  int n_hosts = argc - 3;

  if (n_hosts < 1 || n_hosts > MAX_MOUNTS)
    {
      fprintf (stderr, "usage: lockfs BEHAVIOUR[,...] FOLDER MOUNTPOINT...\n");
      return 2;
    }
  for (char *word = strtok (argv[1], ","); word != NULL; word = strtok (NULL, ","))
    if (!set_behaviour (word))
      {
        fprintf (stderr, "lockfs: unknown behaviour '%s'\n", word);
        return 2;
      }
  if (behaviour.has_no_locks)
    {
      operations.getlk = NULL;
      operations.setlk = NULL;
    }
  folder = open (argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0)
    {
      perror (argv[2]);
      return 1;
    }
  sigemptyset (&signals);
  sigaddset (&signals, SIGUSR1);
  pthread_sigmask (SIG_BLOCK, &signals, NULL);
  for (int i = 0; i < n_hosts; i++)
    {
      hosts[i].number = (unsigned)i;
      if (!mount_host (&hosts[i], argv[3 + i]))
        return 1;
    }
  if (pthread_create (&forgetter, NULL, forget_on_signal, &signals) != 0)
    return 1;
  for (int i = 0; i < n_hosts; i++)
    if (pthread_create (&threads[i], NULL, serve, &hosts[i]) != 0)
      return 1;
  puts ("ready");
  fflush (stdout);
  for (int i = 0; i < n_hosts; i++)
    pthread_join (threads[i], NULL);
  return 0;
}
