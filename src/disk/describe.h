/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an image says about itself, whatever its format. */
#pragma once

#include "disk/disk.h"
#include "disk/fact.h"

/* So many snapshots or bitmaps are listed, and fewer if their names have more bytes than this. */
#define IMG_MAX_LISTED 4096
#define IMG_MAX_LISTED_BYTES ((gsize)256 << 10)

/* A state of the disk kept inside the image. */
typedef struct
{
  char *id, *name;          /* owned; as they are in the image */
  guint64 date_seconds;     /* since the Epoch */
  guint64 vm_clock;         /* nanoseconds the guest had run */
  guint64 vm_state_size;    /* bytes of a saved machine, or 0 */
  guint64 icount;           /* instructions executed; G_MAXUINT64: not recorded */
  guint64 disk_size;        /* guest bytes */
  guint32 date_nanoseconds; /* and these */
} ImgSnapshot;

/* Something that an image uses of its format and not every image does. */
typedef struct
{
  char *name;           /* owned; safe to print */
  gboolean is_harmless; /* also where the image is a stranger's */
} ImgFeature;

void img_feature_free (ImgFeature *feature);

/* Filled by the format; zeroed before. */
typedef struct
{
  guint64 cluster_size; /* bytes, or 0 */
  gboolean is_encrypted;
  gboolean is_dirty;    /* not cleanly closed */
  guint64 needed;       /* how long the file must be at least, as far as that is quickly seen */
  GPtrArray *snapshots; /* owned ImgSnapshot; NULL: none; the first IMG_MAX_LISTED at most */
  guint n_snapshots;    /* how many there are */
  ImgFact *facts;       /* owned; NULL: the format has none of its own */
  GPtrArray *features;  /* owned ImgFeature; NULL: the format has none */
} ImgDescription;

void img_snapshot_free (ImgSnapshot *snapshot);

/* Note in @description that the image uses what is called @name (taken over). */
void img_description_add_feature (ImgDescription *description, char *name, gboolean is_harmless);

/* Ask the format. Errors: what is described cannot be read. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_disk_describe (ImgDisk *disk, ImgDescription *description, GError **error);
void img_description_clear (ImgDescription *description);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ImgDescription, img_description_clear)
