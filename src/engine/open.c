/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/open.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "disk/detect.h"
#include "disk/probe.h"
#include "engine/heading.h"
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

void
img_open_explain (const char *path, ImgPermSet set, ImgLocking locking, GError **error)
{
  if (g_error_matches (*error, IMG_ERROR, IMG_ERROR_LOCKED))
    img_open_name_holders (path, set, locking, error);
  else if (g_error_matches (*error, IMG_ERROR, IMG_ERROR_NO_LOCKS))
    add_ways_out (locking, error);
}

/* Hand on @failure of a lock on @path, with what @params let say about it. */
static void
explain (const char *path, const ImgFileParams *params, GError *failure, GError **error)
{
  img_open_explain (path, params->permissions, params->locking, &failure);
  g_propagate_error (error, failure);
}

ImgFile *
img_open_file (const char *path, const ImgFileParams *params, GError **error)
{
  GError *failure = NULL;
  ImgFile *file = img_file_open (path, params, &failure);

  if (file == NULL)
    explain (path, params, failure, error);
  return file;
}

/* Lock @file (taken over), which is not raw, as its format wants it. */
static ImgFile *
lock_more (ImgFile *file, ImgUse use, const ImgFileParams *params, GError **error)
{
  g_autofree char *path = g_strdup (img_file_path (file));
  ImgFileParams more = *params;
  GError *failure = NULL;

  more.permissions = img_use_permissions (use, FALSE);
  if (img_file_extend_lock (file, more.permissions, params->lock_wait, &failure))
    return file;
  img_file_close (file); /* who else has it is asked only about what is not open here */
  explain (path, &more, failure, error);
  return NULL;
}

/* Which set of permissions it takes depends on the format, and the format on the content, which is
 * looked at only once it is locked: begin with what raw images need, and take the rest when it
 * turns out to be another. */
ImgFile *
img_open (const char *path, ImgUse use, const ImgOpenParams *params, const char **format,
          GError **error)
{
  ImgFileParams file_params = {
    .locking = params->locking,
    .permissions
    = params->force_share ? img_use_permissions_shared (use) : img_use_permissions (use, TRUE),
    .lock_wait = params->lock_wait,
    .is_named = params->is_named,
    .no_devices = params->no_devices,
    .root = params->root,
  };

  g_assert ((file_params.permissions.uses & ~(guint)IMG_PERM_CONSISTENT_READ) == 0);
  if (params->format != NULL && !params->any_format && !img_format_is_supported (params->format))
    return img_null_throw (error, IMG_ERROR_UNSUPPORTED, "the format %s is not supported yet",
                           params->format);
  g_autoptr (ImgFile) file = img_open_file (path, &file_params, error);
  if (file == NULL)
    return NULL;
  *format = params->format != NULL ? img_format_intern (params->format)
            : params->any_format   ? img_probe_any (file, error)
                                   : img_probe (file, error);
  if (*format == NULL)
    return NULL;
  if (strcmp (*format, "raw") == 0 || params->force_share)
    return g_steal_pointer (&file);
  return lock_more (g_steal_pointer (&file), use, &file_params, error);
}

gboolean
img_open_root (const char *path, const ImgGatePolicy *policy, ImgRoot **root, GError **error)
{
  *root = NULL;
  if (policy->chain_under == NULL)
    return TRUE;
  *root = img_root_open (policy->chain_under, path, error);
  return *root != NULL;
}

/* What an image behind another is opened with: QEMU's permissions for one that is only read. */
typedef struct
{
  const ImgOpenParams *params; /* borrowed: of the image in front */
  ImgUse use;
  gboolean no_devices;
  const ImgRoot *root; /* borrowed; or NULL */
} Behind;

static ImgFile *
open_behind (const char *path, gpointer closure, GError **error)
{
  const Behind *behind = closure;
  const ImgOpenParams *params = behind->params;
  ImgFileParams file_params
      = { .locking = params->locking,
          .permissions = params->force_share ? img_use_permissions_shared (behind->use)
                                             : img_use_permissions (behind->use, FALSE),
          .lock_wait = params->lock_wait,
          .is_named = TRUE,
          .no_devices = behind->no_devices,
          .root = behind->root };
  return img_open_file (path, &file_params, error);
}

gboolean
img_open_chain_in (ImgFile *file, const char *format, ImgUse use, const ImgOpenParams *params,
                   GPtrArray *files, ImgChain *chain, GError **error)
{
  Behind behind = { .params = params, .use = use };
  ImgChainParams chain_params = { .policy = params->policy,
                                  .was_probed = params->format == NULL,
                                  .snapshot = params->snapshot,
                                  .open = open_behind,
                                  .closure = &behind,
                                  .read_heading = img_read_heading };
  g_autoptr (ImgRoot) root = NULL;
  if (!img_open_root (img_file_path (file), &params->policy, &root, error))
    return FALSE;
  behind.root = root;
  behind.no_devices = !params->policy.allow_devices && !img_file_is_device (file);
  return img_chain_find (file, format, &chain_params, files, chain, error);
}

gboolean
img_open_chain (const char *path, ImgUse use, const ImgOpenParams *params, GPtrArray *files,
                ImgChain *chain, GError **error)
{
  const char *format;
  ImgFile *file = img_open (path, use, params, &format, error);

  if (file == NULL)
    return FALSE;
  g_ptr_array_add (files, file);
  return img_open_chain_in (file, format, use, params, files, chain, error);
}

gboolean
img_open_data_file (ImgFile *file, const char *format, ImgUse use, const ImgOpenParams *params,
                    ImgFile **data, GError **error)
{
  const ImgHeadingParams heading_params
      = { .policy = &params->policy, .was_probed = params->format == NULL };
  Behind behind = { .params = params,
                    .use = use,
                    .no_devices = !params->policy.allow_devices && !img_file_is_device (file) };
  g_auto (ImgHeading) heading = { 0 };
  g_auto (ImgGatePath) path = { 0 };
  g_autoptr (ImgRoot) root = NULL;

  *data = NULL;
  if (!img_read_heading (file, format, &heading_params, &heading, error))
    return FALSE;
  if (heading.data_file.name == NULL)
    return TRUE;
  if (!img_heading_check (&heading, img_file_path (file), format, &heading_params, error)
      || !img_open_root (img_file_path (file), &params->policy, &root, error)
      || !img_gate_resolve (img_file_path (file), "data file", &heading.data_file, &path, error))
    return FALSE;
  behind.root = root;
  g_autoptr (ImgFile) opened = open_behind (path.path, &behind, error);
  if (opened == NULL || !img_gate_check (file, "data file", TRUE, opened, &params->policy, error))
    return FALSE;
  *data = g_steal_pointer (&opened);
  return TRUE;
}
