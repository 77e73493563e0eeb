/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where words leave the program. */
#pragma once

#include "base/error.h"

struct libscols_table;

/* "imgtool: MESSAGE" on stderr (or the name it was called by); a message of several lines has the
 * prefix on the first only. */
void cli_print_error (const GError *error);
void cli_print_warning (const char *text);
void cli_print_remark (const char *text);

/* Write @text to stdout, all of it. FALSE, said on stderr, if that fails. */
G_GNUC_WARN_UNUSED_RESULT
gboolean cli_write_stdout (const GString *text);

/* Write @text to stderr as it is. */
void cli_write_stderr (const GString *text);

/* Make sure that descriptors 0 to 2 are taken: a closed stdout must not become an image. Writing to
 * one that was closed fails. */
void cli_secure_stdio (void);
