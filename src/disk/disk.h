/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ImgDisk: guest bytes, whatever format keeps them.
 *
 * A format turns host bytes into guest bytes and is a const struct of functions (disk/format.h).
 * The functions here check their arguments and call it. Where a format has no function for
 * something, the fallback is here, once. Reads, writes, extents and zeroing may come from any
 * thread unless the disk is sequential. */
#pragma once

#include "disk/budget.h"
#include "disk/create.h"
#include "file/extent.h"

/* Of a stream: it ends where it ends. */
#define IMG_DISK_SIZE_UNKNOWN G_MAXUINT64

typedef struct ImgDisk ImgDisk;
typedef struct ImgFormat ImgFormat;

typedef enum
{
  IMG_EXTENT_DATA,
  IMG_EXTENT_ZERO, /* reads as zeros without being looked at */
} ImgExtentKind;

typedef struct
{
  guint64 guest_offset, length; /* bytes */
  ImgExtentKind kind;
} ImgExtent;

/* Another file that an image names, as it names it; to be followed only through disk/gate.h. */
typedef struct
{
  char *name;   /* owned; NULL: there is none */
  char *format; /* owned; what the image says it is, or NULL */
} ImgReference;

/* Where a range of the guest's bytes comes from, as finely as the format knows. */
typedef enum
{
  IMG_MAPPING_DATA,
  IMG_MAPPING_ZERO,
  IMG_MAPPING_ABSENT, /* not in this disk, nor in one behind it: reads as zeros */
} ImgMappingKind;

/* Where the compressed bytes of a cluster are. */
typedef struct
{
  ImgFile *file;       /* borrowed */
  guint64 host_offset; /* of that file */
  gsize length;        /* bytes; the stream may end before that */
  guint64 cluster;     /* guest bytes that it stands for */
  guint64 in_cluster;  /* where in these the mapping begins */
  ImgCompression compression;
} ImgPacked;

typedef struct
{
  guint64 guest_offset, length; /* bytes */
  ImgMappingKind kind;
  gboolean is_compressed;
  ImgPacked packed;    /* if it is compressed */
  guint depth;         /* how many backing disks down it was found */
  ImgFile *file;       /* borrowed: where the bytes lie as they are, or have space; or NULL */
  guint64 host_offset; /* of that file */
} ImgMapping;

struct ImgDisk
{
  const ImgFormat *format; /* constant */
  ImgFile *file;           /* borrowed: it outlives the disk; NULL for a stream */
  ImgReference backing;    /* what is not in this disk is there */
  ImgReference data_file;  /* the guest's bytes are there, and only what describes them here */
  ImgDisk *backing_disk;   /* owned: what the reference stands for; NULL: there is none */
  ImgFile *data;           /* borrowed: likewise */
  ImgDisk *previous;       /* owned: of an image that is written anew: as it was; or NULL */
  struct
  {
    GMutex mutex;
    ImgFile *file;         /* borrowed; NULL: nothing was seen */
    ImgFileExtent extent;  /* of that file */
  } seen;                  /* what was found out last about holes */
  gsize cache_budget;      /* bytes a format may keep in memory of its tables; 0: as it likes */
  ImgBudget *workspace;    /* owned: one use; for what is larger than that; or NULL */
  guint64 size;            /* guest bytes, or IMG_DISK_SIZE_UNKNOWN */
  gboolean is_sequential;  /* each byte is read or written once, in order */
  gboolean keeps_size;     /* a target that is there and takes no more than its size */
  gboolean reads_as_zeros; /* a target that is new: what is not written reads as zeros */
  guint64 unit;            /* of a target that takes parcels: bytes that are placed together */
  gpointer state;          /* the format's own */
};

/* The disk in @file (borrowed), which has the format called @format. */
G_GNUC_WARN_UNUSED_RESULT
ImgDisk *img_disk_open (ImgFile *file, const char *format, GError **error);

/* What a new image is made with. */
typedef struct
{
  const ImgCreateOptions *options; /* borrowed for the call; the format has checked them */
  guint64 size;                    /* guest bytes, or IMG_DISK_SIZE_UNKNOWN */
  gboolean is_clean;               /* the file reads as zeros where nothing was written */
  gboolean is_in_place;            /* the file has its name already: valid only when all is there */
  gboolean is_durable;             /* and not before that is on the disk */
  gboolean is_zero;                /* of an image that is written anew: it reads as zeros */
  guint64 sparse_size;             /* zeros in runs of this need no space; 0: all do */
  ImgDisk *backing_disk;           /* taken over, also on failure; or NULL */
  ImgFile *data;                   /* borrowed: for the guest's bytes; or NULL */
  /* In place: what must be done when all is there but what makes it an image; or NULL. */
  gboolean (*before_valid) (gpointer closure, GError **error);
  /* Called before the first change of what has been in the file; or NULL. */
  void (*before_change) (gpointer closure);
  gpointer closure; /* borrowed, as long as the disk */
} ImgCreateParams;

/* A new image of the format called @format in @file (borrowed), which is empty or a block device.
 * IMG_ERROR_UNSUPPORTED if the format has no such thing. */
G_GNUC_WARN_UNUSED_RESULT
ImgDisk *img_disk_create (ImgFile *file, const char *format, const ImgCreateParams *params,
                          GError **error);

/* Write anew the image in @previous (taken over, also on failure), which is open for reading: from
 * its beginning up to where the copy ends; the rest, and its snapshots, stay. Of @params only what
 * concerns the writing. IMG_ERROR_UNSUPPORTED if the format has no such thing. */
G_GNUC_WARN_UNUSED_RESULT
ImgDisk *img_disk_rewrite (ImgDisk *previous, const ImgCreateParams *params, GError **error);

/* The format's rows of what can be said about a new image, and whether @options go together;
 * @size is the guest's, or IMG_DISK_SIZE_UNKNOWN. @format is one that can be written. */
const ImgCreateRow *img_disk_create_rows (const char *format);
G_GNUC_WARN_UNUSED_RESULT
gboolean img_disk_check_options (const char *format, const ImgCreateOptions *options, guint64 size,
                                 GError **error);

/* Make ready to read guest bytes, once the files that @disk names were given to it. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_disk_begin (ImgDisk *disk, GError **error);

/* What comes in or goes out through the descriptor @fd (borrowed), called @name in messages.
 * Nothing is locked. */
ImgDisk *img_disk_open_stream (int fd, const char *name);

/* What the first bytes that come in look like: the name of a format, constant. They are still read
 * from @disk, a stream, afterwards. */
G_GNUC_WARN_UNUSED_RESULT
const char *img_disk_probe_stream (ImgDisk *disk, GError **error);

/* @parts (borrowed; they outlive it), one behind the other, as one disk to be read; sequential if
 * one of them is. */
ImgDisk *img_disk_open_concat (ImgDisk *const *parts, guint n);

/* A disk of @size zeros, to be read. */
ImgDisk *img_disk_open_zeros (guint64 size);

void img_disk_close (ImgDisk *disk);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImgDisk, img_disk_close)

/* Read @length bytes at @guest_offset. Of a disk of unknown size *@got may be less at its end;
 * otherwise it is @length. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_disk_read (ImgDisk *disk, guint64 guest_offset, void *buffer, gsize length, gsize *got,
                        GError **error);
G_GNUC_WARN_UNUSED_RESULT
gboolean img_disk_write (ImgDisk *disk, guint64 guest_offset, const void *buffer, gsize length,
                         GError **error);

/* Make a range read as zeros; @flags are ImgZeroFlags. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_disk_zero (ImgDisk *disk, guint64 guest_offset, guint64 length, guint flags,
                        GError **error);

/* The extent that begins at @guest_offset, cut off at @length or before. What cannot be found out
 * is data: reading it says why. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_disk_extent (ImgDisk *disk, guint64 guest_offset, guint64 length, ImgExtent *extent,
                          GError **error);

/* Where the range comes from that begins at @guest_offset, cut off at @length. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_disk_map (ImgDisk *disk, guint64 guest_offset, guint64 length, ImgMapping *mapping,
                       GError **error);

/* Where the guest's bytes lie in a file as they are, if they do: *@host_offset of *@file
 * (borrowed), valid for *@length bytes (at most what it was before). */
gboolean img_disk_map_host (ImgDisk *disk, guint64 guest_offset, guint64 *length, ImgFile **file,
                            guint64 *host_offset);

/* Read what is not in @disk itself: from the disk behind it, and zeros where there is nothing. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_disk_read_backing (ImgDisk *disk, guint64 guest_offset, void *buffer, gsize length,
                                GError **error);

/* All guest bytes were written: @size of them. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_disk_finish (ImgDisk *disk, guint64 size, GError **error);

/* Bring what was written to the disk. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_disk_flush (ImgDisk *disk, GError **error);
