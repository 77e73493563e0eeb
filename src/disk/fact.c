/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk/fact.h"

static ImgFact *
new_fact (const char *name, ImgFactKind kind)
{
  ImgFact *fact = g_new0 (ImgFact, 1);
  fact->name = name;
  fact->kind = kind;
  if (kind == IMG_FACT_LIST || kind == IMG_FACT_GROUP)
    fact->facts = g_ptr_array_new_with_free_func ((GDestroyNotify)img_fact_free);
  return fact;
}

static ImgFact *
add (ImgFact *fact, const char *name, ImgFactKind kind)
{
  ImgFact *added = new_fact (name, kind);
  g_assert (fact->facts != NULL && (name != NULL) == (fact->kind == IMG_FACT_GROUP));
  g_ptr_array_add (fact->facts, added);
  return added;
}

ImgFact *
img_fact_new (void)
{
  return new_fact (NULL, IMG_FACT_GROUP);
}

void
img_fact_free (ImgFact *fact)
{
  g_free (fact->text);
  g_clear_pointer (&fact->facts, g_ptr_array_unref);
  g_free (fact);
}

void
img_fact_add_boolean (ImgFact *fact, const char *name, gboolean value)
{
  add (fact, name, IMG_FACT_BOOLEAN)->boolean = value;
}

void
img_fact_add_number (ImgFact *fact, const char *name, guint64 value)
{
  add (fact, name, IMG_FACT_NUMBER)->number = value;
}

void
img_fact_add_text (ImgFact *fact, const char *name, const char *value)
{
  add (fact, name, IMG_FACT_TEXT)->text = g_strdup (value);
}

ImgFact *
img_fact_add_list (ImgFact *fact, const char *name)
{
  return add (fact, name, IMG_FACT_LIST);
}

ImgFact *
img_fact_add_group (ImgFact *fact, const char *name)
{
  return add (fact, name, IMG_FACT_GROUP);
}
