/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/bitmaps.h"

#include "base/text.h"

/* They are read in pieces of this size. */
#define PIECE ((gsize)256 << 10)

/* Copying a disk can take hours: what goes wrong with its bitmaps should do so now. */
static gboolean
try_to_read (const ImgBitmap *bitmap, GError **error)
{
  guint64 bytes = img_bitmap_bytes (bitmap, bitmap->disk->size);
  g_autofree guint8 *buffer = g_malloc (PIECE);

  for (guint64 at = 0; at < bytes; at += PIECE)
    if (!img_bitmap_read (bitmap, at, buffer, (gsize)MIN (PIECE, bytes - at), error))
      return FALSE;
  return TRUE;
}

static char *
describe (const ImgBitmap *bitmap)
{
  g_autofree char *safe = img_text_escape (bitmap->name, -1);
  return g_strdup_printf (
      "%sbitmap '%s'%s", bitmap->state == IMG_BITMAP_IN_USE ? "inconsistent " : "", safe,
      bitmap->state == IMG_BITMAP_IN_USE ? ""
                                         : ", which cannot be used without knowing its extra data");
}

static gboolean
check (const ImgBitmap *bitmap, const ImgConvertParams *params, GPtrArray *omissions,
       GError **error)
{
  if (bitmap->state == IMG_BITMAP_GOOD)
    return omissions == NULL || try_to_read (bitmap, error);
  g_autofree char *what = describe (bitmap);
  /* Both as qemu-img says it. */
  if (!params->skip_broken_bitmaps)
    return img_throw (error, IMG_ERROR_FAILED,
                      "cannot copy %s; --skip-broken-bitmaps leaves it out", what);
  if (omissions != NULL)
    g_ptr_array_add (omissions, g_strdup_printf ("skipping %s", what));
  return TRUE;
}

GPtrArray *
img_bitmaps_find (const ImgConvertParams *params, ImgDisk *disk, GPtrArray *omissions,
                  GError **error)
{
  gboolean are_stale;
  g_autoptr (GPtrArray) bitmaps = img_disk_find_bitmaps (disk, &are_stale, error);

  if (bitmaps == NULL)
    return NULL;
  if (are_stale && omissions != NULL)
    g_ptr_array_add (omissions,
                     g_strdup ("a program lacking bitmap support modified the source: its bitmaps "
                               "are out of date and not copied"));
  for (guint i = 0; i < bitmaps->len; i++)
    if (!check (bitmaps->pdata[i], params, omissions, error))
      return NULL;
  return g_steal_pointer (&bitmaps);
}

gboolean
img_bitmaps_any_good (const GPtrArray *bitmaps)
{
  for (guint i = 0; bitmaps != NULL && i < bitmaps->len; i++)
    if (((const ImgBitmap *)bitmaps->pdata[i])->state == IMG_BITMAP_GOOD)
      return TRUE;
  return FALSE;
}

gboolean
img_bitmaps_check_size (const char *path, guint64 size, guint64 source_size, GError **error)
{
  if (size == source_size)
    return TRUE;
  g_autofree char *safe = img_text_escape (path, -1);
  return img_throw (error, IMG_ERROR_FAILED,
                    "'%s' cannot get the bitmaps of a disk of another size: it has "
                    "%" G_GUINT64_FORMAT " bytes, the source %" G_GUINT64_FORMAT,
                    safe, size, source_size);
}
