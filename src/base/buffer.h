/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory for reads and writes, and whether it holds nothing but zeros. */
#pragma once

#include <glib.h>

/* @size bytes aligned to 4096, mapped and not of the heap; NULL with errno set. To be given back
 * with img_buffer_free(). */
G_GNUC_WARN_UNUSED_RESULT
void *img_buffer_new (gsize size);
void img_buffer_free (void *buffer, gsize size);

/* Whether all @length bytes are zero. */
gboolean img_buffer_is_zero (const void *buffer, gsize length);

/* How many bytes from the beginning are all zero (*@zero TRUE) or are not (FALSE), in blocks of
 * @block bytes (the last may be shorter); at least one block. */
gsize img_buffer_run (const void *buffer, gsize length, gsize block, gboolean *zero);
