/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a format supplies. NULL: it has none of that, and disk.c does what it says there.
 *
 * A format never opens another file, parses options or prints. */
#pragma once

#include "disk/bitmap.h"
#include "disk/check.h"
#include "disk/describe.h"
#include "disk/parcel.h"

struct ImgFormat
{
  const char *name; /* QEMU's */
  /* Look at disk->file, which is open and locked, and fill in the size and the references. Guest
   * bytes are not asked for before begin(). */
  gboolean (*open) (ImgDisk *disk, GError **error);
  /* Be as the disk was in the snapshot with that ID and that name (NULL: any), if there is one. */
  gboolean (*select) (ImgDisk *disk, const char *id, const char *name, gboolean *is_found,
                      GError **error);
  /* Make ready for reading: backing_disk and data are there. */
  gboolean (*begin) (ImgDisk *disk, GError **error);
  /* Fill in the description; that of an image with much to tell is read only now. */
  gboolean (*describe) (ImgDisk *disk, ImgDescription *description, GError **error);
  gboolean (*read) (ImgDisk *disk, guint64 guest_offset, void *buffer, gsize length, gsize *got,
                    GError **error);
  gboolean (*write) (ImgDisk *disk, guint64 guest_offset, const void *buffer, gsize length,
                     GError **error);
  gboolean (*zero) (ImgDisk *disk, guint64 guest_offset, guint64 length, guint flags,
                    GError **error);
  /* One of these: extent where guest bytes are host bytes, else map, which knows only what is in
   * this disk itself and leaves depth alone. */
  gboolean (*extent) (ImgDisk *disk, guint64 guest_offset, guint64 length, ImgExtent *extent,
                      GError **error);
  gboolean (*map) (ImgDisk *disk, guint64 guest_offset, guint64 length, ImgMapping *mapping,
                   GError **error);
  /* Bitmaps kept with the disk; see disk/bitmap.h. */
  GPtrArray *(*find_bitmaps) (ImgDisk *disk, gboolean *are_stale, GError **error);
  gboolean (*read_bitmap) (const ImgBitmap *bitmap, guint64 offset, guint8 *buffer, gsize length,
                           GError **error);
  void (*keep_bitmaps) (ImgDisk *disk, GPtrArray *bitmaps);
  /* What can be said about a new image, ended by a row without a name; and whether it goes
   * together, @size being the guest's (G_MAXUINT64: not known yet). */
  const ImgCreateRow *create_rows;
  gboolean (*check_options) (const ImgCreateOptions *options, guint64 size, GError **error);
  /* Make @disk, of which only file, backing_disk and data are set, a new image to write to. */
  gboolean (*create) (ImgDisk *disk, const ImgCreateParams *params, GError **error);
  /* Make @disk, of which only file and previous are set, that image to be written anew. */
  gboolean (*rewrite) (ImgDisk *disk, const ImgCreateParams *params, GError **error);
  /* In place of write and zero; see disk/parcel.h. */
  const ImgParcelFuncs *parcels;
  gboolean (*finish) (ImgDisk *disk, guint64 size, GError **error);
  gboolean (*flush) (ImgDisk *disk, GError **error); /* NULL: flushes the file */
  /* Look for what is wrong in the structure, as far as open() let it pass. See disk/check.h. */
  gboolean (*check) (ImgDisk *disk, const ImgCheckParams *params, ImgCheckResult *result,
                     GError **error);
  void (*close) (ImgDisk *disk); /* what is in disk->state */
};

/* All that can be opened, ended by NULL; defined above this room, in format/. */
extern const ImgFormat *const img_formats[];
