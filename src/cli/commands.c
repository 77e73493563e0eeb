/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/command.h"

#include <string.h>

#include "base/text.h"
#include "disk/detect.h"

const CliCommand *const cli_commands[]
    = { &cli_cmd_lock_status, &cli_cmd_lock, &cli_cmd_info, &cli_cmd_check, NULL };

const CliChoice cli_output_choices[] = { { "human", FALSE }, { "json", TRUE }, { NULL, 0 } };

const CliChoice cli_locking_choices[] = {
  { "on", IMG_LOCKING_ON },
  { "off", IMG_LOCKING_OFF },
  { "auto", IMG_LOCKING_AUTO },
  { "posix", IMG_LOCKING_POSIX },
  { NULL, 0 },
};

/* For completion: the formats that can be handled. */
const CliChoice cli_format_choices[] = { { "raw", 0 }, { NULL, 0 } };

gboolean
cli_set_format (const CliOption *option, const char *value, gpointer field, GError **error)
{
  g_autofree char *safe = img_text_escape (value, -1);
  if (!img_format_is_known (value))
    return img_throw (error, IMG_ERROR_USAGE, "bad value '%s' for --%s: no such format", safe,
                      option->long_name);
  *(const char **)field = value;
  return TRUE;
}

gboolean
cli_image_spec (const CliCommon *common, const char *operand, ImgImageSpec *spec, GError **error)
{
  spec->path = g_strdup (operand);
  spec->format = common->format;
  spec->locking = (ImgLocking)common->locking;
  if (!common->image_opts)
    return TRUE;
  if (common->format != NULL)
    return img_throw (error, IMG_ERROR_USAGE,
                      "--format and --image-opts exclude each other: use driver=%s",
                      common->format);
  return img_image_spec_parse (operand, spec, error);
}

ImgOpenParams
cli_open_params (const CliReadParams *params, const ImgImageSpec *spec)
{
  ImgOpenParams open_params = { .locking = spec->locking,
                                .force_share = params->force_share,
                                .lock_wait = params->lock_wait,
                                .format = spec->format };
  return open_params;
}

const CliCommand *
cli_command_find (const char *name)
{
  for (guint i = 0; cli_commands[i] != NULL; i++)
    if (strcmp (cli_commands[i]->name, name) == 0)
      return cli_commands[i];
  return NULL;
}
