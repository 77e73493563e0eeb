/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <string.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "disk/detect.h"
#include "engine/evidence.h"
#include "engine/verdict.h"
#include "base/mounts.h"
#include "holder/nfs-server.h"
#include "holder/process.h"

static char *
vm_name (const char *program, const char *value)
{
  const char *argv[] = { program, "-S", "-name", value, NULL };
  return img_process_vm_name (argv);
}

START_TEST (vm_names_are_found)
{
  static const struct
  {
    const char *value, *name;
  } rows[] = { { "web01", "web01" },
               { "guest=web01,debug-threads=on", "web01" },
               { "web01,process=x", "web01" },
               { "debug-threads=on,guest=web02", "web02" },
               { "a,,b", "a,b" },
               { "guest=a,,b,process=c", "a,b" },
               { "debug-threads=on", NULL },
               { "", NULL } };
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autofree char *name = vm_name ("/usr/bin/qemu-system-x86_64", rows[i].value);
      ck_assert_msg (g_strcmp0 (name, rows[i].name) == 0, "'%s' gave '%s'", rows[i].value, name);
    }
  g_autofree char *none = vm_name ("/usr/bin/find", "web01");
  ck_assert_ptr_null (none);
}
END_TEST

START_TEST (mount_lines_are_parsed)
{
  g_autoptr (ImgMount) mount = img_mount_parse (
      "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root ro,errors=continue");
  ck_assert_ptr_nonnull (mount);
  ck_assert_uint_eq (mount->id, 36);
  ck_assert_uint_eq (mount->major, 98);
  ck_assert_str_eq (mount->mount_point, "/mnt 2");
  ck_assert_str_eq (mount->type, "ext3");
  ck_assert_str_eq (mount->options, "rw,noatime,ro,errors=continue");
  ck_assert (mount->is_read_only);
  ck_assert_ptr_null (img_mount_parse ("36 35 98:0 /mnt1"));
  ck_assert_ptr_null (img_mount_parse ("36 35 98:0 / / rw - ext3 /dev/root"));
  ck_assert_ptr_null (img_mount_parse (""));
}
END_TEST

START_TEST (file_systems_are_sorted)
{
  ck_assert_int_eq (img_fs_kind_of ("ext4"), IMG_FS_LOCAL);
  ck_assert_int_eq (img_fs_kind_of ("overlay"), IMG_FS_OVERLAY);
  ck_assert_int_eq (img_fs_kind_of ("fuse.glusterfs"), IMG_FS_FUSE);
  ck_assert_int_eq (img_fs_kind_of ("nfs4"), IMG_FS_NETWORK);
  ck_assert_int_eq (img_fs_kind_of ("newfs"), IMG_FS_UNKNOWN);
  ck_assert (!img_fs_is_this_host_only (IMG_FS_UNKNOWN));
}
END_TEST

START_TEST (nfs_clients_are_read)
{
  static const char info[] = "clientid: 0xe8\naddress: \"[fe80::1]:828\"\nstatus: confirmed\n"
                             "name: \"Linux \\\"x address: \\\"1.2.3.4:5\\\"\"\n";
  static const char states[]
      = "- 0x01: { type: open, access: r-, deny: --, superblock: \"07:00:12\", filename: \"/a\" }\n"
        "- 0x02: { type: lock, superblock: \"07:00:12\", filename: \"/a\", owner: \"x\" }\n"
        "- 0x03: { type: open, access: rw, deny: --, superblock: \"07:00:13\", filename: "
        "\"/superblock: \\\"07:00:14\\\"\" }\n"
        "- 0x05: { type: deleg, access: r, superblock: \"07:00:16\", filename: \"/e\" }\n"
        "- 0x04: { type: deleg, access: w, superblock: \"07:00:15\", filename: \"/d\" }\n";
  ImgNfsClient client = { 0 };
  ck_assert (img_nfs_info_parse (info, &client));
  ck_assert_str_eq (client.address, "[fe80::1]");
  ck_assert_str_eq (client.name, "Linux \\");
  ck_assert (!img_nfs_info_parse ("status: address: \"1.2.3.4:5\"\n", &client));
  ck_assert (!img_nfs_info_parse ("address: \"none\"\n", &client));

  ck_assert (img_nfs_states_parse (states, "07:00:12", &client));
  ck_assert (client.has_lock && client.can_read && !client.can_write);
  client.has_lock = client.can_read = FALSE;
  ck_assert (img_nfs_states_parse (states, "07:00:13", &client));
  ck_assert (!client.has_lock && client.can_read && client.can_write);
  client.can_read = client.can_write = FALSE;
  ck_assert (img_nfs_states_parse (states, "07:00:15", &client));
  ck_assert (!client.has_lock && client.has_delegation && client.can_write && !client.can_read);
  client.has_delegation = client.can_write = FALSE;
  ck_assert (img_nfs_states_parse (states, "07:00:16", &client));
  ck_assert (client.has_delegation && !client.can_read && !client.can_write);
  ck_assert (!img_nfs_states_parse (states, "07:00:14", &client));
  ck_assert (!img_nfs_states_parse (states, "07:00:1", &client));
  ck_assert (!img_nfs_states_parse ("", "07:00:12", &client));
  g_free (client.address);
  g_free (client.name);
  /* This process calls itself as it likes; it is no thread of the kernel's. */
  ck_assert_int_eq (img_nfs_thread (getpid ()), IMG_NFS_NOT);
}
END_TEST

static ImgDialect
dialect (guint64 start, guint64 end, gboolean is_write, const char *command)
{
  g_autoptr (GArray) ranges = g_array_new (FALSE, FALSE, sizeof (ImgLockRange));
  ImgLockRange range = { .start = start, .end = end, .is_write = is_write };
  g_array_append_val (ranges, range);
  return img_dialect_of (ranges, 4096, command);
}

START_TEST (dialects_are_told_apart)
{
  ck_assert_int_eq (dialect (100, 101, FALSE, "x"), IMG_DIALECT_QEMU);
  ck_assert_int_eq (dialect (100, 101, FALSE, "cloud-hyperviso"), IMG_DIALECT_CLOUD_HYPERVISOR);
  ck_assert_int_eq (dialect (100, 101, TRUE, "x"), IMG_DIALECT_UNKNOWN);
  ck_assert_int_eq (dialect (100, 105, FALSE, NULL), IMG_DIALECT_UNKNOWN);
  ck_assert_int_eq (dialect (0, 0, TRUE, NULL), IMG_DIALECT_LIBVIRT);
  ck_assert_int_eq (dialect (1, 1, FALSE, NULL), IMG_DIALECT_LIBVIRT);
  ck_assert_int_eq (dialect (0, IMG_RANGE_TO_EOF, TRUE, NULL), IMG_DIALECT_WHOLE_FILE);
  ck_assert_int_eq (dialect (0, 4095, TRUE, NULL), IMG_DIALECT_FILE_SIZE);
  ck_assert_int_eq (dialect (7, 9, TRUE, NULL), IMG_DIALECT_UNKNOWN);
}
END_TEST

static ImgHolder *
holder_with (ImgHeldKind held, guint64 start, guint64 end, gboolean is_write)
{
  ImgHolder *holder = img_holder_new (IMG_HOLDER_LOCK, held);
  ImgLockRange range = { .start = start, .end = end, .is_write = is_write };
  img_holder_add_range (holder, &range);
  return holder;
}

static gboolean
blocks (ImgHeldKind held, guint64 start, guint64 end, gboolean is_write, ImgUse use)
{
  ImgHolder *holder = holder_with (held, start, end, is_write);
  gboolean by_use;
  guint bit;
  gboolean answer = img_holder_blocks (holder, img_use_permissions (use, FALSE), &bit, &by_use);
  img_holder_free (holder);
  return answer;
}

START_TEST (ranges_block_what_qemu_would_refuse)
{
  /* Somebody writes (101): readers that forbid it are refused; another writer too. */
  ck_assert (blocks (IMG_HELD_OFD, 101, 101, FALSE, IMG_USE_READ));
  ck_assert (blocks (IMG_HELD_OFD, 101, 101, FALSE, IMG_USE_WRITE));
  /* Somebody forbids writing (201): readers may, writers not. */
  ck_assert (!blocks (IMG_HELD_POSIX, 201, 201, FALSE, IMG_USE_READ));
  ck_assert (blocks (IMG_HELD_POSIX, 201, 201, FALSE, IMG_USE_WRITE));
  /* A reader bothers nobody. */
  ck_assert (!blocks (IMG_HELD_OFD, 100, 100, FALSE, IMG_USE_WRITE));
  /* An exclusive lock is in the way of the bytes themselves. */
  ck_assert (blocks (IMG_HELD_OFD, 100, 100, TRUE, IMG_USE_READ));
  ck_assert (blocks (IMG_HELD_POSIX, 0, IMG_RANGE_TO_EOF, TRUE, IMG_USE_INFO));
  /* A shared lock over everything uses and forbids everything. */
  ck_assert (blocks (IMG_HELD_POSIX, 0, IMG_RANGE_TO_EOF, FALSE, IMG_USE_READ));
  /* libvirt's byte and flock() are nothing to QEMU. */
  ck_assert (!blocks (IMG_HELD_POSIX, 0, 0, TRUE, IMG_USE_WRITE));
  ck_assert (!blocks (IMG_HELD_FLOCK, 0, IMG_RANGE_TO_EOF, TRUE, IMG_USE_WRITE));
}
END_TEST

/* A file server that names a process, on a file system with no lock lines. */
static GPtrArray *
holders_by_answer (ImgFsKind kind, gint64 pid, GPtrArray *notes)
{
  ImgProbe probe = { .asked_posix = TRUE };
  ImgLockRange range = { .start = 101, .end = 101, .pid = pid };
  probe.ranges = g_array_new (FALSE, FALSE, sizeof (ImgLockRange));
  g_array_append_val (probe.ranges, range);
  ImgEvidence evidence = { .fs_kind = kind, .probe = &probe, .writers = IMG_WRITERS_UNKNOWN };
  GPtrArray *holders = img_evidence_holders (&evidence, notes);
  g_array_unref (probe.ranges);
  return holders;
}

START_TEST (a_servers_pid_is_not_believed_unconfirmed)
{
  g_autoptr (GPtrArray) notes = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) fuse = holders_by_answer (IMG_FS_FUSE, getpid (), notes);
  ck_assert_uint_eq (fuse->len, 1);
  const ImgHolder *holder = fuse->pdata[0];
  ck_assert (!holder->is_identified);
  ck_assert_uint_eq (holder->processes->len, 0);

  g_autoptr (GPtrArray) local = holders_by_answer (IMG_FS_LOCAL, getpid (), notes);
  holder = local->pdata[0];
  ck_assert (holder->is_identified);
  ck_assert (img_holder_has_pid (holder, getpid ()));
}
END_TEST

/* @n children that hold a lock on @path until their stdin ends. */
typedef struct
{
  pid_t pid;
  int control;
} Child;

static Child
start_locker (const char *path, short type, off_t start)
{
  int control[2], ready[2];
  char byte;
  ck_assert (pipe (control) == 0 && pipe (ready) == 0);
  pid_t pid = fork ();
  if (pid == 0)
    {
      struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = 1 };
      int fd = open (path, O_RDWR | O_CLOEXEC);
      close (control[1]);
      if (fcntl (fd, F_OFD_SETLK, &lock) != 0 || !img_fd_write_all (ready[1], "x", 1))
        _exit (1);
      _exit (img_fd_read_some (control[0], &byte, 1) < 0);
    }
  close (control[0]);
  close (ready[1]);
  ck_assert_int_eq (img_fd_read_some (ready[0], &byte, 1), 1);
  close (ready[0]);
  Child child = { pid, control[1] };
  return child;
}

START_TEST (all_holders_of_one_byte_are_found)
{
  char *path = unit_new_file (4096);
  ImgStatusParams params = { .names_wanted = TRUE };
  Child a = start_locker (path, F_RDLCK, 101), b = start_locker (path, F_RDLCK, 101);
  g_autoptr (ImgStatus) status = img_status_new (path, &params, NULL);
  ck_assert_int_eq (status->state, IMG_STATUS_IN_USE);
  ck_assert_uint_eq (status->holders->len, 2);
  gboolean found_a = FALSE, found_b = FALSE;
  for (guint i = 0; i < 2; i++)
    {
      found_a |= img_holder_has_pid (status->holders->pdata[i], a.pid);
      found_b |= img_holder_has_pid (status->holders->pdata[i], b.pid);
    }
  ck_assert (found_a && found_b);
  close (a.control);
  close (b.control);
  ck_assert (waitpid (a.pid, NULL, 0) == a.pid && waitpid (b.pid, NULL, 0) == b.pid);
  unit_delete_file (path);
}
END_TEST

START_TEST (formats_are_recognised)
{
  guint8 head[IMG_DETECT_BYTES] = { 0 };
  ck_assert_str_eq (img_detect_format (head, sizeof head), "raw");
  ck_assert_str_eq (img_detect_format (head, 0), "raw");
  memcpy (head, "QFI\xfb\0\0\0\3", 8);
  ck_assert_str_eq (img_detect_format (head, sizeof head), "qcow2");
  ck_assert_str_eq (img_detect_format (head, 3), "raw");
  memcpy (head, "KDMV", 4);
  ck_assert_str_eq (img_detect_format (head, sizeof head), "vmdk");
  memcpy (head, "\x1f\x8b", 2);
  ck_assert_str_eq (img_detect_format (head, sizeof head), "raw");
  ck_assert_str_eq (img_detect_wrapper (head, sizeof head), "gzip");
  ck_assert (img_format_is_supported ("raw") && img_format_is_supported ("qcow2")
             && !img_format_is_supported ("vmdk"));
  ck_assert (img_format_can_be_written ("raw") && img_format_can_be_written ("qcow2"));
  ck_assert (!img_format_can_be_written ("vmdk"));
  ck_assert (img_format_is_known ("vhdx") && !img_format_is_known ("nonsense"));
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("holder");
  TCase *parse = tcase_create ("parse"), *who = tcase_create ("who");
  tcase_add_test (parse, vm_names_are_found);
  tcase_add_test (parse, mount_lines_are_parsed);
  tcase_add_test (parse, file_systems_are_sorted);
  tcase_add_test (parse, nfs_clients_are_read);
  tcase_add_test (parse, dialects_are_told_apart);
  tcase_add_test (parse, formats_are_recognised);
  tcase_add_test (who, ranges_block_what_qemu_would_refuse);
  tcase_add_test (who, a_servers_pid_is_not_believed_unconfirmed);
  tcase_add_test (who, all_holders_of_one_byte_are_found);
  suite_add_tcase (suite, parse);
  suite_add_tcase (suite, who);
  return unit_run (suite);
}
