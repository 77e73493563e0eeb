/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/qcow2/inflate.h"

#ifdef HAVE_LIBDEFLATE
#include <libdeflate.h>
#endif
#ifdef HAVE_ZLIB
#include <zlib.h>
#endif
#ifdef HAVE_ZSTD
#include <zstd.h>
#endif

struct Qcow2Inflater
{
  Qcow2Compression compression;
#ifdef HAVE_LIBDEFLATE
  struct libdeflate_decompressor *libdeflate; /* owned */
#endif
#ifdef HAVE_ZSTD
  ZSTD_DCtx *zstd; /* owned */
#endif
};

gboolean
qcow2_compression_is_built_in (Qcow2Compression compression)
{
#ifndef HAVE_ZSTD
  if (compression == QCOW2_ZSTD)
    return FALSE;
#endif
#if !defined HAVE_ZLIB && !defined HAVE_LIBDEFLATE
  if (compression == QCOW2_ZLIB)
    return FALSE;
#endif
  return compression == QCOW2_ZLIB || compression == QCOW2_ZSTD;
}

Qcow2Inflater *
qcow2_inflater_new (Qcow2Compression compression, GError **error)
{
  if (!qcow2_compression_is_built_in (compression))
    return img_null_throw (error, IMG_ERROR_UNSUPPORTED,
                           "this program was built without %s, which a compressed cluster needs",
                           compression == QCOW2_ZSTD ? "zstd" : "zlib");
  Qcow2Inflater *inflater = g_new0 (Qcow2Inflater, 1);
  inflater->compression = compression;
#ifdef HAVE_LIBDEFLATE
  if (compression == QCOW2_ZLIB)
    inflater->libdeflate = libdeflate_alloc_decompressor ();
#endif
#ifdef HAVE_ZSTD
  if (compression == QCOW2_ZSTD)
    {
      inflater->zstd = ZSTD_createDCtx ();
      if (inflater->zstd == NULL)
        {
          g_free (inflater);
          return img_null_throw (error, IMG_ERROR_NO_MEMORY, "there is not enough memory for zstd");
        }
    }
#endif
  return inflater;
}

void
qcow2_inflater_free (Qcow2Inflater *inflater)
{
#ifdef HAVE_LIBDEFLATE
  if (inflater->libdeflate != NULL)
    libdeflate_free_decompressor (inflater->libdeflate);
#endif
#ifdef HAVE_ZSTD
  ZSTD_freeDCtx (inflater->zstd);
#endif
  g_free (inflater);
}

/* ---- deflate, without any header ---- */

#ifdef HAVE_ZLIB
/* zlib takes also streams without an end, and those that go on. */
static gsize
inflate_patiently (const void *in, gsize in_length, void *out, gsize out_length)
{
  z_stream stream = { .next_in = (Bytef *)in,
                      .avail_in = (uInt)in_length,
                      .next_out = out,
                      .avail_out = (uInt)out_length };
  if (inflateInit2 (&stream, -MAX_WBITS) != Z_OK)
    return 0;
  int status = inflate (&stream, Z_FINISH);
  gboolean is_full = stream.avail_out == 0;
  (void)inflateEnd (&stream);
  return is_full && (status == Z_STREAM_END || status == Z_BUF_ERROR || status == Z_OK)
             ? in_length - stream.avail_in
             : 0;
}
#endif

/* libdeflate is much faster; what it does not like is zlib's to decide. */
static gsize
inflate_deflate (Qcow2Inflater *inflater, const void *in, gsize in_length, void *out,
                 gsize out_length)
{
#ifdef HAVE_LIBDEFLATE
  size_t used, made;
  if (inflater->libdeflate != NULL
      && libdeflate_deflate_decompress_ex (inflater->libdeflate, in, in_length, out, out_length,
                                           &used, &made)
             == LIBDEFLATE_SUCCESS
      && made == out_length)
    return used;
#else
  (void)inflater;
#endif
#ifdef HAVE_ZLIB
  return inflate_patiently (in, in_length, out, out_length);
#else
  (void)in, (void)in_length, (void)out, (void)out_length;
  return 0;
#endif
}

/* ---- zstd ---- */

/* Frame by frame: a whole frame is decoded straight into @out, so that no window is kept and none,
 * however large it claims to be, costs memory. */
static gsize
inflate_zstd (Qcow2Inflater *inflater, const void *in, gsize in_length, void *out, gsize out_length)
{
#ifdef HAVE_ZSTD
  const guint8 *next = in;
  gsize done = 0;

  while (done < out_length)
    {
      gsize frame = ZSTD_findFrameCompressedSize (next, in_length);
      if (ZSTD_isError (frame) || frame == 0 || frame > in_length)
        return 0;
      gsize made = ZSTD_decompressDCtx (inflater->zstd, (guint8 *)out + done, out_length - done,
                                        next, frame);
      if (ZSTD_isError (made) || made > out_length - done)
        return 0;
      done += made;
      next += frame;
      in_length -= frame;
    }
  return (gsize)(next - (const guint8 *)in);
#else
  (void)inflater, (void)in, (void)in_length, (void)out, (void)out_length;
  return 0;
#endif
}

gsize
qcow2_inflate (Qcow2Inflater *inflater, const void *in, gsize in_length, void *out,
               gsize out_length)
{
  return inflater->compression == QCOW2_ZSTD
             ? inflate_zstd (inflater, in, in_length, out, out_length)
             : inflate_deflate (inflater, in, in_length, out, out_length);
}
