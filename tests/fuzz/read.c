/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What "imgtool convert" does with its source: open the chain, of each snapshot too, ask where
 * everything is and read it. What is read must be what the mapping promised. */
#include <string.h>

#include "base/bytes.h"
#include "disk/describe.h"
#include "fuzz.h"
#include "image.h"

/* Of a disk, as far as one run goes. */
#define MAX_STEPS 192
#define MAX_BYTES ((gsize)1 << 20)
#define PIECE ((gsize)16 << 10)
#define MAX_EXTENTS 16
#define EXTENT_SPAN ((guint64)1 << 20)
#define MAX_SNAPSHOTS 3

typedef struct
{
  ImgDisk *disk; /* borrowed */
  guint64 cluster_size;
  gsize bytes; /* read so far */
} Walk;

/* Read that again in another way: where the mapping says it lies, or without its first byte. */
static void
check_piece (Walk *walk, const ImgMapping *mapping, guint64 in_mapping, const guint8 *bytes,
             gsize length)
{
  guint64 guest_offset = mapping->guest_offset + in_mapping;
  gsize got;

  if (mapping->kind != IMG_MAPPING_DATA)
    {
      g_assert (length == 0 || (bytes[0] == 0 && memcmp (bytes, bytes + 1, length - 1) == 0));
      return;
    }
  g_autofree guint8 *again = g_malloc (length);
  if (!mapping->is_compressed)
    {
      g_assert_true (
          img_file_read (mapping->file, mapping->host_offset + in_mapping, again, length, NULL));
      g_assert (memcmp (again, bytes, length) == 0);
    }
  else if (length > 1)
    {
      g_assert_true (img_disk_read (walk->disk, guest_offset + 1, again, length - 1, &got, NULL));
      g_assert (memcmp (again, bytes + 1, length - 1) == 0);
    }
}

static void
read_piece (Walk *walk, const ImgMapping *mapping, guint64 in_mapping, gsize length)
{
  g_autofree guint8 *bytes = g_malloc (length);
  GError *error = NULL;
  gsize got = 0;
  gboolean is_good
      = img_disk_read (walk->disk, mapping->guest_offset + in_mapping, bytes, length, &got, &error);

  fuzz_check_error (!is_good, &error);
  /* A compressed cluster costs as much as all of it. */
  walk->bytes += mapping->is_compressed ? MAX (length, walk->cluster_size) : length;
  if (is_good)
    {
      g_assert_cmpuint (got, ==, length);
      check_piece (walk, mapping, in_mapping, bytes, length);
    }
}

/* What may be copied inside the kernel: plain data that the file really has. */
static void
check_host (Walk *walk, const ImgMapping *mapping)
{
  guint64 length = mapping->length, host_offset;
  ImgFile *file;

  if (!img_disk_map_host (walk->disk, mapping->guest_offset, &length, &file, &host_offset))
    return;
  g_assert (mapping->kind == IMG_MAPPING_DATA && !mapping->is_compressed && file == mapping->file
            && host_offset == mapping->host_offset && length == mapping->length);
  g_assert (host_offset + length <= img_file_size (file));
}

/* Its beginning and its end. */
static void
read_mapping (Walk *walk, const ImgMapping *mapping)
{
  gsize length = (gsize)MIN (mapping->length, PIECE);

  read_piece (walk, mapping, 0, length);
  if (mapping->length > length)
    read_piece (walk, mapping, mapping->length - length, length);
}

static void
walk_mappings (Walk *walk)
{
  guint64 size = walk->disk->size, next;

  for (guint64 at = 0, step = 0; at < size && step < MAX_STEPS && walk->bytes < MAX_BYTES; step++)
    {
      ImgMapping mapping;
      GError *error = NULL;
      gboolean is_good = img_disk_map (walk->disk, at, size - at, &mapping, &error);

      fuzz_check_error (!is_good, &error);
      if (!is_good)
        {
          /* Reading must fail too; then the next one. */
          guint8 byte;
          gsize got;
          g_assert_false (img_disk_read (walk->disk, at, &byte, 1, &got, NULL));
          next = at + walk->cluster_size - at % walk->cluster_size;
          at = next;
          continue;
        }
      g_assert (mapping.guest_offset == at && mapping.length > 0 && mapping.length <= size - at);
      check_host (walk, &mapping);
      read_mapping (walk, &mapping);
      at += mapping.length;
    }
}

static void
walk_extents (ImgDisk *disk)
{
  guint64 at = 0;

  for (guint n = 0; at < disk->size && n < MAX_EXTENTS; n++)
    {
      ImgExtent extent;
      guint64 span = MIN (EXTENT_SPAN, disk->size - at);
      g_assert_true (img_disk_extent (disk, at, span, &extent, NULL));
      g_assert (extent.guest_offset == at && extent.length > 0 && extent.length <= span);
      at += extent.length;
    }
}

static void
read_state (const guint8 *data, gsize size, const char *snapshot)
{
  g_autoptr (GPtrArray) files = g_ptr_array_new (); /* which stay open */
  GError *error = NULL;
  g_autoptr (ImgDisk) disk = fuzz_image_open (data, size, snapshot, files, &error);

  fuzz_check_error (disk == NULL, &error);
  if (disk == NULL)
    return;
  Walk walk = { .disk = disk, .cluster_size = (guint64)1 << img_load_be32 (data + 20) };
  walk_mappings (&walk);
  walk_extents (disk);
}

static void
read_snapshots (const guint8 *data, gsize size)
{
  g_auto (ImgDescription) description = { 0 };
  g_autoptr (ImgDisk) disk = img_disk_open (fuzz_image (FUZZ_TOP, data, size), "qcow2", NULL);

  if (disk == NULL || !img_disk_describe (disk, &description, NULL)
      || description.snapshots == NULL)
    return;
  for (guint i = 0; i < MIN (description.snapshots->len, MAX_SNAPSHOTS); i++)
    {
      const ImgSnapshot *snapshot = description.snapshots->pdata[i];
      g_autofree char *both
          = g_strdup_printf ("snapshot.id=%s,snapshot.name=%s", snapshot->id, snapshot->name);
      const char *const names[] = { snapshot->id, snapshot->name, both };
      read_state (data, size, names[i % G_N_ELEMENTS (names)]);
    }
}

static void
run (const guint8 *data, gsize size)
{
  if (size < 72)
    return;
  read_state (data, size, NULL);
  if (img_load_be32 (data + 60) != 0)
    read_snapshots (data, size);
}

const FuzzTarget fuzz_read = { .name = "read", .run = run, .mutate = fuzz_mutate_qcow2 };
