/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lists of options as QEMU writes them: "driver=raw,file.filename=a,,b.raw". */
#pragma once

#include "base/error.h"

typedef struct
{
  char *key;   /* owned */
  char *value; /* owned */
} ImgKeyValue;

/* Parse @text into an array of ImgKeyValue, in order; a doubled comma stands for one inside a
 * value. NULL with IMG_ERROR_USAGE for a part without "=" or without a key. */
G_GNUC_WARN_UNUSED_RESULT
GArray *img_keyval_parse (const char *text, GError **error);
