/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* imgtool info: what an image is. */
#include "cli/command.h"
#include "cli/info-print.h"
#include "cli/output.h"

typedef CliReadParams Params;

static const CliOption options[] = {
  CLI_READ_ROWS ("do not mind others who write; what is read may be inconsistent",
                 "do not print warnings"),
  { 0 },
};

/* One image: its text, or its object in @images. */
static int
show (const ImgImageSpec *spec, const Params *params, GString *output, json_t *images)
{
  ImgOpenParams open_params = cli_open_params (params, spec);
  ImgStatusParams status_params = { .locking = open_params.locking, .format = "raw" };
  g_autoptr (GError) error = NULL;
  g_autoptr (ImgStatus) in_use = NULL;
  g_autoptr (ImgInfo) info = img_info_new (spec->path, IMG_USE_INFO, &open_params, &error);

  if (info == NULL)
    {
      cli_print_error (error);
      return CLI_EXIT_FAILURE;
    }
  if (!params->common.quiet)
    cli_info_warn (info, params->common.verbose);
  if (images != NULL)
    {
      json_array_append_new (images, cli_info_to_json (info));
      return CLI_EXIT_OK;
    }
  /* Names cost a walk over all processes: only when somebody is there to be named. */
  in_use = img_status_new (spec->path, &status_params, NULL);
  if (in_use != NULL && in_use->state == IMG_STATUS_IN_USE)
    {
      status_params.names_wanted = TRUE;
      g_clear_pointer (&in_use, img_status_free);
      in_use = img_status_new (spec->path, &status_params, NULL);
    }
  if (output->len > 0)
    g_string_append_c (output, '\n');
  cli_info_append_text (output, info, in_use);
  return CLI_EXIT_OK;
}

static int
run (gpointer data, char **operands, GString *output, GError **error)
{
  const Params *params = data;
  json_t *images = params->common.json ? json_array () : NULL;
  int worst = CLI_EXIT_OK;

  for (guint i = 0; operands[i] != NULL && *error == NULL; i++)
    {
      g_auto (ImgImageSpec) spec = { 0 };
      if (!cli_image_spec (&params->common, operands[i], &spec, error))
        break;
      int status = show (&spec, params, output, images);
      worst = MAX (worst, status);
    }
  if (images == NULL)
    return worst;
  /* One image is an object, as with qemu-img; several are an array. */
  if (operands[1] != NULL)
    cli_json_append (output, images);
  else
    {
      if (json_array_size (images) > 0)
        cli_json_append (output, json_incref (json_array_get (images, 0)));
      json_decref (images);
    }
  return worst;
}

const CliCommand cli_cmd_info = {
  .name = "info",
  .summary = "Tell what disk images are: format, sizes, content",
  .operands = "IMAGE...",
  .options = options,
  .params_size = sizeof (Params),
  .usage_status = CLI_EXIT_FAILURE,
  .run = run,
};
