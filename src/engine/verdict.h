/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From holders to what may be done: one verdict per use. */
#pragma once

#include "engine/lock-status.h"

/* Fill @status->verdicts from its state, format and holders. */
void img_verdicts_fill (ImgStatus *status);
