/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Compressing one cluster in memory, and the libraries that know how. */
#pragma once

#include "disk/create.h"

/* Of one thread at a time; keeps the library's memory from one cluster to the next. */
typedef struct Qcow2Deflater Qcow2Deflater;

/* Whether the program was built with it and knows that level (G_MAXUINT64: none was said). */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_deflater_check (ImgCompression compression, guint64 level, GError **error);

/* At @level of the library, or at the one that suits (0), so that images are no larger than
 * qemu-img's. NULL if there is no memory, or no library. */
G_GNUC_WARN_UNUSED_RESULT
Qcow2Deflater *qcow2_deflater_new (ImgCompression compression, int level, GError **error);
void qcow2_deflater_free (Qcow2Deflater *deflater);

/* Choose, if nobody has, how to compress what follows @sample and is like it. @scratch has room for
 * as much. */
void qcow2_deflater_choose (Qcow2Deflater *deflater, const void *sample, gsize length,
                            void *scratch, gsize scratch_length);

/* Compress @in_length bytes into at most @out_length; how many these are, 0 if they do not fit. */
gsize qcow2_deflate (Qcow2Deflater *deflater, const void *in, gsize in_length, void *out,
                     gsize out_length);
