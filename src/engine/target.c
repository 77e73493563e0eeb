/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/target.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/text.h"
#include "engine/bitmaps.h"
#include "engine/obstacle.h"
#include "engine/overlap.h"
#include "file/node.h"
#include "file/output.h"
#include "file/zero.h"
#include "lock/remote.h"
#include "sandbox/call.h"

/* In microseconds. */
#define LEAST_PATIENCE (300 * G_TIME_SPAN_MILLISECOND)
#define LOOK_AGAIN (50 * G_TIME_SPAN_MILLISECOND)

/* A name that is taken so often while it is looked at is being played with. */
#define MAX_TRIES 16

struct ImgTarget
{
  const ImgConvertParams *params; /* borrowed */
  char *safe_path;                /* owned; for messages */
  ImgFile *file;                  /* owned: what is written in place; or NULL */
  ImgOutput *output;              /* owned: what appears when it is whole; or NULL */
  ImgOutput *data;                /* owned: likewise, the data file of the image; or NULL */
  gboolean data_is_there;         /* it has appeared */
  gint64 patience;                /* microseconds to wait for whoever is in the way */
  gboolean replaces;              /* and then takes the place of something */
  guint64 size;                   /* guest bytes, or IMG_DISK_SIZE_UNKNOWN */
  ImgChain previous;              /* owned: the image that is there, which is written anew */
  gboolean has_begun;             /* what is written in place is not whole any more */
  ImgDisk *disk;                  /* owned: NULL before img_target_begin(), if it is an image */
};

static ImgFile *
file_of (const ImgTarget *target)
{
  return target->output != NULL ? img_output_file (target->output) : target->file;
}

ImgDisk *
img_target_disk (ImgTarget *target)
{
  return target->disk;
}

void
img_target_free (ImgTarget *target)
{
  g_clear_pointer (&target->disk, img_disk_close);
  img_chain_clear (&target->previous);
  g_clear_pointer (&target->data, img_output_free);
  g_clear_pointer (&target->output, img_output_free);
  g_clear_pointer (&target->file, img_file_close);
  g_free (target->safe_path);
  g_free (target);
}

void
img_target_note_lock (ImgFile *file, ImgConvertResult *result)
{
  const char *warning = img_lock_warning (img_file_lock (file));
  const char *remark = img_lock_remark (img_file_lock (file));
  if (warning != NULL)
    g_ptr_array_add (result->warnings, g_strdup (warning));
  if (remark != NULL)
    g_ptr_array_add (result->remarks, g_strdup (remark));
}

/* Whether the target's bytes are the guest's. */
static gboolean
is_raw (const ImgTarget *target)
{
  return strcmp (target->params->target->format, "raw") == 0;
}

/* ---- who else is there ---- */

/* Fail if the bytes behind @fd, called @name, are those of the target with @st. */
static gboolean
check_not_same (int fd, const char *name, const struct stat *st, const char *safe_target,
                GError **error)
{
  struct stat source;
  if (fstat (fd, &source) < 0)
    return img_throw_errno (error, "cannot look at %s", name);
  if (!img_overlap (&source, st))
    return TRUE;
  return img_throw (error, IMG_ERROR_FAILED, "%s and the target '%s' are the same file%s", name,
                    safe_target,
                    S_ISBLK (source.st_mode) || S_ISBLK (st->st_mode)
                        ? " or device, or one is a part of the other"
                        : "");
}

static gboolean
check_sources (ImgTarget *target, const char *path, GPtrArray *sources, const struct stat *st,
               GError **error)
{
  const ImgConvertParams *params = target->params;
  g_autofree char *safe_target = img_text_escape (path, -1);
  for (guint i = 0; i < sources->len; i++)
    {
      g_autofree char *safe = img_text_escape (img_file_path (sources->pdata[i]), -1);
      g_autofree char *name = g_strdup_printf ("the source '%s'", safe);
      if (!check_not_same (img_file_fd (sources->pdata[i]), name, st, safe_target, error))
        return FALSE;
    }
  for (guint i = 0; i < params->n_sources && params->dash_is_stream; i++)
    if (strcmp (params->sources[i].path, "-") == 0
        && !check_not_same (params->input_fd, "standard input", st, safe_target, error))
      return FALSE;
  return TRUE;
}

/* The file behind the target is not the target, nor its data file, also where nobody is to open it;
 * what it is called need not be there. */
static gboolean
check_backing (const ImgTarget *target, const struct stat *st, GError **error)
{
  ImgReference reference = { .name = target->params->create.backing_file };
  g_auto (ImgGatePath) path = { 0 };
  struct stat behind;

  if (reference.name == NULL || target->params->no_create
      || !img_gate_resolve (target->params->target->path, "backing file", &reference, &path, NULL)
      || stat (path.path, &behind) < 0 || !img_overlap (&behind, st))
    return TRUE;
  return img_throw (error, IMG_ERROR_FAILED,
                    "the backing file and what is to be written for '%s' are the same file",
                    target->safe_path);
}

/* Somebody who has the target open for writing does not see that it is replaced, or writes into
 * what is being written. */
static gboolean
check_openers (ImgTarget *target, const char *path, GError **error)
{
  if (target->params->ignore_openers)
    return TRUE;
  g_autofree char *reason
      = img_find_obstacle (path, target->params->target->locking, IMG_USE_CONVERT_TO, FALSE);
  if (reason == NULL)
    return TRUE;
  g_autofree char *safe = img_text_escape (path, -1);
  target->patience = MAX (target->params->lock_wait, LEAST_PATIENCE);
  return img_throw (error, IMG_ERROR_LOCKED,
                    "cannot write to '%s': %s; --ignore-openers writes to it all the same", safe,
                    reason);
}

/* ---- opening ---- */

static ImgFileParams
file_params (const ImgTarget *target, gboolean is_device)
{
  ImgFileParams params = { .is_writable = TRUE,
                           .is_exclusive = is_device,
                           .locking = target->params->target->locking,
                           .permissions = img_use_permissions (IMG_USE_CONVERT_TO, TRUE),
                           .lock_wait = target->params->lock_wait };
  return params;
}

static gboolean
check_room (const ImgTarget *target, guint64 size, guint64 room, GError **error)
{
  if (size == IMG_DISK_SIZE_UNKNOWN || size <= room)
    return TRUE;
  return img_throw (error, IMG_ERROR_FAILED,
                    "%s'%s' has %" G_GUINT64_FORMAT " bytes, %" G_GUINT64_FORMAT " are needed",
                    target->params->n_sources > 0 ? "output file is smaller than input file: " : "",
                    target->safe_path, room, size);
}

/* The file at @path, which was @st when it was found fit to be written to: the name may lead
 * elsewhere by now. */
static ImgFile *
open_checked (ImgTarget *target, const char *path, const struct stat *st,
              const ImgFileParams *params, GPtrArray *sources, GError **error)
{
  g_autoptr (ImgFile) file = img_open_file (path, params, error);
  g_autofree char *safe = img_text_escape (path, -1);
  struct stat opened;

  if (file == NULL)
    return NULL;
  if (fstat (img_file_fd (file), &opened) < 0)
    return img_null_throw_errno (error, "cannot look at '%s'", safe);
  if (S_ISBLK (opened.st_mode) != S_ISBLK (st->st_mode))
    return img_null_throw (error, IMG_ERROR_APPEARED, "'%s' is another file than a moment ago",
                           safe);
  return check_sources (target, path, sources, &opened, error) ? g_steal_pointer (&file) : NULL;
}

/* What is there is written into. */
static gboolean
open_in_place (ImgTarget *target, const struct stat *st, guint64 size, GPtrArray *sources,
               GError **error)
{
  gboolean is_device = S_ISBLK (st->st_mode);
  ImgFileParams params = file_params (target, is_device);

  target->file = open_checked (target, target->params->target->path, st, &params, sources, error);
  if (target->file == NULL)
    return FALSE;
  return !(is_device || target->params->no_create) || !is_raw (target)
         || check_room (target, size, img_file_size (target->file), error);
}

/* Of a source that others may not read, the copy is not for them either: a file, or a disk. */
static mode_t
choose_mode (GPtrArray *sources)
{
  mode_t mode = 0666;
  struct stat st;
  for (guint i = 0; i < sources->len; i++)
    if (fstat (img_file_fd (sources->pdata[i]), &st) == 0
        && (S_ISREG (st.st_mode) || S_ISBLK (st.st_mode)))
      {
        if (!(st.st_mode & S_IRGRP))
          mode &= ~(mode_t)(S_IRGRP | S_IWGRP);
        if (!(st.st_mode & S_IROTH))
          mode &= ~(mode_t)(S_IROTH | S_IWOTH);
      }
  return mode;
}

/* A new file, which takes the place of what is at @path now: @there, or NULL. */
static ImgOutput *
open_output (ImgTarget *target, const char *path, const struct stat *there, GPtrArray *sources,
             GError **error)
{
  GError *failure = NULL;
  ImgLocking locking = target->params->target->locking;
  ImgFileParams params = file_params (target, FALSE);
  ImgOutputParams output_params = { .locking = locking,
                                    .permissions = params.permissions,
                                    .is_durable = target->params->is_durable,
                                    .mode = choose_mode (sources) };
  ImgFile *replaced = NULL;

  if (there != NULL)
    {
      replaced = open_checked (target, path, there, &params, sources, error);
      if (replaced == NULL)
        return NULL;
      target->replaces = TRUE;
    }
  ImgOutput *output = img_output_new (path, replaced, &output_params, &failure);
  if (output != NULL)
    return output;
  g_autofree char *part = img_output_part_path_of (path);
  if (part != NULL)
    img_open_explain (part, params.permissions, locking, &failure);
  g_propagate_error (error, failure);
  return NULL;
}

/* Whether there is a target, and what it is. */
static gboolean
look (ImgTarget *target, gboolean *exists, struct stat *st, GError **error)
{
  const char *path = target->params->target->path;
  g_auto (ImgFd) node = -1;

  *exists = TRUE;
  if (stat (path, st) < 0 && errno == ENOENT && !target->params->no_create)
    {
      *exists = FALSE;
      return TRUE;
    }
  node = img_node_find (path, st, error);
  return node >= 0;
}

static gboolean
try_to_open (ImgTarget *target, guint64 size, GPtrArray *sources, GError **error)
{
  struct stat st;
  gboolean exists;

  if (!look (target, &exists, &st, error)
      || (exists
          && (!check_sources (target, target->params->target->path, sources, &st, error)
              || !check_backing (target, &st, error)
              || !check_openers (target, target->params->target->path, error))))
    return FALSE;
  if (exists && (S_ISBLK (st.st_mode) || target->params->no_create || target->params->in_place))
    return open_in_place (target, &st, size, sources, error);
  target->output
      = open_output (target, target->params->target->path, exists ? &st : NULL, sources, error);
  return target->output != NULL;
}

/* Somebody in the way is waited for: as long as the user wants, and who has no lock a moment in any
 * case: he may be about to take one, or to close. What is there may be another file then. */
static gboolean
open_file (ImgTarget *target, guint64 size, GPtrArray *sources, GError **error)
{
  gint64 begin = g_get_monotonic_time ();

  for (guint tries = 0;; tries++)
    {
      g_autoptr (GError) failure = NULL;
      target->patience = target->params->lock_wait;
      if (try_to_open (target, size, sources, &failure))
        return TRUE;
      if (g_error_matches (failure, IMG_ERROR, IMG_ERROR_APPEARED) && tries < MAX_TRIES)
        continue;
      if (!g_error_matches (failure, IMG_ERROR, IMG_ERROR_LOCKED)
          || g_get_monotonic_time () - begin >= target->patience)
        {
          g_propagate_error (error, g_steal_pointer (&failure));
          return FALSE;
        }
      g_usleep (LOOK_AGAIN);
    }
}

/* ---- space ---- */

static gboolean
check_preallocation (const ImgTarget *target, guint64 size, GError **error)
{
  const ImgFile *file = file_of (target);
  if (target->params->create.preallocation <= IMG_PREALLOCATION_OFF
      || (file != NULL && !img_file_is_device (file) && size != IMG_DISK_SIZE_UNKNOWN))
    return TRUE;
  return img_throw (error, IMG_ERROR_FAILED,
                    "preallocation is for files, and for sources whose size is known");
}

static gboolean
allocate (ImgTarget *target, guint64 size, GError **error)
{
  int preallocation = target->params->create.preallocation;

  return preallocation <= IMG_PREALLOCATION_OFF || size == 0
         || img_file_allocate_first (file_of (target), size,
                                     preallocation == IMG_PREALLOCATION_FULL, error);
}

/* What was in a file that is written in place goes now. */
static gboolean
make_empty (ImgTarget *target, GError **error)
{
  target->has_begun = target->file != NULL;
  return target->output != NULL || img_file_resize (target->file, 0, error);
}

/* Give a raw target its size, where it has none of its own. */
static gboolean
prepare_raw (ImgTarget *target, guint64 size, GError **error)
{
  const ImgConvertParams *params = target->params;
  ImgFile *file = file_of (target);
  gboolean keeps_size = img_file_is_device (file) || (target->output == NULL && params->no_create);

  target->disk = img_disk_open (file, "raw", error);
  if (target->disk == NULL)
    return FALSE;
  target->disk->keeps_size = keeps_size;
  target->disk->reads_as_zeros = !keeps_size || params->target_is_zero;
  if (keeps_size)
    return TRUE;
  return make_empty (target, error)
         && (size == IMG_DISK_SIZE_UNKNOWN || img_file_resize (file, size, error))
         && allocate (target, size, error);
}

/* ---- an image ---- */

static gboolean
is_same_file (int fd, const struct stat *st)
{
  struct stat other;
  return fstat (fd, &other) == 0 && img_overlap (&other, st);
}

/* The new data file of the image, which appears together with it. */
static gboolean
open_data_file (ImgTarget *target, GPtrArray *sources, GError **error)
{
  const ImgConvertParams *params = target->params;
  ImgReference reference = { .name = params->create.data_file };
  g_auto (ImgGatePath) path = { 0 };
  struct stat st;

  if (reference.name == NULL)
    return TRUE;
  if (!img_gate_resolve (params->target->path, "data file", &reference, &path, error))
    return FALSE;
  gboolean exists = stat (path.path, &st) == 0;
  if (exists && !S_ISREG (st.st_mode))
    return img_throw (error, IMG_ERROR_FAILED, "the data file must be a regular file");
  if (exists
      && (!check_sources (target, path.path, sources, &st, error)
          || !check_backing (target, &st, error) || !check_openers (target, path.path, error)))
    return FALSE;
  g_autofree char *part = img_output_part_path_of (path.path);
  if ((exists && target->file != NULL && is_same_file (img_file_fd (target->file), &st))
      || (part != NULL && target->output != NULL
          && strcmp (part, img_output_part_path (target->output)) == 0))
    return img_throw (error, IMG_ERROR_FAILED, "the data file is the image itself: '%s'",
                      target->safe_path);
  target->data = open_output (target, path.path, exists ? &st : NULL, sources, error);
  return target->data != NULL;
}

/* An image without its data, or with older data, would be wrong; data without an image is only
 * useless. */
gboolean
img_target_publish_data (ImgTarget *target, GError **error)
{
  if (target->data != NULL && !target->data_is_there)
    {
      if (!img_output_publish (target->data, error))
        return FALSE;
      target->data_is_there = TRUE;
    }
  return TRUE;
}

/* Who may do that is asked. */
static gboolean
ask_for_data (gpointer closure, GError **error)
{
  const ImgTarget *target = closure;
  return target->data == NULL || img_sandbox_ask (error);
}

void
img_target_tell_begun (void)
{
  img_sandbox_note ("", 0);
}

static void
tell_begun (G_GNUC_UNUSED gpointer closure)
{
  img_target_tell_begun ();
}

static gboolean
prepare_image (ImgTarget *target, GPtrArray *sources, GError **error)
{
  return open_data_file (target, sources, error)
         && (img_file_is_device (file_of (target)) || make_empty (target, error));
}

/* The image that is there, to be written into. */
static gboolean
prepare_existing (ImgTarget *target, GPtrArray *sources, GError **error)
{
  const ImgConvertParams *params = target->params;
  ImgOpenParams open_params = { .locking = params->target->locking,
                                .lock_wait = params->lock_wait,
                                .format = params->target->format,
                                .policy = params->policy };

  /* How large and how strange an image may be is said of what is read. */
  open_params.policy.is_untrusted = FALSE;
  open_params.policy.max_size = 0;
  return img_open_chain_in (target->file, params->target->format, IMG_USE_CONVERT_FROM,
                            &open_params, sources, &target->previous, error)
         && check_room (target, target->size, target->previous.size, error);
}

/* Nothing that is there changes before all else is known to be possible. */
static gboolean
prepare (ImgTarget *target, GPtrArray *sources, GError **error)
{
  if (!check_preallocation (target, target->size, error)
      || !img_file_set_cache (file_of (target), target->params->target_cache, error))
    return FALSE;
  if (!is_raw (target) && target->params->no_create)
    return prepare_existing (target, sources, error);
  return is_raw (target) ? prepare_raw (target, target->size, error)
                         : prepare_image (target, sources, error);
}

/* ---- and its disk ---- */

static ImgDisk *
create_disk (ImgTarget *target, ImgDisk *backing, GError **error)
{
  const ImgConvertParams *params = target->params;
  ImgFile *file = file_of (target);
  ImgCreateParams create
      = { .options = &params->create,
          .size = target->size,
          .is_clean = !img_file_is_device (file),
          .is_in_place = target->output == NULL,
          .is_durable = params->is_durable,
          .sparse_size
          = params->create.preallocation == IMG_PREALLOCATION_FULL ? 0 : params->copy.sparse_size,
          .backing_disk = backing,
          .data = target->data == NULL ? NULL : img_output_file (target->data),
          .before_valid = ask_for_data,
          .before_change = tell_begun,
          .closure = target };

  return img_disk_create (file, params->target->format, &create, error);
}

static ImgDisk *
rewrite_disk (ImgTarget *target, gboolean has_bitmaps, GError **error)
{
  const ImgConvertParams *params = target->params;
  ImgCreateOptions options = params->create;
  ImgCreateParams create = { .options = &options,
                             .size = target->size,
                             .is_in_place = TRUE,
                             .is_durable = params->is_durable,
                             .is_zero = params->target_is_zero,
                             .sparse_size = params->copy.sparse_size };

  options.has_bitmaps = has_bitmaps;
  if (has_bitmaps
      && !img_bitmaps_check_size (params->target->path, target->previous.size, target->size, error))
    return NULL;
  ImgDisk *previous = img_chain_open (&target->previous, error);
  return previous == NULL ? NULL : img_disk_rewrite (previous, &create, error);
}

gboolean
img_target_begin (ImgTarget *target, ImgDisk *backing, GPtrArray *bitmaps, GError **error)
{
  g_autoptr (ImgDisk) owned = backing;
  gboolean has_bitmaps = img_bitmaps_any_good (bitmaps);

  if (target->disk != NULL)
    return TRUE;
  target->disk = target->previous.members != NULL
                     ? rewrite_disk (target, has_bitmaps, error)
                     : create_disk (target, g_steal_pointer (&owned), error);
  if (target->disk != NULL && has_bitmaps)
    img_disk_keep_bitmaps (target->disk, bitmaps);
  return target->disk != NULL;
}

void
img_target_has_begun (ImgTarget *target)
{
  target->has_begun = target->file != NULL;
}

/* ---- all of it ---- */

/* What lies behind the end of the copy stays, an old partition table's second half among it. */
static void
note_rest (const ImgTarget *target, ImgConvertResult *result)
{
  guint64 size = target->size;

  if (target->file == NULL || !is_raw (target) || size == IMG_DISK_SIZE_UNKNOWN
      || img_file_size (target->file) <= size)
    return;
  g_ptr_array_add (result->remarks,
                   g_strdup_printf ("the last %" G_GUINT64_FORMAT
                                    " bytes of '%s' are not written: they keep what was there",
                                    img_file_size (target->file) - size, target->safe_path));
}

static gboolean
open_stream (ImgTarget *target, GPtrArray *sources, GError **error)
{
  struct stat st;
  if (!check_preallocation (target, IMG_DISK_SIZE_UNKNOWN, error))
    return FALSE;
  if (fstat (target->params->output_fd, &st) < 0)
    return img_throw_errno (error, "cannot write to standard output");
  if (!check_sources (target, "standard output", sources, &st, error))
    return FALSE;
  target->disk = img_disk_open_stream (target->params->output_fd, "standard output");
  return TRUE;
}

ImgTarget *
img_target_open (const ImgConvertParams *params, guint64 size, GPtrArray *sources,
                 ImgConvertResult *result, GError **error)
{
  g_autoptr (ImgTarget) target = g_new0 (ImgTarget, 1);

  target->params = params;
  target->size = size;
  target->safe_path = img_text_escape (params->target->path, -1);
  if (params->dash_is_stream && strcmp (params->target->path, "-") == 0)
    return open_stream (target, sources, error) ? g_steal_pointer (&target) : NULL;
  if (!open_file (target, size, sources, error))
    return NULL;
  if (!prepare (target, sources, error))
    {
      img_target_add_advice (target, error);
      return NULL;
    }
  note_rest (target, result);
  img_target_note_lock (file_of (target), result);
  return g_steal_pointer (&target);
}

static void
add_line (GError **error, const char *line)
{
  g_autofree char *message = g_strconcat ((*error)->message, "\n", line, NULL);
  g_free ((*error)->message);
  (*error)->message = g_steal_pointer (&message);
}

void
img_target_add_advice (const ImgTarget *target, GError **error)
{
  g_autofree char *line = NULL;

  if (error == NULL || *error == NULL)
    return;
  if (target->has_begun)
    line = g_strdup_printf ("'%s' was being written in place and is not whole now",
                            target->safe_path);
  else if (target->replaces && g_error_matches (*error, IMG_ERROR, IMG_ERROR_NO_SPACE))
    line = g_strdup_printf ("The old '%s' is untouched, and keeps its space until the copy is "
                            "whole; --in-place overwrites it",
                            target->safe_path);
  else if (target->data_is_there)
    line = g_strdup_printf ("Its new data file is in place already: '%s' fits no more to it, if it "
                            "was there, and must be written again",
                            target->safe_path);
  if (line != NULL)
    add_line (error, line);
}

void
img_target_spoil (const ImgTarget *target, const GError *error)
{
  static const guint8 zeros[512];

  if (!target->has_begun || is_raw (target) || target->params->no_create
      || g_error_matches (error, IMG_ERROR, IMG_ERROR_LOCK_LOST))
    return;
  if (img_file_write (target->file, 0, zeros, sizeof zeros, NULL) && target->params->is_durable)
    (void)!img_file_flush (target->file, NULL);
}

/* A local file system has told nobody of an error yet, and tells whoever flushes next; unless it
 * was heard of in between. */
static gboolean
settle (const ImgTarget *target, ImgFile *file, gboolean is_long, GError **error)
{
  if (file == NULL)
    return TRUE;
  if (img_file_has_failed (file))
    return img_file_flush (file, error);
  if (!is_long && img_remote_kind (img_file_fd (file)) == IMG_REMOTE_NOT)
    return TRUE;
  return target->params->is_durable ? img_file_flush (file, error)
                                    : img_file_collect_errors (file, error);
}

gboolean
img_target_settle (ImgTarget *target, gboolean is_long, GError **error)
{
  return (target->data == NULL || settle (target, img_output_file (target->data), is_long, error))
         && settle (target, file_of (target), is_long, error);
}

gboolean
img_target_finish (ImgTarget *target, GError **error)
{
  if (!img_target_publish_data (target, error))
    return FALSE;
  if (target->output != NULL)
    return img_output_publish (target->output, error);
  if (target->file != NULL && !img_file_verify_lock (target->file, NULL, error))
    return FALSE;
  if (!target->params->is_durable)
    return TRUE;
  return target->file != NULL ? img_file_flush (target->file, error)
                              : img_disk_flush (target->disk, error);
}
