/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/wait.h"

#include <poll.h>
#include <sys/inotify.h>

#include "base/fd.h"

#define SHORTEST_PAUSE (100 * G_TIME_SPAN_MILLISECOND)
#define LONGEST_PAUSE (5 * G_TIME_SPAN_SECOND)

/* A look that had to walk over all processes may cost a tenth of the time, not more. */
#define PAUSE_PER_COST 10

gboolean
img_status_is_granted (const ImgStatus *status, const ImgWaitParams *wait)
{
  return wait->has_use ? status->verdicts[wait->use].kind == IMG_VERDICT_POSSIBLE
                       : status->state == IMG_STATUS_FREE;
}

static gboolean
is_hopeless (const ImgStatus *status, const ImgWaitParams *wait)
{
  return wait->has_use ? status->verdicts[wait->use].kind == IMG_VERDICT_UNKNOWN
                       : status->state == IMG_STATUS_UNKNOWN;
}

/* A descriptor that becomes readable when a writer closes the image at @path, or -1. Not when a
 * reader does: every look closes it, and those who wait would wake each other all the time. */
static int
watch (const char *path)
{
  g_auto (ImgFd) fd = inotify_init1 (IN_NONBLOCK | IN_CLOEXEC);
  if (fd < 0 || inotify_add_watch (fd, path, IN_CLOSE_WRITE | IN_MOVE_SELF | IN_DELETE_SELF) < 0)
    return -1;
  return img_fd_steal (&fd);
}

static void
drain (int fd)
{
  char events[4096];
  while (fd >= 0 && img_fd_read_some (fd, events, sizeof events) > 0)
    ;
}

static void
pause_for (int fd, gint64 microseconds)
{
  struct pollfd entry = { .fd = fd, .events = POLLIN };
  (void)poll (&entry, 1, (int)(microseconds / 1000) + 1);
}

/* Whom one look and the next found in the way: the same first holder or somebody else. */
static gboolean
is_somebody_else (const ImgStatus *before, const ImgStatus *now)
{
  if (before == NULL || before->holders->len != now->holders->len)
    return TRUE;
  if (now->holders->len == 0)
    return FALSE;
  g_autofree char *a = img_holder_describe (before->holders->pdata[0], TRUE);
  g_autofree char *b = img_holder_describe (now->holders->pdata[0], TRUE);
  return g_strcmp0 (a, b) != 0;
}

ImgStatus *
img_status_wait (const char *path, const ImgStatusParams *params, const ImgWaitParams *wait,
                 GError **error)
{
  ImgStatusParams again = *params;
  g_autoptr (ImgStatus) before = NULL;
  g_auto (ImgFd) watcher = -1;

  for (;;)
    {
      gint64 started = g_get_monotonic_time ();
      g_autoptr (ImgStatus) status = img_status_new (path, &again, error);
      gint64 now = g_get_monotonic_time ();
      if (status == NULL)
        return NULL;
      if (img_status_is_granted (status, wait) || is_hopeless (status, wait)
          || now >= wait->deadline)
        return g_steal_pointer (&status);
      if (wait->on_waiting != NULL && is_somebody_else (before, status))
        wait->on_waiting (status, wait->closure);
      if (before == NULL)
        watcher = watch (path);
      again.trial = status->trial; /* no locks while waiting */
      drain (watcher);
      gint64 pause = CLAMP ((now - started) * PAUSE_PER_COST, SHORTEST_PAUSE, LONGEST_PAUSE);
      pause_for (watcher, MIN (pause, wait->deadline - now));
      g_clear_pointer (&before, img_status_free);
      before = g_steal_pointer (&status);
    }
}
