/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lock/probe.h"

#include <errno.h>

#include "lock/trial.h"

/* Enough for any sane set of locks; a hostile one must not keep us here. */
#define MAX_QUERIES 1024

typedef struct
{
  int fd;
  ImgLockKind kind;
  GArray *ranges;
  guint queries_left;
} Walk;

static gboolean
same_range (const ImgLockRange *a, const ImgLockRange *b)
{
  return a->start == b->start && a->end == b->end && a->is_write == b->is_write;
}

/* Keep @range unless it is there; an answer with a pid beats the same one without. */
static void
add_range (GArray *ranges, const ImgLockRange *range)
{
  for (guint i = 0; i < ranges->len; i++)
    {
      ImgLockRange *old = &g_array_index (ranges, ImgLockRange, i);
      if (same_range (old, range) && (old->pid == range->pid || old->pid <= 0 || range->pid <= 0))
        {
          old->pid = MAX (old->pid, range->pid);
          return;
        }
    }
  g_array_append_val (ranges, *range);
}

/* Ask about start..end, then about what the answer leaves on both sides. Returns 0 or an errno. */
static int
walk_range (Walk *walk, guint64 start, guint64 end)
{
  for (;;)
    {
      ImgLockRange found = { 0 };
      gboolean is_locked = FALSE;

      if (walk->queries_left == 0)
        return 0;
      walk->queries_left--;
      int result = img_lock_query (walk->fd, walk->kind, start, end, &is_locked, &found);
      if (result != 0 || !is_locked)
        return result;
      add_range (walk->ranges, &found);
      /* A server may answer with a range that has nothing to do with the question (SMB echoes the
       * request); there is no next question then. */
      if (found.end < start || found.start > end)
        return 0;
      if (found.start > start)
        {
          result = walk_range (walk, start, found.start - 1);
          if (result != 0)
            return result;
        }
      if (found.end >= end)
        return 0;
      start = found.end + 1;
    }
}

/* The ten permission bytes one by one, since a merged or shared range can hide a holder, then the
 * whole file. */
static int
walk_file (ImgProbe *probe, Walk *walk)
{
  for (guint bit = 0; bit < IMG_PERM_BITS; bit++)
    for (gboolean forbidden = FALSE; forbidden <= TRUE; forbidden++)
      {
        guint64 byte = (forbidden ? IMG_PERM_FORBIDDEN_BASE : IMG_PERM_USED_BASE) + bit;
        ImgLockRange found = { 0 };
        gboolean is_locked = FALSE;
        int result = img_lock_query (walk->fd, walk->kind, byte, byte, &is_locked, &found);
        if (result != 0)
          return result;
        if (!is_locked)
          continue;
        *(forbidden ? &probe->forbidden : &probe->used) |= 1u << bit;
        add_range (walk->ranges, &found);
      }
  int result = walk_range (walk, 0, IMG_TRIAL_BYTE - 1);
  return result != 0 ? result : walk_range (walk, IMG_TRIAL_BYTE + 1, IMG_RANGE_TO_EOF);
}

static gint
compare_ranges (gconstpointer a, gconstpointer b)
{
  const ImgLockRange *x = a, *y = b;
  if (x->start != y->start)
    return x->start < y->start ? -1 : 1;
  if (x->end != y->end)
    return x->end < y->end ? -1 : 1;
  return (x->pid > y->pid) - (x->pid < y->pid);
}

ImgProbe *
img_probe_new (int fd, gboolean with_ofd)
{
  static const ImgLockKind kinds[] = { IMG_LOCK_POSIX, IMG_LOCK_OFD };
  ImgProbe *probe = g_new0 (ImgProbe, 1);

  probe->ranges = g_array_new (FALSE, FALSE, sizeof (ImgLockRange));
  for (guint i = 0; i < (with_ofd ? 2 : 1); i++)
    {
      Walk walk
          = { .fd = fd, .kind = kinds[i], .ranges = probe->ranges, .queries_left = MAX_QUERIES };
      int result = walk_file (probe, &walk);
      if (result == 0)
        *(kinds[i] == IMG_LOCK_POSIX ? &probe->asked_posix : &probe->asked_ofd) = TRUE;
      else if (probe->error == 0)
        probe->error = result;
      if (walk.queries_left == 0)
        probe->is_truncated = TRUE;
    }
  g_array_sort (probe->ranges, compare_ranges);
  return probe;
}

void
img_probe_free (ImgProbe *probe)
{
  g_array_unref (probe->ranges);
  g_free (probe);
}

gboolean
img_probe_is_locked (const ImgProbe *probe)
{
  return probe->ranges->len > 0;
}

gboolean
img_probe_equal (const ImgProbe *a, const ImgProbe *b)
{
  if (a->ranges->len != b->ranges->len || a->used != b->used || a->forbidden != b->forbidden)
    return FALSE;
  for (guint i = 0; i < a->ranges->len; i++)
    {
      const ImgLockRange *x = &g_array_index (a->ranges, ImgLockRange, i);
      const ImgLockRange *y = &g_array_index (b->ranges, ImgLockRange, i);
      if (!same_range (x, y) || x->pid != y->pid)
        return FALSE;
    }
  return TRUE;
}
