/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Planning the repair of a qcow2 image from what a check counted.
 *
 * Nothing is guessed: content stays as it reads. Refcounts become what was counted; flags become
 * what the refcounts say; bits that must be 0 become it; an entry that points to no place and has
 * no data becomes a zero. An entry that has lost its data stays as it is, and while there is one,
 * clusters that nobody seems to use are kept: they may be what is lost.
 *
 * Nothing is written to a cluster that is two things at once, since to put one right may spoil the
 * other: a table in such a place stays as it is, and refcounts in such a place are built anew.
 * Where it is not known of each cluster what it is for, nothing is written at all. */
#pragma once

#include "disk/plan.h"
#include "format/qcow2/check.h"

/* Add to @plan what is to be done about what @check found; call again after it was done. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_repair_plan (Qcow2Check *check, ImgRepair repair, ImgPlan *plan, GError **error);

/* ---- repair-tables.c ---- */

/* Entries and flags. *@is_stale: the plan changes who refers to what, so that refcounts have to be
 * counted again when it was done. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_repair_tables (Qcow2Check *check, ImgRepair repair, ImgPlan *plan,
                              gboolean *is_stale, GError **error);

/* ---- repair-refcounts.c ---- */

/* In place. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_repair_refcounts (Qcow2Check *check, ImgRepair repair, ImgPlan *plan,
                                 GError **error);

/* All of them anew, behind what is in the file. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_repair_rebuild (Qcow2Check *check, ImgPlan *plan, GError **error);

/* ---- repair-snapshots.c ---- */

/* Entries of the snapshot table that are incomplete, where nothing else is wrong. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_repair_snapshots (Qcow2Check *check, ImgPlan *plan, GError **error);
