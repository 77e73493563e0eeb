/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Waiting until an image is free, or a use of it possible.
 *
 * Looks again and again without taking locks, which would get into the way of others; the close of
 * a writer on this host (inotify) wakes it up early. */
#pragma once

#include "engine/lock-status.h"

typedef struct
{
  gint64 deadline;  /* of g_get_monotonic_time(); G_MAXINT64: none */
  gboolean has_use; /* wait for @use, else for the image to be free */
  ImgUse use;
  /* Called when the wait begins and whenever somebody else is in the way; may be NULL. */
  void (*on_waiting) (const ImgStatus *status, gpointer closure);
  gpointer closure;
} ImgWaitParams;

/* What the caller asked for, of one look: not in use, or the use possible. */
gboolean img_status_is_granted (const ImgStatus *status, const ImgWaitParams *wait);

/* Look until it is granted, cannot be known, or the time is over; the last look is returned. Errors
 * as for img_status_new(). */
G_GNUC_WARN_UNUSED_RESULT
ImgStatus *img_status_wait (const char *path, const ImgStatusParams *params,
                            const ImgWaitParams *wait, GError **error);
