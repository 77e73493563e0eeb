/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `imgtool __complete`, hidden: what the shells' completions and the tests of the documents ask.
 *
 *   __complete -- WORD...           candidates for the last word, one a line; ":files" for file
 * names
 *   __complete --commands           the commands
 *   __complete --options COMMAND    its options: short TAB long=value TAB help */
#pragma once

#include <glib.h>

/* Answer @arguments (NULL-terminated) into @text; no answer is an empty one. */
void cli_complete (GString *text, const char *const *arguments);
