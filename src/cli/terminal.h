/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tables and colour for people. */
#pragma once

#include <glib.h>

typedef enum
{
  CLI_COLOR_AUTO,
  CLI_COLOR_ALWAYS,
  CLI_COLOR_NEVER,
} CliColor;

/* Whether to use colour on stdout: not with NO_COLOR set (no-color.org), unless asked for. */
gboolean cli_color_is_wanted (CliColor choice);

/* @text in the colour for good, bad or doubtful news, or as it is. Returns a new string. */
typedef enum
{
  CLI_TONE_PLAIN,
  CLI_TONE_GOOD,
  CLI_TONE_BAD,
  CLI_TONE_DOUBT,
} CliTone;
char *cli_colored (const char *text, CliTone tone, gboolean with_color);

/* A table without headings, indented by two blanks. On a terminal its last column is broken at
 * blanks to fit; elsewhere lines are as long as they are, for grep. */
typedef struct CliTable CliTable;
CliTable *cli_table_new (guint n_columns, gboolean with_color);
/* @tone is that of the second cell. */
void cli_table_add (CliTable *table, const char *const *cells, CliTone tone);
/* Append the lines to @text and free @table. */
void cli_table_finish (CliTable *table, GString *text);
