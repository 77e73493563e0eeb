/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/check.h"

#include <string.h>

#include "disk/format.h"
#include "engine/pack.h"
#include "sandbox/call.h"

/* How often progress is looked at: microseconds, and calls. */
#define INTERVAL (100 * G_TIME_SPAN_MILLISECOND)
#define CALLS 64

/* Address space of the process that checks: a constant, and a part of the file's length, which is
 * more than its refcounts can take. */
#define MEMORY (G_GUINT64_CONSTANT (1) << 30)
#define MEMORY_PART 32

/* A check as the sandbox sees it. */
typedef struct
{
  const ImgCheckJob *job; /* borrowed */
  ImgFile *file, *data;   /* borrowed; data: its data file, if content is read, or NULL */
  const char *format;     /* constant */
  guint calls;
  gint64 shown_at;
} Check;

typedef struct
{
  guint64 done, total; /* bytes of metadata */
} Progress;

static void
tell (guint64 done, guint64 total, gpointer closure)
{
  Check *check = closure;
  Progress progress = { .done = done, .total = total };

  if (check->calls++ % CALLS != 0)
    return;
  gint64 now = g_get_monotonic_time ();
  if (now - check->shown_at < INTERVAL)
    return;
  check->shown_at = now;
  img_sandbox_note (&progress, sizeof progress);
}

/* Outside. */
static void
show (const void *bytes, gsize length, gpointer closure)
{
  const ImgProgress *progress = &((const Check *)closure)->job->progress;
  ImgProgressState state = { .phase = IMG_PHASE_CHECK };
  Progress now;

  if (length != sizeof now || progress->show == NULL)
    return;
  memcpy (&now, bytes, sizeof now);
  state.done = now.done;
  state.total = now.total;
  progress->show (&state, progress->closure);
}

#define FOUND "(" IMG_PACK_CHECK IMG_PACK_PLAN ")"

/* In the sandbox. */
static GVariant *
check (gpointer closure, GError **error)
{
  Check *check = closure;
  const ImgCheckJob *job = check->job;
  g_autoptr (ImgPlan) plan = img_plan_new ();
  ImgCheckParams params = { .with_data = job->with_data,
                            .plan = job->plan == NULL ? NULL : plan,
                            .repair = job->repair,
                            .progress = job->progress.show != NULL ? tell : NULL,
                            .closure = check };
  g_autoptr (ImgDisk) disk = img_disk_open (check->file, check->format, error);
  g_auto (ImgCheckResult) result = { 0 };

  img_check_result_init (&result);
  if (disk != NULL)
    disk->data = check->data;
  if (disk == NULL || !img_inspect_check (disk, &job->open.policy, error)
      || !img_inspect_check_size (img_file_path (check->file), disk->size, &job->open.policy, error)
      || (disk->format->check != NULL && !img_disk_check (disk, &params, &result, error)))
    return NULL;
  return g_variant_new ("(@" IMG_PACK_CHECK "@" IMG_PACK_PLAN ")", img_pack_check (&result),
                        img_pack_plan (plan));
}

static gboolean
look_inside (ImgCheckReport *report, ImgFile *file, ImgFile *data, const ImgCheckJob *job,
             GError **error)
{
  Check closure = { .job = job, .file = file, .data = data, .format = report->format };
  ImgSandboxCall call = { .work = check,
                          .type = FOUND,
                          .closure = &closure,
                          .note = show,
                          .subject = img_file_path (file),
                          .is_required = job->open.policy.is_untrusted,
                          .memory = MEMORY + img_file_size (file) / MEMORY_PART };
  g_autoptr (GVariant) packed = img_sandbox_run (&call, error);

  if (packed == NULL)
    return FALSE;
  g_autoptr (GVariant) result = g_variant_get_child_value (packed, 0);
  g_autoptr (GVariant) plan = g_variant_get_child_value (packed, 1);
  img_unpack_check (result, &report->result);
  if (job->plan == NULL)
    return TRUE;
  img_unpack_plan (plan, job->plan);
  return img_plan_check (job->plan, img_file_path (file), error);
}

ImgCheckReport *
img_check_file (ImgFile *file, const char *format, const ImgCheckJob *job, GError **error)
{
  g_autoptr (ImgCheckReport) report = g_new0 (ImgCheckReport, 1);
  g_autoptr (ImgFile) data = NULL;

  report->path = g_strdup (img_file_path (file));
  report->format = format;
  report->has_check = img_format_has_check (format);
  img_check_result_init (&report->result);
  report->warning = g_strdup (img_lock_warning (img_file_lock (file)));
  report->remark = g_strdup (img_lock_remark (img_file_lock (file)));
  /* Metadata may stay in the page cache: whoever uses the image next wants the same. */
  if (!img_file_set_cache (file, IMG_CACHE_UNSAFE, error))
    return NULL;
  if (job->with_data && !img_open_data_file (file, format, IMG_USE_CHECK, &job->open, &data, error))
    return NULL;
  if (!look_inside (report, file, data, job, error) || !img_file_verify_lock (file, NULL, error)
      || (data != NULL && !img_file_verify_lock (data, NULL, error)))
    return NULL;
  return g_steal_pointer (&report);
}

ImgCheckReport *
img_check_image (const char *path, const ImgCheckJob *job, GError **error)
{
  const char *format;
  g_autoptr (ImgFile) file = img_open (path, IMG_USE_CHECK, &job->open, &format, error);

  return file == NULL ? NULL : img_check_file (file, format, job, error);
}

ImgCheckReport *
img_check_probe (const char *path, const ImgOpenParams *params, GError **error)
{
  const char *format;
  g_autoptr (ImgFile) file = img_open (path, IMG_USE_CHECK, params, &format, error);

  if (file == NULL)
    return NULL;
  ImgCheckReport *report = g_new0 (ImgCheckReport, 1);
  img_check_result_init (&report->result);
  report->path = g_strdup (path);
  report->format = format;
  report->has_check = img_format_has_check (format);
  return report;
}

void
img_check_report_free (ImgCheckReport *report)
{
  g_free (report->path);
  g_free (report->warning);
  g_free (report->remark);
  img_check_result_clear (&report->result);
  g_free (report);
}
