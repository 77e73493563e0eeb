/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How far a long command has come, shown in one of the ways people and programs want it. */
#pragma once

#include "engine/progress.h"

typedef enum
{
  CLI_PROGRESS_NONE,
  CLI_PROGRESS_PERCENT, /* qemu-img's on stdout, and nothing else: "    (12.34/100%)\r" */
  CLI_PROGRESS_JSON,    /* an object per line on a descriptor of the caller's */
  CLI_PROGRESS_LINE,    /* for a person: one line on the terminal that is stderr */
} CliProgressKind;

typedef struct CliProgress CliProgress;

/* Begin to show; from now on SIGUSR1 asks for a line on stderr, whatever the kind. There can be one
 * at a time. @fd is for CLI_PROGRESS_JSON, and stays the caller's. */
CliProgress *cli_progress_new (CliProgressKind kind, int fd);

/* What the engine calls. Borrows @progress. */
ImgProgress cli_progress_hook (CliProgress *progress);

/* The work is over; say so if it @has_succeeded, take the line off the terminal, and free
 * @progress. FALSE, said on stderr, if the percentage could not be written to stdout. */
G_GNUC_WARN_UNUSED_RESULT
gboolean cli_progress_finish (CliProgress *progress, gboolean has_succeeded);

/* "copy: 1.2 GiB of 4 GiB (30%), 570 MiB/s, 0:05 left", or as much of it as is known. @rate is in
 * bytes a second, 0 where there is none yet. Returns a new string. */
char *cli_progress_line (const ImgProgressState *state, double rate);
