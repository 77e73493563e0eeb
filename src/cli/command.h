/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a command is, and the options that all commands share.
 *
 * A command is one file, cmd-NAME.c: its parameters, its rows of options, an operand check, one
 * engine call and one print. Output goes into a buffer that main() writes when the command is done,
 * so that a failure in between leaves no half answer. */
#pragma once

#include "cli/option.h"
#include "engine/image-spec.h"
#include "engine/open.h"

/* Exit statuses, which are interface: the table in imgtool(1). */
enum
{
  CLI_EXIT_OK = 0,
  CLI_EXIT_FAILURE = 1,
  CLI_EXIT_IN_USE = 1,         /* lock-status */
  CLI_EXIT_UNSAFE = 2,         /* info --untrusted */
  CLI_EXIT_UNKNOWN = 2,        /* lock-status: could not be determined, or usage */
  CLI_EXIT_CORRUPT = 2,        /* check: errors remain */
  CLI_EXIT_LEAKS = 3,          /* check: nothing worse than leaked clusters */
  CLI_EXIT_SALVAGED = 4,       /* convert: done, but for what could not be read */
  CLI_EXIT_UNSUPPORTED = 63,   /* check: the format has none, as qemu-img */
  CLI_EXIT_LOCK_LOST = 123,    /* lock: it was lost while the command ran */
  CLI_EXIT_NOT_GRANTED = 124,  /* lock: somebody else's lock is in the way */
  CLI_EXIT_LOCK_FAILED = 125,  /* lock: imgtool itself failed, or usage */
  CLI_EXIT_NOT_RUNNABLE = 126, /* lock: the command cannot be run */
  CLI_EXIT_NOT_FOUND = 127,    /* lock: there is no such command */
};

/* Parameters of every command that opens images; the first member of the command's own. */
typedef struct
{
  gboolean help;
  gboolean verbose, quiet;
  int json; /* --output */
  int locking;
  const char *format;
  gboolean image_opts;
} CliCommon;

/* What the operand @operand stands for, with --image-opts or without; @spec is to be cleared. */
G_GNUC_WARN_UNUSED_RESULT
gboolean cli_image_spec (const CliCommon *common, const char *operand, ImgImageSpec *spec,
                         GError **error);

typedef struct
{
  const char *name;
  const char *summary;  /* a line */
  const char *operands; /* for the usage line */
  const CliOption *options;
  gsize params_size;               /* of a struct that begins with a CliCommon */
  gpointer (*new_params) (void);   /* with defaults; or NULL: zeroed */
  void (*clear_params) (gpointer); /* frees what its parameters own; or NULL */
  gboolean takes_no_operands;      /* it may be called without any */
  gboolean is_not_of_qemu_img;     /* called as qemu-img, the program does not have it */
  gsize command_offset; /* where a char ** gets the words behind "--", for a command that runs
                           another; or 0 */
  int usage_status;     /* exit status for bad options, and when the output cannot be written */
  /* Do it; text for stdout goes into @output. Returns the exit status; errors of single images are
   * printed on the way (cli_print_error), that in @error by main(), which ends with the status all
   * the same; for IMG_ERROR_USAGE with usage_status. */
  int (*run) (gpointer params, char **operands, GString *output, GError **error);
} CliCommand;

extern const CliCommand *const cli_commands[]; /* ended by NULL */
extern const CliCommand cli_cmd_check, cli_cmd_convert, cli_cmd_create, cli_cmd_info, cli_cmd_lock,
    cli_cmd_lock_status;

/* By the name; NULL if the program, called as it was, has no such command. */
const CliCommand *cli_command_find (const char *name);

/* Choices used in several tables. */
extern const CliChoice cli_output_choices[], cli_locking_choices[], cli_format_choices[],
    cli_cache_choices[], cli_target_format_choices[];

gboolean cli_set_format (const CliOption *, const char *value, gpointer field, GError **error);
gboolean cli_disable_sandbox (const CliOption *, const char *value, gpointer field, GError **error);

/* Whether images of @format (or NULL) can be read, or written; IMG_ERROR_UNSUPPORTED. */
G_GNUC_WARN_UNUSED_RESULT
gboolean cli_check_format (const char *format, GError **error);
G_GNUC_WARN_UNUSED_RESULT
gboolean cli_check_target_format (const char *format, GError **error);

/* Options of qemu-img that no format here can follow: the setter notes the first of them as a
 * borrowed const CliOption *, and the check (NULL is fine) says what is missing, once it is known
 * that the formats themselves are no problem. */
gboolean cli_note_unsupported (const CliOption *, const char *value, gpointer field,
                               GError **error);
G_GNUC_WARN_UNUSED_RESULT
gboolean cli_check_unsupported (const CliOption *option, GError **error);

/* The rows for the members of CliCommon; T is the command's parameters, c the member. */
#define CLI_ROW_HELP(T, c)                                                                      \
  {                                                                                             \
    'h', "help", CLI_NO_VALUE, NULL, "show this help", cli_set_flag, offsetof (T, c.help), NULL \
  }
#define CLI_ROW_VERBOSE(T, c)                                                                   \
  {                                                                                             \
    'v', "verbose", CLI_NO_VALUE, NULL, "say more", cli_set_flag, offsetof (T, c.verbose), NULL \
  }
#define CLI_ROW_QUIET(T, c, what)                                                     \
  {                                                                                   \
    'q', "quiet", CLI_NO_VALUE, NULL, what, cli_set_flag, offsetof (T, c.quiet), NULL \
  }
#define CLI_ROW_OUTPUT(T, c)                                                                    \
  {                                                                                             \
    0, "output", CLI_VALUE, NULL, "print for people (default) or for programs", cli_set_choice, \
        offsetof (T, c.json), cli_output_choices                                                \
  }
#define CLI_ROW_LOCKING(T, c)                                                                  \
  {                                                                                            \
    0, "locking", CLI_VALUE, NULL,                                                             \
        "which locks to use: auto (default): OFD locks if there are any; on: OFD locks, else " \
        "POSIX locks; posix: POSIX locks; off: none",                                          \
        cli_set_choice, offsetof (T, c.locking), cli_locking_choices                           \
  }
#define CLI_ROW_FORMAT(T, c)                                                            \
  {                                                                                     \
    'f', "format", CLI_VALUE, "FMT", "treat the image as FMT instead of looking at it", \
        cli_set_format, offsetof (T, c.format), cli_format_choices                      \
  }
#define CLI_ROW_IMAGE_OPTS(T, c)                                                        \
  {                                                                                     \
    0, "image-opts", CLI_NO_VALUE, NULL,                                                \
        "an image is named as for QEMU: driver=...,file.filename=...,file.locking=...", \
        cli_set_flag, offsetof (T, c.image_opts), NULL                                  \
  }

#define CLI_ROW_SANDBOX                                                                       \
  {                                                                                           \
    0, "no-sandbox", CLI_NO_VALUE, NULL,                                                      \
        "read images in this process, with all its rights, instead of one that is locked in", \
        cli_disable_sandbox, 0, NULL                                                          \
  }

/* The rows for an ImgGatePolicy: what the files may be that an image names. T is the command's
 * parameters, p the member. */
#define CLI_GATE_ROWS(T, p)                                                                \
  { 0,                                                                                     \
    "allow-devices",                                                                       \
    CLI_NO_VALUE,                                                                          \
    NULL,                                                                                  \
    "an image may name block devices",                                                     \
    cli_set_flag,                                                                          \
    offsetof (T, p.allow_devices),                                                         \
    NULL },                                                                                \
      { 0,                                                                                 \
        "allow-data-file",                                                                 \
        CLI_NO_VALUE,                                                                      \
        NULL,                                                                              \
        "an image may name a data file outside its own folder",                            \
        cli_set_flag,                                                                      \
        offsetof (T, p.allow_data_file),                                                   \
        NULL },                                                                            \
  {                                                                                        \
    0, "chain-under", CLI_FOLDER, "DIR", "an image may name only what is in DIR or below", \
        cli_set_string, offsetof (T, p.chain_under), NULL                                  \
  }

/* The rows that say how far an image is trusted, of the same. */
#define CLI_TRUST_ROWS(T, p)                                                                    \
  { 0,                                                                                          \
    "untrusted",                                                                                \
    CLI_NO_VALUE,                                                                               \
    NULL,                                                                                       \
    "the image is a stranger's: no other files, no second format, only known features",         \
    cli_set_flag,                                                                               \
    offsetof (T, p.is_untrusted),                                                               \
    NULL },                                                                                     \
  {                                                                                             \
    0, "max-size", CLI_VALUE, "SIZE",                                                           \
        "refuse a disk that is larger (with --untrusted: 1T if nothing is said)", cli_set_size, \
        offsetof (T, p.max_size), NULL                                                          \
  }

/* What the commands share that open images for reading only. */
typedef struct
{
  CliCommon common;
  gboolean force_share;
  gint64 lock_wait;
} CliReadParams;

ImgOpenParams cli_open_params (const CliReadParams *params, const ImgImageSpec *spec);

#define CLI_READ_ROWS(about_sharing, about_quiet)                                     \
  CLI_ROW_FORMAT (CliReadParams, common), CLI_ROW_IMAGE_OPTS (CliReadParams, common), \
      CLI_ROW_OUTPUT (CliReadParams, common),                                         \
      { 'U',                                                                          \
        "force-share",                                                                \
        CLI_NO_VALUE,                                                                 \
        NULL,                                                                         \
        about_sharing,                                                                \
        cli_set_flag,                                                                 \
        offsetof (CliReadParams, force_share),                                        \
        NULL },                                                                       \
      CLI_ROW_LOCKING (CliReadParams, common),                                        \
      { 0,                                                                            \
        "lock-wait",                                                                  \
        CLI_OPTIONAL_VALUE,                                                           \
        "SECONDS",                                                                    \
        "wait for others to release the image, for ever or for SECONDS",              \
        cli_set_wait,                                                                 \
        offsetof (CliReadParams, lock_wait),                                          \
        NULL },                                                                       \
      CLI_ROW_SANDBOX, CLI_ROW_QUIET (CliReadParams, common, about_quiet),            \
      CLI_ROW_VERBOSE (CliReadParams, common), CLI_ROW_HELP (CliReadParams, common)
