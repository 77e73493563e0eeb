/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/command.h"

#include <string.h>

#include "base/text.h"
#include "cli/program-name.h"
#include "disk/detect.h"
#include "sandbox/call.h"

const CliCommand *const cli_commands[]
    = { &cli_cmd_lock_status, &cli_cmd_lock,   &cli_cmd_info, &cli_cmd_check,
        &cli_cmd_convert,     &cli_cmd_create, NULL };

const CliChoice cli_output_choices[] = { { "human", FALSE }, { "json", TRUE }, { NULL, 0 } };

const CliChoice cli_locking_choices[] = {
  { "on", IMG_LOCKING_ON },
  { "off", IMG_LOCKING_OFF },
  { "auto", IMG_LOCKING_AUTO },
  { "posix", IMG_LOCKING_POSIX },
  { NULL, 0 },
};

const CliChoice cli_cache_choices[] = {
  { "none", IMG_CACHE_NONE },
  { "writeback", IMG_CACHE_WRITEBACK },
  { "writethrough", IMG_CACHE_WRITETHROUGH },
  { "directsync", IMG_CACHE_DIRECTSYNC },
  { "unsafe", IMG_CACHE_UNSAFE },
  { NULL, 0 },
};

/* For completion: the formats that can be handled. */
const CliChoice cli_format_choices[] = { { "raw", 0 }, { "qcow2", 0 }, { NULL, 0 } };
const CliChoice cli_target_format_choices[] = { { "raw", 0 }, { "qcow2", 0 }, { NULL, 0 } };

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
cli_disable_sandbox (G_GNUC_UNUSED const CliOption *option, G_GNUC_UNUSED const char *value,
                     G_GNUC_UNUSED gpointer field, G_GNUC_UNUSED GError **error)
{
  img_sandbox_disable ();
  return TRUE;
}

gboolean
cli_check_format (const char *format, GError **error)
{
  return format == NULL || img_format_is_supported (format)
         || img_throw (error, IMG_ERROR_UNSUPPORTED, "the format %s is not supported yet", format);
}

gboolean
cli_check_target_format (const char *format, GError **error)
{
  return format == NULL || img_format_can_be_written (format)
         || img_throw (error, IMG_ERROR_UNSUPPORTED, "writing the format %s is not supported yet",
                       format);
}

gboolean
cli_note_unsupported (const CliOption *option, G_GNUC_UNUSED const char *value, gpointer field,
                      G_GNUC_UNUSED GError **error)
{
  const CliOption **first = field;
  if (*first == NULL)
    *first = option;
  return TRUE;
}

gboolean
cli_check_unsupported (const CliOption *option, GError **error)
{
  if (option == NULL)
    return TRUE;
  return img_throw (error, IMG_ERROR_UNSUPPORTED, "--%s is not supported yet", option->long_name);
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
      return cli_is_qemu_img () && cli_commands[i]->is_not_of_qemu_img ? NULL : cli_commands[i];
  return NULL;
}
