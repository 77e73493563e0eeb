/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/convert-options.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/create-options.h"
#include "cli/program-name.h"
#include "engine/digest.h"

#define DEFAULT_SPARSE_SIZE 4096
#define MAX_SPARSE_SIZE (G_GUINT64_CONSTANT (16) << 20)

static const CliChoice reflink_choices[] = {
  { "auto", IMG_REFLINK_AUTO },
  { "always", IMG_REFLINK_ALWAYS },
  { "never", IMG_REFLINK_NEVER },
  { NULL, 0 },
};

static gboolean
set_sparse_size (const CliOption *option, const char *value, gpointer field, GError **error)
{
  CliConvertParams *params = field;
  guint64 *size = &params->convert.copy.sparse_size;
  params->with_sparse_size = TRUE;
  if (!cli_set_size (option, value, size, error))
    return FALSE;
  return (*size % 512 == 0 && *size <= MAX_SPARSE_SIZE)
         || img_throw (error, IMG_ERROR_USAGE,
                       "bad value '%s' for --%s: it must be a multiple of 512 up to 16M, or 0 to "
                       "write everything",
                       value, option->long_name);
}

static gboolean
set_workers (const CliOption *option, const char *value, gpointer field, GError **error)
{
  guint64 number, most = cli_is_qemu_img () ? 16 : IMG_MAX_WORKERS;
  g_autofree char *safe = img_text_escape (value, -1);
  if (!g_ascii_string_to_unsigned (value, 10, 1, most, &number, NULL))
    return img_throw (error, IMG_ERROR_USAGE,
                      "bad value '%s' for --%s: it must be a number from 1 to %d", safe,
                      option->long_name, (int)most);
  *(guint *)field = (guint)number;
  return TRUE;
}

static gboolean
set_progress (const CliOption *option, const char *value, gpointer field, GError **error)
{
  CliConvertParams *params = field;
  guint64 fd;
  if (value == NULL)
    {
      params->with_percent = TRUE;
      return TRUE;
    }
  g_autofree char *safe = img_text_escape (value, -1);
  if (!g_str_has_prefix (value, "json:")
      || !g_ascii_string_to_unsigned (value + strlen ("json:"), 10, 0, G_MAXINT, &fd, NULL))
    return img_throw (error, IMG_ERROR_USAGE,
                      "bad value '%s' for --%s: it must be json:FD, FD being the number of an open "
                      "descriptor",
                      safe, option->long_name);
  int flags = fcntl ((int)fd, F_GETFL);
  if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
    return img_throw (error, IMG_ERROR_USAGE,
                      "bad value '%s' for --%s: descriptor %d is not open for writing", safe,
                      option->long_name, (int)fd);
  params->progress_fd = (gint64)fd;
  return TRUE;
}

static gboolean
set_digests (const CliOption *option, const char *value, gpointer field, GError **error)
{
  char ***names = field;
  g_strfreev (*names);
  *names = g_strsplit (value, ",", -1);
  for (guint i = 0; (*names)[i] != NULL; i++)
    if (!img_digest_is_known ((*names)[i]))
      {
        g_autofree char *safe = img_text_escape ((*names)[i], -1);
        g_autofree char *list = g_strjoinv (", ", (char **)img_digest_names ());
        return img_throw (error, IMG_ERROR_USAGE,
                          "bad value '%s' for --%s: it must be one or more of %s", safe,
                          option->long_name, list);
      }
  return (*names)[0] != NULL
         || img_throw (error, IMG_ERROR_USAGE, "bad value '' for --%s: it must be a name",
                       option->long_name);
}

#define FIELD(member) offsetof (CliConvertParams, member)

const CliOption cli_convert_options[] = {
  { 'f', "source-format", CLI_VALUE, "FMT", "treat the sources as FMT instead of looking at them",
    cli_set_format, FIELD (common.format), cli_format_choices },
  { 0, "format", CLI_VALUE, "FMT", "the same as --source-format", cli_set_format,
    FIELD (common.format), cli_format_choices },
  { 'O', "target-format", CLI_VALUE, "FMT", "the format of the target (default: raw)",
    cli_set_format, FIELD (target_format), cli_target_format_choices },
  { 'o', "target-options", CLI_CREATE_LIST, "KEY=VALUE,...",
    "about the target: preallocation=full, cluster_size=SIZE ...; 'help' lists all", cli_add_list,
    FIELD (target_options), NULL },
  { 'n', "no-create", CLI_NO_VALUE, NULL,
    "write into the target that is there, which keeps its size", cli_set_flag,
    FIELD (convert.no_create), NULL },
  { 0, "target-is-zero", CLI_NO_VALUE, NULL,
    "with -n: the target reads as zeros already; believed, not checked", cli_set_flag,
    FIELD (convert.target_is_zero), NULL },
  { 0, "in-place", CLI_NO_VALUE, NULL,
    "empty and write the target itself, which a failure then leaves incomplete", cli_set_flag,
    FIELD (convert.in_place), NULL },
  { 'p', "progress", CLI_OPTIONAL_VALUE, "json:FD",
    "print the percentage on stdout as qemu-img does, or JSON to descriptor FD", set_progress, 0,
    NULL },
  CLI_ROW_QUIET (CliConvertParams, common, "do not print warnings, nor how far it has come"),
  CLI_ROW_VERBOSE (CliConvertParams, common),
  { 'S', "sparse-size", CLI_VALUE, "SIZE",
    "leave holes for zeros in runs of at least SIZE (default: 4k); 0: write everything",
    set_sparse_size, 0, NULL },
  { 0, "reflink", CLI_VALUE, NULL,
    "share blocks with the source: where possible (default), or fail, or not at all",
    cli_set_choice, FIELD (convert.copy.reflink), reflink_choices },
  { 0, "digest", CLI_DIGEST_LIST, "NAME,...",
    "print digests (sha256, sha512 ...) of what was copied, computed on the way", set_digests,
    FIELD (digests), NULL },
  { 0, "verify", CLI_NO_VALUE, NULL, "read the target again, from the disk, and compare",
    cli_set_flag, FIELD (convert.copy.verify), NULL },
  { 0, "salvage", CLI_NO_VALUE, NULL,
    "write zeros for what cannot be read, list it, and exit with 4", cli_set_flag,
    FIELD (convert.copy.salvage), NULL },
  { 0, "strict", CLI_NO_VALUE, NULL, "fail if a source changes while it is read", cli_set_flag,
    FIELD (convert.is_strict), NULL },
  { 't', "target-cache", CLI_VALUE, NULL,
    "how to write; whatever it is, the data is on the disk in the end, but with unsafe",
    cli_set_choice, FIELD (target_cache), cli_cache_choices },
  { 'T', "source-cache", CLI_VALUE, NULL, "how to read: none goes past the page cache",
    cli_set_choice, FIELD (convert.source_cache), cli_cache_choices },
  { 0, "no-fsync", CLI_NO_VALUE, NULL, "do not wait until the data is on the disk", cli_set_flag,
    FIELD (is_not_flushed), NULL },
  { 'm', "parallel", CLI_VALUE, "N", "copy with N workers at once, 1 to 32; 1: without threads",
    set_workers, FIELD (convert.copy.workers), NULL },
  { 'W', "oob-writes", CLI_NO_VALUE, NULL, "no effect: the order of writing never matters",
    cli_set_nothing, 0, NULL },
  { 'C', "copy-range-offloading", CLI_NO_VALUE, NULL,
    "let the kernel or a file server copy (copy_file_range)", cli_set_flag,
    FIELD (convert.copy.copy_range), NULL },
  { 'r', "rate", CLI_VALUE, "SIZE", "copy at most SIZE of data a second", cli_set_size,
    FIELD (convert.copy.rate), NULL },
  { 'U', "force-share", CLI_NO_VALUE, NULL,
    "do not mind others who write to a source; the copy may be inconsistent", cli_set_flag,
    FIELD (convert.force_share), NULL },
  { 0, "ignore-openers", CLI_NO_VALUE, NULL,
    "replace a target even while somebody without a lock may write to it", cli_set_flag,
    FIELD (convert.ignore_openers), NULL },
  { 0, "image-opts", CLI_NO_VALUE, NULL,
    "a source is named as for QEMU: driver=...,file.filename=...,file.locking=...", cli_set_flag,
    FIELD (common.image_opts), NULL },
  { 0, "source-image-opts", CLI_NO_VALUE, NULL, "the same as --image-opts", cli_set_flag,
    FIELD (common.image_opts), NULL },
  { 0, "target-image-opts", CLI_NO_VALUE, NULL, "the target is named so; needs -n", cli_set_flag,
    FIELD (target_image_opts), NULL },
  CLI_ROW_LOCKING (CliConvertParams, common),
  { 0, "lock-wait", CLI_OPTIONAL_VALUE, "SECONDS",
    "wait for others to release the images, for ever or for SECONDS", cli_set_wait,
    FIELD (convert.lock_wait), NULL },
  { 'c', "compress", CLI_NO_VALUE, NULL, "compress the target, which must be qcow2", cli_set_flag,
    FIELD (is_compressed), NULL },
  { 'B', "backing", CLI_FILE, "FILE",
    "store only what differs from FILE, the backing file of the target: needs -F", cli_set_string,
    FIELD (backing), NULL },
  { 'F', "backing-format", CLI_VALUE, "FMT", "the format of that file", cli_set_format,
    FIELD (backing_format), cli_format_choices },
  { 'l', "source-snapshot", CLI_VALUE, "SNAPSHOT",
    "copy the disk as it was in this internal snapshot, by ID or name", cli_set_string,
    FIELD (convert.source_snapshot), NULL },
  CLI_GATE_ROWS (CliConvertParams, convert.policy),
  CLI_TRUST_ROWS (CliConvertParams, convert.policy),
  { 0, "bitmaps", CLI_NO_VALUE, NULL, "copy the persistent bitmaps of a qcow2 image, too",
    cli_set_flag, FIELD (with_bitmaps), NULL },
  { 0, "skip-broken-bitmaps", CLI_NO_VALUE, NULL,
    "with --bitmaps: leave out those that are inconsistent", cli_set_flag,
    FIELD (convert.skip_broken_bitmaps), NULL },
  CLI_ROW_SANDBOX,
  { 0, "object", CLI_VALUE, "OBJECT", "not supported yet", cli_note_unsupported,
    FIELD (unsupported), NULL },
  CLI_ROW_HELP (CliConvertParams, common),
  { 0 },
};

gpointer
cli_convert_new_params (void)
{
  CliConvertParams *params = g_new0 (CliConvertParams, 1);
  params->target_cache = -1;
  params->progress_fd = -1;
  params->convert.copy.sparse_size = DEFAULT_SPARSE_SIZE;
  img_create_options_init (&params->create);
  params->convert.dash_is_stream = !cli_is_qemu_img ();
  return params;
}

void
cli_convert_clear_params (gpointer data)
{
  CliConvertParams *params = data;
  g_clear_pointer (&params->target_options, g_free);
  g_clear_pointer (&params->digests, g_strfreev);
  img_create_options_clear (&params->create);
}

static gboolean
check_combinations (const CliConvertParams *params, GError **error)
{
  const ImgConvertParams *convert = &params->convert;
  const struct
  {
    gboolean is_wrong;
    const char *message;
  } rules[] = {
    { convert->no_create && params->target_options != NULL,
      "-o has no effect when skipping image creation (-n)" },
    { convert->target_is_zero && !convert->no_create, "--target-is-zero requires use of -n flag" },
    { params->target_image_opts && !convert->no_create,
      "--target-image-opts requires use of -n flag" },
    { params->target_image_opts && params->target_format != NULL,
      "--target-format and --target-image-opts exclude each other: use driver=raw" },
    { convert->skip_broken_bitmaps && !params->with_bitmaps,
      "use of --skip-broken-bitmaps requires --bitmaps" },
    { params->with_bitmaps && convert->source_snapshot != NULL,
      "--bitmaps and -l exclude each other: bitmaps are about the disk as it is now" },
    { convert->no_create && convert->in_place,
      "-n and --in-place exclude each other: both write into the target, but -n keeps its size" },
    { convert->copy.copy_range && params->with_sparse_size,
      "cannot enable copy offloading (-C) when -S is used" },
    { convert->copy.copy_range && convert->copy.salvage,
      "cannot use copy offloading (-C) with --salvage" },
  };
  for (guint i = 0; i < G_N_ELEMENTS (rules); i++)
    if (rules[i].is_wrong)
      return img_throw (error, IMG_ERROR_USAGE, "%s", rules[i].message);
  return TRUE;
}

/* What -o, -c, -B and -F say together about a target of @format. */
static gboolean
take_create_options (CliConvertParams *params, const char *format, GError **error)
{
  ImgCreateOptions *create = &params->create;

  create->is_compressed = params->is_compressed;
  create->has_bitmaps = params->with_bitmaps;
  return cli_create_options_parse (params->target_options, format, FALSE, create, error)
         && cli_create_options_add_backing (create, params->backing, params->backing_format, error)
         && img_disk_check_options (format, create, IMG_DISK_SIZE_UNKNOWN, error);
}

gboolean
cli_convert_check_options (CliConvertParams *params, GError **error)
{
  ImgConvertParams *convert = &params->convert;
  const char *format = cli_convert_target_format (params);

  if (!cli_check_format (params->common.format, error)
      || !cli_check_target_format (params->target_format, error))
    return FALSE;
  if (!cli_check_unsupported (params->unsupported, error) || !check_combinations (params, error))
    return FALSE;
  if (!cli_create_options_want_help (params->target_options)
      && !take_create_options (params, format, error))
    return FALSE;
  convert->create = params->create;
  convert->copy.digests = (const char *const *)params->digests;
  convert->is_durable = !params->is_not_flushed && params->target_cache != IMG_CACHE_UNSAFE;
  convert->target_cache = params->target_cache >= 0 ? (ImgCacheMode)params->target_cache
                          : params->is_not_flushed  ? IMG_CACHE_UNSAFE
                                                    : IMG_CACHE_WRITEBACK;
  return TRUE;
}

const char *
cli_convert_target_format (const CliConvertParams *params)
{
  return params->target_format != NULL ? params->target_format : "raw";
}

gboolean
cli_convert_check_stdout (const CliConvertParams *params, GError **error)
{
  const ImgConvertParams *convert = &params->convert;
  const char *option = params->with_percent                          ? "-p"
                       : params->progress_fd == STDOUT_FILENO        ? "--progress=json:1"
                       : convert->no_create                          ? "-n"
                       : convert->in_place                           ? "--in-place"
                       : params->target_options != NULL              ? "-o"
                       : convert->copy.verify                        ? "--verify"
                       : convert->copy.reflink == IMG_REFLINK_ALWAYS ? "--reflink=always"
                                                                     : NULL;

  if (strcmp (cli_convert_target_format (params), "raw") != 0)
    return img_throw (error, IMG_ERROR_USAGE,
                      "only a raw disk can go to standard output: where things are in a %s image "
                      "is known at the end and stands at the beginning",
                      cli_convert_target_format (params));
  if (option != NULL)
    return img_throw (error, IMG_ERROR_USAGE, "%s cannot be used when writing to standard output",
                      option);
  return !isatty (STDOUT_FILENO)
         || img_throw (error, IMG_ERROR_USAGE,
                       "standard output is a terminal, which is no place for a disk image");
}
