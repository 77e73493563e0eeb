/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/convert.h"

#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "disk/disk.h"
#include "engine/bitmaps.h"
#include "engine/obstacle.h"
#include "engine/pack.h"
#include "engine/target.h"
#include "engine/workers.h"
#include "sandbox/call.h"

void
img_convert_result_clear (ImgConvertResult *result)
{
  img_copy_result_clear (&result->copy);
  g_clear_pointer (&result->warnings, g_ptr_array_unref);
  g_clear_pointer (&result->omissions, g_ptr_array_unref);
  g_clear_pointer (&result->remarks, g_ptr_array_unref);
}

static void
begin_result (ImgConvertResult *result)
{
  result->warnings = g_ptr_array_new_with_free_func (g_free);
  result->omissions = g_ptr_array_new_with_free_func (g_free);
  result->remarks = g_ptr_array_new_with_free_func (g_free);
}

/* ---- sources ---- */

/* With -U nobody is kept from writing; and a file system that is mounted knows of no locks. Whoever
 * may write now is told. */
static void
warn_of_writers (const ImgImageSpec *spec, gboolean with_locks, GPtrArray *warnings)
{
  g_autofree char *reason
      = img_find_obstacle (spec->path, spec->locking, IMG_USE_CONVERT_FROM, with_locks);
  g_autofree char *safe = img_text_escape (spec->path, -1);
  if (reason != NULL)
    g_ptr_array_add (warnings, g_strdup_printf ("'%s' may change while it is read, which makes the "
                                                "copy inconsistent: %s",
                                                safe, reason));
}

/* What is read: files that make a disk, or a disk that has none. */
typedef struct
{
  ImgChain chain; /* owned */
  ImgDisk *disk;  /* owned: a stream, or zeros; or NULL */
  guint64 size;   /* guest bytes, or IMG_DISK_SIZE_UNKNOWN */
} Source;

static void
clear_source (gpointer source)
{
  img_chain_clear (&((Source *)source)->chain);
  g_clear_pointer (&((Source *)source)->disk, img_disk_close);
}

static GArray *
new_sources (void)
{
  GArray *sources = g_array_new (FALSE, TRUE, sizeof (Source));
  g_array_set_clear_func (sources, clear_source);
  return sources;
}

static void
add_disk (GArray *sources, ImgDisk *disk)
{
  Source source = { .disk = disk, .size = disk->size };
  g_array_append_val (sources, source);
}

static ImgDisk *
last_disk (const GArray *sources)
{
  return g_array_index (sources, Source, sources->len - 1).disk;
}

static gboolean
add_stream (const ImgConvertParams *params, const ImgImageSpec *spec, GArray *sources,
            GError **error)
{
  if ((spec->format != NULL && !g_str_equal (spec->format, "raw"))
      || params->source_snapshot != NULL)
    return img_throw (error, IMG_ERROR_USAGE,
                      "standard input can only be a raw disk: the rest of an image of another "
                      "format is needed in another order than it comes");
  add_disk (sources, img_disk_open_stream (params->input_fd, "standard input"));
  if (spec->format != NULL)
    return TRUE;
  const char *format = img_disk_probe_stream (last_disk (sources), error);
  if (format == NULL)
    return FALSE;
  return strcmp (format, "raw") == 0
         || img_throw (
             error, IMG_ERROR_FAILED,
             "what comes from standard input looks like %s, which can only be read from a "
             "file; -f raw copies its bytes as they are",
             format);
}

/* Whether @files has the same file before. */
static gboolean
is_repeated (const GPtrArray *files, guint index)
{
  guint i = 0;
  while (img_file_fd (files->pdata[i]) != img_file_fd (files->pdata[index]))
    i++;
  return i < index;
}

static gboolean
open_source (const ImgConvertParams *params, const ImgImageSpec *spec, GArray *sources,
             GPtrArray *files, ImgConvertResult *result, GError **error)
{
  ImgOpenParams open_params = { .locking = spec->locking,
                                .force_share = params->force_share,
                                .lock_wait = params->lock_wait,
                                .format = spec->format,
                                .snapshot = params->source_snapshot,
                                .policy = params->policy };
  guint n_files = files->len;
  struct stat st;

  if (params->dash_is_stream && g_str_equal (spec->path, "-"))
    return add_stream (params, spec, sources, error);
  if (params->force_share || (stat (spec->path, &st) == 0 && S_ISBLK (st.st_mode)))
    warn_of_writers (spec, params->force_share, result->warnings);
  g_array_set_size (sources, sources->len + 1);
  Source *source = &g_array_index (sources, Source, sources->len - 1);
  if (!img_open_chain (spec->path, IMG_USE_CONVERT_FROM, &open_params, files, &source->chain,
                       error))
    return FALSE;
  source->size = source->chain.size;
  for (guint i = n_files; i < files->len; i++)
    {
      if (!is_repeated (files, i))
        img_target_note_lock (files->pdata[i], result);
      if (!img_file_set_cache (files->pdata[i], params->source_cache, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
open_sources (const ImgConvertParams *params, GArray *sources, GPtrArray *files,
              ImgConvertResult *result, GError **error)
{
  for (guint i = 0; i < params->n_sources; i++)
    if (!open_source (params, &params->sources[i], sources, files, result, error))
      return FALSE;
  return TRUE;
}

/* The disk of @source; what has to be closed of it is appended to @opened. */
static ImgDisk *
open_disk (const Source *source, GPtrArray *opened, GError **error)
{
  if (source->disk != NULL)
    return source->disk;
  ImgDisk *disk = img_chain_open (&source->chain, error);
  if (disk != NULL)
    g_ptr_array_add (opened, disk);
  return disk;
}

static gboolean
open_disks (GArray *sources, GPtrArray *disks, GPtrArray *opened, GError **error)
{
  for (guint i = 0; i < sources->len; i++)
    {
      const Source *source = &g_array_index (sources, Source, i);
      ImgDisk *disk = open_disk (source, opened, error);
      if (disk == NULL)
        return FALSE;
      g_ptr_array_add (disks, disk);
    }
  return TRUE;
}

/* Nobody has written to @file meanwhile, as far as can be seen. */
static gboolean
check_source (ImgFile *file, const ImgConvertParams *params, ImgConvertResult *result,
              GError **error)
{
  g_autofree char *safe = img_text_escape (img_file_path (file), -1);
  gboolean has_changed;
  guint64 size;

  if (!params->force_share && !img_file_verify_lock (file, NULL, error))
    return FALSE;
  if (!img_file_has_changed (file, &has_changed, &size, error))
    return FALSE;
  if (size < img_file_size (file))
    return img_throw (error, IMG_ERROR_FAILED,
                      "'%s' became shorter while it was read: %" G_GUINT64_FORMAT
                      " bytes of %" G_GUINT64_FORMAT " are left",
                      safe, size, img_file_size (file));
  if (!has_changed)
    return TRUE;
  if (params->is_strict)
    return img_throw (error, IMG_ERROR_FAILED, "'%s' was changed while it was read", safe);
  g_ptr_array_add (
      result->warnings,
      g_strdup_printf ("'%s' was changed while it was read: the copy may be inconsistent", safe));
  return TRUE;
}

static gboolean
check_sources (GPtrArray *files, const ImgConvertParams *params, ImgConvertResult *result,
               GError **error)
{
  for (guint i = 0; i < files->len; i++)
    if (!is_repeated (files, i) && !check_source (files->pdata[i], params, result, error))
      return FALSE;
  return TRUE;
}

/* ---- the way of the data ---- */

/* Guest bytes of all together, or IMG_DISK_SIZE_UNKNOWN. */
static guint64
sum_sizes (GArray *sources)
{
  guint64 sum = 0;
  for (guint i = 0; i < sources->len; i++)
    {
      guint64 size = g_array_index (sources, Source, i).size;
      if (size == IMG_DISK_SIZE_UNKNOWN)
        return IMG_DISK_SIZE_UNKNOWN;
      sum += size;
    }
  return sum;
}

/* Whether a target can be so large, and be as it is asked for. */
static gboolean
check_sizes (const ImgConvertParams *params, GArray *sources, GError **error)
{
  guint64 sum = 0;
  for (guint i = 0; i < sources->len; i++)
    {
      guint64 size = g_array_index (sources, Source, i).size;
      if (size != IMG_DISK_SIZE_UNKNOWN
          && (!g_uint64_checked_add (&sum, sum, size) || sum > G_MAXINT64))
        return img_throw (error, IMG_ERROR_FAILED, "the sources are too large together");
    }
  return img_disk_check_options (params->target->format, &params->create, sum_sizes (sources),
                                 error);
}

static void
show_phase (const ImgConvertParams *params, const ImgConvertResult *result, ImgPhase phase)
{
  const ImgProgress *progress = &params->copy.progress;
  const ImgCopyResult *copy = &result->copy;
  ImgProgressState state = { .phase = phase,
                             .done = copy->size,
                             .total = copy->size,
                             .copied = copy->copied,
                             .zero = copy->zero,
                             .cloned = copy->cloned,
                             .same = copy->same };
  if (progress->show != NULL)
    progress->show (&state, progress->closure);
}

/* ---- in the sandbox ---- */

/* Address space of the process that copies: its buffers, stacks and tables need a tenth of it. */
#define MEMORY (G_GUINT64_CONSTANT (2) << 30)

/* A copy as the sandbox sees it: nobody else looks at what is in the images. All is borrowed. */
typedef struct
{
  const ImgConvertParams *params;
  const ImgCopyParams *copy;
  GArray *sources;
  const ImgChain *backing; /* or NULL */
  ImgTarget *target;
  ImgCopyResult result;
} Copy;

static void
tell (const ImgProgressState *state, G_GNUC_UNUSED gpointer closure)
{
  img_sandbox_note (state, sizeof *state);
}

/* Outside. */
static void
show_note (const void *bytes, gsize length, gpointer closure)
{
  const Copy *copy = closure;
  const ImgProgress *progress = &copy->params->copy.progress;
  ImgProgressState state;

  if (length == 0)
    img_target_has_begun (copy->target);
  if (length != sizeof state || progress->show == NULL)
    return;
  memcpy (&state, bytes, sizeof state);
  if (state.phase <= IMG_PHASE_DONE)
    progress->show (&state, progress->closure);
}

/* Outside: what comes before an image that is written in place becomes valid. */
static gboolean
publish_data (gpointer closure, GError **error)
{
  return img_target_publish_data (((const Copy *)closure)->target, error);
}

/* The kernel may take long over a flush, and gives no answer meanwhile: with so much data another
 * thread waits for it. */
#define LONG_FLUSH (G_GUINT64_CONSTANT (16) << 20)

typedef struct
{
  const Copy *copy; /* borrowed */
  GError *error;    /* owned; the first */
} Flush;

static void
flush (gpointer data, G_GNUC_UNUSED void *buffer)
{
  Flush *work = data;
  (void)!img_target_settle (work->copy->target, TRUE, &work->error);
}

static void
show_flush (gpointer data)
{
  const Copy *copy = ((const Flush *)data)->copy;
  const ImgProgress *progress = &copy->copy->progress;
  const ImgCopyResult *result = &copy->result;
  ImgProgressState state = { .phase = IMG_PHASE_FLUSH,
                             .done = result->size,
                             .total = result->size,
                             .copied = result->copied,
                             .zero = result->zero,
                             .cloned = result->cloned,
                             .same = result->same };
  if (progress->show != NULL)
    progress->show (&state, progress->closure);
}

/* What must be heard in the process that wrote, and what takes long. */
static gboolean
settle (const Copy *copy, GError **error)
{
  Flush work = { .copy = copy };
  ImgWorkers workers = {
    .n_wanted = 1, .keeps_main_free = TRUE, .buffer_size = 1, .work = flush, .tick = show_flush
  };

  show_flush (&work);
  if (!copy->params->is_durable || copy->result.copied < LONG_FLUSH)
    return img_target_settle (copy->target, FALSE, error);
  if (!img_workers_run (&workers, &work, error))
    return FALSE;
  if (work.error == NULL)
    return TRUE;
  g_propagate_error (error, work.error);
  return FALSE;
}

/* The target, to be written to; what goes along with @disks among it. */
static gboolean
begin_target (const Copy *copy, GPtrArray *disks, GError **error)
{
  g_autoptr (GPtrArray) bitmaps = NULL;
  ImgDisk *backing = NULL;

  if (copy->params->create.has_bitmaps)
    {
      bitmaps = img_bitmaps_find (copy->params, disks->pdata[0], NULL, error);
      if (bitmaps == NULL)
        return FALSE;
    }
  if (copy->backing != NULL)
    {
      backing = img_chain_open (copy->backing, error);
      if (backing == NULL)
        return FALSE;
    }
  return img_target_begin (copy->target, backing, bitmaps, error);
}

static GVariant *
copy_disks (gpointer closure, GError **error)
{
  Copy *copy = closure;
  g_autoptr (GPtrArray) opened = g_ptr_array_new_with_free_func ((GDestroyNotify)img_disk_close);
  g_autoptr (GPtrArray) disks = g_ptr_array_new ();
  ImgCopyParams params = *copy->copy;

  if (params.progress.show != NULL)
    params.progress.show = tell;
  copy->copy = &params;
  if (!open_disks (copy->sources, disks, opened, error) || !begin_target (copy, disks, error))
    return NULL;
  img_target_tell_begun ();
  if (!img_copy ((ImgDisk *const *)(gpointer)disks->pdata, disks->len,
                 img_target_disk (copy->target), &params, &copy->result, error)
      || !settle (copy, error))
    return NULL;
  return img_pack_copy (&copy->result);
}

/* Whether all can be read; what of it is left out. */
static GVariant *
look_at_sources (gpointer closure, GError **error)
{
  const Copy *copy = closure;
  g_autoptr (GPtrArray) opened = g_ptr_array_new_with_free_func ((GDestroyNotify)img_disk_close);
  g_autoptr (GPtrArray) disks = g_ptr_array_new ();
  g_autoptr (GPtrArray) omissions = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (ImgDisk) backing = NULL;
  g_autoptr (GPtrArray) bitmaps = NULL;

  if (!open_disks (copy->sources, disks, opened, error))
    return NULL;
  if (copy->backing != NULL)
    {
      backing = img_chain_open (copy->backing, error);
      if (backing == NULL)
        return NULL;
    }
  if (copy->params->create.has_bitmaps) /* there is one source */
    {
      bitmaps = img_bitmaps_find (copy->params, disks->pdata[0], omissions, error);
      if (bitmaps == NULL)
        return NULL;
    }
  return img_pack_texts (omissions);
}

/* What would go wrong before the first byte is copied should do so before the target changes. Of
 * raw disks there is nothing to look at. */
static gboolean
check_readable (const ImgConvertParams *params, GArray *sources, const ImgChain *backing,
                ImgConvertResult *result, GError **error)
{
  Copy closure = { .params = params, .sources = sources, .backing = backing };
  ImgSandboxCall call = { .work = look_at_sources,
                          .type = IMG_PACK_TEXTS,
                          .closure = &closure,
                          .memory = MEMORY,
                          .subject = params->sources[0].path,
                          .is_required = params->policy.is_untrusted };
  gboolean are_raw = backing == NULL || img_chain_is_raw (backing);

  for (guint i = 0; i < sources->len; i++)
    are_raw = are_raw && img_chain_is_raw (&g_array_index (sources, Source, i).chain);
  if (are_raw && !params->create.has_bitmaps)
    return TRUE;
  g_autoptr (GVariant) packed = img_sandbox_run (&call, error);
  if (packed == NULL)
    return FALSE;
  img_unpack_safe_texts (packed, result->omissions);
  return TRUE;
}

/* ---- outside ---- */

static gboolean
copy_and_finish (const ImgConvertParams *params, const ImgCopyParams *copy, GArray *sources,
                 const ImgChain *backing, GPtrArray *files, ImgTarget *target,
                 ImgConvertResult *result, GError **error)
{
  Copy closure = {
    .params = params, .copy = copy, .sources = sources, .backing = backing, .target = target
  };
  ImgSandboxCall call = { .work = copy_disks,
                          .type = IMG_PACK_COPY,
                          .closure = &closure,
                          .note = show_note,
                          .serve = publish_data,
                          .memory = MEMORY,
                          .subject = params->target->path,
                          .is_required = params->policy.is_untrusted };
  g_autoptr (GVariant) packed = img_sandbox_run (&call, error);

  img_copy_result_clear (&closure.result);
  if (packed == NULL)
    return FALSE;
  img_unpack_copy (packed, &result->copy);
  if (copy->digests != NULL && g_strv_length ((char **)copy->digests) != result->copy.digests->len)
    return img_throw (error, IMG_ERROR_FAILED, "the copy came without its digests");
  return check_sources (files, params, result, error) && img_target_finish (target, error);
}

/* From @sources, whose bytes are those of @files, to the target; @backing (or NULL) is behind it.
 */
static gboolean
convert (const ImgConvertParams *params, GArray *sources, GPtrArray *files, const ImgChain *backing,
         ImgConvertResult *result, GError **error)
{
  ImgCopyParams copy = params->copy;
  int preallocation = params->create.preallocation;

  if (preallocation > IMG_PREALLOCATION_OFF)
    show_phase (params, result, IMG_PHASE_ALLOCATE);
  g_autoptr (ImgTarget) target
      = img_target_open (params, sum_sizes (sources), files, result, error);
  if (target == NULL)
    return FALSE;
  if (preallocation == IMG_PREALLOCATION_FULL)
    copy.sparse_size = 0;
  if (preallocation > IMG_PREALLOCATION_OFF)
    copy.reflink = IMG_REFLINK_NEVER;
  if (!copy_and_finish (params, &copy, sources, backing, files, target, result, error))
    {
      img_target_spoil (target, error == NULL ? NULL : *error);
      img_target_add_advice (target, error);
      return FALSE;
    }
  show_phase (params, result, IMG_PHASE_DONE);
  return TRUE;
}

/* What is to be behind the target, whose files are appended to @files; nothing if there is none. */
static gboolean
open_backing (const ImgConvertParams *params, GPtrArray *files, ImgChain *backing, GError **error)
{
  g_auto (ImgGatePath) path = { 0 };
  ImgReference reference
      = { .name = params->create.backing_file, .format = params->create.backing_format };
  ImgOpenParams open_params = { .locking = params->target->locking,
                                .force_share = params->force_share,
                                .lock_wait = params->lock_wait,
                                .policy = params->policy };

  if (reference.name == NULL)
    return TRUE;
  /* Who says a name on the command line may say any file's. */
  open_params.policy.allow_devices = TRUE;
  open_params.policy.is_untrusted = FALSE;
  open_params.policy.max_size = 0;
  if (!img_gate_resolve (params->target->path, "backing file", &reference, &path, error))
    return FALSE;
  open_params.format = path.format;
  return img_open_chain (path.path, IMG_USE_CONVERT_FROM, &open_params, files, backing, error);
}

gboolean
img_convert (const ImgConvertParams *params, ImgConvertResult *result, GError **error)
{
  /* The files outlive what is made of them. */
  g_autoptr (GPtrArray) files = g_ptr_array_new_with_free_func ((GDestroyNotify)img_file_close);
  g_autoptr (GArray) sources = new_sources ();
  g_auto (ImgChain) backing = { 0 };

  begin_result (result);
  if (!open_sources (params, sources, files, result, error) || !check_sizes (params, sources, error)
      || !open_backing (params, files, &backing, error))
    return FALSE;
  const ImgChain *behind = backing.members == NULL ? NULL : &backing;
  return check_readable (params, sources, behind, result, error)
         && convert (params, sources, files, behind, result, error);
}

gboolean
img_create (guint64 *size, gboolean is_unchecked, const ImgConvertParams *params,
            ImgConvertResult *result, GError **error)
{
  g_autoptr (GPtrArray) files = g_ptr_array_new_with_free_func ((GDestroyNotify)img_file_close);
  g_autoptr (GArray) sources = new_sources ();
  g_auto (ImgChain) backing = { 0 };
  ImgConvertParams create = *params;

  begin_result (result);
  if (!is_unchecked && !open_backing (params, files, &backing, error))
    return FALSE;
  if (*size == IMG_DISK_SIZE_UNKNOWN && backing.members != NULL)
    *size = backing.size;
  if (*size == IMG_DISK_SIZE_UNKNOWN)
    return img_throw (error, IMG_ERROR_USAGE, "which size? There is no backing file to tell");
  create.copy.sparse_size = 1; /* zeros need not be written */
  add_disk (sources, img_disk_open_zeros (*size));
  /* What is behind the new disk shows through: nothing is compared with it. */
  return check_sizes (params, sources, error)
         && convert (&create, sources, files, NULL, result, error);
}
