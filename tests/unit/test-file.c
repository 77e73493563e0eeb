/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <sys/stat.h>

#include "file/file.h"
#include "file/inode-registry.h"
#include "lock/use.h"

static char *path;

static void
make_file (void)
{
  path = unit_new_file (4096);
}

static void
drop_file (void)
{
  unit_delete_file (path);
}

static ImgFileParams
params_for (ImgUse use, ImgLocking locking)
{
  ImgFileParams params = { .is_writable = use == IMG_USE_WRITE,
                           .locking = locking,
                           .permissions = img_use_permissions (use, FALSE) };
  return params;
}

START_TEST (one_file_twice_is_one_description)
{
  static const ImgLocking modes[] = { IMG_LOCKING_AUTO, IMG_LOCKING_POSIX, IMG_LOCKING_OFF };
  g_autofree char *other_name = g_strconcat (path, ".link", NULL);
  ck_assert_int_eq (link (path, other_name), 0);
  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    {
      ImgFileParams params = params_for (IMG_USE_READ, modes[i]);
      ImgLockState state;
      g_autoptr (ImgFile) a = img_file_open (path, &params, NULL);
      ImgFile *b = img_file_open (other_name, &params, NULL);
      ck_assert (a != NULL && b != NULL);
      ck_assert_int_eq (img_file_fd (a), img_file_fd (b));
      /* Closing one must not cost the other its POSIX locks. */
      img_file_close (b);
      ck_assert (img_file_verify_lock (a, &state, NULL));
      ck_assert_int_eq (state, IMG_LOCK_HELD);
    }
  (void)g_unlink (other_name);
}
END_TEST

START_TEST (one_file_is_not_source_and_target)
{
  static const ImgLocking modes[] = { IMG_LOCKING_AUTO, IMG_LOCKING_POSIX, IMG_LOCKING_OFF };
  g_autofree char *other_name = g_strconcat (path, ".symlink", NULL);
  ck_assert_int_eq (symlink (path, other_name), 0);
  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    {
      ImgFileParams reading = params_for (IMG_USE_READ, modes[i]);
      ImgFileParams writing = params_for (IMG_USE_WRITE, modes[i]);
      g_autoptr (GError) error = NULL;
      g_autoptr (ImgFile) source = img_file_open (path, &reading, NULL);
      ck_assert_ptr_null (img_file_open (other_name, &writing, &error));
      ck_assert_ptr_nonnull (strstr (error->message, "already in use by this command"));
      ck_assert (img_file_verify_lock (source, NULL, NULL));
    }
  (void)g_unlink (other_name);
}
END_TEST

START_TEST (what_was_closed_is_forgotten)
{
  ImgFileParams params = params_for (IMG_USE_WRITE, IMG_LOCKING_POSIX);
  struct stat st;
  ck_assert_int_eq (stat (path, &st), 0);
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (ImgFile) file = img_file_open (path, &params, NULL);
      ck_assert_ptr_nonnull (file);
      ck_assert (img_inode_is_open (&st));
    }
  ck_assert (!img_inode_is_open (&st));
}
END_TEST

/* A waiting opener must end up with the file that has the name when the lock is granted. */
START_TEST (a_rename_while_waiting_is_noticed)
{
  ImgFileParams params = params_for (IMG_USE_WRITE, IMG_LOCKING_AUTO);
  g_autofree char *new_name = g_strconcat (path, ".new", NULL);
  ck_assert (g_file_set_contents (new_name, "new file", -1, NULL));
  params.lock_wait = 10 * G_TIME_SPAN_SECOND;

  int old = open (path, O_RDWR | O_CLOEXEC);
  g_autoptr (ImgLock) holder
      = img_lock_take (old, "old", IMG_LOCKING_AUTO, params.permissions, IMG_WAIT_NONE, NULL);
  ck_assert_ptr_nonnull (holder);
  pid_t child = fork ();
  if (child == 0)
    {
      /* The description is shared: unlocking here unlocks it for good. */
      (void)usleep (300000);
      int failed = rename (new_name, path);
      img_lock_release (g_steal_pointer (&holder));
      _exit (failed ? 1 : 0);
    }
  g_autoptr (ImgFile) file = img_file_open (path, &params, NULL);
  ck_assert_ptr_nonnull (file);
  ck_assert_uint_eq (img_file_size (file), strlen ("new file"));
  close (old);
}
END_TEST

START_TEST (reads_are_whole_or_fail)
{
  ImgFileParams params = params_for (IMG_USE_READ, IMG_LOCKING_AUTO);
  g_autoptr (ImgFile) file = img_file_open (path, &params, NULL);
  g_autoptr (GError) error = NULL;
  char buffer[512];
  ck_assert_uint_eq (img_file_size (file), 4096);
  ck_assert (img_file_read (file, 4096 - 512, buffer, sizeof buffer, NULL));
  ck_assert (!img_file_read (file, 4096 - 511, buffer, sizeof buffer, &error));
  ck_assert_ptr_nonnull (strstr (error->message, "at offset 3585"));
  ck_assert_ptr_nonnull (strstr (error->message, "the file ends at 4096"));
}
END_TEST

START_TEST (no_image_is_refused_without_opening_it)
{
  static const struct
  {
    const char *path, *words;
  } rows[] = { { "/var/tmp", "a directory" },
               { "/dev/null", "a character device" },
               { "/nonexistent/x", "No such file" } };
  ImgFileParams params = params_for (IMG_USE_READ, IMG_LOCKING_AUTO);
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autoptr (GError) error = NULL;
      ck_assert_ptr_null (img_file_open (rows[i].path, &params, &error));
      ck_assert_ptr_nonnull (strstr (error->message, rows[i].words));
    }
}
END_TEST

/* What is shared is proven by what it holds now, not by what it held when it was opened. */
START_TEST (a_lock_that_grew_is_verified_as_a_whole)
{
  ImgFileParams nothing = { .locking = IMG_LOCKING_POSIX };
  ImgFileParams reading = params_for (IMG_USE_READ, IMG_LOCKING_POSIX);
  ImgLockState state;
  g_autoptr (ImgFile) a = img_file_open (path, &nothing, NULL);
  g_autoptr (ImgFile) b = img_file_open (path, &reading, NULL);
  ck_assert (a != NULL && b != NULL);
  ck_assert (img_file_verify_lock (a, &state, NULL));
  ck_assert_int_eq (state, IMG_LOCK_HELD);
  close (open (path, O_RDONLY | O_CLOEXEC));
  ck_assert (!img_file_verify_lock (a, NULL, NULL));
}
END_TEST

START_TEST (lost_locks_are_an_error)
{
  ImgFileParams params = params_for (IMG_USE_WRITE, IMG_LOCKING_POSIX);
  g_autoptr (ImgFile) file = img_file_open (path, &params, NULL);
  g_autoptr (GError) error = NULL;
  ck_assert (img_file_verify_lock (file, NULL, NULL));
  close (open (path, O_RDONLY | O_CLOEXEC));
  ck_assert (!img_file_verify_lock (file, NULL, &error));
  ck_assert (g_error_matches (error, IMG_ERROR, IMG_ERROR_LOCK_LOST));
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("file");
  TCase *core = tcase_create ("file");
  tcase_add_checked_fixture (core, make_file, drop_file);
  tcase_set_timeout (core, 60);
  tcase_add_test (core, one_file_twice_is_one_description);
  tcase_add_test (core, one_file_is_not_source_and_target);
  tcase_add_test (core, what_was_closed_is_forgotten);
  tcase_add_test (core, a_rename_while_waiting_is_noticed);
  tcase_add_test (core, reads_are_whole_or_fail);
  tcase_add_test (core, no_image_is_refused_without_opening_it);
  tcase_add_test (core, lost_locks_are_an_error);
  tcase_add_test (core, a_lock_that_grew_is_verified_as_a_whole);
  suite_add_tcase (suite, core);
  return unit_run (suite);
}
