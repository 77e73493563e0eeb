/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `imgtool __complete`, hidden: what the shells' completions and the tests of the documents ask.
 *
 *   __complete -- WORD...           candidates for the last word, one a line, each with all that
 *                                   was typed of the word: "--locking=on", "zlib,compat="
 *   __complete --commands           the commands
 *   __complete --options COMMAND    its options: short TAB long=value TAB help
 *
 * Among candidates may be the line ":files PREFIX", which stands for the names of all files, or
 * ":folders PREFIX". The name begins behind the PREFIX of the word, which may be empty; then there
 * is no blank either. */
#pragma once

#include <glib.h>

/* Answer @arguments (NULL-terminated) into @text; no answer is an empty one. */
void cli_complete (GString *text, const char *const *arguments);
