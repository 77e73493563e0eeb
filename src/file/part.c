/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "file/part.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/at-signal.h"
#include "base/text.h"
#include "file/inode-registry.h"

#define SUFFIX ".imgtool-part"

/* Two that start at once take each other's new file for a leftover now and then, and begin again;
 * so often in a row only if something else is wrong. */
#define MAX_TRIES 40

/* A new part file is empty and not yet locked for an instant. So long an empty one is let be, in
 * microseconds. */
#define BIRTH_TIME (200 * G_TIME_SPAN_MILLISECOND)

struct ImgPart
{
  const ImgPlace *place; /* borrowed */
  char *name;            /* owned; in the folder of the place */
  char *path;            /* owned */
  char *safe_path;       /* owned; for messages */
  const char *target;    /* borrowed, while it is being made; for messages */
  uid_t owner;           /* whose leftovers, besides ours, may be removed */
  struct stat st;        /* of what was made */
  ImgFile *file;         /* owned */
  /* There is a file of this name that we have made. Read in signal handlers. */
  volatile gboolean is_ours;
};

/* What is told of one try. */
typedef enum
{
  TRY_DONE,
  TRY_AGAIN,
  TRY_FAILED, /* the error is set */
} Try;

char *
img_part_name (const ImgPlace *place)
{
  long most = fpathconf (place->folder, _PC_NAME_MAX);
  gsize limit = most < 0 || most > 255 ? 255 : (gsize)most;
  gsize length = strlen (place->name), extra = strlen ("." SUFFIX) + 2; /* see random_name() */

  if (length + extra <= limit)
    return g_strconcat (".", place->name, SUFFIX, NULL);
  g_autofree char *hash = g_compute_checksum_for_string (G_CHECKSUM_SHA256, place->name, -1);
  gsize kept = limit > extra + 17 ? limit - extra - 17 : 0;
  kept = MIN (kept, length);
  /* Not within a character: some file systems want whole ones. */
  while (kept > 0 && ((guchar)place->name[kept] & 0xc0u) == 0x80u)
    kept--;
  return g_strdup_printf (".%.*s~%.16s" SUFFIX, (int)kept, place->name, hash);
}

static char *
random_name (const ImgPlace *place)
{
  static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  char end[7] = "";
  g_autofree char *name = img_part_name (place);

  for (guint i = 0; i < 6; i++)
    end[i] = letters[g_random_int_range (0, (gint)strlen (letters))];
  name[strlen (name) - strlen ("part")] = '\0';
  return g_strconcat (name, end, NULL);
}

/* At a signal, and otherwise: take away what was made, if it still has the name. */
static void
remove_file (gpointer what)
{
  ImgPart *part = what;
  if (part->is_ours && img_place_has (part->place, part->name, &part->st))
    (void)unlinkat (part->place->folder, part->name, 0);
  part->is_ours = FALSE;
}

static gboolean
can_lock (ImgLocking locking, ImgPermSet permissions)
{
  return locking != IMG_LOCKING_OFF && (permissions.uses | permissions.forbids) != 0
         && (locking != IMG_LOCKING_AUTO || img_lock_kernel_has_ofd ());
}

static void
set_name (ImgPart *part, char *name)
{
  g_free (part->name);
  g_free (part->path);
  g_free (part->safe_path);
  part->name = name;
  part->path = g_build_filename (part->place->folder_path, name, NULL);
  part->safe_path = img_text_escape (part->path, -1);
}

/* Make the file, or not at all: -1 with errno set. No signal comes between making and knowing. */
static int
create (ImgPart *part)
{
  img_at_signal_hold ();
  int fd = openat (part->place->folder, part->name,
                   O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0600);
  if (fd >= 0 && fstat (fd, &part->st) == 0)
    part->is_ours = TRUE;
  else if (fd >= 0)
    {
      int saved_errno = errno;
      (void)unlinkat (part->place->folder, part->name, 0);
      img_fd_clear (&fd);
      errno = saved_errno;
    }
  img_at_signal_release ();
  /* A umask may take away even what the owner needs to find it again as a leftover. */
  if (fd >= 0 && (part->st.st_mode & 0777) != 0600)
    (void)!fchmod (fd, 0600);
  return fd;
}

static Try
throw_locked (const char *target, GError **error)
{
  img_throw (error, IMG_ERROR_LOCKED, "cannot write '%s': another run is writing it", target);
  return TRY_FAILED;
}

/* Lock what was just made; then it must still have the name. */
static Try
lock_new (ImgPart *part, int fd, const ImgFileParams *params, GError **error)
{
  g_autoptr (GError) failure = NULL;

  part->file = img_file_adopt (fd, part->path, params, &failure);
  if (part->file == NULL && g_error_matches (failure, IMG_ERROR, IMG_ERROR_LOCKED))
    {
      /* Somebody takes it for a leftover and will remove it. */
      part->is_ours = FALSE;
      return TRY_AGAIN;
    }
  if (part->file == NULL)
    {
      remove_file (part);
      g_propagate_error (error, g_steal_pointer (&failure));
      return TRY_FAILED;
    }
  if (img_place_has_now (part->place, part->name, img_file_fd (part->file)))
    return TRY_DONE;
  part->is_ours = FALSE;
  g_clear_pointer (&part->file, img_file_close);
  return TRY_AGAIN;
}

/* What has the name and cannot be a leftover of ours. */
static const char *
why_foreign (const ImgPart *part, const struct stat *st)
{
  return !S_ISREG (st->st_mode)                                  ? "is no regular file"
         : st->st_uid != geteuid () && st->st_uid != part->owner ? "belongs to another user"
         : st->st_nlink > 1       ? "has more than one name (hard links)"
         : img_inode_is_open (st) ? "is in use by this command"
                                  : NULL;
}

static Try
throw_in_the_way (const ImgPart *part, const char *why, GError **error)
{
  img_throw (error, IMG_ERROR_FAILED,
             "cannot write '%s': '%s' is in the way: it %s, and was left alone", part->target,
             part->safe_path, why);
  return TRY_FAILED;
}

/* Whether @st is a file that somebody may have made in this very moment. */
static gboolean
is_being_born (const struct stat *st)
{
  gint64 born = (gint64)st->st_ctim.tv_sec * G_USEC_PER_SEC + st->st_ctim.tv_nsec / 1000;
  gint64 age = g_get_real_time () - born;
  return st->st_size == 0 && age >= 0 && age < BIRTH_TIME;
}

/* With the leftover locked: remove it, if the name is still its own. */
static Try
remove_leftover (const ImgPart *part, ImgFile *leftover, GError **error)
{
  if (!img_place_has_now (part->place, part->name, img_file_fd (leftover)))
    return TRY_AGAIN;
  if (unlinkat (part->place->folder, part->name, 0) == 0 || errno == ENOENT)
    return TRY_AGAIN;
  img_throw_errno (error, "cannot write '%s': cannot remove the leftover '%s'", part->target,
                   part->safe_path);
  return TRY_FAILED;
}

/* The name is taken: by another run, by a leftover, which goes, or by something else. */
static Try
clear_away (const ImgPart *part, const ImgFileParams *params, GError **error)
{
  struct stat st;
  const char *why = NULL;

  if (fstatat (part->place->folder, part->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
    return TRY_AGAIN;
  why = why_foreign (part, &st);
  if (why != NULL)
    return throw_in_the_way (part, why, error);
  if (is_being_born (&st))
    return TRY_AGAIN;

  g_auto (ImgFd) fd = openat (part->place->folder, part->name,
                              O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (fd < 0 && (errno == ENOENT || errno == ELOOP))
    return TRY_AGAIN;
  if (fd < 0 || fstat (fd, &st) < 0)
    {
      img_throw_errno (error, "cannot write '%s': cannot open the leftover '%s'", part->target,
                       part->safe_path);
      return TRY_FAILED;
    }
  why = why_foreign (part, &st);
  if (why != NULL)
    return throw_in_the_way (part, why, error);

  g_autoptr (ImgFile) leftover = img_file_adopt (img_fd_steal (&fd), part->path, params, error);
  if (leftover != NULL)
    return remove_leftover (part, leftover, error);
  if (error != NULL && g_error_matches (*error, IMG_ERROR, IMG_ERROR_LOCKED))
    g_prefix_error (error, "another run is writing '%s': ", part->target);
  return TRY_FAILED;
}

static Try
try_once (ImgPart *part, const ImgFileParams *params, gboolean is_predictable, GError **error)
{
  if (!is_predictable)
    set_name (part, random_name (part->place));
  int fd = create (part);
  if (fd >= 0)
    return lock_new (part, fd, params, error);
  if (errno != EEXIST)
    {
      img_throw_errno (error, "cannot create '%s'", part->safe_path);
      return TRY_FAILED;
    }
  return is_predictable ? clear_away (part, params, error) : TRY_AGAIN;
}

ImgPart *
img_part_new (const ImgPlace *place, const char *target, uid_t owner, ImgLocking locking,
              ImgPermSet permissions, GError **error)
{
  ImgFileParams params = { .is_writable = TRUE, .locking = locking, .permissions = permissions };
  ImgPart *part = g_new0 (ImgPart, 1);
  Try result = TRY_AGAIN;

  part->place = place;
  part->target = target;
  part->owner = owner;
  set_name (part, img_part_name (place));
  img_at_signal_add (IMG_AT_SIGNAL_REMOVE, remove_file, part);
  for (guint tries = 0; tries < MAX_TRIES && result == TRY_AGAIN; tries++)
    {
      if (tries > 0)
        g_usleep ((gulong)g_random_int_range (1000, 20000));
      result = try_once (part, &params, can_lock (locking, permissions), error);
    }
  if (result == TRY_AGAIN)
    result = throw_locked (target, error);
  if (result == TRY_DONE)
    return part;
  img_part_free (part);
  return NULL;
}

ImgFile *
img_part_file (const ImgPart *part)
{
  return part->file;
}

const char *
img_part_path (const ImgPart *part)
{
  return part->path;
}

const char *
img_part_name_now (const ImgPart *part)
{
  return part->name;
}

const struct stat *
img_part_stat (const ImgPart *part)
{
  return &part->st;
}

void
img_part_set_published (ImgPart *part)
{
  part->is_ours = FALSE;
}

void
img_part_free (ImgPart *part)
{
  img_at_signal_hold ();
  remove_file (part);
  img_at_signal_remove (IMG_AT_SIGNAL_REMOVE, remove_file, part);
  img_at_signal_release ();
  if (part->file != NULL)
    img_file_close (part->file);
  g_free (part->name);
  g_free (part->path);
  g_free (part->safe_path);
  g_free (part);
}
