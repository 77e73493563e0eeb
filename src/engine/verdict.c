/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/verdict.h"

/* "WHO forbids write", and how many more there are. */
static char *
blocked_reason (const GPtrArray *by, guint bit, gboolean by_use)
{
  g_autofree char *who = img_holder_describe (by->pdata[0], FALSE);
  g_autofree char *others = by->len == 1 ? NULL : g_strdup_printf (" (and %u more)", by->len - 1);
  return g_strdup_printf ("%s %s %s%s", who, by_use ? "uses" : "forbids", img_perm_name (bit),
                          others == NULL ? "" : others);
}

/* Those whose locks keep somebody from taking @set. */
static void
find_blockers (const GPtrArray *holders, ImgPermSet set, ImgVerdict *verdict)
{
  guint first_bit = 0;
  gboolean first_by_use = FALSE;

  for (guint i = 0; i < holders->len; i++)
    {
      gboolean by_use;
      guint bit;
      if (!img_holder_blocks (holders->pdata[i], set, &bit, &by_use))
        continue;
      if (verdict->by->len == 0)
        {
          first_bit = bit;
          first_by_use = by_use;
        }
      g_ptr_array_add (verdict->by, holders->pdata[i]);
    }
  if (verdict->by->len == 0)
    return;
  verdict->kind = IMG_VERDICT_BLOCKED;
  verdict->reason = blocked_reason (verdict->by, first_bit, first_by_use);
}

/* Whether the holder says by QEMU's bytes what it does, so that an open mode says nothing more. */
static gboolean
speaks_qemu (const ImgHolder *holder)
{
  return holder->kind == IMG_HOLDER_LOCK && holder->held != IMG_HELD_FLOCK
         && (holder->dialect == IMG_DIALECT_QEMU
             || holder->dialect == IMG_DIALECT_CLOUD_HYPERVISOR);
}

/* Those who can write and have no lock that QEMU would see. */
static void
find_unlocked_writers (const GPtrArray *holders, ImgVerdict *verdict)
{
  for (guint i = 0; i < holders->len; i++)
    {
      const ImgHolder *holder = holders->pdata[i];
      if (holder->can_write && !speaks_qemu (holder))
        g_ptr_array_add (verdict->by, holders->pdata[i]);
    }
  if (verdict->by->len == 0)
    return;
  g_autofree char *who = img_holder_describe (verdict->by->pdata[0], FALSE);
  verdict->kind = IMG_VERDICT_UNSAFE;
  verdict->reason = g_strdup_printf ("%s can write to it unlocked", who);
}

static void
judge (ImgStatus *status, ImgUse use)
{
  ImgVerdict *verdict = &status->verdicts[use];
  gboolean is_raw = img_status_is_raw (status);
  ImgPermSet set = img_use_permissions (use, is_raw);
  gboolean was_answered
      = status->probe != NULL && (status->probe->asked_posix || status->probe->asked_ofd);
  gboolean is_trusted = status->answers != IMG_ANSWERS_UNTRUSTED;

  gboolean takes_nothing = set.uses == 0 && set.forbids == 0 && status->format != NULL
                           && img_fs_is_this_host_only (status->filesystem.kind);

  verdict->kind = takes_nothing || status->state == IMG_STATUS_FREE
                          || (was_answered && is_trusted && status->state != IMG_STATUS_UNKNOWN)
                      ? IMG_VERDICT_POSSIBLE
                      : IMG_VERDICT_UNKNOWN;
  verdict->by = g_ptr_array_new ();
  find_blockers (status->holders, set, verdict);
  if (verdict->kind != IMG_VERDICT_BLOCKED && was_answered
      && ((status->probe->forbidden & set.uses) || (status->probe->used & set.forbids)))
    {
      verdict->kind = IMG_VERDICT_BLOCKED;
      verdict->reason = g_strdup ("a lock is in the way that came while holders were looked for");
    }
  if (verdict->kind != IMG_VERDICT_BLOCKED && (set.forbids & IMG_PERM_WRITE))
    find_unlocked_writers (status->holders, verdict);
  if (verdict->kind == IMG_VERDICT_UNKNOWN)
    verdict->reason = g_strdup (status->error != NULL ? status->error
                                : is_trusted          ? "not all locks were seen"
                                                      : img_status_untrusted_reason (status));
}

void
img_verdicts_fill (ImgStatus *status)
{
  for (guint use = 0; use < IMG_N_USES; use++)
    judge (status, (ImgUse)use);
}
