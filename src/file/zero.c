/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "file/zero.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "base/buffer.h"
#include "base/fd.h"
#include "base/size.h"
#include "file/file-private.h"

/* Not in every linux/magic.h. */
#define MAGIC_XFS 0x58465342u
#define MAGIC_BCACHEFS 0xca451a4eu

#define ZERO_CHUNK (G_GUINT64_CONSTANT (1) << 20)
static const char zeros[ZERO_CHUNK] __attribute__ ((aligned (4096)));

/* What is written at both ends of a range to see whether a rung zeroes it. */
#define PROBE_SIZE 4096

/* A rung's outcome. */
typedef enum
{
  DONE,
  CANNOT, /* the next rung, please */
  FAILED, /* error is set */
} Outcome;

typedef struct
{
  ImgFile *file;
  guint64 offset, length;
} Range;

static gboolean
write_zeros (const Range *range, GError **error)
{
  guint64 part;

  for (guint64 done = 0; done < range->length; done += part)
    {
      part = MIN (ZERO_CHUNK, range->length - done);
      if (!img_file_write (range->file, range->offset + done, zeros, (gsize)part, error))
        return FALSE;
    }
  return TRUE;
}

/* Local file systems of Linux that have had these calls for years; all others are verified. */
static gboolean
is_believed (const ImgFile *file)
{
  static const guint believed[] = { EXT4_SUPER_MAGIC, MAGIC_XFS,        BTRFS_SUPER_MAGIC,
                                    TMPFS_MAGIC,      F2FS_SUPER_MAGIC, MAGIC_BCACHEFS };
  struct statfs fs;

  if (file->is_device)
    return TRUE;
  if (fstatfs (file->inode->fd, &fs) < 0)
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (believed); i++)
    if ((guint)fs.f_type == believed[i])
      return TRUE;
  return FALSE;
}

/* fallocate(2) with @mode. CANNOT leaves errno as it was. */
static Outcome
call_rung (const Range *range, int mode, GError **error)
{
  int result;

  do
    result = fallocate (range->file->inode->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)range->offset,
                        (off_t)range->length);
  while (result < 0 && errno == EINTR);
  if (result == 0)
    return DONE;
  if (errno == EOPNOTSUPP || errno == ENOSYS || errno == ENOTTY || errno == EINVAL || errno == EPERM
      || errno == ENODEV)
    return CANNOT;
  img_throw_errno (
      error, "cannot zero %" G_GUINT64_FORMAT " bytes at offset %" G_GUINT64_FORMAT " of '%s'",
      range->length, range->offset, range->file->safe_path);
  return FAILED;
}

/* A pattern at both ends of @range, on the server. */
static gboolean
write_probes (const Range *range, GError **error)
{
  char pattern[PROBE_SIZE];
  gsize part = (gsize)MIN (sizeof pattern, range->length);

  memset (pattern, 0xa5, sizeof pattern);
  if (!img_file_write (range->file, range->offset, pattern, part, error)
      || !img_file_write (range->file, range->offset + range->length - part, pattern, part, error))
    return FALSE;
  img_file_forget (range->file, range->offset, range->length);
  return TRUE;
}

/* Whether both ends of @range read as zeros, from the server; -1 with an error. */
static int
probes_are_zero (const Range *range, GError **error)
{
  char bytes[2 * PROBE_SIZE];
  gsize part = (gsize)MIN (PROBE_SIZE, range->length);

  img_file_forget (range->file, range->offset, range->length);
  if (!img_file_read (range->file, range->offset, bytes, part, error)
      || !img_file_read (range->file, range->offset + range->length - part, bytes + part, part,
                         error))
    return -1;
  return img_buffer_is_zero (bytes, 2 * part);
}

/* The first use of a rung, which decides about it. */
static Outcome
try_rung (const Range *range, int mode, gint *rung, GError **error)
{
  gboolean is_checked = !is_believed (range->file);
  Outcome outcome;

  if (is_checked && !write_probes (range, error))
    return FAILED;
  outcome = call_rung (range, mode, error);
  if (outcome == DONE && is_checked)
    switch (probes_are_zero (range, error))
      {
      case -1:
        return FAILED;
      case FALSE:
        outcome = CANNOT;
        break;
      default:
        break;
      }
  if (outcome != FAILED)
    g_atomic_int_set (rung, outcome == DONE ? IMG_RUNG_GOOD : IMG_RUNG_BROKEN);
  return outcome;
}

static Outcome
use_rung (const Range *range, int mode, gint *rung, GError **error)
{
  ImgZeroing *zeroing = &range->file->zeroing;
  Outcome outcome = CANNOT;

  if (g_atomic_int_get (rung) == IMG_RUNG_UNKNOWN)
    {
      gboolean is_first;
      g_mutex_lock (&zeroing->mutex);
      is_first = g_atomic_int_get (rung) == IMG_RUNG_UNKNOWN;
      if (is_first)
        outcome = try_rung (range, mode, rung, error);
      g_mutex_unlock (&zeroing->mutex);
      if (is_first)
        return outcome;
    }
  if (g_atomic_int_get (rung) == IMG_RUNG_GOOD)
    outcome = call_rung (range, mode, error);
  if (outcome == CANNOT)
    g_atomic_int_set (rung, IMG_RUNG_BROKEN);
  return outcome;
}

/* Whether ZERO_RANGE is the device's work and not the kernel writing zeros; it does not say. */
static gboolean
device_has_zeroing (const ImgFile *file)
{
  static const char *const places[] = { "queue", "../queue" }; /* a partition's disk has it */
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (places); i++)
    {
      g_autofree char *name
          = g_strdup_printf ("/sys/dev/block/%u:%u/%s/write_zeroes_max_bytes",
                             major (file->inode->rdev), minor (file->inode->rdev), places[i]);
      if (img_fd_read_file (AT_FDCWD, name, text))
        return g_ascii_strtoull (text->str, NULL, 10) > 0;
    }
  return FALSE;
}

/* The ladder, for a range the file can zero by itself. */
static gboolean
zero_range (const Range *range, guint flags, GError **error)
{
  ImgZeroing *zeroing = &range->file->zeroing;
  Outcome outcome = CANNOT;

  if (flags & IMG_ZERO_MAY_UNMAP)
    outcome = use_rung (range, FALLOC_FL_PUNCH_HOLE, &zeroing->punch, error);
  if (outcome == CANNOT
      && !(range->file->is_device && (flags & IMG_ZERO_NO_FALLBACK)
           && !device_has_zeroing (range->file)))
    outcome = use_rung (range, FALLOC_FL_ZERO_RANGE, &zeroing->zero_range, error);
  if (outcome != CANNOT)
    return outcome == DONE;
  if (flags & IMG_ZERO_NO_FALLBACK)
    return img_throw (error, IMG_ERROR_UNSUPPORTED, "cannot zero '%s' but by writing zeros",
                      range->file->safe_path);
  return write_zeros (range, error);
}

/* What the calls want offsets and lengths to be multiples of. */
static guint64
granularity (const ImgFile *file)
{
  int sector;

  if (!file->is_device)
    return 1;
  return ioctl (file->inode->fd, BLKSSZGET, &sector) == 0 && sector >= 512 ? (guint64)sector : 4096;
}

gboolean
img_file_zero (ImgFile *file, guint64 offset, guint64 length, guint flags, GError **error)
{
  guint64 mask = granularity (file) - 1;
  guint64 head = MIN (length, (mask + 1 - (offset & mask)) & mask);
  guint64 tail = (length - head) & mask, middle = length - head - tail;
  Range first = { file, offset, head }, last = { file, offset + head + middle, tail };
  Range between = { file, offset + head, middle };

  return write_zeros (&first, error) && (middle == 0 || zero_range (&between, flags, error))
         && write_zeros (&last, error);
}

gboolean
img_file_allocate (ImgFile *file, guint64 size, GError **error)
{
  int result;

  if (size == 0)
    return TRUE;
  if (file->is_device)
    return img_throw (error, IMG_ERROR_UNSUPPORTED,
                      "cannot allocate space for '%s': it is a device", file->safe_path);
  do
    result = fallocate (file->inode->fd, 0, 0, (off_t)MIN (size, (guint64)G_MAXINT64));
  while (result < 0 && errno == EINTR);
  if (result < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL))
    return img_throw (error, IMG_ERROR_UNSUPPORTED,
                      "cannot allocate space for '%s': its file system does not support that",
                      file->safe_path);
  if (result < 0)
    return img_throw_errno (error, "cannot allocate %" G_GUINT64_FORMAT " bytes for '%s'", size,
                            file->safe_path);
  file->size = MAX (file->size, size);
  return TRUE;
}

gboolean
img_file_allocate_first (ImgFile *file, guint64 size, gboolean is_written, GError **error)
{
  GError *failure = NULL;

  if (img_file_allocate (file, size, &failure))
    return TRUE;
  if (is_written && g_error_matches (failure, IMG_ERROR, IMG_ERROR_UNSUPPORTED))
    {
      g_error_free (failure);
      return TRUE;
    }
  g_propagate_error (error, failure);
  return FALSE;
}
