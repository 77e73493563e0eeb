/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inputs of the target "unpack": a byte that says what the others are, and those as they leave the
 * sandbox. */
#pragma once

#include "engine/pack.h"
#include "image.h"

typedef enum
{
  FUZZ_PACKED_TEXT,
  FUZZ_PACKED_CONTENT,
  FUZZ_PACKED_DESCRIPTION,
  FUZZ_PACKED_INSPECTION,
  FUZZ_PACKED_CHECK,
  FUZZ_PACKED_PLAN,
  FUZZ_PACKED_COPY,
  FUZZ_PACKED_HEADING,
  FUZZ_PACKED_TEXTS,
} FuzzPacked;

#define FUZZ_N_PACKED (FUZZ_PACKED_TEXTS + 1)

/* Write into @folder what is found out about the image at @path, in files whose names begin with
 * its own. Errors: a file cannot be read or written; images that are refused have fewer. */
G_GNUC_WARN_UNUSED_RESULT
gboolean fuzz_pack_image (const char *path, const char *folder, GError **error);
