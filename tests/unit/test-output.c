/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit-output.h"

#include <grp.h>
#include <linux/fs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/xattr.h>

#define ACL "system.posix_acl_access"
#define DEFAULT_ACL "system.posix_acl_default"
#define NOBODY 65534

/* user::rw-, user:65534:rw-, group::r--, mask::rw-, other::--- */
static const guint8 some_acl[]
    = { 2,    0,    0,    0, /* the version */
        1,    0,    6,    0,    0xff, 0xff, 0xff, 0xff, 2,    0,    6,    0,   0xfe, 0xff,
        0,    0,    4,    0,    4,    0,    0xff, 0xff, 0xff, 0xff, 0x10, 0,   6,    0,
        0xff, 0xff, 0xff, 0xff, 0x20, 0,    0,    0,    0xff, 0xff, 0xff, 0xff };

/* ---- appearing ------------------------------------------------------------------------------ */

START_TEST (a_new_target_appears_at_the_end)
{
  g_autoptr (ImgOutput) output = unit_begin_well (target);
  unit_fill (output);
  ck_assert (!unit_exists (target));
  ck_assert_uint_eq (unit_mode (part), 0600);
  ck_assert_str_eq (img_output_part_path (output), part);
  unit_publish_well (output);
  unit_expect_content (target, NEW);
  ck_assert_uint_eq (unit_mode (target), 0644);
  ck_assert_uint_eq (unit_count_files (), 1);
}
END_TEST

START_TEST (what_is_not_published_is_removed)
{
  unit_write (target, OLD);
  ImgOutput *output = unit_begin_well (target);
  unit_fill (output);
  ck_assert (unit_exists (part));
  img_output_free (output);
  unit_expect_content (target, OLD);
  ck_assert_uint_eq (unit_count_files (), 1);
}
END_TEST

START_TEST (an_old_target_stays_until_the_end)
{
  struct stat before, after;
  unit_write (target, OLD);
  ck_assert_int_eq (chmod (target, 0640), 0);
  ck_assert_int_eq (stat (target, &before), 0);
  g_autoptr (ImgOutput) output = unit_begin_well (target);
  unit_fill (output);
  unit_expect_content (target, OLD);
  ck_assert_uint_eq (unit_mode (part), 0600);
  unit_publish_well (output);
  unit_expect_content (target, NEW);
  ck_assert_int_eq (stat (target, &after), 0);
  ck_assert_uint_ne (after.st_ino, before.st_ino);
  ck_assert_uint_eq (after.st_mode, before.st_mode);
  ck_assert_uint_eq (unit_count_files (), 1);
}
END_TEST

START_TEST (each_kind_of_locking_writes)
{
  static const ImgLocking modes[]
      = { IMG_LOCKING_AUTO, IMG_LOCKING_ON, IMG_LOCKING_OFF, IMG_LOCKING_POSIX };
  for (guint i = 0; i < 2 * G_N_ELEMENTS (modes); i++)
    {
      ImgOutputParams params = unit_params (modes[i / 2]);
      params.is_durable = i % 2 == 0;
      g_autoptr (ImgOutput) output = unit_begin (target, &params, NULL);
      ck_assert_ptr_nonnull (output);
      unit_fill (output);
      unit_publish_well (output);
      unit_expect_content (target, NEW);
      ck_assert_uint_eq (unit_count_files (), 1);
      ck_assert_int_eq (truncate (target, 0), 0);
    }
}
END_TEST

START_TEST (the_mode_of_a_new_target_is_narrowed_by_the_umask)
{
  static const struct
  {
    mode_t umask, asked, wanted;
  } rows[] = { { 022, 0666, 0644 }, { 077, 0666, 0600 }, { 0, 0666, 0666 },
               { 022, 0600, 0600 }, { 0, 0640, 0640 },   { 0777, 0666, 0 } };
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      ImgOutputParams params = unit_params (IMG_LOCKING_AUTO);
      params.mode = rows[i].asked;
      umask (rows[i].umask);
      g_autoptr (ImgOutput) output = unit_begin (target, &params, NULL);
      ck_assert_ptr_nonnull (output);
      ck_assert_uint_eq (unit_mode (part), 0600);
      unit_publish_well (output);
      ck_assert_uint_eq (unit_mode (target), rows[i].wanted);
      (void)g_unlink (target);
    }
}
END_TEST

START_TEST (a_default_acl_counts_instead_of_the_umask)
{
  g_autofree char *plain = unit_in_folder ("plain");
  guint8 found[2][64];
  umask (077);
  ck_assert_int_eq (setxattr (folder, DEFAULT_ACL, some_acl, sizeof some_acl, 0), 0);
  close (open (plain, O_CREAT | O_WRONLY | O_CLOEXEC, 0666));
  unit_write_output (target);
  ck_assert_uint_eq (unit_mode (target), unit_mode (plain));
  ck_assert_uint_eq (unit_mode (target), 0660);
  ssize_t length = getxattr (target, ACL, found[0], sizeof found[0]);
  ck_assert_int_eq (getxattr (plain, ACL, found[1], sizeof found[1]), length);
  ck_assert_int_gt (length, 0);
  ck_assert_int_eq (memcmp (found[0], found[1], (gsize)length), 0);
}
END_TEST

/* ---- names ---------------------------------------------------------------------------------- */

START_TEST (symbolic_links_lead_to_the_file_that_is_replaced)
{
  g_autofree char *sub = unit_in_folder ("sub");
  g_autofree char *real = unit_in_folder ("sub/real.raw");
  g_autofree char *middle = unit_in_folder ("sub/middle");
  ck_assert_int_eq (mkdir (sub, 0755), 0);
  ck_assert_int_eq (symlink ("sub/middle", target), 0);
  ck_assert_int_eq (symlink (real, middle), 0);
  /* First it is not there: the file that would be created; then it is replaced. */
  for (guint round = 0; round < 2; round++)
    {
      g_autofree char *real_part = unit_in_folder ("sub/.real.raw.imgtool-part");
      g_autofree char *told = img_output_part_path_of (target);
      g_autoptr (ImgOutput) output = unit_begin_well (target);
      ck_assert (unit_exists (real_part));
      ck_assert_str_eq (told, real_part);
      unit_fill (output);
      unit_publish_well (output);
      unit_expect_content (real, NEW);
      ck_assert (!unit_exists (real_part));
      ck_assert (g_file_test (target, G_FILE_TEST_IS_SYMLINK));
      ck_assert_int_eq (truncate (real, 0), 0);
    }
  (void)g_unlink (real);
  (void)g_unlink (middle);
  (void)g_rmdir (sub);
}
END_TEST

START_TEST (a_relative_name_is_enough)
{
  char before[4096];
  ck_assert_ptr_nonnull (getcwd (before, sizeof before));
  ck_assert_int_eq (chdir (folder), 0);
  unit_write_output ("t.raw");
  unit_expect_content (target, NEW);
  ck_assert_int_eq (chdir (before), 0);
}
END_TEST

START_TEST (names_that_cannot_be_written_are_refused)
{
  g_autofree char *loop = unit_in_folder ("loop");
  g_autofree char *slash = unit_in_folder ("new/");
  g_autofree char *nowhere = unit_in_folder ("nowhere/t.raw");
  ck_assert_int_eq (symlink ("loop", loop), 0);
  unit_expect_refusal (loop, "Too many levels", 1);
  unit_expect_refusal (slash, "Is a directory", 1);
  unit_expect_refusal (nowhere, "No such file or directory", 1);
  ck_assert_ptr_null (img_output_part_path_of (nowhere));
}
END_TEST

START_TEST (a_long_name_has_a_part_file_too)
{
  char name[256] = "";
  memset (name, 'n', 255);
  g_autofree char *path = unit_in_folder (name);
  name[254] = 'm';
  g_autofree char *other_path = unit_in_folder (name);
  g_autofree char *told = img_output_part_path_of (path);
  g_autoptr (ImgOutput) output = unit_begin_well (path);
  g_autoptr (ImgOutput) other = unit_begin_well (other_path);
  ck_assert_str_eq (img_output_part_path (output), told);
  ck_assert_str_ne (img_output_part_path (output), img_output_part_path (other));
  unit_fill (output);
  unit_publish_well (output);
  unit_expect_content (path, NEW);
  ck_assert_uint_eq (unit_count_files (), 2);
  g_autofree char *last = g_path_get_basename (img_output_part_path (other));
  ck_assert_uint_le (strlen (last), 255);
  ck_assert (g_str_has_suffix (last, ".imgtool-part"));
}
END_TEST

/* Of a long name no character is cut in two. */
START_TEST (a_long_name_stays_text)
{
  for (guint shift = 0; shift < 3; shift++)
    {
      g_autoptr (GString) name = g_string_new (NULL);
      for (guint i = 0; i < shift; i++)
        g_string_append_c (name, 'x');
      while (name->len + strlen ("€") <= 255)
        g_string_append (name, "€");
      g_autofree char *path = unit_in_folder (name->str);
      g_autoptr (ImgOutput) output = unit_begin_well (path);
      ck_assert (g_utf8_validate (img_output_part_path (output), -1, NULL));
    }
}
END_TEST

/* ---- what is in the way of the part file ---------------------------------------------------- */

START_TEST (a_leftover_is_replaced)
{
  struct stat before, after;
  unit_write (part, "half of something");
  ck_assert_int_eq (stat (part, &before), 0);
  int keeper = open (part, O_RDONLY | O_CLOEXEC); /* so that the inode is not used again */
  g_autoptr (ImgOutput) output = unit_begin_well (target);
  ck_assert_int_eq (stat (part, &after), 0);
  ck_assert_uint_ne (before.st_ino, after.st_ino);
  ck_assert_int_eq (after.st_size, 0);
  unit_publish_well (output);
  unit_expect_content (target, "");
  close (keeper);
}
END_TEST

START_TEST (an_empty_leftover_is_replaced_when_it_is_not_new)
{
  gint64 begin = g_get_monotonic_time ();
  unit_write (part, "");
  unit_write_output (target);
  ck_assert_int_ge (g_get_monotonic_time () - begin, 150 * G_TIME_SPAN_MILLISECOND);
  unit_expect_content (target, NEW);
}
END_TEST

START_TEST (what_is_no_leftover_is_left_alone)
{
  g_autofree char *other = unit_in_folder ("other");
  unit_write (other, OLD);
  ck_assert_int_eq (mkdir (part, 0755), 0);
  unit_expect_refusal (target, "is no regular file, and was left alone", 2);
  ck_assert_int_eq (g_rmdir (part), 0);
  ck_assert_int_eq (symlink ("other", part), 0);
  unit_expect_refusal (target, "is no regular file, and was left alone", 2);
  ck_assert_int_eq (g_unlink (part), 0);
  ck_assert_int_eq (mkfifo (part, 0600), 0);
  unit_expect_refusal (target, "is no regular file, and was left alone", 2);
  ck_assert_int_eq (g_unlink (part), 0);
  ck_assert_int_eq (link (other, part), 0);
  unit_expect_refusal (target, "has more than one name (hard links), and was left alone", 2);
  unit_expect_content (other, OLD);
}
END_TEST

START_TEST (a_part_file_in_use_here_is_left_alone)
{
  static const ImgLocking modes[] = { IMG_LOCKING_AUTO, IMG_LOCKING_POSIX };
  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    {
      ImgOutputParams params = unit_params (modes[i]);
      ImgFileParams reading = { .locking = modes[i],
                                .permissions = img_use_permissions (IMG_USE_CONVERT_FROM, TRUE) };
      g_autoptr (GError) error = NULL;
      unit_write (part, OLD);
      g_autoptr (ImgFile) source = img_file_open (part, &reading, NULL);
      ck_assert_ptr_null (unit_begin (target, &params, &error));
      ck_assert_ptr_nonnull (strstr (error->message, "is in use by this command"));
      ck_assert (img_file_verify_lock (source, NULL, NULL));
      unit_expect_content (part, OLD);
    }
}
END_TEST

START_TEST (a_locked_part_file_is_another_run)
{
  ImgOutputParams params = unit_params (IMG_LOCKING_AUTO);
  g_autoptr (GError) error = NULL;
  unit_write (part, OLD);
  int fd = open (part, O_RDWR | O_CLOEXEC);
  g_autoptr (ImgLock) lock
      = img_lock_take (fd, part, IMG_LOCKING_AUTO, params.permissions, IMG_WAIT_NONE, NULL);
  ck_assert_ptr_nonnull (lock);
  ck_assert_ptr_null (unit_begin (target, &params, &error));
  ck_assert (g_error_matches (error, IMG_ERROR, IMG_ERROR_LOCKED));
  ck_assert_ptr_nonnull (strstr (error->message, "another run is writing"));
  ck_assert_ptr_nonnull (strstr (error->message, "Failed to get"));
  unit_expect_content (part, OLD);
  close (fd);
}
END_TEST

START_TEST (without_locks_names_are_random_and_nobody_elses_goes)
{
  ImgOutputParams params = unit_params (IMG_LOCKING_OFF);
  unit_write (part, OLD);
  g_autoptr (ImgOutput) a = unit_begin (target, &params, NULL);
  g_autoptr (ImgOutput) b = unit_begin (target, &params, NULL);
  ck_assert (a != NULL && b != NULL);
  ck_assert_str_ne (img_output_part_path (a), img_output_part_path (b));
  ck_assert_uint_eq (unit_count_files (), 3);
  unit_fill (a);
  unit_publish_well (a);
  unit_expect_unpublished (b, "it has appeared meanwhile, and was left alone");
  unit_expect_content (target, NEW);
  unit_expect_content (part, OLD);
}
END_TEST

/* ---- what cannot be replaced ---------------------------------------------------------------- */

START_TEST (hard_links_are_refused)
{
  g_autofree char *other = unit_in_folder ("other");
  unit_write (target, OLD);
  ck_assert_int_eq (link (target, other), 0);
  unit_expect_refusal (target, "it has 2 names", 2);
  unit_expect_refusal (target, "--in-place", 2);
  unit_expect_content (other, OLD);
}
END_TEST

START_TEST (an_interrupted_publishing_is_finished)
{
  unit_write (target, OLD);
  ck_assert_int_eq (link (target, part), 0);
  g_autoptr (ImgOutput) output = unit_begin_well (target);
  unit_fill (output);
  unit_publish_well (output);
  unit_expect_content (target, NEW);
  ck_assert_uint_eq (unit_count_files (), 1);
}
END_TEST

START_TEST (what_appears_meanwhile_is_left_alone)
{
  g_autoptr (ImgOutput) output = unit_begin_well (target);
  unit_fill (output);
  unit_write (target, "somebody else's");
  unit_expect_unpublished (output, "it has appeared meanwhile, and was left alone");
  unit_expect_content (target, "somebody else's");
  g_clear_pointer (&output, img_output_free);
  ck_assert_uint_eq (unit_count_files (), 1);
  ImgOutputParams params = unit_params (IMG_LOCKING_AUTO);
  g_autoptr (GError) error = NULL;
  ck_assert_ptr_null (img_output_new (target, NULL, &params, &error));
  ck_assert_ptr_nonnull (strstr (error->message, "it has appeared meanwhile"));
}
END_TEST

START_TEST (what_takes_the_name_meanwhile_is_left_alone)
{
  g_autofree char *other = unit_in_folder ("other");
  unit_write (target, OLD);
  g_autoptr (ImgOutput) output = unit_begin_well (target);
  unit_write (other, "somebody else's");
  ck_assert_int_eq (rename (other, target), 0);
  unit_expect_unpublished (output, "it was removed or replaced meanwhile");
  unit_expect_content (target, "somebody else's");
  ck_assert_int_eq (g_unlink (target), 0);
  unit_expect_unpublished (output, "it was removed or replaced meanwhile");
  ck_assert (!unit_exists (target));
}
END_TEST

START_TEST (a_part_file_that_is_gone_is_noticed)
{
  g_autoptr (ImgOutput) output = unit_begin_well (target);
  ck_assert_int_eq (g_unlink (part), 0);
  unit_expect_unpublished (output, "was removed or replaced meanwhile");
  unit_write (part, "somebody else's");
  unit_expect_unpublished (output, "was removed or replaced meanwhile");
  g_clear_pointer (&output, img_output_free);
  unit_expect_content (part, "somebody else's");
  ck_assert (!unit_exists (target));
}
END_TEST

START_TEST (a_lost_lock_is_not_published)
{
  ImgOutputParams params = unit_params (IMG_LOCKING_POSIX);
  unit_write (target, OLD);
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr (ImgOutput) output = unit_begin (target, &params, NULL);
      ck_assert_ptr_nonnull (output);
      close (open (i == 0 ? part : target, O_RDONLY | O_CLOEXEC));
      unit_expect_unpublished (output, "was lost");
      unit_expect_content (target, OLD);
    }
}
END_TEST

/* ---- what is kept --------------------------------------------------------------------------- */

START_TEST (extended_attributes_and_acls_are_kept)
{
  guint8 acl[64];
  char value[8];
  unit_write (target, OLD);
  ck_assert_int_eq (setxattr (target, "user.note", "kept", 4, 0), 0);
  ck_assert_int_eq (setxattr (target, "user.empty", "", 0, 0), 0);
  ck_assert_int_eq (setxattr (target, ACL, some_acl, sizeof some_acl, 0), 0);
  ck_assert_uint_eq (unit_mode (target), 0660);
  g_autoptr (ImgOutput) output = unit_begin_well (target);
  ck_assert_uint_eq (unit_mode (part), 0600);
  ck_assert_int_eq (setxattr (target, "user.late", "too", 3, 0), 0);
  unit_fill (output);
  unit_publish_well (output);
  unit_expect_content (target, NEW);
  ck_assert_uint_eq (unit_mode (target), 0660);
  ck_assert_int_eq (getxattr (target, "user.note", value, sizeof value), 4);
  ck_assert_int_eq (memcmp (value, "kept", 4), 0);
  ck_assert_int_eq (getxattr (target, "user.empty", value, sizeof value), 0);
  ck_assert_int_eq (getxattr (target, "user.late", value, sizeof value), 3);
  ck_assert_int_eq (getxattr (target, ACL, acl, sizeof acl), (int)sizeof some_acl);
  ck_assert_int_eq (memcmp (acl, some_acl, sizeof some_acl), 0);
}
END_TEST

/* An old file without an ACL does not get one because its folder has a default by now. */
START_TEST (a_default_acl_does_not_change_an_old_target)
{
  unit_write (target, OLD);
  ck_assert_int_eq (chmod (target, 0604), 0);
  ck_assert_int_eq (setxattr (folder, DEFAULT_ACL, some_acl, sizeof some_acl, 0), 0);
  unit_write_output (target);
  unit_expect_content (target, NEW);
  ck_assert_uint_eq (unit_mode (target), 0604);
  ck_assert_int_eq (getxattr (target, ACL, NULL, 0), -1);
}
END_TEST

static int
flags_of (const char *path)
{
  int flags = -1, fd = open (path, O_RDONLY | O_CLOEXEC);
  ck_assert_int_eq (ioctl (fd, FS_IOC_GETFLAGS, &flags), 0);
  close (fd);
  return flags;
}

static void
add_flags (const char *path, int added)
{
  int flags = flags_of (path) | added, fd = open (path, O_RDONLY | O_CLOEXEC);
  ck_assert_int_eq (ioctl (fd, FS_IOC_SETFLAGS, &flags), 0);
  close (fd);
}

static void
drop_flags (const char *path, int dropped)
{
  int flags = flags_of (path) & ~dropped, fd = open (path, O_RDONLY | O_CLOEXEC);
  ck_assert_int_eq (ioctl (fd, FS_IOC_SETFLAGS, &flags), 0);
  close (fd);
}

START_TEST (flags_are_kept)
{
  unit_write (target, OLD);
  add_flags (target, FS_NODUMP_FL | FS_NOATIME_FL);
  unit_write_output (target);
  unit_expect_content (target, NEW);
  ck_assert_int_eq (flags_of (target) & (FS_NODUMP_FL | FS_NOATIME_FL | FS_SYNC_FL),
                    FS_NODUMP_FL | FS_NOATIME_FL);
}
END_TEST

/* ---- as root -------------------------------------------------------------------------------- */

static void
become_nobody (void)
{
  ck_assert_int_eq (setgroups (0, NULL), 0);
  ck_assert_int_eq (setgid (NOBODY), 0);
  ck_assert_int_eq (setuid (NOBODY), 0);
}

START_TEST (root_keeps_the_owner)
{
  struct stat st;
  unit_write (target, OLD);
  ck_assert_int_eq (chown (target, 4711, 4712), 0);
  ck_assert_int_eq (chmod (target, 02664), 0);
  g_autoptr (ImgOutput) output = unit_begin_well (target);
  ck_assert_int_eq (stat (part, &st), 0);
  ck_assert_uint_eq (st.st_uid, 0);
  unit_publish_well (output);
  ck_assert_int_eq (stat (target, &st), 0);
  ck_assert_uint_eq (st.st_uid, 4711);
  ck_assert_uint_eq (st.st_gid, 4712);
  ck_assert_uint_eq (unit_mode (target), 02664);
}
END_TEST

static void
expect_refusals_as_nobody (void)
{
  become_nobody ();
  unit_expect_refusal (target, "its owner cannot be kept", 1);
  unit_expect_refusal (target, "--in-place", 1);
}

START_TEST (another_owner_is_refused)
{
  unit_write (target, OLD);
  ck_assert_int_eq (chmod (target, 0666), 0);
  ck_assert_int_eq (chmod (folder, 0777), 0);
  unit_expect_child (expect_refusals_as_nobody);
}
END_TEST

static void
expect_no_way_into_the_folder (void)
{
  g_autofree char *new_one = unit_in_folder ("new");
  become_nobody ();
  unit_expect_refusal (target, "its folder cannot be written", 1);
  unit_expect_refusal (target, "--in-place", 1);
  unit_expect_refusal (new_one, "cannot create", 1);
  ck_assert_int_eq (chmod (target, 0444), 0);
  unit_expect_refusal (target, "for writing: Permission denied", 1);
}

START_TEST (a_folder_that_may_not_be_written_is_refused)
{
  unit_write (target, OLD);
  ck_assert_int_eq (chown (target, NOBODY, NOBODY), 0);
  ck_assert_int_eq (chmod (folder, 0755), 0);
  unit_expect_child (expect_no_way_into_the_folder);
}
END_TEST

static void
write_as_nobody (void)
{
  become_nobody ();
  unit_write_output (target);
  ck_assert_uint_eq (unit_mode (target), 0644);
}

/* A folder that may be written and not read: it cannot be opened for fsync(2). */
START_TEST (a_folder_that_cannot_be_read_will_do)
{
  ck_assert_int_eq (chmod (folder, 0733), 0);
  unit_expect_child (write_as_nobody);
  unit_expect_content (target, NEW);
}
END_TEST

static void
expect_foreign_part (void)
{
  become_nobody ();
  unit_expect_refusal (target, "belongs to another user, and was left alone", 1);
}

START_TEST (a_part_file_of_somebody_else_is_left_alone)
{
  unit_write (part, OLD);
  ck_assert_int_eq (chmod (part, 0666), 0);
  ck_assert_int_eq (chmod (folder, 0777), 0);
  unit_expect_child (expect_foreign_part);
  unit_expect_content (part, OLD);
  /* But a run may have been killed when it had given the finished file to the old one's owner. */
  unit_write (target, OLD);
  ck_assert_int_eq (chown (target, NOBODY, NOBODY), 0);
  ck_assert_int_eq (chown (part, NOBODY, NOBODY), 0);
  unit_write_output (target);
  unit_expect_content (target, NEW);
}
END_TEST

static void
expect_mount_point (void)
{
  g_autofree char *other = unit_in_folder ("other");
  ck_assert_int_eq (unshare (CLONE_NEWNS), 0);
  ck_assert_int_eq (mount ("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
  ck_assert_int_eq (mount (other, target, NULL, MS_BIND, NULL), 0);
  unit_expect_refusal (target, "a bind mount", 2);
  unit_expect_refusal (target, "--in-place", 2);
}

START_TEST (a_bind_mounted_file_is_refused)
{
  g_autofree char *other = unit_in_folder ("other");
  unit_write (target, OLD);
  unit_write (other, OLD);
  unit_expect_child (expect_mount_point);
}
END_TEST

START_TEST (immutable_files_and_folders_are_refused)
{
  g_autofree char *new_one = unit_in_folder ("new");
  unit_write (target, OLD);
  add_flags (folder, FS_APPEND_FL);
  unit_expect_refusal (target, "its folder is append-only", 1);
  unit_expect_refusal (new_one, "its folder is append-only", 1);
  drop_flags (folder, FS_APPEND_FL);
  ImgOutputParams params = unit_params (IMG_LOCKING_AUTO);
  ImgFileParams opening = { .is_writable = TRUE, .permissions = params.permissions };
  g_autoptr (GError) error = NULL;
  ImgFile *replaced = img_file_open (target, &opening, NULL);
  add_flags (target, FS_IMMUTABLE_FL);
  ImgOutput *output = img_output_new (target, replaced, &params, &error);
  drop_flags (target, FS_IMMUTABLE_FL);
  ck_assert_ptr_null (output);
  ck_assert_ptr_nonnull (strstr (error->message, "it is immutable"));
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("output");
  TCase *core = tcase_create ("output");
  TCase *root = tcase_create ("output as root");
  tcase_add_checked_fixture (core, unit_make_folder, unit_drop_folder);
  tcase_add_checked_fixture (root, unit_make_folder, unit_drop_folder);
  tcase_set_timeout (core, 60);
  tcase_set_timeout (root, 60);
  tcase_add_test (core, a_new_target_appears_at_the_end);
  tcase_add_test (core, what_is_not_published_is_removed);
  tcase_add_test (core, an_old_target_stays_until_the_end);
  tcase_add_test (core, each_kind_of_locking_writes);
  tcase_add_test (core, the_mode_of_a_new_target_is_narrowed_by_the_umask);
  tcase_add_test (core, a_default_acl_counts_instead_of_the_umask);
  tcase_add_test (core, symbolic_links_lead_to_the_file_that_is_replaced);
  tcase_add_test (core, a_relative_name_is_enough);
  tcase_add_test (core, names_that_cannot_be_written_are_refused);
  tcase_add_test (core, a_long_name_has_a_part_file_too);
  tcase_add_test (core, a_long_name_stays_text);
  tcase_add_test (core, a_leftover_is_replaced);
  tcase_add_test (core, an_empty_leftover_is_replaced_when_it_is_not_new);
  tcase_add_test (core, what_is_no_leftover_is_left_alone);
  tcase_add_test (core, a_part_file_in_use_here_is_left_alone);
  tcase_add_test (core, a_locked_part_file_is_another_run);
  tcase_add_test (core, without_locks_names_are_random_and_nobody_elses_goes);
  tcase_add_test (core, hard_links_are_refused);
  tcase_add_test (core, an_interrupted_publishing_is_finished);
  tcase_add_test (core, what_appears_meanwhile_is_left_alone);
  tcase_add_test (core, what_takes_the_name_meanwhile_is_left_alone);
  tcase_add_test (core, a_part_file_that_is_gone_is_noticed);
  tcase_add_test (core, a_lost_lock_is_not_published);
  tcase_add_test (core, extended_attributes_and_acls_are_kept);
  tcase_add_test (core, a_default_acl_does_not_change_an_old_target);
  tcase_add_test (core, flags_are_kept);
  suite_add_tcase (suite, core);
  suite_add_tcase (suite, root);
  if (geteuid () != 0)
    return unit_run (suite);
  /* They make other users and mounts. */
  tcase_add_test (root, root_keeps_the_owner);
  tcase_add_test (root, another_owner_is_refused);
  tcase_add_test (root, a_folder_that_may_not_be_written_is_refused);
  tcase_add_test (root, a_folder_that_cannot_be_read_will_do);
  tcase_add_test (root, a_part_file_of_somebody_else_is_left_alone);
  tcase_add_test (root, a_bind_mounted_file_is_refused);
  tcase_add_test (root, immutable_files_and_folders_are_refused);
  return unit_run (suite);
}
