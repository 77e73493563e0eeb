/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk/inspect.h"

#include <string.h>

#include "base/text.h"
#include "disk/describe.h"
#include "disk/detect.h"
#include "disk/format.h"

void
img_inspection_free (ImgInspection *inspection)
{
  g_free (inspection->path);
  g_ptr_array_unref (inspection->candidates);
  g_ptr_array_unref (inspection->references);
  g_ptr_array_unref (inspection->features);
  g_ptr_array_unref (inspection->reasons);
  g_free (inspection);
}

static void
free_reference (gpointer data)
{
  ImgInspectedReference *reference = data;
  g_free (reference->name);
  g_free (reference->format);
  g_free (reference);
}

static void add_reason (ImgInspection *inspection, const char *format, ...) G_GNUC_PRINTF (2, 3);

static void
add_reason (ImgInspection *inspection, const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  g_ptr_array_add (inspection->reasons, g_strdup_vprintf (format, arguments));
  va_end (arguments);
}

/* ---- what it looks like ---- */

/* Bytes that others look for, wherever they do. */
static gboolean
find_candidates (ImgInspection *inspection, ImgFile *file, GError **error)
{
  guint64 size = img_file_size (file);
  gsize head_length = (gsize)MIN (size, IMG_DETECT_HEAD_BYTES);
  gsize tail_length = (gsize)MIN (size, IMG_DETECT_TAIL_BYTES);
  g_autofree guint8 *head = g_malloc0 (IMG_DETECT_HEAD_BYTES);
  guint8 tail[IMG_DETECT_TAIL_BYTES];

  if (!img_file_read (file, 0, head, head_length, error)
      || !img_file_read (file, size - tail_length, tail, tail_length, error))
    return FALSE;
  img_detect_candidates (head, head_length, tail, tail_length, inspection->candidates);
  return TRUE;
}

/* A raw disk has partitions or an ISO file system in it; no other image begins with such. */
static void
judge_candidates (ImgInspection *inspection)
{
  gboolean is_raw = strcmp (inspection->format, "raw") == 0;

  for (guint i = 0; i < inspection->candidates->len; i++)
    {
      const char *name = inspection->candidates->pdata[i];
      if (strcmp (name, inspection->format) == 0 || (is_raw && img_detect_is_content (name)))
        continue;
      add_reason (inspection, "it is taken for %s, but looks like %s%s", inspection->format, name,
                  is_raw ? ": whoever does not know takes it for that" : " as well");
    }
}

/* ---- what it says ---- */

static void
note_reference (ImgInspection *inspection, const char *kind, const ImgReference *named)
{
  if (named->name == NULL)
    return;
  ImgInspectedReference *reference = g_new0 (ImgInspectedReference, 1);
  g_autofree char *safe = img_text_escape (named->name, -1);
  reference->kind = kind;
  reference->name = g_strdup (named->name);
  reference->format = g_strdup (named->format);
  g_ptr_array_add (inspection->references, reference);
  add_reason (inspection, "it names a %s: '%s'", kind, safe);
}

static void
note_size (ImgInspection *inspection, guint64 max_size)
{
  if (inspection->virtual_size > max_size)
    add_reason (inspection,
                "the disk has %" G_GUINT64_FORMAT " bytes, more than the %" G_GUINT64_FORMAT
                " of --max-size",
                inspection->virtual_size, max_size);
}

static gboolean
note_features (ImgInspection *inspection, ImgDisk *disk, GError **error)
{
  g_auto (ImgDescription) description = { 0 };

  if (!img_disk_describe (disk, &description, error))
    return FALSE;
  for (guint i = 0; description.features != NULL && i < description.features->len; i++)
    {
      const ImgFeature *feature = description.features->pdata[i];
      g_ptr_array_add (inspection->features, g_strdup (feature->name));
      if (!feature->is_harmless)
        add_reason (inspection, "it uses what is not allowed: %s", feature->name);
    }
  if (description.needed > inspection->file_length)
    add_reason (inspection,
                "it is truncated: its tables reach to byte %" G_GUINT64_FORMAT
                ", and the file ends at byte %" G_GUINT64_FORMAT,
                description.needed, inspection->file_length);
  return TRUE;
}

static gboolean
look_inside (ImgInspection *inspection, ImgFile *file, const ImgGatePolicy *policy, GError **error)
{
  g_autoptr (ImgDisk) disk = img_disk_open (file, inspection->format, error);

  if (disk == NULL)
    return FALSE;
  inspection->has_size = TRUE;
  inspection->virtual_size = disk->size;
  note_size (inspection, policy->max_size != 0 ? policy->max_size : IMG_UNTRUSTED_MAX_SIZE);
  note_reference (inspection, "backing file", &disk->backing);
  note_reference (inspection, "data file", &disk->data_file);
  return note_features (inspection, disk, error);
}

ImgInspection *
img_inspection_new (ImgFile *file, const char *format)
{
  ImgInspection *inspection = g_new0 (ImgInspection, 1);

  inspection->path = g_strdup (img_file_path (file));
  inspection->format = img_format_intern (format);
  inspection->file_length = img_file_size (file);
  inspection->candidates = g_ptr_array_new ();
  inspection->references = g_ptr_array_new_with_free_func (free_reference);
  inspection->features = g_ptr_array_new_with_free_func (g_free);
  inspection->reasons = g_ptr_array_new_with_free_func (g_free);
  return inspection;
}

ImgInspection *
img_inspect (ImgFile *file, const char *format, const ImgGatePolicy *policy, GError **error)
{
  g_autoptr (ImgInspection) inspection = img_inspection_new (file, format);
  g_autoptr (GError) flaw = NULL;

  if (!find_candidates (inspection, file, error))
    return NULL;
  judge_candidates (inspection);
  if (!look_inside (inspection, file, policy, &flaw))
    add_reason (inspection, "%s", flaw->message);
  return g_steal_pointer (&inspection);
}

/* ---- for reading it ---- */

gboolean
img_inspect_check (const ImgDisk *disk, const ImgGatePolicy *policy, GError **error)
{
  g_autofree char *safe = img_text_escape (img_file_path (disk->file), -1);

  if (!policy->is_untrusted)
    return TRUE;
  g_autoptr (ImgInspection) inspection
      = img_inspect (disk->file, disk->format->name, policy, error);
  if (inspection == NULL)
    return FALSE;
  /* The disk was opened before: what is in the file may have been changed since. */
  if (inspection->references->len == 0
      && (disk->backing.name != NULL || disk->data_file.name != NULL))
    add_reason (inspection, "it named another file a moment ago");
  if (inspection->reasons->len == 0)
    return TRUE;
  g_ptr_array_add (inspection->reasons, NULL);
  g_autofree char *reasons = g_strjoinv ("; ", (char **)inspection->reasons->pdata);
  return img_throw (error, IMG_ERROR_FAILED, "'%s' is not safe to read: %s", safe, reasons);
}

gboolean
img_inspect_check_size (const char *path, guint64 size, const ImgGatePolicy *policy, GError **error)
{
  guint64 most = policy->max_size != 0  ? policy->max_size
                 : policy->is_untrusted ? IMG_UNTRUSTED_MAX_SIZE
                                        : G_MAXUINT64;
  g_autofree char *safe = img_text_escape (path, -1);

  return size <= most
         || img_throw (error, IMG_ERROR_FAILED,
                       "'%s': the disk has %" G_GUINT64_FORMAT " bytes, more than the "
                       "%" G_GUINT64_FORMAT " of --max-size",
                       safe, size, most);
}
