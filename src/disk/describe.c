/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk/describe.h"

#include "disk/format.h"

void
img_snapshot_free (ImgSnapshot *snapshot)
{
  g_free (snapshot->id);
  g_free (snapshot->name);
  g_free (snapshot);
}

gboolean
img_disk_describe (ImgDisk *disk, ImgDescription *description, GError **error)
{
  return disk->format->describe == NULL || disk->format->describe (disk, description, error);
}

void
img_description_clear (ImgDescription *description)
{
  g_clear_pointer (&description->snapshots, g_ptr_array_unref);
  g_clear_pointer (&description->facts, img_fact_free);
}
