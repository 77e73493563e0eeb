/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Mutation of qcow2 images: one number in one of the structures becomes one of the values that
 * programs stumble over, in the byte order of the format. Where the structures are is looked up in
 * the image as it is, which may be broken already: what leads out of it is led back in. */
#include <string.h>

#include "base/bytes.h"
#include "fuzz.h"

#define HEADER_LENGTH 112
#define OFFSET_MASK G_GUINT64_CONSTANT (0x00fffffffffffe00)

typedef struct
{
  guint8 *data; /* borrowed */
  gsize size, max_size;
  guint64 random;
  gsize cluster_size;
} Image;

/* ---- numbers ---- */

static guint64
next_random (Image *image)
{
  image->random ^= image->random << 13;
  image->random ^= image->random >> 7;
  image->random ^= image->random << 17;
  return image->random;
}

static guint
pick (Image *image, guint n)
{
  return (guint)(next_random (image) >> 33) % n;
}

static guint64
load (const Image *image, gsize at, guint width)
{
  guint64 value = 0;

  for (guint i = 0; i < width && at + i < image->size; i++)
    value = value << 8 | image->data[at + i];
  return value;
}

static void
store (Image *image, gsize at, guint width, guint64 value)
{
  for (guint i = 0; i < width; i++)
    if (at + i < image->size)
      image->data[at + i] = (guint8)(value >> 8 * (width - 1 - i));
}

/* @offset as a place in the image, a multiple of @unit. */
static gsize
inside (const Image *image, guint64 offset, gsize unit)
{
  return (gsize)(offset % image->size) / unit * unit;
}

static guint64
some_cluster (Image *image)
{
  return pick (image, (guint)(image->size / image->cluster_size) + 2)
         * (guint64)image->cluster_size;
}

/* A value for a number that is @old now. */
static guint64
dangerous (Image *image, guint64 old)
{
  static const guint64 values[] = { 0,
                                    1,
                                    2,
                                    3,
                                    7,
                                    8,
                                    0x7f,
                                    0xff,
                                    0x100,
                                    0x1ff,
                                    0x200,
                                    0x3ff,
                                    0x400,
                                    0x7fff,
                                    0x8000,
                                    0xffff,
                                    0x10000,
                                    0x10001,
                                    0x3fffff,
                                    0x400000,
                                    0x2000000,
                                    0x7fffffff,
                                    0x80000000,
                                    0xffffffff,
                                    0x100000000,
                                    0x00fffffffffffe00,
                                    0x0100000000000000,
                                    0x3fffffffffffffff,
                                    0x4000000000000000,
                                    0x7ffffffffffffe00,
                                    0x7fffffffffffffff,
                                    0x8000000000000000,
                                    0xfffffffffffffe00,
                                    0xffffffffffffffff };

  switch (pick (image, 10))
    {
    case 0:
      return old + 1;
    case 1:
      return old - 1;
    case 2:
      return old ^ (G_GUINT64_CONSTANT (1) << pick (image, 64));
    case 3:
      return image->size + (guint64)pick (image, 3) - 1;
    case 4:
      return some_cluster (image);
    case 5:
      return image->cluster_size * (1 + (guint64)pick (image, 3)) + (guint64)pick (image, 3) - 1;
    case 6:
      return pick (image, 256);
    case 7:
      return old << (1 + pick (image, 9)) | old >> (1 + pick (image, 9));
    default:
      return values[pick (image, G_N_ELEMENTS (values))];
    }
}

static void
spoil (Image *image, gsize at, guint width)
{
  store (image, at, width, dangerous (image, load (image, at, width)));
}

/* ---- structures ---- */

static void
mutate_header (Image *image)
{
  static const struct
  {
    guint8 at, width;
  } fields[] = { { 4, 4 },  { 8, 8 },  { 16, 4 },  { 20, 4 },  { 24, 8 }, { 32, 4 }, { 36, 4 },
                 { 40, 8 }, { 48, 8 }, { 56, 4 },  { 60, 4 },  { 64, 8 }, { 72, 8 }, { 80, 8 },
                 { 88, 8 }, { 96, 4 }, { 100, 4 }, { 104, 1 }, { 72, 8 }, { 88, 8 } };
  guint n = pick (image, G_N_ELEMENTS (fields));

  if (fields[n].at == 20)
    store (image, 20, 4, 9 + pick (image, 13));
  else if (fields[n].at == 72 || fields[n].at == 88)
    store (image, fields[n].at, 8,
           load (image, fields[n].at, 8) ^ (G_GUINT64_CONSTANT (1) << pick (image, 6)));
  else
    spoil (image, fields[n].at, fields[n].width);
}

/* An entry of a table that points to clusters. */
static void
mutate_pointer (Image *image, gsize at)
{
  guint64 flags = load (image, at, 8) & ~OFFSET_MASK;

  switch (pick (image, 6))
    {
    case 0:
      store (image, at, 8, 0);
      break;
    case 1:
      store (image, at, 8, some_cluster (image) | G_GUINT64_CONSTANT (1) << 63);
      break;
    case 2:
      store (image, at, 8, some_cluster (image) | flags);
      break;
    case 3:
      store (image, at, 8, load (image, inside (image, next_random (image), 8), 8));
      break;
    default:
      spoil (image, at, 8);
    }
}

/* As an entry about compressed data, of which @at is told where it may be. */
static void
mutate_compressed (Image *image, gsize at)
{
  guint cluster_bits = (guint)load (image, 20, 4) % 32;
  guint length_bits = CLAMP (cluster_bits, 9, 21) - 8, offset_bits = 62 - length_bits;
  guint64 sectors = pick (image, 1u << length_bits);
  guint64 offset = pick (image, 2) == 0 ? some_cluster (image) + pick (image, 512)
                                        : next_random (image) % (image->size + 1024);

  store (image, at, 8,
         G_GUINT64_CONSTANT (1) << 62 | sectors << offset_bits
             | (offset & ((G_GUINT64_CONSTANT (1) << offset_bits) - 1)));
}

static gsize
l1_entry (Image *image)
{
  gsize table = inside (image, load (image, 40, 8), 8);
  return inside (image, table + 8 * (guint64)pick (image, 1 + (guint)load (image, 36, 4) % 64), 8);
}

static void
mutate_l2 (Image *image)
{
  gsize table = inside (image, load (image, l1_entry (image), 8) & OFFSET_MASK, 8);
  gsize at = inside (image, table + 8 * (guint64)pick (image, (guint)image->cluster_size / 8), 8);

  /* The first entries are the most likely to be used. */
  if (pick (image, 2) == 0)
    at = inside (image, table + 8 * (guint64)pick (image, 16), 8);
  switch (pick (image, 5))
    {
    case 0:
      mutate_compressed (image, at);
      break;
    case 1:
      store (image, at, 8, load (image, at, 8) ^ 1);
      break;
    case 2:
      spoil (image, at + 8 - (gsize)pick (image, 2) * 4, 4); /* a bitmap of subclusters, perhaps */
      break;
    default:
      mutate_pointer (image, at);
    }
}

static void
mutate_refcount (Image *image)
{
  gsize table = inside (image, load (image, 48, 8), 8);

  if (pick (image, 3) == 0)
    {
      mutate_pointer (image, table + 8 * (gsize)pick (image, 4));
      return;
    }
  guint width = 1u << pick (image, 4);
  gsize block = inside (image, load (image, table, 8) & OFFSET_MASK, 8);
  spoil (image, block + (gsize)pick (image, 64) * width, width);
}

static void
mutate_extension (Image *image)
{
  static const guint32 types[]
      = { 0, 0xe2792aca, 0x6803f857, 0x23852875, 0x0537be77, 0x44415441, 0x12345678 };
  guint64 length = load (image, 4, 4) == 2 ? 72 : load (image, 100, 4);
  gsize at = inside (image, length, 8);

  for (guint n = pick (image, 5); n > 0 && at + 8 < image->size; n--)
    at = inside (image, at + 8 + ((load (image, at + 4, 4) + 7) & ~(guint64)7), 8);
  switch (pick (image, 4))
    {
    case 0:
      store (image, at, 4, types[pick (image, G_N_ELEMENTS (types))]);
      break;
    case 1:
      spoil (image, at + 4, 4);
      break;
    case 2:
      spoil (image, at + 8 + (gsize)pick (image, 4) * 4, 4);
      break;
    default:
      spoil (image, at + 8 + (gsize)pick (image, 3) * 8, 8);
    }
}

/* The fixed part of a snapshot, or what stands where the table should be. */
static void
mutate_snapshot (Image *image)
{
  static const guint8 fields[][2]
      = { { 0, 8 }, { 8, 4 }, { 12, 2 }, { 14, 2 }, { 32, 4 }, { 36, 4 }, { 40, 8 }, { 48, 8 } };
  guint n = pick (image, G_N_ELEMENTS (fields));
  gsize at = inside (image, load (image, 64, 8), 8);

  if (pick (image, 3) == 0)
    at += 64 + 8 * (gsize)pick (image, 4);
  spoil (image, at + fields[n][0], fields[n][1]);
}

/* ---- the whole ---- */

static void
copy_cluster (Image *image)
{
  gsize from = inside (image, some_cluster (image), 512),
        to = inside (image, some_cluster (image), 512);
  memmove (image->data + to, image->data + from,
           MIN (image->cluster_size, image->size - MAX (from, to)));
}

static void
change_length (Image *image)
{
  gsize size = (gsize)some_cluster (image) + pick (image, 3) * (gsize)(pick (image, 512));

  size = CLAMP (size, 1, image->max_size);
  if (size > image->size)
    memset (image->data + image->size, 0, size - image->size);
  image->size = size;
}

/* What libFuzzer does, in one place: all over a large image it would rarely hit what matters. */
static void
mutate_part (Image *image)
{
  gsize at = inside (image, pick (image, 3) == 0 ? 0 : some_cluster (image), 512);
  gsize length = MIN (image->size - at, (gsize)16 << pick (image, 8));
  (void)fuzz_mutate_any (image->data + at, length, length);
}

static void
mutate_once (Image *image)
{
  switch (pick (image, 16))
    {
    case 0:
    case 1:
    case 2:
      mutate_header (image);
      break;
    case 3:
      mutate_pointer (image, l1_entry (image));
      break;
    case 4:
    case 5:
    case 6:
    case 7:
      mutate_l2 (image);
      break;
    case 8:
      mutate_refcount (image);
      break;
    case 9:
    case 10:
      mutate_extension (image);
      break;
    case 11:
      mutate_snapshot (image);
      break;
    case 12:
      spoil (image, inside (image, next_random (image), 8), 8);
      break;
    case 13:
      copy_cluster (image);
      break;
    case 14:
      change_length (image);
      break;
    default:
      mutate_part (image);
    }
}

gsize
fuzz_mutate_qcow2 (guint8 *data, gsize size, gsize max_size, guint seed)
{
  Image image = { .data = data, .size = size, .max_size = max_size };

  if (size < HEADER_LENGTH)
    return fuzz_mutate_any (data, size, max_size);
  image.random = (guint64)seed << 16 | 0x9e37;
  for (guint n = 1 + pick (&image, 4); n > 0 && image.size >= HEADER_LENGTH; n--)
    {
      image.cluster_size = (gsize)1 << CLAMP (load (&image, 20, 4), 9, 21);
      mutate_once (&image);
    }
  return image.size;
}
