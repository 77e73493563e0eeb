/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a repair writes, in the order in which it is safe to write it.
 *
 * A plan is made in full before anything is written, and has stages: what is written in one is on
 * the disk before the next begins. Wherever it ends, the image is no worse than before: flags that
 * say too much are cleared first, refcounts are raised before they are lowered, and a header points
 * to new tables only when these are there. */
#pragma once

#include "base/error.h"

typedef enum
{
  IMG_STAGE_CLEAR,  /* flags and entries that say too much */
  IMG_STAGE_RAISE,  /* refcounts that are too low; new tables where nothing was */
  IMG_STAGE_SWITCH, /* to the new tables */
  IMG_STAGE_LOWER,  /* refcounts that are too high */
  IMG_STAGE_SET,    /* flags that could say more */
  IMG_STAGE_CLEAN,  /* that all is well again */
} ImgStage;

#define IMG_N_STAGES 6

typedef enum
{
  IMG_REPAIR_NONE,
  IMG_REPAIR_LEAKS, /* only give back what nobody uses */
  IMG_REPAIR_ALL,
} ImgRepair;

/* New bytes for a place in the file. */
typedef struct
{
  ImgStage stage;
  guint64 offset;
  gsize length;
  guint8 bytes[];
} ImgPatch;

typedef struct
{
  GPtrArray *patches;    /* owned ImgPatch, in the order in which they were added */
  guint64 size;          /* the file has to have at least so many bytes first; 0: it has */
  gboolean is_held_back; /* something stays wrong because another thing is in the same place */
  gboolean is_short_of_memory; /* not all that was added is there; see img_plan_check() */
} ImgPlan;

ImgPlan *img_plan_new (void);
void img_plan_free (ImgPlan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImgPlan, img_plan_free)

void img_plan_add (ImgPlan *plan, ImgStage stage, guint64 offset, const void *bytes, gsize length);

/* An error if something could not be added, so that @plan, of the image @path, is not to be used.
 */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_plan_check (const ImgPlan *plan, const char *path, GError **error);

/* Add what differs between @before and @after, which are of the place @offset. */
void img_plan_add_changes (ImgPlan *plan, ImgStage stage, guint64 offset, const guint8 *before,
                           const guint8 *after, gsize length);

/* "clear" and so on; constant. */
const char *img_stage_name (ImgStage stage);
