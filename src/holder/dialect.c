/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "holder/dialect.h"

#include "lock/permission.h"

static gboolean
is_within (const ImgLockRange *range, guint64 first, guint64 last)
{
  return range->start >= first && range->end <= last;
}

static gboolean
all_are_qemu (const GArray *ranges)
{
  for (guint i = 0; i < ranges->len; i++)
    {
      const ImgLockRange *range = &g_array_index (ranges, ImgLockRange, i);
      if (range->is_write
          || !(is_within (range, IMG_PERM_USED_BASE, IMG_PERM_USED_BASE + IMG_PERM_BITS - 1)
               || is_within (range, IMG_PERM_FORBIDDEN_BASE,
                             IMG_PERM_FORBIDDEN_BASE + IMG_PERM_BITS - 1)))
        return FALSE;
    }
  return TRUE;
}

static gboolean
all_are_libvirt (const GArray *ranges)
{
  for (guint i = 0; i < ranges->len; i++)
    if (!is_within (&g_array_index (ranges, ImgLockRange, i), 0, 1))
      return FALSE;
  return TRUE;
}

ImgDialect
img_dialect_of (const GArray *ranges, guint64 size, const char *command)
{
  const ImgLockRange *first = &g_array_index (ranges, ImgLockRange, 0);

  if (all_are_qemu (ranges))
    return command != NULL && g_str_has_prefix (command, "cloud-hyperviso")
               ? IMG_DIALECT_CLOUD_HYPERVISOR
               : IMG_DIALECT_QEMU;
  if (ranges->len == 1 && first->start == 0 && first->end == IMG_RANGE_TO_EOF)
    return IMG_DIALECT_WHOLE_FILE;
  /* A file of one or two bytes would look like libvirt's; nobody's disk is that small. */
  if (ranges->len == 1 && first->start == 0 && size > 2 && first->end == size - 1)
    return IMG_DIALECT_FILE_SIZE;
  return all_are_libvirt (ranges) ? IMG_DIALECT_LIBVIRT : IMG_DIALECT_UNKNOWN;
}

const char *
img_dialect_name (ImgDialect dialect)
{
  static const char *const names[] = {
    [IMG_DIALECT_UNKNOWN] = "unknown",     [IMG_DIALECT_QEMU] = "qemu",
    [IMG_DIALECT_LIBVIRT] = "libvirt",     [IMG_DIALECT_WHOLE_FILE] = "whole-file",
    [IMG_DIALECT_FILE_SIZE] = "file-size", [IMG_DIALECT_CLOUD_HYPERVISOR] = "cloud-hypervisor",
  };
  return names[dialect];
}

const char *
img_dialect_title (ImgDialect dialect)
{
  static const char *const titles[] = {
    [IMG_DIALECT_UNKNOWN] = "of unknown style",
    [IMG_DIALECT_QEMU] = "QEMU style",
    [IMG_DIALECT_LIBVIRT] = "libvirt style",
    [IMG_DIALECT_WHOLE_FILE] = "over the whole file, Cloud Hypervisor style",
    [IMG_DIALECT_FILE_SIZE] = "from 0 to the file's size, Cloud Hypervisor style",
    [IMG_DIALECT_CLOUD_HYPERVISOR] = "QEMU style, by Cloud Hypervisor",
  };
  return titles[dialect];
}
