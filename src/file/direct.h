/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading and writing past the page cache (O_DIRECT), at any offset and from any memory.
 *
 * Offsets, lengths and memory have to be multiples of what the device wants. What is not goes
 * through aligned memory of our own; a write that does not begin and end where a block does goes
 * through the page cache for once, with O_DIRECT taken off the descriptor and nobody else writing
 * meanwhile: a page written back could otherwise undo what another wrote beside it.
 * Source: open(2), statx(2) with STATX_DIOALIGN (Linux 6.1). */
#pragma once

#include <glib.h>

typedef struct
{
  gboolean is_on;
  guint64 offset_alignment, memory_alignment; /* powers of two */
  GRWLock lock; /* held for writing while O_DIRECT is off, for reading while others write */
} ImgDirect;

typedef struct ImgFile ImgFile;

/* Set O_DIRECT on the description of @file. FALSE with errno set: EINVAL or EOPNOTSUPP if it has
 * no such thing. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_direct_begin (ImgFile *file);

/* Take O_DIRECT off again: the description may be a guard's, which others get it from. */
void img_direct_end (ImgFile *file);

/* As img_pages_read() and img_pages_write(). */
G_GNUC_WARN_UNUSED_RESULT
gssize img_direct_read (ImgFile *file, guint64 offset, void *buffer, gsize length);
G_GNUC_WARN_UNUSED_RESULT
gboolean img_direct_write (ImgFile *file, guint64 offset, const void *buffer, gsize length,
                           int flags);
