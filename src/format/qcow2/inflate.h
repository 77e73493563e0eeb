/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One compressed stream in memory, and the libraries that know how. */
#pragma once

#include "base/error.h"
#include "format/qcow2/compress.h"

/* Whether the program was built with what that needs, in both directions. */
gboolean qcow2_compression_is_built_in (Qcow2Compression compression);

/* Of one thread at a time. */
typedef struct Qcow2Inflater Qcow2Inflater;

/* NULL, with IMG_ERROR_UNSUPPORTED, if the program was built without it. */
G_GNUC_WARN_UNUSED_RESULT
Qcow2Inflater *qcow2_inflater_new (Qcow2Compression compression, GError **error);
void qcow2_inflater_free (Qcow2Inflater *inflater);

/* Fill all of @out with what the stream at @in says: how many bytes of @in that takes, or 0 if it
 * does not say as much. */
G_GNUC_WARN_UNUSED_RESULT
gsize qcow2_inflate (Qcow2Inflater *inflater, const void *in, gsize in_length, void *out,
                     gsize out_length);
