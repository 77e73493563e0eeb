/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/info-print.h"

#include "base/size.h"
#include "base/text.h"
#include "cli/lock-status-print.h"
#include "cli/output.h"

static const char *
protocol_of (const ImgInfo *info)
{
  return info->is_device ? "host_device" : "file";
}

static void
append_size (GString *text, const char *name, guint64 bytes)
{
  g_autofree char *words = img_size_to_text (bytes);
  g_string_append_printf (text, "%s: %s (%" G_GUINT64_FORMAT " bytes)\n", name, words, bytes);
}

void
cli_info_append_text (GString *text, const ImgInfo *info, const ImgStatus *in_use)
{
  g_autofree char *path = img_text_escape (info->path, -1);
  g_autofree char *allocated = img_size_to_text (info->allocated);

  g_string_append_printf (text, "image: %s\nfile format: %s\n", path, info->format);
  append_size (text, "virtual size", info->virtual_size);
  g_string_append_printf (text,
                          "disk size: %s\n"
                          "Child node '/file':\n"
                          "    filename: %s\n"
                          "    protocol type: %s\n",
                          allocated, path, protocol_of (info));
  append_size (text, "    file length", info->virtual_size);
  g_string_append_printf (text, "    disk size: %s\n", allocated);
  if (info->file_length != info->virtual_size)
    g_string_append_printf (text, "exact file length: %" G_GUINT64_FORMAT " bytes\n",
                            info->file_length);
  if (info->content.description != NULL)
    g_string_append_printf (text, "content: looks like %s (a guess)\n", info->content.description);
  if (in_use != NULL)
    {
      g_autofree char *sentence = cli_status_sentence (in_use);
      g_string_append_printf (text, "in use: %s\n",
                              in_use->state == IMG_STATUS_IN_USE ? sentence + sizeof "in use: " - 1
                              : in_use->state == IMG_STATUS_FREE ? "no"
                                                                 : sentence);
    }
}

json_t *
cli_content_to_json (const ImgContent *content)
{
  if (content->description == NULL)
    return NULL;
  json_t *object = json_object ();
  json_object_set_new (object, "guess", json_true ());
  json_object_set_new (object, "description", cli_json_text (content->description));
  if (content->partition_table != NULL)
    {
      json_object_set_new (object, "partition-table", cli_json_text (content->partition_table));
      json_object_set_new (object, "partition-table-end",
                           json_integer ((json_int_t)content->table_end));
      json_object_set_new (object, "truncated", json_boolean (content->is_truncated));
    }
  if (content->filesystem != NULL)
    json_object_set_new (object, "filesystem", cli_json_text (content->filesystem));
  return object;
}

/* qemu-img's child node "file". */
static json_t *
child_to_json (const ImgInfo *info)
{
  json_t *node = json_object ();
  json_t *child = json_object ();

  json_object_set_new (node, "children", json_array ());
  json_object_set_new (node, "virtual-size", json_integer ((json_int_t)info->virtual_size));
  cli_json_set_filename (node, "filename", "filename-bytes", info->path);
  json_object_set_new (node, "format", json_string (protocol_of (info)));
  json_object_set_new (node, "actual-size", json_integer ((json_int_t)info->allocated));
  json_object_set_new (node, "format-specific", json_pack ("{s:s, s:{}}", "type", "file", "data"));
  json_object_set_new (node, "dirty-flag", json_false ());
  json_object_set_new (child, "name", json_string ("file"));
  json_object_set_new (child, "info", node);
  return child;
}

json_t *
cli_info_to_json (const ImgInfo *info)
{
  json_t *object = json_object ();
  json_t *children = json_array ();
  json_t *content = cli_content_to_json (&info->content);

  json_array_append_new (children, child_to_json (info));
  json_object_set_new (object, "children", children);
  json_object_set_new (object, "virtual-size", json_integer ((json_int_t)info->virtual_size));
  json_object_set_new (object, "filename", cli_json_text (info->path));
  json_object_set_new (object, "format", json_string (info->format));
  json_object_set_new (object, "actual-size", json_integer ((json_int_t)info->allocated));
  json_object_set_new (object, "dirty-flag", json_false ());
  cli_json_set_filename (object, "filename", "filename-bytes", info->path);
  json_object_set_new (object, "file-length", json_integer ((json_int_t)info->file_length));
  if (content != NULL)
    json_object_set_new (object, "content", content);
  return object;
}

void
cli_info_warn (const ImgInfo *info, gboolean verbose)
{
  if (info->warning != NULL)
    cli_print_warning (info->warning);
  if (info->remark != NULL && verbose)
    cli_print_remark (info->remark);
  if (info->content.is_truncated)
    {
      g_autofree char *path = img_text_escape (info->path, -1);
      g_autofree char *text = g_strdup_printf (
          "'%s': its %s partition table ends at byte %" G_GUINT64_FORMAT
          ", but the file ends at byte %" G_GUINT64_FORMAT ": the image is truncated",
          path, info->content.partition_table, info->content.table_end, info->file_length);
      cli_print_remark (text);
    }
}
