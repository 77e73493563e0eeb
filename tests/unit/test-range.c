/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/fd.h"
#include "file/clone.h"
#include "file/extent.h"
#include "file/file-private.h"
#include "file/zero.h"
#include "scratch.h"

#define KIB ((guint64)1024)
#define MIB ((guint64)1 << 20)
#define GIB ((guint64)1 << 30)

static char *xfs, *ramfs, *unable; /* a device that cannot zero, for its file cannot */

static void
make_places (void)
{
  scratch_make_places ();
  xfs = scratch_new_folder ("xfs", 320 * MIB);
  ramfs = scratch_new_folder ("ramfs", 8 * MIB);
  unable = scratch_new_device (ramfs, 8 * MIB, 512);
}

static void
drop_places (void)
{
  scratch_drop_places ();
  scratch_drop_folder (xfs);
  scratch_drop_device (unable);
  scratch_drop_folder (ramfs);
}

/* A file server of ours that does wrong as asked. */
static struct
{
  char *folder, *mount;
  pid_t pid;
} server;

static char *
server_program (void)
{
  const char *tools = g_getenv ("IMGTOOL_TOOLS");
  char *name = g_build_filename (tools == NULL ? "tests/tools" : tools, "../lab/lockfs", NULL);
  if (!g_file_test (name, G_FILE_TEST_IS_EXECUTABLE))
    g_clear_pointer (&name, g_free);
  return name;
}

static void
serve (const char *behaviour)
{
  g_autofree char *program = server_program ();
  int words[2];
  char word;
  server.folder = g_strdup ("/var/tmp/imgtool-unit-back.XXXXXX");
  server.mount = g_strdup ("/var/tmp/imgtool-unit-mount.XXXXXX");
  ck_assert (g_mkdtemp (server.folder) != NULL && g_mkdtemp (server.mount) != NULL);
  ck_assert_int_eq (pipe (words), 0);
  server.pid = fork ();
  if (server.pid == 0)
    {
      (void)dup2 (words[1], STDOUT_FILENO);
      execl (program, program, behaviour, server.folder, server.mount, NULL);
      _exit (127);
    }
  close (words[1]);
  ck_assert_int_eq (read (words[0], &word, 1), 1);
  close (words[0]);
}

static void
stop_serving (void)
{
  (void)umount2 (server.mount, MNT_DETACH);
  (void)kill (server.pid, SIGTERM);
  (void)waitpid (server.pid, NULL, 0);
  g_free (scratch_run ("rm -rf %s; rmdir %s", server.folder, server.mount));
  g_free (server.folder);
  g_free (server.mount);
}

/* Extents as text: "hole 0+4096, data 4096+...". */
static char *
layout (ImgFile *file, guint64 step)
{
  GString *text = g_string_new (NULL);
  ImgFileExtent extent = { 0, 0, FALSE };
  gboolean was_hole = FALSE;
  guint64 begin = 0, at = 0;
  while (at < img_file_size (file))
    {
      assert_ok (img_file_extent (file, at, step, &extent, &error));
      ck_assert_uint_eq (extent.offset, at);
      ck_assert (extent.length > 0 && extent.length <= step);
      if (at > 0 && extent.is_hole != was_hole)
        {
          g_string_append_printf (text, "%s %" G_GUINT64_FORMAT ", ", was_hole ? "hole" : "data",
                                  at - begin);
          begin = at;
        }
      was_hole = extent.is_hole;
      at += extent.length;
    }
  ck_assert_uint_eq (at, img_file_size (file));
  g_string_append_printf (text, "%s %" G_GUINT64_FORMAT, was_hole ? "hole" : "data", at - begin);
  return g_string_free (text, FALSE);
}

static void
write_text (const char *path, guint64 offset, guint64 length)
{
  g_autofree char *bytes = g_malloc (length);
  g_auto (ImgFd) fd = open (path, O_WRONLY | O_CLOEXEC);
  scratch_fill (bytes, length, 7);
  ck_assert (img_fd_write_at (fd, offset, bytes, length));
}

START_TEST (holes_are_found)
{
  const char *const folders[] = { "/var/tmp", places.ext4, xfs, places.btrfs, places.tmpfs };
  for (guint i = 0; i < G_N_ELEMENTS (folders); i++)
    {
      g_autofree char *path = scratch_new_file (folders[i], 1024 * MIB + 100);
      write_text (path, 64 * KIB, 64 * KIB);
      write_text (path, 512 * MIB, 4 * KIB);
      g_autoptr (ImgFile) file = scratch_open (path, FALSE);
      for (guint64 step = 48 * KIB; step <= 2 * GIB; step *= 50)
        {
          g_autofree char *text = layout (file, step);
          ck_assert_str_eq (text, "hole 65536, data 65536, hole 536739840, data 4096, "
                                  "hole 536866916");
        }
      (void)g_unlink (path);
    }
}
END_TEST

START_TEST (without_answers_all_is_data)
{
  g_autofree char *path = unit_new_file (1000);
  g_autoptr (ImgFile) file = scratch_open (path, FALSE);
  g_autoptr (ImgFile) device = scratch_open (places.sectors_4096, FALSE);
  g_autofree char *hole = layout (file, 300);
  ck_assert_str_eq (hole, "hole 1000");
  file->lacks_seek = 1;
  g_autofree char *data = layout (file, 300), *device_data = layout (device, MIB);
  ck_assert_str_eq (data, "data 1000");
  ck_assert_str_eq (device_data, "data 8388608");
  (void)g_unlink (path);
}
END_TEST

/* SEEK_DATA says the same behind the end as in a hole that reaches it. */
START_TEST (a_file_that_became_shorter_has_no_hole_there)
{
  g_autofree char *path = unit_new_file (MIB);
  g_autoptr (ImgFile) file = scratch_open (path, FALSE);
  ImgFileExtent extent;
  ck_assert_int_eq (truncate (path, 4096), 0);
  assert_fails (img_file_extent (file, 65536, 4096, &extent, &error), "has become shorter");
  assert_fails (img_file_extent (file, 0, MIB, &extent, &error), "ends at 4096 now");
  assert_ok (img_file_extent (file, 0, 4096, &extent, &error));
  ck_assert (extent.is_hole && extent.length == 4096);
  (void)g_unlink (path);
}
END_TEST

static void
serve_nonsense (void)
{
  serve ("seeklie");
}

START_TEST (answers_that_go_backwards_do_not_loop)
{
  g_autofree char *path = scratch_new_file (server.mount, MIB);
  g_autoptr (ImgFile) file = scratch_open (path, FALSE);
  g_autofree char *text = layout (file, 65536);
  ck_assert_str_eq (text, "data 1048576");
  ck_assert_int_eq (file->lacks_seek, 1);
}
END_TEST

/* Random ranges, compared with memory. */
static void
zero_like_memory (const char *name, guint flags)
{
  const gsize size = 3 * MIB + 512;
  g_autofree char *model = g_malloc (size), *bytes = g_malloc (size);
  g_autoptr (GRand) dice = g_rand_new_with_seed (flags);
  g_autoptr (ImgFile) file = scratch_open (name, TRUE);

  scratch_fill (model, size, 1);
  assert_ok (img_file_write (file, 0, model, size, &error));
  for (guint i = 0; i < 20; i++)
    {
      guint32 grain = i % 3 == 0 ? 4096 : i % 3 == 1 ? 512 : 1;
      gsize offset = (gsize)g_rand_int_range (dice, 0, size) / grain * grain;
      gsize length = MIN (size - offset, (gsize)g_rand_int_range (dice, 0, 200000));
      length = length / grain * grain;
      assert_ok (img_file_zero (file, offset, length, flags, &error));
      memset (model + offset, 0, length);
    }
  if (img_file_is_device (file) && name != unable)
    ck_assert_int_eq (flags == 0 ? file->zeroing.zero_range : file->zeroing.punch, IMG_RUNG_GOOD);
  assert_ok (img_file_flush (file, &error));
  img_file_forget (file, 0, 0);
  assert_ok (img_file_read (file, 0, bytes, size, &error));
  ck_assert_mem_eq (model, bytes, size);
}

START_TEST (zeroing_zeroes_what_it_should)
{
  const char *const folders[] = { "/var/tmp", places.ext4, xfs, places.btrfs, places.tmpfs };
  const char *const devices[] = { places.sectors_512, places.sectors_4096 };
  for (guint i = 0; i < G_N_ELEMENTS (folders); i++)
    for (guint flags = 0; flags <= IMG_ZERO_MAY_UNMAP; flags++)
      {
        g_autofree char *path = scratch_new_file (folders[i], 0);
        zero_like_memory (path, flags);
        (void)g_unlink (path);
      }
  for (guint i = 0; i < G_N_ELEMENTS (devices); i++)
    for (guint flags = 0; flags <= IMG_ZERO_MAY_UNMAP; flags++)
      zero_like_memory (devices[i], flags);
}
END_TEST

static guint64
allocated (const char *path)
{
  struct stat st;
  ck_assert_int_eq (stat (path, &st), 0);
  return (guint64)st.st_blocks * 512;
}

START_TEST (unmapping_gives_up_space_and_zeroing_keeps_it)
{
  g_autofree char *path = unit_new_file (0);
  g_autoptr (ImgFile) file = scratch_open (path, TRUE);
  assert_ok (img_file_allocate (file, 8 * MIB, &error));
  ck_assert_uint_eq (img_file_size (file), 8 * MIB);
  ck_assert_uint_ge (allocated (path), 8 * MIB);
  assert_ok (img_file_zero (file, 0, 8 * MIB, IMG_ZERO_NO_FALLBACK, &error));
  ck_assert_uint_ge (allocated (path), 8 * MIB);
  assert_ok (img_file_zero (file, 0, 8 * MIB, IMG_ZERO_MAY_UNMAP | IMG_ZERO_NO_FALLBACK, &error));
  ck_assert_uint_lt (allocated (path), 64 * KIB);
  (void)g_unlink (path);
}
END_TEST

START_TEST (zeroing_without_help_is_refused_or_written)
{
  g_autofree char *path = scratch_new_file (places.tmpfs, MIB),
                  *other = scratch_new_file (places.tmpfs, MIB);
  g_autoptr (ImgFile) file = scratch_open (path, TRUE);
  g_autoptr (GError) problem = NULL;
  ck_assert (!img_file_zero (file, 0, MIB, IMG_ZERO_NO_FALLBACK, &problem));
  ck_assert (g_error_matches (problem, IMG_ERROR, IMG_ERROR_UNSUPPORTED));
  ck_assert_int_eq (file->zeroing.zero_range, IMG_RUNG_BROKEN);
  ck_assert_uint_eq (allocated (path), 0);
  assert_ok (img_file_zero (file, 0, MIB, 0, &error));
  ck_assert_uint_eq (allocated (path), MIB);

  g_autoptr (ImgFile) thin = scratch_open (other, TRUE);
  assert_ok (img_file_zero (thin, 0, MIB, IMG_ZERO_NO_FALLBACK | IMG_ZERO_MAY_UNMAP, &error));
  ck_assert_int_eq (thin->zeroing.punch, IMG_RUNG_GOOD);
}
END_TEST

START_TEST (devices_zero_by_themselves_or_say_that_they_cannot)
{
  const char *const devices[] = { places.sectors_512, unable };
  for (guint i = 0; i < 4; i++)
    {
      guint flags = IMG_ZERO_NO_FALLBACK | (i % 2 == 0 ? 0 : IMG_ZERO_MAY_UNMAP);
      g_autoptr (ImgFile) file = scratch_open (devices[i / 2], TRUE);
      g_autoptr (GError) problem = NULL;
      ck_assert_int_eq (img_file_zero (file, 0, MIB, flags, &problem), i < 2);
      if (i >= 2)
        ck_assert (g_error_matches (problem, IMG_ERROR, IMG_ERROR_UNSUPPORTED));
      zero_like_memory (devices[i / 2], i % 2 == 0 ? 0 : IMG_ZERO_MAY_UNMAP);
    }
}
END_TEST

START_TEST (allocating_says_what_is_wrong)
{
  g_autofree char *path = scratch_new_file (places.ext4, 0);
  g_autoptr (ImgFile) file = scratch_open (path, TRUE);
  g_autoptr (ImgFile) device = scratch_open (places.sectors_512, TRUE);
  g_autoptr (GError) problem = NULL;
  assert_fails (img_file_allocate (file, GIB, &error),
                "cannot allocate 1073741824 bytes for '/var/tmp/");
  assert_fails (img_file_allocate (file, GIB, &error), "': No space left on device");
  ck_assert (!img_file_allocate (device, MIB, &problem));
  ck_assert (g_error_matches (problem, IMG_ERROR, IMG_ERROR_UNSUPPORTED));
  (void)g_unlink (path);
}
END_TEST

static void
serve_lies (void)
{
  serve ("zerolie,punchlie");
}

static void
serve_a_lie (void)
{
  serve ("zerolie");
}

START_TEST (rungs_that_lie_are_found_out)
{
  g_autofree char *path = scratch_new_file (server.mount, 0);
  zero_like_memory (path, IMG_ZERO_MAY_UNMAP);
  zero_like_memory (path, 0);
  g_autoptr (ImgFile) file = scratch_open (path, TRUE);
  assert_ok (img_file_zero (file, 0, 65536, IMG_ZERO_MAY_UNMAP, &error));
  ck_assert_int_eq (file->zeroing.punch, IMG_RUNG_BROKEN);
  ck_assert_int_eq (file->zeroing.zero_range, IMG_RUNG_BROKEN);
}
END_TEST

START_TEST (a_rung_that_does_not_lie_is_used)
{
  g_autofree char *path = scratch_new_file (server.mount, 0);
  zero_like_memory (path, IMG_ZERO_MAY_UNMAP);
  g_autoptr (ImgFile) file = scratch_open (path, TRUE);
  assert_ok (img_file_zero (file, 0, 65536, IMG_ZERO_MAY_UNMAP, &error));
  assert_ok (img_file_zero (file, 65536, 65536, 0, &error));
  ck_assert_int_eq (file->zeroing.punch, IMG_RUNG_GOOD);
  ck_assert_int_eq (file->zeroing.zero_range, IMG_RUNG_BROKEN);
}
END_TEST

/* @length bytes at @a of one file are those at @b of the other. */
static void
assert_same (ImgFile *one, guint64 a, ImgFile *other, guint64 b, gsize length)
{
  g_autofree char *bytes = g_malloc (length), *others = g_malloc (length);
  assert_ok (img_file_read (one, a, bytes, length, &error));
  assert_ok (img_file_read (other, b, others, length, &error));
  ck_assert_mem_eq (bytes, others, length);
}

START_TEST (cloning_shares_blocks)
{
  const char *const folders[] = { xfs, places.btrfs };
  const guint64 size = 4 * MIB + 1000;
  for (guint i = 0; i < G_N_ELEMENTS (folders); i++)
    {
      g_autofree char *from = scratch_new_file (folders[i], 0);
      g_autofree char *to = scratch_new_file (folders[i], 0);
      write_text (from, 0, size);
      g_autoptr (ImgFile) source = scratch_open (from, FALSE);
      g_autoptr (ImgFile) target = scratch_open (to, TRUE);
      /* All of it, into an empty file and one of the same length. */
      for (guint j = 0; j < 2; j++)
        {
          assert_ok (img_file_clone (source, 0, target, 0, size, &error));
          assert_same (source, 0, target, 0, size);
        }
      /* Two, one behind the other: the second is not aligned. */
      assert_ok (img_file_resize (target, 3 * size, &error));
      assert_ok (img_file_clone (source, 0, target, 0, size, &error));
      assert_ok (img_file_clone (source, MIB, target, 8 * MIB, MIB + 5000, &error));
      assert_same (source, 0, target, 0, size);
      assert_same (source, MIB, target, 8 * MIB, MIB + 5000);
      ck_assert_uint_eq (img_file_size (target), 3 * size);
      g_autoptr (GError) problem = NULL;
      ck_assert (!img_file_clone (source, 0, target, 100, MIB, &problem));
      ck_assert (g_error_matches (problem, IMG_ERROR, IMG_ERROR_UNSUPPORTED));
    }
}
END_TEST

START_TEST (cloning_elsewhere_is_unsupported)
{
  const char *const pairs[][2] = { { places.ext4, places.ext4 },
                                   { xfs, places.btrfs },
                                   { places.ext4, xfs },
                                   { places.tmpfs, places.tmpfs } };
  for (guint i = 0; i < G_N_ELEMENTS (pairs); i++)
    {
      g_autofree char *from = scratch_new_file (pairs[i][0], MIB);
      g_autofree char *to = scratch_new_file (pairs[i][1], MIB);
      g_autoptr (ImgFile) source = scratch_open (from, FALSE);
      g_autoptr (ImgFile) target = scratch_open (to, TRUE);
      g_autoptr (GError) problem = NULL;
      ck_assert (!img_file_clone (source, 0, target, 0, MIB, &problem));
      ck_assert (g_error_matches (problem, IMG_ERROR, IMG_ERROR_UNSUPPORTED));
      ck_assert (!img_file_copies_remotely (source, target));
    }
}
END_TEST

START_TEST (the_kernel_copies_ranges)
{
  const char *const folders[] = { "/var/tmp", places.ext4, xfs, places.btrfs, places.tmpfs };
  const guint64 size = 2 * MIB + 1001;
  for (guint i = 0; i < G_N_ELEMENTS (folders); i++)
    {
      g_autofree char *from = scratch_new_file (folders[i], 0);
      g_autofree char *to = scratch_new_file (folders[i], 0);
      write_text (from, 0, size);
      g_autoptr (ImgFile) source = scratch_open (from, FALSE);
      g_autoptr (ImgFile) target = scratch_open (to, TRUE);
      assert_ok (img_file_resize (target, size + 500, &error));
      assert_ok (img_file_copy_range (source, 0, target, 0, size, &error));
      assert_ok (img_file_copy_range (source, 100, target, 1600, MIB, &error));
      assert_same (source, 0, target, 0, 1600);
      assert_same (source, 100, target, 1600, MIB);
      assert_same (source, MIB + 1600, target, MIB + 1600, size - MIB - 1600);
      assert_fails (img_file_copy_range (source, MIB, target, 0, 2 * MIB, &error),
                    "the file ends at 2098153");
      (void)g_unlink (from);
      (void)g_unlink (to);
    }
}
END_TEST

START_TEST (the_kernel_copies_more_than_it_does_at_once)
{
  const guint64 size = 5 * GIB + 3;
  g_autofree char *from = scratch_new_file (xfs, size);
  g_autofree char *to = scratch_new_file (xfs, size);
  write_text (from, size - 100, 100);
  g_autoptr (ImgFile) source = scratch_open (from, FALSE);
  g_autoptr (ImgFile) target = scratch_open (to, TRUE);
  assert_ok (img_file_copy_range (source, 0, target, 0, size, &error));
  assert_same (source, size - 4096, target, size - 4096, 4096);
}
END_TEST

START_TEST (the_kernel_does_not_copy_devices)
{
  g_autofree char *to = scratch_new_file (places.ext4, MIB);
  g_autoptr (ImgFile) source = scratch_open (places.sectors_512, FALSE);
  g_autoptr (ImgFile) target = scratch_open (to, TRUE);
  g_autoptr (GError) problem = NULL;
  ck_assert (!img_file_copy_range (source, 0, target, 0, MIB, &problem));
  ck_assert (g_error_matches (problem, IMG_ERROR, IMG_ERROR_UNSUPPORTED));
}
END_TEST

static void
add_served_case (Suite *suite, const char *name, void (*begin) (void), const TTest *test)
{
  TCase *tcase = tcase_create (name);
  tcase_set_timeout (tcase, 60);
  tcase_add_unchecked_fixture (tcase, begin, stop_serving);
  tcase_add_test (tcase, test);
  suite_add_tcase (suite, tcase);
}

static void
add_places (Suite *suite)
{
  TCase *elsewhere = tcase_create ("places");
  tcase_set_timeout (elsewhere, 60);
  tcase_add_unchecked_fixture (elsewhere, make_places, drop_places);
  tcase_add_test (elsewhere, holes_are_found);
  tcase_add_test (elsewhere, without_answers_all_is_data);
  tcase_add_test (elsewhere, zeroing_zeroes_what_it_should);
  tcase_add_test (elsewhere, zeroing_without_help_is_refused_or_written);
  tcase_add_test (elsewhere, devices_zero_by_themselves_or_say_that_they_cannot);
  tcase_add_test (elsewhere, allocating_says_what_is_wrong);
  tcase_add_test (elsewhere, cloning_shares_blocks);
  tcase_add_test (elsewhere, cloning_elsewhere_is_unsupported);
  tcase_add_test (elsewhere, the_kernel_copies_ranges);
  tcase_add_test (elsewhere, the_kernel_copies_more_than_it_does_at_once);
  tcase_add_test (elsewhere, the_kernel_does_not_copy_devices);
  suite_add_tcase (suite, elsewhere);
}

int
main (void)
{
  Suite *suite = suite_create ("range");
  TCase *local = tcase_create ("local");
  g_autofree char *program = server_program ();
  tcase_add_test (local, a_file_that_became_shorter_has_no_hole_there);
  tcase_add_test (local, unmapping_gives_up_space_and_zeroing_keeps_it);
  suite_add_tcase (suite, local);
  if (scratch_is_possible ())
    add_places (suite);
  if (geteuid () == 0 && program != NULL)
    {
      add_served_case (suite, "lies", serve_lies, rungs_that_lie_are_found_out);
      add_served_case (suite, "a lie", serve_a_lie, a_rung_that_does_not_lie_is_used);
      add_served_case (suite, "nonsense", serve_nonsense, answers_that_go_backwards_do_not_loop);
    }
  return unit_run (suite);
}
