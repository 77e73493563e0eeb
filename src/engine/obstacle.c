/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/obstacle.h"

#include <sys/stat.h>

#include "engine/lock-status.h"
#include "file/inode-registry.h"

char *
img_find_obstacle (const char *path, ImgLocking locking, ImgUse use, gboolean with_locks)
{
  ImgStatusParams params = { .locking = locking, .format = "raw" };
  struct stat st;

  /* What this command has open already was asked about then, and must not be opened again. */
  if (stat (path, &st) == 0 && img_inode_is_open (&st))
    return NULL;
  /* Mostly a lease proves quickly that nobody is there; names are looked for only then. */
  for (params.names_wanted = FALSE;; params.names_wanted = TRUE)
    {
      g_autoptr (ImgStatus) status = img_status_new (path, &params, NULL);
      if (status == NULL)
        return NULL;
      const ImgVerdict *verdict = &status->verdicts[use];
      if (verdict->kind != IMG_VERDICT_UNSAFE
          && !(with_locks && verdict->kind == IMG_VERDICT_BLOCKED))
        return NULL;
      if (params.names_wanted)
        return g_strdup (verdict->reason);
    }
}
