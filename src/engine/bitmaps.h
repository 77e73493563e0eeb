/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which bitmaps of a source come into the copy, known to be readable before anything is written. */
#pragma once

#include "disk/bitmap.h"
#include "engine/convert.h"

/* Those of the first of @disks, as a new array of ImgBitmap that must not outlive it; empty if none
 * are asked for. Those that are not good are to be left out, as @result tells. */
G_GNUC_WARN_UNUSED_RESULT
GPtrArray *img_bitmaps_find (const ImgConvertParams *params, GPtrArray *disks,
                             ImgConvertResult *result, GError **error);
