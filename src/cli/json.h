/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Helpers around jansson: text that need not be UTF-8, and the layout of our documents. */
#pragma once

#include <glib.h>
#include <jansson.h>

/* Before anything else: jansson has memory or the program ends, as with GLib. A document that lacks
 * what there was no memory for would look like an answer. */
void cli_json_init (void);

/* @bytes as a JSON string, U+FFFD in place of what is not UTF-8; null for NULL. A new reference. */
json_t *cli_json_text (const char *bytes);

/* Set @key of @object to the file name @path, and @bytes_key to its bytes in base64 if it is not
 * UTF-8. */
void cli_json_set_filename (json_t *object, const char *key, const char *bytes_key,
                            const char *path);

/* Append @root (whose reference is taken) as a document to @output. */
void cli_json_append (GString *output, json_t *root);
