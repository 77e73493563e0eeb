/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/lock-status.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "disk/detect.h"
#include "engine/evidence.h"
#include "engine/queue.h"
#include "engine/verdict.h"
#include "file/inode-registry.h"
#include "file/node.h"
#include "holder/proc-locks.h"
#include "lock/remote.h"

/* How often to look again when the locks changed meanwhile. */
#define MAX_LOOKS 3

/* One look at an image. */
typedef struct
{
  ImgStatus *status;             /* borrowed */
  const ImgStatusParams *params; /* borrowed */
  ImgFd node;                    /* owned; O_PATH */
  ImgFd fd;                      /* owned; for reading, or -1 */
  gboolean is_leased;            /* it could not be opened because of somebody's write lease */
  struct stat st;
  ImgEvidence evidence;
} Look;

static void
look_clear (Look *look)
{
  img_evidence_clear (&look->evidence);
  img_fd_clear (&look->fd);
  img_fd_clear (&look->node);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Look, look_clear)

static void add_note (ImgStatus *status, const char *format, ...) G_GNUC_PRINTF (2, 3);

static void
add_note (ImgStatus *status, const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  g_ptr_array_add (status->notes, g_strdup_vprintf (format, arguments));
  va_end (arguments);
}

/* "NFS client 10.0.0.1", "NFS clients 10.0.0.1 and 10.0.0.2". */
static void
append_nfs_clients (GString *text, const ImgHolder *holder)
{
  const GPtrArray *clients = holder->nfs_clients;
  g_string_append (text, clients->len == 1 ? "NFS client " : "NFS clients ");
  for (guint i = 0; i < clients->len; i++)
    {
      const ImgNfsClient *client = clients->pdata[i];
      g_autofree char *safe = img_text_escape (client->address, -1);
      g_string_append_printf (text, "%s%s", i > 0 ? " and " : "", safe);
    }
}

char *
img_holder_describe (const ImgHolder *holder, gboolean with_vm)
{
  static const char *const kernel_kinds[] = {
    [IMG_KERNEL_LOOP] = "loop device",
    [IMG_KERNEL_MOUNT] = "the mount at",
    [IMG_KERNEL_DEVICE] = "stacked device",
  };
  GString *text = g_string_new (NULL);

  if (holder->kind == IMG_HOLDER_KERNEL)
    {
      g_autofree char *device = img_text_escape (holder->device, -1);
      g_string_append_printf (text, "%s %s", kernel_kinds[holder->kernel_kind], device);
    }
  else if (holder->nfs_clients != NULL && holder->nfs_clients->len > 0)
    append_nfs_clients (text, holder);
  else if (holder->processes->len == 0)
    g_string_append (text, holder->stranger);
  for (guint i = 0; i < holder->processes->len; i++)
    {
      const ImgProcess *process = holder->processes->pdata[i];
      g_autofree char *command
          = img_text_escape (process->command == NULL ? "?" : process->command, -1);
      g_autofree char *vm
          = with_vm && process->vm_name != NULL ? img_text_escape (process->vm_name, -1) : NULL;
      g_string_append_printf (text, "%s%s (pid %d%s%s)", i > 0 ? " and " : "", command,
                              (int)process->pid, vm == NULL ? "" : ", VM ", vm == NULL ? "" : vm);
    }
  return g_string_free (text, FALSE);
}

gboolean
img_holder_is_writer (const ImgHolder *holder)
{
  return holder->kind == IMG_HOLDER_LOCK ? (holder->uses & IMG_PERM_WRITE) != 0 : holder->can_write;
}

/* The size and, unless it was given, the format. */
static void
read_head (Look *look)
{
  ImgStatus *status = look->status;
  guint8 head[IMG_DETECT_BYTES];

  status->size = (guint64)look->st.st_size;
  status->format = look->params->format;
  if (look->fd < 0)
    return;
  if (S_ISBLK (look->st.st_mode) && ioctl (look->fd, BLKGETSIZE64, &status->size) < 0)
    status->size = 0;
  gssize got = status->format != NULL ? -1 : img_fd_read_at (look->fd, 0, head, sizeof head);
  if (got >= 0)
    status->format = img_detect_format (head, (gsize)got);
}

/* The path the kernel would show for the image, for comparison with that of loop devices. */
static char *
real_path (int node)
{
  g_autofree char *link = g_strdup_printf ("/proc/self/fd/%d", node);
  return g_file_read_link (link, NULL);
}

/* Whether the walk over all processes could change the answer. It cannot where nobody needs names
 * and the kernel has proven that nobody writes, or that somebody does and nobody has a lock. */
static gboolean
needs_scan (const Look *look)
{
  const ImgEvidence *evidence = &look->evidence;
  gboolean has_lines = evidence->lines != NULL && evidence->lines->len > 0;
  gboolean is_locked
      = has_lines || (evidence->probe != NULL && img_probe_is_locked (evidence->probe));

  if (look->params->locks_only)
    return FALSE;
  /* On btrfs a line of the table may be about another file: only descriptors can tell. */
  if (look->params->names_wanted || (evidence->key.is_ambiguous && has_lines))
    return TRUE;
  return evidence->writers != IMG_WRITERS_NONE
         && (evidence->writers != IMG_WRITERS_SOME || is_locked);
}

/* Everything but the first probe. */
static void
gather (Look *look)
{
  ImgEvidence *evidence = &look->evidence;
  ImgStatus *status = look->status;

  evidence->fs_kind = status->filesystem.kind;
  evidence->size = status->size;
  evidence->probe = status->probe;
  evidence->lines = img_proc_locks_read (&evidence->key);
  evidence->writers = look->is_leased ? IMG_WRITERS_SOME : IMG_WRITERS_UNKNOWN;
  if (look->fd >= 0)
    evidence->writers = img_lease_ask (look->fd, &look->st, evidence->fs_kind);
  if (look->params->locks_only)
    {
      /* A proof that nobody writes costs nothing; who else does was not asked for. */
      if (evidence->writers == IMG_WRITERS_SOME)
        evidence->writers = IMG_WRITERS_UNKNOWN;
      return;
    }
  g_autofree char *path = real_path (look->node);
  if (evidence->fs_kind == IMG_FS_LOCAL)
    evidence->nfs_clients = img_nfs_clients (&evidence->key);
  evidence->kernel_users = img_kernel_users (&evidence->key, path, look->node);
  if (!needs_scan (look))
    return;
  evidence->scan = img_openers_scan (&evidence->key);
  g_autoptr (GArray) later = img_proc_locks_read (&evidence->key);
  if (evidence->lines != NULL && later != NULL)
    img_proc_locks_keep_common (evidence->lines, later);
}

/* Where a lock on the image was seen, if any. From inside a pid namespace the kernel does not list
 * all that it has. */
static ImgLockSight
sight_of_locks (const Look *look)
{
  const ImgEvidence *evidence = &look->evidence;
  gboolean sees_all = evidence->scan == NULL || !evidence->scan->is_confined;

  for (guint i = 0; evidence->lines != NULL && i < evidence->lines->len; i++)
    {
      const ImgLocksLine *line = &g_array_index (evidence->lines, ImgLocksLine, i);
      if (line->kind == IMG_LOCKS_LINE_OFD || line->kind == IMG_LOCKS_LINE_POSIX)
        return IMG_SIGHT_KERNEL;
    }
  if (evidence->probe != NULL && img_probe_is_locked (evidence->probe) && sees_all
      && evidence->lines != NULL)
    return IMG_SIGHT_SERVER;
  return look->status->trial == IMG_TRIAL_KERNEL  ? IMG_SIGHT_KERNEL
         : look->status->trial >= IMG_TRIAL_SHOWN ? IMG_SIGHT_SERVER
                                                  : IMG_SIGHT_NONE;
}

static void
note_reach (const Look *look)
{
  ImgFilesystem *fs = &look->status->filesystem;
  img_filesystem_judge_reach (fs, sight_of_locks (look));
  char *advice = img_reach_advice (&fs->reach, fs->type);
  if (advice != NULL)
    g_ptr_array_add (look->status->notes, advice);
}

/* With a delegation an NFS client locks without telling the server, until somebody else opens the
 * file for writing. */
static void
note_delegations (const Look *look)
{
  const GPtrArray *clients = look->evidence.nfs_clients;
  look->status->may_hide_locks = FALSE;
  for (guint i = 0; clients != NULL && i < clients->len; i++)
    {
      const ImgNfsClient *client = clients->pdata[i];
      g_autofree char *safe = img_text_escape (client->address, -1);
      if (!client->has_delegation || client->has_lock)
        continue;
      look->status->may_hide_locks = TRUE;
      add_note (look->status,
                "NFS client %s has a delegation: locks that it has do not show here "
                "before somebody else opens the image for writing",
                safe);
    }
}

static void
note_what_was_not_seen (const Look *look)
{
  ImgStatus *status = look->status;
  const ImgOpenerScan *scan = look->evidence.scan;
  ImgFsKind kind = status->filesystem.kind;

  status->openers_scanned = scan != NULL;
  status->n_uninspected = scan == NULL ? 0 : scan->n_uninspected;
  status->no_writers_proven = look->evidence.writers == IMG_WRITERS_NONE;
  status->openers_complete = scan != NULL && scan->n_uninspected == 0 && !scan->is_confined
                             && (kind == IMG_FS_LOCAL || kind == IMG_FS_DEVICE);
  if (status->n_uninspected > 0)
    add_note (status, "%u process%s could not be looked into%s", status->n_uninspected,
              status->n_uninspected == 1 ? "" : "es", geteuid () == 0 ? "" : " (try as root)");
  if (scan != NULL && scan->is_confined)
    add_note (status,
              "there may be processes that cannot be seen from here (another pid namespace, "
              "or hidden by /proc)");
  if (kind == IMG_FS_FUSE || kind == IMG_FS_NETWORK || kind == IMG_FS_UNKNOWN)
    {
      const char *type = status->filesystem.type == NULL ? "strange" : status->filesystem.type;
      g_autofree char *safe = img_text_escape (type, -1);
      add_note (status, "on a %s file system other hosts may have it open without a lock", safe);
    }
  note_reach (look);
  note_delegations (look);
  if (status->probe != NULL && status->probe->is_truncated)
    add_note (status, "there are more locks than are listed here");
}

/* Lines of the kernel's table that may be this file's and that nobody accounts for. */
static gboolean
has_doubtful_lines (const Look *look)
{
  return look->evidence.key.is_ambiguous && look->evidence.lines != NULL
         && look->evidence.lines->len > 0;
}

const char *
img_status_untrusted_reason (const ImgStatus *status)
{
  if (status->answers != IMG_ANSWERS_UNTRUSTED)
    return NULL;
  return status->trial == IMG_TRIAL_HIDDEN
             ? "the file server does not show read locks, such as QEMU's (a lock was tried)"
             : "Linux NFSv3 servers since late 2025 call bytes free that other hosts have "
               "read-locked, as QEMU does";
}

static void
decide_state (Look *look)
{
  ImgStatus *status = look->status;
  const ImgProbe *probe = status->probe;
  gboolean was_answered = probe != NULL && (probe->asked_posix || probe->asked_ofd);

  status->state = IMG_STATUS_FREE;
  for (guint i = 0; i < status->holders->len; i++)
    {
      const ImgHolder *holder = status->holders->pdata[i];
      if (holder->kind == IMG_HOLDER_LOCK || holder->can_write)
        status->state = IMG_STATUS_IN_USE;
    }
  if (status->state == IMG_STATUS_IN_USE)
    return;
  if (look->params->locking == IMG_LOCKING_OFF)
    {
      if (img_fs_is_this_host_only (status->filesystem.kind) && !has_doubtful_lines (look)
          && look->evidence.lines != NULL)
        return;
      status->error = g_strdup ("without asking for locks (--locking=off) nobody can tell here");
    }
  else if (status->may_not_read)
    status->error = g_strdup ("no permission to read it, so nobody can be asked about its locks");
  else if (status->answers == IMG_ANSWERS_UNTRUSTED)
    status->error = g_strdup (img_status_untrusted_reason (status));
  else if (!was_answered)
    status->error = g_strdup_printf ("this file system does not tell about locks: %s",
                                     g_strerror (probe == NULL ? 0 : probe->error));
  if (status->error != NULL)
    status->state = IMG_STATUS_UNKNOWN;
}

/* Whether what the probe said can be believed. */
static void
judge_answers (Look *look)
{
  ImgStatus *status = look->status;
  const ImgProbe *probe = status->probe;
  gboolean with_ofd = look->params->locking != IMG_LOCKING_POSIX && img_lock_kernel_has_ofd ();

  status->answers = IMG_ANSWERS_NONE;
  if (probe == NULL || (!probe->asked_posix && !probe->asked_ofd))
    return;
  if (status->trial == IMG_TRIAL_WANTED)
    status->trial = img_trial_make (look->fd, with_ofd ? IMG_LOCK_OFD : IMG_LOCK_POSIX);
  if (status->trial == IMG_TRIAL_HIDDEN || img_remote_kind (look->fd) == IMG_REMOTE_NFS3)
    status->answers = IMG_ANSWERS_UNTRUSTED;
  else if (status->trial == IMG_TRIAL_SHOWN)
    status->answers = IMG_ANSWERS_TRIED;
  else if (status->trial == IMG_TRIAL_KERNEL || img_fs_is_this_host_only (status->filesystem.kind))
    status->answers = IMG_ANSWERS_KERNEL;
  else
    status->answers = IMG_ANSWERS_SERVER;
}

/* One pass: probe, gather, name the holders. Returns FALSE if the locks changed meanwhile. */
static gboolean
look_once (Look *look)
{
  ImgStatus *status = look->status;
  gboolean can_probe = look->fd >= 0 && look->params->locking != IMG_LOCKING_OFF;
  gboolean with_ofd = look->params->locking != IMG_LOCKING_POSIX;

  img_evidence_clear (&look->evidence);
  g_ptr_array_set_size (status->notes, 0);
  g_clear_pointer (&status->holders, g_ptr_array_unref);
  g_clear_pointer (&status->probe, img_probe_free);
  if (can_probe)
    status->probe = img_probe_new (look->fd, with_ofd);
  judge_answers (look);
  gather (look);
  g_clear_pointer (&status->queue, g_ptr_array_unref);
  status->holders = img_evidence_holders (&look->evidence, status->notes);
  status->queue = img_queue_read (&look->evidence);
  if (!can_probe)
    return TRUE;
  g_autoptr (ImgProbe) again = img_probe_new (look->fd, with_ofd);
  return img_probe_equal (status->probe, again);
}

static ImgStatus *
new_status (const char *path)
{
  ImgStatus *status = g_new0 (ImgStatus, 1);
  status->path = g_strdup (path);
  status->holders = g_ptr_array_new_with_free_func ((GDestroyNotify)img_holder_free);
  status->queue = g_ptr_array_new ();
  status->notes = g_ptr_array_new_with_free_func (g_free);
  return status;
}

ImgStatus *
img_status_new_unknown (const char *path, const char *message)
{
  ImgStatus *status = new_status (path);
  status->state = IMG_STATUS_UNKNOWN;
  status->error = g_strdup (message);
  img_verdicts_fill (status);
  return status;
}

/* The file @path, or if it is that, what @member was when it was found. */
static int
find_node (const char *path, const ImgMember *member, struct stat *st, GError **error)
{
  if (member == NULL || member->front == NULL)
    return img_node_find (path, st, error);
  g_auto (ImgFd) node = img_node_find_named (path, member->root, st, error);
  guint64 device = 0, inode = 0;
  if (node >= 0)
    img_identity_of (st, &device, &inode);
  if (node >= 0 && (device != member->device || inode != member->inode))
    {
      g_autofree char *safe = img_text_escape (path, -1);
      img_throw (error, IMG_ERROR_FAILED,
                 "'%s' was replaced by another file while the chain was looked at", safe);
      return -1;
    }
  return img_fd_steal (&node);
}

static void
set_member (ImgStatus *status, const ImgMember *member)
{
  if (member == NULL)
    return;
  status->what = member->what;
  status->front = g_strdup (member->front);
}

ImgStatus *
img_status_new (const char *path, const ImgStatusParams *params, GError **error)
{
  g_autoptr (ImgStatus) status = new_status (path);
  g_auto (Look) look = { .status = status, .params = params, .node = -1, .fd = -1 };

  status->locking = params->locking;
  status->trial = params->trial;
  look.node = find_node (path, params->member, &look.st, error);
  if (look.node < 0)
    return NULL;
  set_member (status, params->member);
  /* Opening and closing it here would drop this process's own POSIX locks on it. */
  g_assert (!img_inode_is_open (&look.st));
  look.fd = img_node_open (look.node, O_RDONLY);
  look.is_leased = look.fd < 0 && errno == EWOULDBLOCK;
  if (look.fd < 0 && errno != EACCES && errno != EPERM && !look.is_leased)
    {
      g_autofree char *safe = img_text_escape (path, -1);
      return img_null_throw_errno (error, "cannot open '%s'", safe);
    }
  status->may_not_read = look.fd < 0 && !look.is_leased;
  img_inode_key_get (look.node, &look.st, &look.evidence.key);
  img_filesystem_get (&look.evidence.key, &status->filesystem);
  read_head (&look);

  status->has_changed = TRUE;
  for (guint looks = 0; looks < MAX_LOOKS && status->has_changed; looks++)
    status->has_changed = !look_once (&look);
  if (status->has_changed)
    add_note (status, "the locks were changing while they were looked at");
  note_what_was_not_seen (&look);
  decide_state (&look);
  img_verdicts_fill (status);
  return g_steal_pointer (&status);
}

void
img_status_free (ImgStatus *status)
{
  g_free (status->path);
  g_free (status->front);
  g_free (status->error);
  img_filesystem_clear (&status->filesystem);
  g_clear_pointer (&status->probe, img_probe_free);
  g_clear_pointer (&status->holders, g_ptr_array_unref);
  g_clear_pointer (&status->queue, g_ptr_array_unref);
  for (guint use = 0; use < IMG_N_USES; use++)
    {
      g_clear_pointer (&status->verdicts[use].by, g_ptr_array_unref);
      g_free (status->verdicts[use].reason);
    }
  g_ptr_array_unref (status->notes);
  g_free (status);
}

gboolean
img_status_is_raw (const ImgStatus *status)
{
  return g_strcmp0 (status->format, "raw") == 0 && status->front == NULL;
}

static gboolean
knows_all_writers (const ImgStatus *status)
{
  return status->no_writers_proven || status->openers_complete;
}

gboolean
img_status_is_certain (const ImgStatus *status)
{
  if (status->state == IMG_STATUS_UNKNOWN || status->has_changed)
    return FALSE;
  return status->state == IMG_STATUS_IN_USE
         || (knows_all_writers (status) && !status->may_hide_locks);
}

gboolean
img_status_is_certain_for (const ImgStatus *status, ImgUse use)
{
  ImgVerdictKind kind = status->verdicts[use].kind;
  ImgPermSet set = img_use_permissions (use, img_status_is_raw (status));
  if (kind != IMG_VERDICT_POSSIBLE)
    return kind != IMG_VERDICT_UNKNOWN;
  if (status->has_changed || (status->may_hide_locks && (set.uses & IMG_PERM_WRITE)))
    return FALSE;
  return !(set.forbids & IMG_PERM_WRITE) || knows_all_writers (status);
}
