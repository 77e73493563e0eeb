/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/complete.h"

#include <string.h>

#include "cli/command.h"
#include "cli/holder-table.h"
#include "disk/detect.h"
#include "disk/disk.h"
#include "engine/digest.h"

/* What can stand in a word for what was @typed of it; its first @fixed bytes stay as they are. */
typedef struct
{
  GString *text; /* borrowed; the answer */
  const char *typed;
  gsize fixed;
} Question;

/* @candidate, with @end behind it, if it is a continuation of what was typed. */
static void
offer (const Question *question, const char *candidate, const char *end)
{
  if (g_str_has_prefix (candidate, question->typed + question->fixed))
    g_string_append_printf (question->text, "%.*s%s%s\n", (int)question->fixed, question->typed,
                            candidate, end);
}

/* Names of files, or whatever @kind is. */
static void
offer_files (const Question *question, const char *kind)
{
  g_string_append_printf (question->text, ":%s%s%.*s\n", kind, question->fixed > 0 ? " " : "",
                          (int)question->fixed, question->typed);
}

static void
offer_choices (const Question *question, const CliChoice *choices)
{
  for (; choices != NULL && choices->name != NULL; choices++)
    offer (question, choices->name, "");
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

/* ---- lists of values ---- */

/* The part of a list that is being typed: what is before it stays as it is. A comma that is doubled
 * is part of a value. Returns whether there is anything before it. */
static gboolean
go_to_last_part (Question *question)
{
  gsize begin = question->fixed;
  for (gsize i = begin; question->typed[i] != '\0'; i++)
    if (question->typed[i] == ',' && question->typed[i + 1] == ',')
      i++;
    else if (question->typed[i] == ',')
      question->fixed = i + 1;
  return question->fixed > begin;
}

/* Whether one of the parts of the list before the last, which begins at @begin, is @name, or has it
 * as a key. */
static gboolean
is_used (const Question *question, gsize begin, const char *name)
{
  g_autofree char *before = g_strndup (question->typed + begin, (gsize)(question->fixed - begin));
  g_auto (GStrv) parts = g_strsplit (before, ",", -1);
  for (guint i = 0; parts[i] != NULL; i++)
    {
      gsize length = strcspn (parts[i], "=");
      if (strncmp (parts[i], name, length) == 0 && name[length] == '\0')
        return TRUE;
    }
  return FALSE;
}

/* More of the @names, joined by commas, or one of @alone, which stand for themselves. */
static void
offer_list (const Question *whole, const char *names, const char *const *alone)
{
  Question question = *whole;
  g_auto (GStrv) all = g_strsplit (names, ",", -1);
  gboolean is_first = !go_to_last_part (&question);

  for (guint i = 0; all[i] != NULL; i++)
    if (!is_used (&question, whole->fixed, all[i]))
      offer (&question, all[i], "");
  for (guint i = 0; is_first && alone != NULL && alone[i] != NULL; i++)
    offer (&question, alone[i], "");
}

static void
offer_columns (const Question *question)
{
  g_autofree char *names = cli_holder_table_columns ();
  offer_list (question, names, NULL);
}

static void
offer_digests (const Question *question)
{
  g_autofree char *names = g_strjoinv (",", (char **)img_digest_names ());
  offer_list (question, names, NULL);
}

static void
offer_permissions (const Question *question)
{
  static const char *const alone[] = { "all", "none", NULL };
  offer_list (question, "consistent-read,write,write-unchanged,resize", alone);
}

/* What @row of a format takes. */
static void
offer_create_values (const Question *question, const ImgCreateRow *row)
{
  if (g_str_has_suffix (row->name, "_file"))
    offer_files (question, "files");
  else if (g_str_has_suffix (row->name, "_fmt"))
    offer_choices (question, cli_format_choices);
  for (guint i = 0; row->choices != NULL && row->choices[i].name != NULL; i++)
    offer (question, row->choices[i].name, "");
}

/* KEY=VALUE,... for an image of @format; with NULL, which may still follow, of the format that has
 * the most keys. The size is not among them unless @with_size. */
static void
offer_create_list (const Question *whole, const char *format, gboolean with_size)
{
  Question question = *whole;
  const ImgCreateRow *row = img_disk_create_rows (format != NULL ? format : "qcow2");

  go_to_last_part (&question);
  const char *part = whole->typed + question.fixed;
  gsize length = strcspn (part, "=");
  for (; row != NULL && row->name != NULL; row++)
    if (!with_size && strcmp (row->name, "size") == 0)
      continue;
    else if (part[length] == '\0' && !is_used (&question, whole->fixed, row->name))
      offer (&question, row->name, "=");
    else if (part[length] == '=' && strncmp (part, row->name, length) == 0
             && row->name[length] == '\0')
      {
        question.fixed += length + 1;
        offer_create_values (&question, row);
        return;
      }
}

/* ---- the options of a command ---- */

/* The option called @name, of which the first @length bytes count, or the only one that begins
 * so. */
static const CliOption *
find_long (const CliOption *options, const char *name, gsize length)
{
  const CliOption *found = NULL;
  gboolean is_ambiguous = FALSE;
  for (; options->long_name != NULL; options++)
    if (strncmp (options->long_name, name, length) == 0)
      {
        if (options->long_name[length] == '\0')
          return options;
        is_ambiguous = found != NULL;
        found = options;
      }
  return is_ambiguous ? NULL : found;
}

/* The first option with a value among those @letters; *@rest is what is behind it. */
static const CliOption *
find_short (const CliOption *options, const char *letters, const char **rest)
{
  for (; *letters != '\0'; letters++)
    {
      const CliOption *row = options;
      while (row->long_name != NULL && row->short_name != *letters)
        row++;
      if (row->long_name == NULL)
        return NULL;
      *rest = letters + 1;
      if (cli_option_needs_value (row))
        return row;
    }
  return NULL;
}

/* The option that @word has a value for, or may have: "--locking=o", "-Oq", "-pO". *@value is
 * where it begins; NULL if it does not begin here. */
static const CliOption *
find_row (const CliOption *options, const char *word, const char **value)
{
  *value = NULL;
  if (!g_str_has_prefix (word, "--"))
    return word[0] == '-' ? find_short (options, word + 1, value) : NULL;
  const char *end = word + strcspn (word, "=");
  if (*end == '=')
    *value = end + 1;
  return find_long (options, word + 2, (gsize)(end - word - 2));
}

/* What the words before the last one leave to say. */
typedef struct
{
  const CliOption *pending; /* the last one is the value of this option; or NULL */
  gboolean is_operand;      /* it cannot be an option */
  const char *format;       /* the target's; NULL: not said yet */
} Context;

static void
note_value (Context *context, const CliOption *row, const char *value)
{
  context->pending = NULL;
  if (row->choices == cli_target_format_choices && img_format_can_be_written (value))
    context->format = value;
}

static Context
read_context (const CliOption *options, const char *const *words)
{
  Context context = { NULL, FALSE, NULL };
  for (; words[0] != NULL && words[1] != NULL; words++)
    {
      const char *value = NULL;
      const CliOption *row = NULL;
      if (context.pending != NULL)
        note_value (&context, context.pending, words[0]);
      else if (strcmp (words[0], "--") == 0)
        context.is_operand = TRUE;
      else if (!context.is_operand)
        row = find_row (options, words[0], &value);
      if (row == NULL || !cli_option_needs_value (row))
        continue;
      /* "-O" takes the next word, "--target-format=" the empty one that is here. */
      if (value == NULL || (value[0] == '\0' && words[0][1] != '-'))
        context.pending = row;
      else
        note_value (&context, row, value);
    }
  return context;
}

static void
offer_values (const Question *question, const CliCommand *command, const CliOption *row,
              const char *format)
{
  if (row->value == CLI_FILE)
    offer_files (question, "files");
  else if (row->value == CLI_FOLDER)
    offer_files (question, "folders");
  else if (row->value == CLI_CREATE_LIST)
    offer_create_list (question, format, command == &cli_cmd_create);
  else if (row->value == CLI_COLUMN_LIST)
    offer_columns (question);
  else if (row->value == CLI_DIGEST_LIST)
    offer_digests (question);
  else if (row->value == CLI_PERMISSION_LIST)
    offer_permissions (question);
  else
    offer_choices (question, row->choices);
}

static void
offer_options (const Question *question, const CliOption *options)
{
  for (; options->long_name != NULL; options++)
    {
      g_autofree char *candidate = g_strconcat ("--", options->long_name, NULL);
      offer (question, candidate, cli_option_needs_value (options) ? "=" : "");
    }
}

/* @words are those behind the name of the command. */
static void
complete_for_command (Question *question, const CliCommand *command, const char *const *words)
{
  Context context = read_context (command->options, words);
  const char *value = NULL;
  const CliOption *row = context.pending;

  if (row == NULL && !context.is_operand)
    row = find_row (command->options, question->typed, &value);
  if (row != NULL && (context.pending != NULL || value != NULL))
    {
      question->fixed = value == NULL ? 0 : (gsize)(value - question->typed);
      offer_values (question, command, row, context.format);
    }
  else if (question->typed[0] == '-' && !context.is_operand)
    offer_options (question, command->options);
  else
    offer_files (question, "files");
}

static void
offer_commands (const Question *question)
{
  for (guint i = 0; cli_commands[i] != NULL; i++)
    offer (question, cli_commands[i]->name, "");
}

static void
complete_words (GString *text, const char *const *words)
{
  guint n = g_strv_length ((char **)words);
  Question question = { text, n == 0 ? "" : words[n - 1], 0 };

  if (n <= 1)
    {
      offer_commands (&question);
      offer (&question, "help", "");
      if (question.typed[0] == '-')
        {
          offer (&question, "--help", "");
          offer (&question, "--version", "");
        }
      return;
    }
  if (n == 2 && strcmp (words[0], "help") == 0)
    offer_commands (&question);
  const CliCommand *command = cli_command_find (words[0]);
  if (command != NULL)
    complete_for_command (&question, command, words + 1);
}

void
cli_complete (GString *text, const char *const *arguments)
{
  if (arguments[0] == NULL)
    return;
  if (strcmp (arguments[0], "--") == 0)
    complete_words (text, arguments + 1);
  else if (strcmp (arguments[0], "--commands") == 0)
    {
      const Question question = { text, "", 0 };
      offer_commands (&question);
    }
  else if (strcmp (arguments[0], "--options") == 0 && arguments[1] != NULL)
    {
      const CliCommand *command = cli_command_find (arguments[1]);
      if (command != NULL)
        list_options (text, command->options);
    }
}
