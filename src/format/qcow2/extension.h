/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The types of header extensions, and the table of feature names.
 *
 * Source: QEMU docs/interop/qcow2.txt, "Header extensions". */
#pragma once

#include <glib.h>

#define QCOW2_EXTENSION_END 0u
#define QCOW2_EXTENSION_BACKING_FORMAT 0xe2792acau
#define QCOW2_EXTENSION_FEATURE_NAMES 0x6803f857u
#define QCOW2_EXTENSION_BITMAPS 0x23852875u
#define QCOW2_EXTENSION_LUKS_HEADER 0x0537be77u
#define QCOW2_EXTENSION_DATA_FILE_NAME 0x44415441u

/* Where in the extensions, of @length bytes, the first of that type begins, or if *@n (how many of
 * them there are) is 0 the next one would. */
gsize qcow2_extension_find (const guint8 *area, gsize length, guint32 type, guint *n);

/* An entry of the table: what kind of feature, which bit, and the name, filled up with NULs. */
#define QCOW2_FEATURE_ENTRY 48
#define QCOW2_FEATURE_NAME 46

/* QEMU has room for this. */
#define QCOW2_MAX_BACKING_FORMAT 15
