/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "holder/holder.h"

ImgHolder *
img_holder_new (ImgHolderKind kind, ImgHeldKind held)
{
  ImgHolder *holder = g_new0 (ImgHolder, 1);
  holder->kind = kind;
  holder->held = held;
  holder->ranges = g_array_new (FALSE, FALSE, sizeof (ImgLockRange));
  holder->processes = g_ptr_array_new_with_free_func ((GDestroyNotify)img_process_free);
  return holder;
}

void
img_holder_free (ImgHolder *holder)
{
  g_array_unref (holder->ranges);
  g_ptr_array_unref (holder->processes);
  g_clear_pointer (&holder->nfs_clients, g_ptr_array_unref);
  g_free (holder->device);
  g_free (holder);
}

ImgProcess *
img_holder_add_process (ImgHolder *holder, pid_t pid)
{
  for (guint i = 0; i < holder->processes->len; i++)
    {
      ImgProcess *old = holder->processes->pdata[i];
      if (old->pid == pid)
        return old;
    }
  ImgProcess *process = img_process_new (pid);
  g_ptr_array_add (holder->processes, process);
  return process;
}

gboolean
img_holder_has_pid (const ImgHolder *holder, gint64 pid)
{
  for (guint i = 0; i < holder->processes->len; i++)
    if (((const ImgProcess *)holder->processes->pdata[i])->pid == pid)
      return TRUE;
  return FALSE;
}

static gboolean
covers (const ImgLockRange *range, guint64 byte)
{
  return range->start <= byte && byte <= range->end;
}

/* So many ranges are kept for showing; what further ones mean counts all the same. */
#define MAX_RANGES 128

void
img_holder_add_range (ImgHolder *holder, const ImgLockRange *range)
{
  for (guint i = 0; i < holder->ranges->len; i++)
    {
      const ImgLockRange *old = &g_array_index (holder->ranges, ImgLockRange, i);
      if (old->start == range->start && old->end == range->end && old->is_write == range->is_write)
        return;
    }
  /* Exclusive locks decide by their ranges, so they are kept in any case where they matter. */
  if (holder->ranges->len < MAX_RANGES
      || (range->is_write && range->start <= IMG_PERM_FORBIDDEN_BASE + IMG_PERM_BITS))
    g_array_append_val (holder->ranges, *range);
  if (holder->held == IMG_HELD_FLOCK)
    return;
  for (guint bit = 0; bit < IMG_PERM_BITS; bit++)
    {
      if (covers (range, IMG_PERM_USED_BASE + bit))
        holder->uses |= 1u << bit;
      if (covers (range, IMG_PERM_FORBIDDEN_BASE + bit))
        holder->forbids |= 1u << bit;
    }
}

/* Whether any write lock covers @byte, so that not even a read lock can be put there. */
static gboolean
has_write_lock (const ImgHolder *holder, guint64 byte)
{
  for (guint i = 0; i < holder->ranges->len; i++)
    {
      const ImgLockRange *range = &g_array_index (holder->ranges, ImgLockRange, i);
      if (range->is_write && covers (range, byte))
        return TRUE;
    }
  return FALSE;
}

gboolean
img_holder_blocks (const ImgHolder *holder, ImgPermSet set, guint *bit, gboolean *by_use)
{
  if (holder->held == IMG_HELD_FLOCK || holder->held == IMG_HELD_NO_LOCK)
    return FALSE;
  for (*bit = 0; *bit < IMG_PERM_BITS; (*bit)++)
    {
      guint mask = 1u << *bit;
      *by_use = FALSE;
      if ((set.uses & mask)
          && ((holder->forbids & mask) || has_write_lock (holder, IMG_PERM_USED_BASE + *bit)))
        return TRUE;
      *by_use = TRUE;
      if ((set.forbids & mask)
          && ((holder->uses & mask) || has_write_lock (holder, IMG_PERM_FORBIDDEN_BASE + *bit)))
        return TRUE;
    }
  return FALSE;
}
