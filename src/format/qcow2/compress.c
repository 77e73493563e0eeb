/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/qcow2/compress.h"

#include <string.h>

#include "base/buffer.h"
#include "base/text.h"
#include "format/qcow2/inflate.h"

#define MAX_DECODERS 32

/* Compressed data may be as long as two clusters by its length in sectors. */
#define CLUSTERS_EACH 3

typedef struct
{
  gboolean is_busy;        /* under the mutex, and so is the next: */
  guint64 kept;            /* host offset of the cluster in @cluster; G_MAXUINT64: none */
  guint64 used;            /* when it was used last, in uses */
  Qcow2Inflater *inflater; /* owned, and so is what follows; NULL until it is needed */
  guint8 *compressed, *cluster;
} Decoder;

struct Qcow2Decoders
{
  Qcow2Compression compression;
  gsize cluster_size;
  ImgBudget *workspace; /* owned: one use; what decoders need is borrowed from it; or NULL */
  guint n;
  GMutex mutex;
  GCond freed;
  guint64 uses;
  Decoder decoders[MAX_DECODERS];
};

Qcow2Decoders *
qcow2_decoders_new (Qcow2Compression compression, gsize cluster_size, gsize budget,
                    ImgBudget *workspace)
{
  Qcow2Decoders *decoders = g_new0 (Qcow2Decoders, 1);
  decoders->compression = compression;
  decoders->cluster_size = cluster_size;
  decoders->n = (guint)CLAMP (budget / (CLUSTERS_EACH * cluster_size), 1, MAX_DECODERS);
  if (budget < CLUSTERS_EACH * cluster_size && workspace != NULL)
    {
      decoders->workspace = img_budget_ref (workspace);
      decoders->n = MAX_DECODERS;
    }
  for (guint i = 0; i < decoders->n; i++)
    decoders->decoders[i].kept = G_MAXUINT64;
  g_mutex_init (&decoders->mutex);
  g_cond_init (&decoders->freed);
  return decoders;
}

static void
forget (Decoder *decoder)
{
  g_clear_pointer (&decoder->inflater, qcow2_inflater_free);
  g_clear_pointer (&decoder->compressed, g_free);
  g_clear_pointer (&decoder->cluster, g_free);
}

void
qcow2_decoders_free (Qcow2Decoders *decoders)
{
  for (guint i = 0; i < decoders->n; i++)
    forget (&decoders->decoders[i]);
  g_clear_pointer (&decoders->workspace, img_budget_unref);
  g_mutex_clear (&decoders->mutex);
  g_cond_clear (&decoders->freed);
  g_free (decoders);
}

/* ---- whose turn it is ---- */

/* The decoder that has the cluster at @host_offset, or else the idle one used longest ago; NULL if
 * one must be waited for. Under the mutex. */
static Decoder *
choose (Qcow2Decoders *decoders, guint64 host_offset)
{
  Decoder *chosen = NULL;

  for (guint i = 0; i < decoders->n; i++)
    {
      Decoder *decoder = &decoders->decoders[i];
      if (decoder->kept == host_offset)
        return decoder->is_busy ? NULL : decoder;
      if (!decoder->is_busy && (chosen == NULL || decoder->used < chosen->used))
        chosen = decoder;
    }
  return chosen;
}

static Decoder *
claim (Qcow2Decoders *decoders, guint64 host_offset, gboolean *is_kept)
{
  Decoder *decoder;

  g_mutex_lock (&decoders->mutex);
  while ((decoder = choose (decoders, host_offset)) == NULL)
    g_cond_wait (&decoders->freed, &decoders->mutex);
  *is_kept = decoder->kept == host_offset;
  decoder->is_busy = TRUE;
  decoder->kept = host_offset; /* others wait for it rather than do it again */
  decoder->used = ++decoders->uses;
  g_mutex_unlock (&decoders->mutex);
  return decoder;
}

static void
release (Qcow2Decoders *decoders, Decoder *decoder, gboolean is_kept)
{
  g_mutex_lock (&decoders->mutex);
  decoder->is_busy = FALSE;
  if (!is_kept)
    decoder->kept = G_MAXUINT64;
  g_cond_broadcast (&decoders->freed);
  g_mutex_unlock (&decoders->mutex);
}

/* ---- decoding ---- */

static gboolean
decode_into (Qcow2Decoders *decoders, Decoder *decoder, const Qcow2Compressed *data, void *cluster,
             GError **error)
{
  if (decoder->inflater == NULL)
    {
      decoder->inflater = qcow2_inflater_new (decoders->compression, error);
      if (decoder->inflater == NULL)
        return FALSE;
    }
  if (decoder->compressed == NULL)
    decoder->compressed
        = img_buffer_alloc (2 * decoders->cluster_size, img_file_path (data->file), error);
  if (decoder->compressed == NULL)
    return FALSE;
  g_assert (data->length <= 2 * decoders->cluster_size);
  if (!img_file_read (data->file, data->host_offset, decoder->compressed, data->length, error))
    return FALSE;
  if (qcow2_inflate (decoder->inflater, decoder->compressed, data->length, cluster,
                     decoders->cluster_size)
      > 0)
    return TRUE;
  g_autofree char *safe = img_text_escape (img_file_path (data->file), -1);
  return img_throw (error, IMG_ERROR_FAILED,
                    "'%s' is damaged: the compressed data of guest offset %" G_GUINT64_FORMAT
                    " at its offset %" G_GUINT64_FORMAT " cannot be decompressed",
                    safe, data->guest_offset, data->host_offset);
}

static gboolean
decode_part (Qcow2Decoders *decoders, Decoder *decoder, const Qcow2Compressed *data, gsize at,
             void *buffer, gsize length, gboolean *is_kept, GError **error)
{
  /* All of it needs no copy, and nobody is going to ask again. */
  if (length == decoders->cluster_size && !*is_kept)
    return decode_into (decoders, decoder, data, buffer, error);
  if (!*is_kept)
    {
      if (decoder->cluster == NULL)
        decoder->cluster
            = img_buffer_alloc (decoders->cluster_size, img_file_path (data->file), error);
      if (decoder->cluster == NULL
          || !decode_into (decoders, decoder, data, decoder->cluster, error))
        return FALSE;
      *is_kept = TRUE;
    }
  memcpy (buffer, decoder->cluster + at, length);
  return TRUE;
}

gboolean
qcow2_decode (Qcow2Decoders *decoders, const Qcow2Compressed *data, gsize at, void *buffer,
              gsize length, GError **error)
{
  gboolean is_kept;

  g_assert (at <= decoders->cluster_size && length <= decoders->cluster_size - at);
  Decoder *decoder = claim (decoders, data->host_offset, &is_kept);
  if (decoders->workspace != NULL)
    img_budget_take (decoders->workspace, CLUSTERS_EACH * decoders->cluster_size);
  gboolean is_good = decode_part (decoders, decoder, data, at, buffer, length, &is_kept, error);
  if (decoders->workspace != NULL)
    {
      is_kept = FALSE;
      forget (decoder);
      img_budget_give (decoders->workspace, CLUSTERS_EACH * decoders->cluster_size);
    }
  release (decoders, decoder, is_kept);
  return is_good;
}
