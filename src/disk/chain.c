/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk/chain.h"

#include "base/text.h"
#include "disk/format.h"
#include "disk/inspect.h"
#include "disk/probe.h"
#include "disk/snapshot.h"

/* Memory for tables, divided among the disks of a chain; each needs some. */
#define CACHE_BUDGET ((gsize)8 << 20)
#define LEAST_CACHE ((gsize)128 << 10)

/* Memory that those of them share whose part is too small for what they need at once. */
#define WORKSPACE ((gsize)18 << 20)

/* A chain as far as it was followed. */
typedef struct
{
  const ImgChainParams *params; /* borrowed */
  GPtrArray *files;             /* borrowed: owns what is opened */
  GArray *members;              /* borrowed ImgChainMember: the first included */
  char *refused;                /* owned; what could not be followed */
} Chain;

static const ImgChainMember *
member (const Chain *chain, guint i)
{
  return &g_array_index (chain->members, ImgChainMember, i);
}

static void
add_member (Chain *chain, ImgFile *file, const char *what, const char *format, const ImgDisk *front,
            guint depth)
{
  ImgChainMember added = { .file = file,
                           .what = what,
                           .format = format,
                           .front = front == NULL ? NULL : img_file_path (front->file),
                           .depth = depth };
  g_array_append_val (chain->members, added);
}

static void
set_refused (Chain *chain, const char *name)
{
  g_free (chain->refused);
  chain->refused = g_strdup (name);
}

/* Open what @disk calls its @what. */
static ImgFile *
open_reference (Chain *chain, const ImgDisk *disk, const char *what, const ImgReference *reference,
                ImgGatePath *path, GError **error)
{
  const ImgChainParams *params = chain->params;
  g_autofree char *safe = img_text_escape (img_file_path (disk->file), -1);

  set_refused (chain, reference->name);
  if (!img_gate_resolve (img_file_path (disk->file), what, reference, path, error))
    return NULL;
  set_refused (chain, path->path);
  ImgFile *file = params->open (path->path, params->closure, error);
  if (file == NULL)
    {
      g_prefix_error (error, "the %s of '%s': ", what, safe);
      return NULL;
    }
  g_ptr_array_add (chain->files, file);
  /* One file is one descriptor, however often it is opened. */
  for (guint i = 0; i < chain->members->len; i++)
    if (img_file_fd (member (chain, i)->file) == img_file_fd (file))
      {
        g_autofree char *safe_path = img_text_escape (path->path, -1);
        return img_null_throw (error, IMG_ERROR_FAILED,
                               "the %s of '%s' leads back to a file of the same chain: '%s'", what,
                               safe, safe_path);
      }
  return img_gate_check (member (chain, 0)->file, what, reference == &disk->data_file, file,
                         &params->policy, error)
             ? file
             : NULL;
}

/* The disk behind @disk, which is asked for what is not in it. */
static gboolean
open_backing (Chain *chain, ImgDisk *disk, guint depth, GError **error)
{
  g_auto (ImgGatePath) path = { 0 };
  ImgFile *file = open_reference (chain, disk, "backing file", &disk->backing, &path, error);
  if (file == NULL)
    return FALSE;
  const char *format = path.format != NULL ? path.format : img_probe (file, error);
  if (format == NULL)
    return FALSE;
  g_autofree char *safe = img_text_escape (img_file_path (disk->file), -1);
  disk->backing_disk = img_disk_open (file, format, error);
  if (disk->backing_disk == NULL)
    {
      g_prefix_error (error, "the backing file of '%s': ", safe);
      return FALSE;
    }
  add_member (chain, file, "backing file", disk->backing_disk->format->name, disk, depth);
  if (path.format != NULL
      || (disk->backing_disk->backing.name == NULL && disk->backing_disk->data_file.name == NULL))
    return TRUE;
  g_autofree char *safe_path = img_text_escape (path.path, -1);
  set_refused (chain, disk->backing_disk->backing.name != NULL
                          ? disk->backing_disk->backing.name
                          : disk->backing_disk->data_file.name);
  return img_throw (error, IMG_ERROR_FAILED,
                    "'%s' does not say what format its backing file '%s' has. It looks like %s and "
                    "names other files, which a guest may have written: they are not followed",
                    safe, safe_path, format);
}

static gboolean
open_data_file (Chain *chain, ImgDisk *disk, guint depth, GError **error)
{
  g_auto (ImgGatePath) path = { 0 };
  disk->data = open_reference (chain, disk, "data file", &disk->data_file, &path, error);
  if (disk->data == NULL)
    return FALSE;
  add_member (chain, disk->data, "data file", "raw", disk, depth);
  return TRUE;
}

/* All that @top needs, down to the last. */
static gboolean
follow (Chain *chain, ImgDisk *top, GError **error)
{
  guint depth = 1;

  for (ImgDisk *disk = top; disk != NULL; disk = disk->backing_disk, depth++)
    {
      if (disk->data_file.name != NULL && !open_data_file (chain, disk, depth - 1, error))
        return FALSE;
      if (disk->backing.name != NULL && depth >= IMG_CHAIN_MAX_DEPTH)
        {
          set_refused (chain, disk->backing.name);
          return img_throw (error, IMG_ERROR_FAILED,
                            "the chain of backing files is longer than %d images",
                            IMG_CHAIN_MAX_DEPTH);
        }
      if (disk->backing.name != NULL && !open_backing (chain, disk, depth, error))
        return FALSE;
    }
  return TRUE;
}

/* Make all disks of the chain ready to be read. */
static gboolean
begin (ImgDisk *top, GError **error)
{
  g_autoptr (ImgBudget) workspace = img_budget_new (WORKSPACE);
  guint depth = 0;

  for (const ImgDisk *disk = top; disk != NULL; disk = disk->backing_disk)
    depth++;
  for (ImgDisk *disk = top; disk != NULL; disk = disk->backing_disk)
    {
      disk->cache_budget = MAX (CACHE_BUDGET / depth, LEAST_CACHE);
      disk->workspace = img_budget_ref (workspace);
      if (!img_disk_begin (disk, error))
        return FALSE;
    }
  return TRUE;
}

ImgDisk *
img_chain_find (ImgFile *file, const char *format, const ImgChainParams *params, GPtrArray *files,
                GArray *members, char **refused, GError **error)
{
  Chain chain = { .params = params, .files = files, .members = members };
  g_autoptr (ImgDisk) disk = img_disk_open (file, format, error);

  *refused = NULL;
  if (disk == NULL)
    return NULL;
  add_member (&chain, file, "image", disk->format->name, NULL, 0);
  if (!img_inspect_check (disk, &params->policy, error)
      || (params->was_probed && !img_probe_check (disk, error))
      || (params->snapshot != NULL && !img_disk_select (disk, params->snapshot, error))
      || !img_inspect_check_size (disk, &params->policy, error) || !follow (&chain, disk, error))
    {
      *refused = chain.refused;
      return NULL;
    }
  g_free (chain.refused);
  return g_steal_pointer (&disk);
}

ImgDisk *
img_chain_open (ImgFile *file, const char *format, const ImgChainParams *params, GPtrArray *files,
                GError **error)
{
  g_autoptr (GArray) members = g_array_new (FALSE, FALSE, sizeof (ImgChainMember));
  g_autofree char *refused = NULL;
  g_autoptr (ImgDisk) disk = img_chain_find (file, format, params, files, members, &refused, error);

  return disk != NULL && begin (disk, error) ? g_steal_pointer (&disk) : NULL;
}
