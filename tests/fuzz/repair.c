/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What "imgtool check -r" does: what could be read before reads the same afterwards. */
#include <string.h>

#include "base/bytes.h"
#include "engine/check.h"
#include "fuzz.h"
#include "image.h"

#define MAX_ROUNDS 5
#define MAX_FILE ((guint64)64 << 20)

/* Pieces of the guest's disk that are compared: the first ones, and the last. */
#define N_PIECES 48
#define PIECE 512 /* within one cluster */

typedef struct
{
  gboolean is_open, is_good[N_PIECES];
  guint8 bytes[N_PIECES][PIECE];
} Content;

static void
read_content (Content *content, ImgDisk *disk, guint64 cluster_size)
{
  for (guint i = 0; i < N_PIECES; i++)
    {
      gsize got;
      guint64 at = i * cluster_size;
      if (i == N_PIECES - 1)
        at = disk->size / PIECE * PIECE;
      content->is_good[i] = at < disk->size
                            && img_disk_read (disk, at, content->bytes[i],
                                              (gsize)MIN (PIECE, disk->size - at), &got, NULL);
    }
}

static Content *
look (const guint8 *data, gsize size)
{
  g_autoptr (GPtrArray) files = g_ptr_array_new ();
  g_autoptr (ImgDisk) disk = fuzz_image_reopen (data, size, NULL, files, NULL);
  Content *content = g_new0 (Content, 1);

  content->is_open = disk != NULL;
  if (disk != NULL)
    read_content (content, disk, (guint64)1 << img_load_be32 (data + 20));
  return content;
}

static void
compare (const Content *before, const Content *after)
{
  g_assert (!before->is_open || after->is_open);
  for (guint i = 0; i < N_PIECES; i++)
    if (before->is_good[i])
      g_assert (after->is_good[i] && memcmp (before->bytes[i], after->bytes[i], PIECE) == 0);
}

static void
write_plan (ImgFile *file, const ImgPlan *plan)
{
  if (plan->size > img_file_size (file))
    g_assert_true (img_file_resize (file, plan->size, NULL));
  for (ImgStage stage = 0; stage < IMG_N_STAGES; stage++)
    for (guint i = 0; i < plan->patches->len; i++)
      {
        const ImgPatch *patch = plan->patches->pdata[i];
        if (patch->stage == stage)
          g_assert_true (img_file_write (file, patch->offset, patch->bytes, patch->length, NULL));
      }
}

/* Whether there was something to do, and more may be; in round 0 that may be impossible. */
static gboolean
repair_once (ImgFile *file, ImgRepair repair, guint round)
{
  g_autoptr (ImgPlan) plan = img_plan_new ();
  ImgCheckJob job = { .plan = plan, .repair = repair };
  GError *error = NULL;
  g_autoptr (ImgCheckReport) report = img_check_file (file, "qcow2", &job, &error);

  g_assert (round == 0 || report != NULL);
  fuzz_check_error (report == NULL, &error);
  if (report == NULL || plan->patches->len == 0 || plan->size > MAX_FILE)
    return FALSE;
  g_assert (round < MAX_ROUNDS);
  write_plan (file, plan);
  return TRUE;
}

static void
run (const guint8 *data, gsize size)
{
  ImgFile *file = fuzz_image (FUZZ_TOP, data, size);
  guint round = 0;

  if (size < 72)
    return;
  g_autofree Content *before = look (data, size);
  while (repair_once (file, size % 2 == 0 ? IMG_REPAIR_ALL : IMG_REPAIR_LEAKS, round))
    round++;
  if (round == 0)
    return;
  g_autofree Content *after = look (data, size);
  compare (before, after);
}

const FuzzTarget fuzz_repair = { .name = "repair", .run = run, .mutate = fuzz_mutate_qcow2 };
