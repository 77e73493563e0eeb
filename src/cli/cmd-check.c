/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* imgtool check: verify an image's metadata. Raw images have none. */
#include <unistd.h>

#include "base/text.h"
#include "cli/check-print.h"
#include "cli/command.h"
#include "cli/info-print.h"
#include "cli/output.h"
#include "cli/program-name.h"
#include "cli/progress.h"

typedef struct
{
  CliReadParams read;
  gboolean with_repair;
  int ignored;
  const CliOption *unsupported; /* an option that no format here can follow, or NULL */
} Params;

static gboolean
set_repair (const CliOption *option, const char *value, gpointer field, GError **error)
{
  int which;
  *(gboolean *)field = TRUE;
  return cli_set_choice (option, value, &which, error);
}

static const CliChoice repair_choices[] = { { "leaks", 0 }, { "all", 1 }, { NULL, 0 } };

static const CliOption options[] = {
  { 'r', "repair", CLI_VALUE, NULL, "repair what is found (a raw image needs no repair)",
    set_repair, offsetof (Params, with_repair), repair_choices },
  { 'T', "cache", CLI_VALUE, NULL, "no effect on what is checked", cli_set_choice,
    offsetof (Params, ignored), cli_cache_choices },
  { 0, "object", CLI_VALUE, "OBJECT", "not supported yet", cli_note_unsupported,
    offsetof (Params, unsupported), NULL },
  CLI_READ_ROWS ("do not mind others who write; what is found may be wrong", "print errors only"),
  { 0 },
};

/* As qemu-img: nothing on stdout for a format without a check; but a disk that was cut short is
 * worth an object of its own. */
static void
report_truncated (const ImgInfo *info, json_t *images)
{
  json_t *object = json_object ();
  cli_json_set_filename (object, "filename", "filename-bytes", info->path);
  json_object_set_new (object, "format", json_string (info->format));
  json_object_set_new (object, "check-errors", json_integer (0));
  json_object_set_new (object, "content", cli_content_to_json (&info->content));
  json_array_append_new (images, object);
}

/* Raw images have nothing to check, but perhaps a partition table. */
static int
check_raw (const ImgImageSpec *spec, const Params *params, json_t *images)
{
  ImgOpenParams open_params = cli_open_params (&params->read, spec);
  g_autofree char *safe = img_text_escape (spec->path, -1);
  g_autoptr (GError) error = NULL;
  g_autoptr (ImgInfo) info = img_info_new (spec->path, IMG_USE_CHECK, &open_params, &error);

  if (info == NULL)
    {
      cli_print_error (error);
      return CLI_EXIT_FAILURE;
    }
  if (!params->read.common.quiet)
    cli_info_warn (info, params->read.common.verbose);
  if (info->content.is_truncated && images != NULL)
    report_truncated (info, images);
  g_autofree char *text = g_strdup_printf ("'%s': This image format does not support checks", safe);
  cli_print_remark (text);
  return CLI_EXIT_UNSUPPORTED;
}

static int
status_of (const ImgCheckResult *result)
{
  return result->errors > 0                          ? CLI_EXIT_FAILURE
         : result->corruptions > 0                   ? CLI_EXIT_CORRUPT
         : result->leaks > 0 || result->past_end > 0 ? CLI_EXIT_LEAKS
                                                     : CLI_EXIT_OK;
}

static void
report (const ImgCheckReport *found, const Params *params, gboolean is_one_of_many, GString *output,
        json_t *images)
{
  if (params->read.common.quiet)
    return;
  if (found->warning != NULL && !(cli_is_qemu_img () && !params->read.common.verbose))
    cli_print_warning (found->warning);
  if (found->remark != NULL && params->read.common.verbose)
    cli_print_remark (found->remark);
  if (is_one_of_many && images == NULL)
    {
      g_autofree char *safe = img_text_escape (found->path, -1);
      g_string_append_printf (output, "%simage: %s\n", output->len > 0 ? "\n" : "", safe);
      if (img_check_n_findings (&found->result) > 0)
        cli_print_remark (safe);
    }
  cli_check_print_findings (found);
  if (images != NULL)
    json_array_append_new (images, cli_check_to_json (found));
  else
    cli_check_append_text (output, found);
}

static int
check (const ImgImageSpec *spec, const Params *params, gboolean is_one_of_many, GString *output,
       json_t *images)
{
  ImgCheckJob job = { .open = cli_open_params (&params->read, spec) };
  gboolean is_shown = !params->read.common.quiet && isatty (STDERR_FILENO);
  g_autoptr (GError) error = NULL;
  CliProgress *progress = cli_progress_new (is_shown ? CLI_PROGRESS_LINE : CLI_PROGRESS_NONE, -1);

  job.progress = cli_progress_hook (progress);
  g_autoptr (ImgCheckReport) found = img_check_image (spec->path, &job, &error);
  if (!cli_progress_finish (progress, found != NULL))
    return CLI_EXIT_FAILURE;
  if (found == NULL)
    {
      cli_print_error (error);
      return CLI_EXIT_FAILURE;
    }
  if (!found->has_check)
    return check_raw (spec, params, images);
  if (params->with_repair)
    {
      cli_print_remark ("repairing is not supported yet");
      return CLI_EXIT_FAILURE;
    }
  report (found, params, is_one_of_many, output, images);
  if (found->result.errors > 0)
    cli_print_remark ("Check failed");
  return status_of (&found->result);
}

static int
run (gpointer data, char **operands, GString *output, GError **error)
{
  const Params *params = data;
  int worst = CLI_EXIT_OK;

  if (!cli_check_unsupported (params->unsupported, error))
    return CLI_EXIT_FAILURE;
  if (params->with_repair && params->read.force_share)
    {
      img_throw (error, IMG_ERROR_USAGE,
                 "--repair and --force-share exclude each other: one writes, the other must not");
      return CLI_EXIT_FAILURE;
    }
  json_t *images = params->read.common.json && !params->read.common.quiet ? json_array () : NULL;
  for (guint i = 0; operands[i] != NULL && *error == NULL; i++)
    {
      g_auto (ImgImageSpec) spec = { 0 };
      if (!cli_image_spec (&params->read.common, operands[i], &spec, error))
        break;
      int status = check (&spec, params, operands[1] != NULL, output, images);
      worst = MAX (worst, status);
    }
  if (images != NULL && operands[1] != NULL && json_array_size (images) > 0)
    cli_json_append (output, json_incref (images));
  else if (images != NULL && json_array_size (images) > 0)
    cli_json_append (output, json_incref (json_array_get (images, 0)));
  if (images != NULL)
    json_decref (images);
  return worst;
}

const CliCommand cli_cmd_check = {
  .name = "check",
  .summary = "Verify the metadata of disk images (raw images have none)",
  .operands = "IMAGE...",
  .options = options,
  .params_size = sizeof (Params),
  .usage_status = CLI_EXIT_FAILURE,
  .run = run,
};
