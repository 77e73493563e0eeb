/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/evidence.h"

#include <fcntl.h>
#include <string.h>

#include "base/proc-stat.h"
#include "holder/proc-locks.h"

/* A holder in the making, with the descriptor that proved it. */
typedef struct
{
  ImgHolder *holder;
  const ImgOpener *first; /* borrowed; NULL if no descriptor was seen */
} Suspect;

/* Beyond so many holders the rest is one more, so that nobody can keep us busy with his locks. */
#define MAX_SUSPECTS 256

/* How often to look again whether a line that nobody accounts for is really there. */
#define MORE_READINGS 12

typedef struct
{
  const ImgEvidence *evidence;
  GArray *suspects;      /* Suspect */
  GHashTable *explained; /* set of ImgLockRange *, each in some holder's ranges */
  GPtrArray *notes;
} Inquiry;

void
img_evidence_clear (ImgEvidence *evidence)
{
  g_clear_pointer (&evidence->lines, g_array_unref);
  g_clear_pointer (&evidence->scan, img_opener_scan_free);
  g_clear_pointer (&evidence->kernel_users, g_ptr_array_unref);
  g_clear_pointer (&evidence->nfs_clients, g_ptr_array_unref);
}

static ImgHeldKind
held_kind_of (ImgLocksLineKind kind)
{
  return kind == IMG_LOCKS_LINE_OFD     ? IMG_HELD_OFD
         : kind == IMG_LOCKS_LINE_POSIX ? IMG_HELD_POSIX
                                        : IMG_HELD_FLOCK;
}

static ImgHolder *
add_suspect (Inquiry *inquiry, ImgHolderKind kind, ImgHeldKind held, const ImgOpener *first)
{
  Suspect suspect = { .holder = img_holder_new (kind, held), .first = first };
  suspect.holder->is_identified = TRUE;
  g_array_append_val (inquiry->suspects, suspect);
  return suspect.holder;
}

/* The one holder that stands for all whom nobody can name. */
static ImgHolder *
unidentified (Inquiry *inquiry, ImgHolderKind kind, ImgHeldKind held)
{
  for (guint i = 0; i < inquiry->suspects->len; i++)
    {
      ImgHolder *holder = g_array_index (inquiry->suspects, Suspect, i).holder;
      if (!holder->is_identified && holder->kind == kind && holder->held == held)
        return holder;
    }
  ImgHolder *holder = add_suspect (inquiry, kind, held, NULL);
  holder->is_identified = FALSE;
  if (inquiry->evidence->scan == NULL)
    holder->stranger = "somebody who was not looked for";
  else if (!img_fs_is_this_host_only (inquiry->evidence->fs_kind))
    holder->stranger = "somebody who was not found on this host";
  else if (inquiry->evidence->scan->n_uninspected > 0 || inquiry->evidence->scan->is_confined)
    holder->stranger = "a process that is not visible to you";
  else
    holder->stranger = "a process that could not be found";
  return holder;
}

/* The one holder that stands for all beyond the limit. */
static ImgHolder *
the_rest (Inquiry *inquiry, ImgHeldKind held)
{
  ImgHolder *holder = unidentified (inquiry, IMG_HOLDER_LOCK, held);
  holder->stranger = "one of the holders too many to list";
  return holder;
}

static void
add_descriptor (ImgHolder *holder, const ImgOpener *opener)
{
  ImgProcess *process = img_holder_add_process (holder, opener->pid);
  int access = opener->flags & O_ACCMODE;

  g_array_append_val (process->fds, opener->fd);
  holder->knows_mode = TRUE;
  holder->can_read |= access != O_WRONLY;
  holder->can_write |= access != O_RDONLY;
}

/* The suspect with a lock of this kind whom @opener belongs to: the same process for POSIX locks,
 * the same description for the others. */
static ImgHolder *
find_lock_suspect (Inquiry *inquiry, ImgHeldKind held, const ImgOpener *opener)
{
  for (guint i = 0; i < inquiry->suspects->len; i++)
    {
      const Suspect *suspect = &g_array_index (inquiry->suspects, Suspect, i);
      if (suspect->holder->kind != IMG_HOLDER_LOCK || suspect->holder->held != held
          || suspect->first == NULL)
        continue;
      if (held == IMG_HELD_POSIX ? img_holder_has_pid (suspect->holder, opener->pid)
                                 : img_openers_share (suspect->first, opener))
        return suspect->holder;
    }
  return NULL;
}

/* The lock lines of one descriptor. */
static void
accuse_by_lines (Inquiry *inquiry, const ImgOpener *opener)
{
  static const ImgLocksLineKind kinds[]
      = { IMG_LOCKS_LINE_OFD, IMG_LOCKS_LINE_POSIX, IMG_LOCKS_LINE_FLOCK };

  for (guint k = 0; k < G_N_ELEMENTS (kinds) && opener->same_node; k++)
    {
      ImgHolder *holder = NULL;
      for (guint i = 0; i < opener->locks->len; i++)
        {
          const ImgLocksLine *line = &g_array_index (opener->locks, ImgLocksLine, i);
          if (line->kind != kinds[k])
            continue;
          if (holder == NULL)
            {
              holder = find_lock_suspect (inquiry, held_kind_of (kinds[k]), opener);
              if (holder == NULL && inquiry->suspects->len < MAX_SUSPECTS)
                holder = add_suspect (inquiry, IMG_HOLDER_LOCK, held_kind_of (kinds[k]), opener);
              if (holder != NULL)
                add_descriptor (holder, opener);
              else
                holder = the_rest (inquiry, held_kind_of (kinds[k]));
            }
          img_holder_add_range (holder, &line->range);
        }
    }
}

/* Whether some holder accounts for the range @wanted of kind @held; each of its ranges accounts for
 * one line only, so that two holders of one byte need two. */
static gboolean
explain_line (Inquiry *inquiry, const ImgLocksLine *line)
{
  for (guint i = 0; i < inquiry->suspects->len; i++)
    {
      ImgHolder *holder = g_array_index (inquiry->suspects, Suspect, i).holder;
      if (holder->held != held_kind_of (line->kind)
          || (line->kind == IMG_LOCKS_LINE_POSIX && !img_holder_has_pid (holder, line->range.pid)))
        continue;
      for (guint r = 0; r < holder->ranges->len; r++)
        {
          ImgLockRange *range = &g_array_index (holder->ranges, ImgLockRange, r);
          if (range->start == line->range.start && range->end == line->range.end
              && range->is_write == line->range.is_write
              && g_hash_table_add (inquiry->explained, range))
            return TRUE;
        }
    }
  return FALSE;
}

/* The holder that stands for all NFS clients that this host serves by @thread: whose lock is whose
 * cannot be told. */
static ImgHolder *
nfs_suspect (Inquiry *inquiry, ImgNfsThread thread)
{
  static const char *const strangers[] = {
    [IMG_NFS_NFSD] = "an NFS client",
    [IMG_NFS_LOCKD] = "an NFS client (of version 3, which is not told)",
  };
  for (guint i = 0; i < inquiry->suspects->len; i++)
    {
      ImgHolder *old = g_array_index (inquiry->suspects, Suspect, i).holder;
      if (old->nfs_clients != NULL && old->stranger == strangers[thread])
        return old;
    }
  ImgHolder *holder = add_suspect (inquiry, IMG_HOLDER_LOCK, IMG_HELD_POSIX, NULL);
  holder->stranger = strangers[thread];
  holder->nfs_clients = img_nfs_client_array ();
  const GPtrArray *clients = inquiry->evidence->nfs_clients;
  for (guint i = 0; thread == IMG_NFS_NFSD && clients != NULL && i < clients->len; i++)
    if (((ImgNfsClient *)clients->pdata[i])->has_lock)
      g_ptr_array_add (holder->nfs_clients, img_nfs_client_copy (clients->pdata[i]));
  holder->is_identified = holder->nfs_clients->len > 0;
  return holder;
}

/* A lock in the kernel's table that no visible descriptor accounts for. The kernel's own word for
 * the owner of a POSIX lock is good. */
static void
accuse_by_table (Inquiry *inquiry, const ImgLocksLine *line)
{
  ImgHeldKind held = held_kind_of (line->kind);
  ImgNfsThread thread = line->kind == IMG_LOCKS_LINE_POSIX && line->range.pid > 0
                            ? img_nfs_thread ((pid_t)line->range.pid)
                            : IMG_NFS_NOT;
  ImgHolder *holder = thread == IMG_NFS_NOT ? NULL : nfs_suspect (inquiry, thread);

  /* The process that took an flock() may have passed it on and gone, and its number be another's.
   */
  if (line->kind == IMG_LOCKS_LINE_POSIX && line->range.pid > 0 && holder == NULL)
    {
      for (guint i = 0; i < inquiry->suspects->len && holder == NULL; i++)
        {
          ImgHolder *old = g_array_index (inquiry->suspects, Suspect, i).holder;
          if (old->held == held && img_holder_has_pid (old, line->range.pid))
            holder = old;
        }
      if (holder == NULL && inquiry->suspects->len < MAX_SUSPECTS
          && img_proc_start_ticks ((pid_t)line->range.pid) != 0)
        {
          holder = add_suspect (inquiry, IMG_HOLDER_LOCK, held, NULL);
          (void)img_holder_add_process (holder, (pid_t)line->range.pid);
        }
    }
  if (holder == NULL)
    holder = unidentified (inquiry, IMG_HOLDER_LOCK, held);
  img_holder_add_range (holder, &line->range);
}

/* The lines of @lines that no holder found so far accounts for. */
static GArray *
unexplained (Inquiry *inquiry, const GArray *lines)
{
  GArray *rest = g_array_new (FALSE, FALSE, sizeof (ImgLocksLine));
  g_hash_table_remove_all (inquiry->explained);
  for (guint i = 0; i < lines->len; i++)
    {
      const ImgLocksLine *line = &g_array_index (lines, ImgLocksLine, i);
      if (line->kind < IMG_LOCKS_LINE_LEASE && !explain_line (inquiry, line))
        g_array_append_val (rest, *line);
    }
  return rest;
}

/* A line that nobody accounts for may be a line read twice: where others lock and unlock all the
 * time every other reading has one. Only what all readings have counts. */
static void
explain_table (Inquiry *inquiry)
{
  const ImgEvidence *evidence = inquiry->evidence;

  /* On btrfs the lines may be another file's: there the answers about locks decide. */
  if (evidence->lines == NULL || evidence->key.is_ambiguous)
    return;
  g_autoptr (GArray) lines = g_array_copy (evidence->lines);
  GArray *rest = unexplained (inquiry, lines);
  for (guint i = 0; i < MORE_READINGS && rest->len > 0 && evidence->scan != NULL; i++)
    {
      g_autoptr (GArray) again = img_proc_locks_read (&evidence->key);
      if (again == NULL)
        break;
      img_proc_locks_keep_common (lines, again);
      g_array_unref (rest);
      rest = unexplained (inquiry, lines);
    }
  for (guint i = 0; i < rest->len; i++)
    accuse_by_table (inquiry, &g_array_index (rest, ImgLocksLine, i));
  g_array_unref (rest);
}

/* Whether the holders found so far cover every byte of @range (of which few are ever held). */
static gboolean
is_explained (const Inquiry *inquiry, const ImgLockRange *range)
{
  for (guint i = 0; i < inquiry->suspects->len; i++)
    {
      const ImgHolder *holder = g_array_index (inquiry->suspects, Suspect, i).holder;
      if (holder->held == IMG_HELD_FLOCK)
        continue;
      for (guint r = 0; r < holder->ranges->len; r++)
        {
          const ImgLockRange *known = &g_array_index (holder->ranges, ImgLockRange, r);
          if (known->start <= range->start && known->end >= range->end
              && known->is_write == range->is_write)
            return TRUE;
        }
    }
  return FALSE;
}

/* The opener that has @pid, if its descriptors were seen. */
static const ImgOpener *
find_opener (const ImgEvidence *evidence, gint64 pid)
{
  for (guint i = 0; evidence->scan != NULL && i < evidence->scan->openers->len; i++)
    {
      const ImgOpener *opener = evidence->scan->openers->pdata[i];
      if (opener->pid == pid)
        return opener;
    }
  return NULL;
}

static ImgHolder *
find_suspect_with_pid (Inquiry *inquiry, gint64 pid)
{
  for (guint i = 0; i < inquiry->suspects->len; i++)
    {
      ImgHolder *holder = g_array_index (inquiry->suspects, Suspect, i).holder;
      if (holder->kind == IMG_HOLDER_LOCK && holder->held == IMG_HELD_UNKNOWN
          && img_holder_has_pid (holder, pid))
        return holder;
    }
  return NULL;
}

/* A lock that was answered about, but that no table here shows: FUSE and network file systems, or
 * a process that cannot be seen. A pid in the answer counts if its descriptors confirm it, or if
 * this kernel alone answers for the file. Returns whether the holder could be named. */
static gboolean
accuse_by_answer (Inquiry *inquiry, const ImgLockRange *range)
{
  const ImgEvidence *evidence = inquiry->evidence;
  const ImgOpener *opener = range->pid > 0 ? find_opener (evidence, range->pid) : NULL;
  gboolean is_local = img_fs_is_this_host_only (evidence->fs_kind);
  ImgNfsThread thread
      = is_local && range->pid > 0 ? img_nfs_thread ((pid_t)range->pid) : IMG_NFS_NOT;
  ImgHolder *holder;

  if (thread != IMG_NFS_NOT)
    holder = nfs_suspect (inquiry, thread);
  else if (opener == NULL && !(is_local && range->pid > 0))
    {
      holder = unidentified (inquiry, IMG_HOLDER_LOCK,
                             is_local && range->pid < 0 ? IMG_HELD_OFD : IMG_HELD_UNKNOWN);
    }
  else if ((holder = find_suspect_with_pid (inquiry, range->pid)) == NULL)
    {
      holder = add_suspect (inquiry, IMG_HOLDER_LOCK, is_local ? IMG_HELD_POSIX : IMG_HELD_UNKNOWN,
                            opener);
      (void)img_holder_add_process (holder, (pid_t)range->pid);
      if (opener != NULL)
        add_descriptor (holder, opener);
    }
  img_holder_add_range (holder, range);
  return holder->is_identified || thread != IMG_NFS_NOT;
}

/* What to make of locks that nobody on this host accounts for, and of the process that the file
 * server names as the holder of the first of them. */
static void
note_strangers (Inquiry *inquiry, gint64 server_pid)
{
  if (inquiry->evidence->scan == NULL || img_fs_is_this_host_only (inquiry->evidence->fs_kind))
    return;
  if (server_pid > 0)
    g_ptr_array_add (inquiry->notes,
                     g_strdup_printf ("the file server names process %" G_GINT64_FORMAT " as the "
                                      "holder, but no such process here has the image open",
                                      server_pid));
  g_ptr_array_add (
      inquiry->notes,
      g_strdup ("the lock is another host's, or was left behind on the file server by a "
                "process that is gone; if no other host uses the image, remounting or "
                "restarting the server drops it"));
}

static void
explain_answers (Inquiry *inquiry)
{
  gboolean has_strangers = FALSE;
  gint64 server_pid = 0;

  const ImgProbe *probe = inquiry->evidence->probe;
  for (guint i = 0; probe != NULL && i < probe->ranges->len; i++)
    {
      const ImgLockRange *range = &g_array_index (probe->ranges, ImgLockRange, i);
      if (is_explained (inquiry, range))
        continue;
      if (!accuse_by_answer (inquiry, range))
        {
          server_pid = has_strangers ? server_pid : range->pid;
          has_strangers = TRUE;
        }
    }
  if (has_strangers)
    note_strangers (inquiry, server_pid);
}

/* A descriptor without a lock: part of a holder with a lock, of a known opener, or a new one. */
static void
accuse_opener (Inquiry *inquiry, const ImgOpener *opener)
{
  for (guint i = 0; i < inquiry->suspects->len; i++)
    {
      const Suspect *suspect = &g_array_index (inquiry->suspects, Suspect, i);
      gboolean is_same = img_holder_has_pid (suspect->holder, opener->pid);
      /* Its lock says what the process does, unless it can do more through this descriptor. */
      if (suspect->holder->kind == IMG_HOLDER_LOCK && is_same
          && ((opener->flags & O_ACCMODE) == O_RDONLY || suspect->holder->can_write))
        return;
      if (suspect->holder->kind == IMG_HOLDER_OPENER
          && (is_same || (suspect->first != NULL && img_openers_share (suspect->first, opener))))
        {
          add_descriptor (suspect->holder, opener);
          return;
        }
    }
  if (inquiry->suspects->len < 2 * MAX_SUSPECTS)
    add_descriptor (add_suspect (inquiry, IMG_HOLDER_OPENER, IMG_HELD_NO_LOCK, opener), opener);
  else
    {
      ImgHolder *rest = unidentified (inquiry, IMG_HOLDER_OPENER, IMG_HELD_NO_LOCK);
      rest->stranger = "one of the processes too many to list";
      rest->can_write |= (opener->flags & O_ACCMODE) != O_RDONLY;
    }
}

static void
accuse_openers (Inquiry *inquiry)
{
  const ImgOpenerScan *scan = inquiry->evidence->scan;
  for (guint i = 0; scan != NULL && i < scan->openers->len; i++)
    {
      const ImgOpener *opener = scan->openers->pdata[i];
      if (opener->locks->len == 0 || !opener->same_node)
        accuse_opener (inquiry, opener);
    }
}

/* What NFS clients have open without a lock no process of this host has open. */
static void
accuse_nfs_openers (Inquiry *inquiry)
{
  const GPtrArray *clients = inquiry->evidence->nfs_clients;
  for (guint i = 0; clients != NULL && inquiry->evidence->scan != NULL && i < clients->len; i++)
    {
      const ImgNfsClient *client = clients->pdata[i];
      if (client->has_lock || (!client->can_read && !client->can_write))
        continue;
      ImgHolder *holder = add_suspect (inquiry, IMG_HOLDER_OPENER, IMG_HELD_NO_LOCK, NULL);
      holder->nfs_clients = img_nfs_client_array ();
      g_ptr_array_add (holder->nfs_clients, img_nfs_client_copy (client));
      holder->knows_mode = TRUE;
      holder->can_read = client->can_read;
      holder->can_write = client->can_write;
    }
}

static void
accuse_kernel (Inquiry *inquiry)
{
  const GPtrArray *users = inquiry->evidence->kernel_users;
  for (guint i = 0; users != NULL && i < users->len; i++)
    {
      const ImgKernelUser *user = users->pdata[i];
      ImgHolder *holder = add_suspect (inquiry, IMG_HOLDER_KERNEL, IMG_HELD_NO_LOCK, NULL);
      holder->kernel_kind = user->kind;
      holder->device = g_strdup (user->name);
      holder->knows_mode = holder->can_read = TRUE;
      holder->can_write = !user->is_read_only;
    }
}

/* The kernel says that somebody writes; if nobody found so far can, there is one more. */
static void
accuse_unseen_writer (Inquiry *inquiry)
{
  if (inquiry->evidence->writers != IMG_WRITERS_SOME)
    return;
  for (guint i = 0; i < inquiry->suspects->len; i++)
    {
      const ImgHolder *holder = g_array_index (inquiry->suspects, Suspect, i).holder;
      if (holder->can_write || !holder->knows_mode)
        return;
    }
  ImgHolder *holder = unidentified (inquiry, IMG_HOLDER_OPENER, IMG_HELD_NO_LOCK);
  if (img_nfs_is_served () && inquiry->evidence->scan != NULL)
    holder->stranger = "a process that could not be found, or an NFS client";
  holder->can_write = TRUE; /* how else it is open is not known */
}

static gint
rank (const ImgHolder *holder)
{
  return holder->kind == IMG_HOLDER_LOCK     ? (holder->held == IMG_HELD_FLOCK ? 1 : 0)
         : holder->kind == IMG_HOLDER_KERNEL ? 4
         : holder->can_write                 ? 2
                                             : 3;
}

static gint
compare_holders (gconstpointer a, gconstpointer b)
{
  return rank (*(const ImgHolder *const *)a) - rank (*(const ImgHolder *const *)b);
}

static gint
compare_ranges (gconstpointer a, gconstpointer b)
{
  const ImgLockRange *x = a, *y = b;
  return (x->start > y->start) - (x->start < y->start);
}

static GPtrArray *
conclude (Inquiry *inquiry)
{
  GPtrArray *holders = g_ptr_array_new_with_free_func ((GDestroyNotify)img_holder_free);
  for (guint i = 0; i < inquiry->suspects->len; i++)
    {
      ImgHolder *holder = g_array_index (inquiry->suspects, Suspect, i).holder;
      const ImgProcess *first = holder->processes->len > 0 ? holder->processes->pdata[0] : NULL;
      g_array_sort (holder->ranges, compare_ranges);
      if (holder->ranges->len > 0 && holder->held != IMG_HELD_FLOCK)
        holder->dialect = img_dialect_of (holder->ranges, inquiry->evidence->size,
                                          first == NULL ? NULL : first->command);
      g_ptr_array_add (holders, holder);
    }
  g_ptr_array_sort (holders, compare_holders);
  return holders;
}

GPtrArray *
img_evidence_holders (const ImgEvidence *evidence, GPtrArray *notes)
{
  g_autoptr (GArray) suspects = g_array_new (FALSE, FALSE, sizeof (Suspect));
  g_autoptr (GHashTable) explained = g_hash_table_new (NULL, NULL);
  Inquiry inquiry
      = { .evidence = evidence, .suspects = suspects, .explained = explained, .notes = notes };

  for (guint i = 0; evidence->scan != NULL && i < evidence->scan->openers->len; i++)
    accuse_by_lines (&inquiry, evidence->scan->openers->pdata[i]);
  explain_table (&inquiry);
  explain_answers (&inquiry);
  accuse_openers (&inquiry);
  accuse_nfs_openers (&inquiry);
  accuse_kernel (&inquiry);
  accuse_unseen_writer (&inquiry);
  return conclude (&inquiry);
}
