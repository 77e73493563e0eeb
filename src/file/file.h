/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ImgFile: the host bytes of an image, a regular file or a block device.
 *
 * Every subcommand opens images here and nowhere else. A file is locked before anybody looks at its
 * content, and what was locked is what the name stands for: after the lock was granted, the
 * descriptor is compared with the path, and the opening starts again if a rename won. Reads are
 * whole and position-free. */
#pragma once

#include "base/error.h"
#include "file/root.h"
#include "lock/image-lock.h"
#include "lock/verify.h"

typedef struct ImgFile ImgFile;

typedef struct
{
  gboolean is_writable;  /* open for reading and writing, else for reading only */
  gboolean is_exclusive; /* of a block device: refused while the kernel uses it (O_EXCL) */
  gboolean is_named;     /* an image names it: see img_node_find_named() */
  const ImgRoot *root;   /* borrowed; what is named must be in it; or NULL */
  gboolean no_devices;   /* a block device is refused, without being opened */
  ImgLocking locking;
  ImgPermSet permissions; /* what to lock */
  gint64 lock_wait;       /* microseconds, IMG_WAIT_NONE or IMG_WAIT_FOREVER */
} ImgFileParams;

/* Open and lock the image at @path. Errors: those of img_lock_take(), and IMG_ERROR_FAILED. */
G_GNUC_WARN_UNUSED_RESULT
ImgFile *img_file_open (const char *path, const ImgFileParams *params, GError **error);

/* The same for @fd (taken over, also on failure), which the caller has just opened under the name
 * @path: a new file, or a leftover. It is locked and registered; whether @path still names it is
 * for the caller to compare. */
G_GNUC_WARN_UNUSED_RESULT
ImgFile *img_file_adopt (int fd, const char *path, const ImgFileParams *params, GError **error);

/* Unlock and close. What was written and not flushed may be lost without a word. */
void img_file_close (ImgFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImgFile, img_file_close)

/* Read @length bytes at @offset; an end of file in between is an error. Any thread may call. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_file_read (ImgFile *file, guint64 offset, void *buffer, gsize length, GError **error);

/* Write @length bytes at @offset, all of them. Any thread may call. Errors name the file and the
 * offset. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_file_write (ImgFile *file, guint64 offset, const void *buffer, gsize length,
                         GError **error);

/* Make a regular file @size bytes long; what is added reads as zeros. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_file_resize (ImgFile *file, guint64 size, GError **error);

/* Have the errors that file servers keep until a file is closed, when nobody wants to wait for the
 * disk. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_file_collect_errors (ImgFile *file, GError **error);

/* Bring what was written, and the size, to the disk (fsync(2)). A failure is final: the kernel may
 * have thrown the data away, so it is not tried again and every later call fails too. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_file_flush (ImgFile *file, GError **error);

/* Whether writing back has failed already: img_file_flush() says so, and the process it happened in
 * is the only one that knows. */
gboolean img_file_has_failed (const ImgFile *file);

/* How reads and writes treat the page cache; the names are those of qemu-img's -t and -T. */
typedef enum
{
  IMG_CACHE_WRITEBACK,    /* cached; little stays dirty, and only what was cached before stays */
  IMG_CACHE_NONE,         /* O_DIRECT */
  IMG_CACHE_WRITETHROUGH, /* each write goes to the disk at once (RWF_DSYNC) */
  IMG_CACHE_DIRECTSYNC,   /* both */
  IMG_CACHE_UNSAFE,       /* cached, nothing is hurried to the disk; the caller flushes or not */
} ImgCacheMode;

/* Before the first read or write; the default is IMG_CACHE_WRITEBACK. With O_DIRECT anything may
 * still be read and written at any offset and from any memory: what is not aligned as the device
 * wants it takes a slower way. IMG_ERROR_UNSUPPORTED where the file system has no O_DIRECT. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_file_set_cache (ImgFile *file, ImgCacheMode mode, GError **error);

/* What offsets, lengths and memory should be multiples of to be fast; a power of two, at least 512.
 */
guint64 img_file_alignment (const ImgFile *file);

/* Write back and forget what the page cache has of a range (length 0: to the end), so that the next
 * read comes from the disk. Best effort. */
void img_file_forget (ImgFile *file, guint64 offset, guint64 length);

/* Whether size, mtime or ctime differ from when the file was opened: somebody has changed it. Not
 * meaningful for block devices (never). */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_file_has_changed (ImgFile *file, gboolean *changed, guint64 *size, GError **error);

/* Fail with IMG_ERROR_LOCK_LOST if the locks are proven gone. What cannot be told is no error:
 * *@state (may be NULL) says so. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_file_verify_lock (ImgFile *file, ImgLockState *state, GError **error);

/* Take @set too, beside what was locked when it was opened. Errors as of img_file_open(). */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_file_extend_lock (ImgFile *file, ImgPermSet set, gint64 wait, GError **error);

const char *img_file_path (const ImgFile *file);  /* as given; borrowed */
guint64 img_file_size (const ImgFile *file);      /* bytes, when it was opened */
guint64 img_file_allocated (const ImgFile *file); /* bytes on disk (st_blocks) */
gboolean img_file_is_device (const ImgFile *file);
const ImgLock *img_file_lock (const ImgFile *file); /* borrowed */

/* For libraries that read through a descriptor; borrowed, positioned reads only, not to be closed.
 */
int img_file_fd (const ImgFile *file);
