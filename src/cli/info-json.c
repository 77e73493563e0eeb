/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* imgtool info --output=json: qemu-img's members in its order, then ours. */
#include "cli/fact-print.h"
#include "cli/info-print.h"

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
  json_object_set_new (node, "virtual-size",
                       json_integer ((json_int_t)cli_info_protocol_size (info)));
  cli_json_set_filename (node, "filename", "filename-bytes", info->path);
  json_object_set_new (node, "format", json_string (cli_info_protocol (info)));
  json_object_set_new (node, "actual-size", json_integer ((json_int_t)info->allocated));
  json_object_set_new (node, "format-specific", json_pack ("{s:s, s:{}}", "type", "file", "data"));
  json_object_set_new (node, "dirty-flag", json_false ());
  json_object_set_new (child, "name", json_string ("file"));
  json_object_set_new (child, "info", node);
  return child;
}

static json_t *
snapshots_to_json (const GPtrArray *snapshots)
{
  json_t *array = json_array ();
  for (guint i = 0; i < snapshots->len; i++)
    {
      const ImgSnapshot *snapshot = snapshots->pdata[i];
      json_t *object = json_object ();
      if (snapshot->icount != G_MAXUINT64)
        json_object_set_new (object, "icount", json_integer ((json_int_t)snapshot->icount));
      json_object_set_new (object, "vm-clock-nsec",
                           json_integer ((json_int_t)(snapshot->vm_clock % 1000000000)));
      json_object_set_new (object, "name", cli_json_text (snapshot->name));
      json_object_set_new (object, "date-sec", json_integer ((json_int_t)snapshot->date_seconds));
      json_object_set_new (object, "date-nsec", json_integer (snapshot->date_nanoseconds));
      json_object_set_new (object, "vm-clock-sec",
                           json_integer ((json_int_t)(snapshot->vm_clock / 1000000000)));
      json_object_set_new (object, "id", cli_json_text (snapshot->id));
      json_object_set_new (object, "vm-state-size",
                           json_integer ((json_int_t)snapshot->vm_state_size));
      json_array_append_new (array, object);
    }
  return array;
}

static void
set_facts (json_t *object, const ImgInfo *info)
{
  if (info->description.facts == NULL)
    return;
  json_t *specific = json_object ();
  json_object_set_new (specific, "type", json_string (info->format));
  json_object_set_new (specific, "data", cli_fact_to_json (info->description.facts));
  json_object_set_new (object, "format-specific", specific);
}

/* qemu-img's members. */
static void
set_shared (json_t *object, const ImgInfo *info)
{
  const ImgDescription *description = &info->description;
  json_t *children = json_array ();

  json_array_append_new (children, child_to_json (info));
  json_object_set_new (object, "children", children);
  if (info->backing.format != NULL)
    json_object_set_new (object, "backing-filename-format", cli_json_text (info->backing.format));
  if (description->snapshots != NULL)
    json_object_set_new (object, "snapshots", snapshots_to_json (description->snapshots));
  json_object_set_new (object, "virtual-size", json_integer ((json_int_t)info->virtual_size));
  json_object_set_new (object, "filename", cli_json_text (info->path));
  if (description->cluster_size != 0)
    json_object_set_new (object, "cluster-size",
                         json_integer ((json_int_t)description->cluster_size));
  json_object_set_new (object, "format", json_string (info->format));
  json_object_set_new (object, "actual-size", json_integer ((json_int_t)info->allocated));
  set_facts (object, info);
  if (info->backing.name != NULL)
    json_object_set_new (object, "full-backing-filename", cli_json_text (info->full_backing_name));
  if (description->is_encrypted)
    json_object_set_new (object, "encrypted", json_true ());
  if (info->backing.name != NULL)
    json_object_set_new (object, "backing-filename", cli_json_text (info->backing.name));
  json_object_set_new (object, "dirty-flag", json_boolean (description->is_dirty));
}

static json_t *
references_to_json (const GPtrArray *references)
{
  json_t *array = json_array ();
  for (guint i = 0; i < references->len; i++)
    {
      const ImgInfoReference *reference = references->pdata[i];
      json_t *object = json_object ();
      json_object_set_new (object, "kind", json_string (reference->kind));
      json_object_set_new (object, "name", cli_json_text (reference->name));
      json_object_set_new (object, "format", cli_json_text (reference->format));
      json_object_set_new (object, "path", cli_json_text (reference->path));
      json_object_set_new (object, "refusal", cli_json_text (reference->refusal));
      json_array_append_new (array, object);
    }
  return array;
}

json_t *
cli_info_to_json (const ImgInfo *info)
{
  json_t *object = json_object ();
  json_t *content = cli_content_to_json (&info->content);

  set_shared (object, info);
  cli_json_set_filename (object, "filename", "filename-bytes", info->path);
  json_object_set_new (object, "file-length", json_integer ((json_int_t)info->file_length));
  if (info->description.needed > info->file_length)
    json_object_set_new (object, "truncated", json_true ());
  if (info->description.snapshots != NULL
      && info->description.snapshots->len < info->description.n_snapshots)
    json_object_set_new (object, "snapshots-total", json_integer (info->description.n_snapshots));
  json_object_set_new (object, "references", references_to_json (info->references));
  if (content != NULL)
    json_object_set_new (object, "content", content);
  return object;
}
