/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lines of /proc/self/mountinfo. */
#include <string.h>

#include "base/mounts.h"
#include "fuzz.h"

static void
run (const guint8 *data, gsize size)
{
  g_autofree char *text = fuzz_text (data, size);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  for (guint i = 0; lines[i] != NULL; i++)
    {
      g_autoptr (ImgMount) mount = img_mount_parse (lines[i]);
      if (mount == NULL)
        continue;
      g_assert (mount->mount_point != NULL && mount->type != NULL && mount->source != NULL
                && mount->options != NULL);
      (void)img_mount_is_nfs3 (mount);
    }
}

const FuzzTarget fuzz_mountinfo = { .name = "mountinfo", .run = run };
