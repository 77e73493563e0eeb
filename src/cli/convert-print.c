/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/convert-print.h"

#include <string.h>

#include "base/size.h"
#include "base/text.h"
#include "cli/output.h"
#include "cli/program-name.h"

/* Of a disk that is really broken there can be thousands. */
#define MOST_RANGES 100

/* They are warnings, but ones that qemu-img has too, and the exit status there does not tell. */
static void
report_unreadable (const GArray *ranges)
{
  guint64 bytes = 0;
  for (guint i = 0; i < ranges->len; i++)
    {
      const ImgRange *range = &g_array_index (ranges, ImgRange, i);
      bytes += range->length;
      if (i >= MOST_RANGES)
        continue;
      g_autofree char *text = g_strdup_printf (
          "unreadable, replaced by zeros: offset %" G_GUINT64_FORMAT ", length %" G_GUINT64_FORMAT,
          range->guest_offset, range->length);
      cli_print_warning (text);
    }
  if (ranges->len > MOST_RANGES)
    {
      g_autofree char *text = g_strdup_printf (
          "unreadable, replaced by zeros: %u more ranges; altogether %" G_GUINT64_FORMAT " bytes",
          ranges->len - MOST_RANGES, bytes);
      cli_print_warning (text);
    }
}

void
cli_convert_print_summary (const ImgCopyResult *copy, double seconds)
{
  g_autofree char *copied = img_size_to_text (copy->copied);
  g_autofree char *zero = img_size_to_text (copy->zero);
  g_autofree char *cloned = img_size_to_text (copy->cloned);
  g_autofree char *rate
      = img_size_to_text (seconds > 0 ? (guint64)((double)copy->copied / seconds) : 0);
  g_autofree char *same = img_size_to_text (copy->same);
  g_autofree char *text = g_strdup_printf (
      "copied %s, zero %s, cloned %s%s%s in %.1f s (%s/s)", copied, zero, cloned,
      copy->same > 0 ? ", as in the backing file " : "", copy->same > 0 ? same : "", seconds, rate);
  cli_print_remark (text);
}

void
cli_convert_warn (const ImgConvertResult *result, gboolean quiet, gboolean verbose)
{
  const GPtrArray *warnings = result->warnings, *remarks = result->remarks;

  /* qemu-img says nothing when all went well, and there are programs that rely on it. */
  if (!quiet && (verbose || !cli_is_qemu_img ()))
    for (guint i = 0; warnings != NULL && i < warnings->len; i++)
      cli_print_warning (warnings->pdata[i]);
  /* These qemu-img tells as well. */
  for (guint i = 0; !quiet && result->omissions != NULL && i < result->omissions->len; i++)
    cli_print_warning (result->omissions->pdata[i]);
  if (!quiet && result->copy.unreadable != NULL)
    report_unreadable (result->copy.unreadable);
  for (guint i = 0; verbose && remarks != NULL && i < remarks->len; i++)
    cli_print_remark (remarks->pdata[i]);
}

/* cksum marks a line whose name is escaped, and reads nothing else in it than these. */
static char *
escape_for_cksum (const char *name)
{
  GString *text = g_string_new (name);
  g_string_replace (text, "\\", "\\\\", 0);
  g_string_replace (text, "\n", "\\n", 0);
  g_string_replace (text, "\r", "\\r", 0);
  return g_string_free (text, FALSE);
}

void
cli_convert_append_digests (GString *text, const char *const *digests, const ImgCopyResult *result,
                            const char *name, gboolean for_terminal)
{
  g_autofree char *safe = for_terminal ? img_text_escape (name, -1) : escape_for_cksum (name);
  const char *mark = strcmp (safe, name) == 0 ? "" : "\\";
  for (guint i = 0; digests != NULL && digests[i] != NULL; i++)
    {
      g_autofree char *algorithm = g_ascii_strup (digests[i], -1);
      g_string_append_printf (text, "%s%s (%s) = %s\n", mark, algorithm, safe,
                              (const char *)result->digests->pdata[i]);
    }
}
