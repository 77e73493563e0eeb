/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "sandbox/call.h"
#include "unit.h"

#ifdef IMG_WITHOUT_SANDBOX
#define HAS_SANDBOX 0
#else
#define HAS_SANDBOX 1
#endif

/* What a call that is tried in the sandbox finds outside. */
typedef struct
{
  char *folder; /* owned */
  char *path;   /* owned: a file in it */
  int folder_fd, file_fd;
} Outside;

static void
outside_init (Outside *outside)
{
  char *folder = g_strdup ("/var/tmp/imgtool-unit.XXXXXX");
  ck_assert_ptr_nonnull (g_mkdtemp (folder));
  ck_assert_int_eq (g_chmod (folder, 0777), 0);
  outside->folder = folder;
  outside->path = g_build_filename (folder, "file", NULL);
  outside->file_fd = open (outside->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  outside->folder_fd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ck_assert_int_ge (outside->file_fd, 0);
  ck_assert_int_ge (outside->folder_fd, 0);
  ck_assert_int_eq (fchmod (outside->file_fd, 0666), 0);
}

/* There is the file, and nothing else. */
static void
outside_clear (Outside *outside)
{
  close (outside->file_fd);
  close (outside->folder_fd);
  ck_assert_int_eq (g_unlink (outside->path), 0);
  ck_assert_int_eq (g_rmdir (outside->folder), 0);
  g_free (outside->path);
  g_free (outside->folder);
}

/* ---- what must fail ---- */

static int
try_open (const Outside *outside)
{
  return open (outside->path, O_RDONLY | O_CLOEXEC);
}

static int
try_open_at (const Outside *outside)
{
  return openat (outside->folder_fd, "file", O_RDONLY | O_CLOEXEC);
}

static int
try_open_2 (const Outside *outside)
{
  struct
  {
    guint64 flags, mode, resolve;
  } how = { O_RDONLY, 0, 0 };
  return (int)syscall (437, outside->folder_fd, "file", &how, sizeof how);
}

static int
try_create (const Outside *outside)
{
  return openat (outside->folder_fd, "new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static int
try_reopen (const Outside *outside)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", outside->file_fd);
  return open (path, O_RDWR | O_CLOEXEC);
}

static int
try_connect (G_GNUC_UNUSED const Outside *outside)
{
  return socket (AF_INET, SOCK_STREAM, 0);
}

static int
try_connect_unix (G_GNUC_UNUSED const Outside *outside)
{
  return socket (AF_UNIX, SOCK_STREAM, 0);
}

static int
try_exec (G_GNUC_UNUSED const Outside *outside)
{
  char word[] = "true";
  char *const words[] = { word, NULL };
  return execv ("/bin/true", words);
}

static int
try_fork (G_GNUC_UNUSED const Outside *outside)
{
  return (int)fork ();
}

static int
try_link (const Outside *outside)
{
  return linkat (outside->folder_fd, "file", outside->folder_fd, "new", 0);
}

static int
try_rename (const Outside *outside)
{
  return renameat (outside->folder_fd, "file", outside->folder_fd, "new");
}

static int
try_unlink (const Outside *outside)
{
  return unlinkat (outside->folder_fd, "file", 0);
}

static int
try_truncate (const Outside *outside)
{
  return truncate (outside->path, 0);
}

static int
try_chmod (const Outside *outside)
{
  return fchmod (outside->file_fd, 0777);
}

static int
try_mkdir (const Outside *outside)
{
  return mkdirat (outside->folder_fd, "new", 0700);
}

static int
try_mount (const Outside *outside)
{
  return (int)syscall (SYS_mount, "none", outside->folder, "tmpfs", 0, NULL);
}

static int
try_kill (G_GNUC_UNUSED const Outside *outside)
{
  return kill (getppid (), 0);
}

static int
try_trace (G_GNUC_UNUSED const Outside *outside)
{
  return (int)ptrace (PTRACE_TRACEME, 0, NULL, NULL);
}

static int
try_lock (const Outside *outside)
{
  struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
  return fcntl (outside->file_fd, F_SETLK, &lock);
}

static int
try_executable_memory (G_GNUC_UNUSED const Outside *outside)
{
  void *memory
      = mmap (NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? -1 : 0;
}

static int
try_limit (G_GNUC_UNUSED const Outside *outside)
{
  struct rlimit limit = { 1, 1 };
  return setrlimit (RLIMIT_NOFILE, &limit);
}

static int
try_terminal (G_GNUC_UNUSED const Outside *outside)
{
  char byte = 'x';
  return (int)syscall (SYS_ioctl, STDIN_FILENO, 0x5412 /* TIOCSTI */, &byte);
}

static const struct
{
  const char *name;
  int (*function) (const Outside *outside); /* -1 with errno, or what would be a success */
} attempts[] = {
  { "open", try_open },
  { "openat", try_open_at },
  { "openat2", try_open_2 },
  { "create", try_create },
  { "open of a descriptor's link", try_reopen },
  { "socket", try_connect },
  { "socket (unix)", try_connect_unix },
  { "exec", try_exec },
  { "fork", try_fork },
  { "link", try_link },
  { "rename", try_rename },
  { "unlink", try_unlink },
  { "truncate", try_truncate },
  { "chmod", try_chmod },
  { "mkdir", try_mkdir },
  { "mount", try_mount },
  { "kill", try_kill },
  { "ptrace", try_trace },
  { "fcntl (lock)", try_lock },
  { "mmap (PROT_EXEC)", try_executable_memory },
  { "setrlimit", try_limit },
  { "ioctl (TIOCSTI)", try_terminal },
};

/* The errno of each attempt, 0 for a success. */
static GVariant *
try_all (gpointer closure, G_GNUC_UNUSED GError **error)
{
  GVariantBuilder builder;
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("ai"));
  for (gsize i = 0; i < G_N_ELEMENTS (attempts); i++)
    g_variant_builder_add (&builder, "i", attempts[i].function (closure) >= 0 ? 0 : errno);
  return g_variant_builder_end (&builder);
}

static void
check_all_fail (void)
{
  Outside outside;
  g_autoptr (GError) error = NULL;

  outside_init (&outside);
  ImgSandboxCall call = { .work = try_all, .type = "ai", .closure = &outside };
  g_autoptr (GVariant) errors = img_sandbox_run (&call, &error);
  ck_assert_msg (errors != NULL, "%s", error != NULL ? error->message : "");
  ck_assert_ptr_null (img_sandbox_remark ());
  ck_assert_uint_eq (g_variant_n_children (errors), G_N_ELEMENTS (attempts));
  for (gsize i = 0; i < G_N_ELEMENTS (attempts); i++)
    {
      gint number;
      g_variant_get_child (errors, i, "i", &number);
      ck_assert_msg (number == EPERM, "%s: %s", attempts[i].name,
                     number == 0 ? "it worked" : g_strerror (number));
    }
  outside_clear (&outside);
}

START_TEST (nothing_outside_can_be_reached)
{
  check_all_fail ();
}
END_TEST

START_TEST (nor_by_an_ordinary_user)
{
  if (geteuid () == 0)
    {
      ck_assert_int_eq (setresgid (65534, 65534, 65534), 0);
      ck_assert_int_eq (setresuid (65534, 65534, 65534), 0);
    }
  check_all_fail ();
}
END_TEST

/* ---- what must work ---- */

static void *
be_thread (void *data)
{
  *(int *)data = 7;
  return NULL;
}

static GVariant *
use_file (gpointer closure, GError **error)
{
  const Outside *outside = closure;
  char bytes[4] = "";
  pthread_t thread;
  int number = 0;

  if (pthread_create (&thread, NULL, be_thread, &number) != 0 || pthread_join (thread, NULL) != 0
      || number != 7)
    {
      (void)img_throw (error, IMG_ERROR_FAILED, "there are no threads");
      return NULL;
    }
  if (pwrite (outside->file_fd, "abc", 3, 4096) != 3 || fsync (outside->file_fd) < 0
      || pread (outside->file_fd, bytes, 3, 4096) != 3 || strcmp (bytes, "abc") != 0
      || ftruncate (outside->file_fd, 1 << 20) < 0)
    {
      (void)img_throw_errno (error, "what is allowed does not work");
      return NULL;
    }
  g_autofree char *much = g_malloc0 (8 << 20);
  return g_variant_new_boolean (much[12345] == 0);
}

START_TEST (what_is_open_can_be_used)
{
  Outside outside;
  g_autoptr (GError) error = NULL;

  outside_init (&outside);
  ImgSandboxCall call = { .work = use_file, .type = "b", .closure = &outside };
  g_autoptr (GVariant) result = img_sandbox_run (&call, &error);
  ck_assert_msg (result != NULL, "%s", error != NULL ? error->message : "");
  ck_assert (g_variant_get_boolean (result));
  ck_assert_int_eq (lseek (outside.file_fd, 0, SEEK_END), 1 << 20);
  outside_clear (&outside);
}
END_TEST

/* ---- what is said ---- */

typedef struct
{
  guint n_notes, n_asked, sum;
} Talk;

static void
hear (const void *bytes, gsize length, gpointer closure)
{
  Talk *talk = closure;
  guint number;
  ck_assert_uint_eq (length, sizeof number);
  memcpy (&number, bytes, sizeof number);
  talk->n_notes++;
  talk->sum += number;
}

static gboolean
serve (gpointer closure, GError **error)
{
  Talk *talk = closure;
  return ++talk->n_asked < 3 || img_throw (error, IMG_ERROR_LOCKED, "the third is too much");
}

static GVariant *
talk_much (G_GNUC_UNUSED gpointer closure, GError **error)
{
  for (guint i = 0; i < 100; i++)
    img_sandbox_note (&i, sizeof i);
  while (img_sandbox_ask (error))
    continue;
  return NULL;
}

START_TEST (notes_arrive_and_questions_are_answered)
{
  for (guint directly = 0; directly < 2; directly++)
    {
      Talk talk = { 0 };
      g_autoptr (GError) error = NULL;
      ImgSandboxCall call
          = { .work = talk_much, .type = "b", .closure = &talk, .note = hear, .serve = serve };

      ck_assert_ptr_null (img_sandbox_run (&call, &error));
      ck_assert (g_error_matches (error, IMG_ERROR, IMG_ERROR_LOCKED));
      ck_assert_str_eq (error->message, "the third is too much");
      ck_assert_uint_eq (talk.n_notes, 100);
      ck_assert_uint_eq (talk.sum, 4950);
      ck_assert_uint_eq (talk.n_asked, 3);
      img_sandbox_disable ();
    }
}
END_TEST

static GVariant *
crash (G_GNUC_UNUSED gpointer closure, G_GNUC_UNUSED GError **error)
{
  (void)signal (SIGSEGV, SIG_DFL);
  *(volatile int *)NULL = 1;
  return NULL;
}

static GVariant *
vanish (G_GNUC_UNUSED gpointer closure, G_GNUC_UNUSED GError **error)
{
  _exit (0);
}

static GVariant *
lie (G_GNUC_UNUSED gpointer closure, GError **error)
{
  (void)img_throw (error, IMG_ERROR_FAILED, "\x1b[31mred\r\nand \xff\n");
  return NULL;
}

static GVariant *
take_all_memory (G_GNUC_UNUSED gpointer closure, G_GNUC_UNUSED GError **error)
{
  return g_variant_new_boolean (g_try_malloc (1 << 30) == NULL);
}

START_TEST (a_child_that_fails_is_an_error)
{
  static GVariant *(*const works[]) (gpointer, GError **) = { crash, vanish, lie };
  static const char *const messages[]
      = { "ended by signal 11", "ended without an answer", "\\x1b[31mred\\x0d\nand \\xff\n" };

  for (gsize i = 0; i < G_N_ELEMENTS (works); i++)
    {
      g_autoptr (GError) error = NULL;
      ImgSandboxCall call = { .work = works[i], .type = "b", .subject = "some\nwhere" };
      ck_assert_ptr_null (img_sandbox_run (&call, &error));
      ck_assert_msg (strstr (error->message, messages[i]) != NULL, "%s", error->message);
    }
}
END_TEST

START_TEST (memory_is_limited)
{
  g_autoptr (GError) error = NULL;
  ImgSandboxCall call = { .work = take_all_memory, .type = "b", .memory = 512 << 20 };
  g_autoptr (GVariant) result = img_sandbox_run (&call, &error);
  ck_assert_ptr_nonnull (result);
  ck_assert (g_variant_get_boolean (result));
}
END_TEST

/* Bytes of a wrong type are not taken for those that are expected. */
static GVariant *
answer_otherwise (G_GNUC_UNUSED gpointer closure, G_GNUC_UNUSED GError **error)
{
  return g_variant_new ("(s)", "this is no list of numbers");
}

START_TEST (an_answer_of_another_type_does_no_harm)
{
  g_autoptr (GError) error = NULL;
  ImgSandboxCall call = { .work = answer_otherwise, .type = "a(ttay)" };
  g_autoptr (GVariant) result = img_sandbox_run (&call, &error);

  ck_assert_ptr_nonnull (result);
  for (gsize i = 0; i < g_variant_n_children (result); i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (result, i);
      ck_assert (g_variant_is_of_type (child, G_VARIANT_TYPE ("(ttay)")));
    }
}
END_TEST

/* ---- when the parent ends ---- */

static GVariant *
wait_for_ever (gpointer closure, G_GNUC_UNUSED GError **error)
{
  const Outside *outside = closure;
  (void)!write (outside->file_fd, "x", 1);
  for (;;)
    (void)poll (NULL, 0, 1000);
  return NULL;
}

static gboolean
has_bytes (int fd)
{
  return lseek (fd, 0, SEEK_END) > 0;
}

/* An OFD lock of the description that parent and child share is free only when both are gone. */
START_TEST (it_dies_with_its_parent)
{
  Outside outside;
  struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

  outside_init (&outside);
  int other = open (outside.path, O_RDWR | O_CLOEXEC);
  pid_t parent = fork ();
  if (parent == 0)
    {
      ImgSandboxCall call
          = { .work = wait_for_ever, .type = "b", .closure = &outside, .subject = "x" };
      close (other);
      if (fcntl (outside.file_fd, F_OFD_SETLK, &lock) < 0)
        _exit (1);
      _exit (img_sandbox_run (&call, NULL) == NULL ? 2 : 3);
    }
  for (guint i = 0; i < 1000 && !has_bytes (other); i++)
    g_usleep (10000);
  ck_assert (has_bytes (other));
  /* The other description of this process is the same as the parent's. */
  close (outside.file_fd);
  outside.file_fd = open (outside.path, O_RDWR | O_CLOEXEC);
  ck_assert_int_lt (fcntl (other, F_OFD_SETLK, &lock), 0);
  ck_assert_int_eq (kill (parent, SIGKILL), 0);
  ck_assert_int_eq (waitpid (parent, NULL, 0), parent);
  int result = -1;
  for (guint i = 0; i < 1000 && result < 0; i++, g_usleep (10000))
    result = fcntl (other, F_OFD_SETLK, &lock);
  ck_assert_int_eq (result, 0);
  close (other);
  outside_clear (&outside);
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("sandbox");
  TCase *call = tcase_create ("call"), *locked = tcase_create ("locked");

  (void)g_unsetenv ("IMGTOOL_SANDBOX");
  tcase_add_test (call, notes_arrive_and_questions_are_answered);
  suite_add_tcase (suite, call);
  if (HAS_SANDBOX)
    {
      tcase_add_test (locked, nothing_outside_can_be_reached);
      tcase_add_test (locked, nor_by_an_ordinary_user);
      tcase_add_test (locked, what_is_open_can_be_used);
      tcase_add_test (locked, a_child_that_fails_is_an_error);
      tcase_add_test (locked, memory_is_limited);
      tcase_add_test (locked, an_answer_of_another_type_does_no_harm);
      tcase_add_test (locked, it_dies_with_its_parent);
    }
  suite_add_tcase (suite, locked);
  return unit_run (suite);
}
