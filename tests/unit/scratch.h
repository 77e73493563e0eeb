/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* File systems and devices of our own for tests that need them; root only. To be made and removed
 * by unchecked fixtures, so that they go even if a test dies. */
#pragma once

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "file/file.h"
#include "unit.h"

/* Run a shell command; its standard output without the last newline, or NULL if it failed. */
static inline char *scratch_run (const char *format, ...) G_GNUC_PRINTF (1, 2);
static inline char *
scratch_run (const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *command = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  const char *argv[] = { "/bin/sh", "-c", command, NULL };
  g_autofree char *output = NULL;
  int status = -1;
  if (!g_spawn_sync (NULL, (char **)argv, NULL, G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, &output,
                     NULL, &status, NULL)
      || status != 0)
    return NULL;
  return g_strchomp (g_steal_pointer (&output));
}

/* A loop device of @size bytes with @sector bytes to a sector, behind a file in @folder that is
 * unlinked already; NULL if there can be none. To be given to scratch_drop_device(). */
static inline char *
scratch_new_device (const char *folder, guint64 size, guint sector)
{
  return scratch_run ("f=$(mktemp %s/imgtool-unit.XXXXXX) && truncate -s %" G_GUINT64_FORMAT
                      " $f && losetup -f --show --sector-size %u $f; s=$?; rm -f $f; exit $s",
                      folder, size, sector);
}

static inline void
scratch_drop_device (char *device)
{
  if (device != NULL)
    g_free (scratch_run ("losetup -d %s", device));
  g_free (device);
}

/* A folder with a new file system of @type ("ext4", "tmpfs") of @size bytes mounted; NULL if there
 * can be none. To be given to scratch_drop_folder(). */
static inline char *
scratch_new_folder (const char *type, guint64 size)
{
  g_autofree char *folder = g_strdup ("/var/tmp/imgtool-unit-mount.XXXXXX");
  g_autofree char *done = NULL;
  if (g_mkdtemp (folder) == NULL)
    return NULL;
  if (strcmp (type, "tmpfs") == 0 || strcmp (type, "ramfs") == 0)
    done = scratch_run ("mount -t %s -o size=%" G_GUINT64_FORMAT " none %s", type, size, folder);
  else
    done = scratch_run ("f=%s.img; truncate -s %" G_GUINT64_FORMAT
                        " $f && mkfs.%s -q $f >/dev/null && mount -o loop $f %s; s=$?; rm -f $f; "
                        "exit $s",
                        folder, size, type, folder);
  if (done == NULL)
    {
      (void)g_rmdir (folder);
      return NULL;
    }
  return g_steal_pointer (&folder);
}

static inline void
scratch_drop_folder (char *folder)
{
  if (folder != NULL)
    {
      (void)umount2 (folder, MNT_DETACH);
      (void)g_rmdir (folder);
    }
  g_free (folder);
}

/* The places that most suites want; NULL where there can be none. */
static struct
{
  char *ext4, *btrfs, *tmpfs;
  char *sectors_512, *sectors_4096; /* devices of 8 MiB */
} places;

static inline void
scratch_make_places (void)
{
  const guint64 mib = (guint64)1 << 20;
  places.ext4 = scratch_new_folder ("ext4", 64 * mib);
  places.btrfs = scratch_new_folder ("btrfs", 256 * mib);
  places.tmpfs = scratch_new_folder ("tmpfs", 64 * mib);
  places.sectors_512 = scratch_new_device ("/var/tmp", 8 * mib, 512);
  places.sectors_4096 = scratch_new_device ("/var/tmp", 8 * mib, 4096);
}

static inline void
scratch_drop_places (void)
{
  scratch_drop_folder (places.ext4);
  scratch_drop_folder (places.btrfs);
  scratch_drop_folder (places.tmpfs);
  scratch_drop_device (places.sectors_512);
  scratch_drop_device (places.sectors_4096);
}

/* A new file of @size bytes below @folder; the caller frees the path. */
static inline char *
scratch_new_file (const char *folder, off_t size)
{
  char *path = g_strdup_printf ("%s/file.XXXXXX", folder);
  int fd = g_mkstemp (path);
  ck_assert_int_ge (fd, 0);
  ck_assert_int_eq (ftruncate (fd, size), 0);
  close (fd);
  return path;
}

/* Whether there can be any of these. */
static inline gboolean
scratch_is_possible (void)
{
  char *device = geteuid () == 0 ? scratch_new_device ("/var/tmp", 1 << 20, 4096) : NULL;
  gboolean is_possible = device != NULL;
  scratch_drop_device (device);
  return is_possible;
}

static inline ImgFile *
scratch_open (const char *path, gboolean writable)
{
  ImgFileParams params = { .is_writable = writable, .locking = IMG_LOCKING_OFF };
  g_autoptr (GError) error = NULL;
  ImgFile *file = img_file_open (path, &params, &error);
  ck_assert_msg (file != NULL, "%s", error == NULL ? "" : error->message);
  return file;
}

/* Bytes that are never 0 and differ from place to place. */
static inline void
scratch_fill (void *buffer, gsize length, guint seed)
{
  guint8 *bytes = buffer;
  guint32 state = seed * 2654435761u + 1;
  for (gsize i = 0; i < length; i++)
    {
      state = state * 1664525u + 1013904223u;
      bytes[i] = (guint8)((state >> 24) | 1);
    }
}

#define assert_ok(call)                                                            \
  do                                                                               \
    {                                                                              \
      g_autoptr (GError) error = NULL;                                             \
      gboolean is_ok = (call);                                                     \
      ck_assert_msg (is_ok, "%s: %s", #call, error == NULL ? "" : error->message); \
    }                                                                              \
  while (0)

#define assert_fails(call, words)                                                                \
  do                                                                                             \
    {                                                                                            \
      g_autoptr (GError) error = NULL;                                                           \
      gboolean is_ok = (call);                                                                   \
      ck_assert_msg (!is_ok && error != NULL, "%s: no error", #call);                            \
      ck_assert_msg (strstr (error->message, words) != NULL, "%s: '%s'", #call, error->message); \
    }                                                                                            \
  while (0)
