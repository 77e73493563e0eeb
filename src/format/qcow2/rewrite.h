/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writing into a qcow2 image that is there.
 *
 * A cluster that only the disk as it is uses (its entry says so, and a check found the image to be
 * right) is overwritten where it is. Everything else goes behind what is in the file: other
 * clusters, all L2 tables of what is written, the L1 table, and refcounts, which are counted anew
 * from all that refers to clusters. One write of the header then leads to the new tables; until
 * that moment the old ones are valid. Bitmaps, of which the image had none, are told last. */
#pragma once

#include "format/qcow2/qcow2.h"
#include "format/qcow2/write.h"

/* See disk/format.h. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_rewrite (ImgDisk *disk, const ImgCreateParams *params, GError **error);

/* A place for the plain cluster of @guest_offset: the old one, if it may be used. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_rewrite_find (Qcow2Writer *w, guint64 guest_offset, gboolean *is_there,
                             guint64 *host_offset, GError **error);

/* Zeros in an image that reads as zeros (*@is_done): what was said about them stays. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_rewrite_keep (Qcow2Writer *w, guint64 guest_offset, guint64 length, GError **error);

/* Whether there is room for bitmaps in the header. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_rewrite_check_room (const Qcow2 *q, GError **error);

/* Have the header say where the bitmaps are that were written, if any were; the last step. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_rewrite_add_bitmaps (const Qcow2Writer *w, GError **error);

/* Finish what was written up to @size. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_rewrite_finish (Qcow2Writer *w, guint64 size, GError **error);
