/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Leaving the page cache as it was.
 *
 * What a copy reads and writes once is of no use in memory, and pushes out what others need. So
 * pages that were not cached before are given up after use, and what was written is sent to the
 * disk soon, so that little is dirty at any time. Pages that were cached stay.
 *
 * A read looks at the residency of the window around it and of those ahead, before the kernel
 * reads ahead into them, and gives up a window's pages when all of it was read. Where this process
 * may not know what is cached, the kernel does it (RWF_DONTCACHE, Linux 6.14; slower on a cold
 * file). Writes to a file that was not empty look first, too. They are sent off in batches: when
 * one is full its write-back is started, and the one before the last is waited for and given up,
 * which is also the fastest way to the disk (RWF_DONTCACHE sends off each write by itself). Memory
 * file systems have nothing but their page cache. */
#pragma once

#include <glib.h>

#include "file/residency.h"

typedef struct ImgFile ImgFile;

/* A range of bytes. */
typedef struct
{
  guint64 begin, end;
} ImgSpan;

/* Part of the file that is read and then given up as a whole. Large pages of the kernel (up to
 * 2 MiB, aligned to their size) do not cross its ends. The kernel reads ahead of a sequential
 * reader up to four times the device's read_ahead_kb, which distributions set to up to 16 MiB: so
 * far has to be looked. */
#define IMG_READ_WINDOW (G_GUINT64_CONSTANT (8) << 20)
#define IMG_LOOK_AHEAD (G_GUINT64_CONSTANT (64) << 20)
#define IMG_ISOLATED_READ (512u << 10) /* less than this may stand by itself */
#define IMG_READ_WINDOWS 288           /* readers (32) with all that lies ahead of each */

typedef struct
{
  guint64 offset;
  guint64 done;  /* bytes of it that were read */
  gint64 looked; /* when, in microseconds */
  ImgResidents before;
} ImgReadWindow;

/* So much is written before it is sent to the disk, and so many batches are on their way. */
#define IMG_WRITE_BATCH (G_GUINT64_CONSTANT (8) << 20)
#define IMG_WRITE_BATCHES 3

typedef struct
{
  ImgSpan span;  /* around all that was written */
  guint64 bytes; /* how much that was */
  GArray *own;   /* owned; ImgSpan: what of it was not cached before; NULL if there is none */
} ImgWriteBatch;

typedef struct
{
  gboolean is_off;    /* nothing is to be done */
  gboolean was_empty; /* all of it that is cached was brought in by us */
  gint is_blind;      /* atomic: what is cached is not told to this process */
  gint lacks_dontcache, lacks_batches, lacks_cachestat; /* atomic */
  /* Held while a write to a regular file is in the kernel. File systems let one in at a time;
   * whoever waits inside spins. */
  GMutex writing;
  GMutex mutex;                             /* of the members below */
  ImgReadWindow *windows[IMG_READ_WINDOWS]; /* owned; the oldest first */
  guint n_windows;
  ImgWriteBatch filling, sent[IMG_WRITE_BATCHES];
  guint n_sent;
} ImgPages;

void img_pages_init (ImgPages *pages, int fd, gboolean is_device, gboolean is_empty);

/* Give up what is still there. */
void img_pages_clear (ImgFile *file);

/* pread(2) through the page cache. Returns what was read, less than @length only where the file
 * ends; -1 with errno. */
G_GNUC_WARN_UNUSED_RESULT
gssize img_pages_read (ImgFile *file, guint64 offset, void *buffer, gsize length);

/* The same for writing, all of @length; @flags are RWF_... FALSE with errno, which can be that of
 * an earlier write. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_pages_write (ImgFile *file, guint64 offset, const void *buffer, gsize length,
                          int flags);

/* What the kernel has written on behalf of this file (copy_file_range) is to be sent off too. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_pages_wrote (ImgFile *file, guint64 offset, guint64 length);

/* sync_file_range(2) with @flags, where there is such a thing. An error of writing that it reports,
 * whichever, is reported only once: it is remembered as final. FALSE with errno. */
#define IMG_SYNC_AND_WAIT \
  (SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER)
gboolean img_pages_sync (ImgFile *file, guint64 offset, guint64 length, guint flags);

/* After an fsync: give up what was written and is still there. */
void img_pages_drop_written (ImgFile *file);
