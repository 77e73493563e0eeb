/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/qcow2/repair.h"

#include "base/bytes.h"

#define INCOMPATIBLE_AT 72

static void
put_word (ImgPlan *plan, ImgStage stage, guint64 offset, guint64 value)
{
  guint64 word = GUINT64_TO_BE (value);
  img_plan_add (plan, stage, offset, &word, sizeof word);
}

/* Marks in the header that are out of date when nothing is wrong any more. */
static void
plan_header (const Qcow2Check *check, ImgRepair repair, ImgPlan *plan)
{
  const Qcow2 *q = check->q;
  const ImgCheckResult *result = check->result;
  guint64 autoclear = q->autoclear;

  if (q->version < 3)
    return;
  if (repair == IMG_REPAIR_ALL && !check->has_data_file)
    autoclear &= ~QCOW2_RAW_DATA_FILE;
  /* Whoever does not know a feature and writes has to say that it is out of date. */
  if (plan->patches->len > 0 || autoclear != q->autoclear)
    autoclear &= QCOW2_KNOWN_AUTOCLEAR;
  if (autoclear != q->autoclear)
    put_word (plan, IMG_STAGE_CLEAR, QCOW2_AUTOCLEAR_AT, autoclear);
  if (result->corruptions == 0 && result->errors == 0
      && (q->incompatible & (QCOW2_DIRTY | QCOW2_CORRUPT)) != 0)
    put_word (plan, IMG_STAGE_CLEAN, INCOMPATIBLE_AT,
              q->incompatible & ~(QCOW2_DIRTY | QCOW2_CORRUPT));
}

/* How often the header is referred to by what is still there afterwards: L1 entries without an
 * offset are no users of it, although they are counted, as by QEMU; nor is a table of refcounts
 * that is abandoned. */
static guint64
count_header_users (const Qcow2Check *check)
{
  const Qcow2 *q = check->q;
  guint64 n = qcow2_counts_get (check->counts, 0);

  for (guint i = 0; i < check->tables->len; i++)
    if (g_array_index (check->tables, Qcow2TableRef, i).host_offset == 0)
      n -= MIN (n, qcow2_check_users (check, i));
  if (check->must_rebuild && q->refcount_table_offset >> q->cluster_bits == 0
      && q->refcount_table_clusters > 0)
    n -= MIN (n, 1);
  return n;
}

/* Whether it is known of each cluster what it is for, and the header is only that. Else nothing can
 * be written that would be sure not to change what the guest reads. */
static gboolean
knows_uses (const Qcow2Check *check)
{
  return check->result->n_of_kind[IMG_FINDING_OVERFLOW] == 0 && !check->is_uncounted
         && count_header_users (check) <= 1;
}

/* Whether it can be said before anything is written that all of it will not work. */
static gboolean
can_rebuild (const Qcow2Check *check, ImgRepair repair, GError **error)
{
  if (repair == IMG_REPAIR_LEAKS)
    return img_throw (error, IMG_ERROR_FAILED,
                      "'%s': its refcounts have to be rebuilt, which -r all does",
                      check->q->safe_path);
  /* What is lost behind the end of the file would suddenly be there, and be refcounts. */
  if (check->n_dangling > 0)
    return img_throw (error, IMG_ERROR_FAILED,
                      "'%s': its refcounts have to be rebuilt behind the end of the file, but its "
                      "tables point there too; imgtool convert --salvage copies what can be read",
                      check->q->safe_path);
  return TRUE;
}

/* The rest can be repaired first, in rounds before. */
static gboolean
lacks_only_snapshots (const Qcow2Check *check)
{
  const ImgCheckResult *result = check->result;
  return check->n_incomplete > 0 && result->corruptions == check->n_incomplete && result->leaks == 0
         && result->errors == 0 && result->past_end == 0 && check->n_lost == 0;
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

  plan->is_held_back = !knows_uses (check) || result->n_of_kind[IMG_FINDING_OVERLAP] > 0;
  if (!knows_uses (check))
    return TRUE;
  if (repair == IMG_REPAIR_ALL && lacks_only_snapshots (check)
      && !qcow2_repair_snapshots (check, plan, error))
    return FALSE;
  if (check->must_rebuild && !can_rebuild (check, repair, error))
    return FALSE;
  if (with_tables && result->corruptions > 0
      && !qcow2_repair_tables (check, repair, plan, &is_stale, error))
    return FALSE;
  if (!is_stale)
    {
      if (check->must_rebuild ? !qcow2_repair_rebuild (check, plan, error)
                              : !qcow2_repair_refcounts (check, repair, plan, error))
        return FALSE;
    }
  plan_header (check, repair, plan);
  return img_plan_check (plan, img_file_path (check->q->file), error);
}
