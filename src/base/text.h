/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text that comes from outside: an image, a file name, another process.
 *
 * Nothing of the kind reaches a terminal or a message except through img_text_escape(). */
#pragma once

#include <glib.h>

/* @bytes as printable UTF-8 on one line: control characters (C0, C1, DEL), line and paragraph
 * separators, bidirectional controls, unassigned code points and bytes that are not UTF-8 become
 * \n, \t, \xNN or \u{NNNN}; a backslash is doubled, so that the text stays unambiguous. @length is
 * in bytes, or -1 for a NUL-terminated string. Returns a new string. */
char *img_text_escape (const char *bytes, gssize length);

/* @text as it is, if it is made of lines that went through the above already, and without what
 * could harm if somebody only says so. Returns a new string. */
char *img_text_escape_again (const char *text);

/* @argv (NULL-terminated) as one line, quoted as for a POSIX shell, then escaped as above.
 * Returns a new string. */
char *img_text_command_line (const char *const *argv);

/* @bytes with U+FFFD in place of what is not UTF-8, for JSON. Returns a new string. */
char *img_text_to_utf8 (const char *bytes);
