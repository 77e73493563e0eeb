/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/proc-stat.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"

#define KERNEL_THREAD 0x00200000u

/* Fields 9 and 22; FALSE if there is no such process. */
static gboolean
read_stat (pid_t pid, guint *flags, unsigned long long *ticks)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", (int)pid);

  if (!img_fd_read_file (AT_FDCWD, path, text))
    return FALSE;
  /* Counted from behind the command's closing parenthesis: it may contain blanks and parentheses.
   */
  const char *rest = strrchr (text->str, ')');
  return rest != NULL
         && sscanf (rest + 1,
                    " %*c %*d %*d %*d %*d %*d %u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d "
                    "%llu",
                    flags, ticks)
                == 2;
}

guint64
img_proc_start_ticks (pid_t pid)
{
  unsigned long long ticks;
  guint flags;
  return read_stat (pid, &flags, &ticks) ? ticks : 0;
}

gboolean
img_proc_is_kernel_thread (pid_t pid)
{
  unsigned long long ticks;
  guint flags;
  return read_stat (pid, &flags, &ticks) && (flags & KERNEL_THREAD) != 0;
}
