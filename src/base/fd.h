/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* File descriptors with an owner, and whole reads and writes.
 *
 * g_auto (ImgFd) closes itself. The I/O functions here are the only callers of read(2), write(2)
 * and their kin in the program: they retry EINTR, do all they were asked or fail unless they say
 * "once" or "some", and never move a shared file position unless they say so. */
#pragma once

#include <glib.h>
#include <sys/types.h>

typedef int ImgFd;

static inline int
img_fd_steal (ImgFd *fd)
{
  int stolen = *fd;
  *fd = -1;
  return stolen;
}

/* Close @fd if it is one, and forget it; errno is kept. For descriptors whose close cannot lose
 * data: everything opened for reading. */
void img_fd_clear (ImgFd *fd);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ImgFd, img_fd_clear)

/* Read @length bytes at @offset. Returns the number of bytes read, which is less than @length only
 * where the file ends, or -1 with errno set. */
G_GNUC_WARN_UNUSED_RESULT
gssize img_fd_read_at (int fd, guint64 offset, void *buffer, gsize length);

/* Read a whole small file such as those of /proc, relative to @directory (or AT_FDCWD), replacing
 * the content of @into (always NUL-terminated, NULs inside are kept). FALSE with errno set. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_fd_read_file (int directory, const char *name, GString *into);

/* Read once at the current position, up to @length bytes. Returns the count, or -1 with errno. */
G_GNUC_WARN_UNUSED_RESULT
gssize img_fd_read_some (int fd, void *buffer, gsize length);

/* Write all of @length bytes at the current position. FALSE with errno set. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_fd_write_all (int fd, const void *bytes, gsize length);

/* Write all of @length bytes at @offset. FALSE with errno set. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_fd_write_at (int fd, guint64 offset, const void *buffer, gsize length);

/* One preadv2(2) with the RWF_... in @flags. Returns what was read, 0 at the end of the file, or -1
 * with errno set. For those who can do something about a short answer. */
G_GNUC_WARN_UNUSED_RESULT
gssize img_fd_read_once (int fd, guint64 offset, void *buffer, gsize length, int flags);

/* One pwritev2(2) with the RWF_... in @flags. Returns what was written, at least a byte unless
 * @length is 0, or -1 with errno set. */
G_GNUC_WARN_UNUSED_RESULT
gssize img_fd_write_once (int fd, guint64 offset, const void *buffer, gsize length, int flags);
