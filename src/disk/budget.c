/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk/budget.h"

struct ImgBudget
{
  gsize total;
  GMutex mutex;
  GCond given;
  gsize left; /* under the mutex */
};

ImgBudget *
img_budget_new (gsize bytes)
{
  ImgBudget *budget = g_atomic_rc_box_new0 (ImgBudget);
  budget->total = budget->left = bytes;
  g_mutex_init (&budget->mutex);
  g_cond_init (&budget->given);
  return budget;
}

ImgBudget *
img_budget_ref (ImgBudget *budget)
{
  return g_atomic_rc_box_acquire (budget);
}

static void
clear (gpointer data)
{
  ImgBudget *budget = data;
  g_mutex_clear (&budget->mutex);
  g_cond_clear (&budget->given);
}

void
img_budget_unref (ImgBudget *budget)
{
  g_atomic_rc_box_release_full (budget, clear);
}

void
img_budget_take (ImgBudget *budget, gsize bytes)
{
  bytes = MIN (bytes, budget->total);
  g_mutex_lock (&budget->mutex);
  while (budget->left < bytes)
    g_cond_wait (&budget->given, &budget->mutex);
  budget->left -= bytes;
  g_mutex_unlock (&budget->mutex);
}

void
img_budget_give (ImgBudget *budget, gsize bytes)
{
  g_mutex_lock (&budget->mutex);
  budget->left += MIN (bytes, budget->total);
  g_cond_broadcast (&budget->given);
  g_mutex_unlock (&budget->mutex);
}
