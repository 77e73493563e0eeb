/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk/probe.h"

#include "base/text.h"
#include "disk/detect.h"
#include "disk/format.h"

const char *
img_probe_any (ImgFile *file, GError **error)
{
  guint8 head[IMG_DETECT_BYTES];
  gsize length = (gsize)MIN (img_file_size (file), sizeof head);

  return img_file_read (file, 0, head, length, error) ? img_detect_format (head, length) : NULL;
}

const char *
img_probe (ImgFile *file, GError **error)
{
  const char *format = img_probe_any (file, error);
  g_autofree char *safe = img_text_escape (img_file_path (file), -1);

  if (format == NULL)
    return NULL;
  if (!img_format_is_supported (format))
    return img_null_throw (error, IMG_ERROR_UNSUPPORTED,
                           "'%s' looks like %s, which is not supported yet; use -f raw to treat "
                           "its bytes as a raw disk",
                           safe, format);
  return format;
}

gboolean
img_probe_check (const char *path, const char *format, const ImgReference *backing,
                 const ImgReference *data_file, GError **error)
{
  const char *name = backing->name != NULL ? backing->name : data_file->name;
  g_autofree char *safe = img_text_escape (path, -1);
  g_autofree char *suffix = g_strconcat (".", format, NULL);

  if (name == NULL || g_str_has_suffix (path, suffix))
    return TRUE;
  g_autofree char *safe_name = img_text_escape (name, -1);
  return img_throw (error, IMG_ERROR_FAILED,
                    "'%s' looks like %s and names the %s '%s'. A guest can write that into a raw "
                    "disk to get at files of this host, so it is not followed unless you say what "
                    "it is: -f %s if you made it so, -f raw if it is the disk of a guest",
                    safe, format, backing->name != NULL ? "backing file" : "data file", safe_name,
                    format);
}
