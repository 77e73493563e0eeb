/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/info.h"

#include <sys/stat.h>

#include "base/size.h"
#include "base/text.h"
#include "disk/chain.h"
#include "disk/detect.h"
#include "engine/pack.h"
#include "sandbox/call.h"

#define SECTOR 512

/* Address space of the process that looks at an image; it needs a twentieth. */
#define MEMORY (G_GUINT64_CONSTANT (1) << 30)

static void
free_reference (gpointer data)
{
  ImgInfoReference *reference = data;
  g_free (reference->name);
  g_free (reference->format);
  g_free (reference->path);
  g_free (reference->refusal);
  g_free (reference);
}

static void
add_reference (ImgInfo *info, const char *kind, const ImgReference *named)
{
  g_auto (ImgGatePath) path = { 0 };
  g_autoptr (GError) error = NULL;

  if (named->name == NULL)
    return;
  ImgInfoReference *reference = g_new0 (ImgInfoReference, 1);
  reference->kind = kind;
  reference->name = g_strdup (named->name);
  if (img_gate_resolve (info->path, kind, named, &path, &error))
    reference->path = g_steal_pointer (&path.path);
  else
    reference->refusal = g_strdup (error->message);
  reference->format = g_steal_pointer (&path.format);
  g_ptr_array_add (info->references, reference);
}

/* Guest bytes, description, content of a raw disk, and what the image names: backing file, its
 * format, data file. */
#define INSIDE "(t" IMG_PACK_DESCRIPTION IMG_PACK_CONTENT "ayayay)"

typedef struct
{
  ImgFile *file;               /* borrowed */
  const char *format;          /* constant */
  const ImgGatePolicy *policy; /* borrowed; for an inspection */
} Look;

/* In the sandbox. */
static GVariant *
describe (gpointer closure, GError **error)
{
  const Look *look = closure;
  g_autoptr (ImgDisk) disk = img_disk_open (look->file, look->format, error);
  g_auto (ImgDescription) description = { 0 };
  ImgContent content = { 0 };

  if (disk == NULL || !img_disk_describe (disk, &description, error))
    return NULL;
  if (g_str_equal (look->format, "raw"))
    img_content_guess (look->file, &content);
  GVariant *packed
      = g_variant_new ("(t@" IMG_PACK_DESCRIPTION "@" IMG_PACK_CONTENT "@ay@ay@ay)", disk->size,
                       img_pack_description (&description), img_pack_content (&content),
                       img_pack_text (disk->backing.name), img_pack_text (disk->backing.format),
                       img_pack_text (disk->data_file.name));
  img_content_clear (&content);
  return packed;
}

static void
take_references (ImgInfo *info, GVariant *packed)
{
  g_autoptr (GVariant) backing = g_variant_get_child_value (packed, 3);
  g_autoptr (GVariant) format = g_variant_get_child_value (packed, 4);
  g_autoptr (GVariant) data_file = g_variant_get_child_value (packed, 5);

  info->backing.name = img_unpack_text (backing);
  info->data_file.name = img_unpack_text (data_file);
  if (info->backing.name != NULL)
    {
      info->backing.format = img_unpack_text (format);
      info->full_backing_name = img_gate_full_name (info->path, info->backing.name);
    }
  info->references = g_ptr_array_new_with_free_func (free_reference);
  add_reference (info, "backing file", &info->backing);
  add_reference (info, "data file", &info->data_file);
}

/* What is known only once the format is. */
static gboolean
look_inside (ImgInfo *info, ImgFile *file, GError **error)
{
  Look look = { .file = file, .format = info->format };
  ImgSandboxCall call = { .work = describe,
                          .type = INSIDE,
                          .closure = &look,
                          .memory = MEMORY,
                          .subject = img_file_path (file) };
  g_autoptr (GVariant) packed = img_sandbox_run (&call, error);
  guint64 size;

  if (packed == NULL)
    return FALSE;
  g_autoptr (GVariant) description = g_variant_get_child_value (packed, 1);
  g_autoptr (GVariant) content = g_variant_get_child_value (packed, 2);
  g_variant_get_child (packed, 0, "t", &size);
  img_unpack_description (description, &info->description);
  info->is_raw = g_str_equal (info->format, "raw");
  info->virtual_size = info->is_raw ? img_size_round_up (size, SECTOR) : size;
  if (info->is_raw)
    img_unpack_content (content, &info->content);
  take_references (info, packed);
  return TRUE;
}

static gboolean
identify (ImgInfo *info, ImgFile *file, GError **error)
{
  struct stat st;
  if (fstat (img_file_fd (file), &st) < 0)
    return img_throw_errno (error, "cannot look at the open image");
  info->device = st.st_dev;
  info->inode = st.st_ino;
  return TRUE;
}

ImgInfo *
img_info_new (const char *path, ImgUse use, const ImgOpenParams *params, GError **error)
{
  const char *format;
  g_autoptr (ImgFile) file = img_open (path, use, params, &format, error);
  if (file == NULL)
    return NULL;

  g_autoptr (ImgInfo) info = g_new0 (ImgInfo, 1);
  info->path = g_strdup (path);
  info->format = format;
  info->is_device = img_file_is_device (file);
  if (!identify (info, file, error))
    return NULL;
  info->file_length = img_file_size (file);
  info->allocated = img_file_allocated (file);
  info->warning = g_strdup (img_lock_warning (img_file_lock (file)));
  info->remark = g_strdup (img_lock_remark (img_file_lock (file)));
  if (!look_inside (info, file, error) || !img_file_verify_lock (file, NULL, error))
    return NULL;
  return g_steal_pointer (&info);
}

/* In the sandbox. */
static GVariant *
inspect (gpointer closure, GError **error)
{
  const Look *look = closure;
  g_autoptr (ImgInspection) inspection
      = img_inspect (look->file, look->format, look->policy, error);
  return inspection == NULL ? NULL : img_pack_inspection (inspection);
}

ImgInspection *
img_info_inspect (const char *path, const ImgOpenParams *params, GError **error)
{
  ImgOpenParams any = *params;
  const char *format;

  any.any_format = TRUE;
  g_autoptr (ImgFile) file = img_open (path, IMG_USE_INFO, &any, &format, error);
  if (file == NULL)
    return NULL;
  Look look = { .file = file, .format = format, .policy = &params->policy };
  ImgSandboxCall call = { .work = inspect,
                          .type = IMG_PACK_INSPECTION,
                          .closure = &look,
                          .memory = MEMORY,
                          .subject = path,
                          .is_required = TRUE };
  g_autoptr (GVariant) packed = img_sandbox_run (&call, error);
  if (packed == NULL || !img_file_verify_lock (file, NULL, error))
    return NULL;
  ImgInspection *inspection = img_inspection_new (file, format);
  img_unpack_inspection (packed, inspection);
  return inspection;
}

/* ---- chains ---- */

static gboolean
is_in_chain (const GPtrArray *chain, const ImgInfo *info)
{
  for (guint i = 0; i < chain->len; i++)
    {
      const ImgInfo *other = chain->pdata[i];
      if (other->device == info->device && other->inode == info->inode)
        return TRUE;
    }
  return FALSE;
}

/* Where a guess at the format of the first image, or of one whose format is not recorded, leads no
 * further. See disk/probe.h. */
static gboolean
check_guess (const ImgInfo *info, gboolean is_first, GError **error)
{
  g_autofree char *safe = img_text_escape (info->path, -1);
  g_autofree char *suffix = g_strconcat (".", info->format, NULL);
  if (is_first && g_str_has_suffix (info->path, suffix))
    return TRUE;
  return img_throw (
      error, IMG_ERROR_FAILED,
      "'%s' looks like %s and names other files, which a guest may have written; they "
      "are followed only if %s says what it is",
      safe, info->format, is_first ? "-f" : "the image in front of it");
}

/* The path and the format of what is behind @info, the last of @chain so far; *@path NULL: nothing.
 */
static gboolean
find_next (const GPtrArray *chain, const ImgInfo *info, gboolean was_probed, ImgGatePath *path,
           GError **error)
{
  img_gate_path_clear (path);
  if (info->backing.name == NULL)
    return TRUE;
  if (was_probed && !check_guess (info, chain->len == 1, error))
    return FALSE;
  if (chain->len >= IMG_CHAIN_MAX_DEPTH)
    return img_throw (error, IMG_ERROR_FAILED,
                      "the chain of backing files is longer than %d images", IMG_CHAIN_MAX_DEPTH);
  return img_gate_resolve (info->path, "backing file", &info->backing, path, error);
}

gboolean
img_info_chain (const char *path, ImgUse use, const ImgOpenParams *params, GPtrArray *chain,
                GError **error)
{
  g_auto (ImgGatePath) next = { .path = g_strdup (path), .format = g_strdup (params->format) };
  ImgOpenParams one = *params;
  g_autoptr (ImgRoot) root = NULL;

  if (!img_open_root (path, &params->policy, &root, error))
    return FALSE;
  one.root = root;
  while (next.path != NULL)
    {
      if (next.format != NULL && img_format_intern (next.format) == NULL)
        {
          g_autofree char *safe = img_text_escape (next.format, -1);
          return img_throw (error, IMG_ERROR_UNSUPPORTED, "the format '%s' is not known", safe);
        }
      one.format = next.format;
      g_autoptr (ImgInfo) info = img_info_new (next.path, use, &one, error);
      if (info == NULL && chain->len > 0)
        {
          const ImgInfo *front = chain->pdata[chain->len - 1];
          g_autofree char *safe = img_text_escape (front->path, -1);
          g_prefix_error (error, "the backing file of '%s': ", safe);
        }
      if (info == NULL)
        return FALSE;
      if (is_in_chain (chain, info))
        {
          g_autofree char *safe = img_text_escape (info->path, -1);
          return img_throw (error, IMG_ERROR_FAILED,
                            "the chain of backing files leads back to '%s'", safe);
        }
      const ImgInfo *last = info;
      one.no_devices
          = !params->policy.allow_devices && (chain->len == 0 ? !info->is_device : one.no_devices);
      g_ptr_array_add (chain, g_steal_pointer (&info));
      if (!find_next (chain, last, one.format == NULL, &next, error))
        return FALSE;
      one.is_named = TRUE;
    }
  return TRUE;
}

void
img_info_free (ImgInfo *info)
{
  g_free (info->path);
  img_content_clear (&info->content);
  img_description_clear (&info->description);
  g_free (info->backing.name);
  g_free (info->backing.format);
  g_free (info->data_file.name);
  g_free (info->full_backing_name);
  g_clear_pointer (&info->references, g_ptr_array_unref);
  g_free (info->warning);
  g_free (info->remark);
  g_free (info);
}
