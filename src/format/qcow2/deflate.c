/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/qcow2/deflate.h"

#include "format/qcow2/inflate.h"

#ifdef HAVE_LIBDEFLATE
#include <libdeflate.h>
#elif defined HAVE_ZLIB
#include <zlib.h>
#endif
#ifdef HAVE_ZSTD
#include <zstd.h>
#endif

/* Measured per cluster against zlib's level 6 with QEMU's window of 4 KiB: libdeflate's level 2
 * makes 0.97 of its size of programs, text and archives in 0.3 of its time; but 1.1 of its size of
 * short records, as in databases, of which level 5 makes 0.99 in 0.43 of the time. So where nobody
 * says a level, a sample decides which of the two it is. */
#ifdef HAVE_LIBDEFLATE
#define ZLIB_FAST 2
#define ZLIB_THOROUGH 5
#define ZLIB_MOST 12
#else
#define ZLIB_FAST 6
#define ZLIB_MOST 9
#endif
#define ZSTD_DEFAULT 3
#define ZSTD_MOST 19

/* What the thorough level must save of a sample to be worth its time: one part in so many. */
#define WORTH_IT 20

struct Qcow2Deflater
{
  ImgCompression compression;
  int level;
#ifdef HAVE_LIBDEFLATE
  struct libdeflate_compressor *libdeflate; /* owned */
  struct libdeflate_compressor *thorough;   /* owned; NULL: the level was said */
  gboolean is_thorough;
#elif defined HAVE_ZLIB
  z_stream zlib;
  gboolean has_zlib;
#endif
#ifdef HAVE_ZSTD
  ZSTD_CCtx *zstd; /* owned */
#endif
};

gboolean
qcow2_deflater_check (ImgCompression compression, guint64 level, GError **error)
{
  gboolean is_zstd = compression == IMG_COMPRESSION_ZSTD;
  int most = is_zstd ? ZSTD_MOST : ZLIB_MOST;

  if (is_zstd && !qcow2_compression_is_built_in ((Qcow2Compression)compression))
    return img_throw (error, IMG_ERROR_UNSUPPORTED, "this program was built without zstd");
  if (level == G_MAXUINT64 || (level >= 1 && level <= (guint64)most))
    return TRUE;
  return img_throw (error, IMG_ERROR_USAGE,
                    "bad value '%" G_GUINT64_FORMAT
                    "' for compression_level: it must be a number from 1 to %d with %s",
                    level, most, is_zstd ? "zstd" : "zlib");
}

#if !defined HAVE_LIBDEFLATE && defined HAVE_ZLIB
#define MEMORY_LEVEL 9
#endif

static gboolean
begin (Qcow2Deflater *deflater)
{
#ifdef HAVE_ZSTD
  if (deflater->compression == IMG_COMPRESSION_ZSTD)
    {
      deflater->zstd = ZSTD_createCCtx ();
      return deflater->zstd != NULL
             && !ZSTD_isError (
                 ZSTD_CCtx_setParameter (deflater->zstd, ZSTD_c_compressionLevel,
                                         deflater->level == 0 ? ZSTD_DEFAULT : deflater->level));
    }
#endif
#ifdef HAVE_LIBDEFLATE
  gboolean chooses = deflater->level == 0;
  deflater->libdeflate = libdeflate_alloc_compressor (chooses ? ZLIB_FAST : deflater->level);
  deflater->thorough = chooses ? libdeflate_alloc_compressor (ZLIB_THOROUGH) : NULL;
  return deflater->libdeflate != NULL && (!chooses || deflater->thorough != NULL);
#elif defined HAVE_ZLIB
  int level = deflater->level == 0 ? ZLIB_FAST : deflater->level;
  deflater->has_zlib = deflateInit2 (&deflater->zlib, level, Z_DEFLATED, -MAX_WBITS, MEMORY_LEVEL,
                                     Z_DEFAULT_STRATEGY)
                       == Z_OK;
  return deflater->has_zlib;
#else
  return FALSE;
#endif
}

Qcow2Deflater *
qcow2_deflater_new (ImgCompression compression, int level, GError **error)
{
  Qcow2Deflater *deflater = g_new0 (Qcow2Deflater, 1);
  deflater->compression = compression;
  deflater->level = level;
  if (qcow2_compression_is_built_in ((Qcow2Compression)compression) && begin (deflater))
    return deflater;
  qcow2_deflater_free (deflater);
  return img_null_throw (error, IMG_ERROR_FAILED, "cannot get ready to compress with %s: %s",
                         compression == IMG_COMPRESSION_ZSTD ? "zstd" : "zlib",
                         qcow2_compression_is_built_in ((Qcow2Compression)compression)
                             ? "not enough memory"
                             : "the program was built without it");
}

void
qcow2_deflater_free (Qcow2Deflater *deflater)
{
#ifdef HAVE_LIBDEFLATE
  if (deflater->libdeflate != NULL)
    libdeflate_free_compressor (deflater->libdeflate);
  if (deflater->thorough != NULL)
    libdeflate_free_compressor (deflater->thorough);
#elif defined HAVE_ZLIB
  if (deflater->has_zlib)
    (void)deflateEnd (&deflater->zlib);
#endif
#ifdef HAVE_ZSTD
  ZSTD_freeCCtx (deflater->zstd);
#endif
  g_free (deflater);
}

/* A raw deflate stream; readers that keep a window of 4 KiB are served as well, since a cluster is
 * inflated in one go. */
static gsize
deflate_zlib (Qcow2Deflater *deflater, const void *in, gsize in_length, void *out, gsize out_length)
{
#ifdef HAVE_LIBDEFLATE
  return libdeflate_deflate_compress (deflater->is_thorough ? deflater->thorough
                                                            : deflater->libdeflate,
                                      in, in_length, out, out_length);
#elif defined HAVE_ZLIB
  if (deflateReset (&deflater->zlib) != Z_OK)
    return 0;
  deflater->zlib.next_in = (Bytef *)in;
  deflater->zlib.avail_in = (uInt)in_length;
  deflater->zlib.next_out = out;
  deflater->zlib.avail_out = (uInt)out_length;
  return deflate (&deflater->zlib, Z_FINISH) == Z_STREAM_END ? out_length - deflater->zlib.avail_out
                                                             : 0;
#else
  (void)deflater, (void)in, (void)in_length, (void)out, (void)out_length;
  return 0;
#endif
}

void
qcow2_deflater_choose (Qcow2Deflater *deflater, const void *sample, gsize length, void *scratch,
                       gsize scratch_length)
{
#ifdef HAVE_LIBDEFLATE
  if (deflater->thorough == NULL)
    return;
  gsize fast
      = libdeflate_deflate_compress (deflater->libdeflate, sample, length, scratch, scratch_length);
  gsize small
      = fast == 0 ? 0
                  : libdeflate_deflate_compress (deflater->thorough, sample, length, scratch, fast);
  deflater->is_thorough = small > 0 && small <= fast - fast / WORTH_IT;
#else
  (void)deflater, (void)sample, (void)length, (void)scratch, (void)scratch_length;
#endif
}

gsize
qcow2_deflate (Qcow2Deflater *deflater, const void *in, gsize in_length, void *out,
               gsize out_length)
{
#ifdef HAVE_ZSTD
  if (deflater->compression == IMG_COMPRESSION_ZSTD)
    {
      gsize made = ZSTD_compress2 (deflater->zstd, out, out_length, in, in_length);
      return ZSTD_isError (made) ? 0 : made;
    }
#endif
  return deflate_zlib (deflater, in, in_length, out, out_length);
}
