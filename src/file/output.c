/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "file/output.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/at-signal.h"
#include "base/text.h"
#include "file/attributes.h"
#include "file/move.h"
#include "file/part.h"
#include "file/place.h"
#include "lock/remote.h"

struct ImgOutput
{
  char *safe_path;   /* owned; the target in messages */
  ImgPlace *place;   /* owned; of the target itself */
  ImgPart *part;     /* owned */
  ImgFile *replaced; /* owned, or NULL */
  ImgOutputParams params;
};

/* ---- before anything is written ------------------------------------------------------------- */

static gboolean
throw_in_place (GError **error, const char *safe, const char *why)
{
  return img_throw (error, IMG_ERROR_FAILED, "cannot replace '%s': %s; --in-place writes into it",
                    safe, why);
}

/* A run that was killed between giving the final name and taking the other off has left both. */
static void
finish_interrupted (const ImgPlace *place, const struct stat *st)
{
  g_autofree char *part = img_part_name (place);
  if (st->st_nlink == 2 && img_place_has (place, part, st))
    (void)!unlinkat (place->folder, part, 0);
}

/* FUSE servers remove an open file when they hear that it was closed, which may be a moment later:
 * so a name that was taken off is still counted. */
#define REMOVAL_TIME (300 * G_TIME_SPAN_MILLISECOND)

/* How many names the file behind @fd has, as its server knows now; 1 if it cannot say. */
static guint
count_names (int fd)
{
  gint64 begin = g_get_monotonic_time ();
  for (;;)
    {
      struct statx found;
      if (statx (fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_NLINK, &found) < 0)
        return 1;
      if (found.stx_nlink <= 1 || img_remote_kind (fd) != IMG_REMOTE_FUSE
          || g_get_monotonic_time () - begin > REMOVAL_TIME)
        return found.stx_nlink;
      g_usleep (10000);
    }
}

/* Whether the name stands for something mounted on it, which no rename can replace. */
static gboolean
is_mount_point (const ImgPlace *place)
{
  struct statx folder, file;
  if (statx (place->folder, "", AT_EMPTY_PATH, STATX_MNT_ID, &folder) < 0
      || statx (place->folder, place->name, AT_SYMLINK_NOFOLLOW, STATX_MNT_ID, &file) < 0)
    return FALSE;
  if (!(folder.stx_mask & file.stx_mask & STATX_MNT_ID))
    return folder.stx_dev_major != file.stx_dev_major || folder.stx_dev_minor != file.stx_dev_minor;
  return folder.stx_mnt_id != file.stx_mnt_id;
}

/* Which of chattr(1)'s flags forbids changes to @name in @folder; NULL if none does. */
static const char *
find_obstacle_flag (int folder, const char *name)
{
  struct statx found;
  if (statx (folder, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, 0, &found) < 0)
    return NULL;
  found.stx_attributes &= found.stx_attributes_mask;
  return found.stx_attributes & STATX_ATTR_IMMUTABLE ? "immutable (chattr +i)"
         : found.stx_attributes & STATX_ATTR_APPEND  ? "append-only (chattr +a)"
                                                     : NULL;
}

/* A new file in it could not be renamed, or not even removed. */
static gboolean
check_folder (const ImgOutput *output, GError **error)
{
  const ImgPlace *place = output->place;
  const char *flag = find_obstacle_flag (place->folder, "");
  g_autofree char *why = NULL;

  if (flag != NULL)
    why = g_strdup_printf ("its folder is %s", flag);
  else if (faccessat (place->folder, ".", W_OK | X_OK, AT_EACCESS) < 0)
    why = g_strdup_printf ("its folder cannot be written: %s", g_strerror (errno));
  if (why == NULL)
    return TRUE;
  return output->replaced != NULL ? throw_in_place (error, output->safe_path, why)
                                  : img_throw (error, IMG_ERROR_FAILED, "cannot create '%s': %s",
                                               output->safe_path, why);
}

/* That the file can be replaced, and should be by this process. */
static gboolean
check_replaced (const ImgOutput *output, GError **error)
{
  const ImgPlace *place = output->place;
  const char *safe = output->safe_path;
  struct stat st;

  if (fstat (img_file_fd (output->replaced), &st) < 0)
    return img_throw_errno (error, "cannot look at '%s'", safe);
  if (!S_ISREG (st.st_mode))
    return throw_in_place (error, safe, "it is no regular file");
  if (!img_place_has (place, place->name, &st))
    return img_throw (error, IMG_ERROR_FAILED,
                      "cannot replace '%s': another file has taken its name meanwhile", safe);
  finish_interrupted (place, &st);
  guint names = count_names (img_file_fd (output->replaced));
  if (names > 1)
    {
      g_autofree char *why = g_strdup_printf (
          "it has %u names (hard links), and the others would keep the old file", names);
      return throw_in_place (error, safe, why);
    }
  if (is_mount_point (place))
    return throw_in_place (error, safe, "it is mounted there by itself (a bind mount)");
  const char *flag = find_obstacle_flag (place->folder, place->name);
  if (flag != NULL)
    return img_throw (error, IMG_ERROR_FAILED, "cannot replace '%s': it is %s", safe, flag);
  if (faccessat (place->folder, place->name, W_OK, AT_EACCESS) < 0)
    return img_throw_errno (error, "cannot open '%s' for writing", safe);
  return check_folder (output, error);
}

static gboolean
check_absent (const ImgOutput *output, GError **error)
{
  struct stat st;
  if (fstatat (output->place->folder, output->place->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
    return TRUE;
  return img_throw (error, IMG_ERROR_APPEARED,
                    "cannot create '%s': it has appeared meanwhile, and was left alone",
                    output->safe_path);
}

static gboolean
check_new (const ImgOutput *output, GError **error)
{
  return check_absent (output, error) && check_folder (output, error);
}

static gboolean
begin (ImgOutput *output, const char *path, GError **error)
{
  struct stat old = { .st_uid = geteuid () };

  output->place = img_place_find (path, error);
  if (output->place == NULL)
    return FALSE;
  if (output->replaced != NULL ? !check_replaced (output, error) : !check_new (output, error))
    return FALSE;
  if (output->replaced != NULL && fstat (img_file_fd (output->replaced), &old) < 0)
    return img_throw_errno (error, "cannot look at '%s'", output->safe_path);
  output->part = img_part_new (output->place, output->safe_path, old.st_uid, output->params.locking,
                               output->params.permissions, error);
  if (output->part == NULL)
    return FALSE;
  /* Another run may have published while this one waited for its lock: better found out now. */
  if (output->replaced == NULL)
    return check_absent (output, error);
  return img_attributes_try (img_file_fd (output->replaced), img_file_fd (img_output_file (output)),
                             output->safe_path, error);
}

ImgOutput *
img_output_new (const char *path, ImgFile *replaced, const ImgOutputParams *params, GError **error)
{
  g_autoptr (ImgOutput) output = g_new0 (ImgOutput, 1);

  output->safe_path = img_text_escape (path, -1);
  output->replaced = replaced;
  output->params = *params;
  return begin (output, path, error) ? g_steal_pointer (&output) : NULL;
}

ImgFile *
img_output_file (ImgOutput *output)
{
  return img_part_file (output->part);
}

const char *
img_output_part_path (const ImgOutput *output)
{
  return img_part_path (output->part);
}

char *
img_output_part_path_of (const char *path)
{
  g_autoptr (ImgPlace) place = img_place_find (path, NULL);
  if (place == NULL)
    return NULL;
  g_autofree char *name = img_part_name (place);
  return g_build_filename (place->folder_path, name, NULL);
}

/* ---- when it is finished -------------------------------------------------------------------- */

static gboolean
verify_locks (const ImgOutput *output, GError **error)
{
  return img_file_verify_lock (img_part_file (output->part), NULL, error)
         && (output->replaced == NULL || img_file_verify_lock (output->replaced, NULL, error));
}

static gboolean
set_attributes (const ImgOutput *output, GError **error)
{
  int fd = img_file_fd (img_part_file (output->part));
  struct stat now;

  if (output->replaced != NULL)
    return img_attributes_copy (img_file_fd (output->replaced), fd, output->safe_path, error);
  mode_t mode = img_attributes_new_mode (output->place->folder, output->params.mode);
  if (fstat (fd, &now) == 0 && ((now.st_mode ^ mode) & 0777) == 0)
    return TRUE;
  return fchmod (fd, mode & 0777) == 0
         || img_throw_errno (error, "cannot set the mode of '%s'", output->safe_path);
}

/* That both names are what they were. */
static gboolean
check_names (const ImgOutput *output, GError **error)
{
  const ImgPlace *place = output->place;
  g_autofree char *safe_part = img_text_escape (img_part_path (output->part), -1);
  struct stat st;

  if (!img_place_has_now (place, img_part_name_now (output->part),
                          img_file_fd (img_part_file (output->part))))
    return img_throw (error, IMG_ERROR_FAILED,
                      "cannot finish '%s': its part file '%s' was removed or replaced meanwhile",
                      output->safe_path, safe_part);
  if (output->replaced == NULL)
    return TRUE;
  if (fstat (img_file_fd (output->replaced), &st) < 0)
    return img_throw_errno (error, "cannot look at '%s'", output->safe_path);
  if (!img_place_has (place, place->name, &st))
    return img_throw (error, IMG_ERROR_FAILED,
                      "cannot replace '%s': it was removed or replaced meanwhile",
                      output->safe_path);
  return count_names (img_file_fd (output->replaced)) <= 1
         || throw_in_place (error, output->safe_path, "it has got another name (hard link)");
}

static gboolean
throw_not_moved (const ImgOutput *output, GError **error)
{
  int why = errno;
  if (img_place_has (output->place, output->place->name, img_part_stat (output->part)))
    return img_throw (error, IMG_ERROR_FAILED,
                      "'%s' is complete and in place, but its part file cannot be removed: %s",
                      output->safe_path, g_strerror (why));
  errno = why;
  if (errno == EEXIST)
    return img_throw (error, IMG_ERROR_FAILED,
                      "cannot create '%s': it has appeared meanwhile, and was left alone",
                      output->safe_path);
  if (output->replaced == NULL)
    return img_throw_errno (error, "cannot create '%s'", output->safe_path);
  return throw_in_place (error, output->safe_path, g_strerror (why));
}

/* Renaming and being nothing to remove any more are one for signals. */
static gboolean
move (const ImgOutput *output, GError **error)
{
  const char *part = img_part_name_now (output->part);
  const struct stat *st = img_part_stat (output->part);

  img_at_signal_hold ();
  gboolean is_done = output->replaced != NULL ? img_move_over (output->place, part, st)
                                              : img_move_new (output->place, part, st);
  int why = errno;
  if (is_done)
    img_part_set_published (output->part);
  img_at_signal_release ();
  errno = why;
  return is_done || throw_not_moved (output, error);
}

gboolean
img_output_publish (ImgOutput *output, GError **error)
{
  ImgFile *file = img_part_file (output->part);

  if (!verify_locks (output, error) || !set_attributes (output, error))
    return FALSE;
  if (output->params.is_durable ? !img_file_flush (file, error)
                                : !img_file_collect_errors (file, error))
    return FALSE;
  if (!check_names (output, error) || !move (output, error))
    return FALSE;
  return !output->params.is_durable || img_place_flush (output->place, img_file_fd (file))
         || img_throw_errno (error,
                             "'%s' is complete and in place, but may not survive a power cut: its "
                             "folder cannot be brought to the disk",
                             output->safe_path);
}

void
img_output_free (ImgOutput *output)
{
  if (output->part != NULL)
    img_part_free (output->part);
  if (output->replaced != NULL)
    img_file_close (output->replaced);
  if (output->place != NULL)
    img_place_free (output->place);
  g_free (output->safe_path);
  g_free (output);
}
