/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/verdict.h"

#include <string.h>

const ImgHolder *
img_verdict_blocker (const GPtrArray *holders, ImgPermSet set, char **reason)
{
  for (guint i = 0; i < holders->len; i++)
    {
      const ImgHolder *holder = holders->pdata[i];
      gboolean by_use;
      guint bit;
      if (!img_holder_blocks (holder, set, &bit, &by_use))
        continue;
      if (reason != NULL)
        {
          g_autofree char *who = img_holder_describe (holder);
          *reason
              = g_strdup_printf ("%s %s %s", who, by_use ? "uses" : "forbids", img_perm_name (bit));
        }
      return holder;
    }
  return NULL;
}

/* Somebody who writes and has no lock that would keep others away. */
static const ImgHolder *
find_unlocked_writer (const GPtrArray *holders)
{
  for (guint i = 0; i < holders->len; i++)
    {
      const ImgHolder *holder = holders->pdata[i];
      if (holder->kind != IMG_HOLDER_LOCK && holder->can_write)
        return holder;
    }
  return NULL;
}

static void
judge (ImgStatus *status, ImgUse use)
{
  ImgVerdict *verdict = &status->verdicts[use];
  gboolean is_raw = status->format != NULL && strcmp (status->format, "raw") == 0;
  ImgPermSet set = img_use_permissions (use, is_raw);

  verdict->by = img_verdict_blocker (status->holders, set, &verdict->reason);
  if (verdict->by != NULL)
    {
      verdict->kind = IMG_VERDICT_BLOCKED;
      return;
    }
  if (set.forbids & IMG_PERM_WRITE)
    verdict->by = find_unlocked_writer (status->holders);
  if (verdict->by != NULL)
    {
      g_autofree char *who = img_holder_describe (verdict->by);
      verdict->kind = IMG_VERDICT_UNSAFE;
      verdict->reason = g_strdup_printf ("%s can write to it without a lock", who);
      return;
    }
  gboolean was_answered
      = status->probe != NULL && (status->probe->asked_posix || status->probe->asked_ofd);
  verdict->kind = was_answered || status->state == IMG_STATUS_FREE ? IMG_VERDICT_POSSIBLE
                                                                   : IMG_VERDICT_UNKNOWN;
  if (verdict->kind == IMG_VERDICT_UNKNOWN)
    verdict->reason = g_strdup (status->error != NULL ? status->error : "not all locks were seen");
}

void
img_verdicts_fill (ImgStatus *status)
{
  for (guint use = 0; use < IMG_N_USES; use++)
    judge (status, (ImgUse)use);
}
