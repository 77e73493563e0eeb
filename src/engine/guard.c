/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/guard.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/proc-stat.h"
#include "base/text.h"
#include "engine/members.h"
#include "file/adopt.h"

/* For a file server that is away while a guard ends: GlusterFS's clients took 3 s to find a new
 * brick. */
#define VERIFY_PATIENCE (10 * G_TIME_SPAN_SECOND)

struct ImgGuard
{
  GPtrArray *files;    /* owned ImgFile */
  GPtrArray *warnings; /* owned char * */
};

/* A chain that changes this often while it is being locked is not going to stand still. */
#define MAX_CHANGES 8

/* An image to be locked, and its place in the order. */
typedef struct
{
  const ImgImageSpec *spec; /* borrowed: it, or what leads to it */
  char *path;               /* owned */
  ImgPermSet permissions;
  gboolean is_named, no_devices; /* see ImgFileParams */
  ImgRoot *root;                 /* owned: one use; or NULL */
  guint64 device, inode;
} Candidate;

static void
candidate_clear (gpointer data)
{
  Candidate *candidate = data;
  g_free (candidate->path);
  g_clear_pointer (&candidate->root, img_root_unref);
}

static GArray *
candidates_new (void)
{
  GArray *candidates = g_array_new (FALSE, TRUE, sizeof (Candidate));
  g_array_set_clear_func (candidates, candidate_clear);
  return candidates;
}

static gint
compare_candidates (gconstpointer a, gconstpointer b)
{
  const Candidate *x = a, *y = b;
  if (x->device != y->device)
    return x->device < y->device ? -1 : 1;
  return (x->inode > y->inode) - (x->inode < y->inode);
}

static gboolean
add_image (GArray *candidates, const ImgImageSpec *spec, const ImgGuardParams *params,
           GError **error)
{
  struct stat st;
  if (stat (spec->path, &st) < 0)
    {
      g_autofree char *safe = img_text_escape (spec->path, -1);
      return img_throw_errno (error, "cannot open '%s'", safe);
    }
  Candidate candidate
      = { .spec = spec, .path = g_strdup (spec->path), .permissions = params->permissions };
  img_identity_of (&st, &candidate.device, &candidate.inode);
  g_array_append_val (candidates, candidate);
  return TRUE;
}

/* The image and what is behind it; a data file of its own is a part of it. */
static gboolean
add_chain (GArray *candidates, const ImgImageSpec *spec, const ImgGuardParams *params,
           GError **error)
{
  g_autoptr (GPtrArray) members = g_ptr_array_new_with_free_func ((GDestroyNotify)img_member_free);
  g_autofree char *refused = NULL;
  ImgOpenParams open_params = { .format = spec->format, .policy = params->policy };

  if (!img_members_find (spec->path, &open_params, members, &refused, error))
    return FALSE;
  for (guint i = 0; i < members->len; i++)
    {
      const ImgMember *member = members->pdata[i];
      Candidate candidate
          = { .spec = spec,
              .path = g_strdup (member->path),
              .permissions = member->depth == 0 ? params->permissions
                                                : img_use_permissions (IMG_USE_READ, FALSE),
              .is_named = member->front != NULL,
              .no_devices = member->no_devices,
              .root = member->root == NULL ? NULL : img_root_ref (member->root),
              .device = member->device,
              .inode = member->inode };
      g_array_append_val (candidates, candidate);
    }
  return TRUE;
}

/* @a and @b are one file: lock it for both. */
static gboolean
merge (Candidate *a, const Candidate *b, GError **error)
{
  ImgPermSet *x = &a->permissions;
  const ImgPermSet *y = &b->permissions;

  if (x->uses == y->uses && x->forbids == y->forbids)
    return TRUE;
  if ((x->uses & y->forbids) || (y->uses & x->forbids))
    {
      g_autofree char *safe = img_text_escape (a->path, -1);
      return img_throw (error, IMG_ERROR_FAILED,
                        "'%s' cannot be locked both for itself and as what is behind another image",
                        safe);
    }
  x->uses |= y->uses;
  x->forbids |= y->forbids;
  return TRUE;
}

/* What is to be locked, in the order of locking, each inode once. */
static GArray *
order (const ImgImageSpec *specs, guint n, const ImgGuardParams *params, GError **error)
{
  g_autoptr (GArray) candidates = candidates_new ();
  for (guint i = 0; i < n; i++)
    if (!(params->with_chain ? add_chain : add_image) (candidates, &specs[i], params, error))
      return NULL;
  g_array_sort (candidates, compare_candidates);
  for (guint i = 1; i < candidates->len;)
    {
      Candidate *before = &g_array_index (candidates, Candidate, i - 1);
      const Candidate *candidate = &g_array_index (candidates, Candidate, i);
      if (compare_candidates (before, candidate) != 0)
        i++;
      else if (merge (before, candidate, error))
        g_array_remove_index (candidates, i);
      else
        return NULL;
    }
  return g_steal_pointer (&candidates);
}

static gboolean
is_unlocked (const ImgLock *lock, const Candidate *candidate)
{
  return img_lock_kind (lock) == IMG_LOCK_NONE && candidate->spec->locking != IMG_LOCKING_OFF
         && (candidate->permissions.uses != 0 || candidate->permissions.forbids != 0);
}

static gboolean
throw_unchecked (const char *path, GError **error)
{
  g_autofree char *safe = img_text_escape (path, -1);
  return img_throw (
      error, IMG_ERROR_NO_LOCKS,
      "'%s': its file server does not show the locks of others, so a lock for reading "
      "protects nothing: --write can be made sure of, --locking=off goes without",
      safe);
}

static gboolean
throw_unlocked (const char *path, GError **error)
{
  g_autofree char *safe = img_text_escape (path, -1);
  return img_throw (error, IMG_ERROR_NO_LOCKS,
                    "'%s' cannot be locked with OFD locks: --locking=posix uses POSIX locks, "
                    "--locking=off goes without",
                    safe);
}

static gboolean
lock_one (ImgGuard *guard, const Candidate *candidate, gint64 deadline, GError **error)
{
  gint64 left = deadline == G_MAXINT64 ? IMG_WAIT_FOREVER : deadline - g_get_monotonic_time ();
  ImgFileParams file_params = { .is_writable = (candidate->permissions.uses & IMG_PERM_WRITE) != 0,
                                .is_named = candidate->is_named,
                                .no_devices = candidate->no_devices,
                                .root = candidate->root,
                                .locking = candidate->spec->locking,
                                .permissions = candidate->permissions,
                                .lock_wait = MAX (left, IMG_WAIT_NONE) };
  ImgFile *file = img_open_file (candidate->path, &file_params, error);
  if (file == NULL)
    return FALSE;
  g_ptr_array_add (guard->files, file);
  const ImgLock *lock = img_file_lock (file);
  if (is_unlocked (lock, candidate))
    return throw_unlocked (candidate->path, error);
  if (img_lock_is_unchecked (lock))
    return throw_unchecked (candidate->path, error);
  if (img_lock_warning (lock) != NULL)
    g_ptr_array_add (guard->warnings, g_strdup (img_lock_warning (lock)));
  return TRUE;
}

static ImgGuard *
lock_all (const GArray *candidates, gint64 deadline, GError **error)
{
  g_autoptr (ImgGuard) guard = g_new0 (ImgGuard, 1);

  guard->files = g_ptr_array_new_with_free_func ((GDestroyNotify)img_file_close);
  guard->warnings = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; i < candidates->len; i++)
    if (!lock_one (guard, &g_array_index (candidates, Candidate, i), deadline, error))
      return NULL;
  return g_steal_pointer (&guard);
}

/* Whether what is locked is still what there is to lock, and locked as it must be. Looking at what
 * this process has locked opens nothing anew. */
static gboolean
is_settled (const ImgGuard *guard, const GArray *candidates, const GArray *now)
{
  if (now->len != candidates->len)
    return FALSE;
  for (guint i = 0; i < now->len; i++)
    {
      const Candidate *old = &g_array_index (candidates, Candidate, i);
      const Candidate *new = &g_array_index (now, Candidate, i);
      guint64 device, inode;
      struct stat st;
      if (fstat (img_file_fd (guard->files->pdata[i]), &st) < 0)
        return FALSE;
      img_identity_of (&st, &device, &inode);
      if (device != new->device || inode != new->inode
          || old->permissions.uses != new->permissions.uses
          || old->permissions.forbids != new->permissions.forbids)
        return FALSE;
    }
  return TRUE;
}

ImgGuard *
img_guard_new (const ImgImageSpec *specs, guint n, const ImgGuardParams *params, GError **error)
{
  gint64 now = g_get_monotonic_time ();
  gint64 deadline = params->lock_wait > G_MAXINT64 - now ? G_MAXINT64 : now + params->lock_wait;

  for (guint tries = 0; tries < MAX_CHANGES; tries++)
    {
      g_autoptr (GArray) candidates = order (specs, n, params, error);
      g_autoptr (ImgGuard) guard
          = candidates == NULL ? NULL : lock_all (candidates, deadline, error);
      if (guard == NULL || !params->with_chain)
        return g_steal_pointer (&guard);
      g_autoptr (GArray) again = order (specs, n, params, error);
      if (again == NULL)
        return NULL;
      if (is_settled (guard, candidates, again))
        return g_steal_pointer (&guard);
    }
  return img_null_throw (error, IMG_ERROR_FAILED,
                         "the chain of images is being changed all the time");
}

/* A server that was restarted is back soon, and then says what became of the lock. */
static gboolean
verify_with_patience (ImgFile *file, gint64 deadline, ImgLockState *state, GError **error)
{
  while (img_file_verify_lock (file, state, error))
    {
      if (*state != IMG_LOCK_UNANSWERED)
        return TRUE;
      if (g_get_monotonic_time () >= deadline)
        {
          g_autofree char *safe = img_text_escape (img_file_path (file), -1);
          return img_throw (error, IMG_ERROR_LOCK_LOST,
                            "the lock on '%s' may have been lost: its file server does not answer "
                            "any more",
                            safe);
        }
      g_usleep (100000);
    }
  return FALSE;
}

gboolean
img_guard_verify (ImgGuard *guard, gboolean *is_certain, GError **error)
{
  gint64 deadline = g_get_monotonic_time () + VERIFY_PATIENCE;
  *is_certain = TRUE;
  for (guint i = 0; i < guard->files->len; i++)
    {
      ImgLockState state;
      if (!verify_with_patience (guard->files->pdata[i], deadline, &state, error))
        return FALSE;
      *is_certain &= state == IMG_LOCK_HELD;
    }
  return TRUE;
}

void
img_guard_free (ImgGuard *guard)
{
  g_ptr_array_unref (guard->files);
  g_ptr_array_unref (guard->warnings);
  g_free (guard);
}

const GPtrArray *
img_guard_warnings (const ImgGuard *guard)
{
  return guard->warnings;
}

void
img_guard_export (const ImgGuard *guard)
{
  const char *outer = g_getenv (IMG_GUARD_VARIABLE);
  g_autoptr (GString) value = g_string_new (outer);
  guint n = 0;

  g_string_append_printf (value, "%s%d:%" G_GUINT64_FORMAT ":", value->len > 0 ? " " : "",
                          (int)getpid (), img_proc_start_ticks (getpid ()));
  for (guint i = 0; i < guard->files->len; i++)
    if (img_lock_kind (img_file_lock (guard->files->pdata[i])) == IMG_LOCK_OFD)
      g_string_append_printf (value, "%s%d", n++ > 0 ? "," : "",
                              img_file_fd (guard->files->pdata[i]));
  if (n > 0)
    g_setenv (IMG_GUARD_VARIABLE, value->str, TRUE);
}

/* Whether @fd is the file that @path names. */
static gboolean
check_fd (int fd, const char *path, GError **error)
{
  g_autofree char *safe = path == NULL ? NULL : img_text_escape (path, -1);
  struct stat of_fd, of_path;

  if (fstat (fd, &of_fd) < 0)
    return img_throw_errno (error, "descriptor %d cannot be used", fd);
  if (!S_ISREG (of_fd.st_mode) && !S_ISBLK (of_fd.st_mode))
    return img_throw (error, IMG_ERROR_FAILED,
                      "descriptor %d is neither a regular file nor a block device", fd);
  if ((fcntl (fd, F_GETFL) & O_ACCMODE) == O_WRONLY)
    return img_throw (error, IMG_ERROR_FAILED,
                      "descriptor %d is open for writing only, and a lock needs one that can read",
                      fd);
  if (path == NULL)
    return TRUE;
  if (stat (path, &of_path) < 0)
    return img_throw_errno (error, "cannot look at '%s'", safe);
  if (of_fd.st_dev != of_path.st_dev || of_fd.st_ino != of_path.st_ino)
    return img_throw (error, IMG_ERROR_FAILED, "descriptor %d is not '%s', or not any more", fd,
                      safe);
  return TRUE;
}

gboolean
img_guard_lock_fd (int fd, const char *path, const ImgGuardParams *params, char **warning,
                   GError **error)
{
  g_autofree char *link = g_strdup_printf ("/proc/self/fd/%d", fd);
  g_autofree char *name = path == NULL ? g_strdup_printf ("descriptor %d", fd) : g_strdup (path);

  *warning = NULL;
  if (!check_fd (fd, path, error))
    return FALSE;
  if (params->locking == IMG_LOCKING_OFF)
    return TRUE;
  if (!img_lock_kernel_has_ofd ())
    return img_throw (error, IMG_ERROR_NO_LOCKS,
                      "there are no OFD locks here, and a lock on a descriptor can be no other");
  /* What the description has already stays, also if more cannot be had. */
  g_autoptr (ImgLock) lock
      = img_lock_adopt (fd, name, params->permissions, params->lock_wait, error);
  if (lock == NULL)
    {
      if (error != NULL && g_error_matches (*error, IMG_ERROR, IMG_ERROR_LOCKED))
        img_open_name_holders (link, params->permissions, params->locking, error);
      return FALSE;
    }
  if (img_lock_is_unchecked (lock))
    return throw_unchecked (name, error);
  /* The name may have got another file while this waited. */
  if (!check_fd (fd, path, error))
    return FALSE;
  *warning = img_lock_reach_warning (lock, params->permissions);
  img_lock_leave (g_steal_pointer (&lock));
  return TRUE;
}

gboolean
img_guard_unlock_fd (int fd, const char *path, GError **error)
{
  if (!check_fd (fd, path, error))
    return FALSE;
  for (guint bit = 0; bit < IMG_PERM_BITS; bit++)
    {
      int used = img_unlock_byte (fd, IMG_LOCK_OFD, IMG_PERM_USED_BASE + bit);
      int forbidden = img_unlock_byte (fd, IMG_LOCK_OFD, IMG_PERM_FORBIDDEN_BASE + bit);
      if (used != 0 || forbidden != 0)
        return img_throw (error, IMG_ERROR_FAILED, "cannot unlock descriptor %d: %s", fd,
                          g_strerror (used != 0 ? used : forbidden));
    }
  return TRUE;
}
