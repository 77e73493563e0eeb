/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How far a long work has come. The engine counts, the caller shows. */
#pragma once

#include <glib.h>

typedef enum
{
  IMG_PHASE_ALLOCATE,
  IMG_PHASE_COPY,
  IMG_PHASE_FLUSH,
  IMG_PHASE_VERIFY,
  IMG_PHASE_CHECK, /* bytes of metadata */
  IMG_PHASE_DONE,
} ImgPhase;

typedef struct
{
  ImgPhase phase;
  guint64 done, total; /* guest bytes of this phase; total G_MAXUINT64: not known */
  /* Guest bytes so far, by what became of them; same: they are in the backing file already. */
  guint64 copied, zero, cloned, same;
  gboolean has_data; /* of what was done the source called some data, be it zeros */
} ImgProgressState;

typedef struct
{
  /* Called from the main thread, at each change of phase and a few times a second; may be NULL. */
  void (*show) (const ImgProgressState *state, gpointer closure);
  gpointer closure;
} ImgProgress;

/* "copy" and so on; constant. */
const char *img_phase_name (ImgPhase phase);
