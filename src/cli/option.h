/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One table of options per command drives parsing, --help, completion and the check against the
 * man page. A row says where in the command's parameters its value goes. */
#pragma once

#include <stddef.h>

#include "base/error.h"

/* Whether there is a value; the kinds below CLI_VALUE are values, too, about which completion knows
 * more than the choices say. */
typedef enum
{
  CLI_NO_VALUE,
  CLI_OPTIONAL_VALUE, /* long form only, --name=VALUE */
  CLI_VALUE,
  CLI_FILE,
  CLI_FOLDER,
  CLI_CREATE_LIST,     /* KEY=VALUE,... about a new image */
  CLI_COLUMN_LIST,     /* of lock-status' table */
  CLI_DIGEST_LIST,     /* of digests */
  CLI_PERMISSION_LIST, /* of permissions */
} CliValueKind;

/* A word and the number it stands for; tables end with a NULL name. */
typedef struct
{
  const char *name;
  int value;
} CliChoice;

typedef struct CliOption CliOption;
struct CliOption
{
  char short_name; /* or 0 */
  const char *long_name;
  CliValueKind value;
  const char *value_name; /* "SECONDS"; NULL with choices, whose names are shown */
  const char *help;
  gboolean (*set) (const CliOption *option, const char *value, gpointer field, GError **error);
  gsize offset;             /* of the field in the command's parameters */
  const CliChoice *choices; /* what @set and completion know, or NULL */
};

/* Setters: gboolean, int (from choices), const char * (borrowed from argv), gint64 from 0 to 255 or
 * a descriptor's number, gint64 microseconds (of an optional number of seconds; none means for
 * ever), guint64 bytes (of a size such as 1.5G), char * (owned: a list in QEMU's spelling to which
 * each use of the option adds), nothing (an option that has no effect).
 */
gboolean cli_set_flag (const CliOption *, const char *value, gpointer field, GError **error);
gboolean cli_set_choice (const CliOption *, const char *value, gpointer field, GError **error);
gboolean cli_set_string (const CliOption *, const char *value, gpointer field, GError **error);
gboolean cli_set_number (const CliOption *, const char *value, gpointer field, GError **error);
gboolean cli_set_wait (const CliOption *, const char *value, gpointer field, GError **error);
gboolean cli_set_size (const CliOption *, const char *value, gpointer field, GError **error);
gboolean cli_add_list (const CliOption *, const char *value, gpointer field, GError **error);
gboolean cli_set_nothing (const CliOption *, const char *value, gpointer field, GError **error);

/* Whether the option is not complete without a value. */
gboolean cli_option_needs_value (const CliOption *option);

/* "on|off|auto|posix", "SECONDS" or NULL: what is shown as the value. Returns a new string. */
char *cli_option_value_name (const CliOption *option);

/* Parse @argv (of which argv[0] is not looked at) by @options (ended by a row without a
 * long name) into @params; *@operands is a new NULL-terminated array of borrowed strings. Errors:
 * IMG_ERROR_USAGE. */
G_GNUC_WARN_UNUSED_RESULT
gboolean cli_parse (int argc, char **argv, const CliOption *options, gpointer params,
                    char ***operands, GError **error);

/* The help lines of @options, wrapped at 80 columns. */
void cli_append_option_help (GString *text, const CliOption *options);
