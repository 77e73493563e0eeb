/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/qcow2/repair.h"

#include "base/bytes.h"

#define INCOMPATIBLE_AT 72
#define AUTOCLEAR_AT 88
#define KNOWN_AUTOCLEAR (QCOW2_BITMAPS | QCOW2_RAW_DATA_FILE)

static void
put_word (ImgPlan *plan, ImgStage stage, guint64 offset, guint64 value)
{
  guint64 word = GUINT64_TO_BE (value);
  img_plan_add (plan, stage, offset, &word, sizeof word);
}

/* Marks in the header that are out of date when nothing is wrong any more. */
static void
plan_header (const Qcow2Check *check, ImgPlan *plan)
{
  const Qcow2 *q = check->q;
  const ImgCheckResult *result = check->result;

  if (q->version < 3)
    return;
  /* Whoever does not know a feature and writes has to say that it is out of date. */
  if (plan->patches->len > 0 && (q->autoclear & ~KNOWN_AUTOCLEAR) != 0)
    put_word (plan, IMG_STAGE_CLEAR, AUTOCLEAR_AT, q->autoclear & KNOWN_AUTOCLEAR);
  if (result->corruptions == 0 && result->errors == 0
      && (q->incompatible & (QCOW2_DIRTY | QCOW2_CORRUPT)) != 0)
    put_word (plan, IMG_STAGE_CLEAN, INCOMPATIBLE_AT,
              q->incompatible & ~(QCOW2_DIRTY | QCOW2_CORRUPT));
}

gboolean
qcow2_repair_plan (Qcow2Check *check, ImgRepair repair, ImgPlan *plan, GError **error)
{
  const ImgCheckResult *result = check->result;
  guint64 of_flags = result->n_of_kind[IMG_FINDING_COPIED];
  /* As QEMU: flags only if nothing else is wrong, so that the refcounts can be believed. */
  gboolean with_tables
      = repair == IMG_REPAIR_ALL || (result->corruptions == of_flags && result->errors == 0);
  gboolean is_stale = FALSE;

  if (repair == IMG_REPAIR_LEAKS && check->must_rebuild)
    return img_throw (error, IMG_ERROR_FAILED,
                      "'%s': its refcounts have to be rebuilt, which -r all does",
                      check->q->safe_path);
  if (with_tables && result->corruptions > 0
      && !qcow2_repair_tables (check, repair, plan, &is_stale, error))
    return FALSE;
  if (!is_stale)
    {
      if (check->must_rebuild ? !qcow2_repair_rebuild (check, plan, error)
                              : !qcow2_repair_refcounts (check, repair, plan, error))
        return FALSE;
    }
  plan_header (check, plan);
  return TRUE;
}
