/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Running somebody else's command and standing in for it towards those who send signals. */
#pragma once

#include "base/error.h"

/* Ignore what this program reports as an error instead of being killed by it; the command gets back
 * what was there before. */
void cli_ignore_signals (void);
/* What was there before, for a program that takes this one's place. */
void cli_restore_signals (void);

/* Start @argv with the signals as this program was started with, pass signals on to it and wait for
 * its end. Returns its exit status, 128 + N if signal N ended it, 126 or 127 if it could not be run
 * or was not found (as env(1); said in @error), 125 if no process could be made. */
G_GNUC_WARN_UNUSED_RESULT
int cli_run_command (char *const *argv, GError **error);
