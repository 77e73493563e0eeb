/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "holder/proc-locks.h"

#include <fcntl.h>
#include <string.h>

#include "base/fd.h"

/* So many lines about one file are believed. */
#define MAX_LINES 1024

/* How often to read again until two readings agree. */
#define MORE_READINGS 12

static gboolean
has_key (const ImgLocksLine *line, const ImgInodeKey *key)
{
  return key == NULL
         || (line->major == key->major && line->minor == key->minor && line->ino == key->locks_ino);
}

static gint
compare_lines (gconstpointer a, gconstpointer b)
{
  const ImgLocksLine *x = a, *y = b;
  const guint64 of_x[] = { x->major,
                           x->minor,
                           x->ino,
                           x->kind,
                           x->range.start,
                           x->range.end,
                           (guint64)x->range.is_write,
                           (guint64)x->range.pid };
  const guint64 of_y[] = { y->major,
                           y->minor,
                           y->ino,
                           y->kind,
                           y->range.start,
                           y->range.end,
                           (guint64)y->range.is_write,
                           (guint64)y->range.pid };
  for (guint i = 0; i < G_N_ELEMENTS (of_x); i++)
    if (of_x[i] != of_y[i])
      return of_x[i] < of_y[i] ? -1 : 1;
  return 0;
}

/* /proc/locks has lines "N: WHAT"; where WHAT begins. */
static const char *
behind_number (const char *line)
{
  const char *colon = strchr (line, ':');
  return colon == NULL ? line : colon + 1;
}

/* How many lines at the beginning of @chunk are the last ones of @before once more: what comes in
 * between two read(2) calls shifts the list under the reader. */
static guint
count_repeated (char *const *before, char *const *chunk)
{
  guint n_before = g_strv_length ((char **)(gsize)before);
  guint n_chunk = g_strv_length ((char **)(gsize)chunk);
  for (guint n = MIN (n_before, n_chunk); n > 0; n--)
    {
      guint i = 0;
      while (i < n
             && strcmp (behind_number (before[n_before - n + i]), behind_number (chunk[i])) == 0)
        i++;
      if (i == n)
        return n;
    }
  return 0;
}

/* The lines with @key, sorted. */
static GArray *
read_locks_once (const ImgInodeKey *key)
{
  g_auto (ImgFd) fd = open ("/proc/locks", O_RDONLY | O_CLOEXEC);
  guint most = key == NULL ? G_MAXUINT : MAX_LINES;
  g_auto (GStrv) before = g_new0 (char *, 1);
  GArray *lines;
  char buffer[16384];
  gssize got;

  if (fd < 0)
    return NULL;
  lines = g_array_new (FALSE, FALSE, sizeof (ImgLocksLine));
  /* The kernel hands out whole lines, about a page at a time. */
  while ((got = img_fd_read_some (fd, buffer, sizeof buffer - 1)) > 0)
    {
      buffer[got] = '\0';
      g_auto (GStrv) chunk = g_strsplit (g_strchomp (buffer), "\n", -1);
      for (guint i = count_repeated (before, chunk); chunk[i] != NULL && lines->len < most; i++)
        {
          ImgLocksLine line;
          if (img_locks_line_parse (chunk[i], &line) && !line.is_waiting && has_key (&line, key))
            g_array_append_val (lines, line);
        }
      g_strfreev (before);
      before = g_steal_pointer (&chunk);
    }
  g_array_sort (lines, compare_lines);
  return lines;
}

static gboolean
same_lines (const GArray *a, const GArray *b)
{
  if (a->len != b->len)
    return FALSE;
  for (guint i = 0; i < a->len; i++)
    if (compare_lines (&g_array_index (a, ImgLocksLine, i), &g_array_index (b, ImgLocksLine, i)))
      return FALSE;
  return TRUE;
}

void
img_proc_locks_keep_common (GArray *lines, const GArray *others)
{
  guint kept = 0, k = 0;
  for (guint i = 0; i < lines->len; i++)
    {
      ImgLocksLine line = g_array_index (lines, ImgLocksLine, i);
      while (k < others->len && compare_lines (&g_array_index (others, ImgLocksLine, k), &line) < 0)
        k++;
      if (k < others->len && compare_lines (&g_array_index (others, ImgLocksLine, k), &line) == 0)
        {
          g_array_index (lines, ImgLocksLine, kept++) = line;
          k++;
        }
    }
  g_array_set_size (lines, kept);
}

GArray *
img_proc_locks_read (const ImgInodeKey *key)
{
  GArray *lines = key != NULL && !key->has_key ? NULL : read_locks_once (key);
  for (guint i = 0; lines != NULL && i < MORE_READINGS; i++)
    {
      GArray *again = read_locks_once (key);
      if (again == NULL)
        break;
      gboolean is_stable = key == NULL || same_lines (lines, again);
      g_array_unref (lines);
      lines = again;
      if (is_stable)
        break;
    }
  return lines;
}
