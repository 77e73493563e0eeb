/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk/disk.h"

#include <string.h>

#include "base/text.h"
#include "disk/format.h"

static const ImgFormat *
find_format (const char *name)
{
  for (guint i = 0; img_formats[i] != NULL; i++)
    if (strcmp (img_formats[i]->name, name) == 0)
      return img_formats[i];
  return NULL;
}

ImgDisk *
img_disk_open (ImgFile *file, const char *format, GError **error)
{
  g_autoptr (ImgDisk) disk = g_new0 (ImgDisk, 1);
  disk->file = file;
  disk->format = find_format (format);
  if (disk->format == NULL)
    {
      g_autofree char *safe = img_text_escape (format, -1);
      return img_null_throw (error, IMG_ERROR_UNSUPPORTED, "the format %s is not supported yet",
                             safe);
    }
  return disk->format->open (disk, error) ? g_steal_pointer (&disk) : NULL;
}

ImgDisk *
img_disk_create (ImgFile *file, const char *format, const ImgCreateParams *params, GError **error)
{
  g_autoptr (ImgDisk) disk = g_new0 (ImgDisk, 1);
  disk->file = file;
  disk->data = params->data;
  disk->backing_disk = params->backing_disk;
  disk->size = params->size;
  disk->reads_as_zeros = params->is_clean;
  disk->format = find_format (format);
  g_assert (disk->format != NULL && disk->format->create != NULL);
  return disk->format->create (disk, params, error) ? g_steal_pointer (&disk) : NULL;
}

ImgDisk *
img_disk_rewrite (ImgDisk *previous, const ImgCreateParams *params, GError **error)
{
  g_autoptr (ImgDisk) disk = g_new0 (ImgDisk, 1);
  disk->file = previous->file;
  disk->size = previous->size;
  disk->previous = previous;
  disk->keeps_size = TRUE;
  disk->format = previous->format;
  if (disk->format->rewrite != NULL)
    return disk->format->rewrite (disk, params, error) ? g_steal_pointer (&disk) : NULL;
  disk->format = NULL; /* there is nothing of it in the disk */
  return img_null_throw (error, IMG_ERROR_UNSUPPORTED,
                         "writing into an image of the format %s is not supported yet",
                         previous->format->name);
}

const ImgCreateRow *
img_disk_create_rows (const char *format)
{
  return find_format (format)->create_rows;
}

gboolean
img_disk_check_options (const char *format, const ImgCreateOptions *options, guint64 size,
                        GError **error)
{
  return find_format (format)->check_options (options, size, error);
}

gboolean
img_disk_begin (ImgDisk *disk, GError **error)
{
  if (disk->format->read == NULL)
    return img_throw (error, IMG_ERROR_UNSUPPORTED,
                      "reading what is in an image of the format %s is not supported yet",
                      disk->format->name);
  return disk->format->begin == NULL || disk->format->begin (disk, error);
}

void
img_disk_close (ImgDisk *disk)
{
  if (disk->format != NULL && disk->format->close != NULL)
    disk->format->close (disk);
  g_clear_pointer (&disk->backing_disk, img_disk_close);
  g_clear_pointer (&disk->previous, img_disk_close);
  g_clear_pointer (&disk->workspace, img_budget_unref);
  g_free (disk->backing.name);
  g_free (disk->backing.format);
  g_free (disk->data_file.name);
  g_free (disk->data_file.format);
  g_free (disk);
}

gboolean
img_disk_read (ImgDisk *disk, guint64 guest_offset, void *buffer, gsize length, gsize *got,
               GError **error)
{
  return disk->format->read (disk, guest_offset, buffer, length, got, error);
}

gboolean
img_disk_write (ImgDisk *disk, guint64 guest_offset, const void *buffer, gsize length,
                GError **error)
{
  return disk->format->write (disk, guest_offset, buffer, length, error);
}

gboolean
img_disk_zero (ImgDisk *disk, guint64 guest_offset, guint64 length, guint flags, GError **error)
{
  return disk->format->zero (disk, guest_offset, length, flags, error);
}

gboolean
img_disk_finish (ImgDisk *disk, guint64 size, GError **error)
{
  return disk->format->finish == NULL || disk->format->finish (disk, size, error);
}

gboolean
img_disk_flush (ImgDisk *disk, GError **error)
{
  return disk->format->flush != NULL ? disk->format->flush (disk, error)
                                     : img_file_flush (disk->file, error);
}
