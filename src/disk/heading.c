/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk/heading.h"

#include "base/text.h"
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
      || (params->snapshot != NULL && !img_disk_select (disk, params->snapshot, error)))
    return FALSE;
  heading->backing = copy_reference (&disk->backing);
  heading->data_file = copy_reference (&disk->data_file);
  heading->size = disk->size;
  return TRUE;
}

gboolean
img_heading_check (const ImgHeading *heading, const char *path, const char *format,
                   const ImgHeadingParams *params, GError **error)
{
  const ImgGatePolicy *policy = params->policy;
  gboolean has_names = heading->backing.name != NULL || heading->data_file.name != NULL;
  g_autofree char *safe = img_text_escape (path, -1);

  if (policy != NULL && policy->is_untrusted && has_names)
    return img_throw (error, IMG_ERROR_FAILED, "'%s' is not safe to read: it names another file",
                      safe);
  return (!params->was_probed
          || img_probe_check (path, format, &heading->backing, &heading->data_file, error))
         && (policy == NULL || img_inspect_check_size (path, heading->size, policy, error));
}
