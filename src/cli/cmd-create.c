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
  char *create_options; /* owned; -o */
  gboolean in_place, ignore_openers, is_not_flushed;
  gint64 lock_wait;
  const CliOption *unsupported; /* an option that raw has no use for, or NULL */
} Params;

static const CliOption options[] = {
  { 'f', "format", CLI_VALUE, "FMT", "the format of the image (default: raw)", cli_set_format,
    offsetof (Params, common.format), cli_target_format_choices },
  { 'o', "options", CLI_VALUE, "KEY=VALUE,...",
    "about the image: preallocation=off, falloc or full, size=SIZE; 'help' lists all", cli_add_list,
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
  CLI_ROW_QUIET (Params, common, "print errors only"),
  CLI_ROW_VERBOSE (Params, common),
  { 'b', "backing", CLI_VALUE, "FILE", "not for raw", cli_note_unsupported,
    offsetof (Params, unsupported), NULL },
  { 'F', "backing-format", CLI_VALUE, "FMT", "not for raw", cli_note_unsupported,
    offsetof (Params, unsupported), NULL },
  { 'u', "backing-unsafe", CLI_NO_VALUE, NULL, "no effect: raw has no backing file",
    cli_set_nothing, 0, NULL },
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

/* The size, which stands behind the file or in -o, but once. */
static gboolean
find_size (char **operands, const CliCreateOptions *create, guint64 *size, GError **error)
{
  guint n = g_strv_length (operands);
  if (n == 0)
    return img_throw (error, IMG_ERROR_USAGE, "create: which image?");
  if (n > 2)
    {
      g_autofree char *safe = img_text_escape (operands[2], -1);
      return img_throw (error, IMG_ERROR_USAGE, "create: what is '%s'? It takes a file and a size",
                        safe);
    }
  if ((n == 2) == create->has_size)
    return img_throw (error, IMG_ERROR_USAGE,
                      n == 2 ? "create: the size was given twice" : "create: which size?");
  *size = create->size;
  if (n == 1)
    return TRUE;
  g_autofree char *safe = img_text_escape (operands[1], -1);
  return img_size_parse (operands[1], size)
         || img_throw (error, IMG_ERROR_USAGE,
                       "bad size '%s': it must be a number of bytes, perhaps with k, M, G, T, P or "
                       "E behind it",
                       safe);
}

static void
append_message (GString *output, const char *operand, guint64 size, const CliCreateOptions *create)
{
  g_autofree char *safe = img_text_escape (operand, -1);
  g_string_append_printf (output, "Formatting '%s', fmt=raw size=%" G_GUINT64_FORMAT, safe, size);
  if (create->has_preallocation)
    g_string_append_printf (output, " preallocation=%s",
                            cli_preallocation_name (create->preallocation));
  g_string_append_c (output, '\n');
}

static int
run (gpointer data, char **operands, GString *output, GError **error)
{
  const Params *params = data;
  CliCreateOptions create = { 0 };
  g_auto (ImgImageSpec) target = { 0 };
  g_auto (ImgConvertResult) result = { 0 };
  ImgConvertParams convert_params = { .in_place = params->in_place,
                                      .ignore_openers = params->ignore_openers,
                                      .is_durable = !params->is_not_flushed,
                                      .lock_wait = params->lock_wait,
                                      .target = &target };
  guint64 size = 0;

  if (!cli_check_target_format (params->common.format, error)
      || !cli_check_unsupported (params->unsupported, error))
    return CLI_EXIT_FAILURE;
  if (cli_create_options_want_help (params->create_options))
    {
      cli_create_options_append_help (output, TRUE);
      return CLI_EXIT_OK;
    }
  if (!cli_create_options_parse (params->create_options, TRUE, &create, error)
      || !find_size (operands, &create, &size, error)
      || !cli_image_spec (&params->common, operands[0], &target, error)
      || !cli_check_target_format (target.format, error))
    return CLI_EXIT_FAILURE;
  gboolean is_for_person = isatty (STDERR_FILENO) && !params->common.quiet && !cli_is_qemu_img ();
  if (target.format == NULL)
    target.format = "raw";
  CliProgress *progress
      = cli_progress_new (is_for_person ? CLI_PROGRESS_LINE : CLI_PROGRESS_NONE, -1);
  convert_params.copy.progress = cli_progress_hook (progress);
  convert_params.preallocation = create.preallocation;
  gboolean is_done = img_create (size, &convert_params, &result, error);
  gboolean is_told = cli_progress_finish (progress, is_done);
  cli_convert_warn (&result, params->common.quiet, params->common.verbose);
  if (!is_done || !is_told)
    return CLI_EXIT_FAILURE;
  if (!params->common.quiet)
    append_message (output, operands[0], size, &create);
  return CLI_EXIT_OK;
}

const CliCommand cli_cmd_create = {
  .name = "create",
  .summary = "Make a new disk image that reads as zeros",
  .operands = "FILE SIZE",
  .options = options,
  .params_size = sizeof (Params),
  .clear_params = clear_params,
  .takes_no_operands = TRUE, /* with -o help */
  .usage_status = CLI_EXIT_FAILURE,
  .run = run,
};
