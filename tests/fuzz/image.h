/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images in memory, opened as images are: through ImgFile, over a memfd that stays open from one
 * run to the next. */
#pragma once

#include "disk/chain.h"

/* Room for images that are open at once. */
typedef enum
{
  FUZZ_TOP,
  FUZZ_BEHIND, /* what the first one names */
  FUZZ_PLAIN,  /* a raw disk with something in it and a hole, which never changes */
  FUZZ_SLOTS,
} FuzzSlot;

/* The image @slot with this content, which is open for writing as well; borrowed. */
ImgFile *fuzz_image (FuzzSlot slot, const guint8 *data, gsize size);

/* The one that never changes. */
ImgFile *fuzz_image_plain (void);

/* The input as a disk: the names in it lead to a second image in the same input, if it has one, or
 * if they end in ".raw" to the plain one. With @snapshot, a state of it. The files are appended to
 * @files, which does not own them. */
ImgDisk *fuzz_image_open (const guint8 *data, gsize size, const char *snapshot, GPtrArray *files,
                          GError **error);

/* The same once more, with what was written to the first image in between. */
ImgDisk *fuzz_image_reopen (const guint8 *data, gsize size, const char *snapshot, GPtrArray *files,
                            GError **error);
