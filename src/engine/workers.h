/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads that share one job, and a main thread that looks on.
 *
 * Threads have small stacks and a buffer each, and take no signals. Where fewer threads or buffers
 * can be had than wanted, fewer do the work, down to the main thread alone. */
#pragma once

#include "base/error.h"

typedef struct
{
  guint n_wanted; /* 1: the main thread does it, no other is started; unless */
  gboolean keeps_main_free;
  gsize buffer_size; /* bytes */
  /* Does the job, or a part of it, until there is nothing left to do; any thread. */
  void (*work) (gpointer job, void *buffer);
  /* Called by the main thread a few times a second while others work. */
  void (*tick) (gpointer job);
} ImgWorkers;

/* Run to the end. FALSE only if there is no memory for a single buffer. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_workers_run (const ImgWorkers *workers, gpointer job, GError **error);

/* As many workers as make sense for reading and writing on this machine. */
guint img_workers_default (void);
