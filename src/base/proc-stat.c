/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/proc-stat.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"

guint64
img_proc_start_ticks (pid_t pid)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", (int)pid);
  unsigned long long ticks = 0;

  if (!img_fd_read_file (AT_FDCWD, path, text))
    return 0;
  /* Counted from behind the command's closing parenthesis: it may contain blanks and parentheses.
   */
  const char *rest = strrchr (text->str, ')');
  if (rest == NULL
      || sscanf (
             rest + 1,
             " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
             &ticks)
             != 1)
    return 0;
  return ticks;
}
