/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a format knows about an image and others do not: a tree of named values, in the order in
 * which they are to be shown.
 *
 * The names are those of qemu-img's JSON ("refcount-bits"). Whoever prints a fact needs to know
 * nothing about the format. Texts are as they are in the image: not escaped, perhaps not UTF-8. */
#pragma once

#include <glib.h>

typedef enum
{
  IMG_FACT_BOOLEAN,
  IMG_FACT_NUMBER,
  IMG_FACT_TEXT,
  IMG_FACT_LIST,  /* of facts without names */
  IMG_FACT_GROUP, /* of facts with names */
} ImgFactKind;

typedef struct
{
  const char *name; /* constant; NULL in a list */
  ImgFactKind kind;
  gboolean boolean;
  guint64 number;
  char *text;       /* owned */
  GPtrArray *facts; /* owned ImgFact: what a list or group has */
} ImgFact;

/* A group without a name, to begin with. */
ImgFact *img_fact_new (void);
void img_fact_free (ImgFact *fact);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImgFact, img_fact_free)

/* Add to the group or list @fact; @name is constant, and NULL in a list. */
void img_fact_add_boolean (ImgFact *fact, const char *name, gboolean value);
void img_fact_add_number (ImgFact *fact, const char *name, guint64 value);
void img_fact_add_text (ImgFact *fact, const char *name, const char *value);

/* Likewise; returns what was added, which @fact owns. */
ImgFact *img_fact_add_list (ImgFact *fact, const char *name);
ImgFact *img_fact_add_group (ImgFact *fact, const char *name);
