/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* file/output when something happens just between two of its steps: the linker puts the functions
 * below in the way of the calls (--wrap). */
#include "unit-output.h"

#include <signal.h>
#include <stdarg.h>

#include "file/inode-registry.h"

/* What happens at the next call, once. */
typedef enum
{
  NOTHING,
  PART_IS_TAKEN_FOR_A_LEFTOVER,
  SIGNAL_AFTER_CREATING,
  SIGNAL_BEFORE_RENAMING,
  SIGNAL_AFTER_RENAMING,
  CLOSE_FAILS,
} Event;

static Event what;

static gboolean has_noreplace = TRUE, has_links = TRUE;

/* The linker's names. */
ImgFile *__real_img_file_adopt (int fd, const char *path, const ImgFileParams *params,
                                GError **error);
ImgFile *__wrap_img_file_adopt (int fd, const char *path, const ImgFileParams *params,
                                GError **error);
int __real_openat (int dir, const char *name, int flags, ...);
int __wrap_openat (int dir, const char *name, int flags, ...);
int __real_renameat (int from, const char *name, int to, const char *new_name);
int __wrap_renameat (int from, const char *name, int to, const char *new_name);
int __real_renameat2 (int from, const char *name, int to, const char *new_name, unsigned flags);
int __wrap_renameat2 (int from, const char *name, int to, const char *new_name, unsigned flags);
int __real_linkat (int from, const char *name, int to, const char *new_name, int flags);
int __wrap_linkat (int from, const char *name, int to, const char *new_name, int flags);
int __real_close (int fd);
int __wrap_close (int fd);

static gboolean
is_time_for (int wanted)
{
  if ((int)what != wanted)
    return FALSE;
  what = NOTHING;
  return TRUE;
}

ImgFile *
__wrap_img_file_adopt (int fd, const char *path, const ImgFileParams *params, GError **error)
{
  if (is_time_for (PART_IS_TAKEN_FOR_A_LEFTOVER))
    ck_assert_int_eq (g_unlink (path), 0);
  return __real_img_file_adopt (fd, path, params, error);
}

int
__wrap_openat (int dir, const char *name, int flags, ...)
{
  va_list arguments;
  va_start (arguments, flags);
  mode_t mode = flags & O_CREAT ? va_arg (arguments, mode_t) : 0;
  va_end (arguments);
  int fd = __real_openat (dir, name, flags, mode);
  if (fd >= 0 && (flags & O_CREAT) && is_time_for (SIGNAL_AFTER_CREATING))
    raise (SIGTERM);
  return fd;
}

int
__wrap_renameat (int from, const char *name, int to, const char *new_name)
{
  if (is_time_for (SIGNAL_BEFORE_RENAMING))
    raise (SIGTERM);
  int result = __real_renameat (from, name, to, new_name);
  if (is_time_for (SIGNAL_AFTER_RENAMING))
    raise (SIGTERM);
  return result;
}

int
__wrap_renameat2 (int from, const char *name, int to, const char *new_name, unsigned flags)
{
  if (has_noreplace)
    return __real_renameat2 (from, name, to, new_name, flags);
  errno = EINVAL;
  return -1;
}

int
__wrap_linkat (int from, const char *name, int to, const char *new_name, int flags)
{
  if (has_links)
    return __real_linkat (from, name, to, new_name, flags);
  errno = EPERM;
  return -1;
}

int
__wrap_close (int fd)
{
  gboolean fails = is_time_for (CLOSE_FAILS);
  int result = __real_close (fd);
  if (!fails)
    return result;
  errno = EDQUOT;
  return -1;
}

START_TEST (who_is_taken_for_a_leftover_begins_again)
{
  struct stat st;
  what = PART_IS_TAKEN_FOR_A_LEFTOVER;
  g_autoptr (ImgOutput) output = unit_begin_well (target);
  ck_assert_int_eq (what, NOTHING);
  ck_assert_int_eq (stat (part, &st), 0);
  ck_assert (img_inode_is_open (&st));
  unit_fill (output);
  unit_publish_well (output);
  unit_expect_content (target, NEW);
}
END_TEST

/* In a new process: write with @event, without RENAME_NOREPLACE and links. It must end by the
 * signal. */
static void
expect_death_at (Event event)
{
  int status;
  pid_t child = fork ();
  if (child == 0)
    {
      signal (SIGTERM, SIG_DFL);
      what = event;
      has_noreplace = has_links = FALSE;
      unit_write_output (target);
      _exit (0);
    }
  ck_assert_int_eq (waitpid (child, &status, 0), child);
  ck_assert (WIFSIGNALED (status));
  ck_assert_int_eq (WTERMSIG (status), SIGTERM);
  ck_assert (!unit_exists (part));
}

START_TEST (a_signal_right_after_creating_leaves_nothing)
{
  expect_death_at (SIGNAL_AFTER_CREATING);
  ck_assert_uint_eq (unit_count_files (), 0);
  unit_write (target, OLD);
  expect_death_at (SIGNAL_AFTER_CREATING);
  unit_expect_content (target, OLD);
}
END_TEST

/* Publishing has begun: it is finished first. */
START_TEST (a_signal_while_renaming_leaves_the_whole)
{
  for (guint i = 0; i < 4; i++)
    {
      if (i >= 2)
        unit_write (target, OLD);
      expect_death_at (i % 2 == 0 ? SIGNAL_BEFORE_RENAMING : SIGNAL_AFTER_RENAMING);
      unit_expect_content (target, NEW);
      ck_assert_uint_eq (unit_count_files (), 1);
      (void)g_unlink (target);
    }
}
END_TEST

START_TEST (errors_kept_until_the_close_come_out_before_publishing)
{
  ImgOutputParams params = unit_params (IMG_LOCKING_AUTO);
  params.is_durable = FALSE;
  unit_write (target, OLD);
  g_autoptr (ImgOutput) output = unit_begin (target, &params, NULL);
  unit_fill (output);
  what = CLOSE_FAILS;
  unit_expect_unpublished (output, "cannot finish writing");
  unit_expect_content (target, OLD);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("output, between two steps");
  TCase *core = tcase_create ("output, between two steps");
  tcase_add_checked_fixture (core, unit_make_folder, unit_drop_folder);
  tcase_set_timeout (core, 60);
  tcase_add_test (core, who_is_taken_for_a_leftover_begins_again);
  tcase_add_test (core, a_signal_right_after_creating_leaves_nothing);
  tcase_add_test (core, a_signal_while_renaming_leaves_the_whole);
  tcase_add_test (core, errors_kept_until_the_close_come_out_before_publishing);
  suite_add_tcase (suite, core);
  return unit_run (suite);
}
