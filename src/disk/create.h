/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What can be said about an image that is to be made.
 *
 * One struct for all formats; each format lists in rows what it takes ("cluster_size", as QEMU
 * spells it), which parse, explain and complete themselves. What the values mean together is for
 * the format to check (ImgFormat.check_options). */
#pragma once

#include "base/error.h"

typedef enum
{
  IMG_PREALLOCATION_OFF,
  IMG_PREALLOCATION_METADATA, /* there is a place for all, without space */
  IMG_PREALLOCATION_FALLOC,   /* space is reserved */
  IMG_PREALLOCATION_FULL,     /* and written */
} ImgPreallocation;

/* How clusters are compressed, by the numbers of qcow2. */
typedef enum
{
  IMG_COMPRESSION_ZLIB,
  IMG_COMPRESSION_ZSTD,
} ImgCompression;

/* Numbers are int, and -1 if nothing was said. */
typedef struct
{
  guint64 size;       /* bytes; G_MAXUINT64: not said */
  int preallocation;  /* ImgPreallocation */
  char *backing_file; /* owned, and so are all texts; or NULL */
  char *backing_format;
  char *data_file;
  int data_file_is_raw;            /* boolean */
  guint64 cluster_size;            /* bytes; G_MAXUINT64: not said */
  int version;                     /* of qcow2: 2 or 3 */
  int compression;                 /* ImgCompression */
  guint64 compression_level;       /* of the library; G_MAXUINT64: not said */
  guint64 refcount_bits;           /* G_MAXUINT64: not said */
  int extended_l2, lazy_refcounts; /* boolean */
  gboolean is_compressed;          /* what is written is to be compressed; no row says that */
  gboolean has_bitmaps;            /* nor this: it may get bitmaps (disk/bitmap.h) */
} ImgCreateOptions;

typedef enum
{
  IMG_CREATE_SIZE,   /* guint64: "64k" */
  IMG_CREATE_NUMBER, /* guint64 */
  IMG_CREATE_TEXT,   /* char * */
  IMG_CREATE_CHOICE, /* int */
} ImgCreateKind;

typedef struct
{
  const char *name; /* NULL: no such choice */
  int value;
} ImgCreateChoice;

typedef struct
{
  const char *name; /* NULL ends the rows */
  ImgCreateKind kind;
  gsize field; /* of ImgCreateOptions */
  const char *help;
  const ImgCreateChoice *choices; /* ended by a NULL name; or NULL */
  const char *type;               /* how qemu-img calls what it takes: "str" */
} ImgCreateRow;

extern const ImgCreateChoice img_create_booleans[];

void img_create_options_init (ImgCreateOptions *options);
void img_create_options_clear (ImgCreateOptions *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ImgCreateOptions, img_create_options_clear)

/* Set what @key of @rows says; FALSE with IMG_ERROR_USAGE if there is no such key, or @value makes
 * no sense. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_create_options_set (ImgCreateOptions *options, const ImgCreateRow *rows,
                                 const char *key, const char *value, GError **error);

/* The name of @value among @choices; constant, NULL if there is none. */
const char *img_create_choice_name (const ImgCreateChoice *choices, int value);
