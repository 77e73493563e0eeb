/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whose style of locking a set of ranges is.
 *
 *   QEMU              read locks on bytes 100..104 and 200..204
 *   libvirt           byte 0 (virtlockd: the disk) or byte 1 (a label is being changed)
 *   Cloud Hypervisor  one lock over the whole file, or over [0, size), or, in newer versions,
 * QEMU's bytes Sources: QEMU block/file-posix.c; libvirt's lock driver and security manager
 * (METADATA_OFFSET); cloud-hypervisor's disk lock granularity settings. */
#pragma once

#include "lock/lock-fd.h"

typedef enum
{
  IMG_DIALECT_UNKNOWN,
  IMG_DIALECT_QEMU,
  IMG_DIALECT_LIBVIRT,
  IMG_DIALECT_WHOLE_FILE,
  IMG_DIALECT_FILE_SIZE,
  IMG_DIALECT_CLOUD_HYPERVISOR,
} ImgDialect;

/* The dialect of @ranges (ImgLockRange, not empty) on a file of @size bytes; @command is the
 * holder's, or NULL. */
ImgDialect img_dialect_of (const GArray *ranges, guint64 size, const char *command);

/* For JSON ("whole-file") and for people ("whole file, as Cloud Hypervisor"); constant. */
const char *img_dialect_name (ImgDialect dialect);
const char *img_dialect_title (ImgDialect dialect);
