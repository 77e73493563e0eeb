/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* file/output where it is hard: signals and kills at any time, two at once, a system that refuses.
 */
#include "unit-output.h"

#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/at-signal.h"
#include "file/move.h"

static const int fatal[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT };

/* How often chance is tried; more with IMGTOOL_ROUNDS in the environment. */
static guint
rounds (guint usual)
{
  const char *wanted = g_getenv ("IMGTOOL_ROUNDS");
  return wanted == NULL ? usual : (guint)g_ascii_strtoull (wanted, NULL, 10);
}

/* The test runner has handlers of its own. */
static void
reset_signals (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (fatal); i++)
    signal (fatal[i], SIG_DFL);
}

/* A new process that runs @function; both ends of a pipe are in channel. */
static int channel[2];

static pid_t
start (void (*function) (void))
{
  ck_assert_int_eq (pipe (channel), 0);
  pid_t child = fork ();
  ck_assert_int_ge (child, 0);
  if (child == 0)
    {
      reset_signals ();
      function ();
      _exit (0);
    }
  return child;
}

static void
tell (char what)
{
  ck_assert_int_eq (write (channel[1], &what, 1), 1);
}

static char
hear (void)
{
  char what = '\0';
  ck_assert_int_eq (read (channel[0], &what, 1), 1);
  return what;
}

static int
finish (pid_t child)
{
  int status;
  ck_assert_int_eq (waitpid (child, &status, 0), child);
  close (channel[0]);
  close (channel[1]);
  return status;
}

/* ---- signals -------------------------------------------------------------------------------- */

static void
begin_and_stay (void)
{
  ImgOutput *output = unit_begin_well (target);
  unit_fill (output);
  tell ('r');
  for (;;)
    pause ();
}

static void
expect_death_without_trace (void (*function) (void), int number)
{
  guint before = unit_count_files ();
  pid_t child = start (function);
  ck_assert_int_eq (hear (), 'r');
  ck_assert (unit_exists (part));
  ck_assert_int_eq (kill (child, number), 0);
  int status = finish (child);
  ck_assert (WIFSIGNALED (status));
  ck_assert_int_eq (WTERMSIG (status), number);
  ck_assert (!unit_exists (part));
  ck_assert_uint_eq (unit_count_files (), before);
}

START_TEST (a_signal_leaves_nothing_and_ends_the_process)
{
  for (guint i = 0; i < G_N_ELEMENTS (fatal); i++)
    {
      expect_death_without_trace (begin_and_stay, fatal[i]);
      ck_assert (!unit_exists (target));
    }
  unit_write (target, OLD);
  for (guint i = 0; i < G_N_ELEMENTS (fatal); i++)
    {
      expect_death_without_trace (begin_and_stay, fatal[i]);
      unit_expect_content (target, OLD);
    }
}
END_TEST

static void *
sleep_in_thread (G_GNUC_UNUSED void *unused)
{
  for (;;)
    pause ();
  return NULL;
}

static void
stay_with_signals_in_a_thread (void)
{
  ImgOutput *output = unit_begin_well (target);
  sigset_t all;
  pthread_t thread;
  ck_assert_int_eq (pthread_create (&thread, NULL, sleep_in_thread, NULL), 0);
  sigfillset (&all);
  pthread_sigmask (SIG_BLOCK, &all, NULL);
  unit_fill (output);
  tell ('r');
  for (;;)
    usleep (100000);
}

START_TEST (a_signal_in_another_thread_does_the_same)
{
  for (guint i = 0; i < G_N_ELEMENTS (fatal); i++)
    expect_death_without_trace (stay_with_signals_in_a_thread, fatal[i]);
}
END_TEST

/* A handler in another thread waits for what must not be torn apart. */
static void
hold_against_a_thread (void)
{
  ImgOutput *output = unit_begin_well (target);
  pthread_t thread;
  ck_assert_int_eq (pthread_create (&thread, NULL, sleep_in_thread, NULL), 0);
  img_at_signal_hold ();
  kill (getpid (), SIGTERM);
  usleep (200000);
  unit_fill (output);
  ck_assert (unit_exists (part));
  tell ('r');
  img_at_signal_release ();
  for (;;)
    pause ();
}

START_TEST (a_signal_waits_while_it_is_held_off)
{
  pid_t child = start (hold_against_a_thread);
  ck_assert_int_eq (hear (), 'r');
  int status = finish (child);
  ck_assert (WIFSIGNALED (status));
  ck_assert_int_eq (WTERMSIG (status), SIGTERM);
  ck_assert_uint_eq (unit_count_files (), 0);
}
END_TEST

static volatile sig_atomic_t caught;

static void catch (int number)
{
  caught = number;
}

static void
write_through_foreign_signals (void)
{
  struct sigaction now;
  signal (SIGHUP, SIG_IGN);
  signal (SIGINT, catch);
  ImgOutput *output = unit_begin_well (target);
  unit_fill (output);
  raise (SIGHUP);
  raise (SIGINT);
  ck_assert_int_eq (caught, SIGINT);
  unit_publish_well (output);
  img_output_free (output);
  /* Nothing of ours stays installed. */
  ck_assert_int_eq (sigaction (SIGTERM, NULL, &now), 0);
  ck_assert (now.sa_handler == SIG_DFL);
  ck_assert_int_eq (sigaction (SIGINT, NULL, &now), 0);
  ck_assert (now.sa_handler == catch);
}

START_TEST (ignored_signals_and_foreign_handlers_stay)
{
  pid_t child = start (write_through_foreign_signals);
  ck_assert_int_eq (finish (child), 0);
  unit_expect_content (target, NEW);
}
END_TEST

/* A child that was forked while a part file existed has the handlers, and no right to it. */
static void
fork_and_kill_the_child (void)
{
  g_autoptr (ImgOutput) output = unit_begin_well (target);
  int status;
  pid_t child = fork ();
  if (child == 0)
    {
      raise (SIGTERM);
      _exit (0);
    }
  ck_assert_int_eq (waitpid (child, &status, 0), child);
  ck_assert (WIFSIGNALED (status));
  ck_assert_int_eq (WTERMSIG (status), SIGTERM);
  ck_assert (unit_exists (part));
  unit_fill (output);
  unit_publish_well (output);
}

START_TEST (a_signal_to_a_forked_child_removes_nothing)
{
  pid_t child = start (fork_and_kill_the_child);
  ck_assert_int_eq (finish (child), 0);
  unit_expect_content (target, NEW);
}
END_TEST

/* ---- at any time ---------------------------------------------------------------------------- */

static gboolean is_new_each_time;

static void
write_again_and_again (void)
{
  tell ('r');
  for (;;)
    {
      ImgOutputParams params = unit_params (IMG_LOCKING_AUTO);
      params.is_durable = FALSE; /* more of what matters in the time */
      g_autoptr (ImgOutput) output = unit_begin (target, &params, NULL);
      ck_assert_ptr_nonnull (output);
      unit_fill (output);
      unit_publish_well (output);
      if (is_new_each_time)
        ck_assert_int_eq (g_unlink (target), 0);
    }
}

/* The final name has nothing, the old or the new; never something between. */
static void
expect_whole (void)
{
  g_autofree char *content = NULL;
  if (!unit_exists (target))
    {
      ck_assert (is_new_each_time);
      return;
    }
  ck_assert (g_file_get_contents (target, &content, NULL, NULL));
  ck_assert (strcmp (content, NEW) == 0 || (!is_new_each_time && strcmp (content, OLD) == 0));
}

static guint
kill_at_any_time (int number)
{
  guint leftovers = 0;
  for (guint i = 0; i < rounds (100); i++)
    {
      is_new_each_time = i % 2 == 0;
      (void)g_unlink (target);
      if (!is_new_each_time)
        unit_write (target, OLD);
      pid_t child = start (write_again_and_again);
      ck_assert_int_eq (hear (), 'r');
      g_usleep ((gulong)g_random_int_range (1, 10000));
      ck_assert_int_eq (kill (child, number), 0);
      int status = finish (child);
      ck_assert (WIFSIGNALED (status));
      ck_assert_int_eq (WTERMSIG (status), number);
      expect_whole ();
      leftovers += unit_exists (part) ? 1 : 0;
      if (number != SIGKILL)
        ck_assert_uint_eq (unit_count_files (), unit_exists (target) ? 1 : 0);
      else if (unit_exists (part))
        ck_assert_uint_eq (unit_mode (part) & 0133, 0);
      /* The next run is not in its way, whatever was left. */
      unit_write_output (target);
      unit_expect_content (target, NEW);
      ck_assert_uint_eq (unit_count_files (), 1);
    }
  return leftovers;
}

START_TEST (a_signal_at_any_time_leaves_nothing)
{
  for (guint i = 0; i < 2; i++)
    ck_assert_uint_eq (kill_at_any_time (fatal[i]), 0);
}
END_TEST

START_TEST (a_kill_at_any_time_leaves_at_most_a_leftover)
{
  ck_assert_uint_gt (kill_at_any_time (SIGKILL), 0);
}
END_TEST

/* ---- two at once ---------------------------------------------------------------------------- */

static int barrier[2], decided[2];

/* These pipes say nothing: they end when the test process closes its side. */
static void
wait_at (int *pipe_ends)
{
  char nothing;
  ck_assert_int_eq (read (pipe_ends[0], &nothing, 1), 0);
}

/* Begins when the other does, tells its letter if it got the part file, or 'L', and goes on when
 * both have told. */
static void
compete (char letter)
{
  ImgOutputParams params = unit_params (IMG_LOCKING_AUTO);
  g_autoptr (GError) error = NULL;
  char text[2] = { letter, '\0' };
  close (barrier[1]);
  close (decided[1]);
  reset_signals ();
  wait_at (barrier);
  ImgOutput *output = unit_begin (target, &params, &error);
  ck_assert_msg (output != NULL || g_error_matches (error, IMG_ERROR, IMG_ERROR_LOCKED), "%s",
                 error != NULL ? error->message : "");
  tell (output == NULL ? 'L' : letter);
  wait_at (decided);
  if (output == NULL)
    return;
  ck_assert_int_eq (pwrite (img_file_fd (img_output_file (output)), text, 1, 0), 1);
  unit_publish_well (output);
  img_output_free (output);
}

/* How many of two got it; who in *@winner. */
static guint
let_two_compete (char *winner)
{
  guint winners = 0;
  int status;
  ck_assert_int_eq (pipe (barrier), 0);
  ck_assert_int_eq (pipe (decided), 0);
  ck_assert_int_eq (pipe (channel), 0);
  for (char letter = 'a'; letter <= 'b'; letter++)
    if (fork () == 0)
      {
        compete (letter);
        _exit (0);
      }
  close (barrier[1]);
  for (guint i = 0; i < 2; i++)
    {
      char told = hear ();
      winners += told != 'L';
      *winner = told != 'L' ? told : *winner;
    }
  close (decided[1]);
  for (guint i = 0; i < 2; i++)
    {
      ck_assert_int_gt (wait (&status), 0);
      ck_assert_int_eq (status, 0);
    }
  close (barrier[0]);
  close (decided[0]);
  close (channel[0]);
  close (channel[1]);
  return winners;
}

START_TEST (of_two_at_once_one_writes)
{
  guint without_winner = 0, n = rounds (40);
  for (guint i = 0; i < n; i++)
    {
      char winner[2] = "";
      (void)g_unlink (target);
      if (i % 3 == 2)
        unit_write (target, OLD);
      if (i % 3 == 1)
        unit_write (part, "a leftover");
      guint winners = let_two_compete (winner);
      ck_assert_uint_le (winners, 1);
      without_winner += winners == 0;
      if (winners == 1)
        unit_expect_content (target, winner);
      ck_assert_uint_le (unit_count_files (), 1 + (winners == 0));
    }
  /* Now and then each is in the other's way until both give up. */
  ck_assert_uint_le (without_winner, n / 20);
}
END_TEST

/* ---- a system that refuses ------------------------------------------------------------------ */

/* From now on the system call @number fails with @why, if the lower half of its argument @argument
 * is not @value. */
static void
refuse (long number, guint argument, guint32 value, guint why)
{
  struct sock_filter code[] = {
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, nr)),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, (guint32)number, 0, 3),
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS,
              (guint32)(offsetof (struct seccomp_data, args) + argument * sizeof (guint64))),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ERRNO | why),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = { .len = G_N_ELEMENTS (code), .filter = code };
  ck_assert_int_eq (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  ck_assert_int_eq (prctl (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0), 0);
}

/* No argument has this value. */
#define ALWAYS 0, 0xdeadbeef

static void
refuse_noreplace (void)
{
  refuse (SYS_renameat2, 4, 0, EINVAL);
}

static void
publish_by_linking (void)
{
  refuse_noreplace ();
  unit_write_output (target);
  ck_assert_uint_eq (unit_count_files (), 1);
  unit_write_output (target); /* this one is a plain rename */
  ck_assert_int_eq (g_unlink (target), 0);

  g_autoptr (ImgOutput) output = unit_begin_well (target);
  unit_write (target, OLD);
  unit_expect_unpublished (output, "it has appeared meanwhile, and was left alone");
  unit_expect_content (target, OLD);
  (void)g_unlink (target);

  refuse (SYS_unlinkat, ALWAYS, EIO);
  unit_expect_unpublished (output, "is complete and in place, but its part file cannot be removed");
}

START_TEST (without_noreplace_links_publish)
{
  unit_expect_child (publish_by_linking);
  ck_assert_uint_eq (unit_count_files (), 2);
  /* The next run takes the second name off. */
  unit_write_output (target);
  unit_expect_content (target, NEW);
  ck_assert_uint_eq (unit_count_files (), 1);
}
END_TEST

static void
publish_over_a_placeholder (void)
{
  refuse_noreplace ();
  refuse (SYS_linkat, ALWAYS, EPERM);
  unit_write_output (target);
  ck_assert_uint_eq (unit_mode (target), 0644);
  ck_assert_uint_eq (unit_count_files (), 1);
  ck_assert_int_eq (g_unlink (target), 0);

  g_autoptr (ImgOutput) output = unit_begin_well (target);
  unit_write (target, OLD);
  unit_expect_unpublished (output, "it has appeared meanwhile, and was left alone");
  unit_expect_content (target, OLD);
  (void)g_unlink (target);
  refuse (SYS_renameat2, ALWAYS, EINVAL);
#ifdef SYS_renameat
  refuse (SYS_renameat, ALWAYS, EINVAL);
#endif
  unit_expect_unpublished (output, "cannot create");
}

START_TEST (without_links_a_placeholder_publishes)
{
  unit_expect_child (publish_over_a_placeholder);
  ck_assert_uint_eq (unit_count_files (), 0);
}
END_TEST

static void
fail_to_flush (void)
{
  ImgOutputParams params = unit_params (IMG_LOCKING_AUTO);
  g_autoptr (ImgOutput) output = unit_begin_well (target);
  unit_fill (output);
  refuse (SYS_fsync, ALWAYS, EIO);
  unit_expect_unpublished (output, "to the disk");
  unit_expect_content (target, OLD);
  g_clear_pointer (&output, img_output_free);
  /* Who does not want it does not pay for it. */
  params.is_durable = FALSE;
  output = unit_begin (target, &params, NULL);
  unit_fill (output);
  unit_publish_well (output);
}

START_TEST (what_cannot_be_flushed_is_not_published)
{
  unit_write (target, OLD);
  unit_expect_child (fail_to_flush);
  unit_expect_content (target, NEW);
  ck_assert_uint_eq (unit_count_files (), 1);
}
END_TEST

static void
fail_to_flush_the_folder (void)
{
  g_autoptr (ImgOutput) output = unit_begin_well (target);
  unit_fill (output);
  refuse (SYS_fsync, 0, (guint32)img_file_fd (img_output_file (output)), EIO);
  unit_expect_unpublished (output, "may not survive a power cut");
}

START_TEST (a_folder_that_cannot_be_flushed_is_an_error)
{
  unit_expect_child (fail_to_flush_the_folder);
  unit_expect_content (target, NEW);
  ck_assert_uint_eq (unit_count_files (), 1);
}
END_TEST

static void
flush_otherwise (void)
{
  g_autoptr (ImgOutput) output = unit_begin_well (target);
  unit_fill (output);
  refuse (SYS_fsync, 0, (guint32)img_file_fd (img_output_file (output)), EINVAL);
  unit_publish_well (output);
}

START_TEST (a_folder_without_fsync_is_flushed_with_its_file_system)
{
  unit_expect_child (flush_otherwise);
  unit_expect_content (target, NEW);
}
END_TEST

static void
fail_to_rename (void)
{
  g_autoptr (ImgOutput) output = unit_begin_well (target);
  unit_fill (output);
  refuse (SYS_renameat2, ALWAYS, EBUSY);
#ifdef SYS_renameat
  refuse (SYS_renameat, ALWAYS, EBUSY);
#endif
  unit_expect_unpublished (output, "--in-place");
}

START_TEST (a_rename_that_fails_leaves_the_old)
{
  unit_write (target, OLD);
  unit_expect_child (fail_to_rename);
  unit_expect_content (target, OLD);
  ck_assert_uint_eq (unit_count_files (), 1);
}
END_TEST

/* A server that renamed, lost its answer, and knows nothing of the old name when it is asked again.
 */
START_TEST (what_was_done_is_done_whatever_was_answered)
{
  struct stat st;
  unit_write (target, NEW);
  g_autoptr (ImgPlace) place = img_place_find (target, NULL);
  ck_assert_int_eq (stat (target, &st), 0);
  ck_assert (img_move_over (place, "gone", &st));
  ck_assert (img_move_new (place, "gone", &st));
  st.st_ino++;
  ck_assert (!img_move_over (place, "gone", &st));
  ck_assert (!img_move_new (place, "gone", &st));
  unit_expect_content (target, NEW);
}
END_TEST

/* ---- as root -------------------------------------------------------------------------------- */

static void
run (const char *program, const char *a, const char *b, const char *c)
{
  const char *argv[] = { program, a, b, c, NULL };
  g_autofree char *output = NULL;
  g_autofree char *errors = NULL;
  int status = -1;
  ck_assert (g_spawn_sync (NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &output,
                           &errors, &status, NULL));
  ck_assert_msg (status == 0, "%s: %s", program, errors);
}

static gboolean
is_without_copy_on_write (const char *path)
{
  int flags = 0, fd = open (path, O_RDONLY | O_CLOEXEC);
  ck_assert_int_eq (ioctl (fd, FS_IOC_GETFLAGS, &flags), 0);
  close (fd);
  return (flags & FS_NOCOW_FL) != 0;
}

static void
write_on_btrfs (void)
{
  g_autofree char *image = unit_in_folder ("btrfs.raw");
  g_autofree char *mountpoint = unit_in_folder ("mnt");
  g_autofree char *file = unit_in_folder ("mnt/t.raw");
  ck_assert_int_eq (unshare (CLONE_NEWNS), 0);
  ck_assert_int_eq (mount ("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
  run ("mount", "-oloop", image, mountpoint);
  unit_write_output (file);
  ck_assert (!is_without_copy_on_write (file));
  (void)g_unlink (file);
  unit_write (file, "");
  run ("chattr", "+C", file, NULL);
  unit_write_output (file);
  unit_expect_content (file, NEW);
  ck_assert (is_without_copy_on_write (file));
  ck_assert_int_eq (umount (mountpoint), 0);
}

START_TEST (no_copy_on_write_is_kept)
{
  g_autofree char *image = unit_in_folder ("btrfs.raw");
  g_autofree char *mountpoint = unit_in_folder ("mnt");
  unit_write (image, "");
  ck_assert_int_eq (truncate (image, 128 << 20), 0);
  ck_assert_int_eq (mkdir (mountpoint, 0700), 0);
  run ("mkfs.btrfs", "-q", image, NULL);
  unit_expect_child (write_on_btrfs);
}
END_TEST

START_TEST (a_device_in_use_is_refused_where_that_is_asked)
{
  ImgFileParams params = { .is_writable = TRUE, .is_exclusive = TRUE, .locking = IMG_LOCKING_OFF };
  g_autofree char *device = NULL;
  g_autofree char *command = g_strdup_printf ("losetup --find --show '%s'", target);
  g_autoptr (GError) error = NULL;
  unit_write (target, "");
  ck_assert_int_eq (truncate (target, 1 << 20), 0);
  ck_assert (g_spawn_command_line_sync (command, &device, NULL, NULL, NULL));
  g_strchomp (device);
  ck_assert_str_ne (device, "");
  ImgFile *free_one = img_file_open (device, &params, NULL);
  if (free_one != NULL)
    img_file_close (free_one);
  int user = open (device, O_RDONLY | O_EXCL | O_CLOEXEC);
  ImgFile *busy = img_file_open (device, &params, &error);
  params.is_exclusive = FALSE;
  ImgFile *shared = img_file_open (device, &params, NULL);
  if (shared != NULL)
    img_file_close (shared);
  close (user);
  run ("losetup", "--detach", device, NULL);
  ck_assert (free_one != NULL && user >= 0 && shared != NULL);
  ck_assert_ptr_null (busy);
  ck_assert_ptr_nonnull (strstr (error->message, "this system uses the device itself"));
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("output, killed");
  TCase *core = tcase_create ("output, killed");
  TCase *root = tcase_create ("output, as root");
  tcase_add_checked_fixture (core, unit_make_folder, unit_drop_folder);
  tcase_add_checked_fixture (root, unit_make_folder, unit_drop_folder);
  tcase_set_timeout (core, 300);
  tcase_set_timeout (root, 60);
  tcase_add_test (core, a_signal_leaves_nothing_and_ends_the_process);
  tcase_add_test (core, a_signal_in_another_thread_does_the_same);
  tcase_add_test (core, a_signal_waits_while_it_is_held_off);
  tcase_add_test (core, ignored_signals_and_foreign_handlers_stay);
  tcase_add_test (core, a_signal_to_a_forked_child_removes_nothing);
  tcase_add_test (core, a_signal_at_any_time_leaves_nothing);
  tcase_add_test (core, a_kill_at_any_time_leaves_at_most_a_leftover);
  tcase_add_test (core, of_two_at_once_one_writes);
  tcase_add_test (core, without_noreplace_links_publish);
  tcase_add_test (core, without_links_a_placeholder_publishes);
  tcase_add_test (core, what_cannot_be_flushed_is_not_published);
  tcase_add_test (core, a_folder_that_cannot_be_flushed_is_an_error);
  tcase_add_test (core, a_folder_without_fsync_is_flushed_with_its_file_system);
  tcase_add_test (core, a_rename_that_fails_leaves_the_old);
  tcase_add_test (core, what_was_done_is_done_whatever_was_answered);
  suite_add_tcase (suite, core);
  suite_add_tcase (suite, root);
  if (geteuid () != 0)
    return unit_run (suite);
  /* They need loop devices. */
  tcase_add_test (root, no_copy_on_write_is_kept);
  tcase_add_test (root, a_device_in_use_is_refused_where_that_is_asked);
  return unit_run (suite);
}
