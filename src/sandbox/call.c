/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sandbox/call.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/at-signal.h"
#include "base/fd.h"
#include "base/text.h"
#include "sandbox/lock-down.h"

/* An answer that is longer is not believed. */
#define MAX_MESSAGE (G_GUINT64_CONSTANT (1) << 30)

/* What goes through the socket: of the child's, all but the last are followed by more. */
typedef enum
{
  MESSAGE_LACKS, /* of what there is no sandbox: a guint32 */
  MESSAGE_NOTE,
  MESSAGE_ASK,
  MESSAGE_ERROR, /* "(uay)": code and text */
  MESSAGE_RESULT,
} MessageKind;

typedef struct
{
  guint32 kind; /* MessageKind */
  guint32 unused;
  guint64 length; /* bytes that follow */
} Header;

static gboolean is_disabled =
#ifdef IMG_WITHOUT_SANDBOX
    TRUE;
#else
    FALSE;
#endif

static guint lacks;
static gboolean could_not_fork;
static const ImgSandboxCall *current; /* borrowed: the call whose work is being done here */
static int to_parent = -1;            /* in the child */

void
img_sandbox_disable (void)
{
  is_disabled = TRUE;
}

const char *
img_sandbox_remark (void)
{
  if (could_not_fork)
    return "no process could be started for the sandbox: the image was read without it";
  if (lacks == IMG_LOCK_DOWN_ALL_LACKS)
    return "this system has neither Landlock nor seccomp: the image was read without a sandbox";
  if (lacks == IMG_LOCK_DOWN_NO_LANDLOCK)
    return "this system has no Landlock: what reads the image is confined by seccomp alone";
  if (lacks == IMG_LOCK_DOWN_NO_SECCOMP)
    return "this system has no seccomp filters: what reads the image is confined by Landlock alone";
  return NULL;
}

/* ---- messages ---- */

static gboolean
send_message (int fd, MessageKind kind, const void *bytes, gsize length)
{
  Header header = { .kind = kind, .length = length };
  return img_fd_write_all (fd, &header, sizeof header) && img_fd_write_all (fd, bytes, length);
}

static gboolean
receive_bytes (int fd, void *bytes, gsize length)
{
  gsize done = 0;
  while (done < length)
    {
      gssize got = img_fd_read_some (fd, (guint8 *)bytes + done, length - done);
      if (got <= 0)
        return FALSE;
      done += (gsize)got;
    }
  return TRUE;
}

/* The next message; NULL: there is none, or it is not to be believed. */
static GBytes *
receive_message (int fd, MessageKind *kind)
{
  Header header;

  if (!receive_bytes (fd, &header, sizeof header) || header.kind > MESSAGE_RESULT
      || header.length > MAX_MESSAGE)
    return NULL;
  g_autofree guint8 *bytes = g_try_malloc (MAX (header.length, 1));
  if (bytes == NULL || !receive_bytes (fd, bytes, header.length))
    return NULL;
  *kind = header.kind;
  return g_bytes_new_take (g_steal_pointer (&bytes), header.length);
}

static gboolean
send_variant (int fd, MessageKind kind, GVariant *variant)
{
  g_autoptr (GVariant) owned = g_variant_ref_sink (variant);
  return send_message (fd, kind, g_variant_get_data (owned), g_variant_get_size (owned));
}

static gboolean
send_error (int fd, const GError *error)
{
  return send_variant (
      fd, MESSAGE_ERROR,
      g_variant_new ("(u@ay)", (guint32)error->code, g_variant_new_bytestring (error->message)));
}

/* Whoever wrote the bytes, they are of @type afterwards. */
static GVariant *
to_variant (const char *type, GBytes *bytes)
{
  return g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE (type), bytes, FALSE));
}

static void
set_error (GBytes *bytes, GError **error)
{
  g_autoptr (GVariant) packed = to_variant ("(uay)", bytes);
  g_autoptr (GVariant) text = g_variant_get_child_value (packed, 1);
  g_autofree char *safe = img_text_escape_again (g_variant_get_bytestring (text));
  guint32 code;

  g_variant_get_child (packed, 0, "u", &code);
  g_set_error_literal (error, IMG_ERROR,
                       code <= IMG_ERROR_UNSUPPORTED ? (gint)code : IMG_ERROR_FAILED, safe);
}

/* ---- the child ---- */

/* What opens files at the first use is used before it cannot. */
static void
warm_up (void)
{
  g_free (g_locale_to_utf8 ("x", 1, NULL, NULL, NULL));
  tzset ();
}

static ImgLockDownMode
mode_wanted (void)
{
  /* For tests: that makes it only stricter. */
  const char *wanted = g_getenv ("IMGTOOL_SANDBOX");
  return g_strcmp0 (wanted, "kill") == 0 ? IMG_LOCK_DOWN_KILL : IMG_LOCK_DOWN_REFUSE;
}

static void G_GNUC_NORETURN
be_child (const ImgSandboxCall *call, int fd, pid_t parent)
{
  static const int endings[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
  g_autoptr (GError) error = NULL;

  /* It ends when its parent has, which has to clean up before. */
  if (prctl (PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid () != parent)
    _exit (1);
  for (gsize i = 0; i < G_N_ELEMENTS (endings); i++)
    (void)signal (endings[i], SIG_IGN);
  to_parent = fd;
  current = call;
  guint32 missing = img_lock_down (mode_wanted (), call->memory);
  if (missing != 0 && !send_message (fd, MESSAGE_LACKS, &missing, sizeof missing))
    _exit (1);
  GVariant *result = call->work (call->closure, &error);
  gboolean is_sent
      = result != NULL ? send_variant (fd, MESSAGE_RESULT, result) : send_error (fd, error);
  _exit (is_sent ? 0 : 1);
}

void
img_sandbox_note (const void *bytes, gsize length)
{
  if (to_parent < 0)
    current->note (bytes, length, current->closure);
  else
    (void)send_message (to_parent, MESSAGE_NOTE, bytes, length);
}

gboolean
img_sandbox_ask (GError **error)
{
  MessageKind kind;

  if (to_parent < 0)
    return current->serve (current->closure, error);
  g_autoptr (GBytes) answer
      = send_message (to_parent, MESSAGE_ASK, "", 0) ? receive_message (to_parent, &kind) : NULL;
  if (answer == NULL)
    _exit (1);
  if (kind == MESSAGE_RESULT)
    return TRUE;
  set_error (answer, error);
  return FALSE;
}

/* ---- the caller ---- */

static void
throw_end (const ImgSandboxCall *call, int status, GError **error)
{
  g_autofree char *safe = img_text_escape (call->subject, -1);

  if (WIFSIGNALED (status) && WTERMSIG (status) == SIGSYS)
    (void)img_throw (
        error, IMG_ERROR_FAILED,
        "'%s': what reads the image wanted to do what the sandbox forbids, and was "
        "stopped; please report that. --no-sandbox goes without, if you trust the image",
        safe);
  else if (WIFSIGNALED (status))
    (void)img_throw (error, IMG_ERROR_FAILED,
                     "'%s': the process that reads the image was ended by signal %d (%s)", safe,
                     WTERMSIG (status), strsignal (WTERMSIG (status)));
  else
    (void)img_throw (error, IMG_ERROR_FAILED,
                     "'%s': the process that reads the image ended without an answer", safe);
}

static gboolean
answer (const ImgSandboxCall *call, int fd)
{
  g_autoptr (GError) failure = NULL;
  if (call->serve != NULL && call->serve (call->closure, &failure))
    return send_message (fd, MESSAGE_RESULT, "", 0);
  if (failure == NULL)
    (void)img_throw (&failure, IMG_ERROR_FAILED, "nothing can be asked for here");
  return send_error (fd, failure);
}

/* All that the child says, up to its answer: NULL if there is none. */
static GBytes *
listen_to (const ImgSandboxCall *call, int fd, MessageKind *kind)
{
  for (;;)
    {
      g_autoptr (GBytes) message = receive_message (fd, kind);
      gsize length;

      if (message == NULL || *kind == MESSAGE_ERROR || *kind == MESSAGE_RESULT)
        return g_steal_pointer (&message);
      const void *bytes = g_bytes_get_data (message, &length);
      if (*kind == MESSAGE_LACKS && length == sizeof (guint32))
        lacks |= *(const guint32 *)bytes & IMG_LOCK_DOWN_ALL_LACKS;
      else if (*kind == MESSAGE_NOTE && call->note != NULL)
        call->note (bytes, length, call->closure);
      else if (*kind == MESSAGE_ASK && !answer (call, fd))
        return NULL;
    }
}

/* Async-signal-safe. Returns what waitpid(2) says. */
static int
wait_for_end (pid_t child)
{
  int status = 0;
  while (waitpid (child, &status, 0) < 0 && errno == EINTR)
    continue;
  return status;
}

/* A signal ends this process: the child, whose writes are covered by locks of this one, goes first,
 * as if both were one. What it has in the kernel is waited for. */
static void
end_child (gpointer child)
{
  (void)kill (GPOINTER_TO_INT (child), SIGKILL);
  (void)wait_for_end (GPOINTER_TO_INT (child));
}

static GVariant *
be_parent (const ImgSandboxCall *call, pid_t child, int fd, GError **error)
{
  MessageKind kind;
  g_autoptr (GBytes) message = listen_to (call, fd, &kind);

  if (message == NULL)
    (void)kill (child, SIGKILL); /* it may have said nonsense and go on */
  img_at_signal_hold ();
  int status = wait_for_end (child);
  img_at_signal_remove (IMG_AT_SIGNAL_STOP, end_child, GINT_TO_POINTER (child));
  img_at_signal_release ();
  if (message == NULL)
    throw_end (call, status, error);
  else if (kind == MESSAGE_RESULT)
    return to_variant (call->type, message);
  else
    set_error (message, error);
  return NULL;
}

static GVariant *
call_directly (const ImgSandboxCall *call, GError **error)
{
  const ImgSandboxCall *before = current;
  current = call;
  GVariant *result = call->work (call->closure, error);
  current = before;
  return result == NULL ? NULL : g_variant_ref_sink (result);
}

/* Fork; the child does the work and does not return. Returns its pid and the socket to it, or -1
 * with errno set. */
static pid_t
start_child (const ImgSandboxCall *call, int *fd)
{
  pid_t parent = getpid ();
  int pair[2];

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
    return -1;
  img_at_signal_hold ();
  pid_t child = fork ();
  if (child > 0)
    img_at_signal_add (IMG_AT_SIGNAL_STOP, end_child, GINT_TO_POINTER (child));
  int failure = errno;
  img_at_signal_release ();
  if (child == 0)
    {
      (void)close (pair[0]);
      be_child (call, pair[1], parent);
    }
  (void)close (pair[1]);
  if (child < 0)
    (void)close (pair[0]);
  *fd = pair[0];
  errno = failure;
  return child;
}

GVariant *
img_sandbox_run (const ImgSandboxCall *call, GError **error)
{
  int fd;

  if (is_disabled || to_parent >= 0)
    return call_directly (call, error);
  warm_up ();
  pid_t child = start_child (call, &fd);
  if (child < 0 && call->is_required)
    return img_null_throw_errno (error,
                                 "what is not trusted is read in a process of its own only, and "
                                 "none could be started");
  if (child < 0)
    {
      could_not_fork = TRUE;
      return call_directly (call, error);
    }
  g_auto (ImgFd) owned = fd;
  return be_parent (call, child, owned, error);
}
