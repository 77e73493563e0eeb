/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/option.h"

#include <getopt.h>
#include <math.h>
#include <string.h>

#include "base/size.h"
#include "base/text.h"
#include "cli/wrap.h"
#include "engine/open.h"

/* getopt's value for the row with index i is this plus i. */
#define FIRST_ID 256

gboolean
cli_set_flag (G_GNUC_UNUSED const CliOption *option, G_GNUC_UNUSED const char *value,
              gpointer field, G_GNUC_UNUSED GError **error)
{
  *(gboolean *)field = TRUE;
  return TRUE;
}

gboolean
cli_set_string (G_GNUC_UNUSED const CliOption *option, const char *value, gpointer field,
                G_GNUC_UNUSED GError **error)
{
  *(const char **)field = value;
  return TRUE;
}

/* "on, off, auto or posix" */
static char *
list_choices (const CliChoice *choices)
{
  GString *list = g_string_new (NULL);
  for (guint i = 0; choices[i].name != NULL; i++)
    g_string_append_printf (list, "%s%s",
                            i == 0                        ? ""
                            : choices[i + 1].name == NULL ? " or "
                                                          : ", ",
                            choices[i].name);
  return g_string_free (list, FALSE);
}

gboolean
cli_set_choice (const CliOption *option, const char *value, gpointer field, GError **error)
{
  for (guint i = 0; option->choices[i].name != NULL; i++)
    if (strcmp (option->choices[i].name, value) == 0)
      {
        *(int *)field = option->choices[i].value;
        return TRUE;
      }
  g_autofree char *list = list_choices (option->choices);
  g_autofree char *safe = img_text_escape (value, -1);
  return img_throw (error, IMG_ERROR_USAGE, "bad value '%s' for --%s: it must be %s", safe,
                    option->long_name, list);
}

gboolean
cli_set_number (const CliOption *option, const char *value, gpointer field, GError **error)
{
  g_autofree char *safe = img_text_escape (value, -1);
  guint64 number;
  if (!g_ascii_string_to_unsigned (value, 10, 0, 255, &number, NULL))
    return img_throw (error, IMG_ERROR_USAGE,
                      "bad value '%s' for --%s: it must be a number from 0 to 255", safe,
                      option->long_name);
  *(gint64 *)field = (gint64)number;
  return TRUE;
}

gboolean
cli_set_wait (const CliOption *option, const char *value, gpointer field, GError **error)
{
  char *end = NULL;
  double seconds = value == NULL ? 0 : g_ascii_strtod (value, &end);

  if (value == NULL)
    *(gint64 *)field = IMG_WAIT_FOREVER;
  else if (end == value || *end != '\0' || !isfinite (seconds) || seconds < 0 || seconds > 1e12)
    {
      g_autofree char *safe = img_text_escape (value, -1);
      return img_throw (error, IMG_ERROR_USAGE,
                        "bad value '%s' for --%s: it must be a number of seconds", safe,
                        option->long_name);
    }
  else
    *(gint64 *)field = (gint64)(seconds * G_TIME_SPAN_SECOND);
  return TRUE;
}

gboolean
cli_set_size (const CliOption *option, const char *value, gpointer field, GError **error)
{
  g_autofree char *safe = img_text_escape (value, -1);
  return img_size_parse (value, (guint64 *)field)
         || img_throw (error, IMG_ERROR_USAGE,
                       "bad value '%s' for --%s: it must be a size in bytes, perhaps with k, M, G, "
                       "T, P or E behind it",
                       safe, option->long_name);
}

/* Whether a comma that stands for itself, not doubled, is at either end. */
static gboolean
has_loose_end (const char *list)
{
  gsize first = strspn (list, ","), last = 0, length = strlen (list);
  while (last < length && list[length - last - 1] == ',')
    last++;
  return length == 0 || first % 2 == 1 || last % 2 == 1;
}

gboolean
cli_add_list (const CliOption *option, const char *value, gpointer field, GError **error)
{
  char **list = field;
  g_autofree char *before = *list;
  g_autofree char *safe = img_text_escape (value, -1);

  *list = before == NULL ? g_strdup (value) : g_strconcat (before, ",", value, NULL);
  return !has_loose_end (value)
         || img_throw (error, IMG_ERROR_USAGE,
                       "bad value '%s' for --%s: it must be a list of KEY=VALUE", safe,
                       option->long_name);
}

gboolean
cli_set_nothing (G_GNUC_UNUSED const CliOption *option, G_GNUC_UNUSED const char *value,
                 G_GNUC_UNUSED gpointer field, G_GNUC_UNUSED GError **error)
{
  return TRUE;
}

gboolean
cli_option_needs_value (const CliOption *option)
{
  return option->value >= CLI_VALUE;
}

char *
cli_option_value_name (const CliOption *option)
{
  if (option->value == CLI_NO_VALUE)
    return NULL;
  if (option->value_name != NULL)
    return g_strdup (option->value_name);
  GString *names = g_string_new (NULL);
  for (guint i = 0; option->choices[i].name != NULL; i++)
    g_string_append_printf (names, "%s%s", i > 0 ? "|" : "", option->choices[i].name);
  return g_string_free (names, FALSE);
}

static guint
count (const CliOption *options)
{
  guint n = 0;
  while (options[n].long_name != NULL)
    n++;
  return n;
}

/* The tables getopt_long() wants. */
static struct option *
make_getopt_tables (const CliOption *options, GString *short_options)
{
  guint n = count (options);
  struct option *table = g_new0 (struct option, n + 1);

  for (guint i = 0; i < n; i++)
    {
      table[i].name = options[i].long_name;
      table[i].has_arg = cli_option_needs_value (&options[i])     ? required_argument
                         : options[i].value == CLI_OPTIONAL_VALUE ? optional_argument
                                                                  : no_argument;
      table[i].val = FIRST_ID + (int)i;
      if (options[i].short_name != 0)
        g_string_append_printf (short_options, "%c%s", options[i].short_name,
                                cli_option_needs_value (&options[i]) ? ":" : "");
    }
  return table;
}

/* The options that @word, "--so" or "--so=VALUE", may be the beginning of, as "'--some'
 * '--source'". */
static char *
list_beginning_with (const CliOption *options, const char *word)
{
  gsize length = strcspn (word + 2, "=");
  GString *list = g_string_new (NULL);

  for (; options->long_name != NULL; options++)
    if (strncmp (options->long_name, word + 2, length) == 0)
      g_string_append_printf (list, "%s'--%s'", list->len == 0 ? "" : " ", options->long_name);
  return g_string_free (list, FALSE);
}

/* What getopt_long() would print of @word, where it answered @id, but with foreign text escaped: a
 * name that a shell found may begin with a dash. */
static gboolean
throw_usage (const CliOption *options, int id, const char *word, GError **error)
{
  if (optopt >= FIRST_ID)
    return img_throw (error, IMG_ERROR_USAGE,
                      id == ':' ? "option '--%s' requires an argument"
                                : "option '--%s' doesn't allow an argument",
                      options[optopt - FIRST_ID].long_name);
  if (optopt != 0)
    {
      const char letter = (char)optopt;
      g_autofree char *safe = img_text_escape (&letter, 1);
      return img_throw (
          error, IMG_ERROR_USAGE,
          id == ':' ? "option requires an argument -- '%s'" : "invalid option -- '%s'", safe);
    }
  g_autofree char *safe = img_text_escape (word, -1);
  g_autofree char *list = list_beginning_with (options, word);
  if (list[0] == '\0')
    return img_throw (error, IMG_ERROR_USAGE, "unrecognized option '%s'", safe);
  return img_throw (error, IMG_ERROR_USAGE, "option '%s' is ambiguous; possibilities: %s", safe,
                    list);
}

static const CliOption *
find_option (const CliOption *options, int id)
{
  if (id >= FIRST_ID)
    return &options[id - FIRST_ID];
  while (options->short_name != id)
    options++;
  return options;
}

gboolean
cli_parse (int argc, char **argv, const CliOption *options, gpointer params, char ***operands,
           GError **error)
{
  g_autoptr (GString) short_options = g_string_new (":"); /* tells the two mistakes apart */
  g_autofree struct option *long_options = make_getopt_tables (options, short_options);
  int id;

  optind = 0; /* start anew */
  opterr = 0;
  while ((id = getopt_long (argc, argv, short_options->str, long_options, NULL)) != -1)
    {
      if (id == '?' || id == ':')
        return throw_usage (options, id, argv[optind - 1], error);
      const CliOption *option = find_option (options, id);
      if (!option->set (option, optarg, (char *)params + option->offset, error))
        return FALSE;
    }
  *operands = g_new0 (char *, (gsize)(argc - optind) + 1);
  memcpy (*operands, argv + optind, (gsize)(argc - optind) * sizeof (char *));
  return TRUE;
}

/* @words from column @column on, broken before column 80. */
static void
append_wrapped (GString *text, const char *words, guint column)
{
  g_autofree char *wrapped = cli_wrap (words, 79 - column);
  g_auto (GStrv) lines = g_strsplit (wrapped, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    g_string_append_printf (text, "%*s%s\n", i == 0 ? 0 : (int)column, "", lines[i]);
}

void
cli_append_option_help (GString *text, const CliOption *options)
{
  const guint column = 28;
  for (; options->long_name != NULL; options++)
    {
      g_autofree char *value = cli_option_value_name (options);
      g_autofree char *short_form = options->short_name == 0
                                        ? g_strdup ("    ")
                                        : g_strdup_printf ("-%c, ", options->short_name);
      g_autofree char *left = g_strdup_printf ("  %s--%s%s%s%s%s", short_form, options->long_name,
                                               options->value == CLI_OPTIONAL_VALUE ? "[" : "",
                                               value == NULL ? "" : "=", value == NULL ? "" : value,
                                               options->value == CLI_OPTIONAL_VALUE ? "]" : "");
      if (strlen (left) + 2 > column)
        g_string_append_printf (text, "%s\n%*s", left, (int)column, "");
      else
        g_string_append_printf (text, "%-*s", (int)column, left);
      append_wrapped (text, options->help, column);
    }
}
