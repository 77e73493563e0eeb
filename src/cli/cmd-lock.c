/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* imgtool lock: hold images while a command runs. */
#include "cli/command.h"
#include "cli/output.h"
#include "cli/run-command.h"
#include "engine/guard.h"

typedef struct
{
  CliCommon common;
  int use; /* IMG_USE_READ or IMG_USE_WRITE */
  const char *uses, *shares;
  gint64 lock_wait;
  gint64 conflict_status;
  gint64 fd;
  gboolean unlock;
  gboolean backing_chain;
  ImgGatePolicy policy;
  char **command;
} Params;

static gboolean
set_use (const CliOption *option, G_GNUC_UNUSED const char *value, gpointer field,
         G_GNUC_UNUSED GError **error)
{
  *(int *)field = option->choices[0].value;
  return TRUE;
}

static gboolean
set_nonblock (G_GNUC_UNUSED const CliOption *option, G_GNUC_UNUSED const char *value,
              gpointer field, G_GNUC_UNUSED GError **error)
{
  *(gint64 *)field = IMG_WAIT_NONE;
  return TRUE;
}

static const CliChoice read_choice[] = { { "read", IMG_USE_READ }, { NULL, 0 } };
static const CliChoice write_choice[] = { { "write", IMG_USE_WRITE }, { NULL, 0 } };

static const CliOption options[] = {
  { 0, "read", CLI_NO_VALUE, NULL,
    "read the images and forbid others to write: what a backup needs (default)", set_use,
    offsetof (Params, use), read_choice },
  { 0, "write", CLI_NO_VALUE, NULL, "write the images: nobody else may write or read consistently",
    set_use, offsetof (Params, use), write_choice },
  { 0, "uses", CLI_PERMISSION_LIST, "PERMISSIONS",
    "what the command does instead: a list of consistent-read, write, write-unchanged and resize, "
    "or all or none",
    cli_set_string, offsetof (Params, uses), NULL },
  { 0, "shares", CLI_PERMISSION_LIST, "PERMISSIONS",
    "what others may do meanwhile, instead: a list as above", cli_set_string,
    offsetof (Params, shares), NULL },
  { 0, "lock-wait", CLI_OPTIONAL_VALUE, "SECONDS",
    "wait for the locks, for ever or for SECONDS, instead of giving up at once", cli_set_wait,
    offsetof (Params, lock_wait), NULL },
  { 0, "wait", CLI_OPTIONAL_VALUE, "SECONDS", "the same as --lock-wait", cli_set_wait,
    offsetof (Params, lock_wait), NULL },
  { 0, "nonblock", CLI_NO_VALUE, NULL, "do not wait for the locks (default)", set_nonblock,
    offsetof (Params, lock_wait), NULL },
  { 'E', "conflict-exit-code", CLI_VALUE, "STATUS",
    "the exit status if somebody else's lock is in the way (default: 124)", cli_set_number,
    offsetof (Params, conflict_status), NULL },
  { 0, "fd", CLI_VALUE, "N",
    "lock the file that the caller has open as descriptor N, and leave it locked", cli_set_number,
    offsetof (Params, fd), NULL },
  { 'u', "unlock", CLI_NO_VALUE, NULL, "with --fd: take the locks off again", cli_set_flag,
    offsetof (Params, unlock), NULL },
  { 'b', "backing-chain", CLI_NO_VALUE, NULL,
    "lock also all that is behind the images, as QEMU locks what it only reads", cli_set_flag,
    offsetof (Params, backing_chain), NULL },
  CLI_GATE_ROWS (Params, policy),
  CLI_ROW_SANDBOX,
  { 'f', "format", CLI_VALUE, "FMT", "with -b: treat the images as FMT instead of looking at them",
    cli_set_format, offsetof (Params, common.format), cli_format_choices },
  CLI_ROW_LOCKING (Params, common),
  CLI_ROW_IMAGE_OPTS (Params, common),
  CLI_ROW_QUIET (Params, common, "do not print warnings, nor who is in the way"),
  CLI_ROW_VERBOSE (Params, common),
  CLI_ROW_HELP (Params, common),
  { 0 },
};

static gpointer
new_params (void)
{
  Params *params = g_new0 (Params, 1);
  params->use = IMG_USE_READ;
  params->conflict_status = CLI_EXIT_NOT_GRANTED;
  params->fd = -1;
  return params;
}

static gboolean
parse_permissions (const Params *params, ImgPermSet *set, GError **error)
{
  guint shares;
  *set = img_use_permissions ((ImgUse)params->use, FALSE);
  if (params->uses != NULL && !img_perm_parse (params->uses, &set->uses))
    return img_throw (error, IMG_ERROR_USAGE,
                      "bad value for --uses: it must be a list of consistent-read, write, "
                      "write-unchanged and resize, or all or none");
  if (params->shares == NULL)
    return TRUE;
  if (!img_perm_parse (params->shares, &shares))
    return img_throw (error, IMG_ERROR_USAGE,
                      "bad value for --shares: it must be a list of consistent-read, write, "
                      "write-unchanged and resize, or all or none");
  set->forbids = IMG_PERM_ALL & ~shares;
  return TRUE;
}

/* The exit status for a lock that could not be had. */
static int
refuse (const Params *params, GError **error)
{
  if (!g_error_matches (*error, IMG_ERROR, IMG_ERROR_LOCKED))
    return CLI_EXIT_LOCK_FAILED;
  if (params->common.quiet)
    g_clear_error (error);
  return (int)params->conflict_status;
}

static int
lock_descriptor (const Params *params, char **operands, const ImgGuardParams *guard_params,
                 GError **error)
{
  if (params->command != NULL || params->backing_chain
      || (operands[0] != NULL && operands[1] != NULL))
    {
      img_throw (error, IMG_ERROR_USAGE,
                 "--fd takes one image at most, no --backing-chain, and no command");
      return CLI_EXIT_LOCK_FAILED;
    }
  if (guard_params->locking == IMG_LOCKING_POSIX)
    {
      img_throw (error, IMG_ERROR_USAGE,
                 "--fd needs OFD locks: POSIX locks would go with this process");
      return CLI_EXIT_LOCK_FAILED;
    }
  g_autofree char *warning = NULL;
  gboolean is_done = params->unlock ? img_guard_unlock_fd ((int)params->fd, operands[0], error)
                                    : img_guard_lock_fd ((int)params->fd, operands[0], guard_params,
                                                         &warning, error);
  if (warning != NULL && !params->common.quiet)
    cli_print_warning (warning);
  return is_done ? CLI_EXIT_OK : refuse (params, error);
}

/* Lock what the operands stand for. */
static ImgGuard *
take_locks (const Params *params, char **operands, const ImgGuardParams *guard_params,
            GError **error)
{
  g_autoptr (GArray) specs = g_array_new (FALSE, TRUE, sizeof (ImgImageSpec));
  g_array_set_clear_func (specs, (GDestroyNotify)img_image_spec_clear);
  for (guint i = 0; operands[i] != NULL; i++)
    {
      ImgImageSpec spec = { 0 };
      gboolean is_good = cli_image_spec (&params->common, operands[i], &spec, error);
      g_array_append_val (specs, spec);
      if (!is_good)
        return NULL;
    }
  return img_guard_new ((const ImgImageSpec *)(gpointer)specs->data, specs->len, guard_params,
                        error);
}

/* The command has ended with @status; was it protected all the time? */
static int
conclude (ImgGuard *guard, const Params *params, int status, GError **error)
{
  gboolean is_certain;
  if (!img_guard_verify (guard, &is_certain, error))
    return CLI_EXIT_LOCK_LOST;
  if (!is_certain && params->common.verbose)
    cli_print_remark (
        "whether the locks were held all the time cannot be told on this file system");
  return status;
}

static int
run (gpointer data, char **operands, G_GNUC_UNUSED GString *output, GError **error)
{
  const Params *params = data;
  ImgGuardParams guard_params = { .locking = (ImgLocking)params->common.locking,
                                  .lock_wait = params->lock_wait,
                                  .with_chain = params->backing_chain,
                                  .policy = params->policy };

  if (!parse_permissions (params, &guard_params.permissions, error))
    return CLI_EXIT_LOCK_FAILED;
  if (params->fd >= 0)
    return lock_descriptor (params, operands, &guard_params, error);
  if (operands[0] == NULL || params->command == NULL || params->command[0] == NULL
      || params->unlock)
    {
      img_throw (error, IMG_ERROR_USAGE, "lock: it takes IMAGE... -- COMMAND, or --fd");
      return CLI_EXIT_LOCK_FAILED;
    }
  g_autoptr (ImgGuard) guard = take_locks (params, operands, &guard_params, error);
  if (guard == NULL)
    return refuse (params, error);
  for (guint i = 0; i < img_guard_warnings (guard)->len && !params->common.quiet; i++)
    cli_print_warning (img_guard_warnings (guard)->pdata[i]);
  img_guard_export (guard);
  int status = cli_run_command (params->command, error);
  return *error != NULL ? status : conclude (guard, params, status, error);
}

const CliCommand cli_cmd_lock = {
  .name = "lock",
  .summary = "Hold disk images while a command works on them",
  .operands = "IMAGE... -- COMMAND [ARG...]",
  .options = options,
  .params_size = sizeof (Params),
  .new_params = new_params,
  .is_not_of_qemu_img = TRUE,
  .takes_no_operands = TRUE, /* with --fd */
  .command_offset = offsetof (Params, command),
  .usage_status = CLI_EXIT_LOCK_FAILED,
  .run = run,
};
