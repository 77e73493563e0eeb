/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "file/extent.h"

#include <errno.h>
#include <unistd.h>

#include "file/file-private.h"

static gboolean
answer (ImgFileExtent *extent, guint64 end, gboolean is_hole)
{
  extent->length = end - extent->offset;
  extent->is_hole = is_hole;
  return TRUE;
}

/* Whoever answers what makes no sense is not asked again; reading works without. */
static gboolean
answer_without (ImgFile *file, ImgFileExtent *extent, guint64 end)
{
  g_atomic_int_set (&file->lacks_seek, 1);
  return answer (extent, end, FALSE);
}

/* A hole to the end of the file, unless it has become shorter: that looks the same. */
static gboolean
answer_no_data (ImgFile *file, ImgFileExtent *extent, guint64 end, GError **error)
{
  struct stat st;

  if (fstat (file->inode->fd, &st) < 0)
    return img_throw_errno (error, "cannot look at '%s'", file->safe_path);
  if ((guint64)st.st_size < end)
    return img_throw (error, IMG_ERROR_FAILED,
                      "'%s' has become shorter: it ends at %" G_GINT64_FORMAT
                      " now, and had %" G_GUINT64_FORMAT " bytes",
                      file->safe_path, (gint64)st.st_size, file->size);
  return answer (extent, end, TRUE);
}

gboolean
img_file_extent (ImgFile *file, guint64 offset, guint64 length, ImgFileExtent *extent,
                 GError **error)
{
  g_assert (offset < file->size && length > 0);
  guint64 end = offset + MIN (length, file->size - offset);
  off_t found;

  extent->offset = offset;
  if (file->is_device || g_atomic_int_get (&file->lacks_seek))
    return answer (extent, end, FALSE);

  found = lseek (file->inode->fd, (off_t)offset, SEEK_DATA);
  if (found < 0 && errno == ENXIO)
    return answer_no_data (file, extent, end, error);
  if (found < 0 && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS)
    return img_throw_errno (error, "cannot find the data of '%s' at offset %" G_GUINT64_FORMAT,
                            file->safe_path, offset);
  if (found < 0 || (guint64)found < offset)
    return answer_without (file, extent, end);
  if ((guint64)found > offset)
    return answer (extent, MIN (end, (guint64)found), TRUE);

  found = lseek (file->inode->fd, (off_t)offset, SEEK_HOLE);
  if (found < 0 && errno == EIO)
    return img_throw_errno (error, "cannot find the holes of '%s' at offset %" G_GUINT64_FORMAT,
                            file->safe_path, offset);
  if (found < 0 || (guint64)found <= offset)
    return answer (extent, end, FALSE);
  return answer (extent, MIN (end, (guint64)found), FALSE);
}
