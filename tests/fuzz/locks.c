/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lines of /proc/locks, and the lock lines of /proc/PID/fdinfo/FD. */
#include <string.h>

#include "fuzz.h"
#include "lock/locks-line.h"

static void
run (const guint8 *data, gsize size)
{
  g_autofree char *text = fuzz_text (data, size);
  const char *next = text;

  while (next != NULL)
    {
      ImgLocksLine line;
      if (img_locks_line_parse (next, &line))
        g_assert (line.range.start <= line.range.end);
      next = strchr (next, '\n');
      next = next == NULL ? NULL : next + 1;
    }
  for (guint i = 0; i < 2; i++)
    {
      ImgPermSet held = img_locks_text_held (text, i == 0 ? IMG_LOCK_OFD : IMG_LOCK_POSIX);
      g_assert (((held.uses | held.forbids) >> IMG_PERM_BITS) == 0);
    }
}

const FuzzTarget fuzz_locks = { .name = "locks", .run = run };
