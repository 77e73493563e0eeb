/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/fact-print.h"

#include "base/text.h"

static gboolean
is_composite (const ImgFact *fact)
{
  return fact->kind == IMG_FACT_LIST || fact->kind == IMG_FACT_GROUP;
}

static void
append_name (GString *text, const ImgFact *fact, guint index)
{
  if (fact->name == NULL)
    {
      g_string_append_printf (text, "[%u]:", index);
      return;
    }
  for (const char *c = fact->name; *c != '\0'; c++)
    g_string_append_c (text, *c == '-' ? ' ' : *c);
  g_string_append_c (text, ':');
}

static void
append_value (GString *text, const ImgFact *fact)
{
  if (fact->kind == IMG_FACT_BOOLEAN)
    g_string_append (text, fact->boolean ? "true" : "false");
  else if (fact->kind == IMG_FACT_NUMBER)
    g_string_append_printf (text, "%" G_GUINT64_FORMAT, fact->number);
  else
    {
      g_autofree char *safe = img_text_escape (fact->text, -1);
      g_string_append (text, safe);
    }
}

void
cli_fact_append_text (GString *text, const ImgFact *fact, guint indent)
{
  for (guint i = 0; i < fact->facts->len; i++)
    {
      const ImgFact *child = fact->facts->pdata[i];
      g_string_append_printf (text, "%*s", (int)indent * 4, "");
      append_name (text, child, i);
      g_string_append_c (text, is_composite (child) ? '\n' : ' ');
      if (is_composite (child))
        cli_fact_append_text (text, child, indent + 1);
      else
        {
          append_value (text, child);
          g_string_append_c (text, '\n');
        }
    }
}

json_t *
cli_fact_to_json (const ImgFact *fact)
{
  switch (fact->kind)
    {
    case IMG_FACT_BOOLEAN:
      return json_boolean (fact->boolean);
    case IMG_FACT_NUMBER:
      return json_integer ((json_int_t)fact->number);
    case IMG_FACT_TEXT:
      return cli_json_text (fact->text);
    default:
      break;
    }
  json_t *json = fact->kind == IMG_FACT_LIST ? json_array () : json_object ();
  for (guint i = 0; i < fact->facts->len; i++)
    {
      const ImgFact *child = fact->facts->pdata[i];
      if (fact->kind == IMG_FACT_LIST)
        json_array_append_new (json, cli_fact_to_json (child));
      else
        json_object_set_new (json, child->name, cli_fact_to_json (child));
    }
  return json;
}
