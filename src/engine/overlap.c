/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/overlap.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/sysmacros.h>

#include "base/fd.h"

/* What lies under a file or device: a range of a file or of a disk. */
typedef struct
{
  struct stat st;     /* of that */
  guint64 begin, end; /* bytes; G_MAXUINT64: where it ends */
} Ground;

/* A file of the kernel about the device @rdev, without the last newline; NULL if there is none. */
static char *
read_about (dev_t rdev, const char *file)
{
  g_autofree char *path
      = g_strdup_printf ("/sys/dev/block/%u:%u/%s", major (rdev), minor (rdev), file);
  g_autoptr (GString) text = g_string_new (NULL);

  return img_fd_read_file (AT_FDCWD, path, text)
             ? g_strchomp (g_string_free (g_steal_pointer (&text), FALSE))
             : NULL;
}

static guint64
number_about (dev_t rdev, const char *file)
{
  g_autofree char *text = read_about (rdev, file);
  return text == NULL ? 0 : g_ascii_strtoull (text, NULL, 10);
}

static guint64
end_of (guint64 begin, guint64 length)
{
  return length == 0 || length > G_MAXUINT64 - begin ? G_MAXUINT64 : begin + length;
}

/* If it is a partition: the same bytes as a range of the disk. The kernel counts in 512 bytes. */
static void
leave_partition (Ground *ground)
{
  dev_t rdev = ground->st.st_rdev;
  g_autofree char *number = read_about (rdev, "partition");
  g_autofree char *disk = number == NULL ? NULL : read_about (rdev, "../dev");
  guint dev_major, dev_minor;

  if (disk == NULL || sscanf (disk, "%u:%u", &dev_major, &dev_minor) != 2)
    return;
  ground->begin = number_about (rdev, "start") * 512;
  ground->end = end_of (ground->begin, number_about (rdev, "size") * 512);
  ground->st.st_rdev = makedev (dev_major, dev_minor);
}

/* If it is a loop device: as a range of its file. */
static void
leave_loop (Ground *ground)
{
  dev_t rdev = ground->st.st_rdev;
  g_autofree char *path = read_about (rdev, "loop/backing_file");
  struct stat st;

  if (path == NULL || stat (path, &st) < 0)
    return;
  guint64 offset = number_about (rdev, "loop/offset");
  guint64 end = end_of (offset, number_about (rdev, "loop/sizelimit"));
  ground->begin += offset;
  ground->end = ground->end > G_MAXUINT64 - offset ? end : MIN (ground->end + offset, end);
  ground->st = st;
}

static Ground
ground_of (const struct stat *st)
{
  Ground ground = { .st = *st, .end = G_MAXUINT64 };

  if (S_ISBLK (st->st_mode))
    leave_partition (&ground);
  if (S_ISBLK (ground.st.st_mode))
    leave_loop (&ground);
  return ground;
}

static gboolean
is_same (const struct stat *a, const struct stat *b)
{
  gboolean are_devices = S_ISBLK (a->st_mode) && S_ISBLK (b->st_mode);
  return are_devices ? a->st_rdev == b->st_rdev : a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

gboolean
img_overlap (const struct stat *a, const struct stat *b)
{
  if (is_same (a, b))
    return TRUE;
  Ground x = ground_of (a), y = ground_of (b);
  return is_same (&x.st, &y.st) && x.begin < y.end && y.begin < x.end;
}
