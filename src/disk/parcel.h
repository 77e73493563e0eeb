/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writing to an image in which the guest's bytes find their place only when they are written.
 *
 * Each worker has a parcel of its own. It packs what it is to write (looks for zeros, compresses),
 * at any time; has it placed, when it is its turn; and puts it where it belongs, at any time after
 * that. Placing goes through the guest's bytes in order, one after the other, without leaving any
 * out, so that the image does not depend on who was faster. It is quick. All of this is in whole
 * units of the disk (ImgDisk.unit) but for the guest's end. */
#pragma once

#include "disk/disk.h"

typedef struct ImgParcel ImgParcel;

/* What a range is that is placed without a parcel. */
typedef enum
{
  IMG_PLACE_ZERO, /* it is to read as zeros */
  IMG_PLACE_SAME, /* as it is in the disk behind */
} ImgPlaceKind;

/* What a format supplies. */
typedef struct
{
  ImgParcel *(*create) (ImgDisk *disk, GError **error);
  void (*free) (ImgParcel *parcel);
  gboolean (*pack) (ImgDisk *disk, ImgParcel *parcel, guint64 guest_offset, guint8 *buffer,
                    gsize length, ImgDisk *source, guint64 *zeros, GError **error);
  gboolean (*place) (ImgDisk *disk, ImgParcel *parcel, GError **error);
  gboolean (*put) (ImgDisk *disk, ImgParcel *parcel, GError **error);
  gboolean (*place_range) (ImgDisk *disk, guint64 guest_offset, guint64 length, ImgPlaceKind kind,
                           GError **error);
  gboolean (*place_host) (ImgDisk *disk, guint64 guest_offset, guint64 length, ImgFile **file,
                          guint64 *host_offset, GError **error);
  gboolean (*try_to_share) (ImgDisk *disk, ImgFile *source, guint64 host_offset, GError **error);
} ImgParcelFuncs;

/* Whether @disk is written in this way. */
gboolean img_disk_takes_parcels (const ImgDisk *disk);

G_GNUC_WARN_UNUSED_RESULT
ImgParcel *img_parcel_new (ImgDisk *disk, GError **error);
void img_parcel_free (ImgDisk *disk, ImgParcel *parcel);

/* Get @length bytes at @buffer ready; it must stay until they are put, and have room for a whole
 * unit at the end, which is filled with zeros or what was there. They are the bytes of @source at
 * the same offset, which may have them compressed already; NULL: they are from elsewhere. *@zeros
 * is how many bytes need not be written. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_parcel_pack (ImgDisk *disk, ImgParcel *parcel, guint64 guest_offset, guint8 *buffer,
                          gsize length, ImgDisk *source, guint64 *zeros, GError **error);

/* In its turn: find a place for it. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_parcel_place (ImgDisk *disk, ImgParcel *parcel, GError **error);

/* Write it there. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_parcel_put (ImgDisk *disk, ImgParcel *parcel, GError **error);

/* In its turn: a range that needs no bytes. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_disk_place_range (ImgDisk *disk, guint64 guest_offset, guint64 length,
                               ImgPlaceKind kind, GError **error);

/* In its turn: a place for bytes as they are, which the caller brings to *@host_offset of *@file
 * (borrowed) himself. IMG_ERROR_UNSUPPORTED where they are kept otherwise. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_disk_place_host (ImgDisk *disk, guint64 guest_offset, guint64 length, ImgFile **file,
                              guint64 *host_offset, GError **error);

/* Before anything is placed so: whether @disk can share blocks with @source (file/clone.h), tried
 * with what is at @host_offset. IMG_ERROR_UNSUPPORTED if not. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_disk_try_to_share (ImgDisk *disk, ImgFile *source, guint64 host_offset,
                                GError **error);
