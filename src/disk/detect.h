/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What format an image has, by its first bytes. A guess: a guest can write any of these into its
 * raw disk. */
#pragma once

#include <glib.h>

/* As many first bytes as any format needs. */
#define IMG_DETECT_BYTES 512

/* The format of an image that begins with these @length bytes (fewer than IMG_DETECT_BYTES only for
 * a shorter file), by QEMU's name; "raw" if nothing else is recognised. Constant. */
const char *img_detect_format (const guint8 *head, gsize length);

/* Where the signatures are that anybody looks for: in so many first bytes, or last ones. */
#define IMG_DETECT_HEAD_BYTES 36864
#define IMG_DETECT_TAIL_BYTES 512

/* Add to @names (constant strings) every format whose signature is in a file that begins with @head
 * and ends with @tail, also those that count only at other places than the beginning; and
 * "dmg", "cloop", "iso", "gpt" and "mbr", which are no formats here. */
void img_detect_candidates (const guint8 *head, gsize head_length, const guint8 *tail,
                            gsize tail_length, GPtrArray *names);

/* Whether @name, of these, is something that a raw disk may have in it. */
gboolean img_detect_is_content (const char *name);

/* What a raw file is wrapped in ("gzip", "xz", "zstd", "bzip2"), or NULL. Constant. */
const char *img_detect_wrapper (const guint8 *head, gsize length);

/* Whether @name is a format this program knows by name, and whether it can read it. */
gboolean img_format_is_known (const char *name);

/* Whether images of the format can be made. */
gboolean img_format_can_be_written (const char *name);

/* @name as a constant, if it is known, else NULL. */
const char *img_format_intern (const char *name);
gboolean img_format_is_supported (const char *name);
