/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk/check.h"

#include <string.h>

#include "disk/format.h"

static const struct
{
  const char *name;
  ImgFindingClass class;
} kinds[IMG_N_FINDING_KINDS] = {
  [IMG_FINDING_REFCOUNT_LOW] = { "refcount-low", IMG_FINDING_IS_CORRUPTION },
  [IMG_FINDING_LEAK] = { "leak", IMG_FINDING_IS_LEAK },
  [IMG_FINDING_COPIED] = { "copied-flag", IMG_FINDING_IS_CORRUPTION },
  [IMG_FINDING_REFCOUNT_BLOCK] = { "refcount-block", IMG_FINDING_IS_CORRUPTION },
  [IMG_FINDING_ENTRY] = { "bad-entry", IMG_FINDING_IS_CORRUPTION },
  [IMG_FINDING_PAST_END] = { "past-end", IMG_FINDING_IS_CORRUPTION },
  [IMG_FINDING_OVERFLOW] = { "overflow", IMG_FINDING_IS_CORRUPTION },
  [IMG_FINDING_SNAPSHOT] = { "snapshot", IMG_FINDING_IS_CORRUPTION },
  [IMG_FINDING_BITMAP] = { "bitmap", IMG_FINDING_IS_CORRUPTION },
  [IMG_FINDING_HEADER] = { "header", IMG_FINDING_IS_CORRUPTION },
  [IMG_FINDING_CUT_TABLE] = { "cut-table", IMG_FINDING_IS_CORRUPTION },
  [IMG_FINDING_OVERLAP] = { "overlap", IMG_FINDING_IS_CORRUPTION },
  [IMG_FINDING_REFCOUNT_PAST] = { "refcount-past-end", IMG_FINDING_IS_PAST },
  [IMG_FINDING_DATA] = { "data", IMG_FINDING_IS_CORRUPTION },
  [IMG_FINDING_INTERNAL] = { "internal", IMG_FINDING_IS_ERROR },
};

const char *
img_finding_name (ImgFindingKind kind)
{
  return kinds[kind].name;
}

ImgFindingClass
img_finding_class (ImgFindingKind kind)
{
  return kinds[kind].class;
}

static void
free_finding (gpointer data)
{
  ImgFinding *finding = data;
  g_free (finding->text);
  g_free ((char *)finding->place.snapshot);
  g_free (finding);
}

void
img_check_result_init (ImgCheckResult *result)
{
  *result = (ImgCheckResult){ .findings = g_ptr_array_new_with_free_func (free_finding) };
}

void
img_check_result_clear (ImgCheckResult *result)
{
  g_clear_pointer (&result->findings, g_ptr_array_unref);
}

static guint64 *
counter_of (ImgCheckResult *result, ImgFindingKind kind)
{
  switch (kinds[kind].class)
    {
    case IMG_FINDING_IS_LEAK:
      return &result->leaks;
    case IMG_FINDING_IS_ERROR:
      return &result->errors;
    case IMG_FINDING_IS_PAST:
      return &result->past_end;
    case IMG_FINDING_IS_CORRUPTION:
    default:
      return &result->corruptions;
    }
}

void
img_check_note (ImgCheckResult *result, ImgFindingKind kind, guint64 times,
                const ImgFindingPlace *place, const char *format, ...)
{
  va_list arguments;

  *counter_of (result, kind) += times;
  result->n_of_kind[kind] += times;
  if (times == 0 || result->findings->len >= IMG_CHECK_MAX_KEPT)
    return;
  ImgFinding *finding = g_new0 (ImgFinding, 1);
  va_start (arguments, format);
  finding->text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  finding->kind = kind;
  finding->place = *place;
  finding->place.snapshot = g_strdup (place->snapshot);
  g_ptr_array_add (result->findings, finding);
}

guint64
img_check_n_findings (const ImgCheckResult *result)
{
  guint64 n = 0;
  for (guint i = 0; i < IMG_N_FINDING_KINDS; i++)
    n += result->n_of_kind[i];
  return n;
}

gboolean
img_format_has_check (const char *name)
{
  for (guint i = 0; img_formats[i] != NULL; i++)
    if (strcmp (img_formats[i]->name, name) == 0)
      return img_formats[i]->check != NULL;
  return FALSE;
}

gboolean
img_disk_check (ImgDisk *disk, const ImgCheckParams *params, ImgCheckResult *result, GError **error)
{
  if (disk->format->check == NULL)
    return img_throw (error, IMG_ERROR_UNSUPPORTED, "This image format does not support checks");
  return disk->format->check (disk, params, result, error);
}
