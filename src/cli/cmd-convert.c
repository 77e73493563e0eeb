/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* imgtool convert: copy disk images, all or nothing. */
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/convert-options.h"
#include "cli/convert-print.h"
#include "cli/create-options.h"
#include "cli/output.h"
#include "cli/program-name.h"
#include "cli/progress.h"

/* The sources and the target of the command line. */
typedef struct
{
  GArray *sources; /* owned ImgImageSpec */
  ImgImageSpec target;
} Images;

static void
images_clear (Images *images)
{
  g_clear_pointer (&images->sources, g_array_unref);
  img_image_spec_clear (&images->target);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Images, images_clear)

static gboolean
is_stream (const CliConvertParams *params, const char *operand, gboolean has_image_opts)
{
  return params->convert.dash_is_stream && !has_image_opts && strcmp (operand, "-") == 0;
}

/* cli_image_spec(), with a file that is really called "-" spelled so that nobody takes it for a
 * stream. */
static gboolean
image_spec (const CliConvertParams *params, const CliCommon *common, const char *operand,
            ImgImageSpec *spec, GError **error)
{
  if (!cli_image_spec (common, operand, spec, error))
    return FALSE;
  if (strcmp (spec->path, "-") == 0 && !is_stream (params, operand, common->image_opts))
    {
      g_free (spec->path);
      spec->path = g_strdup ("./-");
    }
  return cli_check_format (spec->format, error);
}

static gboolean
parse_images (const CliConvertParams *params, char **operands, guint n, Images *images,
              GError **error)
{
  CliCommon target = params->common;
  target.format = params->target_format;
  target.image_opts = params->target_image_opts;

  if (n > 2 && params->convert.source_snapshot != NULL)
    return img_throw (error, IMG_ERROR_USAGE, "-l cannot be used with several sources");
  /* As qemu-img says it. */
  if (n > 2 && params->with_bitmaps)
    return img_throw (error, IMG_ERROR_USAGE, "copying bitmaps only possible with single source");
  images->sources = g_array_new (FALSE, TRUE, sizeof (ImgImageSpec));
  g_array_set_clear_func (images->sources, (GDestroyNotify)img_image_spec_clear);
  for (guint i = 0; i + 1 < n; i++)
    {
      ImgImageSpec spec = { 0 };
      gboolean is_good = image_spec (params, &params->common, operands[i], &spec, error);
      g_array_append_val (images->sources, spec);
      if (!is_good)
        return FALSE;
    }
  if (!image_spec (params, &target, operands[n - 1], &images->target, error)
      || !cli_check_target_format (images->target.format, error))
    return FALSE;
  /* To look at what is there, and write something of that kind, is not what a copy is for. */
  if (images->target.format == NULL && params->target_image_opts)
    return img_throw (error, IMG_ERROR_USAGE, "--target-image-opts needs driver=FORMAT");
  if (images->target.format == NULL)
    images->target.format = "raw";
  return TRUE;
}

/* What the streams among the operands cannot do. */
static gboolean
check_streams (const CliConvertParams *params, char **operands, guint n, GError **error)
{
  guint n_inputs = 0;
  for (guint i = 0; i + 1 < n; i++)
    n_inputs += is_stream (params, operands[i], params->common.image_opts) ? 1 : 0;
  if (n_inputs > 0 && (params->convert.policy.is_untrusted || params->convert.policy.max_size != 0))
    return img_throw (error, IMG_ERROR_USAGE,
                      "--untrusted and --max-size cannot be used with standard input: it has to be "
                      "looked at before it is read");
  if (n_inputs > 1)
    return img_throw (error, IMG_ERROR_USAGE, "standard input can be read only once");
  if (!is_stream (params, operands[n - 1], params->target_image_opts))
    return TRUE;
  return cli_convert_check_stdout (params, error);
}

static CliProgressKind
progress_kind (const CliConvertParams *params)
{
  if (params->progress_fd >= 0)
    return CLI_PROGRESS_JSON;
  if (params->common.quiet)
    return CLI_PROGRESS_NONE;
  if (params->with_percent)
    return CLI_PROGRESS_PERCENT;
  return isatty (STDERR_FILENO) && !cli_is_qemu_img () ? CLI_PROGRESS_LINE : CLI_PROGRESS_NONE;
}

static void
print_digests (const CliConvertParams *params, const ImgConvertResult *result, const char *operand,
               GString *output)
{
  g_autoptr (GString) text = g_string_new (NULL);
  /* Where the disk itself goes to stdout there is no place for more. */
  gboolean to_stderr = is_stream (params, operand, params->target_image_opts);
  cli_convert_append_digests (text, params->convert.copy.digests, &result->copy, operand,
                              isatty (to_stderr ? STDERR_FILENO : STDOUT_FILENO));
  if (to_stderr)
    cli_write_stderr (text);
  else
    g_string_append (output, text->str);
}

static int
convert (const CliConvertParams *params, const Images *images, const char *target_operand,
         GString *output, GError **error)
{
  g_auto (ImgConvertResult) result = { 0 };
  ImgConvertParams convert_params = params->convert;
  gint64 began = g_get_monotonic_time ();
  CliProgress *progress = cli_progress_new (progress_kind (params), (int)params->progress_fd);

  g_assert (images->sources != NULL);
  convert_params.sources = (const ImgImageSpec *)(gpointer)images->sources->data;
  convert_params.n_sources = images->sources->len;
  convert_params.target = &images->target;
  convert_params.input_fd = STDIN_FILENO;
  convert_params.output_fd = STDOUT_FILENO;
  convert_params.copy.progress = cli_progress_hook (progress);
  gboolean is_done = img_convert (&convert_params, &result, error);
  gboolean is_told = cli_progress_finish (progress, is_done);
  double seconds = (double)(g_get_monotonic_time () - began) / G_USEC_PER_SEC;
  cli_convert_warn (&result, params->common.quiet, params->common.verbose);
  if (!is_done)
    return CLI_EXIT_FAILURE;
  if (params->common.verbose)
    cli_convert_print_summary (&result.copy, seconds);
  print_digests (params, &result, target_operand, output);
  if (!is_told)
    return CLI_EXIT_FAILURE;
  gboolean is_whole = result.copy.unreadable == NULL || result.copy.unreadable->len == 0;
  return is_whole || cli_is_qemu_img () ? CLI_EXIT_OK : CLI_EXIT_SALVAGED;
}

static int
run (gpointer data, char **operands, GString *output, GError **error)
{
  CliConvertParams *params = data;
  g_auto (Images) images = { 0 };
  guint n = g_strv_length (operands);

  if (!cli_convert_check_options (params, error))
    return CLI_EXIT_FAILURE;
  if (cli_create_options_want_help (params->target_options))
    {
      cli_create_options_append_help (output, cli_convert_target_format (params), FALSE);
      return CLI_EXIT_OK;
    }
  if (n < 2)
    {
      img_throw (error, IMG_ERROR_USAGE, "convert: which %s?", n == 0 ? "image" : "target");
      return CLI_EXIT_FAILURE;
    }
  if (!parse_images (params, operands, n, &images, error)
      || !check_streams (params, operands, n, error))
    return CLI_EXIT_FAILURE;
  return convert (params, &images, operands[n - 1], output, error);
}

const CliCommand cli_cmd_convert = {
  .name = "convert",
  .summary = "Copy disk images, all or nothing",
  .operands = "SOURCE... TARGET",
  .options = cli_convert_options,
  .params_size = sizeof (CliConvertParams),
  .new_params = cli_convert_new_params,
  .clear_params = cli_convert_clear_params,
  .takes_no_operands = TRUE, /* with -o help */
  .usage_status = CLI_EXIT_FAILURE,
  .run = run,
};
