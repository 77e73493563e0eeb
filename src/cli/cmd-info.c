/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* imgtool info: what an image is. */
#include "cli/command.h"
#include "cli/info-print.h"
#include "cli/inspect-print.h"
#include "cli/output.h"
#include "cli/program-name.h"

typedef struct
{
  CliReadParams read;
  gboolean backing_chain;
  ImgGatePolicy policy;
  const CliOption *unsupported; /* an option that no format here can follow, or NULL */
} Params;

static const CliOption options[] = {
  { 0, "object", CLI_VALUE, "OBJECT", "not supported yet", cli_note_unsupported,
    offsetof (Params, unsupported), NULL },
  CLI_READ_ROWS ("do not mind others who write; what is read may be inconsistent",
                 "do not print warnings"),
  { 'b', "backing-chain", CLI_NO_VALUE, NULL, "tell also about all that is behind the image",
    cli_set_flag, offsetof (Params, backing_chain), NULL },
  CLI_GATE_ROWS (Params, policy),
  CLI_TRUST_ROWS (Params, policy),
  { 0 },
};

/* Who has @path open. Names cost a walk over all processes: only when somebody is there to be
 * named. */
static ImgStatus *
find_users (const char *path, ImgLocking locking)
{
  ImgStatusParams params = { .locking = locking, .format = "raw" };
  g_autoptr (GError) error = NULL;
  ImgStatus *status = img_status_new (path, &params, &error);

  if (status != NULL && status->state == IMG_STATUS_IN_USE)
    {
      img_status_free (status);
      params.names_wanted = TRUE;
      status = img_status_new (path, &params, &error);
    }
  return status != NULL ? status : img_status_new_unknown (path, error->message);
}

/* One file: its text, or its object in @images. */
static void
show_one (const ImgInfo *info, const Params *params, ImgLocking locking, GString *output,
          json_t *images)
{
  const CliCommon *common = &params->read.common;
  g_autoptr (ImgStatus) in_use = NULL;

  if (!common->quiet)
    cli_info_warn (info, common->verbose);
  if (images != NULL)
    {
      json_array_append_new (images, cli_info_to_json (info));
      return;
    }
  if (!cli_is_qemu_img ())
    in_use = find_users (info->path, locking);
  if (output->len > 0)
    g_string_append_c (output, '\n');
  cli_info_append_text (output, info, in_use);
}

/* --untrusted: a verdict in place of what the image says. */
static int
inspect (const ImgImageSpec *spec, const Params *params, GString *output, json_t *images)
{
  ImgOpenParams open_params = cli_open_params (&params->read, spec);
  g_autoptr (GError) error = NULL;

  open_params.policy = params->policy;
  g_autoptr (ImgInspection) inspection = img_info_inspect (spec->path, &open_params, &error);
  if (inspection == NULL)
    {
      cli_print_error (error);
      return CLI_EXIT_FAILURE;
    }
  if (images != NULL)
    json_array_append_new (images, cli_inspection_to_json (inspection));
  else
    cli_inspection_append_text (output, inspection);
  return inspection->reasons->len == 0 ? CLI_EXIT_OK : CLI_EXIT_UNSAFE;
}

static gboolean
check_options (const Params *params, GError **error)
{
  if (params->policy.is_untrusted && params->backing_chain)
    return img_throw (error, IMG_ERROR_USAGE,
                      "--untrusted and --backing-chain exclude each other: it follows nothing");
  if (params->policy.max_size != 0 && !params->policy.is_untrusted)
    return img_throw (error, IMG_ERROR_USAGE, "info: --max-size needs --untrusted");
  return cli_check_unsupported (params->unsupported, error);
}

/* What @spec stands for, and with --backing-chain what is behind it. */
static int
show (const ImgImageSpec *spec, const Params *params, GString *output, json_t *images)
{
  ImgOpenParams open_params = cli_open_params (&params->read, spec);
  open_params.policy = params->policy;
  g_autoptr (GPtrArray) chain = g_ptr_array_new_with_free_func ((GDestroyNotify)img_info_free);
  g_autoptr (GError) error = NULL;
  gboolean is_good;

  if (params->backing_chain)
    is_good = img_info_chain (spec->path, IMG_USE_INFO, &open_params, chain, &error);
  else
    {
      ImgInfo *info = img_info_new (spec->path, IMG_USE_INFO, &open_params, &error);
      is_good = info != NULL;
      if (is_good)
        g_ptr_array_add (chain, info);
    }
  if (!is_good)
    {
      cli_print_error (error);
      return CLI_EXIT_FAILURE;
    }
  for (guint i = 0; i < chain->len; i++)
    show_one (chain->pdata[i], params, open_params.locking, output, images);
  return CLI_EXIT_OK;
}

static int
run (gpointer data, char **operands, GString *output, GError **error)
{
  const Params *params = data;
  int worst = CLI_EXIT_OK;

  if (!check_options (params, error))
    return CLI_EXIT_FAILURE;
  json_t *images = params->read.common.json ? json_array () : NULL;
  for (guint i = 0; operands[i] != NULL && *error == NULL; i++)
    {
      g_auto (ImgImageSpec) spec = { 0 };
      if (!cli_image_spec (&params->read.common, operands[i], &spec, error))
        break;
      int status = (params->policy.is_untrusted ? inspect : show) (&spec, params, output, images);
      worst = MAX (worst, status);
    }
  if (images == NULL)
    return worst;
  /* One image is an object, as with qemu-img; several are an array, and so is a chain. */
  if (operands[1] != NULL || (params->backing_chain && json_array_size (images) > 0))
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
