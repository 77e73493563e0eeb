/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/terminal.h"

#include <libsmartcols.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/wrap.h"

/* Below this the last column would be of no use. */
#define NARROWEST 20

struct CliTable
{
  guint n_columns;
  GPtrArray *rows; /* owned Row */
  gboolean with_color;
};

typedef struct
{
  char **cells; /* owned; n_columns of them */
  CliTone tone; /* of the second cell */
} Row;

static void
row_free (gpointer data)
{
  Row *row = data;
  g_strfreev (row->cells);
  g_free (row);
}

gboolean
cli_color_is_wanted (CliColor choice)
{
  const char *no_color = g_getenv ("NO_COLOR");
  if (choice != CLI_COLOR_AUTO)
    return choice == CLI_COLOR_ALWAYS;
  return isatty (STDOUT_FILENO) && (no_color == NULL || *no_color == '\0')
         && g_strcmp0 (g_getenv ("TERM"), "dumb") != 0;
}

/* What libsmartcols calls them, and the terminal. */
static const char *const tone_names[] = { [CLI_TONE_PLAIN] = "reset",
                                          [CLI_TONE_GOOD] = "green",
                                          [CLI_TONE_BAD] = "red",
                                          [CLI_TONE_DOUBT] = "brown" };

char *
cli_colored (const char *text, CliTone tone, gboolean with_color)
{
  static const char *const codes[] = {
    [CLI_TONE_PLAIN] = "0", [CLI_TONE_GOOD] = "32", [CLI_TONE_BAD] = "31", [CLI_TONE_DOUBT] = "33"
  };
  return with_color ? g_strdup_printf ("\033[%sm%s\033[0m", codes[tone], text) : g_strdup (text);
}

CliTable *
cli_table_new (guint n_columns, gboolean with_color)
{
  CliTable *table = g_new0 (CliTable, 1);
  table->n_columns = n_columns;
  table->with_color = with_color;
  table->rows = g_ptr_array_new_with_free_func (row_free);
  return table;
}

void
cli_table_add (CliTable *table, const char *const *cells, CliTone tone)
{
  Row *row = g_new0 (Row, 1);
  row->tone = tone;
  row->cells = g_new0 (char *, table->n_columns + 1);
  for (guint i = 0; i < table->n_columns; i++)
    row->cells[i] = g_strdup (cells[i] == NULL ? "" : cells[i]);
  g_ptr_array_add (table->rows, row);
}

/* The terminal's width, or 0 where lines may be as long as they like. */
static guint
terminal_width (void)
{
  struct winsize size;
  if (!isatty (STDOUT_FILENO) || ioctl (STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
    return 0;
  return size.ws_col > 0 ? size.ws_col : 80;
}

/* What is left for the last column, or 0 for as much as it likes. libsmartcols would break inside
 * words, so that column comes to it broken already. */
static guint
width_of_last_column (const CliTable *table, guint indent)
{
  guint width = terminal_width (), used = indent;
  for (guint column = 0; column + 1 < table->n_columns; column++)
    {
      guint widest = 0;
      for (guint i = 0; i < table->rows->len; i++)
        {
          const Row *row = table->rows->pdata[i];
          widest = MAX (widest, cli_text_width (row->cells[column]));
        }
      used += widest + 2;
    }
  return width == 0 ? 0 : MAX (width, used + NARROWEST) - used;
}

static struct libscols_table *
new_smart_table (const CliTable *table)
{
  struct libscols_table *smart = scols_new_table ();
  scols_table_enable_noheadings (smart, 1);
  scols_table_set_column_separator (smart, "  ");
  for (guint i = 0; i < table->n_columns; i++)
    {
      struct libscols_column *column
          = scols_table_new_column (smart, "", 0, i + 1 == table->n_columns ? SCOLS_FL_WRAP : 0);
      scols_column_set_wrapfunc (column, scols_wrapnl_chunksize, scols_wrapnl_nextchunk, NULL);
      scols_column_set_safechars (column, "\n\\"); /* the cells are escaped already */
    }
  return smart;
}

/* The lines of the table, each ended by a newline. */
static char *
print_smart_table (const CliTable *table, guint last_width)
{
  struct libscols_table *smart = new_smart_table (table);
  char *lines = NULL;

  for (guint i = 0; i < table->rows->len; i++)
    {
      const Row *row = table->rows->pdata[i];
      struct libscols_line *line = scols_table_new_line (smart, NULL);
      for (guint column = 0; column < table->n_columns; column++)
        {
          gboolean is_last = column + 1 == table->n_columns;
          g_autofree char *cell = is_last && last_width > 0
                                      ? cli_wrap (row->cells[column], last_width)
                                      : g_strdup (row->cells[column]);
          scols_line_set_data (line, column, cell);
          if (column == 1 && row->tone != CLI_TONE_PLAIN)
            scols_cell_set_color (scols_line_get_cell (line, column), tone_names[row->tone]);
        }
    }
  scols_table_enable_colors (smart, table->with_color);
  scols_table_set_termforce (smart, SCOLS_TERMFORCE_NEVER); /* the widths are right already */
  if (scols_print_table_to_string (smart, &lines) != 0)
    lines = NULL;
  scols_unref_table (smart);
  return lines;
}

void
cli_table_finish (CliTable *table, GString *text)
{
  char *lines = print_smart_table (table, width_of_last_column (table, 2));
  g_auto (GStrv) list = g_strsplit (lines == NULL ? "" : lines, "\n", -1);

  for (guint i = 0; list[i] != NULL; i++)
    {
      g_strchomp (list[i]);
      if (list[i][0] != '\0')
        g_string_append_printf (text, "  %s\n", list[i]);
    }
  free (lines);
  g_ptr_array_unref (table->rows);
  g_free (table);
}
