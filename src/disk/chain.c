/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk/chain.h"

#include "base/text.h"
#include "disk/detect.h"
#include "disk/format.h"
#include "disk/probe.h"
#include "disk/snapshot.h"

/* Memory for tables, divided among the disks of a chain; each needs some. */
#define CACHE_BUDGET ((gsize)8 << 20)
#define LEAST_CACHE ((gsize)128 << 10)

/* Memory that those of them share whose part is too small for what they need at once. */
#define WORKSPACE ((gsize)18 << 20)

void
img_chain_clear (ImgChain *chain)
{
  g_clear_pointer (&chain->members, g_array_unref);
  g_clear_pointer (&chain->snapshot, g_free);
  g_clear_pointer (&chain->refused, g_free);
}

static const ImgChainMember *
member (const ImgChain *chain, guint i)
{
  return &g_array_index (chain->members, ImgChainMember, i);
}

gboolean
img_chain_is_raw (const ImgChain *chain)
{
  return chain->members == NULL
         || (chain->members->len == 1 && strcmp (member (chain, 0)->format, "raw") == 0);
}

/* ---- finding the files ---- */

static void
clear_member (gpointer data)
{
  ImgChainMember *cleared = data;
  g_free (cleared->backing);
  g_free (cleared->data_file);
}

static const char data_file[] = "data file";

typedef struct
{
  const ImgChainParams *params; /* borrowed */
  GPtrArray *files;             /* borrowed: owns what is opened */
  ImgChain *chain;              /* borrowed: as far as it was followed */
} Search;

static void
add_member (Search *search, ImgFile *file, const char *what, const char *format,
            const ImgHeading *heading, const ImgFile *front, guint depth)
{
  ImgChainMember added = { .file = file,
                           .what = what,
                           .format = img_format_intern (format),
                           .front = front == NULL ? NULL : img_file_path (front),
                           .depth = depth,
                           .backing = heading == NULL ? NULL : g_strdup (heading->backing.name),
                           .data_file = heading == NULL ? NULL : g_strdup (heading->data_file.name),
                           .is_data_file = what == data_file };
  g_array_append_val (search->chain->members, added);
}

static void
set_refused (Search *search, const char *name)
{
  g_free (search->chain->refused);
  search->chain->refused = g_strdup (name);
}

static gboolean
read_heading (const Search *search, ImgFile *file, const char *format,
              const ImgHeadingParams *params, ImgHeading *heading, GError **error)
{
  gboolean is_read = search->params->read_heading != NULL
                         ? search->params->read_heading (file, format, params, heading, error)
                         : img_heading_read (file, format, params, heading, error);
  return is_read && img_heading_check (heading, img_file_path (file), format, params, error);
}

/* Open what the image in @front calls its @what. */
static ImgFile *
open_reference (Search *search, const ImgFile *front, const char *what,
                const ImgReference *reference, ImgGatePath *path, GError **error)
{
  const ImgChainParams *params = search->params;
  const ImgChain *chain = search->chain;
  g_autofree char *safe = img_text_escape (img_file_path (front), -1);

  set_refused (search, reference->name);
  if (!img_gate_resolve (img_file_path (front), what, reference, path, error))
    return NULL;
  set_refused (search, path->path);
  ImgFile *file = params->open (path->path, params->closure, error);
  if (file == NULL)
    {
      g_prefix_error (error, "the %s of '%s': ", what, safe);
      return NULL;
    }
  g_ptr_array_add (search->files, file);
  /* One file is one descriptor, however often it is opened. */
  for (guint i = 0; i < chain->members->len; i++)
    if (img_file_fd (member (chain, i)->file) == img_file_fd (file))
      {
        g_autofree char *safe_path = img_text_escape (path->path, -1);
        return img_null_throw (error, IMG_ERROR_FAILED,
                               "the %s of '%s' leads back to a file of the same chain: '%s'", what,
                               safe, safe_path);
      }
  return img_gate_check (member (chain, 0)->file, what, what == data_file, file, &params->policy,
                         error)
             ? file
             : NULL;
}

/* The image behind the one in @front, whose @heading becomes that of what is returned. */
static ImgFile *
open_backing (Search *search, const ImgFile *front, ImgHeading *heading, guint depth,
              GError **error)
{
  const ImgHeadingParams heading_params = { 0 };
  g_auto (ImgGatePath) path = { 0 };
  g_autofree char *safe = img_text_escape (img_file_path (front), -1);
  ImgFile *file = open_reference (search, front, "backing file", &heading->backing, &path, error);
  if (file == NULL)
    return NULL;
  const char *format = path.format != NULL ? path.format : img_probe (file, error);
  if (format == NULL)
    return NULL;
  img_heading_clear (heading);
  if (!read_heading (search, file, format, &heading_params, heading, error))
    {
      g_prefix_error (error, "the backing file of '%s': ", safe);
      return NULL;
    }
  add_member (search, file, "backing file", format, heading, front, depth);
  if (path.format != NULL || (heading->backing.name == NULL && heading->data_file.name == NULL))
    return file;
  g_autofree char *safe_path = img_text_escape (path.path, -1);
  set_refused (search,
               heading->backing.name != NULL ? heading->backing.name : heading->data_file.name);
  return img_null_throw (
      error, IMG_ERROR_FAILED,
      "'%s' does not say what format its backing file '%s' has. It looks like %s and "
      "names other files, which a guest may have written: they are not followed",
      safe, safe_path, format);
}

static gboolean
open_data_file (Search *search, const ImgFile *front, const ImgHeading *heading, guint depth,
                GError **error)
{
  g_auto (ImgGatePath) path = { 0 };
  ImgFile *file = open_reference (search, front, data_file, &heading->data_file, &path, error);
  if (file == NULL)
    return FALSE;
  add_member (search, file, data_file, "raw", NULL, front, depth);
  return TRUE;
}

/* All that the image in @file, with @heading, needs, down to the last. */
static gboolean
follow (Search *search, ImgFile *file, ImgHeading *heading, GError **error)
{
  for (guint depth = 1; file != NULL; depth++)
    {
      if (heading->data_file.name != NULL
          && !open_data_file (search, file, heading, depth - 1, error))
        return FALSE;
      if (heading->backing.name == NULL)
        return TRUE;
      if (depth >= IMG_CHAIN_MAX_DEPTH)
        {
          set_refused (search, heading->backing.name);
          return img_throw (error, IMG_ERROR_FAILED,
                            "the chain of backing files is longer than %d images",
                            IMG_CHAIN_MAX_DEPTH);
        }
      file = open_backing (search, file, heading, depth, error);
    }
  return FALSE;
}

gboolean
img_chain_find (ImgFile *file, const char *format, const ImgChainParams *params, GPtrArray *files,
                ImgChain *chain, GError **error)
{
  Search search = { .params = params, .files = files, .chain = chain };
  ImgHeadingParams heading_params = { .policy = &params->policy,
                                      .was_probed = params->was_probed,
                                      .snapshot = params->snapshot };
  g_auto (ImgHeading) heading = { 0 };

  chain->members = g_array_new (FALSE, FALSE, sizeof (ImgChainMember));
  g_array_set_clear_func (chain->members, clear_member);
  chain->snapshot = g_strdup (params->snapshot);
  if (!read_heading (&search, file, format, &heading_params, &heading, error))
    return FALSE;
  add_member (&search, file, "image", format, &heading, NULL, 0);
  chain->size = heading.size;
  if (!follow (&search, file, &heading, error))
    return FALSE;
  g_clear_pointer (&chain->refused, g_free);
  return TRUE;
}

/* ---- making a disk of them ---- */

/* It may have been written to since it was looked at. */
static gboolean
is_unchanged (const ImgDisk *disk, const ImgChain *chain, guint i)
{
  return g_strcmp0 (disk->backing.name, member (chain, i)->backing) == 0
         && g_strcmp0 (disk->data_file.name, member (chain, i)->data_file) == 0
         && (i > 0 || disk->size == chain->size);
}

/* The image that is @i-th in @chain, alone. */
static ImgDisk *
open_member (const ImgChain *chain, guint i, GError **error)
{
  g_autoptr (ImgDisk) disk
      = img_disk_open (member (chain, i)->file, member (chain, i)->format, error);

  if (disk == NULL
      || (i == 0 && chain->snapshot != NULL && !img_disk_select (disk, chain->snapshot, error)))
    return NULL;
  if (is_unchanged (disk, chain, i))
    return g_steal_pointer (&disk);
  g_autofree char *safe = img_text_escape (img_file_path (disk->file), -1);
  return img_null_throw (error, IMG_ERROR_FAILED, "'%s' was changed while it was opened", safe);
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
img_chain_open (const ImgChain *chain, GError **error)
{
  g_autoptr (ImgDisk) top = NULL;
  ImgDisk *last = NULL;

  for (guint i = 0; i < chain->members->len; i++)
    {
      if (member (chain, i)->is_data_file)
        {
          g_assert (last != NULL); /* the first is the image itself */
          last->data = member (chain, i)->file;
          continue;
        }
      ImgDisk *disk = open_member (chain, i, error);
      if (disk == NULL)
        return NULL;
      *(last == NULL ? &top : &last->backing_disk) = disk;
      last = disk;
    }
  return begin (top, error) ? g_steal_pointer (&top) : NULL;
}
