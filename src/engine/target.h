/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The target of a copy: a stream, a file or device written where it is, or a file that appears when
 * it is whole. */
#pragma once

#include "engine/convert.h"

typedef struct ImgTarget ImgTarget;

/* Make ready to write @size bytes (or IMG_DISK_SIZE_UNKNOWN) as params->target says; @sources are
 * the open ImgFiles to be read, none of which it may be. Whatever can be known to go wrong is found
 * out before anything is changed. What is in an image that is there is not looked at. */
G_GNUC_WARN_UNUSED_RESULT
ImgTarget *img_target_open (const ImgConvertParams *params, guint64 size, GPtrArray *sources,
                            ImgConvertResult *result, GError **error);

/* In the process that writes: have a disk to write to. A new image has @backing (taken over, also
 * on failure; or NULL) behind it, and gets copies of those of @bitmaps (ImgBitmap; or NULL) that
 * are good. An image that is there, and cannot be written into, is not changed before that is
 * known. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_target_begin (ImgTarget *target, ImgDisk *backing, GPtrArray *bitmaps, GError **error);

/* In the process that writes: from now on the target is changed, which the other is told by a note
 * without a text. */
void img_target_tell_begun (void);

/* In the other, which has heard of it. */
void img_target_has_begun (ImgTarget *target);

/* After img_target_begin(): what to write to; borrowed. */
ImgDisk *img_target_disk (ImgTarget *target);

/* For the process that wrote, before it ends: have the errors that a file server would tell nobody
 * else, or if there is much to wait for, @is_long, all of it on the disk. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_target_settle (ImgTarget *target, gboolean is_long, GError **error);

/* Put the data file of the image in place; once. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_target_publish_data (ImgTarget *target, GError **error);

/* All is written: flush it, and put it in place. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_target_finish (ImgTarget *target, GError **error);

/* After @error: make sure that nobody takes what was written in place for an image. Best effort. */
void img_target_spoil (const ImgTarget *target, const GError *error);

/* Add to @error, of a copy that had begun, what became of the target or could be done about it. */
void img_target_add_advice (const ImgTarget *target, GError **error);

/* Close; what was not finished is removed, unless it was written in place. */
void img_target_free (ImgTarget *target);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImgTarget, img_target_free)

/* Tell in @result how @file was locked, if there is anything to tell. */
void img_target_note_lock (ImgFile *file, ImgConvertResult *result);
