/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sizes in bytes, and in words for people. */
#pragma once

#include <glib.h>

/* @bytes as "16 MiB", in the rounding of qemu-img: three significant digits, the largest unit in
 * which the value is at least 0.977. Returns a new string. */
char *img_size_to_text (guint64 bytes);

/* @bytes rounded up to a multiple of @unit, a power of two; saturates at the largest multiple. */
guint64 img_size_round_up (guint64 bytes, guint64 unit);

/* Parse a size as qemu-img does: a decimal number, perhaps with a fraction, and b, k, M, G, T, P or
 * E of 1024 (either case; none means bytes). FALSE if it is no such thing or 2^63 or more. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_size_parse (const char *text, guint64 *bytes);

/* @a divided by @b, rounded up. */
guint64 img_size_divide_up (guint64 a, guint64 b);
