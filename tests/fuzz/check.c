/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What "imgtool check" does, every other time with all content. */
#include "engine/check.h"
#include "fuzz.h"
#include "image.h"

static void
run (const guint8 *data, gsize size)
{
  ImgCheckJob job = { .with_data = size % 2 == 0 };
  GError *error = NULL;
  g_autoptr (ImgCheckReport) report
      = img_check_file (fuzz_image (FUZZ_TOP, data, size), "qcow2", &job, &error);

  fuzz_check_error (report == NULL, &error);
  if (report == NULL)
    return;
  const GPtrArray *findings = report->result.findings;
  g_assert (findings->len <= IMG_CHECK_MAX_KEPT
            && findings->len <= img_check_n_findings (&report->result));
  for (guint i = 0; i < findings->len; i++)
    {
      const ImgFinding *finding = findings->pdata[i];
      fuzz_check_printable (finding->text);
    }
}

const FuzzTarget fuzz_check = { .name = "check", .run = run, .mutate = fuzz_mutate_qcow2 };
