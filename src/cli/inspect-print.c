/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/inspect-print.h"

#include "base/size.h"
#include "base/text.h"

static void
append_list (GString *text, const char *name, const GPtrArray *words)
{
  for (guint i = 0; i < words->len; i++)
    g_string_append_printf (text, "%s%s", i == 0 ? name : ", ", (const char *)words->pdata[i]);
  if (words->len > 0)
    g_string_append_c (text, '\n');
}

void
cli_inspection_append_text (GString *text, const ImgInspection *inspection)
{
  g_autofree char *path = img_text_escape (inspection->path, -1);

  if (text->len > 0)
    g_string_append_c (text, '\n');
  g_string_append_printf (text, "image: %s\nfile format: %s\n", path, inspection->format);
  if (inspection->has_size)
    {
      g_autofree char *size = img_size_to_text (inspection->virtual_size);
      g_string_append_printf (text, "virtual size: %s (%" G_GUINT64_FORMAT " bytes)\n", size,
                              inspection->virtual_size);
    }
  append_list (text, "looks like: ", inspection->candidates);
  append_list (text, "features: ", inspection->features);
  for (guint i = 0; i < inspection->references->len; i++)
    {
      const ImgInspectedReference *reference = inspection->references->pdata[i];
      g_autofree char *name = img_text_escape (reference->name, -1);
      g_string_append_printf (text, "outside reference: %s '%s'\n", reference->kind, name);
    }
  g_string_append_printf (text, "safe: %s\n", inspection->reasons->len == 0 ? "yes" : "no");
  for (guint i = 0; i < inspection->reasons->len; i++)
    g_string_append_printf (text, "reason: %s\n", (const char *)inspection->reasons->pdata[i]);
}

static json_t *
words_to_json (const GPtrArray *words)
{
  json_t *array = json_array ();
  for (guint i = 0; i < words->len; i++)
    json_array_append_new (array, cli_json_text (words->pdata[i]));
  return array;
}

json_t *
cli_inspection_to_json (const ImgInspection *inspection)
{
  json_t *object = json_object ();
  json_t *references = json_array ();

  for (guint i = 0; i < inspection->references->len; i++)
    {
      const ImgInspectedReference *reference = inspection->references->pdata[i];
      json_t *one = json_object ();
      json_object_set_new (one, "kind", json_string (reference->kind));
      json_object_set_new (one, "name", cli_json_text (reference->name));
      json_object_set_new (one, "format", cli_json_text (reference->format));
      json_array_append_new (references, one);
    }
  cli_json_set_filename (object, "filename", "filename-bytes", inspection->path);
  json_object_set_new (object, "format", json_string (inspection->format));
  json_object_set_new (object, "virtual-size",
                       inspection->has_size ? json_integer ((json_int_t)inspection->virtual_size)
                                            : json_null ());
  json_object_set_new (object, "file-length", json_integer ((json_int_t)inspection->file_length));
  json_object_set_new (object, "candidates", words_to_json (inspection->candidates));
  json_object_set_new (object, "references", references);
  json_object_set_new (object, "features", words_to_json (inspection->features));
  json_object_set_new (object, "safe", json_boolean (inspection->reasons->len == 0));
  json_object_set_new (object, "reasons", words_to_json (inspection->reasons));
  return object;
}
