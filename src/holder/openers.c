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
#include "holder/mounts.h"

/* The inode of /proc/self/ns/pid in the first pid namespace (Linux include/linux/proc_ns.h). */
#define INITIAL_PID_NAMESPACE "pid:[4026531836]"

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
      if (img_locks_line_parse (next, &line) && !line.is_waiting)
        g_array_append_val (opener->locks, line);
    }
}

/* Whether the descriptor called @name in @fd_directory is the image, and through which node. */
static gboolean
is_image (int fd_directory, const char *name, const ImgInodeKey *key, gboolean *same_node)
{
  struct statx stx;
  if (statx (fd_directory, name, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE | STATX_INO, &stx)
      < 0)
    return FALSE;
  dev_t dev = makedev (stx.stx_dev_major, stx.stx_dev_minor);
  *same_node = dev == key->dev && stx.stx_ino == key->ino;
  return img_inode_key_matches (key, stx.stx_mode, dev, stx.stx_ino,
                                makedev (stx.stx_rdev_major, stx.stx_rdev_minor));
}

static void
add_opener (ImgOpenerScan *scan, pid_t pid, const char *fd_name, gboolean same_node)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autofree char *path = g_strdup_printf ("/proc/%d/fdinfo/%s", (int)pid, fd_name);
  ImgOpener *opener = g_new0 (ImgOpener, 1);

  opener->pid = pid;
  opener->fd = atoi (fd_name);
  opener->same_node = same_node;
  opener->locks = g_array_new (FALSE, FALSE, sizeof (ImgLocksLine));
  if (img_fd_read_file (AT_FDCWD, path, text))
    parse_fdinfo (text->str, opener);
  if (text->len == 0 || (opener->flags & O_PATH))
    opener_free (opener); /* closed meanwhile, or never really open */
  else
    g_ptr_array_add (scan->openers, opener);
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

typedef struct
{
  const ImgInodeKey *key;
  ImgOpenerScan *scan;
  pid_t self, pid;
} Walk;

static void
visit_fd (int fd_directory, const char *name, gpointer closure)
{
  Walk *walk = closure;
  gboolean same_node = TRUE;
  if (is_image (fd_directory, name, walk->key, &same_node))
    add_opener (walk->scan, walk->pid, name, same_node);
}

static void
visit_process (int proc, const char *name, gpointer closure)
{
  Walk *walk = closure;
  g_autofree char *path = NULL;
  guint64 aligned[1024];

  walk->pid = atoi (name);
  if (walk->pid == walk->self)
    return;
  path = g_strconcat (name, "/fd", NULL);
  g_auto (ImgFd) fd_directory = openat (proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd_directory < 0)
    {
      if (errno == EACCES || errno == EPERM)
        walk->scan->n_uninspected++;
      return;
    }
  foreach_number (fd_directory, (char *)aligned, sizeof aligned, visit_fd, walk);
}

static gboolean
is_confined (void)
{
  char link[64];
  ssize_t length = readlink ("/proc/self/ns/pid", link, sizeof link - 1);
  g_autoptr (GString) text = g_string_new (NULL);

  if (length <= 0)
    return TRUE;
  link[length] = '\0';
  if (strcmp (link, INITIAL_PID_NAMESPACE) != 0)
    return TRUE;
  /* Root sees hidden processes all the same, unless it was stripped of its capabilities; those it
   * may not look into are counted then. */
  if (geteuid () == 0)
    return FALSE;
  return img_fd_read_file (AT_FDCWD, "/proc/self/mountinfo", text)
         && strstr (text->str, "hidepid=") != NULL;
}

static gint
compare_openers (gconstpointer a, gconstpointer b)
{
  const ImgOpener *x = *(const ImgOpener *const *)a, *y = *(const ImgOpener *const *)b;
  return x->pid != y->pid ? (x->pid > y->pid) - (x->pid < y->pid)
                          : (x->fd > y->fd) - (x->fd < y->fd);
}

ImgOpenerScan *
img_openers_scan (const ImgInodeKey *key)
{
  ImgOpenerScan *scan = g_new0 (ImgOpenerScan, 1);
  Walk walk = { .key = key, .scan = scan, .self = getpid () };
  guint64 aligned[4096];
  g_auto (ImgFd) proc = open ("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  scan->openers = g_ptr_array_new_with_free_func (opener_free);
  scan->is_confined = proc < 0 || is_confined ();
  if (proc >= 0)
    foreach_number (proc, (char *)aligned, sizeof aligned, visit_process, &walk);
  g_ptr_array_sort (scan->openers, compare_openers);
  return scan;
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
  return syscall (SYS_kcmp, a->pid, b->pid, KCMP_FILE, (unsigned long)a->fd, (unsigned long)b->fd)
         == 0;
}
