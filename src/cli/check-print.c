/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/check-print.h"

#include "base/text.h"
#include "cli/output.h"
#include "cli/program-name.h"

static const char *
prefix_of (const ImgFinding *finding)
{
  switch (img_finding_class (finding->kind))
    {
    case IMG_FINDING_IS_LEAK:
      return "Leaked";
    case IMG_FINDING_IS_PAST:
      return "WARNING";
    case IMG_FINDING_IS_CORRUPTION:
    case IMG_FINDING_IS_ERROR:
    default:
      return "ERROR";
    }
}

/* "ERROR", and behind it the text, which may begin with a colon. */
static void
append_finding (GString *text, const ImgFinding *finding, const ImgCheckResult *before,
                const ImgCheckResult *after)
{
  gboolean is_repaired
      = after != NULL && after->n_of_kind[finding->kind] < before->n_of_kind[finding->kind];
  gboolean has_colon = finding->text[0] == ':';

  g_string_append_printf (text, "%s%s", is_repaired ? "Repairing" : prefix_of (finding),
                          is_repaired && has_colon ? finding->text + 1 : finding->text);
}

/* What of the guest it is about, which qemu-img does not say. */
static void
append_place (GString *text, const ImgFindingPlace *place)
{
  if (place->guest_length > 0)
    g_string_append_printf (text, " (guest bytes %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT,
                            place->guest_offset, place->guest_offset + place->guest_length - 1);
  else if (place->snapshot != NULL)
    g_string_append (text, " (");
  if (place->snapshot != NULL)
    {
      g_autofree char *safe = img_text_escape (place->snapshot, -1);
      g_string_append_printf (text, "%sin snapshot '%s'", place->guest_length > 0 ? " " : "", safe);
    }
  if (place->guest_length > 0 || place->snapshot != NULL)
    g_string_append_c (text, ')');
}

void
cli_check_print_findings (const ImgCheckReport *report, const ImgCheckReport *after)
{
  const ImgCheckResult *result = &report->result;
  guint64 total = img_check_n_findings (result);
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < result->findings->len; i++)
    {
      const ImgFinding *finding = result->findings->pdata[i];
      append_finding (text, finding, result, after == NULL ? NULL : &after->result);
      if (!cli_is_qemu_img ())
        append_place (text, &finding->place);
      g_string_append_c (text, '\n');
    }
  if (total > result->findings->len && result->findings->len == IMG_CHECK_MAX_KEPT)
    g_string_append_printf (text, "%u of %" G_GUINT64_FORMAT " findings are shown\n",
                            result->findings->len, total);
  cli_write_stderr (text);
}

void
cli_repair_append_text (GString *text, const ImgRepairReport *report, gboolean is_dry_run)
{
  if (is_dry_run)
    {
      g_string_append_printf (text,
                              "A repair would write to %" G_GUINT64_FORMAT
                              " places of the image; nothing was written.\n",
                              report->n_places);
      for (guint i = 0; i < IMG_N_STAGES; i++)
        if (report->stages[i].n_places > 0)
          g_string_append_printf (
              text, "    %s: %" G_GUINT64_FORMAT " places, %" G_GUINT64_FORMAT " bytes\n",
              img_stage_name (i), report->stages[i].n_places, report->stages[i].bytes);
      return;
    }
  if (report->after == NULL
      || (report->after->result.leaks_fixed == 0 && report->after->result.corruptions_fixed == 0))
    return;
  g_string_append_printf (text,
                          "The following inconsistencies were found and repaired:\n\n"
                          "    %" G_GUINT64_FORMAT " leaked clusters\n    %" G_GUINT64_FORMAT
                          " corruptions\n\nDouble checking the fixed image now...\n",
                          report->after->result.leaks_fixed,
                          report->after->result.corruptions_fixed);
}

static void
append_counts (GString *text, const ImgCheckResult *result)
{
  if (result->corruptions == 0 && result->leaks == 0 && result->errors == 0
      && result->past_end == 0)
    g_string_append (text, "No errors were found on the image.\n");
  if (result->corruptions > 0)
    g_string_append_printf (text,
                            "\n%" G_GUINT64_FORMAT
                            " errors were found on the image.\nData may be corrupted, or further "
                            "writes to the image may corrupt it.\n",
                            result->corruptions);
  if (result->leaks > 0)
    g_string_append_printf (text,
                            "\n%" G_GUINT64_FORMAT
                            " leaked clusters were found on the image.\nThis means waste of disk "
                            "space, but no harm to data.\n",
                            result->leaks);
  if (result->past_end > 0)
    g_string_append_printf (text,
                            "\n%" G_GUINT64_FORMAT
                            " refcounts of clusters past the end of the file were found on the "
                            "image.\nIt may have been cut short.\n",
                            result->past_end);
  if (result->errors > 0)
    g_string_append_printf (
        text, "\n%" G_GUINT64_FORMAT " internal errors have occurred during the check.\n",
        result->errors);
}

void
cli_check_append_text (GString *text, const ImgCheckReport *report)
{
  const ImgCheckResult *result = &report->result;

  append_counts (text, result);
  if (result->total_clusters != 0 && result->allocated_clusters != 0)
    {
      double allocated = (double)result->allocated_clusters;
      g_string_append_printf (text,
                              "%" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT
                              " = %0.2f%% allocated, %0.2f%% fragmented, %0.2f%% compressed "
                              "clusters\n",
                              result->allocated_clusters, result->total_clusters,
                              allocated * 100.0 / (double)result->total_clusters,
                              (double)result->fragmented_clusters * 100.0 / allocated,
                              (double)result->compressed_clusters * 100.0 / allocated);
    }
  if (result->image_end_offset > 0)
    g_string_append_printf (text, "Image end offset: %" G_GUINT64_FORMAT "\n",
                            result->image_end_offset);
}
