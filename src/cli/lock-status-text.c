/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/lock-status-print.h"
#include "cli/terminal.h"
#include "engine/queue.h"

const char *
cli_state_name (ImgStatusState state)
{
  static const char *const names[] = {
    [IMG_STATUS_FREE] = "free", [IMG_STATUS_IN_USE] = "in-use", [IMG_STATUS_UNKNOWN] = "unknown"
  };
  return names[state];
}

const char *
cli_verdict_name (ImgVerdictKind kind)
{
  static const char *const names[] = { [IMG_VERDICT_POSSIBLE] = "possible",
                                       [IMG_VERDICT_BLOCKED] = "blocked",
                                       [IMG_VERDICT_UNSAFE] = "unsafe",
                                       [IMG_VERDICT_UNKNOWN] = "unknown" };
  return names[kind];
}

const char *
cli_held_name (ImgHeldKind held)
{
  static const char *const names[] = { [IMG_HELD_NO_LOCK] = NULL,
                                       [IMG_HELD_OFD] = "OFD",
                                       [IMG_HELD_POSIX] = "POSIX",
                                       [IMG_HELD_FLOCK] = "flock",
                                       [IMG_HELD_UNKNOWN] = NULL };
  return names[held];
}

/* What a holder does to the image, as the end of a sentence; @many: it is several processes. */
static const char *
deed_of (const ImgHolder *holder, gboolean many)
{
  if (holder->kind != IMG_HOLDER_LOCK && holder->can_write)
    return many ? "have it open for writing, without a lock"
                : "has it open for writing, without a lock";
  if (holder->kind != IMG_HOLDER_LOCK)
    return many ? "have it open for reading, without a lock"
                : "has it open for reading, without a lock";
  if (holder->held == IMG_HELD_FLOCK)
    return many ? "have an flock() on it" : "has an flock() on it";
  if (holder->dialect == IMG_DIALECT_LIBVIRT)
    return many ? "have it leased" : "has it leased";
  if (holder->dialect == IMG_DIALECT_WHOLE_FILE || holder->dialect == IMG_DIALECT_FILE_SIZE)
    return many ? "have locked all of it" : "has locked all of it";
  if (holder->uses & IMG_PERM_WRITE)
    return many ? "write to it" : "writes to it";
  if (holder->forbids & IMG_PERM_WRITE)
    return many ? "read it and forbid others to write" : "reads it and forbids others to write";
  if (holder->uses & IMG_PERM_CONSISTENT_READ)
    return many ? "read it" : "reads it";
  return many ? "have a lock on it" : "has a lock on it";
}

/* The holder to name first: one that writes, if there is one. */
static const ImgHolder *
chief_holder (const ImgStatus *status)
{
  const ImgHolder *chief = NULL;
  for (guint i = 0; i < status->holders->len; i++)
    {
      const ImgHolder *holder = status->holders->pdata[i];
      if (holder->kind != IMG_HOLDER_LOCK && !holder->can_write)
        continue;
      if (chief == NULL || (!img_holder_is_writer (chief) && img_holder_is_writer (holder)))
        chief = holder;
    }
  return chief;
}

static guint
count_users (const ImgStatus *status)
{
  guint n = 0;
  for (guint i = 0; i < status->holders->len; i++)
    {
      const ImgHolder *holder = status->holders->pdata[i];
      n += holder->kind == IMG_HOLDER_LOCK || holder->can_write;
    }
  return n;
}

static char *
free_sentence (const ImgStatus *status)
{
  guint readers = status->holders->len;
  if (!status->openers_scanned && !status->no_writers_proven)
    return g_strdup (
        "free: nobody holds a lock on it (openers without a lock were not looked for)");
  if (!img_status_is_certain (status))
    return g_strdup ("free, as far as can be seen: nobody visible holds a lock on it or has it "
                     "open for writing");
  return g_strdup_printf ("free: nobody holds a lock on it or has it open for writing%s",
                          readers == 0 ? "" : "; it is open for reading");
}

char *
cli_status_sentence (const ImgStatus *status)
{
  if (status->state == IMG_STATUS_UNKNOWN)
    return g_strdup_printf ("unknown: %s", status->error);
  if (status->state == IMG_STATUS_FREE)
    return free_sentence (status);

  const ImgHolder *chief = chief_holder (status);
  guint others = count_users (status) - 1;
  g_autofree char *who = img_holder_describe (chief, TRUE);
  GString *text = g_string_new ("in use: ");
  if (chief->kind == IMG_HOLDER_LOCK && chief->processes->len == 0)
    g_string_append_printf (text, "locked by %s%s", who,
                            status->n_uninspected > 0 && geteuid () != 0 ? " (try as root)" : "");
  else
    g_string_append_printf (text, "%s %s", who, deed_of (chief, chief->processes->len > 1));
  if (others > 0)
    g_string_append_printf (text, ", and %u other%s", others, others == 1 ? "" : "s");
  return g_string_free (text, FALSE);
}

static void
add_row (CliTable *table, const char *key, const char *value)
{
  const char *cells[] = { key, value };
  cli_table_add (table, cells, CLI_TONE_PLAIN);
}

char *
cli_ranges_text (const ImgHolder *holder, const char *separator)
{
  GString *text = g_string_new (NULL);
  for (guint i = 0; i < holder->ranges->len; i++)
    {
      const ImgLockRange *range = &g_array_index (holder->ranges, ImgLockRange, i);
      g_string_append_printf (text, "%s%" G_GUINT64_FORMAT, i > 0 ? separator : "", range->start);
      if (range->end == IMG_RANGE_TO_EOF)
        g_string_append (text, "-end");
      else if (range->end > range->start)
        g_string_append_printf (text, "-%" G_GUINT64_FORMAT, range->end);
      if (range->is_write)
        g_string_append (text, " (exclusive)");
    }
  return g_string_free (text, FALSE);
}

static void
add_lock_rows (CliTable *table, const ImgHolder *holder)
{
  const char *kind = cli_held_name (holder->held);
  if (holder->held == IMG_HELD_NO_LOCK || holder->held == IMG_HELD_FLOCK)
    {
      add_row (table, "lock", kind == NULL ? "none" : "flock()");
      return;
    }
  g_autofree char *uses = img_perm_names (holder->uses);
  g_autofree char *forbids = img_perm_names (holder->forbids);
  g_autofree char *ranges = cli_ranges_text (holder, ", ");
  g_autofree char *lock = g_strdup_printf (
      "%s, %s, bytes %s", kind == NULL ? "of a kind that is not visible here" : kind,
      img_dialect_title (holder->dialect), ranges);
  add_row (table, "uses", uses);
  add_row (table, "forbids", forbids);
  add_row (table, "lock", lock);
}

static const char *
mode_text (const ImgHolder *holder)
{
  return !holder->can_write ? "read-only" : holder->can_read ? "read-write" : "write-only";
}

static void
add_process_rows (CliTable *table, const ImgHolder *holder, const ImgProcess *process)
{
  g_autofree char *cmdline = img_text_command_line ((const char *const *)process->cmdline);
  g_autofree char *user = process->user != NULL
                              ? img_text_escape (process->user, -1)
                              : g_strdup_printf ("uid %" G_GINT64_FORMAT, process->uid);
  g_autoptr (GString) open = g_string_new (mode_text (holder));

  for (guint i = 0; i < process->fds->len; i++)
    g_string_append_printf (open, "%s%d", i == 0 ? " (fd " : ", ",
                            g_array_index (process->fds, int, i));
  if (process->fds->len > 0)
    g_string_append_c (open, ')');
  if (holder->knows_mode)
    add_row (table, "open", open->str);
  if (process->uid >= 0)
    add_row (table, "user", user);
  if (process->start_time != 0)
    {
      g_autoptr (GDateTime) start = g_date_time_new_from_unix_local (process->start_time);
      g_autofree char *text = g_date_time_format (start, "%Y-%m-%d %H:%M:%S");
      add_row (table, "started", text);
    }
  if (process->cmdline[0] != NULL)
    add_row (table, "command", cmdline);
}

static void
append_holder (GString *text, const ImgHolder *holder)
{
  g_autofree char *who = img_holder_describe (holder, TRUE);
  CliTable *table = cli_table_new (2, FALSE);

  g_string_append_printf (text, "\n%s\n", who);
  add_lock_rows (table, holder);
  for (guint i = 0; i < holder->processes->len; i++)
    {
      const ImgProcess *process = holder->processes->pdata[i];
      g_autofree char *pid = g_strdup_printf ("%d", (int)process->pid);
      if (holder->processes->len > 1)
        add_row (table, "shared by", pid);
      add_process_rows (table, holder, process);
    }
  if (holder->processes->len == 0 && holder->knows_mode)
    add_row (table, "open", mode_text (holder));
  cli_table_finish (table, text);
}

/* "waiting: flock (pid 17) waits for an exclusive flock()"; "lease: smbd (pid 18), for reading". */
static void
append_queued (GString *text, const ImgQueued *queued)
{
  const ImgProcess *process = queued->process;
  g_autofree char *command
      = img_text_escape (process == NULL || process->command == NULL ? "?" : process->command, -1);
  g_autofree char *who = process == NULL
                             ? g_strdup ("somebody")
                             : g_strdup_printf ("%s (pid %d)", command, (int)process->pid);
  const char *type = queued->range.is_write ? "exclusive" : "shared";

  if (queued->is_lease)
    g_string_append_printf (text, "lease: %s, for %s\n", who,
                            queued->range.is_write ? "writing" : "reading");
  else if (queued->held == IMG_HELD_FLOCK)
    g_string_append_printf (text, "waiting: %s, for a lock by flock(), %s\n", who, type);
  else if (queued->range.end == IMG_RANGE_TO_EOF)
    g_string_append_printf (
        text, "waiting: %s, for a lock (%s, %s) from byte %" G_GUINT64_FORMAT " to the end\n", who,
        cli_held_name (queued->held), type, queued->range.start);
  else
    g_string_append_printf (
        text,
        "waiting: %s, for a lock (%s, %s) on bytes %" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT "\n",
        who, cli_held_name (queued->held), type, queued->range.start, queued->range.end);
}

static CliTone
tone_of (ImgVerdictKind kind)
{
  return kind == IMG_VERDICT_POSSIBLE  ? CLI_TONE_GOOD
         : kind == IMG_VERDICT_BLOCKED ? CLI_TONE_BAD
                                       : CLI_TONE_DOUBT;
}

static gboolean
all_are_possible (const ImgStatus *status)
{
  for (guint use = 0; use < IMG_N_USES; use++)
    if (status->verdicts[use].kind != IMG_VERDICT_POSSIBLE)
      return FALSE;
  return TRUE;
}

static void
append_verdicts (GString *text, const ImgStatus *status, gboolean with_color)
{
  CliTable *table = cli_table_new (3, with_color);
  g_string_append_printf (text, "\nWhat would be granted now (as a %s image):\n",
                          status->format == NULL ? "disk" : status->format);
  /* The last two uses, read and write, are those of convert under other names. */
  for (guint use = 0; use < IMG_USE_READ; use++)
    {
      const ImgVerdict *verdict = &status->verdicts[use];
      const char *cells[]
          = { img_use_title ((ImgUse)use), cli_verdict_name (verdict->kind), verdict->reason };
      cli_table_add (table, cells, tone_of (verdict->kind));
    }
  cli_table_finish (table, text);
}

/* "possible: start a VM" ... for --for. */
static void
append_answer (GString *text, const char *path, const ImgStatus *status, ImgUse use,
               gboolean with_color)
{
  const ImgVerdict *verdict = &status->verdicts[use];
  g_autofree char *word
      = cli_colored (cli_verdict_name (verdict->kind), tone_of (verdict->kind), with_color);
  g_string_append_printf (text, "%s: %s: %s%s%s\n", path, word, img_use_title (use),
                          verdict->reason == NULL ? "" : ": ",
                          verdict->reason == NULL ? "" : verdict->reason);
}

static void
append_answers (GString *text, const ImgStatus *status)
{
  static const char *const names[] = {
    [IMG_ANSWERS_NONE] = "from nobody",
    [IMG_ANSWERS_KERNEL] = "from this kernel, which keeps them",
    [IMG_ANSWERS_SERVER] = "from the file server",
    [IMG_ANSWERS_TRIED] = "from the file server, which shows read locks (a lock was tried)",
    [IMG_ANSWERS_UNTRUSTED] = "from the file server, not to be trusted",
  };
  g_string_append_printf (text, "\nanswers about locks: %s\n", names[status->answers]);
}

void
cli_status_append_text (GString *text, const ImgStatus *status, int use, gboolean verbose,
                        gboolean with_color)
{
  g_autofree char *path = img_text_escape (status->path, -1);
  g_autofree char *sentence = cli_status_sentence (status);

  if (use >= 0)
    append_answer (text, path, status, (ImgUse)use, with_color);
  else
    {
      gsize length = strcspn (sentence, ":,");
      g_autofree char *state = g_strndup (sentence, length);
      g_autofree char *word = cli_colored (state,
                                           status->state == IMG_STATUS_FREE     ? CLI_TONE_GOOD
                                           : status->state == IMG_STATUS_IN_USE ? CLI_TONE_BAD
                                                                                : CLI_TONE_DOUBT,
                                           with_color);
      g_string_append_printf (text, "%s: %s%s\n", path, word, sentence + length);
    }
  if (status->front != NULL)
    {
      g_autofree char *front = img_text_escape (status->front, -1);
      g_string_append_printf (text, "  it is the %s of %s\n", status->what, front);
    }
  for (guint i = 0; i < status->holders->len; i++)
    append_holder (text, status->holders->pdata[i]);
  if (status->queue->len > 0)
    g_string_append_c (text, '\n');
  for (guint i = 0; i < status->queue->len; i++)
    append_queued (text, status->queue->pdata[i]);
  if (use < 0 && (verbose || !all_are_possible (status)))
    append_verdicts (text, status, with_color);
  if (verbose)
    append_answers (text, status);
  if (status->notes->len > 0 && (status->holders->len > 0 || verbose))
    g_string_append_c (text, '\n');
  for (guint i = 0; i < status->notes->len; i++)
    g_string_append_printf (text, "note: %s\n", (const char *)status->notes->pdata[i]);
}
