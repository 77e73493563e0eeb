/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Holders as rows of a table with chosen columns, as lsblk(8) and lslocks(8) users expect. */
#pragma once

#include "cli/command.h"
#include "cli/json.h"
#include "engine/host-status.h"

typedef struct CliHolderTable CliHolderTable;

/* A table with the columns of @list ("PID,VM"), or the usual ones if it is NULL. NULL with
 * IMG_ERROR_USAGE if there is no such column. */
G_GNUC_WARN_UNUSED_RESULT
CliHolderTable *cli_holder_table_new (const char *list, gboolean with_headings, GError **error);

/* A row for each process of each holder of the image @path, or one row if there are none. */
void cli_holder_table_add (CliHolderTable *table, const char *path, const char *status,
                           const GPtrArray *holders);

/* An image of the host, as a JSON object in @images or as rows of @table; either may be NULL. */
void cli_host_image_add (const ImgHostImage *image, json_t *images, CliHolderTable *table);

/* Append the lines to @text, and free @table. */
void cli_holder_table_finish (CliHolderTable *table, GString *text);

/* The names of all columns, joined by commas; a new string. */
char *cli_holder_table_columns (void);
