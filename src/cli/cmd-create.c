/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* imgtool create: a new disk image that reads as zeros. */
#include <unistd.h>

#include "base/size.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/convert-print.h"
#include "cli/create-options.h"
#include "cli/output.h"
#include "cli/program-name.h"
#include "cli/progress.h"
#include "engine/convert.h"

typedef struct
{
  CliCommon common;
  char *create_options;                 /* owned; -o */
  const char *backing, *backing_format; /* -b, -F */
  gboolean is_unchecked;                /* -u */
  gboolean in_place, ignore_openers, is_not_flushed;
  gint64 lock_wait;
  const CliOption *unsupported; /* an option that no format here can follow, or NULL */
} Params;

static const CliOption options[] = {
  { 'f', "format", CLI_VALUE, "FMT", "the format of the image (default: raw)", cli_set_format,
    offsetof (Params, common.format), cli_target_format_choices },
  { 'o', "options", CLI_CREATE_LIST, "KEY=VALUE,...",
    "about the image: preallocation=full, cluster_size=SIZE ...; 'help' lists all", cli_add_list,
    offsetof (Params, create_options), NULL },
  { 0, "in-place", CLI_NO_VALUE, NULL,
    "empty an existing file instead of putting a new one in its place", cli_set_flag,
    offsetof (Params, in_place), NULL },
  { 0, "ignore-openers", CLI_NO_VALUE, NULL,
    "replace a file even while somebody without a lock may write to it", cli_set_flag,
    offsetof (Params, ignore_openers), NULL },
  { 0, "no-fsync", CLI_NO_VALUE, NULL, "do not wait until the image is on the disk", cli_set_flag,
    offsetof (Params, is_not_flushed), NULL },
  CLI_ROW_LOCKING (Params, common),
  { 0, "lock-wait", CLI_OPTIONAL_VALUE, "SECONDS",
    "wait for others to release the image, for ever or for SECONDS", cli_set_wait,
    offsetof (Params, lock_wait), NULL },
  CLI_ROW_SANDBOX,
  CLI_ROW_QUIET (Params, common, "print errors only"),
  CLI_ROW_VERBOSE (Params, common),
  { 'b', "backing", CLI_FILE, "FILE", "what is not in the image is in FILE: needs -F",
    cli_set_string, offsetof (Params, backing), NULL },
  { 'F', "backing-format", CLI_VALUE, "FMT", "the format of that file", cli_set_format,
    offsetof (Params, backing_format), cli_format_choices },
  { 'u', "backing-unsafe", CLI_NO_VALUE, NULL,
    "do not look at the backing file, which need not exist: needs SIZE", cli_set_flag,
    offsetof (Params, is_unchecked), NULL },
  { 0, "object", CLI_VALUE, "OBJECT", "not supported yet", cli_note_unsupported,
    offsetof (Params, unsupported), NULL },
  CLI_ROW_HELP (Params, common),
  { 0 },
};

static void
clear_params (gpointer data)
{
  Params *params = data;
  g_clear_pointer (&params->create_options, g_free);
}

/* The size, which stands behind the file or in -o, but once; or is that of the backing file. */
static gboolean
find_size (char **operands, ImgCreateOptions *create, GError **error)
{
  guint n = g_strv_length (operands);
  gboolean has_size = create->size != G_MAXUINT64;
  if (n == 0)
    return img_throw (error, IMG_ERROR_USAGE, "create: which image?");
  if (n > 2)
    {
      g_autofree char *safe = img_text_escape (operands[2], -1);
      return img_throw (error, IMG_ERROR_USAGE, "create: what is '%s'? It takes a file and a size",
                        safe);
    }
  if (n == 2 && has_size)
    return img_throw (error, IMG_ERROR_USAGE, "create: the size was given twice");
  if (n == 1)
    return has_size || create->backing_file != NULL
           || img_throw (error, IMG_ERROR_USAGE, "create: which size?");
  g_autofree char *safe = img_text_escape (operands[1], -1);
  return img_size_parse (operands[1], &create->size)
         || img_throw (error, IMG_ERROR_USAGE,
                       "bad size '%s': it must be a number of bytes below 8E, perhaps with k, M, "
                       "G, T, P or E behind it",
                       safe);
}

/* What the options say about the image, in the format of @target. */
static gboolean
take_options (const Params *params, char **operands, const char *format, ImgCreateOptions *create,
              GError **error)
{
  if (!cli_create_options_parse (params->create_options, format, TRUE, create, error)
      || !cli_create_options_add_backing (create, params->backing, params->backing_format, error)
      || !find_size (operands, create, error))
    return FALSE;
  if (params->is_unchecked && create->backing_file != NULL && create->size == G_MAXUINT64)
    return img_throw (error, IMG_ERROR_USAGE,
                      "create: which size? -u does not look at the backing file");
  return img_disk_check_options (format, create, create->size, error);
}

static int
create (const Params *params, const char *operand, ImgConvertParams *convert_params,
        GString *output, GError **error)
{
  g_auto (ImgConvertResult) result = { 0 };
  ImgCreateOptions *about = &convert_params->create;
  gboolean is_for_person = isatty (STDERR_FILENO) && !params->common.quiet && !cli_is_qemu_img ();
  CliProgress *progress
      = cli_progress_new (is_for_person ? CLI_PROGRESS_LINE : CLI_PROGRESS_NONE, -1);

  convert_params->copy.progress = cli_progress_hook (progress);
  gboolean is_done
      = img_create (&about->size, params->is_unchecked, convert_params, &result, error);
  gboolean is_told = cli_progress_finish (progress, is_done);
  cli_convert_warn (&result, params->common.quiet, params->common.verbose);
  if (!is_done || !is_told)
    return CLI_EXIT_FAILURE;
  if (!params->common.quiet)
    cli_create_options_append (output, operand, convert_params->target->format, about);
  return CLI_EXIT_OK;
}

static int
run (gpointer data, char **operands, GString *output, GError **error)
{
  const Params *params = data;
  g_auto (ImgCreateOptions) about = { 0 };
  g_auto (ImgImageSpec) target = { 0 };
  const char *format = params->common.format != NULL ? params->common.format : "raw";

  img_create_options_init (&about);
  if (!cli_check_target_format (format, error)
      || !cli_check_unsupported (params->unsupported, error))
    return CLI_EXIT_FAILURE;
  if (cli_create_options_want_help (params->create_options))
    {
      cli_create_options_append_help (output, format, TRUE);
      return CLI_EXIT_OK;
    }
  if (!take_options (params, operands, format, &about, error)
      || !cli_image_spec (&params->common, operands[0], &target, error))
    return CLI_EXIT_FAILURE;
  target.format = format;
  ImgConvertParams convert_params = { .in_place = params->in_place,
                                      .ignore_openers = params->ignore_openers,
                                      .is_durable = !params->is_not_flushed,
                                      .lock_wait = params->lock_wait,
                                      .target = &target,
                                      .create = about };
  return create (params, operands[0], &convert_params, output, error);
}

const CliCommand cli_cmd_create = {
  .name = "create",
  .summary = "Make a new disk image that reads as zeros",
  .operands = "FILE [SIZE]",
  .options = options,
  .params_size = sizeof (Params),
  .clear_params = clear_params,
  .takes_no_operands = TRUE, /* with -o help */
  .usage_status = CLI_EXIT_FAILURE,
  .run = run,
};
