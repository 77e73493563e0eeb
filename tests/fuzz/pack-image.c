/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is really found out about an image, to begin with. */
#include "disk/probe.h"
#include "unpack.h"

typedef struct
{
  const char *folder, *name; /* borrowed */
} Place;

/* Takes @packed, which is floating, or NULL. */
static gboolean
put (const Place *place, FuzzPacked kind, GVariant *packed, GError **error)
{
  g_autoptr (GVariant) owned = packed == NULL ? NULL : g_variant_ref_sink (packed);
  g_autoptr (GString) bytes = g_string_new (NULL);

  if (owned == NULL)
    return TRUE;
  g_autofree char *file = g_strdup_printf ("%s/%s-%d", place->folder, place->name, (int)kind);
  g_string_append_c (bytes, (char)kind);
  g_string_append_len (bytes, g_variant_get_data (owned), (gssize)g_variant_get_size (owned));
  return g_file_set_contents (file, bytes->str, (gssize)bytes->len, error);
}

static gboolean
put_content (const Place *place, ImgFile *file, GError **error)
{
  ImgContent content = { 0 };

  img_content_guess (file, &content);
  gboolean is_good = put (place, FUZZ_PACKED_CONTENT, img_pack_content (&content), error);
  img_content_clear (&content);
  return is_good;
}

static gboolean
put_inspection (const Place *place, ImgFile *file, const char *format, GError **error)
{
  const ImgGatePolicy policy = { 0 };
  g_autoptr (ImgInspection) inspection = img_inspect (file, format, &policy, NULL);

  return put (place, FUZZ_PACKED_INSPECTION,
              inspection == NULL ? NULL : img_pack_inspection (inspection), error);
}

static gboolean
put_check (const Place *place, ImgDisk *disk, GError **error)
{
  g_autoptr (ImgPlan) plan = img_plan_new ();
  ImgCheckParams params = { .plan = plan, .repair = IMG_REPAIR_ALL };
  g_auto (ImgCheckResult) result = { 0 };

  img_check_result_init (&result);
  return !img_disk_check (disk, &params, &result, NULL)
         || (put (place, FUZZ_PACKED_CHECK, img_pack_check (&result), error)
             && put (place, FUZZ_PACKED_PLAN, img_pack_plan (plan), error));
}

/* What a copy of it might have told; copying takes more than an image. */
static gboolean
put_copy (const Place *place, const ImgDisk *disk, GError **error)
{
  ImgRange bad = { .guest_offset = 512, .length = 512 };
  g_auto (ImgCopyResult) result = { .size = disk->size,
                                    .copied = disk->size,
                                    .unreadable = g_array_new (FALSE, FALSE, sizeof bad),
                                    .digests = g_ptr_array_new_with_free_func (g_free) };

  g_array_append_val (result.unreadable, bad);
  g_ptr_array_add (result.digests, g_strdup ("d41d8cd98f00b204e9800998ecf8427e"));
  return put (place, FUZZ_PACKED_COPY, img_pack_copy (&result), error);
}

/* And of how it was opened. */
static gboolean
put_opening (const Place *place, ImgFile *file, const char *format, GError **error)
{
  const ImgHeadingParams params = { 0 };
  g_auto (ImgHeading) heading = { 0 };
  g_autoptr (GPtrArray) texts = g_ptr_array_new ();

  g_ptr_array_add (texts, (gpointer)place->name);
  return !img_heading_read (file, format, &params, &heading, NULL)
         || (put (place, FUZZ_PACKED_HEADING, img_pack_heading (&heading), error)
             && put (place, FUZZ_PACKED_TEXTS, img_pack_texts (texts), error));
}

gboolean
fuzz_pack_image (const char *path, const char *folder, GError **error)
{
  g_autofree char *name = g_path_get_basename (path), *contents = NULL;
  Place place = { .folder = folder, .name = name };
  g_auto (ImgDescription) description = { 0 };
  gsize size;

  if (!g_file_get_contents (path, &contents, &size, error))
    return FALSE;
  ImgFile *file = fuzz_image (FUZZ_TOP, (const guint8 *)contents, size);
  const char *format = img_probe (file, NULL);
  g_autoptr (ImgDisk) disk = format == NULL ? NULL : img_disk_open (file, format, NULL);
  if (disk == NULL)
    return TRUE;
  if (img_disk_describe (disk, &description, NULL)
      && !put (&place, FUZZ_PACKED_DESCRIPTION, img_pack_description (&description), error))
    return FALSE;
  return put (&place, FUZZ_PACKED_TEXT, img_pack_text (disk->backing.name), error)
         && put_content (&place, file, error) && put_inspection (&place, file, format, error)
         && put_check (&place, disk, error) && put_copy (&place, disk, error)
         && put_opening (&place, file, format, error);
}
