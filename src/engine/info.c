/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/info.h"

#include "base/size.h"

#define SECTOR 512

ImgInfo *
img_info_new (const char *path, ImgUse use, const ImgOpenParams *params, GError **error)
{
  const char *format;
  g_autoptr (ImgFile) file = img_open (path, use, params, &format, error);
  if (file == NULL)
    return NULL;

  g_autoptr (ImgInfo) info = g_new0 (ImgInfo, 1);
  info->path = g_strdup (path);
  info->format = format;
  info->is_device = img_file_is_device (file);
  info->file_length = img_file_size (file);
  info->virtual_size = img_size_round_up (info->file_length, SECTOR);
  info->allocated = img_file_allocated (file);
  info->warning = g_strdup (img_lock_warning (img_file_lock (file)));
  info->remark = g_strdup (img_lock_remark (img_file_lock (file)));
  img_content_guess (file, &info->content);
  if (!img_file_verify_lock (file, NULL, error))
    return NULL;
  return g_steal_pointer (&info);
}

void
img_info_free (ImgInfo *info)
{
  g_free (info->path);
  img_content_clear (&info->content);
  g_free (info->warning);
  g_free (info->remark);
  g_free (info);
}
