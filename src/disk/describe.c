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

void
img_feature_free (ImgFeature *feature)
{
  g_free (feature->name);
  g_free (feature);
}

void
img_description_add_feature (ImgDescription *description, char *name, gboolean is_harmless)
{
  ImgFeature *feature = g_new0 (ImgFeature, 1);
  feature->name = name;
  feature->is_harmless = is_harmless;
  if (description->features == NULL)
    description->features = g_ptr_array_new_with_free_func ((GDestroyNotify)img_feature_free);
  g_ptr_array_add (description->features, feature);
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
  g_clear_pointer (&description->features, g_ptr_array_unref);
}
