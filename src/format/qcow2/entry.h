/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the entries of L1 and L2 tables are made of.
 *
 * Source: QEMU docs/interop/qcow2.txt, "Cluster mapping". */
#pragma once

#include <glib.h>

/* Where a cluster or table is. */
#define QCOW2_OFFSET_MASK G_GUINT64_CONSTANT (0x00fffffffffffe00)
/* What it points to has a refcount of 1. */
#define QCOW2_COPIED (G_GUINT64_CONSTANT (1) << 63)
#define QCOW2_COMPRESSED (G_GUINT64_CONSTANT (1) << 62)
/* Of standard entries in version 3. */
#define QCOW2_READS_AS_ZERO G_GUINT64_CONSTANT (1)
#define QCOW2_SECTOR 512

/* Of a cluster with an extended entry. */
#define QCOW2_SUBCLUSTERS 32
