/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/check.h"

#include "disk/format.h"

/* How often progress is looked at: microseconds, and calls. */
#define INTERVAL (100 * G_TIME_SPAN_MILLISECOND)
#define CALLS 64

typedef struct
{
  const ImgProgress *progress; /* borrowed */
  guint calls;
  gint64 shown_at;
} Teller;

static void
tell (guint64 done, guint64 total, gpointer closure)
{
  Teller *teller = closure;
  ImgProgressState state = { .phase = IMG_PHASE_CHECK, .done = done, .total = total };

  if (teller->calls++ % CALLS != 0)
    return;
  gint64 now = g_get_monotonic_time ();
  if (now - teller->shown_at < INTERVAL)
    return;
  teller->shown_at = now;
  teller->progress->show (&state, teller->progress->closure);
}

static gboolean
look_inside (ImgCheckReport *report, ImgFile *file, const ImgCheckJob *job, GError **error)
{
  Teller teller = { .progress = &job->progress };
  ImgCheckParams params = { .with_data = job->with_data,
                            .plan = job->plan,
                            .repair = job->repair,
                            .progress = job->progress.show != NULL ? tell : NULL,
                            .closure = &teller };
  g_autoptr (ImgDisk) disk = img_disk_open (file, report->format, error);

  if (disk == NULL)
    return FALSE;
  report->has_check = disk->format->check != NULL;
  return !report->has_check || img_disk_check (disk, &params, &report->result, error);
}

ImgCheckReport *
img_check_file (ImgFile *file, const char *format, const ImgCheckJob *job, GError **error)
{
  g_autoptr (ImgCheckReport) report = g_new0 (ImgCheckReport, 1);

  report->path = g_strdup (img_file_path (file));
  report->format = format;
  img_check_result_init (&report->result);
  report->warning = g_strdup (img_lock_warning (img_file_lock (file)));
  report->remark = g_strdup (img_lock_remark (img_file_lock (file)));
  /* Metadata may stay in the page cache: whoever uses the image next wants the same. */
  if (!img_file_set_cache (file, IMG_CACHE_UNSAFE, error) || !look_inside (report, file, job, error)
      || !img_file_verify_lock (file, NULL, error))
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
img_check_probe (const char *path, const ImgOpenParams *params, gboolean *has_check, GError **error)
{
  g_autoptr (ImgCheckReport) report = g_new0 (ImgCheckReport, 1);
  g_autoptr (ImgFile) file = img_open (path, IMG_USE_CHECK, params, &report->format, error);
  g_autoptr (ImgDisk) disk = file == NULL ? NULL : img_disk_open (file, report->format, error);

  if (disk == NULL)
    return NULL;
  img_check_result_init (&report->result);
  report->path = g_strdup (path);
  report->has_check = *has_check = disk->format->check != NULL;
  return g_steal_pointer (&report);
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
