/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* imgtool lock-status: who holds an image, and what may be done with it now. */
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/holder-table.h"
#include "cli/lock-status-print.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "engine/host-status.h"
#include "engine/wait.h"

typedef struct
{
  CliCommon common;
  int use; /* of --for, or -1 */
  gint64 wait;
  gboolean all, locks_only, no_headings, strict, backing_chain;
  ImgGatePolicy policy;
  const char *columns;
  int color;
} Params;

static const CliChoice use_choices[] = {
  { "read", IMG_USE_READ },
  { "write", IMG_USE_WRITE },
  { "info", IMG_USE_INFO },
  { "check", IMG_USE_CHECK },
  { "repair", IMG_USE_REPAIR },
  { "convert-from", IMG_USE_CONVERT_FROM },
  { "convert-to", IMG_USE_CONVERT_TO },
  { "vm", IMG_USE_VM },
  { "vm-read-only", IMG_USE_VM_READ_ONLY },
  { NULL, 0 },
};

static const CliChoice color_choices[] = {
  { "auto", CLI_COLOR_AUTO },
  { "always", CLI_COLOR_ALWAYS },
  { "never", CLI_COLOR_NEVER },
  { NULL, 0 },
};

static const CliOption options[] = {
  { 0, "for", CLI_VALUE, "USE",
    "let the exit status answer for this use alone: read, write, info, check, repair, "
    "convert-from, convert-to, vm or vm-read-only",
    cli_set_choice, offsetof (Params, use), use_choices },
  { 0, "wait", CLI_OPTIONAL_VALUE, "SECONDS",
    "wait until the image is free or the use possible, for ever or for SECONDS", cli_set_wait,
    offsetof (Params, wait), NULL },
  { 0, "lock-wait", CLI_OPTIONAL_VALUE, "SECONDS", "the same as --wait", cli_set_wait,
    offsetof (Params, wait), NULL },
  { 'b', "backing-chain", CLI_NO_VALUE, NULL,
    "ask also about all that is behind the images, and their data files", cli_set_flag,
    offsetof (Params, backing_chain), NULL },
  CLI_GATE_ROWS (Params, policy),
  CLI_ROW_SANDBOX,
  { 0, "all", CLI_NO_VALUE, NULL, "every image lock on this host instead of certain images",
    cli_set_flag, offsetof (Params, all), NULL },
  { 'o', "columns", CLI_COLUMN_LIST, "LIST",
    "print a table with these columns: IMAGE, STATUS, PID, COMMAND, VM, USER, MODE, LOCK, STYLE, "
    "USES, FORBIDS, RANGES, STARTED, CMDLINE",
    cli_set_string, offsetof (Params, columns), NULL },
  { 'n', "noheadings", CLI_NO_VALUE, NULL, "leave out the headings of such a table", cli_set_flag,
    offsetof (Params, no_headings), NULL },
  { 0, "locks-only", CLI_NO_VALUE, NULL,
    "ask for locks only and look at no other process: fast, but neither openers without a lock nor "
    "holders of OFD locks are named",
    cli_set_flag, offsetof (Params, locks_only), NULL },
  { 0, "strict", CLI_NO_VALUE, NULL, "exit 2 instead of 0 if not everything could be seen",
    cli_set_flag, offsetof (Params, strict), NULL },
  CLI_ROW_LOCKING (Params, common),
  CLI_ROW_FORMAT (Params, common),
  CLI_ROW_IMAGE_OPTS (Params, common),
  CLI_ROW_OUTPUT (Params, common),
  { 0, "color", CLI_VALUE, NULL, "use colour: auto (default) means on a terminal", cli_set_choice,
    offsetof (Params, color), color_choices },
  CLI_ROW_QUIET (Params, common, "print nothing: only the exit status counts"),
  CLI_ROW_VERBOSE (Params, common),
  CLI_ROW_HELP (Params, common),
  { 0 },
};

static gpointer
new_params (void)
{
  Params *params = g_new0 (Params, 1);
  params->use = -1;
  return params;
}

static void
tell_waiting (const ImgStatus *status, G_GNUC_UNUSED gpointer closure)
{
  g_autofree char *path = img_text_escape (status->path, -1);
  g_autofree char *sentence = cli_status_sentence (status);
  g_autofree char *text = g_strdup_printf ("waiting for '%s': %s", path, sentence);
  cli_print_remark (text);
}

static int
exit_status_of (const ImgStatus *status, const Params *params)
{
  gboolean is_certain;

  if (params->use >= 0)
    {
      ImgVerdictKind kind = status->verdicts[params->use].kind;
      if (kind == IMG_VERDICT_BLOCKED || kind == IMG_VERDICT_UNSAFE)
        return CLI_EXIT_IN_USE;
      if (kind == IMG_VERDICT_UNKNOWN)
        return CLI_EXIT_UNKNOWN;
      is_certain = img_status_is_certain_for (status, (ImgUse)params->use);
    }
  else
    {
      if (status->state != IMG_STATUS_FREE)
        return status->state == IMG_STATUS_IN_USE ? CLI_EXIT_IN_USE : CLI_EXIT_UNKNOWN;
      is_certain = img_status_is_certain (status);
    }
  return params->strict && !is_certain ? CLI_EXIT_UNKNOWN : CLI_EXIT_OK;
}

/* Where the answers go: exactly one of the three, or none with -q. */
typedef struct
{
  GString *text;
  json_t *images;
  CliHolderTable *table;
} Answers;

static void
add_answer (const Answers *answers, const ImgStatus *status, const Params *params)
{
  if (answers->images != NULL)
    json_array_append_new (answers->images, cli_status_to_json (status));
  else if (answers->table != NULL)
    cli_holder_table_add (answers->table, status->path, cli_state_name (status->state),
                          status->holders);
  else if (answers->text != NULL)
    {
      if (answers->text->len > 0)
        g_string_append_c (answers->text, '\n');
      cli_status_append_text (answers->text, status, params->use, params->common.verbose,
                              cli_color_is_wanted ((CliColor)params->color));
    }
}

/* What cannot be looked at: said on stderr, and in JSON. */
static int
give_up (const char *path, ImgLocking locking, const GError *error, const Params *params,
         const Answers *answers)
{
  g_autoptr (ImgStatus) status = img_status_new_unknown (path, error->message);
  cli_print_error (error);
  status->locking = locking;
  if (answers->text == NULL)
    add_answer (answers, status, params);
  return CLI_EXIT_UNKNOWN;
}

/* One file: its answer and its exit status. @member is what it is in a chain, or NULL. */
static int
look_at (const ImgImageSpec *spec, const ImgMember *member, const Params *params, gint64 deadline,
         const Answers *answers)
{
  const char *path = member == NULL ? spec->path : member->path;
  g_autoptr (GError) error = NULL;
  Params asked = *params;
  ImgStatusParams status_params = { .locking = spec->locking,
                                    .format = member == NULL ? spec->format : member->format,
                                    .locks_only = params->locks_only,
                                    .names_wanted = !params->common.quiet,
                                    .member = member };
  if (member != NULL && params->use >= 0)
    asked.use = (int)img_member_use (member, (ImgUse)params->use);
  ImgWaitParams wait = { .deadline = deadline,
                         .has_use = params->use >= 0,
                         .use = params->use >= 0 ? (ImgUse)asked.use : IMG_USE_READ };

  if (!params->common.quiet && isatty (STDERR_FILENO))
    wait.on_waiting = tell_waiting;
  g_autoptr (ImgStatus) status = img_status_wait (path, &status_params, &wait, &error);
  if (status == NULL)
    return give_up (path, spec->locking, error, params, answers);
  add_answer (answers, status, &asked);
  return exit_status_of (status, &asked);
}

/* An image whose chain cannot be looked for, because of @error. */
static int
look_at_strange (const ImgImageSpec *spec, const Params *params, gint64 deadline,
                 const GError *error, const Answers *answers)
{
  struct stat st;
  if (stat (spec->path, &st) < 0 || (!S_ISREG (st.st_mode) && !S_ISBLK (st.st_mode)))
    return give_up (spec->path, spec->locking, error, params, answers);
  look_at (spec, NULL, params, deadline, answers);
  cli_print_error (error);
  return CLI_EXIT_UNKNOWN;
}

/* The image and all that is behind it. What cannot be followed is the end, and unknown. */
static int
look_at_chain (const ImgImageSpec *spec, const Params *params, gint64 deadline,
               const Answers *answers)
{
  g_autoptr (GPtrArray) members = g_ptr_array_new_with_free_func ((GDestroyNotify)img_member_free);
  g_autoptr (GError) error = NULL;
  g_autofree char *refused = NULL;
  ImgOpenParams open_params = { .format = spec->format, .policy = params->policy };
  int worst = CLI_EXIT_OK;

  gboolean is_whole = img_members_find (spec->path, &open_params, members, &refused, &error);
  for (guint i = 0; i < members->len; i++)
    {
      int status = look_at (spec, members->pdata[i], params, deadline, answers);
      worst = MAX (worst, status);
    }
  if (members->len == 0) /* nothing could be read of it, but it can be asked about */
    return look_at_strange (spec, params, deadline, error, answers);
  if (is_whole)
    return worst;
  if (refused == NULL)
    cli_print_error (error);
  else
    give_up (refused, spec->locking, error, params, answers);
  return CLI_EXIT_UNKNOWN;
}

static int
look_at_operand (const char *operand, const Params *params, gint64 deadline, const Answers *answers,
                 GError **usage_error)
{
  g_auto (ImgImageSpec) spec = { 0 };
  if (!cli_image_spec (&params->common, operand, &spec, usage_error))
    return CLI_EXIT_UNKNOWN;
  return params->backing_chain ? look_at_chain (&spec, params, deadline, answers)
                               : look_at (&spec, NULL, params, deadline, answers);
}

/* Print what was collected; frees it. */
static void
finish (const Answers *answers, GString *output)
{
  if (answers->images != NULL)
    cli_json_append (output, json_pack ("{s:i, s:o}", "schema", 1, "images", answers->images));
  if (answers->table != NULL)
    cli_holder_table_finish (answers->table, output);
}

static int
look_at_host (const Params *params, const Answers *answers, GString *output, GError **error)
{
  g_autoptr (ImgHostStatus) host = img_host_status_new (error);
  if (host == NULL)
    return CLI_EXIT_UNKNOWN;
  for (guint i = 0; i < host->images->len; i++)
    cli_host_image_add (host->images->pdata[i], answers->images, answers->table);
  finish (answers, output);
  if (host->n_uninspected > 0 && !params->common.quiet)
    {
      g_autofree char *text
          = g_strdup_printf ("%u process%s could not be looked into", host->n_uninspected,
                             host->n_uninspected == 1 ? "" : "es");
      cli_print_remark (text);
    }
  if (host->images->len > 0)
    return CLI_EXIT_IN_USE;
  return params->strict && (host->n_uninspected > 0 || host->is_confined) ? CLI_EXIT_UNKNOWN
                                                                          : CLI_EXIT_OK;
}

static int
run (gpointer data, char **operands, GString *output, GError **error)
{
  const Params *params = data;
  Answers answers = { NULL, NULL, NULL };
  gint64 now = g_get_monotonic_time ();
  gint64 deadline = params->wait > G_MAXINT64 - now ? G_MAXINT64 : now + params->wait;
  int worst = CLI_EXIT_OK;

  gboolean is_of_images = params->backing_chain || params->wait != 0 || params->use >= 0
                          || params->locks_only || params->common.format != NULL;
  if (params->all != (operands[0] == NULL) || (params->all && is_of_images))
    {
      img_throw (error, IMG_ERROR_USAGE,
                 params->all ? "lock-status: --all takes no image, and neither --backing-chain, "
                               "--for, --format, --locks-only nor --wait"
                             : "lock-status: which image?");
      return CLI_EXIT_UNKNOWN;
    }
  if (params->common.json && !params->common.quiet)
    answers.images = json_array ();
  else if ((params->columns != NULL || params->all) && !params->common.quiet)
    {
      answers.table = cli_holder_table_new (params->columns, !params->no_headings, error);
      if (answers.table == NULL)
        return CLI_EXIT_UNKNOWN;
    }
  else if (!params->common.quiet)
    answers.text = output;
  if (params->all)
    return look_at_host (params, &answers, output, error);
  for (guint i = 0; operands[i] != NULL && *error == NULL; i++)
    {
      int status = look_at_operand (operands[i], params, deadline, &answers, error);
      worst = MAX (worst, status);
    }
  finish (&answers, output);
  return worst;
}

const CliCommand cli_cmd_lock_status = {
  .name = "lock-status",
  .summary = "Tell who holds disk images, and what may be done with them now",
  .operands = "IMAGE...",
  .is_not_of_qemu_img = TRUE,
  .takes_no_operands = TRUE,
  .options = options,
  .params_size = sizeof (Params),
  .new_params = new_params,
  .usage_status = CLI_EXIT_UNKNOWN,
  .run = run,
};
