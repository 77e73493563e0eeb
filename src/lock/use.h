/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What people do with an image, and the permissions each needs.
 *
 * imgtool's own commands take these sets; for virtual machines they are QEMU's defaults, measured
 * with QEMU 7.2 and 10.0.2. The table stands in imgtool-locking(7); keep the two alike. */
#pragma once

#include "lock/permission.h"

typedef enum
{
  IMG_USE_INFO,
  IMG_USE_CHECK,
  IMG_USE_REPAIR,
  IMG_USE_CONVERT_FROM,
  IMG_USE_CONVERT_TO,
  IMG_USE_VM,
  IMG_USE_VM_READ_ONLY,
  IMG_USE_READ,
  IMG_USE_WRITE,
} ImgUse;

#define IMG_N_USES 9

/* The name of @use in options and JSON ("convert-from"); constant. */
const char *img_use_name (ImgUse use);

/* What a person would call it ("start a VM read-only"); constant. */
const char *img_use_title (ImgUse use);

/* What @use takes on an image; QEMU takes less on raw images than on those with metadata. */
ImgPermSet img_use_permissions (ImgUse use, gboolean is_raw);

/* The same for a caller that does not ask others to stop writing (-U); only for uses that read. */
ImgPermSet img_use_permissions_shared (ImgUse use);
