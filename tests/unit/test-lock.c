/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <sys/wait.h>

#include "base/fd.h"
#include "lock/locks-line.h"
#include "lock/probe.h"
#include "lock/reach.h"
#include "lock/use.h"
#include "lock/verify.h"

#define CR IMG_PERM_CONSISTENT_READ
#define W IMG_PERM_WRITE
#define RS IMG_PERM_RESIZE

#define WRITER          \
  {                     \
    CR | W | RS, W | RS \
  }
#define READER \
  {            \
    CR, W | RS \
  }
#define SHARER \
  {            \
    CR, 0      \
  }
static const ImgPermSet writer = WRITER, reader = READER, sharer = SHARER;

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

static int
open_file (void)
{
  int fd = open (path, O_RDWR | O_CLOEXEC);
  ck_assert_int_ge (fd, 0);
  return fd;
}

/* The locked bytes of the file as "100-101 103", seen by another description (OFD locks) or, for
 * POSIX locks, by another process. */
static char *
locked_bytes (void)
{
  g_auto (ImgFd) fd = open (path, O_RDONLY | O_CLOEXEC);
  g_autoptr (ImgProbe) probe = img_probe_new (fd, TRUE);
  GString *text = g_string_new (NULL);
  for (guint i = 0; i < probe->ranges->len; i++)
    {
      const ImgLockRange *range = &g_array_index (probe->ranges, ImgLockRange, i);
      g_string_append_printf (text, "%s%d", i > 0 ? " " : "", (int)range->start);
      if (range->end > range->start)
        g_string_append_printf (text, "-%d", (int)range->end);
    }
  return g_string_free (text, FALSE);
}

static void
assert_locked (const char *expected)
{
  g_autofree char *bytes = locked_bytes ();
  ck_assert_str_eq (bytes, expected);
}

START_TEST (sets_become_qemus_bytes)
{
  g_auto (ImgFd) fd = open_file ();
  g_autoptr (GError) error = NULL;
  ImgLock *lock = img_lock_take (fd, "x", IMG_LOCKING_AUTO, writer, IMG_WAIT_NONE, &error);
  ck_assert_ptr_nonnull (lock);
  ck_assert_int_eq (img_lock_kind (lock), IMG_LOCK_OFD);
  ck_assert_ptr_null (img_lock_warning (lock));
  assert_locked ("100-101 103 201 203");
  img_lock_release (lock);
  assert_locked ("");
}
END_TEST

START_TEST (every_pair_of_sets_conflicts_as_qemu_says)
{
  static const ImgPermSet sets[]
      = { { 0, 0 }, SHARER, READER, WRITER, { CR | W, W }, { 0, W | RS } };
  for (guint a = 0; a < G_N_ELEMENTS (sets); a++)
    for (guint b = 0; b < G_N_ELEMENTS (sets); b++)
      {
        g_auto (ImgFd) fd_a = open_file ();
        g_auto (ImgFd) fd_b = open_file ();
        g_autoptr (GError) error = NULL;
        g_autoptr (ImgLock) lock_a
            = img_lock_take (fd_a, "a", IMG_LOCKING_AUTO, sets[a], IMG_WAIT_NONE, &error);
        ck_assert_ptr_nonnull (lock_a);
        g_autoptr (ImgLock) lock_b
            = img_lock_take (fd_b, "b", IMG_LOCKING_AUTO, sets[b], IMG_WAIT_NONE, &error);
        gboolean may = !(sets[a].uses & sets[b].forbids) && !(sets[a].forbids & sets[b].uses);
        ck_assert_msg ((lock_b != NULL) == may, "pair %u %u", a, b);
        if (!may)
          ck_assert (g_error_matches (error, IMG_ERROR, IMG_ERROR_LOCKED));
      }
}
END_TEST

START_TEST (messages_are_qemus)
{
  g_auto (ImgFd) fd_a = open_file ();
  g_auto (ImgFd) fd_b = open_file ();
  g_autoptr (GError) error = NULL;
  g_autoptr (ImgLock) holder
      = img_lock_take (fd_a, "a", IMG_LOCKING_AUTO, writer, IMG_WAIT_NONE, &error);
  ck_assert_ptr_nonnull (holder);
  ck_assert_ptr_null (img_lock_take (fd_b, "b", IMG_LOCKING_AUTO, writer, IMG_WAIT_NONE, &error));
  ck_assert_str_eq (error->message, "cannot open 'b': Failed to get \"write\" lock");
  g_clear_error (&error);
  ck_assert_ptr_null (img_lock_take (fd_b, "b", IMG_LOCKING_AUTO, reader, IMG_WAIT_NONE, &error));
  ck_assert_str_eq (error->message, "cannot open 'b': Failed to get shared \"write\" lock");
}
END_TEST

START_TEST (a_write_lock_of_others_is_a_conflict)
{
  struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
  g_auto (ImgFd) fd_a = open_file ();
  g_auto (ImgFd) fd_b = open_file ();
  g_autoptr (GError) error = NULL;
  ck_assert_int_eq (fcntl (fd_a, F_OFD_SETLK, &whole), 0);
  ck_assert_ptr_null (img_lock_take (fd_b, "b", IMG_LOCKING_ON, sharer, IMG_WAIT_NONE, &error));
  ck_assert (g_error_matches (error, IMG_ERROR, IMG_ERROR_LOCKED));
  ck_assert_str_eq (error->message, "cannot open 'b': Failed to lock byte 100");
}
END_TEST

START_TEST (a_failed_extension_keeps_what_was_held)
{
  g_auto (ImgFd) fd_a = open_file ();
  g_auto (ImgFd) fd_b = open_file ();
  g_autoptr (GError) error = NULL;
  g_autoptr (ImgLock) other
      = img_lock_take (fd_a, "a", IMG_LOCKING_AUTO, sharer, IMG_WAIT_NONE, &error);
  g_autoptr (ImgLock) lock
      = img_lock_take (fd_b, "b", IMG_LOCKING_AUTO, reader, IMG_WAIT_NONE, &error);
  ImgPermSet exclusive = { CR, CR };
  ck_assert (other != NULL && lock != NULL);
  ck_assert (!img_lock_extend (lock, exclusive, IMG_WAIT_NONE, &error));
  ck_assert_uint_eq (img_lock_held (lock).forbids, W | RS);
  assert_locked ("100 201 203");
  ck_assert (img_lock_extend (lock, writer, IMG_WAIT_NONE, NULL));
  assert_locked ("100 100-101 103 201 203");
}
END_TEST

START_TEST (waiting_ends_when_the_holder_goes)
{
  g_auto (ImgFd) fd = open_file ();
  g_autoptr (GError) error = NULL;
  int pipe_fds[2];
  char ready;
  ck_assert_int_eq (pipe (pipe_fds), 0);
  pid_t child = fork ();
  if (child == 0)
    {
      ImgLock *lock
          = img_lock_take (open_file (), "c", IMG_LOCKING_AUTO, writer, IMG_WAIT_NONE, NULL);
      _exit (lock != NULL && img_fd_write_all (pipe_fds[1], "x", 1) && !usleep (400000) ? 0 : 1);
    }
  ck_assert_int_eq (img_fd_read_some (pipe_fds[0], &ready, 1), 1);
  gint64 begin = g_get_monotonic_time ();
  ck_assert_ptr_null (
      img_lock_take (fd, "x", IMG_LOCKING_AUTO, writer, 50 * G_TIME_SPAN_MILLISECOND, &error));
  g_autoptr (ImgLock) lock
      = img_lock_take (fd, "x", IMG_LOCKING_AUTO, writer, 10 * G_TIME_SPAN_SECOND, NULL);
  ck_assert_ptr_nonnull (lock);
  ck_assert_int_lt (g_get_monotonic_time () - begin, 5 * G_TIME_SPAN_SECOND);
  ck_assert_int_gt (g_get_monotonic_time () - begin, 200 * G_TIME_SPAN_MILLISECOND);
  ck_assert_int_eq (waitpid (child, NULL, 0), child);
}
END_TEST

START_TEST (off_takes_nothing)
{
  g_auto (ImgFd) fd = open_file ();
  g_autoptr (ImgLock) lock = img_lock_take (fd, "x", IMG_LOCKING_OFF, writer, IMG_WAIT_NONE, NULL);
  ck_assert_int_eq (img_lock_kind (lock), IMG_LOCK_NONE);
  assert_locked ("");
}
END_TEST

static ImgLockState
verify_after (ImgLocking locking, gboolean disturb)
{
  g_auto (ImgFd) fd = open_file ();
  g_autoptr (ImgLock) lock = img_lock_take (fd, "x", locking, writer, IMG_WAIT_NONE, NULL);
  ck_assert_ptr_nonnull (lock);
  g_autoptr (ImgLockProof) proof = img_lock_proof_new (lock);
  ck_assert_int_eq (img_lock_verify (proof), IMG_LOCK_HELD);
  if (disturb)
    close (open_file ());
  return img_lock_verify (proof);
}

START_TEST (losing_posix_locks_is_noticed)
{
  ck_assert_int_eq (verify_after (IMG_LOCKING_POSIX, FALSE), IMG_LOCK_HELD);
  ck_assert_int_eq (verify_after (IMG_LOCKING_POSIX, TRUE), IMG_LOCK_LOST);
  ck_assert_int_eq (verify_after (IMG_LOCKING_AUTO, TRUE), IMG_LOCK_HELD);
}
END_TEST

START_TEST (a_signal_handler_can_unlock_everything)
{
  g_auto (ImgFd) fd_a = open_file ();
  g_autoptr (ImgLock) a = img_lock_take (fd_a, "a", IMG_LOCKING_AUTO, sharer, IMG_WAIT_NONE, NULL);
  g_auto (ImgFd) fd_b = open_file ();
  g_autoptr (ImgLock) b = img_lock_take (fd_b, "b", IMG_LOCKING_AUTO, reader, IMG_WAIT_NONE, NULL);
  ck_assert (a != NULL && b != NULL);
  img_lock_release (g_steal_pointer (&a));
  assert_locked ("100 201 203");
  img_lock_unlock_all ();
  assert_locked ("");
}
END_TEST

START_TEST (a_partial_loss_is_noticed)
{
  g_auto (ImgFd) fd = open_file ();
  g_autoptr (ImgLock) lock = img_lock_take (fd, "x", IMG_LOCKING_AUTO, writer, IMG_WAIT_NONE, NULL);
  g_autoptr (ImgLockProof) proof = img_lock_proof_new (lock);
  ck_assert_int_eq (img_unlock_byte (fd, IMG_LOCK_OFD, 201), 0);
  ck_assert_int_eq (img_lock_verify (proof), IMG_LOCK_LOST);
}
END_TEST

START_TEST (probing_walks_over_the_whole_file)
{
  static const struct
  {
    off_t start, length;
  } ranges[] = { { 0, 1 }, { 5, 10 }, { 100, 1 }, { 4000, 96 }, { 1000000, 0 } };
  g_auto (ImgFd) fd = open_file ();
  for (guint i = 0; i < G_N_ELEMENTS (ranges); i++)
    {
      struct flock lock = { .l_type = F_RDLCK,
                            .l_whence = SEEK_SET,
                            .l_start = ranges[i].start,
                            .l_len = ranges[i].length };
      ck_assert_int_eq (fcntl (fd, F_OFD_SETLK, &lock), 0);
    }
  g_auto (ImgFd) other = open_file ();
  g_autoptr (ImgProbe) probe = img_probe_new (other, TRUE);
  ck_assert_uint_eq (probe->ranges->len, G_N_ELEMENTS (ranges));
  for (guint i = 0; i < G_N_ELEMENTS (ranges); i++)
    ck_assert_uint_eq (g_array_index (probe->ranges, ImgLockRange, i).start,
                       (guint64)ranges[i].start);
  ck_assert_uint_eq (g_array_index (probe->ranges, ImgLockRange, 4).end, IMG_RANGE_TO_EOF);
  ck_assert_uint_eq (probe->used, CR);
  ck_assert_uint_eq (probe->forbidden, 0);
  ck_assert (probe->asked_posix && probe->asked_ofd);
}
END_TEST

START_TEST (lock_lines_are_parsed)
{
  ImgLocksLine line;
  ck_assert (img_locks_line_parse ("17: OFDLCK ADVISORY  READ -1 fe:00:11034827 100 101\n", &line));
  ck_assert_int_eq (line.kind, IMG_LOCKS_LINE_OFD);
  ck_assert_uint_eq (line.major, 0xfe);
  ck_assert_uint_eq (line.ino, 11034827);
  ck_assert_int_eq (line.range.pid, -1);
  ck_assert_uint_eq (line.range.end, 101);
  ck_assert (!line.range.is_write && !line.is_waiting);
  ck_assert (img_locks_line_parse (
      "1: -> POSIX  ADVISORY  WRITE 6931 00:1f:18446744073709551615 0 EOF", &line));
  ck_assert (line.is_waiting && line.range.is_write);
  ck_assert_uint_eq (line.ino, G_MAXUINT64);
  ck_assert_uint_eq (line.range.end, IMG_RANGE_TO_EOF);
  ck_assert (img_locks_line_parse ("2: LEASE  ACTIVE    READ 12 fe:00:1 0 EOF", &line));
  ck_assert_int_eq (line.kind, IMG_LOCKS_LINE_LEASE);
}
END_TEST

START_TEST (bad_lock_lines_are_refused)
{
  static const char *const bad[] = {
    "",
    "\n",
    ":",
    "1:",
    "1: POSIX",
    "1: POSIX ADVISORY WRITE",
    "1: POSIX ADVISORY WRITE x fe:00:1 0 0",
    "1: POSIX ADVISORY WRITE 1 fe:00 0 0",
    "1: POSIX ADVISORY WRITE 1 fe:00:1:2 0 0",
    "1: POSIX ADVISORY WRITE 1 fe:00:-1 0 0",
    "1: POSIX ADVISORY WRITE 1 fe:00:1 5",
    "1: POSIX ADVISORY WRITE 1 fe:00:1 5 4",
    "1: POSIX ADVISORY WRITE 1 fe:00:1 0 99999999999999999999",
    "1: POSIX ADVISORY WRITE 1 fe:00:1\n0 0",
    "1: OFDLCK ADVISORY READ -1 fe:00:1 1152921504606846976 1152921504606846976",
  };
  ImgLocksLine line;
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    ck_assert_msg (!img_locks_line_parse (bad[i], &line), "'%s' was taken", bad[i]);
}
END_TEST

START_TEST (the_mount_tells_how_far_locks_reach)
{
  static const struct
  {
    const char *type, *options;
    ImgLockSight sight;
    const char *reach;
    gboolean is_unsafe;
    const char *advice; /* part of it; NULL: there is none */
  } rows[] = {
    { "ext4", "rw,relatime", IMG_SIGHT_KERNEL, "host", FALSE, NULL },
    { "fuseblk", "rw", IMG_SIGHT_KERNEL, "host", FALSE, NULL },
    { "nfs4", "rw,vers=4.2,local_lock=none", IMG_SIGHT_KERNEL, "server", FALSE, NULL },
    { "nfs", "rw,vers=3,local_lock=none", IMG_SIGHT_KERNEL, "server", FALSE, NULL },
    { "nfs", "rw,vers=3,local_lock=flock", IMG_SIGHT_KERNEL, "server", FALSE, NULL },
    { "nfs", "rw,nolock,local_lock=all", IMG_SIGHT_KERNEL, "this-host", TRUE, "(nolock)" },
    { "nfs", "rw,local_lock=all", IMG_SIGHT_NONE, "this-host", TRUE, "(local_lock=all)" },
    { "nfs4", "rw,local_lock=posix", IMG_SIGHT_NONE, "this-host", TRUE, "(local_lock=posix)" },
    { "cifs", "rw,vers=3.1.1", IMG_SIGHT_SERVER, "mandatory", TRUE, "qcow2" },
    { "smb3", "rw", IMG_SIGHT_NONE, "mandatory", TRUE, "qcow2" },
    { "cifs", "rw,vers=3.1.1,nobrl", IMG_SIGHT_NONE, "this-host", TRUE, "(nobrl)" },
    { "cifs", "rw,vers=1.0,nounix", IMG_SIGHT_NONE, "this-host", TRUE, "(vers=1.0)" },
    { "cifs", "rw,vers=1.0,unix", IMG_SIGHT_NONE, "unknown", FALSE, "not known" },
    { "ceph", "rw", IMG_SIGHT_NONE, "server", FALSE, NULL },
    { "gfs2", "rw,localflocks", IMG_SIGHT_NONE, "this-host", TRUE, "(localflocks)" },
    { "9p", "rw,trans=virtio", IMG_SIGHT_KERNEL, "this-host", TRUE, "(trans=virtio)" },
    { "9p", "rw,trans=tcp", IMG_SIGHT_KERNEL, "unknown", FALSE, "not known" },
    { "virtiofs", "rw", IMG_SIGHT_NONE, "unknown", FALSE, "while somebody here holds one" },
    { "virtiofs", "rw", IMG_SIGHT_KERNEL, "this-mount", TRUE, "not told of locks" },
    { "fuse", "rw", IMG_SIGHT_NONE, "unknown", FALSE, "while somebody here holds one" },
    { "fuse.sshfs", "rw", IMG_SIGHT_KERNEL, "this-mount", TRUE, "fuse.sshfs" },
    { "fuse.glusterfs", "rw", IMG_SIGHT_SERVER, "server", FALSE, NULL },
    { "fuse.fuse-overlayfs", "rw", IMG_SIGHT_KERNEL, "this-mount", FALSE, "this mount" },
    { "fuse.a\nb", "rw", IMG_SIGHT_KERNEL, "this-mount", TRUE, "fuse.a\\nb" },
    { "overlay", "rw", IMG_SIGHT_KERNEL, "this-mount", FALSE, "another overlay" },
    { "newfs", "rw", IMG_SIGHT_KERNEL, "unknown", FALSE, "newfs" },
    { NULL, NULL, IMG_SIGHT_NONE, "unknown", FALSE, "not known" },
  };
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      ImgReach reach = img_reach_of (rows[i].type, rows[i].options, rows[i].sight);
      g_autofree char *advice = img_reach_advice (&reach, rows[i].type);
      const char *name = img_reach_name (reach.kind);
      ck_assert_msg (strcmp (name, rows[i].reach) == 0 && reach.is_unsafe == rows[i].is_unsafe,
                     "%s with %s: %s", rows[i].type, rows[i].options, name);
      ck_assert_msg (rows[i].advice == NULL
                         ? advice == NULL
                         : advice != NULL && strstr (advice, rows[i].advice) != NULL,
                     "%s with %s: '%s'", rows[i].type, rows[i].options, advice);
    }
}
END_TEST

START_TEST (permission_names_are_joined)
{
  g_autofree char *all = img_perm_names (0x1f), *none = img_perm_names (0);
  ck_assert_str_eq (all, "consistent read, write, write unchanged, resize, graph mod");
  ck_assert_str_eq (none, "nothing");
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("lock");
  TCase *take = tcase_create ("take"), *look = tcase_create ("look"), *text = tcase_create ("text");
  tcase_add_checked_fixture (take, make_file, drop_file);
  tcase_add_checked_fixture (look, make_file, drop_file);
  tcase_set_timeout (take, 60);
  tcase_add_test (take, sets_become_qemus_bytes);
  tcase_add_test (take, every_pair_of_sets_conflicts_as_qemu_says);
  tcase_add_test (take, messages_are_qemus);
  tcase_add_test (take, a_write_lock_of_others_is_a_conflict);
  tcase_add_test (take, a_failed_extension_keeps_what_was_held);
  tcase_add_test (take, waiting_ends_when_the_holder_goes);
  tcase_add_test (take, off_takes_nothing);
  tcase_add_test (take, a_signal_handler_can_unlock_everything);
  tcase_add_test (look, losing_posix_locks_is_noticed);
  tcase_add_test (look, a_partial_loss_is_noticed);
  tcase_add_test (look, probing_walks_over_the_whole_file);
  tcase_add_test (text, lock_lines_are_parsed);
  tcase_add_test (text, bad_lock_lines_are_refused);
  tcase_add_test (text, the_mount_tells_how_far_locks_reach);
  tcase_add_test (text, permission_names_are_joined);
  suite_add_tcase (suite, take);
  suite_add_tcase (suite, look);
  suite_add_tcase (suite, text);
  return unit_run (suite);
}
