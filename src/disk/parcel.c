/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk/parcel.h"

#include <string.h>

#include "base/size.h"
#include "disk/format.h"

gboolean
img_disk_takes_parcels (const ImgDisk *disk)
{
  return disk->format->parcels != NULL;
}

ImgParcel *
img_parcel_new (ImgDisk *disk, GError **error)
{
  return disk->format->parcels->create (disk, error);
}

void
img_parcel_free (ImgDisk *disk, ImgParcel *parcel)
{
  disk->format->parcels->free (parcel);
}

gboolean
img_parcel_pack (ImgDisk *disk, ImgParcel *parcel, guint64 guest_offset, guint8 *buffer,
                 gsize length, ImgDisk *source, guint64 *zeros, GError **error)
{
  gsize whole = (gsize)img_size_round_up (length, disk->unit);

  g_assert (guest_offset % disk->unit == 0 && length > 0);
  memset (buffer + length, 0, whole - length);
  /* What is behind the end of the copy stays as it was. */
  if (disk->previous != NULL && guest_offset + length < disk->previous->size)
    {
      gsize rest = (gsize)MIN (whole - length, disk->previous->size - guest_offset - length), got;
      if (rest > 0
          && !img_disk_read (disk->previous, guest_offset + length, buffer + length, rest, &got,
                             error))
        return FALSE;
    }
  if (!disk->format->parcels->pack (disk, parcel, guest_offset, buffer, whole, source, zeros,
                                    error))
    return FALSE;
  *zeros = MIN (*zeros, length);
  return TRUE;
}

gboolean
img_parcel_place (ImgDisk *disk, ImgParcel *parcel, GError **error)
{
  return disk->format->parcels->place (disk, parcel, error);
}

gboolean
img_parcel_put (ImgDisk *disk, ImgParcel *parcel, GError **error)
{
  return disk->format->parcels->put (disk, parcel, error);
}

gboolean
img_disk_place_range (ImgDisk *disk, guint64 guest_offset, guint64 length, ImgPlaceKind kind,
                      GError **error)
{
  g_assert (guest_offset % disk->unit == 0);
  return disk->format->parcels->place_range (disk, guest_offset, length, kind, error);
}

gboolean
img_disk_place_host (ImgDisk *disk, guint64 guest_offset, guint64 length, ImgFile **file,
                     guint64 *host_offset, GError **error)
{
  g_assert (guest_offset % disk->unit == 0);
  return disk->format->parcels->place_host (disk, guest_offset, length, file, host_offset, error);
}

gboolean
img_disk_try_to_share (ImgDisk *disk, ImgFile *source, guint64 host_offset, GError **error)
{
  return disk->format->parcels->try_to_share (disk, source, host_offset, error);
}
