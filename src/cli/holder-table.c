/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/holder-table.h"

#include <libsmartcols.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/lock-status-print.h"

#define USUAL_COLUMNS "PID,COMMAND,VM,USES,FORBIDS,IMAGE"

/* What a row is about; holder and process may be NULL. */
typedef struct
{
  const char *path, *status;
  const ImgHolder *holder;
  const ImgProcess *process;
} Row;

typedef struct
{
  const char *name;
  int flags;
  char *(*value) (const Row *row); /* a new string, or NULL for "-" */
} Column;

struct CliHolderTable
{
  struct libscols_table *table; /* owned */
  GPtrArray *columns;           /* borrowed const Column */
};

static char *
image_of (const Row *row)
{
  return img_text_escape (row->path, -1);
}

static char *
status_of (const Row *row)
{
  return g_strdup (row->status);
}

static char *
pid_of (const Row *row)
{
  return row->process == NULL ? NULL : g_strdup_printf ("%d", (int)row->process->pid);
}

static char *
escaped (const char *text)
{
  return text == NULL ? NULL : img_text_escape (text, -1);
}

static char *
command_of (const Row *row)
{
  if (row->process != NULL)
    return escaped (row->process->command);
  return row->holder == NULL ? NULL : escaped (row->holder->device);
}

static char *
vm_of (const Row *row)
{
  return row->process == NULL ? NULL : escaped (row->process->vm_name);
}

static char *
user_of (const Row *row)
{
  if (row->process == NULL || row->process->uid < 0)
    return NULL;
  return row->process->user != NULL ? escaped (row->process->user)
                                    : g_strdup_printf ("%" G_GINT64_FORMAT, row->process->uid);
}

static char *
mode_of (const Row *row)
{
  if (row->holder == NULL || !row->holder->knows_mode)
    return NULL;
  return g_strconcat (row->holder->can_read ? "r" : "", row->holder->can_write ? "w" : "", NULL);
}

static char *
lock_of (const Row *row)
{
  return row->holder == NULL ? NULL : g_strdup (cli_held_name (row->holder->held));
}

static char *
style_of (const Row *row)
{
  if (row->holder == NULL || row->holder->ranges->len == 0 || row->holder->held == IMG_HELD_FLOCK)
    return NULL;
  return g_strdup (img_dialect_name (row->holder->dialect));
}

/* "read,write,resize": one word without blanks each. */
static char *
short_names (guint perms)
{
  GString *names = g_string_new (NULL);
  for (guint bit = 0; bit < IMG_PERM_BITS; bit++)
    if (perms & (1u << bit))
      {
        g_autofree char *word = bit == 0 ? g_strdup ("read")
                                         : g_strdelimit (g_strdup (img_perm_name (bit)), " ", '-');
        g_string_append_printf (names, "%s%s", names->len > 0 ? "," : "", word);
      }
  return g_string_free (names, names->len == 0);
}

static char *
uses_of (const Row *row)
{
  return row->holder == NULL ? NULL : short_names (row->holder->uses);
}

static char *
forbids_of (const Row *row)
{
  return row->holder == NULL ? NULL : short_names (row->holder->forbids);
}

static char *
ranges_of (const Row *row)
{
  return row->holder == NULL || row->holder->ranges->len == 0 ? NULL
                                                              : cli_ranges_text (row->holder, ",");
}

static char *
started_of (const Row *row)
{
  if (row->process == NULL || row->process->start_time == 0)
    return NULL;
  g_autoptr (GDateTime) start = g_date_time_new_from_unix_local (row->process->start_time);
  return g_date_time_format (start, "%Y-%m-%dT%H:%M:%S");
}

static char *
cmdline_of (const Row *row)
{
  return row->process == NULL || row->process->cmdline[0] == NULL
             ? NULL
             : img_text_command_line ((const char *const *)row->process->cmdline);
}

static const Column columns[] = {
  { "IMAGE", 0, image_of },
  { "STATUS", 0, status_of },
  { "PID", SCOLS_FL_RIGHT, pid_of },
  { "COMMAND", 0, command_of },
  { "VM", 0, vm_of },
  { "USER", 0, user_of },
  { "MODE", 0, mode_of },
  { "LOCK", 0, lock_of },
  { "STYLE", 0, style_of },
  { "USES", 0, uses_of },
  { "FORBIDS", 0, forbids_of },
  { "RANGES", 0, ranges_of },
  { "STARTED", 0, started_of },
  { "CMDLINE", SCOLS_FL_TRUNC, cmdline_of },
};

char *
cli_holder_table_columns (void)
{
  GString *names = g_string_new (NULL);
  for (guint i = 0; i < G_N_ELEMENTS (columns); i++)
    g_string_append_printf (names, "%s%s", i > 0 ? "," : "", columns[i].name);
  return g_string_free (names, FALSE);
}

static const Column *
find_column (const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (columns); i++)
    if (g_ascii_strcasecmp (columns[i].name, name) == 0)
      return &columns[i];
  return NULL;
}

/* The columns called for, or NULL with an error. */
static GPtrArray *
choose_columns (const char *list, GError **error)
{
  g_auto (GStrv) names = g_strsplit (*list == '\0' ? "," : list, ",", -1); /* "" is no column */
  g_autoptr (GPtrArray) chosen = g_ptr_array_new ();
  for (guint i = 0; names[i] != NULL; i++)
    {
      const Column *column = find_column (names[i]);
      if (column == NULL)
        {
          g_autofree char *safe = img_text_escape (names[i], -1);
          g_autofree char *all = cli_holder_table_columns ();
          return img_null_throw (error, IMG_ERROR_USAGE,
                                 "bad value '%s' for --columns: the columns are %s", safe, all);
        }
      g_ptr_array_add (chosen, (gpointer)(gsize)column);
    }
  return g_steal_pointer (&chosen);
}

CliHolderTable *
cli_holder_table_new (const char *list, gboolean with_headings, GError **error)
{
  g_autoptr (GPtrArray) chosen = choose_columns (list == NULL ? USUAL_COLUMNS : list, error);
  if (chosen == NULL)
    return NULL;
  CliHolderTable *table = g_new0 (CliHolderTable, 1);
  table->table = scols_new_table ();
  scols_table_enable_noheadings (table->table, !with_headings);
  for (guint i = 0; i < chosen->len; i++)
    {
      const Column *column = chosen->pdata[i];
      /* What is in the cells is escaped already. */
      scols_column_set_safechars (
          scols_table_new_column (table->table, column->name, 0, column->flags), "\\");
    }
  table->columns = g_steal_pointer (&chosen);
  return table;
}

static void
add_row (CliHolderTable *table, const Row *row)
{
  struct libscols_line *line = scols_table_new_line (table->table, NULL);
  for (guint i = 0; i < table->columns->len; i++)
    {
      const Column *column = table->columns->pdata[i];
      g_autofree char *value = column->value (row);
      scols_line_set_data (line, i, value == NULL || *value == '\0' ? "-" : value);
    }
}

void
cli_holder_table_add (CliHolderTable *table, const char *path, const char *status,
                      const GPtrArray *holders)
{
  Row row = { .path = path, .status = status };
  if (holders->len == 0)
    add_row (table, &row);
  for (guint i = 0; i < holders->len; i++)
    {
      row.holder = holders->pdata[i];
      row.process = NULL;
      if (row.holder->processes->len == 0)
        add_row (table, &row);
      for (guint k = 0; k < row.holder->processes->len; k++)
        {
          row.process = row.holder->processes->pdata[k];
          add_row (table, &row);
        }
    }
}

void
cli_host_image_add (const ImgHostImage *image, json_t *images, CliHolderTable *table)
{
  g_autofree char *path = image->path != NULL
                              ? g_strdup (image->path)
                              : g_strdup_printf ("device %02x:%02x, inode %" G_GUINT64_FORMAT,
                                                 image->major, image->minor, image->ino);
  if (images != NULL)
    {
      json_t *object = json_object ();
      cli_json_set_filename (object, "filename", "filename_bytes", path);
      json_object_set_new (object, "holders", cli_holders_to_json (image->holders));
      json_array_append_new (images, object);
    }
  if (table != NULL)
    cli_holder_table_add (table, path, "in-use", image->holders);
}

void
cli_holder_table_finish (CliHolderTable *table, GString *text)
{
  char *lines = NULL;
  if (!scols_table_is_empty (table->table)
      && scols_print_table_to_string (table->table, &lines) == 0 && lines != NULL)
    {
      g_auto (GStrv) list = g_strsplit (lines, "\n", -1);
      for (guint i = 0; list[i] != NULL; i++)
        if (list[i][0] != '\0')
          g_string_append_printf (text, "%s\n", g_strchomp (list[i]));
    }
  free (lines);
  scols_unref_table (table->table);
  g_ptr_array_unref (table->columns);
  g_free (table);
}
