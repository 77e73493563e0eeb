/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory that the disks of a chain share: who wants some waits until there is as much.
 *
 * Whoever has some must not wait for more, nor for anybody who does. Any thread may call. */
#pragma once

#include <glib.h>

typedef struct ImgBudget ImgBudget;

/* @bytes to be shared. Has one use. */
ImgBudget *img_budget_new (gsize bytes);
ImgBudget *img_budget_ref (ImgBudget *budget);
void img_budget_unref (ImgBudget *budget);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImgBudget, img_budget_unref)

/* Wait for @bytes; more than there are at all is as much as there are. */
void img_budget_take (ImgBudget *budget, gsize bytes);
void img_budget_give (ImgBudget *budget, gsize bytes);
