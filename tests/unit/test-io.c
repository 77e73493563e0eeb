/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "file/file-private.h"
#include "file/rwf.h"
#include "scratch.h"

#include "base/buffer.h"
#include "base/fd.h"

#define MIB ((guint64)1 << 20)
/* Pages that the kernel has in its hands at the moment stay, and others go when memory is short. */
#define A_FEW_PAGES ((guint64)64 << 10)

static char *path;
static char *small, *failing; /* a file system without room, and a device on it */

static void
make_file (void)
{
  path = unit_new_file (0);
}

static void
drop_file (void)
{
  unit_delete_file (path);
}

static void
make_places (void)
{
  scratch_make_places ();
  small = scratch_new_folder ("tmpfs", 8 * MIB);
  failing = scratch_new_device (small, 128 * MIB, 512);
}

static void
drop_places (void)
{
  scratch_drop_places ();
  scratch_drop_device (failing);
  scratch_drop_folder (small);
}

START_TEST (what_was_written_is_read)
{
  static const ImgCacheMode modes[] = { IMG_CACHE_WRITEBACK, IMG_CACHE_NONE, IMG_CACHE_WRITETHROUGH,
                                        IMG_CACHE_DIRECTSYNC, IMG_CACHE_UNSAFE };
  char written[10000], got[10000];
  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    {
      g_autoptr (ImgFile) file = scratch_open (path, TRUE);
      scratch_fill (written, sizeof written, i);
      assert_ok (img_file_set_cache (file, modes[i], &error));
      assert_ok (img_file_resize (file, 12345, &error));
      ck_assert_uint_eq (img_file_size (file), 12345);
      assert_ok (img_file_write (file, 1111, written, sizeof written, &error));
      assert_ok (img_file_flush (file, &error));
      assert_ok (img_file_read (file, 1111, got, sizeof got, &error));
      ck_assert_mem_eq (written, got, sizeof got);
      assert_ok (img_file_read (file, 12344, got, 1, &error));
      ck_assert_int_eq (got[0], 0);
      assert_ok (img_file_resize (file, 0, &error));
    }
}
END_TEST

START_TEST (a_file_that_ends_early_is_an_error)
{
  static const ImgCacheMode modes[] = { IMG_CACHE_WRITEBACK, IMG_CACHE_NONE, IMG_CACHE_UNSAFE };
  char *buffer = img_buffer_new (8192);
  ck_assert_int_eq (truncate (path, 5000), 0);
  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    {
      g_autoptr (ImgFile) file = scratch_open (path, FALSE);
      assert_ok (img_file_set_cache (file, modes[i], &error));
      assert_fails (img_file_read (file, 0, buffer, 8192, &error), "the file ends at 5000");
      assert_fails (img_file_read (file, 4097, buffer + 1, 2000, &error), "the file ends at 5000");
      assert_fails (img_file_read (file, 8192, buffer, 512, &error),
                    "where the file ends or has ended before");
      assert_fails (img_file_read (file, 8193, buffer, 100, &error),
                    "where the file ends or has ended before");
      assert_fails (img_file_read (file, 5000, buffer, 1, &error),
                    "where the file ends or has ended before");
      assert_ok (img_file_read (file, 4000, buffer, 1000, &error));
    }
  img_buffer_free (buffer, 8192);
}
END_TEST

START_TEST (failing_writes_say_where)
{
  struct rlimit before, limit;
  char buffer[8192] = { 1 };
  g_autoptr (ImgFile) file = scratch_open (path, TRUE);
  (void)signal (SIGXFSZ, SIG_IGN);
  ck_assert_int_eq (getrlimit (RLIMIT_FSIZE, &before), 0);
  limit = before;
  limit.rlim_cur = 4096;
  ck_assert_int_eq (setrlimit (RLIMIT_FSIZE, &limit), 0);
  assert_fails (img_file_write (file, 100, buffer, 8192, &error),
                "cannot write 8192 bytes at offset 100 of '");
  assert_fails (img_file_write (file, 5000, buffer, 1, &error), "': File too large");
  assert_fails (img_file_resize (file, 10000, &error), "10000 bytes long: File too large");
  assert_fails (img_file_resize (file, G_MAXUINT64, &error), "File too large");
  assert_fails (img_file_write (file, G_MAXUINT64 - 1, buffer, 4, &error), "too large");
  ck_assert_int_eq (setrlimit (RLIMIT_FSIZE, &before), 0);
}
END_TEST

/* The kernel reports a failed write-back once; after that fsync(2) says that all is well. */
START_TEST (a_failed_write_back_is_final)
{
  g_autoptr (ImgFile) file = scratch_open (path, TRUE);
  assert_ok (img_file_flush (file, &error));
  ck_assert (!img_file_fail (file, EIO));
  ck_assert (!img_file_fail (file, ENOSPC));
  for (guint i = 0; i < 2; i++)
    {
      assert_fails (img_file_flush (file, &error), "to the disk: Input/output error");
    }
}
END_TEST

START_TEST (changes_by_others_are_noticed)
{
  gboolean changed;
  guint64 size;
  ck_assert_int_eq (truncate (path, 4096), 0);
  g_autoptr (ImgFile) file = scratch_open (path, FALSE);
  assert_ok (img_file_has_changed (file, &changed, &size, &error));
  ck_assert (!changed && size == 4096);
  (void)usleep (20000); /* timestamps have the grain of the timer tick */
  ck_assert_int_eq (truncate (path, 4096), 0);
  int fd = open (path, O_WRONLY | O_CLOEXEC);
  ck_assert (img_fd_write_at (fd, 0, "x", 1));
  close (fd);
  assert_ok (img_file_has_changed (file, &changed, &size, &error));
  ck_assert (changed && size == 4096);
  ck_assert_int_eq (truncate (path, 100), 0);
  assert_ok (img_file_has_changed (file, &changed, &size, &error));
  ck_assert (changed && size == 100);
}
END_TEST

/* How many bytes of @file are cached, and how many of these are not on the disk. */
static guint64
cached (const ImgFile *file, guint64 offset, guint64 length, guint64 *dirty)
{
  guint64 range[2] = { offset, length }, counts[5] = { 0 };
  ck_assert_int_eq (syscall (451, img_file_fd (file), range, counts, 0), 0);
  if (dirty != NULL)
    *dirty = (counts[1] + counts[2]) * img_page_size ();
  return counts[0] * img_page_size ();
}

static gboolean
has_cachestat (void)
{
  return syscall (451, -1, NULL, NULL, 0) < 0 && errno != ENOSYS;
}

static void
read_all (ImgFile *file)
{
  char *buffer = img_buffer_new (MIB);
  for (guint64 at = 0; at < img_file_size (file); at += MIB)
    assert_ok (img_file_read (file, at, buffer, MIN (MIB, img_file_size (file) - at), &error));
  img_buffer_free (buffer, MIB);
}

static void
make_content (ImgFile *file, guint64 size)
{
  char *buffer = img_buffer_new (MIB);
  scratch_fill (buffer, MIB, 1);
  for (guint64 at = 0; at < size; at += MIB)
    assert_ok (img_file_write (file, at, buffer, MIB, &error));
  img_buffer_free (buffer, MIB);
}

/* Without anything, without cachestat(2), and as somebody who may not know. */
START_TEST (reading_leaves_the_cache_as_it_was)
{
  const guint64 size = 40 * MIB;
  {
    g_autoptr (ImgFile) file = scratch_open (path, TRUE);
    make_content (file, size);
    assert_ok (img_file_flush (file, &error));
  }
  for (guint way = 0; way < 3; way++)
    {
      g_autoptr (ImgFile) file = scratch_open (path, FALSE);
      img_file_forget (file, 0, 0);
      ck_assert_uint_eq (cached (file, 0, 0, NULL), 0);
      file->pages.lacks_cachestat = way == 1;
      file->pages.is_blind = way == 2;
      read_all (file);
      if (way == 2 && file->pages.lacks_dontcache)
        continue;
      /* The window after the last, and what the kernel is about to give up, may remain. */
      ck_assert_uint_le (cached (file, 0, 0, NULL), 16 * MIB);
      if (way < 2)
        ck_assert_uint_le (cached (file, 0, 32 * MIB, NULL), A_FEW_PAGES);

      /* What was there stays: every second of 64 KiB here, and a part of all. */
      img_file_forget (file, 0, 0);
      (void)posix_fadvise (img_file_fd (file), 0, 0, POSIX_FADV_RANDOM);
      for (guint64 at = 0; at < 8 * MIB; at += 131072)
        {
          char bytes[65536];
          ck_assert_int_eq (img_fd_read_at (img_file_fd (file), at, bytes, 65536), 65536);
        }
      (void)posix_fadvise (img_file_fd (file), 0, 0, POSIX_FADV_NORMAL);
      guint64 before = cached (file, 0, 8 * MIB, NULL);
      ck_assert_uint_ge (before, 4 * MIB - A_FEW_PAGES); /* the kernel may have taken some */
      read_all (file);
      guint64 after = cached (file, 0, 8 * MIB, NULL);
      ck_assert_uint_ge (after, before - A_FEW_PAGES);
      ck_assert_uint_le (after, before + A_FEW_PAGES);
    }
}
END_TEST

/* Who opened a file for long and read a little does not throw out what others have read since. */
START_TEST (what_others_read_later_stays)
{
  g_autoptr (ImgFile) mine = scratch_open (path, TRUE);
  make_content (mine, 8 * MIB);
  assert_ok (img_file_flush (mine, &error));
  for (guint i = 0; i < 2; i++)
    {
      char *buffer = img_buffer_new (MIB);
      ImgFileParams params = { .locking = IMG_LOCKING_OFF };
      ImgFile *other = img_file_open (path, &params, NULL);
      img_file_forget (mine, 0, 0);
      assert_ok (img_file_read (other, 0, buffer, MIB, &error));
      for (guint64 at = 0; at < 8 * MIB; at += MIB)
        ck_assert_int_eq (img_fd_read_at (img_file_fd (mine), at, buffer, MIB), MIB);
      if (i == 1)
        other->pages.windows[0]->looked -= G_TIME_SPAN_MINUTE;
      img_file_close (other);
      guint64 left = cached (mine, 0, 0, NULL);
      ck_assert_uint_le (left, i == 0 ? A_FEW_PAGES : 8 * MIB);
      ck_assert_uint_ge (left, i == 0 ? 0 : 8 * MIB - A_FEW_PAGES);
      img_buffer_free (buffer, MIB);
    }
}
END_TEST

/* Somebody who may read the file, but not know what of it is cached. */
START_TEST (strangers_leave_nothing_cached)
{
  {
    g_autoptr (ImgFile) file = scratch_open (path, TRUE);
    make_content (file, 40 * MIB);
    assert_ok (img_file_flush (file, &error));
  }
  ck_assert_int_eq (chmod (path, 0644), 0);
  pid_t child = fork ();
  if (child == 0)
    {
      if (setresuid (65534, 65534, 65534) < 0)
        _exit (2);
      ImgFile *file = scratch_open (path, FALSE);
      read_all (file);
      _exit (file->pages.is_blind && file->pages.lacks_dontcache ? 1 : 0);
    }
  int status;
  ck_assert_int_eq (waitpid (child, &status, 0), child);
  ck_assert (WIFEXITED (status) && WEXITSTATUS (status) <= 1);
  g_autoptr (ImgFile) file = scratch_open (path, FALSE);
  if (WEXITSTATUS (status) == 0)
    ck_assert_uint_le (cached (file, 0, 0, NULL), 16 * MIB);
}
END_TEST

START_TEST (writing_leaves_little_dirty_and_nothing_cached)
{
  const guint64 size = 512 * MIB;
  guint64 dirty;
  g_autoptr (ImgFile) file = scratch_open (path, TRUE);
  make_content (file, size);
  ck_assert_uint_le (cached (file, 0, 0, &dirty), 32 * MIB);
  ck_assert_uint_le (dirty, 32 * MIB);
  assert_ok (img_file_flush (file, &error));
  ck_assert_uint_eq (cached (file, 0, 0, &dirty), 0);
  assert_ok (img_file_resize (file, 0, &error));
}
END_TEST

START_TEST (writing_into_a_file_keeps_what_was_cached)
{
  char *buffer = img_buffer_new (MIB);
  {
    g_autoptr (ImgFile) file = scratch_open (path, TRUE);
    make_content (file, 40 * MIB);
    assert_ok (img_file_flush (file, &error));
  }
  for (guint way = 0; way < 2; way++)
    {
      g_autoptr (ImgFile) file = scratch_open (path, TRUE);
      file->pages.lacks_cachestat = way == 1;
      img_file_forget (file, 0, 0);
      (void)posix_fadvise (img_file_fd (file), 0, 0, POSIX_FADV_RANDOM);
      ck_assert_int_eq (img_fd_read_at (img_file_fd (file), 9 * MIB, buffer, MIB), MIB);
      ck_assert_uint_eq (cached (file, 0, 0, NULL), MIB);
      make_content (file, 40 * MIB);
      assert_ok (img_file_flush (file, &error));
      ck_assert_uint_ge (cached (file, 9 * MIB, MIB, NULL), MIB - A_FEW_PAGES);
      ck_assert_uint_le (cached (file, 0, 0, NULL), MIB + A_FEW_PAGES);
    }
  img_buffer_free (buffer, MIB);
}
END_TEST

/* Reads and writes of any alignment, compared with memory. */
static void
compare_with_memory (const char *name, ImgCacheMode mode)
{
  const gsize size = 300000;
  g_autofree char *model = g_malloc0 (size);
  g_autofree char *bytes = g_malloc (size);
  g_autoptr (GRand) dice = g_rand_new_with_seed (4);
  g_autoptr (ImgFile) file = scratch_open (name, TRUE);

  assert_ok (img_file_set_cache (file, mode, &error));
  if (!img_file_is_device (file))
    assert_ok (img_file_resize (file, size, &error));
  else
    assert_ok (img_file_write (file, 0, model, size, &error));
  for (guint i = 0; i < 60; i++)
    {
      guint32 grain = i % 3 == 0 ? 4096 : i % 3 == 1 ? 512 : 1;
      gsize offset = (gsize)g_rand_int_range (dice, 0, size) / grain * grain;
      gsize length = (gsize)g_rand_int_range (dice, 1, (gint32)(size - offset + 1));
      length = MAX (1, length / grain * grain);
      scratch_fill (bytes, length, i);
      assert_ok (img_file_write (file, offset, bytes, length, &error));
      memcpy (model + offset, bytes, length);
      offset = (gsize)g_rand_int_range (dice, 0, size - 5000);
      length = (gsize)g_rand_int_range (dice, 1, 5000);
      assert_ok (img_file_read (file, offset, bytes, length, &error));
      ck_assert_mem_eq (model + offset, bytes, length);
    }
  assert_ok (img_file_flush (file, &error));
  img_file_forget (file, 0, 0);
  assert_ok (img_file_read (file, 0, bytes, size, &error));
  ck_assert_mem_eq (model, bytes, size);
  if (!img_file_is_device (file))
    ck_assert (!img_file_read (file, size - 1, bytes, 2, NULL));
}

START_TEST (any_alignment_is_right)
{
  static const ImgCacheMode modes[]
      = { IMG_CACHE_WRITEBACK, IMG_CACHE_NONE, IMG_CACHE_WRITETHROUGH, IMG_CACHE_DIRECTSYNC };
  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    {
      compare_with_memory (path, modes[i]);
      ck_assert_int_eq (truncate (path, 0), 0);
    }
}
END_TEST

START_TEST (any_alignment_is_right_elsewhere)
{
  const char *const folders[] = { places.ext4, places.btrfs, places.tmpfs }, *const devices[] = {
    places.sectors_512, places.sectors_4096
  };
  for (guint i = 0; i < G_N_ELEMENTS (folders); i++)
    for (guint j = 0; j < 2; j++)
      {
        g_autofree char *file = scratch_new_file (folders[i], 0);
        compare_with_memory (file, j == 0 ? IMG_CACHE_WRITEBACK : IMG_CACHE_NONE);
      }
  for (guint i = 0; i < G_N_ELEMENTS (devices); i++)
    {
      compare_with_memory (devices[i], IMG_CACHE_WRITEBACK);
      compare_with_memory (devices[i], IMG_CACHE_NONE);
      g_autoptr (ImgFile) file = scratch_open (devices[i], TRUE);
      ck_assert_uint_eq (img_file_alignment (file), 4096);
      assert_ok (img_file_set_cache (file, IMG_CACHE_NONE, &error));
      ck_assert_uint_eq (img_file_alignment (file), i == 0 ? 512 : 4096);
    }
}
END_TEST

/* The description may be shared with others, who do not expect it. */
START_TEST (direct_io_ends_with_the_file)
{
  ImgFileParams params = { .is_writable = TRUE, .locking = IMG_LOCKING_OFF };
  char bytes[100];
  g_autoptr (ImgFile) user = img_file_open (path, &params, NULL);
  ImgFile *direct = img_file_open (path, &params, NULL);
  int fd = img_file_fd (user);
  ck_assert_int_eq (fd, img_file_fd (direct));
  assert_ok (img_file_set_cache (direct, IMG_CACHE_NONE, &error));
  ck_assert (fcntl (fd, F_GETFL) & O_DIRECT);
  assert_ok (img_file_write (direct, 5, "abc", 3, &error));
  ck_assert (fcntl (fd, F_GETFL) & O_DIRECT);
  img_file_close (direct);
  ck_assert (!(fcntl (fd, F_GETFL) & O_DIRECT));
  assert_ok (img_file_read (user, 5, bytes, 3, &error));
  ck_assert_mem_eq (bytes, "abc", 3);
}
END_TEST

/* Neighbours within a block, written by several threads, do not undo each other. */
static gpointer
write_every_fourth (gpointer data)
{
  ImgFile *file = ((gpointer *)data)[0];
  guint number = GPOINTER_TO_UINT (((gpointer *)data)[1]);
  char bytes[1000];
  memset (bytes, (int)('a' + number), sizeof bytes);
  for (guint64 i = number; i < 100; i += 4)
    assert_ok (img_file_write (file, i * sizeof bytes, bytes, sizeof bytes, &error));
  return NULL;
}

START_TEST (neighbours_do_not_undo_each_other)
{
  g_autofree char *got = g_malloc (100000);
  g_autoptr (ImgFile) file = scratch_open (path, TRUE);
  GThread *threads[4];
  gpointer data[4][2];
  assert_ok (img_file_set_cache (file, IMG_CACHE_NONE, &error));
  assert_ok (img_file_resize (file, 100000, &error));
  for (guint i = 0; i < 4; i++)
    {
      data[i][0] = file;
      data[i][1] = GUINT_TO_POINTER (i);
      threads[i] = g_thread_new ("writer", write_every_fourth, data[i]);
    }
  for (guint i = 0; i < 4; i++)
    g_thread_join (threads[i]);
  assert_ok (img_file_read (file, 0, got, 100000, &error));
  for (guint i = 0; i < 100000; i++)
    ck_assert_int_eq (got[i], (int)('a' + i / 1000 % 4));
}
END_TEST

START_TEST (a_full_file_system_is_an_error)
{
  static const ImgCacheMode modes[] = { IMG_CACHE_WRITEBACK, IMG_CACHE_NONE };
  char *buffer = img_buffer_new (MIB);
  scratch_fill (buffer, MIB, 1);
  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    {
      g_autofree char *name = scratch_new_file (places.ext4, 0);
      g_autoptr (ImgFile) file = scratch_open (name, TRUE);
      g_autoptr (GError) problem = NULL;
      guint64 at = 0;
      assert_ok (img_file_set_cache (file, modes[i], &error));
      while (at < 64 * MIB && img_file_write (file, at, buffer, MIB, &problem))
        at += MIB;
      ck_assert_ptr_nonnull (problem);
      ck_assert_ptr_nonnull (strstr (problem->message, "of '/var/tmp/"));
      ck_assert_ptr_nonnull (strstr (problem->message, "': No space left on device"));
      (void)g_unlink (name);
    }
  img_buffer_free (buffer, MIB);
}
END_TEST

/* A device with less behind it than it says. Errors that the kernel tells only once, to whoever
 * waits for the writing, must not be lost. */
START_TEST (a_device_that_fails_later_is_an_error)
{
  static const ImgCacheMode modes[]
      = { IMG_CACHE_WRITEBACK, IMG_CACHE_NONE, IMG_CACHE_WRITETHROUGH, IMG_CACHE_UNSAFE };
  char *buffer = img_buffer_new (MIB);
  scratch_fill (buffer, MIB, 1);
  for (guint i = 0; i < 2 * G_N_ELEMENTS (modes); i++)
    {
      guint64 size = i % 2 == 0 ? 12 * MIB : 100 * MIB, at = 0;
      g_autoptr (ImgFile) file = scratch_open (failing, TRUE);
      assert_ok (img_file_set_cache (file, modes[i / 2], &error));
      while (at < size && img_file_write (file, at, buffer, MIB, NULL))
        at += MIB;
      if (modes[i / 2] == IMG_CACHE_NONE)
        ck_assert_uint_le (at, 8 * MIB);
      else
        {
          ck_assert_msg (!img_file_flush (file, NULL), "mode %d, %d MiB", modes[i / 2],
                         (int)(at / MIB));
          assert_fails (img_file_flush (file, &error), "cannot bring what was written to '/dev/");
        }
      if (modes[i / 2] == IMG_CACHE_WRITEBACK)
        ck_assert_uint_le (at, 40 * MIB);
    }
  img_buffer_free (buffer, MIB);
}
END_TEST

START_TEST (what_has_no_direct_io_says_so)
{
  char *folder = scratch_new_folder ("ramfs", 8 * MIB);
  g_autofree char *name = scratch_new_file (folder, MIB);
  g_autoptr (ImgFile) file = scratch_open (name, TRUE);
  g_autoptr (GError) problem = NULL;
  ck_assert (!img_file_set_cache (file, IMG_CACHE_NONE, &problem));
  ck_assert (g_error_matches (problem, IMG_ERROR, IMG_ERROR_UNSUPPORTED));
  ck_assert_ptr_nonnull (strstr (problem->message, "-t none"));
  scratch_drop_folder (folder);
}
END_TEST

static TCase *
new_case (Suite *suite, const char *name)
{
  TCase *tcase = tcase_create (name);
  tcase_set_timeout (tcase, 120);
  tcase_add_checked_fixture (tcase, make_file, drop_file);
  suite_add_tcase (suite, tcase);
  return tcase;
}

int
main (void)
{
  Suite *suite = suite_create ("io");
  TCase *io = new_case (suite, "io");
  tcase_add_test (io, what_was_written_is_read);
  tcase_add_test (io, a_file_that_ends_early_is_an_error);
  tcase_add_test (io, failing_writes_say_where);
  tcase_add_test (io, a_failed_write_back_is_final);
  tcase_add_test (io, changes_by_others_are_noticed);
  tcase_add_test (io, any_alignment_is_right);
  tcase_add_test (io, direct_io_ends_with_the_file);
  tcase_add_test (io, neighbours_do_not_undo_each_other);
  if (has_cachestat ())
    {
      TCase *cache = new_case (suite, "cache");
      tcase_add_test (cache, reading_leaves_the_cache_as_it_was);
      tcase_add_test (cache, what_others_read_later_stays);
      if (geteuid () == 0)
        tcase_add_test (cache, strangers_leave_nothing_cached);
      tcase_add_test (cache, writing_leaves_little_dirty_and_nothing_cached);
      tcase_add_test (cache, writing_into_a_file_keeps_what_was_cached);
    }
  if (scratch_is_possible ())
    {
      TCase *elsewhere = new_case (suite, "places");
      tcase_add_unchecked_fixture (elsewhere, make_places, drop_places);
      tcase_add_test (elsewhere, any_alignment_is_right_elsewhere);
      tcase_add_test (elsewhere, a_full_file_system_is_an_error);
      tcase_add_test (elsewhere, a_device_that_fails_later_is_an_error);
      tcase_add_test (elsewhere, what_has_no_direct_io_says_so);
    }
  return unit_run (suite);
}
