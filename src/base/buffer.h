/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory for reads and writes, and whether it holds nothing but zeros. */
#pragma once

#include "base/error.h"

/* @size bytes aligned to 4096, mapped and not of the heap; NULL with errno set. To be given back
 * with img_buffer_free(). */
G_GNUC_WARN_UNUSED_RESULT
void *img_buffer_new (gsize size);
void img_buffer_free (void *buffer, gsize size);

/* Memory of the heap, for g_free(): filled with zeros, or not at all. For what a file has the
 * length of, where img_buffer_new() would waste pages: GLib's own functions end the program if
 * there is none, these fail with IMG_ERROR_NO_MEMORY. @path is of that file, for the message. */
G_GNUC_WARN_UNUSED_RESULT
void *img_buffer_alloc (gsize size, const char *path, GError **error);
G_GNUC_WARN_UNUSED_RESULT
void *img_buffer_alloc0 (gsize size, const char *path, GError **error);

/* Whether all @length bytes are zero. */
gboolean img_buffer_is_zero (const void *buffer, gsize length);

/* How many bytes from the beginning are all zero (*@zero TRUE) or are not (FALSE), in blocks of
 * @block bytes (the last may be shorter); at least one block. */
gsize img_buffer_run (const void *buffer, gsize length, gsize block, gboolean *zero);
