/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/overlap.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/sysmacros.h>

#include "base/fd.h"
#include "holder/loop.h"

/* Devices upon devices: deeper than anybody builds. */
#define MAX_LEVELS 16

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

/* @ground is a part of something else, from @offset there, of @length bytes (0: to its end). */
static void
shift (Ground *ground, guint64 offset, guint64 length)
{
  guint64 end = end_of (offset, length);

  ground->begin = offset > G_MAXUINT64 - ground->begin ? G_MAXUINT64 : ground->begin + offset;
  ground->end = ground->end > G_MAXUINT64 - offset ? end : MIN (ground->end + offset, end);
}

/* If it is a partition: the same bytes as a range of the disk. The kernel counts in 512 bytes. */
static gboolean
leave_partition (Ground *ground)
{
  dev_t rdev = ground->st.st_rdev;
  g_autofree char *number = read_about (rdev, "partition");
  g_autofree char *disk = number == NULL ? NULL : read_about (rdev, "../dev");
  guint dev_major, dev_minor;

  if (disk == NULL || sscanf (disk, "%u:%u", &dev_major, &dev_minor) != 2)
    return FALSE;
  shift (ground, number_about (rdev, "start") * 512, number_about (rdev, "size") * 512);
  ground->st.st_rdev = makedev (dev_major, dev_minor);
  return TRUE;
}

/* What the kernel calls the device; NULL if it cannot be told. */
static char *
name_of (dev_t rdev)
{
  g_autofree char *path = g_strdup_printf ("/sys/dev/block/%u:%u", major (rdev), minor (rdev));
  g_autofree char *link = g_file_read_link (path, NULL);
  return link == NULL ? NULL : g_path_get_basename (link);
}

/* If it is a loop device: as a range of what is behind it. It is asked itself, since the name that
 * the kernel shows for its file may be another one's by now; only who may not ask goes by that. */
static gboolean
leave_loop (Ground *ground)
{
  dev_t rdev = ground->st.st_rdev;
  g_autofree char *path = read_about (rdev, "loop/backing_file");
  g_autofree char *name = path == NULL ? NULL : name_of (rdev);
  struct stat st = { 0 };
  ImgLoop loop;

  if (path == NULL)
    return FALSE;
  if (name != NULL && img_loop_ask (name, &loop))
    {
      st.st_dev = loop.dev;
      st.st_ino = loop.ino;
      st.st_rdev = loop.rdev;
      st.st_mode = loop.rdev != 0 ? S_IFBLK : S_IFREG;
    }
  else if (stat (path, &st) == 0)
    loop = (ImgLoop){ .offset = number_about (rdev, "loop/offset"),
                      .limit = number_about (rdev, "loop/sizelimit") };
  else
    return FALSE;
  shift (ground, loop.offset, loop.limit);
  ground->st = st;
  return TRUE;
}

/* Down to what is no part of anything else. */
static Ground
ground_of (const struct stat *st)
{
  Ground ground = { .st = *st, .end = G_MAXUINT64 };
  guint levels = 0;

  while (S_ISBLK (ground.st.st_mode) && levels++ < MAX_LEVELS
         && (leave_partition (&ground) || leave_loop (&ground)))
    continue;
  return ground;
}

static gboolean
is_same (const struct stat *a, const struct stat *b)
{
  gboolean are_devices = S_ISBLK (a->st_mode) && S_ISBLK (b->st_mode);
  return are_devices ? a->st_rdev == b->st_rdev : a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static gboolean
meet (const Ground *x, const Ground *y)
{
  return is_same (&x->st, &y->st) && x->begin < y->end && y->begin < x->end;
}

/* Whether device-mapper or md have made @upper of @lower, among others. Which bytes of it they took
 * is theirs to know: two volumes of one group do not meet, a volume and what it lies on do. */
static gboolean
stands_on (const Ground *upper, const Ground *lower, guint levels)
{
  dev_t rdev = upper->st.st_rdev;
  g_autofree char *folder
      = g_strdup_printf ("/sys/dev/block/%u:%u/slaves", major (rdev), minor (rdev));
  g_autoptr (GDir) slaves = S_ISBLK (upper->st.st_mode) ? g_dir_open (folder, 0, NULL) : NULL;
  const char *name;

  while (slaves != NULL && levels > 0 && (name = g_dir_read_name (slaves)) != NULL)
    {
      g_autofree char *file = g_strdup_printf ("slaves/%s/dev", name);
      g_autofree char *numbers = read_about (rdev, file);
      struct stat st = { .st_mode = S_IFBLK };
      guint dev_major, dev_minor;

      if (numbers == NULL || sscanf (numbers, "%u:%u", &dev_major, &dev_minor) != 2)
        continue;
      st.st_rdev = makedev (dev_major, dev_minor);
      Ground under = ground_of (&st);
      if (meet (&under, lower) || stands_on (&under, lower, levels - 1))
        return TRUE;
    }
  return FALSE;
}

gboolean
img_overlap (const struct stat *a, const struct stat *b)
{
  if (is_same (a, b))
    return TRUE;
  Ground x = ground_of (a), y = ground_of (b);
  return meet (&x, &y) || stands_on (&x, &y, MAX_LEVELS) || stands_on (&y, &x, MAX_LEVELS);
}
