/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/queue.h"

#include <fcntl.h>
#include <string.h>

#include "base/fd.h"

/* Nobody needs to see more. */
#define MAX_QUEUED 64

static void
queued_free (gpointer data)
{
  ImgQueued *queued = data;
  g_clear_pointer (&queued->process, img_process_free);
  g_free (queued);
}

static gboolean
is_about (const ImgLocksLine *line, const ImgEvidence *evidence)
{
  const ImgInodeKey *key = &evidence->key;
  if (line->major != key->major || line->minor != key->minor || line->ino != key->locks_ino)
    return FALSE;
  if (!key->is_ambiguous)
    return TRUE;
  for (guint i = 0; evidence->scan != NULL && i < evidence->scan->openers->len; i++)
    if (((const ImgOpener *)evidence->scan->openers->pdata[i])->pid == line->range.pid)
      return TRUE;
  return FALSE;
}

GPtrArray *
img_queue_read (const ImgEvidence *evidence)
{
  GPtrArray *queue = g_ptr_array_new_with_free_func (queued_free);
  g_autoptr (GString) text = g_string_new (NULL);

  if (!evidence->key.has_key || !img_fd_read_file (AT_FDCWD, "/proc/locks", text))
    return queue;
  g_auto (GStrv) lines = g_strsplit (text->str, "\n", -1);
  for (guint i = 0; lines[i] != NULL && queue->len < MAX_QUEUED; i++)
    {
      ImgLocksLine line;
      if (!img_locks_line_parse (lines[i], &line)
          || !(line.is_waiting || line.kind == IMG_LOCKS_LINE_LEASE) || !is_about (&line, evidence))
        continue;
      ImgQueued *queued = g_new0 (ImgQueued, 1);
      queued->is_lease = line.kind == IMG_LOCKS_LINE_LEASE;
      queued->held = line.kind == IMG_LOCKS_LINE_OFD     ? IMG_HELD_OFD
                     : line.kind == IMG_LOCKS_LINE_FLOCK ? IMG_HELD_FLOCK
                                                         : IMG_HELD_POSIX;
      queued->range = line.range;
      if (line.range.pid > 0)
        queued->process = img_process_new ((pid_t)line.range.pid);
      g_ptr_array_add (queue, queued);
    }
  return queue;
}
