/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* New qcow2 images, by the requests that are made for them: real files, each write to them noted,
 * and a second opinion on what the tables and refcounts must say. */
#include "unit.h"

#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "disk/format.h"
#include "engine/copy.h"
#include "format/qcow2/entry.h"
#include "format/qcow2/qcow2.h"
#include "format/qcow2/write.h"

/* As ck_assert, which writes to the runner's pipe each time: for what is asked very often. */
#define must(condition)                  \
  do                                     \
    {                                    \
      if (!(condition))                  \
        ck_abort_msg ("%s", #condition); \
    }                                    \
  while (0)

#define KIB ((guint64)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

/* ---- each write to a file ---- */

typedef struct
{
  guint64 offset, length;
} Request;

static GArray *requests; /* Request, in the order in which they were made */
static GMutex requests_mutex;

gboolean __real_img_file_write (ImgFile *file, guint64 offset, const void *buffer, gsize length,
                                GError **error);
gboolean __wrap_img_file_write (ImgFile *file, guint64 offset, const void *buffer, gsize length,
                                GError **error);

gboolean
__wrap_img_file_write (ImgFile *file, guint64 offset, const void *buffer, gsize length,
                       GError **error)
{
  Request request = { .offset = offset, .length = length };
  g_mutex_lock (&requests_mutex);
  g_array_append_val (requests, request);
  g_mutex_unlock (&requests_mutex);
  return __real_img_file_write (file, offset, buffer, length, error);
}

static gint
compare_requests (gconstpointer a, gconstpointer b)
{
  guint64 left = ((const Request *)a)->offset, right = ((const Request *)b)->offset;
  return left < right ? -1 : left > right;
}

/* The header is last, nothing is written twice, and no block by two. */
static void
check_requests (guint64 cluster)
{
  guint64 block = MIN (cluster, 4096), end = 0;
  ck_assert_uint_gt (requests->len, 0);
  const Request *last = &g_array_index (requests, Request, requests->len - 1);
  ck_assert_uint_eq (last->offset, 0);
  ck_assert_uint_eq (last->length, cluster);
  g_array_sort (requests, compare_requests);
  for (guint i = 0; i < requests->len; i++)
    {
      const Request *request = &g_array_index (requests, Request, i);
      must (request->offset % block == 0);
      must (request->length % block == 0);
      must (request->offset >= end);
      end = request->offset + request->length;
    }
}

/* ---- where the bytes come from ---- */

/* A source: "d64 h8" is 64 KiB of data and a hole of 8 KiB. d: does not compress, t: does, and each
 * 4 KiB are others; z: zeros that are data; h: a hole. The bytes are made when they are asked for.
 */
typedef struct
{
  GArray *extents; /* ImgExtent */
  GString *kinds;  /* d, t, z, h for each of them */
  guint seed;
} Source;

static void
source_add (Source *source, char kind, guint64 length)
{
  guint n = source->extents->len;
  const ImgExtent *last = n == 0 ? NULL : &g_array_index (source->extents, ImgExtent, n - 1);
  ImgExtent extent = { .guest_offset = last == NULL ? 0 : last->guest_offset + last->length,
                       .length = length,
                       .kind = kind == 'h' ? IMG_EXTENT_ZERO : IMG_EXTENT_DATA };
  g_array_append_val (source->extents, extent);
  g_string_append_c (source->kinds, kind);
}

static void
source_close (ImgDisk *disk)
{
  Source *source = disk->state;
  g_array_unref (source->extents);
  g_string_free (source->kinds, TRUE);
  g_free (source);
}

/* The extent that has @offset. */
static guint
source_find (const Source *source, guint64 offset)
{
  guint low = 0, high = source->extents->len;
  while (high - low > 1)
    {
      guint middle = (low + high) / 2;
      if (g_array_index (source->extents, ImgExtent, middle).guest_offset <= offset)
        low = middle;
      else
        high = middle;
    }
  return low;
}

static void
source_fill (const Source *source, guint64 offset, guint8 *buffer, gsize length)
{
  guint32 state = (guint32)(offset * 2654435761u) + source->seed;
  char kind = source->kinds->str[source_find (source, offset)];
  memset (buffer, kind == 't' ? (int)(1 + (offset / 4096 + source->seed) % 251) : 0, length);
  for (gsize i = 0; kind == 'd' && i < length; i++)
    {
      state = state * 1664525u + 1013904223u;
      buffer[i] = (guint8)(state >> 24);
    }
}

static gboolean
source_read (ImgDisk *disk, guint64 offset, void *buffer, gsize length, gsize *got,
             G_GNUC_UNUSED GError **error)
{
  guint8 *bytes = buffer;
  must (offset % 512 == 0);
  for (gsize at = 0; at < length; at += 512)
    source_fill (disk->state, offset + at, bytes + at, MIN (512, length - at));
  *got = length;
  return TRUE;
}

static gboolean
source_extent (ImgDisk *disk, guint64 offset, guint64 length, ImgExtent *extent,
               G_GNUC_UNUSED GError **error)
{
  const Source *source = disk->state;
  *extent = g_array_index (source->extents, ImgExtent, source_find (source, offset));
  extent->length = MIN (length, extent->guest_offset + extent->length - offset);
  extent->guest_offset = offset;
  return TRUE;
}

static const ImgFormat source_format
    = { .name = "source", .read = source_read, .extent = source_extent, .close = source_close };

static ImgDisk *
source_empty (guint seed)
{
  ImgDisk *disk = g_new0 (ImgDisk, 1);
  Source *source = g_new0 (Source, 1);
  source->extents = g_array_new (FALSE, FALSE, sizeof (ImgExtent));
  source->kinds = g_string_new (NULL);
  source->seed = seed;
  disk->format = &source_format;
  disk->state = source;
  return disk;
}

static void
source_end (ImgDisk *disk)
{
  const GArray *extents = ((Source *)disk->state)->extents;
  const ImgExtent *last = &g_array_index (extents, ImgExtent, extents->len - 1);
  disk->size = last->guest_offset + last->length;
}

static ImgDisk *
source_new (const char *text, guint seed)
{
  ImgDisk *disk = source_empty (seed);
  g_auto (GStrv) words = g_strsplit (text, " ", -1);
  for (guint i = 0; words[i] != NULL; i++)
    source_add (disk->state, words[i][0], g_ascii_strtoull (words[i] + 1, NULL, 10) * KIB);
  source_end (disk);
  return disk;
}

/* ---- writing ---- */

typedef struct
{
  const char *options; /* "cluster_size=4k,refcount_bits=1" */
  gboolean is_compressed;
  guint workers;
  ImgDisk *backing; /* taken over */
} Wish;

static void
set_options (ImgCreateOptions *options, const Wish *wish)
{
  img_create_options_init (options);
  options->is_compressed = wish->is_compressed;
  g_auto (GStrv) words = g_strsplit (wish->options, ",", -1);
  for (guint i = 0; words[i] != NULL; i++)
    {
      char *value = strchr (words[i], '=');
      *value++ = '\0';
      ck_assert (
          img_create_options_set (options, img_qcow2_format.create_rows, words[i], value, NULL));
    }
}

/* A new image at @path. */
static ImgDisk *
begin_image (ImgFile *file, const Wish *wish, guint64 size)
{
  g_auto (ImgCreateOptions) options;
  g_autoptr (GError) error = NULL;
  set_options (&options, wish);
  options.backing_file = wish->backing == NULL ? NULL : g_strdup ("behind.raw");
  ImgCreateParams params = { .options = &options,
                             .size = size,
                             .is_clean = TRUE,
                             .sparse_size = 4096,
                             .backing_disk = wish->backing };
  ImgDisk *disk = img_disk_create (file, "qcow2", &params, &error);
  ck_assert_msg (disk != NULL, "%s", error == NULL ? "" : error->message);
  return disk;
}

static void
write_image (const char *path, ImgDisk *source, const Wish *wish)
{
  ImgFileParams file_params = { .is_writable = TRUE, .locking = IMG_LOCKING_OFF };
  ImgCopyParams params = { .workers = MAX (wish->workers, 1), .sparse_size = 4096 };
  g_auto (ImgCopyResult) result = { 0 };
  g_autoptr (GError) error = NULL;
  g_autoptr (ImgFile) file = img_file_open (path, &file_params, NULL);
  /* Nobody hurries what is thrown away. */
  ck_assert (file != NULL && img_file_set_cache (file, IMG_CACHE_UNSAFE, NULL));
  g_array_set_size (requests, 0);
  g_autoptr (ImgDisk) target = begin_image (file, wish, source->size);
  gboolean is_done = img_copy (&source, 1, target, &params, &result, &error);
  ck_assert_msg (is_done, "%s", error == NULL ? "" : error->message);
}

/* ---- a second opinion ---- */

typedef struct
{
  guint8 *bytes; /* owned */
  gsize length;
  guint64 cluster;
  guint order, entry;
  guint32 *users; /* owned; of each cluster of the file */
} Image;

static void
image_clear (Image *image)
{
  g_free (image->bytes);
  g_free (image->users);
}

static const guint8 *
image_at (const Image *image, guint64 offset)
{
  must (offset < image->length);
  return image->bytes + offset;
}

static void
image_use (Image *image, guint64 offset, guint64 length)
{
  must (length > 0);
  must (offset + length <= image->length);
  for (guint64 i = offset / image->cluster; i <= (offset + length - 1) / image->cluster; i++)
    image->users[i]++;
}

static void
image_use_entry (Image *image, guint64 value)
{
  guint shift = 62 - ((guint)__builtin_ctzll (image->cluster) - 8);
  if ((value & QCOW2_COMPRESSED) == 0)
    {
      guint64 offset = value & QCOW2_OFFSET_MASK;
      must (offset % image->cluster == 0);
      must (((value & QCOW2_COPIED) != 0) == (offset != 0));
      if (offset != 0)
        image_use (image, offset, image->cluster);
      return;
    }
  guint64 offset = value & ((G_GUINT64_CONSTANT (1) << shift) - 1);
  guint64 sectors = (value & ~(QCOW2_COMPRESSED | QCOW2_COPIED)) >> shift;
  must ((value & QCOW2_COPIED) == 0);
  image_use (image, offset, (sectors + 1) * 512 - offset % 512);
}

static guint64
image_refcount (const Image *image, guint64 index)
{
  guint64 per_block = image->cluster * 8 >> image->order, table = img_load_be64 (image->bytes + 48);
  guint64 block = img_load_be64 (image_at (image, table + index / per_block * 8));
  const guint8 *at = image_at (image, block);
  guint64 bit = index % per_block << image->order, value = 0;
  if (image->order < 3)
    return (guint)at[bit / 8] >> bit % 8 & ((1u << (1u << image->order)) - 1);
  for (guint64 i = bit / 8; i < bit / 8 + (1u << image->order) / 8; i++)
    value = value << 8 | at[i];
  return value;
}

static void
image_use_tables (Image *image)
{
  guint64 l1 = img_load_be64 (image->bytes + 40), l1_entries = img_load_be32 (image->bytes + 36);
  guint64 table = img_load_be64 (image->bytes + 48), blocks = 0;
  image_use (image, 0, image->cluster);
  image_use (image, l1, MAX (l1_entries * 8, 1));
  for (guint64 i = 0; i < l1_entries; i++)
    {
      guint64 l2 = img_load_be64 (image_at (image, l1 + i * 8));
      if (l2 == 0)
        continue;
      must ((l2 & QCOW2_COPIED) != 0);
      image_use (image, l2 & QCOW2_OFFSET_MASK, image->cluster);
      for (guint64 at = 0; at < image->cluster; at += image->entry)
        image_use_entry (image, img_load_be64 (image_at (image, (l2 & QCOW2_OFFSET_MASK) + at)));
    }
  guint64 clusters = img_load_be32 (image->bytes + 56);
  image_use (image, table, clusters * image->cluster);
  for (guint64 at = 0; at < clusters * image->cluster; at += 8)
    if ((blocks = img_load_be64 (image_at (image, table + at))) != 0)
      image_use (image, blocks, image->cluster);
}

/* Look at the file: the highest refcount. All of them are as the tables want them, and no cluster
 * is of no use. */
static guint64
image_load (Image *image, const char *path)
{
  guint64 most = 0;
  memset (image, 0, sizeof *image);
  ck_assert (g_file_get_contents (path, (char **)&image->bytes, &image->length, NULL));
  image->cluster = G_GUINT64_CONSTANT (1) << img_load_be32 (image->bytes + 20);
  image->order = img_load_be32 (image->bytes + 4) < 3 ? 4 : img_load_be32 (image->bytes + 96);
  image->entry = img_load_be32 (image->bytes + 4) >= 3 && (image->bytes[79] & 16) ? 16 : 8;
  must (image->length % image->cluster == 0);
  image->users = g_new0 (guint32, image->length / image->cluster);
  image_use_tables (image);
  for (guint64 i = 0; i < image->length / image->cluster; i++)
    {
      must (image->users[i] >= 1);
      must (image_refcount (image, i) == image->users[i]);
      most = MAX (most, image->users[i]);
    }
  return most;
}

/* The L2 entry of @guest_offset; @bitmap is for extended ones. */
static guint64
image_entry (const Image *image, guint64 guest_offset, guint64 *bitmap)
{
  guint64 per_table = image->cluster / image->entry, index = guest_offset / image->cluster;
  guint64 l1 = img_load_be64 (image->bytes + 40);
  guint64 l2 = img_load_be64 (image_at (image, l1 + index / per_table * 8)) & QCOW2_OFFSET_MASK;
  must (l2 != 0);
  const guint8 *entry = image_at (image, l2 + index % per_table * image->entry);
  if (bitmap != NULL)
    *bitmap = img_load_be64 (entry + 8);
  return img_load_be64 (entry);
}

/* What the reader of ours says of the image is what is in the source. */
static void
expect_same_bytes (const char *path, ImgDisk *source)
{
  ImgFileParams file_params = { .locking = IMG_LOCKING_OFF };
  g_autoptr (ImgFile) file = img_file_open (path, &file_params, NULL);
  ck_assert (file != NULL && img_file_set_cache (file, IMG_CACHE_UNSAFE, NULL));
  g_autoptr (ImgDisk) image = img_disk_open (file, "qcow2", NULL);
  guint8 want[4096], have[4096];
  ck_assert (image != NULL && img_disk_begin (image, NULL));
  ck_assert_uint_eq (image->size, source->size);
  const GArray *extents = ((Source *)source->state)->extents;
  for (guint i = 0; i < extents->len; i += 1 + extents->len / 500)
    {
      const ImgExtent *extent = &g_array_index (extents, ImgExtent, i);
      guint64 step = MAX (extent->length / 16 & ~(guint64)4095, 4096);
      for (guint64 at = 0; at < extent->length; at += step)
        {
          gsize got, length = (gsize)MIN (4096, extent->length - at);
          ck_assert (img_disk_read (image, extent->guest_offset + at, have, length, &got, NULL));
          (void)source_read (source, extent->guest_offset + at, want, length, &got, NULL);
          ck_assert_mem_eq (have, want, length);
        }
    }
}

/* Write @text's source as @wish wants it, and look at it from all sides; the highest refcount. */
static guint64
write_well (const char *path, ImgDisk *source, const Wish *wish)
{
  Image image;
  gboolean has_backing = wish->backing != NULL;
  write_image (path, source, wish);
  guint64 most = image_load (&image, path);
  check_requests (image.cluster);
  if (!has_backing)
    expect_same_bytes (path, source);
  image_clear (&image);
  return most;
}

/* ---- which requests ---- */

static void
expect_requests (const char *text, const Wish *wish, const char *expected)
{
  char *path = unit_new_file (0);
  g_autoptr (ImgDisk) source = source_new (text, 1);
  g_autoptr (GString) log = g_string_new (NULL);
  write_image (path, source, wish);
  for (guint i = 0; i < requests->len; i++)
    {
      const Request *request = &g_array_index (requests, Request, i);
      g_string_append_printf (log, "%" G_GUINT64_FORMAT "+%" G_GUINT64_FORMAT " ",
                              request->offset / KIB, request->length / KIB);
    }
  ck_assert_str_eq (log->str, expected);
  (void)write_well (path, source, wish);
  unit_delete_file (path);
}

/* Behind the data come L2, L1, refcounts and their table, of which what is not zero is written. */
START_TEST (data_lies_together_and_tables_behind_it)
{
  Wish wish = { .options = "cluster_size=64k" };
  expect_requests ("h1024", &wish, "128+4 192+4 0+64 ");
  expect_requests ("d128", &wish, "64+128 192+4 256+4 320+4 384+4 0+64 ");
  expect_requests ("d64 h640 d64", &wish, "64+64 128+64 192+4 256+4 320+4 384+4 0+64 ");
}
END_TEST

START_TEST (zeros_in_data_are_left_out)
{
  Wish wish = { .options = "cluster_size=64k" };
  /* A cluster of zeros has no place; 32 KiB of them have one, and are a hole of the file. */
  expect_requests ("d64 z64 d64", &wish, "64+64 128+64 192+4 256+4 320+4 384+4 0+64 ");
  expect_requests ("d64 z32 d32", &wish, "64+64 160+32 192+4 256+4 320+4 384+4 0+64 ");
}
END_TEST

START_TEST (compressed_data_is_written_in_whole_blocks)
{
  Wish wish = { .options = "cluster_size=64k", .is_compressed = TRUE };
  /* Some hundred bytes: the block that is not full goes at the end. */
  expect_requests ("t128", &wish, "64+4 128+4 192+4 256+4 320+4 0+64 ");
  /* What does not compress lies in clusters of its own, also between what does. */
  expect_requests ("t64 d64 t64", &wish, "128+64 64+4 192+4 256+4 320+4 384+4 0+64 ");
}
END_TEST

/* ---- refcounts ---- */

START_TEST (refcounts_are_right_and_never_too_high)
{
  static const char *const bits[] = { "1", "2", "4", "8", "16", "32", "64" };
  static const char *const clusters[] = { "512", "4k", "64k", "2M" };
  for (guint i = 0; i < G_N_ELEMENTS (bits); i++)
    for (guint j = 0; j < G_N_ELEMENTS (clusters); j++)
      {
        g_autofree char *options
            = g_strdup_printf ("refcount_bits=%s,cluster_size=%s", bits[i], clusters[j]);
        Wish wish = { .options = options, .is_compressed = TRUE, .workers = 2 };
        char *path = unit_new_file (0);
        g_autoptr (ImgDisk) source
            = source_new (i == 3 && j == 2 ? "t30000" : "t2000 d100 t500 h64 t100 d4 t4 d4 t4", 1);
        guint64 most = write_well (path, source, &wish);
        if (i == 0)
          ck_assert_uint_eq (most, 1);
        else if (i < 4)
          ck_assert_uint_le (most, (1u << (1u << i)) - 1);
        if ((i == 1 && j < 3) || (i == 2 && j > 0 && j < 3) || (i == 3 && j == 2))
          ck_assert_uint_eq (most, (1u << (1u << i)) - 1);
        unit_delete_file (path);
      }
}
END_TEST

START_TEST (tables_are_flushed_on_the_way)
{
  static const struct
  {
    const char *options;
    guint64 data, hole; /* KiB; a table for each pair */
    guint n;
    gboolean is_compressed;
  } cases[] = { { "cluster_size=512", 1, 31, 8300, FALSE },
                { "cluster_size=4k", 4, 2 * 1024 - 4, 1100, TRUE },
                { "cluster_size=2M", 64, 512 * 1024 * 1024 - 64, 5, FALSE },
                { "cluster_size=2M,extended_l2=on", 64, 256 * 1024 * 1024 - 64, 5, TRUE } };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      Wish wish = { .options = cases[i].options,
                    .is_compressed = cases[i].is_compressed,
                    .workers = 1 + i % 3 };
      char *path = unit_new_file (0);
      g_autoptr (ImgDisk) source = source_empty (1);
      for (guint j = 0; j < cases[i].n; j++)
        {
          source_add (source->state, j % 3 == 0 ? 't' : 'd', cases[i].data * KIB);
          source_add (source->state, 'h', cases[i].hole * KIB);
        }
      source_end (source);
      (void)write_well (path, source, &wish);
      unit_delete_file (path);
    }
}
END_TEST

/* ---- who was faster ---- */

START_TEST (the_image_does_not_depend_on_the_workers)
{
  static const char *const options[]
      = { "cluster_size=64k", "cluster_size=512", "cluster_size=4k,refcount_bits=4",
          "extended_l2=on,cluster_size=16k", "compression_type=zstd" };
  g_autoptr (GRand) rand = g_rand_new_with_seed ((guint32)_i);
  g_autoptr (ImgDisk) source = source_empty ((guint)_i);
  for (guint i = 0; i < 40; i++)
    source_add (source->state, "dtzh"[g_rand_int_range (rand, 0, 4)],
                (guint64)g_rand_int_range (rand, 1, 500) * 512);
  source_end (source);
  g_autofree char *first = NULL;
  gsize first_length = 0;
  for (guint workers = 1; workers <= 8; workers = workers * 2 + 1)
    {
      Wish wish = { .options = options[_i % (int)G_N_ELEMENTS (options)],
                    .is_compressed = _i % 3 != 0,
                    .workers = workers };
      char *path = unit_new_file (0);
      g_autofree char *bytes = NULL;
      gsize length;
      (void)write_well (path, source, &wish);
      ck_assert (g_file_get_contents (path, &bytes, &length, NULL));
      if (first == NULL)
        {
          first = g_steal_pointer (&bytes);
          first_length = length;
        }
      else
        {
          ck_assert_uint_eq (length, first_length);
          ck_assert_mem_eq (bytes, first, length);
        }
      unit_delete_file (path);
    }
}
END_TEST

/* ---- extended entries, and what is behind ---- */

typedef struct
{
  gboolean is_placed;
  guint64 flags, bitmap;
} Entry;

/* The entries of what "d2 z2 d60 z64 h64 d64" becomes in clusters of 64 KiB. */
static void
expect_entries (const char *options, const char *behind, const Entry *entries)
{
  Wish wish = { .options = options, .backing = behind == NULL ? NULL : source_new (behind, 1) };
  char *path = unit_new_file (0);
  g_autoptr (ImgDisk) source = source_new ("d2 z2 d60 z64 h64 d64", 1);
  Image image;
  (void)write_well (path, source, &wish);
  (void)image_load (&image, path);
  for (guint i = 0; i < 4; i++)
    {
      guint64 bitmap = 0;
      guint64 value = image_entry (&image, i * 64 * KIB, image.entry == 16 ? &bitmap : NULL);
      ck_assert_int_eq ((value & QCOW2_OFFSET_MASK) != 0, entries[i].is_placed);
      ck_assert_uint_eq (value & ~QCOW2_OFFSET_MASK & ~QCOW2_COPIED, entries[i].flags);
      ck_assert_uint_eq (bitmap, entries[i].bitmap);
    }
  image_clear (&image);
  unit_delete_file (path);
}

#define ALL G_GUINT64_CONSTANT (0x00000000ffffffff)
#define NOT_SECOND G_GUINT64_CONSTANT (0x00000000fffffffd)
#define ZERO_SECOND (NOT_SECOND | G_GUINT64_CONSTANT (2) << 32)
#define ALL_ZERO G_GUINT64_CONSTANT (0xffffffff00000000)

START_TEST (subclusters_that_are_zero)
{
  const Entry without[] = { { TRUE, 0, NOT_SECOND }, { 0 }, { 0 }, { TRUE, 0, ALL } };
  expect_entries ("extended_l2=on", NULL, without);
  /* Something else is behind: it must not show through. */
  const Entry with[] = {
    { TRUE, 0, ZERO_SECOND }, { FALSE, 0, ALL_ZERO }, { FALSE, 0, ALL_ZERO }, { TRUE, 0, ALL }
  };
  expect_entries ("extended_l2=on", "t256", with);
  /* The same is behind it in the last cluster, zeros in those before it. */
  const Entry same[] = { { TRUE, 0, ZERO_SECOND }, { 0 }, { 0 }, { 0 } };
  expect_entries ("extended_l2=on", "h64 z64 h64 d64", same);
}
END_TEST

START_TEST (clusters_that_are_zero)
{
  const Entry without[] = { { TRUE, 0, 0 }, { 0 }, { 0 }, { TRUE, 0, 0 } };
  expect_entries ("compat=1.1", NULL, without);
  const Entry with[] = { { TRUE, 0, 0 },
                         { FALSE, QCOW2_READS_AS_ZERO, 0 },
                         { FALSE, QCOW2_READS_AS_ZERO, 0 },
                         { TRUE, 0, 0 } };
  expect_entries ("compat=1.1", "t256", with);
  /* A backing file that is shorter is zero behind its end. */
  const Entry behind_end[]
      = { { TRUE, 0, 0 }, { FALSE, QCOW2_READS_AS_ZERO, 0 }, { 0 }, { TRUE, 0, 0 } };
  expect_entries ("compat=1.1", "t128", behind_end);
}
END_TEST

/* ---- limits ---- */

START_TEST (a_disk_that_turns_out_too_large_is_an_error)
{
  ImgFileParams file_params = { .is_writable = TRUE, .locking = IMG_LOCKING_OFF };
  Wish wish = { .options = "cluster_size=512" };
  char *path = unit_new_file (0);
  g_autoptr (ImgFile) file = img_file_open (path, &file_params, NULL);
  g_autoptr (GError) error = NULL;
  g_array_set_size (requests, 0);
  g_autoptr (ImgDisk) disk = begin_image (file, &wish, IMG_DISK_SIZE_UNKNOWN);
  /* The L1 table would be larger than anybody reads. */
  ck_assert (!img_disk_finish (disk, 128 * GIB + 32 * KIB, &error));
  ck_assert_ptr_nonnull (strstr (error->message, "too large"));
  for (guint i = 0; i < requests->len; i++)
    ck_assert_uint_ne (g_array_index (requests, Request, i).offset, 0);
  unit_delete_file (path);
}
END_TEST

START_TEST (offsets_that_entries_have_no_room_for_are_errors)
{
  const Qcow2Layout layout = { .version = 3, .cluster_bits = 21, .cluster_size = 2 * MIB };
  const guint64 most = (guint64)1 << 56, most_packed = (guint64)1 << 49;
  Qcow2Writer w = { .layout = layout, .next = most };
  GError *error = NULL;
  guint64 host_offset;

  ck_assert (!qcow2_place_plain (&w, 0, 2 * MIB, 0, &host_offset, &error));
  ck_assert_ptr_nonnull (strstr (error->message, "does not fit into its tables"));
  g_clear_error (&error);
  w.layout.has_data_file = TRUE;
  ck_assert (!qcow2_place_plain (&w, most - 2 * MIB, 4 * MIB, 0, &host_offset, &error));
  g_clear_error (&error);
  w = (Qcow2Writer){ .layout = layout, .next = most_packed };
  ck_assert (!qcow2_place_packed (&w, 0, 1000, &host_offset, &error));
  ck_assert_ptr_nonnull (strstr (error->message, "offset 562949953422311 "));
  g_clear_error (&error);
}
END_TEST

static void
add (Suite *suite, const char *name, const TTest *test, int n)
{
  TCase *core = tcase_create (name);
  tcase_set_timeout (core, 300);
  tcase_add_loop_test (core, test, 0, n);
  suite_add_tcase (suite, core);
}

int
main (void)
{
  Suite *suite = suite_create ("qcow2-write");
  requests = g_array_new (FALSE, FALSE, sizeof (Request));
  add (suite, "data", data_lies_together_and_tables_behind_it, 1);
  add (suite, "zeros", zeros_in_data_are_left_out, 1);
  add (suite, "compressed", compressed_data_is_written_in_whole_blocks, 1);
  add (suite, "refcounts", refcounts_are_right_and_never_too_high, 1);
  add (suite, "tables", tables_are_flushed_on_the_way, 1);
  add (suite, "workers", the_image_does_not_depend_on_the_workers, 15);
  add (suite, "subclusters", subclusters_that_are_zero, 1);
  add (suite, "clusters", clusters_that_are_zero, 1);
  add (suite, "limits", a_disk_that_turns_out_too_large_is_an_error, 1);
  add (suite, "offsets", offsets_that_entries_have_no_room_for_are_errors, 1);
  int status = unit_run (suite);
  g_array_unref (requests);
  return status;
}
