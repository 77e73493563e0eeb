/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk/heading.h"

#include "disk/disk.h"
#include "disk/inspect.h"
#include "disk/probe.h"
#include "disk/snapshot.h"

static void
clear_reference (ImgReference *reference)
{
  g_clear_pointer (&reference->name, g_free);
  g_clear_pointer (&reference->format, g_free);
}

void
img_heading_clear (ImgHeading *heading)
{
  clear_reference (&heading->backing);
  clear_reference (&heading->data_file);
}

static ImgReference
copy_reference (const ImgReference *reference)
{
  return (ImgReference){ .name = g_strdup (reference->name),
                         .format = g_strdup (reference->format) };
}

gboolean
img_heading_read (ImgFile *file, const char *format, const ImgHeadingParams *params,
                  ImgHeading *heading, GError **error)
{
  const ImgGatePolicy *policy = params->policy;
  g_autoptr (ImgDisk) disk = img_disk_open (file, format, error);

  if (disk == NULL || (policy != NULL && !img_inspect_check (disk, policy, error))
      || (params->was_probed && !img_probe_check (disk, error))
      || (params->snapshot != NULL && !img_disk_select (disk, params->snapshot, error))
      || (policy != NULL && !img_inspect_check_size (disk, policy, error)))
    return FALSE;
  heading->backing = copy_reference (&disk->backing);
  heading->data_file = copy_reference (&disk->data_file);
  heading->size = disk->size;
  return TRUE;
}
