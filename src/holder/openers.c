/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "holder/openers.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mounts.h"

/* The first namespaces (Linux include/linux/proc_ns.h). */
#define INITIAL_PID_NAMESPACE "pid:[4026531836]"
#define INITIAL_USER_NAMESPACE "user:[4026531837]"

/* So many lock lines of one descriptor count; they come sorted, and QEMU's are among the first 205.
 */
#define MAX_LINES 256

/* CAP_SYS_PTRACE of linux/capability.h. */
#define CAPABILITY_PTRACE 19

static void
opener_free (gpointer data)
{
  ImgOpener *opener = data;
  g_array_unref (opener->locks);
  g_free (opener);
}

static void
parse_fdinfo (const char *text, ImgOpener *opener)
{
  const char *flags = strstr (text, "flags:");
  const char *next = text;

  if (flags != NULL)
    opener->flags = (int)strtol (flags + strlen ("flags:"), NULL, 8);
  while ((next = strstr (next, "\nlock:")) != NULL)
    {
      ImgLocksLine line;
      next += strlen ("\nlock:");
      if (opener->locks->len < MAX_LINES && img_locks_line_parse (next, &line) && !line.is_waiting
          && line.kind < IMG_LOCKS_LINE_LEASE)
        g_array_append_val (opener->locks, line);
    }
}

/* The descriptors wanted, by what statx() says of them. */
typedef gboolean (*OpenerPredicate) (const ImgOpener *candidate, mode_t mode, dev_t rdev,
                                     gconstpointer closure);

typedef struct
{
  OpenerPredicate is_wanted;
  gconstpointer closure;
  gboolean locked_only;
  ImgOpenerScan *scan;
  pid_t self, pid, tid;
  guint n_entries;       /* descriptors of this thread */
  gboolean is_forbidden; /* one of this process could not be looked at */
} Walk;

/* Fill in the rest of @opener, which is taken over, and keep it if it is really open. */
static void
keep_opener (Walk *walk, ImgOpener *opener)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autofree char *path = g_strdup_printf ("/proc/%d/task/%d/fdinfo/%d", (int)opener->pid,
                                           (int)opener->tid, opener->fd);

  opener->locks = g_array_new (FALSE, FALSE, sizeof (ImgLocksLine));
  if (img_fd_read_file (AT_FDCWD, path, text))
    parse_fdinfo (text->str, opener);
  if (text->len == 0 || (opener->flags & O_PATH) || (walk->locked_only && opener->locks->len == 0))
    opener_free (opener); /* closed meanwhile, never really open, or of no interest */
  else
    g_ptr_array_add (walk->scan->openers, opener);
}

static gboolean
is_image (const ImgOpener *candidate, mode_t mode, dev_t rdev, gconstpointer closure)
{
  return img_inode_key_matches (closure, mode, candidate->dev, candidate->ino, rdev);
}

static gboolean
is_one_of (const ImgOpener *candidate, G_GNUC_UNUSED mode_t mode, G_GNUC_UNUSED dev_t rdev,
           gconstpointer closure)
{
  guint64 ino = candidate->ino;
  return g_hash_table_contains ((GHashTable *)(gsize)closure, &ino);
}

/* What getdents64(2) fills in; the C library's readdir() allocates a buffer per directory. */
struct entry
{
  guint64 ino;
  gint64 next;
  guint16 length;
  guint8 type;
  char name[];
};

typedef void (*EntryFunc) (int directory, const char *name, gpointer closure);

/* Call @visit for each entry whose name starts with a digit. */
static void
foreach_number (int directory, char *buffer, gsize size, EntryFunc visit, gpointer closure)
{
  for (;;)
    {
      long got = syscall (SYS_getdents64, directory, buffer, size);
      if (got <= 0)
        return;
      for (long at = 0; at < got;)
        {
          const struct entry *entry = (const void *)(buffer + at);
          at += entry->length;
          if (g_ascii_isdigit (entry->name[0]))
            visit (directory, entry->name, closure);
        }
    }
}

static void
visit_fd (int fd_directory, const char *name, gpointer closure)
{
  Walk *walk = closure;
  struct statx stx;

  walk->n_entries++;
  if (statx (fd_directory, name, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE | STATX_INO, &stx)
      < 0)
    {
      walk->is_forbidden |= errno == EACCES || errno == EPERM;
      return;
    }
  ImgOpener candidate = { .pid = walk->pid,
                          .tid = walk->tid,
                          .fd = atoi (name),
                          .dev = makedev (stx.stx_dev_major, stx.stx_dev_minor),
                          .ino = stx.stx_ino };
  if (walk->is_wanted (&candidate, stx.stx_mode, makedev (stx.stx_rdev_major, stx.stx_rdev_minor),
                       walk->closure))
    keep_opener (walk, g_memdup2 (&candidate, sizeof candidate));
}

/* The descriptors below @path, relative to @directory, of thread walk->tid. */
static void
visit_descriptors (int directory, const char *path, Walk *walk)
{
  guint64 aligned[1024];
  g_auto (ImgFd) fds = openat (directory, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  walk->n_entries = 0;
  if (fds >= 0)
    foreach_number (fds, (char *)aligned, sizeof aligned, visit_fd, walk);
  else /* gone is no loss; anything else is (no permission, no memory, no descriptors) */
    walk->is_forbidden |= errno != ENOENT && errno != ESRCH && errno != ENOTDIR;
}

static void
visit_thread (int tasks, const char *name, gpointer closure)
{
  Walk *walk = closure;
  g_autofree char *path = g_strconcat (name, "/fd", NULL);
  gboolean was_forbidden = walk->is_forbidden;

  walk->tid = atoi (name);
  if (walk->tid == walk->pid)
    return;
  walk->is_forbidden = FALSE;
  visit_descriptors (tasks, path, walk);
  /* Threads share their descriptors as a rule: one that can be seen makes up for the first. */
  walk->is_forbidden |= was_forbidden && walk->n_entries == 0;
}

static void
visit_process (int proc, const char *name, gpointer closure)
{
  Walk *walk = closure;
  g_autofree char *path = g_strconcat (name, "/fd", NULL);
  guint64 aligned[256];

  walk->pid = walk->tid = atoi (name);
  if (walk->pid == walk->self)
    return;
  walk->is_forbidden = FALSE;
  visit_descriptors (proc, path, walk);
  if (walk->n_entries == 0)
    {
      /* A kernel thread, somebody else's process, or one whose first thread has ended while others
       * go on: that one has no descriptors any more, and belongs to root. */
      g_autofree char *tasks_path = g_strconcat (name, "/task", NULL);
      g_auto (ImgFd) tasks = openat (proc, tasks_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      if (tasks >= 0)
        foreach_number (tasks, (char *)aligned, sizeof aligned, visit_thread, walk);
    }
  walk->scan->n_uninspected += walk->is_forbidden ? 1 : 0;
}

/* Whether this process may look into all others, of this system as a whole. */
static gboolean
may_see_everything (void)
{
  g_autoptr (GString) status = g_string_new (NULL);
  g_autofree char *user_namespace = g_file_read_link ("/proc/self/ns/user", NULL);
  const char *line;

  if (g_strcmp0 (user_namespace, INITIAL_USER_NAMESPACE) != 0
      || !img_fd_read_file (AT_FDCWD, "/proc/self/status", status))
    return FALSE;
  line = strstr (status->str, "\nCapEff:");
  return line != NULL
         && (g_ascii_strtoull (line + strlen ("\nCapEff:"), NULL, 16) >> CAPABILITY_PTRACE & 1);
}

/* Whether there may be processes that /proc does not even list. */
static gboolean
is_confined (void)
{
  g_autofree char *pid_namespace = g_file_read_link ("/proc/self/ns/pid", NULL);
  g_autoptr (GString) mounts = g_string_new (NULL);

  if (g_strcmp0 (pid_namespace, INITIAL_PID_NAMESPACE) != 0)
    return TRUE;
  return img_fd_read_file (AT_FDCWD, "/proc/self/mountinfo", mounts)
         && strstr (mounts->str, "hidepid=") != NULL && !may_see_everything ();
}

static gint
compare_openers (gconstpointer a, gconstpointer b)
{
  const ImgOpener *x = *(const ImgOpener *const *)a, *y = *(const ImgOpener *const *)b;
  return x->pid != y->pid ? (x->pid > y->pid) - (x->pid < y->pid)
                          : (x->fd > y->fd) - (x->fd < y->fd);
}

/* As /proc numbers processes, which may be those of an outer pid namespace. */
static pid_t
own_pid (void)
{
  g_autofree char *link = g_file_read_link ("/proc/self", NULL);
  return link == NULL ? getpid () : (pid_t)g_ascii_strtoll (link, NULL, 10);
}

static ImgOpenerScan *
scan (OpenerPredicate is_wanted, gconstpointer closure, gboolean locked_only)
{
  ImgOpenerScan *result = g_new0 (ImgOpenerScan, 1);
  Walk walk = { .is_wanted = is_wanted,
                .closure = closure,
                .locked_only = locked_only,
                .scan = result,
                .self = own_pid () };
  guint64 aligned[4096];
  g_auto (ImgFd) proc = open ("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  result->openers = g_ptr_array_new_with_free_func (opener_free);
  result->is_confined = proc < 0 || is_confined ();
  if (proc >= 0)
    foreach_number (proc, (char *)aligned, sizeof aligned, visit_process, &walk);
  g_ptr_array_sort (result->openers, compare_openers);
  return result;
}

ImgOpenerScan *
img_openers_scan (const ImgInodeKey *key)
{
  ImgOpenerScan *result = scan (is_image, key, FALSE);
  for (guint i = 0; i < result->openers->len; i++)
    {
      ImgOpener *opener = result->openers->pdata[i];
      opener->same_node = opener->dev == key->dev && opener->ino == key->ino;
    }
  return result;
}

ImgOpenerScan *
img_openers_scan_locked (GHashTable *inodes)
{
  ImgOpenerScan *result = scan (is_one_of, inodes, TRUE);
  for (guint i = 0; i < result->openers->len; i++)
    ((ImgOpener *)result->openers->pdata[i])->same_node = TRUE;
  return result;
}

char *
img_opener_path (const ImgOpener *opener)
{
  g_autofree char *link
      = g_strdup_printf ("/proc/%d/task/%d/fd/%d", (int)opener->pid, (int)opener->tid, opener->fd);
  return g_file_read_link (link, NULL);
}

void
img_opener_scan_free (ImgOpenerScan *scan)
{
  g_ptr_array_unref (scan->openers);
  g_free (scan);
}

gboolean
img_openers_share (const ImgOpener *a, const ImgOpener *b)
{
  return syscall (SYS_kcmp, a->tid, b->tid, KCMP_FILE, (unsigned long)a->fd, (unsigned long)b->fd)
         == 0;
}
