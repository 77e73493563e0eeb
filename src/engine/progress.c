/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/progress.h"

const char *
img_phase_name (ImgPhase phase)
{
  static const char *const names[] = {
    [IMG_PHASE_ALLOCATE] = "allocate", [IMG_PHASE_COPY] = "copy",   [IMG_PHASE_FLUSH] = "flush",
    [IMG_PHASE_VERIFY] = "verify",     [IMG_PHASE_CHECK] = "check", [IMG_PHASE_DONE] = "done",
  };
  return names[phase];
}
