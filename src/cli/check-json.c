/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* imgtool check --output=json: qemu-img's members in its order, then ours. */
#include "cli/check-print.h"

static void
set_count (json_t *object, const char *key, guint64 value)
{
  if (value != 0)
    json_object_set_new (object, key, json_integer ((json_int_t)value));
}

static json_t *
finding_to_json (const ImgFinding *finding)
{
  const ImgFindingPlace *place = &finding->place;
  json_t *object = json_object ();
  const char *text = finding->text;

  while (*text == ' ' || *text == ':')
    text++;
  json_object_set_new (object, "kind", json_string (img_finding_name (finding->kind)));
  json_object_set_new (object, "text", cli_json_text (text));
  if (place->host_offset != G_MAXUINT64)
    json_object_set_new (object, "host-offset", json_integer ((json_int_t)place->host_offset));
  if (place->guest_length > 0)
    {
      json_object_set_new (object, "guest-offset", json_integer ((json_int_t)place->guest_offset));
      json_object_set_new (object, "guest-length", json_integer ((json_int_t)place->guest_length));
    }
  if (place->snapshot != NULL)
    json_object_set_new (object, "snapshot", cli_json_text (place->snapshot));
  return object;
}

/* How many there are of each kind, and the first of them. */
static void
set_findings (json_t *object, const ImgCheckResult *result)
{
  json_t *array = json_array (), *counts = json_object ();

  for (guint i = 0; i < IMG_N_FINDING_KINDS; i++)
    set_count (counts, img_finding_name (i), result->n_of_kind[i]);
  for (guint i = 0; i < result->findings->len; i++)
    json_array_append_new (array, finding_to_json (result->findings->pdata[i]));
  json_object_set_new (object, "finding-counts", counts);
  json_object_set_new (object, "findings", array);
}

json_t *
cli_check_to_json (const ImgCheckReport *report)
{
  const ImgCheckResult *result = &report->result;
  json_t *object = json_object ();

  set_count (object, "image-end-offset", result->image_end_offset);
  set_count (object, "compressed-clusters", result->compressed_clusters);
  set_count (object, "total-clusters", result->total_clusters);
  set_count (object, "corruptions", result->corruptions);
  set_count (object, "corruptions-fixed", result->corruptions_fixed);
  json_object_set_new (object, "check-errors", json_integer ((json_int_t)result->errors));
  set_count (object, "leaks", result->leaks);
  set_count (object, "leaks-fixed", result->leaks_fixed);
  set_count (object, "allocated-clusters", result->allocated_clusters);
  cli_json_set_filename (object, "filename", "filename-bytes", report->path);
  json_object_set_new (object, "format", json_string (report->format));
  set_count (object, "fragmented-clusters", result->fragmented_clusters);
  if (img_check_n_findings (result) > 0)
    set_findings (object, result);
  return object;
}

json_t *
cli_repair_to_json (const ImgRepairReport *report)
{
  json_t *plan = json_object ();

  for (guint i = 0; i < IMG_N_STAGES; i++)
    {
      if (report->stages[i].n_places == 0)
        continue;
      json_object_set_new (plan, img_stage_name (i),
                           json_pack ("{s:I, s:I}", "places",
                                      (json_int_t)report->stages[i].n_places, "bytes",
                                      (json_int_t)report->stages[i].bytes));
    }
  return plan;
}
