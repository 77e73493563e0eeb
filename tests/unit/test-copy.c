/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The copy engine, by the requests it makes: disks of this test's own, in memory, which note what
 * they are asked for and fail where they are told to. */
#include "unit.h"

#include <string.h>

#include "disk/format.h"
#include "engine/copy.h"
#include "file/output.h"
#include "lock/use.h"

#define KIB 1024u
#define MIB (1024u * KIB)

/* A disk in memory; its holes are the zero blocks of @hole_unit that were never set as data. */
typedef struct
{
  guint8 *bytes;
  gsize size;
  GArray *extents;          /* ImgExtent that cover it; source only */
  GString *log;             /* of requests; target only */
  guint64 bad_from, bad_to; /* reading or writing these fails */
  gsize position;           /* of a sequential disk */
  GMutex mutex;
} Memory;

static void
memory_init (Memory *memory, gsize size)
{
  memset (memory, 0, sizeof *memory);
  memory->size = size;
  memory->bytes = g_malloc0 (size + 1);
  memory->extents = g_array_new (FALSE, FALSE, sizeof (ImgExtent));
  memory->log = g_string_new (NULL);
  g_mutex_init (&memory->mutex);
}

static void
memory_clear (Memory *memory)
{
  g_free (memory->bytes);
  g_array_unref (memory->extents);
  g_string_free (memory->log, TRUE);
  g_mutex_clear (&memory->mutex);
}

/* The next @length bytes of @memory are data filled with @byte (0: zeros that are written), or
 * with @byte < 0 a hole. */
static void
lay (Memory *memory, gsize length, int byte)
{
  guint n = memory->extents->len;
  const ImgExtent *last = n == 0 ? NULL : &g_array_index (memory->extents, ImgExtent, n - 1);
  ImgExtent extent = { .guest_offset = last == NULL ? 0 : last->guest_offset + last->length,
                       .length = length,
                       .kind = byte < 0 ? IMG_EXTENT_ZERO : IMG_EXTENT_DATA };
  g_assert (extent.guest_offset + length <= memory->size);
  memset (memory->bytes + extent.guest_offset, MAX (byte, 0), length);
  g_array_append_val (memory->extents, extent);
}

static gboolean
is_bad (const Memory *memory, guint64 offset, gsize length)
{
  return offset < memory->bad_to && offset + length > memory->bad_from;
}

static gboolean
memory_read (ImgDisk *disk, guint64 offset, void *buffer, gsize length, gsize *got, GError **error)
{
  Memory *memory = disk->state;
  if (is_bad (memory, offset, length))
    return img_throw (error, IMG_ERROR_FAILED, "bad spot at %" G_GUINT64_FORMAT, offset);
  if (disk->is_sequential)
    {
      ck_assert_uint_eq (offset, memory->position);
      length = MIN (length, memory->size - memory->position);
      memory->position += length;
    }
  ck_assert_uint_le (offset + length, memory->size);
  memcpy (buffer, memory->bytes + offset, length);
  *got = length;
  return TRUE;
}

static gboolean
memory_extent (ImgDisk *disk, guint64 offset, guint64 length, ImgExtent *extent,
               G_GNUC_UNUSED GError **error)
{
  const Memory *memory = disk->state;
  for (guint i = 0; i < memory->extents->len; i++)
    {
      const ImgExtent *found = &g_array_index (memory->extents, ImgExtent, i);
      if (offset < found->guest_offset || offset >= found->guest_offset + found->length)
        continue;
      extent->guest_offset = offset;
      extent->length = MIN (length, found->guest_offset + found->length - offset);
      extent->kind = found->kind;
      return TRUE;
    }
  ck_abort_msg ("asked for an extent outside of the disk");
}

static void
note (Memory *memory, char what, guint64 offset, guint64 length)
{
  g_string_append_printf (memory->log, "%c%" G_GUINT64_FORMAT "+%" G_GUINT64_FORMAT " ", what,
                          offset / KIB, length / KIB);
}

static gboolean
memory_write (ImgDisk *disk, guint64 offset, const void *buffer, gsize length, GError **error)
{
  Memory *memory = disk->state;
  g_mutex_lock (&memory->mutex);
  gboolean fails = is_bad (memory, offset, length);
  if (!fails)
    {
      if (disk->is_sequential)
        ck_assert_uint_eq (offset, memory->position);
      ck_assert_uint_le (offset + length, memory->size);
      memcpy (memory->bytes + offset, buffer, length);
      memory->position = offset + length;
      note (memory, 'w', offset, length);
    }
  g_mutex_unlock (&memory->mutex);
  return !fails || img_throw (error, IMG_ERROR_FAILED, "no write at %" G_GUINT64_FORMAT, offset);
}

static gboolean
memory_zero (ImgDisk *disk, guint64 offset, guint64 length, G_GNUC_UNUSED guint flags,
             G_GNUC_UNUSED GError **error)
{
  Memory *memory = disk->state;
  g_mutex_lock (&memory->mutex);
  if (disk->is_sequential)
    ck_assert_uint_eq (offset, memory->position);
  ck_assert_uint_le (offset + length, memory->size);
  memset (memory->bytes + offset, 0, length);
  memory->position = offset + length;
  note (memory, 'z', offset, length);
  g_mutex_unlock (&memory->mutex);
  return TRUE;
}

static const ImgFormat memory_format = {
  .name = "memory",
  .read = memory_read,
  .write = memory_write,
  .zero = memory_zero,
  .extent = memory_extent,
};

static ImgDisk
disk_of (Memory *memory)
{
  ImgDisk disk = { .format = &memory_format, .size = memory->size, .state = memory };
  return disk;
}

static const ImgCopyParams plain = { .workers = 1, .sparse_size = 4 * KIB };

/* Copy @source to @target with @params. */
static gboolean
copy_one (ImgDisk *source, ImgDisk *target, const ImgCopyParams *params, ImgCopyResult *result,
          GError **error)
{
  ImgDisk *sources[] = { source };
  return img_copy (sources, 1, target, params, result, error);
}

/* ---- requests ---- */

/* 1 MiB of data with 8 KiB and 256 KiB of zeros in it, a hole of 1 MiB, 512 KiB of data. */
static void
lay_mixed (Memory *memory)
{
  memory_init (memory, 2 * MIB + 512 * KIB);
  lay (memory, MIB, 7);
  lay (memory, MIB, -1);
  lay (memory, 512 * KIB, 9);
  memset (memory->bytes + 100 * KIB, 0, 8 * KIB);
  memset (memory->bytes + 512 * KIB, 0, 256 * KIB);
}

static void
expect_requests (const ImgCopyParams *params, gboolean reads_as_zeros, const char *requests)
{
  Memory from, to;
  g_auto (ImgCopyResult) result = { 0 };
  lay_mixed (&from);
  memory_init (&to, from.size);
  memset (to.bytes, reads_as_zeros ? 0 : 0x55, to.size);
  ImgDisk source = disk_of (&from), target = disk_of (&to);
  target.reads_as_zeros = reads_as_zeros;

  ck_assert (copy_one (&source, &target, params, &result, NULL));
  ck_assert_str_eq (to.log->str, requests);
  ck_assert_mem_eq (to.bytes, from.bytes, from.size);
  ck_assert_uint_eq (result.size, from.size);
  ck_assert_uint_eq (result.copied + result.zero + result.cloned, from.size);
  memory_clear (&from);
  memory_clear (&to);
}

START_TEST (zeros_are_left_out_of_a_new_file)
{
  expect_requests (&plain, TRUE, "w0+100 w108+404 w768+256 w2048+512 ");
}
END_TEST

START_TEST (zeros_are_made_where_something_was)
{
  /* Runs too short to be worth a request of their own are written. */
  expect_requests (&plain, FALSE, "w0+512 z512+256 w768+256 z1024+1024 w2048+512 ");
}
END_TEST

START_TEST (a_larger_sparse_size_writes_short_zeros)
{
  ImgCopyParams params = plain;
  params.sparse_size = 64 * KIB;
  expect_requests (&params, TRUE, "w0+512 w768+256 w2048+512 ");
}
END_TEST

START_TEST (sparse_size_0_writes_everything)
{
  ImgCopyParams params = plain;
  params.sparse_size = 0;
  expect_requests (&params, TRUE, "w0+1024 w1024+1024 w2048+512 ");
  expect_requests (&params, FALSE, "w0+1024 w1024+1024 w2048+512 ");
}
END_TEST

START_TEST (runs_are_cut_where_the_target_has_its_blocks)
{
  Memory first, second, to;
  g_auto (ImgCopyResult) result = { 0 };
  memory_init (&first, 1000);
  lay (&first, 1000, 1);
  memory_init (&second, 32 * KIB);
  lay (&second, 32 * KIB, 0);
  second.bytes[32 * KIB - 1] = 1;
  memory_init (&to, 32 * KIB + 1000);
  ImgDisk a = disk_of (&first), b = disk_of (&second), target = disk_of (&to);
  ImgDisk *sources[] = { &a, &b };
  target.reads_as_zeros = TRUE;

  ck_assert (img_copy (sources, 2, &target, &plain, &result, NULL));
  ck_assert_mem_eq (to.bytes, first.bytes, first.size);
  ck_assert_mem_eq (to.bytes + 1000, second.bytes, second.size);
  /* The last byte is in the target's block from 32 KiB on. */
  ck_assert_str_eq (to.log->str, "w0+0 w32+0 ");
  ck_assert_uint_eq (result.copied, 1000 + 1000);
  memory_clear (&first);
  memory_clear (&second);
  memory_clear (&to);
}
END_TEST

START_TEST (nothing_is_copied_from_nothing)
{
  Memory from, to;
  g_auto (ImgCopyResult) result = { 0 };
  memory_init (&from, 0);
  memory_init (&to, 0);
  ImgDisk source = disk_of (&from), target = disk_of (&to);
  ck_assert (copy_one (&source, &target, &plain, &result, NULL));
  ck_assert_str_eq (to.log->str, "");
  ck_assert_uint_eq (result.size, 0);
  memory_clear (&from);
  memory_clear (&to);
}
END_TEST

/* ---- many workers ---- */

static void
lay_random (Memory *memory, GRand *rand)
{
  memory_init (memory, (gsize)g_rand_int_range (rand, 1, 6 * MIB));
  for (gsize at = 0; at < memory->size;)
    {
      gsize wanted = (gsize)g_rand_int_range (rand, 1, 400) * 4 * KIB;
      gsize length = MIN (wanted, memory->size - at);
      lay (memory, length, g_rand_int_range (rand, -1, 3));
      at += length;
    }
  /* Some data in the written zeros, and zeros in the data. */
  for (guint i = 0; i < 50; i++)
    {
      gsize at = (gsize)g_rand_int_range (rand, 0, (gint32)memory->size);
      ImgExtent extent;
      ImgDisk disk = disk_of (memory);
      ck_assert (memory_extent (&disk, at, 1, &extent, NULL));
      if (extent.kind == IMG_EXTENT_DATA)
        memory->bytes[at] ^= 5;
    }
}

START_TEST (the_result_does_not_depend_on_the_workers)
{
  static const guint workers[] = { 1, 3, 8 };
  static const guint64 sparse[] = { 0, 512, 4 * KIB, 1 * MIB };
  g_autoptr (GRand) rand = g_rand_new_with_seed ((guint32)_i);
  static const char *const names[] = { "sha256", NULL };
  Memory from;

  lay_random (&from, rand);
  g_autofree char *expected
      = g_compute_checksum_for_data (G_CHECKSUM_SHA256, from.bytes, from.size);
  for (guint i = 0; i < G_N_ELEMENTS (workers); i++)
    {
      g_auto (ImgCopyResult) result = { 0 };
      ImgCopyParams params = { .workers = workers[i],
                               .sparse_size = sparse[g_rand_int_range (rand, 0, 4)],
                               .digests = g_rand_boolean (rand) ? names : NULL };
      Memory to;
      memory_init (&to, from.size);
      ImgDisk source = disk_of (&from), target = disk_of (&to);
      target.reads_as_zeros = g_rand_boolean (rand);
      target.is_sequential = g_rand_int_range (rand, 0, 4) == 0;
      memset (to.bytes, target.reads_as_zeros ? 0 : 0xaa, to.size);
      if (target.is_sequential)
        target.reads_as_zeros = FALSE;
      ck_assert (copy_one (&source, &target, &params, &result, NULL));
      ck_assert_mem_eq (to.bytes, from.bytes, from.size);
      ck_assert_uint_eq (result.copied + result.zero, from.size);
      ck_assert_uint_eq (result.digests->len, params.digests == NULL ? 0 : 1);
      if (params.digests != NULL)
        ck_assert_str_eq (result.digests->pdata[0], expected);
      memory_clear (&to);
    }
  memory_clear (&from);
}
END_TEST

START_TEST (a_stream_may_be_followed_by_a_file)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (7);
  for (guint workers = 1; workers <= 4; workers += 3)
    {
      Memory from, file, to;
      g_auto (ImgCopyResult) result = { 0 };
      ImgCopyParams params = { .workers = workers, .sparse_size = 4 * KIB };
      lay_random (&from, rand);
      lay_random (&file, rand);
      memory_init (&to, from.size + file.size);
      ImgDisk a = disk_of (&from), b = disk_of (&file), target = disk_of (&to);
      ImgDisk *sources[] = { &a, &b };
      a.is_sequential = TRUE;
      a.size = IMG_DISK_SIZE_UNKNOWN;
      target.reads_as_zeros = TRUE;
      ck_assert (img_copy (sources, 2, &target, &params, &result, NULL));
      ck_assert_uint_eq (result.size, to.size);
      ck_assert_mem_eq (to.bytes, from.bytes, from.size);
      ck_assert_mem_eq (to.bytes + from.size, file.bytes, file.size);
      memory_clear (&from);
      memory_clear (&file);
      memory_clear (&to);
    }
}
END_TEST

/* ---- failures ---- */

START_TEST (the_first_error_ends_it)
{
  static const char *const names[] = { "sha256", NULL };
  for (guint workers = 1; workers <= 8; workers++)
    for (int side = 0; side < 2; side++)
      {
        Memory from, to;
        g_auto (ImgCopyResult) result = { 0 };
        g_autoptr (GError) error = NULL;
        ImgCopyParams params = { .workers = workers,
                                 .sparse_size = 4 * KIB,
                                 .digests = workers % 2 == 0 ? names : NULL };
        memory_init (&from, 16 * MIB);
        lay (&from, 16 * MIB, 3);
        memory_init (&to, from.size);
        Memory *bad = side == 0 ? &from : &to;
        bad->bad_from = 5 * MIB + 4 * KIB;
        bad->bad_to = bad->bad_from + 512;
        ImgDisk source = disk_of (&from), target = disk_of (&to);
        target.reads_as_zeros = TRUE;
        target.is_sequential = workers % 3 == 0;
        ck_assert (!copy_one (&source, &target, &params, &result, &error));
        ck_assert_str_eq (error->message,
                          side == 0 ? "bad spot at 5242880" : "no write at 5242880");
        memory_clear (&from);
        memory_clear (&to);
      }
}
END_TEST

START_TEST (salvage_loses_sectors_and_no_more)
{
  for (guint workers = 1; workers <= 4; workers += 3)
    {
      Memory from, to;
      g_auto (ImgCopyResult) result = { 0 };
      ImgCopyParams params = { .workers = workers, .sparse_size = 4 * KIB, .salvage = TRUE };
      memory_init (&from, 4 * MIB + 100);
      lay (&from, 4 * MIB + 100, 3);
      from.bad_from = 2 * MIB - 700; /* over the border of two pieces */
      from.bad_to = 2 * MIB + 513;
      memory_init (&to, from.size);
      ImgDisk source = disk_of (&from), target = disk_of (&to);
      target.reads_as_zeros = TRUE;
      ck_assert (copy_one (&source, &target, &params, &result, NULL));
      ck_assert_uint_eq (result.unreadable->len, 1);
      const ImgRange *range = &g_array_index (result.unreadable, ImgRange, 0);
      ck_assert_uint_eq (range->guest_offset, 2 * MIB - 1024);
      ck_assert_uint_eq (range->length, 2048);
      memset (from.bytes + range->guest_offset, 0, range->length);
      ck_assert_mem_eq (to.bytes, from.bytes, from.size);
      memory_clear (&from);
      memory_clear (&to);
    }
}
END_TEST

START_TEST (the_rate_is_kept)
{
  Memory from, to;
  g_auto (ImgCopyResult) result = { 0 };
  ImgCopyParams params = { .workers = 4, .sparse_size = 4 * KIB, .rate = 20 * MIB };
  memory_init (&from, 8 * MIB);
  lay (&from, 8 * MIB, 3);
  memory_init (&to, from.size);
  ImgDisk source = disk_of (&from), target = disk_of (&to);
  target.reads_as_zeros = TRUE;
  gint64 begin = g_get_monotonic_time ();
  ck_assert (copy_one (&source, &target, &params, &result, NULL));
  /* The first piece needs not wait: 7 MiB at 20 MiB a second. */
  ck_assert_int_ge (g_get_monotonic_time () - begin, 350 * G_TIME_SPAN_MILLISECOND);
  memory_clear (&from);
  memory_clear (&to);
}
END_TEST

/* ---- progress ---- */

static void
remember_progress (const ImgProgressState *state, gpointer closure)
{
  ImgProgressState *last = closure;
  ck_assert_uint_ge (state->done, last->done);
  *last = *state;
}

START_TEST (progress_ends_at_the_total)
{
  for (guint workers = 1; workers <= 4; workers += 3)
    {
      Memory from, to;
      g_auto (ImgCopyResult) result = { 0 };
      ImgProgressState last = { 0 };
      ImgCopyParams params = plain;
      params.workers = workers;
      params.progress.show = remember_progress;
      params.progress.closure = &last;
      lay_mixed (&from);
      memory_init (&to, from.size);
      ImgDisk source = disk_of (&from), target = disk_of (&to);
      target.reads_as_zeros = TRUE;
      ck_assert (copy_one (&source, &target, &params, &result, NULL));
      ck_assert_uint_eq (last.done, from.size);
      ck_assert_uint_eq (last.total, from.size);
      ck_assert_int_eq (last.phase, IMG_PHASE_COPY);
      ck_assert_uint_eq (last.copied + last.zero, from.size);
      memory_clear (&from);
      memory_clear (&to);
    }
}
END_TEST

/* ---- verification, on a real file ---- */

static guint64 flip_at;

/* What a disk does that says it has written and has not. */
static gboolean
flipping_write (ImgDisk *disk, guint64 offset, const void *buffer, gsize length, GError **error)
{
  g_autofree guint8 *copy = g_memdup2 (buffer, length);
  if (flip_at >= offset && flip_at < offset + length)
    copy[flip_at - offset] ^= 1;
  return img_file_write (disk->file, offset, copy, length, error);
}

static gboolean
file_read (ImgDisk *disk, guint64 offset, void *buffer, gsize length, gsize *got, GError **error)
{
  *got = length;
  return img_file_read (disk->file, offset, buffer, length, error);
}

static const ImgFormat flipping_format
    = { .name = "flipping", .read = file_read, .write = flipping_write };

START_TEST (verification_finds_a_flipped_bit)
{
  ImgFileParams file_params = { .is_writable = TRUE, .locking = IMG_LOCKING_OFF };
  Memory from;
  memory_init (&from, 3 * MIB + 10);
  lay (&from, MIB, 4);
  lay (&from, MIB, -1);
  lay (&from, MIB + 10, 5);
  for (guint i = 0; i < 4; i++)
    {
      static const guint64 spots[] = { G_MAXUINT64, 0, MIB - 1, 3 * MIB + 9 };
      char *path = unit_new_file ((off_t)from.size);
      g_autoptr (ImgFile) file = img_file_open (path, &file_params, NULL);
      g_auto (ImgCopyResult) result = { 0 };
      g_autoptr (GError) error = NULL;
      ImgCopyParams params = plain;
      ck_assert (file != NULL);
      params.verify = TRUE;
      flip_at = spots[i];
      ImgDisk source = disk_of (&from);
      ImgDisk target
          = { .format = &flipping_format, .file = file, .size = from.size, .reads_as_zeros = TRUE };
      ck_assert_int_eq (copy_one (&source, &target, &params, &result, &error), i == 0);
      if (i > 0)
        ck_assert (strstr (error->message, "verification failed") != NULL);
      unit_delete_file (path);
    }
  memory_clear (&from);
}
END_TEST

START_TEST (verification_finds_what_is_no_zero)
{
  ImgFileParams file_params = { .is_writable = TRUE, .locking = IMG_LOCKING_OFF };
  char *path = unit_new_file (2 * MIB);
  Memory from;
  g_auto (ImgCopyResult) result = { 0 };
  g_autoptr (GError) error = NULL;
  ImgCopyParams params = plain;
  g_autoptr (ImgFile) file = img_file_open (path, &file_params, NULL);
  ck_assert (file != NULL && img_file_write (file, MIB + 5000, "x", 1, NULL));
  memory_init (&from, 2 * MIB);
  lay (&from, 2 * MIB, -1);
  ImgDisk source = disk_of (&from);
  ImgDisk target
      = { .format = &flipping_format, .file = file, .size = 2 * MIB, .reads_as_zeros = TRUE };
  params.verify = TRUE;
  flip_at = G_MAXUINT64;
  ck_assert (!copy_one (&source, &target, &params, &result, &error));
  ck_assert (strstr (error->message, "between offset 1048576 and 2097152") != NULL);
  memory_clear (&from);
  unit_delete_file (path);
}
END_TEST

static void
add_requests (Suite *suite)
{
  TCase *requests = tcase_create ("requests");
  tcase_add_test (requests, zeros_are_left_out_of_a_new_file);
  tcase_add_test (requests, zeros_are_made_where_something_was);
  tcase_add_test (requests, a_larger_sparse_size_writes_short_zeros);
  tcase_add_test (requests, sparse_size_0_writes_everything);
  tcase_add_test (requests, runs_are_cut_where_the_target_has_its_blocks);
  tcase_add_test (requests, nothing_is_copied_from_nothing);
  suite_add_tcase (suite, requests);
}

int
main (void)
{
  Suite *suite = suite_create ("copy");
  TCase *core = tcase_create ("copy");
  add_requests (suite);
  tcase_set_timeout (core, 60);
  tcase_add_loop_test (core, the_result_does_not_depend_on_the_workers, 0, 40);
  tcase_add_test (core, a_stream_may_be_followed_by_a_file);
  tcase_add_test (core, the_first_error_ends_it);
  tcase_add_test (core, salvage_loses_sectors_and_no_more);
  tcase_add_test (core, the_rate_is_kept);
  tcase_add_test (core, progress_ends_at_the_total);
  tcase_add_test (core, verification_finds_a_flipped_bit);
  tcase_add_test (core, verification_finds_what_is_no_zero);
  suite_add_tcase (suite, core);
  return unit_run (suite);
}
