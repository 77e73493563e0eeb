/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/complete.h"

#include <string.h>

#include "cli/command.h"

static void
offer (GString *text, const char *typed, const char *candidate)
{
  if (g_str_has_prefix (candidate, typed))
    g_string_append_printf (text, "%s\n", candidate);
}

static void
list_options (GString *text, const CliOption *options)
{
  for (; options->long_name != NULL; options++)
    {
      g_autofree char *value = cli_option_value_name (options);
      gboolean is_optional = options->value == CLI_OPTIONAL_VALUE;
      if (options->short_name != 0)
        g_string_append_printf (text, "-%c", options->short_name);
      g_string_append_printf (text, "\t--%s%s%s%s%s\t%s\n", options->long_name,
                              is_optional ? "[" : "", value == NULL ? "" : "=",
                              value == NULL ? "" : value, is_optional ? "]" : "", options->help);
    }
}

/* The row that @word begins with: "--locking", "--locking=o", "-f". */
static const CliOption *
find_row (const CliOption *options, const char *word)
{
  for (; options->long_name != NULL; options++)
    {
      gsize length = strlen (options->long_name);
      if (word[0] == '-' && word[1] != '-' && word[1] == options->short_name && word[2] == '\0')
        return options;
      if (g_str_has_prefix (word, "--") && strncmp (word + 2, options->long_name, length) == 0
          && (word[2 + length] == '\0' || word[2 + length] == '='))
        return options;
    }
  return NULL;
}

/* The values of @option, each behind @prefix. */
static void
offer_values (GString *text, const CliOption *option, const char *prefix, const char *typed)
{
  for (guint i = 0; option->choices != NULL && option->choices[i].name != NULL; i++)
    {
      g_autofree char *candidate = g_strconcat (prefix, option->choices[i].name, NULL);
      offer (text, typed, candidate);
    }
}

static void
offer_options (GString *text, const CliOption *options, const char *typed)
{
  for (; options->long_name != NULL; options++)
    {
      g_autofree char *candidate
          = g_strconcat ("--", options->long_name, options->value == CLI_VALUE ? "=" : "", NULL);
      offer (text, typed, candidate);
    }
}

static void
complete_for_command (GString *text, const CliCommand *command, const char *before,
                      const char *typed)
{
  const char *equals = strchr (typed, '=');
  const CliOption *row = find_row (command->options, before);

  if (row != NULL && row->value == CLI_VALUE && strchr (before, '=') == NULL)
    offer_values (text, row, "", typed);
  else if (g_str_has_prefix (typed, "--") && equals != NULL)
    {
      g_autofree char *prefix = g_strndup (typed, (gsize)(equals + 1 - typed));
      row = find_row (command->options, typed);
      if (row != NULL)
        offer_values (text, row, prefix, typed);
    }
  else if (typed[0] == '-')
    offer_options (text, command->options, typed);
  else
    g_string_append (text, ":files\n");
}

static void
offer_commands (GString *text, const char *typed)
{
  for (guint i = 0; cli_commands[i] != NULL; i++)
    offer (text, typed, cli_commands[i]->name);
}

static void
complete_words (GString *text, const char *const *words)
{
  guint n = 0;
  while (words[n] != NULL)
    n++;
  const char *typed = n == 0 ? "" : words[n - 1];

  if (n <= 1)
    {
      offer_commands (text, typed);
      offer (text, typed, "help");
      if (typed[0] == '-')
        {
          offer (text, typed, "--help");
          offer (text, typed, "--version");
        }
      return;
    }
  if (n == 2 && strcmp (words[0], "help") == 0)
    offer_commands (text, typed);
  const CliCommand *command = cli_command_find (words[0]);
  if (command != NULL)
    complete_for_command (text, command, words[n - 2], typed);
}

void
cli_complete (GString *text, const char *const *arguments)
{
  if (arguments[0] == NULL)
    return;
  if (strcmp (arguments[0], "--") == 0)
    complete_words (text, arguments + 1);
  else if (strcmp (arguments[0], "--commands") == 0)
    offer_commands (text, "");
  else if (strcmp (arguments[0], "--options") == 0 && arguments[1] != NULL)
    {
      const CliCommand *command = cli_command_find (arguments[1]);
      if (command != NULL)
        list_options (text, command->options);
    }
}
