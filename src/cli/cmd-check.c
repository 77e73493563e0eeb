/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* imgtool check: verify an image's metadata. Raw images have none. */
#include "base/text.h"
#include "cli/command.h"
#include "cli/info-print.h"
#include "cli/output.h"

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

static int
check (const ImgImageSpec *spec, const Params *params, json_t *images)
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
  if (!info->is_raw)
    {
      g_autofree char *message = g_strdup_printf (
          "'%s' is %s, and checking that is not supported yet", safe, info->format);
      cli_print_remark (message);
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
      int status = check (&spec, params, images);
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
