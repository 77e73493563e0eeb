/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Repairing one image: check, plan, write, until there is nothing left to do. */
#pragma once

#include "engine/check.h"
#include "engine/image-spec.h"

typedef struct
{
  ImgCheckJob check;
  ImgRepair repair;
  gboolean is_dry_run;   /* only say what would be done */
  const char *undo_path; /* borrowed; where to keep what is overwritten; NULL: nowhere */
} ImgRepairJob;

/* What was, or would be, written in a stage. */
typedef struct
{
  guint64 n_places, bytes;
} ImgRepairStage;

typedef struct
{
  ImgCheckReport *before, *after; /* owned; after is NULL if nothing was written */
  ImgRepairStage stages[IMG_N_STAGES];
  guint64 n_places;
  gboolean is_held_back; /* see ImgPlan */
} ImgRepairReport;

/* Repair the image of @spec, which must have a check. It is locked against everybody; who has it
 * open for writing without a lock is in the way too. Errors: those of img_check_image(). */
G_GNUC_WARN_UNUSED_RESULT
ImgRepairReport *img_repair_image (const ImgImageSpec *spec, const ImgRepairJob *job,
                                   GError **error);
void img_repair_report_free (ImgRepairReport *report);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImgRepairReport, img_repair_report_free)

/* Put back in the image of @spec what a repair saved at @undo_path. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_repair_undo (const ImgImageSpec *spec, const ImgOpenParams *params,
                          const char *undo_path, guint *n_places, GError **error);
