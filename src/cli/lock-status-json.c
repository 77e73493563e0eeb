/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/lock-status-print.h"
#include "engine/queue.h"

static json_t *
permission_names (guint perms)
{
  json_t *names = json_array ();
  for (guint bit = 0; bit < IMG_PERM_BITS; bit++)
    if (perms & (1u << bit))
      json_array_append_new (names, json_string (img_perm_name (bit)));
  return names;
}

static json_t *
strings (char *const *list)
{
  json_t *array = json_array ();
  for (; *list != NULL; list++)
    json_array_append_new (array, cli_json_text (*list));
  return array;
}

static json_t *
process_to_json (const ImgProcess *process)
{
  json_t *object = json_object ();
  json_t *fds = json_array ();

  json_object_set_new (object, "pid", json_integer (process->pid));
  json_object_set_new (object, "command", cli_json_text (process->command));
  json_object_set_new (object, "cmdline", strings (process->cmdline));
  json_object_set_new (object, "user", cli_json_text (process->user));
  json_object_set_new (object, "uid",
                       process->uid < 0 ? json_null () : json_integer (process->uid));
  if (process->start_time == 0)
    json_object_set_new (object, "start_time", json_null ());
  else
    {
      g_autoptr (GDateTime) start = g_date_time_new_from_unix_utc (process->start_time);
      g_autofree char *text = g_date_time_format (start, "%Y-%m-%dT%H:%M:%SZ");
      json_object_set_new (object, "start_time", json_string (text));
    }
  json_object_set_new (object, "vm_name", cli_json_text (process->vm_name));
  for (guint i = 0; i < process->fds->len; i++)
    json_array_append_new (fds, json_integer (g_array_index (process->fds, int, i)));
  json_object_set_new (object, "fds", fds);
  return object;
}

static json_t *
ranges_to_json (const GArray *ranges)
{
  json_t *array = json_array ();
  for (guint i = 0; i < ranges->len; i++)
    {
      const ImgLockRange *range = &g_array_index (ranges, ImgLockRange, i);
      json_t *object = json_object ();
      json_object_set_new (object, "type", json_string (range->is_write ? "write" : "read"));
      json_object_set_new (object, "start", json_integer ((json_int_t)range->start));
      json_object_set_new (object, "end",
                           range->end == IMG_RANGE_TO_EOF ? json_null ()
                                                          : json_integer ((json_int_t)range->end));
      json_array_append_new (array, object);
    }
  return array;
}

static const char *
kind_name (const ImgHolder *holder)
{
  static const char *const kernel_kinds[] = {
    [IMG_KERNEL_LOOP] = "loop", [IMG_KERNEL_MOUNT] = "mount", [IMG_KERNEL_DEVICE] = "device"
  };
  return holder->kind == IMG_HOLDER_LOCK     ? "lock"
         : holder->kind == IMG_HOLDER_OPENER ? "opener"
                                             : kernel_kinds[holder->kernel_kind];
}

static json_t *
mode_to_json (const ImgHolder *holder)
{
  if (!holder->knows_mode)
    return json_null ();
  return json_string (!holder->can_write ? "read-only"
                      : holder->can_read ? "read-write"
                                         : "write-only");
}

/* For which NFS clients this host's server holds it. */
static json_t *
nfs_clients_to_json (const GPtrArray *clients)
{
  json_t *array = json_array ();
  for (guint i = 0; clients != NULL && i < clients->len; i++)
    {
      const ImgNfsClient *client = clients->pdata[i];
      json_t *object = json_object ();
      json_object_set_new (object, "address", cli_json_text (client->address));
      json_object_set_new (object, "name", cli_json_text (client->name));
      json_array_append_new (array, object);
    }
  return array;
}

static json_t *
holder_to_json (const ImgHolder *holder)
{
  json_t *object = json_object ();
  json_t *processes = json_array ();
  gboolean has_style = holder->ranges->len > 0 && holder->held != IMG_HELD_FLOCK;

  json_object_set_new (object, "kind", json_string (kind_name (holder)));
  json_object_set_new (object, "lock", cli_json_text (cli_held_name (holder->held)));
  json_object_set_new (object, "style",
                       has_style ? json_string (img_dialect_name (holder->dialect)) : json_null ());
  json_object_set_new (object, "uses", permission_names (holder->uses));
  json_object_set_new (object, "forbids", permission_names (holder->forbids));
  json_object_set_new (object, "ranges", ranges_to_json (holder->ranges));
  json_object_set_new (object, "mode", mode_to_json (holder));
  for (guint i = 0; i < holder->processes->len; i++)
    json_array_append_new (processes, process_to_json (holder->processes->pdata[i]));
  json_object_set_new (object, "processes", processes);
  json_object_set_new (object, "device", cli_json_text (holder->device));
  json_object_set_new (object, "nfs_clients", nfs_clients_to_json (holder->nfs_clients));
  json_object_set_new (object, "identified", json_boolean (holder->is_identified));
  return object;
}

json_t *
cli_holders_to_json (const GPtrArray *holders)
{
  json_t *array = json_array ();
  for (guint i = 0; i < holders->len; i++)
    json_array_append_new (array, holder_to_json (holders->pdata[i]));
  return array;
}

static void
append_pids (json_t *pids, const ImgHolder *holder)
{
  for (guint i = 0; i < holder->processes->len; i++)
    json_array_append_new (pids,
                           json_integer (((const ImgProcess *)holder->processes->pdata[i])->pid));
}

static json_t *
verdicts_to_json (const ImgStatus *status)
{
  json_t *object = json_object ();
  for (guint use = 0; use < IMG_N_USES; use++)
    {
      const ImgVerdict *verdict = &status->verdicts[use];
      json_t *answer = json_object ();
      json_t *pids = json_array ();
      json_object_set_new (answer, "verdict", json_string (cli_verdict_name (verdict->kind)));
      json_object_set_new (answer, "reason", cli_json_text (verdict->reason));
      for (guint i = 0; i < verdict->by->len; i++)
        append_pids (pids, verdict->by->pdata[i]);
      json_object_set_new (answer, "pids", pids);
      json_object_set_new (object, img_use_name ((ImgUse)use), answer);
    }
  return object;
}

static json_t *
permissions_to_json (const ImgProbe *probe)
{
  json_t *array = json_array ();
  for (guint bit = 0; bit < IMG_PERM_BITS; bit++)
    {
      json_t *object = json_object ();
      json_object_set_new (object, "name", json_string (img_perm_name (bit)));
      json_object_set_new (object, "used",
                           json_boolean (probe != NULL && (probe->used & (1u << bit))));
      json_object_set_new (object, "forbidden",
                           json_boolean (probe != NULL && (probe->forbidden & (1u << bit))));
      json_array_append_new (array, object);
    }
  return array;
}

static json_t *
probes_to_json (const ImgProbe *probe)
{
  json_t *array = json_array ();
  if (probe != NULL && probe->asked_posix)
    json_array_append_new (array, json_string ("F_GETLK"));
  if (probe != NULL && probe->asked_ofd)
    json_array_append_new (array, json_string ("F_OFD_GETLK"));
  return array;
}

static const char *
answers_name (ImgAnswers answers)
{
  static const char *const names[] = {
    [IMG_ANSWERS_NONE] = NULL,
    [IMG_ANSWERS_KERNEL] = "kernel",
    [IMG_ANSWERS_SERVER] = "server",
    [IMG_ANSWERS_TRIED] = "server-tried",
    [IMG_ANSWERS_UNTRUSTED] = "server-untrusted",
  };
  return names[answers];
}

static json_t *
filesystem_to_json (const ImgFilesystem *fs)
{
  json_t *object = json_object ();
  json_object_set_new (object, "type", cli_json_text (fs->type));
  json_object_set_new (object, "kind", json_string (img_fs_kind_name (fs->kind)));
  json_object_set_new (object, "mount_options", cli_json_text (fs->options));
  json_object_set_new (object, "lock_reach", json_string (img_reach_name (fs->reach.kind)));
  return object;
}

/* Those of the queue that wait, or those that have a lease. */
static json_t *
queue_to_json (const GPtrArray *queue, gboolean leases)
{
  json_t *array = json_array ();
  for (guint i = 0; i < queue->len; i++)
    {
      const ImgQueued *queued = queue->pdata[i];
      json_t *object;
      if (queued->is_lease != leases)
        continue;
      object = json_object ();
      json_object_set_new (object, "type", json_string (queued->range.is_write ? "write" : "read"));
      if (!leases)
        {
          json_object_set_new (object, "lock", cli_json_text (cli_held_name (queued->held)));
          json_object_set_new (object, "start", json_integer ((json_int_t)queued->range.start));
          json_object_set_new (object, "end",
                               queued->range.end == IMG_RANGE_TO_EOF
                                   ? json_null ()
                                   : json_integer ((json_int_t)queued->range.end));
        }
      json_object_set_new (object, "process",
                           queued->process == NULL ? json_null ()
                                                   : process_to_json (queued->process));
      json_array_append_new (array, object);
    }
  return array;
}

json_t *
cli_status_to_json (const ImgStatus *status)
{
  g_autofree char *sentence = cli_status_sentence (status);
  json_t *object = json_object ();
  json_t *notes = json_array ();

  cli_json_set_filename (object, "filename", "filename_bytes", status->path);
  if (status->what != NULL)
    {
      json_object_set_new (object, "role", json_string (status->what));
      json_object_set_new (object, "named_by", cli_json_text (status->front));
    }
  json_object_set_new (object, "status", json_string (cli_state_name (status->state)));
  json_object_set_new (object, "summary", cli_json_text (sentence));
  if (status->error != NULL)
    json_object_set_new (object, "error", cli_json_text (status->error));
  json_object_set_new (object, "locking", json_string (img_locking_name (status->locking)));
  for (guint i = 0; i < status->notes->len; i++)
    json_array_append_new (notes, cli_json_text (status->notes->pdata[i]));
  json_object_set_new (object, "format", cli_json_text (status->format));
  json_object_set_new (object, "filesystem", filesystem_to_json (&status->filesystem));
  json_object_set_new (object, "probes", probes_to_json (status->probe));
  json_object_set_new (object, "answers", cli_json_text (answers_name (status->answers)));
  json_object_set_new (object, "permissions", permissions_to_json (status->probe));
  json_object_set_new (object, "holders", cli_holders_to_json (status->holders));
  json_object_set_new (object, "waiting", queue_to_json (status->queue, FALSE));
  json_object_set_new (object, "leases", queue_to_json (status->queue, TRUE));
  json_object_set_new (object, "uses", verdicts_to_json (status));
  json_object_set_new (object, "openers_scanned", json_boolean (status->openers_scanned));
  json_object_set_new (object, "openers_complete", json_boolean (status->openers_complete));
  json_object_set_new (object, "uninspected_processes", json_integer (status->n_uninspected));
  json_object_set_new (object, "no_writers_proven", json_boolean (status->no_writers_proven));
  json_object_set_new (object, "changed", json_boolean (status->has_changed));
  json_object_set_new (object, "notes", notes);
  return object;
}
