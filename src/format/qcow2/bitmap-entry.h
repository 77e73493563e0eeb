/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the directory of bitmaps and their tables are made of.
 *
 * Source: QEMU docs/interop/qcow2.txt, "Bitmaps"; the limits: block/qcow2-bitmap.c. */
#pragma once

#include <glib.h>

/* An entry of the directory before extra data and name, and its only type. */
#define QCOW2_BITMAP_FIXED 24
#define QCOW2_DIRTY_TRACKING 1

/* Its flags. */
#define QCOW2_BITMAP_IN_USE 1u
#define QCOW2_BITMAP_AUTO 2u
#define QCOW2_BITMAP_EXTRA_COMPATIBLE 4u
#define QCOW2_BITMAP_KNOWN_FLAGS 7u

#define QCOW2_MIN_GRANULARITY_BITS 9
#define QCOW2_MAX_GRANULARITY_BITS 31

/* Bytes of one bitmap. */
#define QCOW2_MAX_BITMAP_BYTES (G_GUINT64_CONSTANT (512) << 20)

/* An entry of a table: where a cluster of bits is, or 0 and what all of them are. */
#define QCOW2_BITMAP_OFFSET_MASK G_GUINT64_CONSTANT (0x00fffffffffffe00)
#define QCOW2_BITMAP_ALL_ONES G_GUINT64_CONSTANT (1)
#define QCOW2_BITMAP_RESERVED G_GUINT64_CONSTANT (0xff000000000001fe)

/* Whether an entry of a table can be right. */
static inline gboolean
qcow2_bitmap_entry_is_good (guint64 entry, guint64 cluster_size)
{
  guint64 offset = entry & QCOW2_BITMAP_OFFSET_MASK;
  return (entry & QCOW2_BITMAP_RESERVED) == 0 && (offset & (cluster_size - 1)) == 0
         && (offset == 0 || (entry & QCOW2_BITMAP_ALL_ONES) == 0);
}
