/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/complete.h"
#include "cli/json.h"
#include "cli/output.h"
#include "cli/program-name.h"
#include "cli/run-command.h"
#include "sandbox/call.h"

static void
append_command_help (GString *text, const CliCommand *command)
{
  g_string_append_printf (text, "Usage: %s %s [OPTIONS] %s\n\n%s.\n\nOptions:\n",
                          cli_program_name (), command->name, command->operands, command->summary);
  cli_append_option_help (text, command->options);
  g_string_append_printf (text, "\nThe manual: imgtool-%s(1)\n", command->name);
}

static void
append_program_help (GString *text)
{
  const char *name = cli_program_name ();
  g_string_append_printf (text,
                          "Usage: %s COMMAND [OPTIONS] IMAGE...\n\n"
                          "Looks after disk images: who holds them, what they are; copies them.\n\n"
                          "Commands:\n",
                          name);
  for (guint i = 0; cli_commands[i] != NULL; i++)
    if (!cli_is_qemu_img () || !cli_commands[i]->is_not_of_qemu_img)
      g_string_append_printf (text, "  %-14s%s\n", cli_commands[i]->name, cli_commands[i]->summary);
  g_string_append_printf (text,
                          "  help          show help on a command\n\n"
                          "Options:\n"
                          "  -h, --help      show this help\n"
                          "  -V, --version   show the version\n\n"
                          "'%s COMMAND --help' tells about a command. "
                          "The manual: imgtool(1)\n",
                          name);
}

static int
write_text (const GString *text, int status, int failure_status)
{
  return text->len == 0 || cli_write_stdout (text) ? status : failure_status;
}

/* Say what went wrong; a mistake in the command line has a status of its own. */
static int
fail (const GError *error, const CliCommand *command, int status)
{
  cli_print_error (error);
  if (!g_error_matches (error, IMG_ERROR, IMG_ERROR_USAGE))
    return status;
  fprintf (stderr, "Try '%s %s --help' for more information.\n", cli_program_name (),
           command->name);
  return command->usage_status;
}

/* Cut @argv at "--", behind which are the words of a command to run; NULL if there is none. */
static char **
cut_off_command (int *argc, char **argv)
{
  for (int i = 1; i < *argc; i++)
    if (strcmp (argv[i], "--") == 0)
      {
        argv[i] = NULL;
        *argc = i;
        return argv + i + 1;
      }
  return NULL;
}

/* An option that is not known may be one of a command that was to be run. */
static void
say_what_is_missing (GError *error)
{
  char *message = g_strconcat (error->message, " (there is no -- before a command to run)", NULL);
  g_free (error->message);
  error->message = message;
}

/* @params are the command's, with defaults. */
static int
run_with (const CliCommand *command, gpointer params, int argc, char **argv)
{
  g_autofree char **operands = NULL;
  g_autoptr (GString) output = g_string_new (NULL);
  g_autoptr (GError) error = NULL;
  char **to_run = NULL;

  if (command->command_offset != 0)
    *(char ***)(void *)((char *)params + command->command_offset) = to_run
        = cut_off_command (&argc, argv);
  if (!cli_parse (argc, argv, command->options, params, &operands, &error))
    {
      if (command->command_offset != 0 && to_run == NULL)
        say_what_is_missing (error);
      return fail (error, command, command->usage_status);
    }
  if (((CliCommon *)params)->help)
    {
      append_command_help (output, command);
      return write_text (output, CLI_EXIT_OK, command->usage_status);
    }
  if (operands[0] == NULL && !command->takes_no_operands)
    {
      g_set_error (&error, IMG_ERROR, IMG_ERROR_USAGE, "%s: which image?", command->name);
      return fail (error, command, command->usage_status);
    }
  int status = command->run (params, operands, output, &error);
  if (((CliCommon *)params)->verbose && img_sandbox_remark () != NULL)
    cli_print_remark (img_sandbox_remark ());
  if (error != NULL)
    return fail (error, command, status);
  return write_text (output, status, command->usage_status);
}

static int
run_command (const CliCommand *command, int argc, char **argv)
{
  g_autofree gpointer params
      = command->new_params != NULL ? command->new_params () : g_malloc0 (command->params_size);
  int status = run_with (command, params, argc, argv);
  if (command->clear_params != NULL)
    command->clear_params (params);
  return status;
}

static int
unknown_command (const char *command_name)
{
  g_autofree char *safe = img_text_escape (command_name, -1);
  const char *name = cli_program_name ();
  fprintf (stderr, "%s: unknown command '%s'; see '%s --help'\n", name, safe, name);
  return CLI_EXIT_FAILURE;
}

/* The words of qemu-img's command line that are for another one. */
static int
other_command (char *const *argv)
{
  g_autoptr (GError) error = NULL;
  cli_run_other_qemu_img (argv, &error);
  cli_print_error (error);
  return CLI_EXIT_FAILURE;
}

static int
show_help (const char *command_name)
{
  g_autoptr (GString) text = g_string_new (NULL);
  const CliCommand *command = command_name == NULL ? NULL : cli_command_find (command_name);

  if (command_name != NULL && command == NULL)
    return unknown_command (command_name);
  if (command == NULL)
    append_program_help (text);
  else
    append_command_help (text, command);
  return write_text (text, CLI_EXIT_OK, CLI_EXIT_FAILURE);
}

static int
show_version (void)
{
  /* Scripts look for the number behind "qemu-img version" and decide by it what they may ask for.
   */
  g_autoptr (GString) text
      = g_string_new (cli_is_qemu_img () ? "qemu-img version " CLI_QEMU_IMG_VERSION
                                           " (imgtool " PACKAGE_VERSION ")\n"
                                         : "imgtool version " PACKAGE_VERSION "\n");
  g_string_append (text, "License LGPL-2.1-or-later. There is no warranty.\n");
  return write_text (text, CLI_EXIT_OK, CLI_EXIT_FAILURE);
}

static gboolean
is_one_of (const char *word, const char *a, const char *b)
{
  return strcmp (word, a) == 0 || strcmp (word, b) == 0;
}

/* qemu-img's option for all commands, which has no effect here: the words it takes. */
static int
count_trace_words (char *const *argv)
{
  if (!cli_is_qemu_img () || argv[0] == NULL)
    return 0;
  if (is_one_of (argv[0], "-T", "--trace") && argv[1] != NULL)
    return 2;
  return g_str_has_prefix (argv[0], "--trace=") ? 1 : 0;
}

static int
no_command (void)
{
  const char *name = cli_program_name ();
  if (cli_is_qemu_img ())
    fprintf (stderr, "%s: Not enough arguments\nTry '%s --help' for more info\n", name, name);
  else
    fprintf (stderr, "%s: which command? See '%s --help'\n", name, name);
  return CLI_EXIT_FAILURE;
}

int
main (int argc, char **argv)
{
  cli_secure_stdio ();
  setlocale (LC_CTYPE, "");
  cli_program_set_name (argv[0]);
  cli_json_init ();
  cli_ignore_signals (); /* a full pipe or file is reported */

  int first = 1;
  while (argc > first && count_trace_words (argv + first) > 0)
    first += count_trace_words (argv + first);
  if (argc <= first)
    return no_command ();
  argc -= first;
  argv += first;
  if (is_one_of (argv[0], "--help", "-h"))
    return show_help (NULL);
  if (strcmp (argv[0], "help") == 0)
    return show_help (argv[1]);
  if (is_one_of (argv[0], "--version", "-V"))
    return show_version ();
  if (strcmp (argv[0], "__complete") == 0)
    {
      g_autoptr (GString) text = g_string_new (NULL);
      cli_complete (text, (const char *const *)argv + 1);
      return write_text (text, CLI_EXIT_OK, CLI_EXIT_FAILURE);
    }
  const CliCommand *command = cli_command_find (argv[0]);
  if (command != NULL)
    return run_command (command, argc, argv);
  return cli_is_qemu_img () ? other_command (argv) : unknown_command (argv[0]);
}
