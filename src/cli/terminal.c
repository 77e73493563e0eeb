/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/terminal.h"

#include <libsmartcols.h>
#include <stdlib.h>
#include <unistd.h>

struct CliTable
{
  struct libscols_table *table; /* owned */
  guint n_columns;
};

gboolean
cli_color_is_wanted (CliColor choice)
{
  const char *no_color = g_getenv ("NO_COLOR");
  if (choice != CLI_COLOR_AUTO)
    return choice == CLI_COLOR_ALWAYS;
  return isatty (STDOUT_FILENO) && (no_color == NULL || *no_color == '\0')
         && g_strcmp0 (g_getenv ("TERM"), "dumb") != 0;
}

char *
cli_colored (const char *text, CliTone tone, gboolean with_color)
{
  static const char *const codes[]
      = { [CLI_TONE_GOOD] = "32", [CLI_TONE_BAD] = "31", [CLI_TONE_DOUBT] = "33" };
  return with_color ? g_strdup_printf ("\033[%sm%s\033[0m", codes[tone], text) : g_strdup (text);
}

CliTable *
cli_table_new (guint n_columns)
{
  CliTable *table = g_new0 (CliTable, 1);
  table->table = scols_new_table ();
  table->n_columns = n_columns;
  scols_table_enable_noheadings (table->table, 1);
  scols_table_set_column_separator (table->table, "  ");
  for (guint i = 0; i < n_columns; i++)
    scols_table_new_column (table->table, "", 0, i + 1 == n_columns ? SCOLS_FL_WRAP : 0);
  return table;
}

void
cli_table_add (CliTable *table, const char *const *cells)
{
  struct libscols_line *line = scols_table_new_line (table->table, NULL);
  for (guint i = 0; i < table->n_columns; i++)
    scols_line_set_data (line, i, cells[i] == NULL ? "" : cells[i]);
}

void
cli_table_finish (CliTable *table, GString *text)
{
  char *lines = NULL;
  size_t width = scols_table_get_termwidth (table->table);

  if (width > 2)
    scols_table_set_termwidth (table->table, width - 2); /* the indent */
  if (scols_print_table_to_string (table->table, &lines) == 0 && lines != NULL)
    {
      g_auto (GStrv) list = g_strsplit (lines, "\n", -1);
      for (guint i = 0; list[i] != NULL; i++)
        {
          g_strchomp (list[i]);
          if (list[i][0] != '\0')
            g_string_append_printf (text, "  %s\n", list[i]);
        }
    }
  free (lines);
  scols_unref_table (table->table);
  g_free (table);
}
