/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/repair.h"

#include "base/text.h"
#include "disk/probe.h"
#include "engine/obstacle.h"
#include "engine/undo.h"

/* Entries first, then refcounts, then the marks in the header; more would not help. */
#define MAX_ROUNDS 5

/* Locked as only a repair is. */
static ImgFile *
open_alone (const ImgImageSpec *spec, const ImgOpenParams *params, GError **error)
{
  g_autofree char *safe = img_text_escape (spec->path, -1);
  g_autofree char *reason = img_find_obstacle (spec->path, params->locking, IMG_USE_REPAIR, FALSE);
  ImgFileParams file_params = { .is_writable = TRUE,
                                .is_exclusive = TRUE,
                                .locking = params->locking,
                                .permissions = img_use_permissions (IMG_USE_REPAIR, FALSE),
                                .lock_wait = params->lock_wait };

  if (reason != NULL)
    return img_null_throw (error, IMG_ERROR_LOCKED, "cannot write to '%s': %s", safe, reason);
  return img_open_file (spec->path, &file_params, error);
}

/* ---- writing ---- */

static gboolean
write_stage (ImgFile *file, const ImgPlan *plan, ImgStage stage, GError **error)
{
  gboolean is_empty = TRUE;

  for (guint i = 0; i < plan->patches->len; i++)
    {
      const ImgPatch *patch = plan->patches->pdata[i];
      if (patch->stage != stage)
        continue;
      is_empty = FALSE;
      if (!img_file_write (file, patch->offset, patch->bytes, patch->length, error))
        return FALSE;
    }
  return is_empty || img_file_flush (file, error);
}

static gboolean
write_plan (ImgFile *file, const ImgPlan *plan, GError **error)
{
  if (plan->size > img_file_size (file)
      && (!img_file_resize (file, plan->size, error) || !img_file_flush (file, error)))
    return FALSE;
  for (ImgStage stage = 0; stage < IMG_N_STAGES; stage++)
    if (!img_file_verify_lock (file, NULL, error) || !write_stage (file, plan, stage, error))
      return FALSE;
  return TRUE;
}

static void
count_plan (ImgRepairReport *report, const ImgPlan *plan)
{
  for (guint i = 0; i < plan->patches->len; i++)
    {
      const ImgPatch *patch = plan->patches->pdata[i];
      report->stages[patch->stage].n_places++;
      report->stages[patch->stage].bytes += patch->length;
      report->n_places++;
    }
}

/* ---- rounds ---- */

/* A check, which leaves in *@plan what is to be done. */
static ImgCheckReport *
look (ImgFile *file, const char *format, const ImgRepairJob *job, ImgPlan *plan, GError **error)
{
  ImgCheckJob check = job->check;

  check.plan = plan;
  check.repair = job->repair;
  return img_check_file (file, format, &check, error);
}

static gboolean
repair_file (ImgRepairReport *report, ImgFile *file, const char *format, const ImgRepairJob *job,
             GError **error)
{
  g_autoptr (ImgUndo) undo = NULL;

  for (guint round = 0; round <= MAX_ROUNDS; round++)
    {
      g_autoptr (ImgPlan) plan = img_plan_new ();
      ImgCheckReport *found = look (file, format, job, round < MAX_ROUNDS ? plan : NULL, error);
      if (found == NULL)
        return FALSE;
      if (round == 0)
        report->before = found;
      else
        {
          g_clear_pointer (&report->after, img_check_report_free);
          report->after = found;
        }
      report->is_held_back = plan->is_held_back;
      if (plan->patches->len == 0)
        break;
      count_plan (report, plan);
      if (job->is_dry_run)
        break;
      if (undo == NULL && job->undo_path != NULL)
        {
          undo = img_undo_new (job->undo_path, error);
          if (undo == NULL)
            return FALSE;
        }
      if ((undo != NULL && !img_undo_save (undo, file, plan, error))
          || !write_plan (file, plan, error))
        return FALSE;
    }
  return undo == NULL || img_undo_finish (undo, file, error);
}

/* What changed from the first check to the last was repaired. */
static void
note_fixed (ImgRepairReport *report)
{
  const ImgCheckResult *before = &report->before->result;
  ImgCheckResult *after = &report->after->result;

  if (after->corruptions < before->corruptions)
    after->corruptions_fixed = before->corruptions - after->corruptions;
  if (after->leaks < before->leaks)
    after->leaks_fixed = before->leaks - after->leaks;
}

ImgRepairReport *
img_repair_image (const ImgImageSpec *spec, const ImgRepairJob *job, GError **error)
{
  g_autoptr (ImgRepairReport) report = g_new0 (ImgRepairReport, 1);
  const char *format;
  g_autoptr (ImgFile) file
      = job->is_dry_run ? img_open (spec->path, IMG_USE_CHECK, &job->check.open, &format, error)
                        : open_alone (spec, &job->check.open, error);

  if (file == NULL)
    return NULL;
  if (!job->is_dry_run)
    format = job->check.open.format != NULL ? job->check.open.format : img_probe (file, error);
  if (format == NULL || !repair_file (report, file, format, job, error)
      || !img_file_verify_lock (file, NULL, error))
    return NULL;
  if (report->after != NULL)
    note_fixed (report);
  return g_steal_pointer (&report);
}

void
img_repair_report_free (ImgRepairReport *report)
{
  g_clear_pointer (&report->before, img_check_report_free);
  g_clear_pointer (&report->after, img_check_report_free);
  g_free (report);
}

gboolean
img_repair_undo (const ImgImageSpec *spec, const ImgOpenParams *params, const char *undo_path,
                 guint *n_places, GError **error)
{
  g_autoptr (ImgFile) file = open_alone (spec, params, error);

  return file != NULL && img_undo_apply (undo_path, file, n_places, error)
         && img_file_verify_lock (file, NULL, error);
}
