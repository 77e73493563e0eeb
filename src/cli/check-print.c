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
cli_check_print_findings (const ImgCheckReport *report)
{
  const ImgCheckResult *result = &report->result;
  guint64 total = img_check_n_findings (result);
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < result->findings->len; i++)
    {
      const ImgFinding *finding = result->findings->pdata[i];
      g_string_append_printf (text, "%s%s", prefix_of (finding), finding->text);
      if (!cli_is_qemu_img ())
        append_place (text, &finding->place);
      g_string_append_c (text, '\n');
    }
  if (total > result->findings->len && result->findings->len == IMG_CHECK_MAX_KEPT)
    g_string_append_printf (text, "%u of %" G_GUINT64_FORMAT " findings are shown\n",
                            result->findings->len, total);
  cli_write_stderr (text);
}

static void
append_counts (GString *text, const ImgCheckResult *result)
{
  if (result->corruptions == 0 && result->leaks == 0 && result->errors == 0)
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
