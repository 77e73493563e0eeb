/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an ImgFile is made of, for this room only.
 *
 * Whatever a file or its file system turned out not to be able to do is remembered here, so that it
 * is asked once. These members are set by any thread, with atomic operations; the rest is set by
 * the main thread before there are others. */
#pragma once

#include <sys/stat.h>

#include "file/cache.h"
#include "file/direct.h"
#include "file/file.h"
#include "file/inode-registry.h"

/* What is known of a way to zero a file (file/zero.h). */
typedef enum
{
  IMG_RUNG_UNKNOWN,
  IMG_RUNG_GOOD,
  IMG_RUNG_BROKEN,
} ImgRung;

typedef struct
{
  gint punch, zero_range; /* atomic: ImgRung */
  GMutex mutex;           /* while a rung is being verified */
} ImgZeroing;

struct ImgFile
{
  char *path;      /* owned */
  char *safe_path; /* owned; for messages */
  ImgInode *inode; /* owned: one use of it */
  guint64 size, allocated;
  gboolean is_device;
  struct timespec mtime, ctime; /* when it was opened */
  ImgCacheMode cache_mode;
  int write_flags;    /* RWF_... */
  gint failed;        /* atomic: the errno of the first write-back that failed, which is final */
  gint lacks_dsync;   /* atomic: RWF_DSYNC is not known here */
  gint lacks_seek;    /* atomic: where the holes are cannot be told */
  ImgDirect direct;   /* reading and writing with O_DIRECT */
  ImgPages pages;     /* what it has brought into the page cache */
  ImgZeroing zeroing; /* which ways to zero it are known to work */
};

/* After opening: @st is that of the file, whose size is known already. */
void img_file_io_init (ImgFile *file, const struct stat *st);

/* Before closing. */
void img_file_io_clear (ImgFile *file);

/* What an errno of a failed write-back is remembered by; returns FALSE for convenience. */
gboolean img_file_fail (ImgFile *file, int error_number);
