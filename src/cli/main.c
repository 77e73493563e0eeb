/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/complete.h"
#include "cli/output.h"
#include "cli/run-command.h"

#define PROGRAM "imgtool"

static void
append_command_help (GString *text, const CliCommand *command)
{
  g_string_append_printf (text, "Usage: " PROGRAM " %s [OPTIONS] %s\n\n%s.\n\nOptions:\n",
                          command->name, command->operands, command->summary);
  cli_append_option_help (text, command->options);
  g_string_append_printf (text, "\nThe manual: " PROGRAM "-%s(1)\n", command->name);
}

static void
append_program_help (GString *text)
{
  g_string_append (text, "Usage: " PROGRAM " COMMAND [OPTIONS] IMAGE...\n\n"
                         "Looks after disk images: who holds them, what they are.\n\nCommands:\n");
  for (guint i = 0; cli_commands[i] != NULL; i++)
    g_string_append_printf (text, "  %-14s%s\n", cli_commands[i]->name, cli_commands[i]->summary);
  g_string_append (text, "  help          show help on a command\n\n"
                         "Options:\n"
                         "  -h, --help      show this help\n"
                         "  -V, --version   show the version\n\n"
                         "'" PROGRAM " COMMAND --help' tells about a command. "
                         "The manual: " PROGRAM "(1)\n");
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
  fprintf (stderr, "Try '" PROGRAM " %s --help' for more information.\n", command->name);
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

static int
run_command (const CliCommand *command, int argc, char **argv)
{
  g_autofree gpointer params
      = command->new_params != NULL ? command->new_params () : g_malloc0 (command->params_size);
  g_autofree char **operands = NULL;
  g_autoptr (GString) output = g_string_new (NULL);
  g_autoptr (GError) error = NULL;
  char name[] = PROGRAM;

  argv[0] = name; /* what getopt puts before its messages */
  if (command->command_offset != 0)
    *(char ***)(void *)((char *)params + command->command_offset) = cut_off_command (&argc, argv);
  if (!cli_parse (argc, argv, command->options, params, &operands, &error))
    return fail (error, command, command->usage_status);
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
  if (error != NULL)
    return fail (error, command, status);
  return write_text (output, status, command->usage_status);
}

static int
unknown_command (const char *name)
{
  g_autofree char *safe = img_text_escape (name, -1);
  fprintf (stderr, PROGRAM ": unknown command '%s'; see '" PROGRAM " --help'\n", safe);
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
  g_autoptr (GString) text
      = g_string_new (PROGRAM " version " PACKAGE_VERSION "\n"
                              "License LGPL-2.1-or-later. There is no warranty.\n");
  return write_text (text, CLI_EXIT_OK, CLI_EXIT_FAILURE);
}

static gboolean
is_one_of (const char *word, const char *a, const char *b)
{
  return strcmp (word, a) == 0 || strcmp (word, b) == 0;
}

int
main (int argc, char **argv)
{
  cli_secure_stdio ();
  setlocale (LC_CTYPE, "");
  cli_ignore_signals (); /* a full pipe or file is reported */

  if (argc < 2)
    {
      fprintf (stderr, PROGRAM ": which command? See '" PROGRAM " --help'\n");
      return CLI_EXIT_FAILURE;
    }
  if (is_one_of (argv[1], "--help", "-h"))
    return show_help (NULL);
  if (strcmp (argv[1], "help") == 0)
    return show_help (argv[2]);
  if (is_one_of (argv[1], "--version", "-V"))
    return show_version ();
  if (strcmp (argv[1], "__complete") == 0)
    {
      g_autoptr (GString) text = g_string_new (NULL);
      cli_complete (text, (const char *const *)argv + 2);
      return write_text (text, CLI_EXIT_OK, CLI_EXIT_FAILURE);
    }
  const CliCommand *command = cli_command_find (argv[1]);
  return command == NULL ? unknown_command (argv[1]) : run_command (command, argc - 1, argv + 1);
}
