/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checking one image, and nothing of what it names. */
#pragma once

#include "disk/check.h"
#include "engine/open.h"
#include "engine/progress.h"

typedef struct
{
  ImgOpenParams open;
  gboolean with_data; /* read all content too */
  ImgPlan *plan;      /* borrowed; see ImgCheckParams */
  ImgRepair repair;
  ImgProgress progress;
} ImgCheckJob;

typedef struct
{
  char *path;         /* owned; as given */
  const char *format; /* constant */
  gboolean has_check; /* the format has something to check; else the rest is empty */
  ImgCheckResult result;
  char *warning, *remark; /* owned; how it was locked, see img_lock_warning(); or NULL */
} ImgCheckReport;

/* Check the image at @path. Errors: those of img_open(), what cannot be opened or read at all, and
 * IMG_ERROR_LOCK_LOST. */
G_GNUC_WARN_UNUSED_RESULT
ImgCheckReport *img_check_image (const char *path, const ImgCheckJob *job, GError **error);

/* Only open it, as for a check, and see what it is: a report without a result. */
G_GNUC_WARN_UNUSED_RESULT
ImgCheckReport *img_check_probe (const char *path, const ImgOpenParams *params, GError **error);

/* img_check_image() for @file, which is open and locked. */
G_GNUC_WARN_UNUSED_RESULT
ImgCheckReport *img_check_file (ImgFile *file, const char *format, const ImgCheckJob *job,
                                GError **error);
void img_check_report_free (ImgCheckReport *report);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImgCheckReport, img_check_report_free)
