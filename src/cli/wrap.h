/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Breaking text at blanks. */
#pragma once

#include <glib.h>

/* @text (UTF-8, one line) in lines of at most @width columns, joined by newlines; a word that is
 * longer than a line is cut. Returns a new string. */
char *cli_wrap (const char *text, guint width);

/* How many columns @text takes on a terminal. */
guint cli_text_width (const char *text);
