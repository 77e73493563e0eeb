/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/open.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "disk/detect.h"
#include "engine/lock-status.h"
#include "engine/verdict.h"
#include "file/inode-registry.h"

/* Whose locks @set runs into, as one sentence; NULL if they are gone by now. */
static char *
name_holders (const char *path, ImgPermSet set, ImgLocking locking)
{
  ImgStatusParams params
      = { .locking = locking, .format = "raw", .names_wanted = TRUE, .trial = IMG_TRIAL_NONE };
  struct stat st;
  /* What this command itself has open must not be opened again, and needs no name. */
  if (stat (path, &st) < 0 || img_inode_is_open (&st))
    return NULL;
  g_autoptr (ImgStatus) status = img_status_new (path, &params, NULL);
  GString *names = g_string_new (NULL);

  for (guint i = 0; status != NULL && i < status->holders->len; i++)
    {
      const ImgHolder *holder = status->holders->pdata[i];
      gboolean by_use;
      guint bit;
      if (!img_holder_blocks (holder, set, &bit, &by_use))
        continue;
      g_autofree char *who = img_holder_describe (holder, TRUE);
      g_string_append_printf (names, "%s%s", names->len > 0 ? ", " : "", who);
    }
  return g_string_free (names, names->len == 0);
}

/* QEMU's hint, which people search the web for, and what QEMU does not tell. */
void
img_open_name_holders (const char *path, ImgPermSet set, ImgLocking locking, GError **error)
{
  g_autofree char *safe = img_text_escape (path, -1);
  g_autofree char *names = name_holders (path, set, locking);
  g_autofree char *message = g_strdup_printf (
      "%s\nIs another process using the image [%s]?\n%s%s", (*error)->message, safe,
      names == NULL ? "Who holds it could not be found out; perhaps it is free by now"
                    : "It is held by ",
      names == NULL ? "" : names);
  g_clear_error (error);
  g_set_error_literal (error, IMG_ERROR, IMG_ERROR_LOCKED, message);
}

/* Where a file cannot be locked as asked, its user has to choose. */
static void
add_ways_out (ImgLocking locking, GError **error)
{
  g_autofree char *message = g_strdup_printf (
      "%s\nIf this file system cannot lock: %s--locking=off goes without locks", (*error)->message,
      locking == IMG_LOCKING_AUTO ? "--locking=posix may work, and " : "");
  g_clear_error (error);
  g_set_error_literal (error, IMG_ERROR, IMG_ERROR_NO_LOCKS, message);
}

ImgFile *
img_open_file (const char *path, const ImgFileParams *params, GError **error)
{
  g_autoptr (GError) failure = NULL;
  ImgFile *file = img_file_open (path, params, &failure);

  if (file != NULL)
    return file;
  if (g_error_matches (failure, IMG_ERROR, IMG_ERROR_LOCKED))
    img_open_name_holders (path, params->permissions, params->locking, &failure);
  else if (g_error_matches (failure, IMG_ERROR, IMG_ERROR_NO_LOCKS))
    add_ways_out (params->locking, &failure);
  g_propagate_error (error, g_steal_pointer (&failure));
  return NULL;
}

/* The format of @file, or NULL if it cannot be handled. */
static const char *
choose_format (ImgFile *file, const char *asked, GError **error)
{
  guint8 head[IMG_DETECT_BYTES];
  gsize length = (gsize)MIN (img_file_size (file), sizeof head);
  g_autofree char *safe = img_text_escape (img_file_path (file), -1);

  if (asked != NULL)
    return asked;
  if (!img_file_read (file, 0, head, length, error))
    return NULL;
  const char *format = img_detect_format (head, length);
  if (!img_format_is_supported (format))
    return img_null_throw (
        error, IMG_ERROR_UNSUPPORTED,
        "'%s' looks like %s, which is not supported yet; use -f raw to treat its "
        "bytes as a raw disk",
        safe, format);
  return format;
}

/* Which set of permissions it takes depends on the format, and the format on the content, which is
 * looked at only once it is locked: begin with what raw images need, and take the rest when it
 * turns out to be another. No other format is supported yet. */
ImgFile *
img_open (const char *path, ImgUse use, const ImgOpenParams *params, const char **format,
          GError **error)
{
  ImgFileParams file_params = {
    .locking = params->locking,
    .permissions
    = params->force_share ? img_use_permissions_shared (use) : img_use_permissions (use, TRUE),
    .lock_wait = params->lock_wait,
  };

  g_assert ((file_params.permissions.uses & ~(guint)IMG_PERM_CONSISTENT_READ) == 0);
  if (params->format != NULL && !img_format_is_supported (params->format))
    return img_null_throw (error, IMG_ERROR_UNSUPPORTED, "the format %s is not supported yet",
                           params->format);
  g_autoptr (ImgFile) file = img_open_file (path, &file_params, error);
  if (file == NULL)
    return NULL;
  *format = choose_format (file, params->format, error);
  return *format == NULL ? NULL : g_steal_pointer (&file);
}
