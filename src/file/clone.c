/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "file/clone.h"

#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/mounts.h"
#include "file/file-private.h"

/* From linux/magic.h and statfs(2). */
#define MAGIC_NFS 0x6969u
#define MAGIC_SMB 0xff534d42u
#define MAGIC_SMB2 0xfe534d42u

/* The most of a tail that is copied by hand. */
#define MAX_BLOCK 65536

/* The most that one call copies, so that a server answers in reasonable time. */
#define COPY_PART (G_GUINT64_CONSTANT (64) << 20)

/* The errors that mean "not these two", and not that something went wrong. */
static gboolean
is_refusal (int error_number)
{
  switch (error_number)
    {
    case EXDEV:
    case EOPNOTSUPP:
    case ENOTTY:
    case ENOSYS:
    case EINVAL:
    case EPERM:
    case EACCES:
    case EBADF:
    case ETXTBSY:
      return TRUE;
    default:
      return FALSE;
    }
}

static gboolean
clone_range (ImgFile *source, guint64 source_offset, ImgFile *target, guint64 target_offset,
             guint64 length)
{
  struct file_clone_range range = { .src_fd = source->inode->fd,
                                    .src_offset = source_offset,
                                    .src_length = length,
                                    .dest_offset = target_offset };
  int result;

  do
    result = ioctl (target->inode->fd, FICLONERANGE, &range);
  while (result < 0 && errno == EINTR);
  return result == 0;
}

/* The end of a range that is less than a block, and not the end of both files. */
static gboolean
copy_tail (ImgFile *source, guint64 source_offset, ImgFile *target, guint64 target_offset,
           guint64 length, GError **error)
{
  g_autofree char *bytes = g_malloc (length);

  return img_file_read (source, source_offset, bytes, length, error)
         && img_file_write (target, target_offset, bytes, length, error);
}

gboolean
img_file_clone (ImgFile *source, guint64 source_offset, ImgFile *target, guint64 target_offset,
                guint64 length, GError **error)
{
  struct statfs fs;
  guint64 tail = 0;

  if (length == 0 || clone_range (source, source_offset, target, target_offset, length))
    return TRUE;
  /* Only where both files end may a range end within a block. */
  if (errno == EINVAL && fstatfs (target->inode->fd, &fs) == 0 && fs.f_bsize > 0
      && fs.f_bsize <= MAX_BLOCK)
    {
      tail = length % (guint64)fs.f_bsize;
      if (tail > 0 && tail < length
          && clone_range (source, source_offset, target, target_offset, length - tail))
        return copy_tail (source, source_offset + length - tail, target,
                          target_offset + length - tail, tail, error);
    }
  if (is_refusal (errno))
    return img_throw (error, IMG_ERROR_UNSUPPORTED, "cannot share the blocks of '%s' with '%s': %s",
                      source->safe_path, target->safe_path, g_strerror (errno));
  return img_throw_errno (error,
                          "cannot share %" G_GUINT64_FORMAT " bytes at offset %" G_GUINT64_FORMAT
                          " of '%s' with '%s'",
                          length, source_offset, source->safe_path, target->safe_path);
}

gboolean
img_file_copy_range (ImgFile *source, guint64 source_offset, ImgFile *target, guint64 target_offset,
                     guint64 length, GError **error)
{
  off_t from = (off_t)source_offset, to = (off_t)target_offset;
  ssize_t copied;

  for (guint64 done = 0; done < length; done += (guint64)copied)
    {
      do
        copied = copy_file_range (source->inode->fd, &from, target->inode->fd, &to,
                                  MIN (COPY_PART, length - done), 0);
      while (copied < 0 && errno == EINTR);
      if (copied < 0 && is_refusal (errno)) /* as of the end, when it is no whole block */
        return img_throw (error, IMG_ERROR_UNSUPPORTED,
                          "cannot copy from '%s' to '%s' in the kernel: %s", source->safe_path,
                          target->safe_path, g_strerror (errno));
      if (copied < 0)
        return img_throw_errno (error,
                                "cannot copy from offset %" G_GINT64_FORMAT " of '%s' to '%s'",
                                (gint64)from, source->safe_path, target->safe_path);
      if (copied == 0)
        return img_throw (error, IMG_ERROR_FAILED,
                          "cannot copy %" G_GUINT64_FORMAT " bytes at offset %" G_GUINT64_FORMAT
                          " of '%s': the file ends at %" G_GUINT64_FORMAT,
                          length, source_offset, source->safe_path, source_offset + done);
      if (!img_pages_wrote (target, target_offset + done, (guint64)copied))
        return img_throw_errno (error, "cannot write to '%s'", target->safe_path);
    }
  return TRUE;
}

gboolean
img_file_copies_remotely (ImgFile *source, ImgFile *target)
{
  g_autoptr (ImgMount) mount = NULL;
  struct statfs fs;

  if (source->inode->dev != target->inode->dev || fstatfs (source->inode->fd, &fs) < 0)
    return FALSE;
  switch ((guint)fs.f_type)
    {
    case MAGIC_SMB:
    case MAGIC_SMB2:
      return TRUE;
    case MAGIC_NFS:
      /* Older versions have no such operation: the kernel would read and write. */
      mount = img_mount_of_fd (source->inode->fd);
      return mount != NULL && strstr (mount->options, "vers=4.2") != NULL;
    default:
      return FALSE;
    }
}
