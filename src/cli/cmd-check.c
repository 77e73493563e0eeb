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
  int repair; /* ImgRepair */
  gboolean dry_run;
  gboolean data, backing_chain;
  ImgGatePolicy policy;         /* for what the image names */
  const char *undo_file, *undo; /* where to keep what is overwritten; what to put back */
  int ignored;
  const CliOption *unsupported; /* an option that no format here can follow, or NULL */
} Params;

static const CliChoice repair_choices[]
    = { { "leaks", IMG_REPAIR_LEAKS }, { "all", IMG_REPAIR_ALL }, { NULL, 0 } };

static const CliOption options[] = {
  { 'r', "repair", CLI_VALUE, NULL, "repair what is found (a raw image needs no repair)",
    cli_set_choice, offsetof (Params, repair), repair_choices },
  { 0, "dry-run", CLI_NO_VALUE, NULL, "with -r: only say what would be written", cli_set_flag,
    offsetof (Params, dry_run), NULL },
  { 0, "undo-file", CLI_FILE, "PATH", "with -r: keep what is overwritten in a new file PATH",
    cli_set_string, offsetof (Params, undo_file), NULL },
  { 0, "undo", CLI_FILE, "PATH", "put back what a repair kept in the file PATH", cli_set_string,
    offsetof (Params, undo), NULL },
  { 0, "data", CLI_NO_VALUE, NULL, "read and decompress all content too", cli_set_flag,
    offsetof (Params, data), NULL },
  { 'b', "backing-chain", CLI_NO_VALUE, NULL, "check what is behind the image too", cli_set_flag,
    offsetof (Params, backing_chain), NULL },
  CLI_GATE_ROWS (Params, policy),
  CLI_TRUST_ROWS (Params, policy),
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

/* What is shown of one image. */
typedef struct
{
  const Params *params;
  gboolean is_one_of_many;
  GString *output; /* borrowed */
  json_t *images;  /* borrowed; NULL: for people */
} Shown;

static void
show_lock (const ImgCheckReport *found, const Params *params)
{
  if (found->warning != NULL && !(cli_is_qemu_img () && !params->read.common.verbose))
    cli_print_warning (found->warning);
  if (found->remark != NULL && params->read.common.verbose)
    cli_print_remark (found->remark);
}

/* @found, and if it was for that, how the repair went. */
static void
show (const Shown *shown, const ImgCheckReport *found, const ImgRepairReport *repair)
{
  const ImgCheckReport *last = repair != NULL && repair->after != NULL ? repair->after : found;

  if (shown->params->read.common.quiet)
    return;
  show_lock (found, shown->params);
  if (shown->is_one_of_many && shown->images == NULL)
    {
      g_autofree char *safe = img_text_escape (found->path, -1);
      g_string_append_printf (shown->output, "%simage: %s\n", shown->output->len > 0 ? "\n" : "",
                              safe);
      if (img_check_n_findings (&found->result) > 0)
        cli_print_remark (safe);
    }
  cli_check_print_findings (found, last != found ? last : NULL);
  if (last != found)
    cli_check_print_findings (last, NULL);
  if (repair != NULL && repair->is_held_back && last->result.corruptions > 0)
    {
      g_autofree char *safe = img_text_escape (found->path, -1);
      g_autofree char *text = g_strdup_printf (
          "'%s': clusters that have two uses, or may have, were not repaired: to put one right "
          "could spoil the other; imgtool convert --salvage copies what can be read",
          safe);
      cli_print_remark (text);
    }
  if (shown->images != NULL)
    {
      json_t *object = cli_check_to_json (last);
      if (repair != NULL && shown->params->dry_run)
        json_object_set_new (object, "plan", cli_repair_to_json (repair));
      json_array_append_new (shown->images, object);
      return;
    }
  if (repair != NULL)
    cli_repair_append_text (shown->output, repair, shown->params->dry_run);
  cli_check_append_text (shown->output, last);
}

static int
undo (const ImgImageSpec *spec, const Shown *shown)
{
  const Params *params = shown->params;
  ImgOpenParams open_params = cli_open_params (&params->read, spec);
  g_autofree char *safe = img_text_escape (spec->path, -1);
  g_autoptr (GError) error = NULL;
  guint n_places;

  if (!img_repair_undo (spec, &open_params, params->undo, &n_places, &error))
    {
      cli_print_error (error);
      return CLI_EXIT_FAILURE;
    }
  if (!params->read.common.quiet && shown->images == NULL)
    g_string_append_printf (shown->output, "'%s' is as it was before the repair: %u places\n", safe,
                            n_places);
  return CLI_EXIT_OK;
}

/* Both kinds of work, of which a repair begins with a check; NULL with an error. */
static ImgCheckReport *
work (const ImgImageSpec *spec, const Params *params, ImgCheckJob *job, ImgRepairReport **repair,
      GError **error)
{
  ImgRepairJob repair_job = { .check = *job,
                              .repair = (ImgRepair)params->repair,
                              .is_dry_run = params->dry_run,
                              .undo_path = params->undo_file };

  if (params->repair == IMG_REPAIR_NONE)
    return img_check_image (spec->path, job, error);
  ImgCheckReport *found = img_check_probe (spec->path, &job->open, error);
  if (found == NULL || !found->has_check)
    return found;
  img_check_report_free (found);
  *repair = img_repair_image (spec, &repair_job, error);
  return *repair == NULL ? NULL : g_steal_pointer (&(*repair)->before);
}

static int
check_one (const ImgImageSpec *spec, const Shown *shown, gboolean is_named)
{
  const Params *params = shown->params;
  ImgCheckJob job = { .open = cli_open_params (&params->read, spec), .with_data = params->data };
  gboolean is_told = !params->read.common.quiet && !cli_is_qemu_img () && isatty (STDERR_FILENO);
  g_autoptr (GError) error = NULL;
  g_autoptr (ImgRepairReport) repair = NULL;

  job.open.policy = params->policy;
  job.open.is_named = is_named;
  CliProgress *progress = cli_progress_new (is_told ? CLI_PROGRESS_LINE : CLI_PROGRESS_NONE, -1);
  job.progress = cli_progress_hook (progress);
  g_autoptr (ImgCheckReport) found = work (spec, params, &job, &repair, &error);
  if (!cli_progress_finish (progress, found != NULL))
    return CLI_EXIT_FAILURE;
  if (found == NULL)
    {
      cli_print_error (error);
      return CLI_EXIT_FAILURE;
    }
  if (!found->has_check)
    return is_named ? CLI_EXIT_OK : check_raw (spec, params, shown->images);
  show (shown, found, repair);
  const ImgCheckReport *last = repair != NULL && repair->after != NULL ? repair->after : found;
  if (last->result.errors > 0)
    cli_print_remark ("Check failed");
  return status_of (&last->result);
}

/* Of several images the worst is told: damage, then what could not be looked at, then leaks. One
 * that has no check is better than all of that, and worse than none. */
static int
worse_of (int a, int b)
{
  static const int from_best[]
      = { CLI_EXIT_OK, CLI_EXIT_UNSUPPORTED, CLI_EXIT_LEAKS, CLI_EXIT_FAILURE, CLI_EXIT_CORRUPT };
  int worst = CLI_EXIT_OK;

  for (guint i = 0; i < G_N_ELEMENTS (from_best); i++)
    if (from_best[i] == a || from_best[i] == b)
      worst = from_best[i];
  return worst;
}

/* The image and what is behind it, of which a raw one has nothing to check. */
static int
check_chain (const ImgImageSpec *spec, const Shown *shown)
{
  const Params *params = shown->params;
  ImgOpenParams open_params = cli_open_params (&params->read, spec);
  open_params.policy = params->policy;
  g_autoptr (GPtrArray) chain = g_ptr_array_new_with_free_func ((GDestroyNotify)img_info_free);
  g_autoptr (GError) error = NULL;
  gboolean is_whole = img_info_chain (spec->path, IMG_USE_CHECK, &open_params, chain, &error);
  int worst = CLI_EXIT_OK;

  for (guint i = 0; i < chain->len; i++)
    {
      const ImgInfo *info = chain->pdata[i];
      ImgImageSpec one
          = { .path = info->path, .format = info->format, .locking = open_params.locking };
      int status = check_one (&one, shown, i > 0);
      worst = worse_of (worst, status);
    }
  if (is_whole)
    return worst;
  cli_print_error (error);
  return worse_of (worst, CLI_EXIT_FAILURE);
}

static int
check (const ImgImageSpec *spec, const Shown *shown)
{
  if (shown->params->undo != NULL)
    return undo (spec, shown);
  return shown->params->backing_chain ? check_chain (spec, shown) : check_one (spec, shown, FALSE);
}

/* What contradicts itself. */
static gboolean
check_usage (const Params *params, char **operands, GError **error)
{
  if (params->repair != IMG_REPAIR_NONE && params->read.force_share)
    return img_throw (error, IMG_ERROR_USAGE,
                      "--repair and --force-share exclude each other: one writes, the other must "
                      "not");
  if (params->repair == IMG_REPAIR_NONE && (params->dry_run || params->undo_file != NULL))
    return img_throw (error, IMG_ERROR_USAGE, "%s is for --repair",
                      params->dry_run ? "--dry-run" : "--undo-file");
  if (params->undo != NULL && (params->repair != IMG_REPAIR_NONE || params->read.force_share))
    return img_throw (error, IMG_ERROR_USAGE, "--undo and %s exclude each other",
                      params->read.force_share ? "--force-share" : "--repair");
  if (params->backing_chain && (params->undo != NULL || params->repair != IMG_REPAIR_NONE))
    return img_throw (error, IMG_ERROR_USAGE, "--backing-chain and %s exclude each other",
                      params->undo != NULL ? "--undo" : "--repair");
  if (params->policy.is_untrusted && params->backing_chain)
    return img_throw (error, IMG_ERROR_USAGE,
                      "--untrusted and --backing-chain exclude each other: it follows nothing");
  if ((params->undo != NULL || params->undo_file != NULL) && operands[0] != NULL
      && operands[1] != NULL)
    return img_throw (error, IMG_ERROR_USAGE, "%s is for one image",
                      params->undo != NULL ? "--undo" : "--undo-file");
  return TRUE;
}

static int
run (gpointer data, char **operands, GString *output, GError **error)
{
  const Params *params = data;
  int worst = CLI_EXIT_OK;

  if (!cli_check_unsupported (params->unsupported, error))
    return CLI_EXIT_FAILURE;
  if (!check_usage (params, operands, error))
    return CLI_EXIT_FAILURE;
  json_t *images = params->read.common.json && !params->read.common.quiet ? json_array () : NULL;
  Shown shown
      = { .params = params,
          .is_one_of_many = params->backing_chain || (operands[0] != NULL && operands[1] != NULL),
          .output = output,
          .images = images };
  for (guint i = 0; operands[i] != NULL && *error == NULL; i++)
    {
      g_auto (ImgImageSpec) spec = { 0 };
      if (!cli_image_spec (&params->read.common, operands[i], &spec, error))
        break;
      int status = check (&spec, &shown);
      worst = worse_of (worst, status);
    }
  if (images != NULL && shown.is_one_of_many && json_array_size (images) > 0)
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
