/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/qcow2/counts.h"

#include <string.h>

#include "base/bytes.h"

/* ---- refcounts as they are in the file ---- */

guint64
qcow2_refcount_load (const guint8 *block, guint order, guint64 index)
{
  guint bits = 1u << order;

  switch (order)
    {
    case 3:
      return block[index];
    case 4:
      return img_load_be16 (block + index * 2);
    case 5:
      return img_load_be32 (block + index * 4);
    case 6:
      return img_load_be64 (block + index * 8);
    default:
      return (guint)block[index * bits / 8] >> index * bits % 8 & ((1u << bits) - 1);
    }
}

void
qcow2_refcount_store (guint8 *block, guint order, guint64 index, guint64 value)
{
  guint bits = 1u << order;

  if (order >= 3)
    {
      for (guint i = 0; i < bits / 8; i++)
        block[index * (bits / 8) + i] = (guint8)(value >> (bits - 8 - 8 * i));
      return;
    }
  guint shift = (guint)(index * bits % 8), mask = (1u << bits) - 1;
  guint8 *byte = &block[index * bits / 8];
  *byte = (guint8)((*byte & ~(mask << shift)) | (guint)value << shift);
}

/* ---- in memory: the same, in the byte order of the machine ---- */

static gsize
chunk_bytes (const Qcow2Counts *counts)
{
  return (gsize)QCOW2_COUNTS_CHUNK * (1u << counts->order) / 8;
}

Qcow2Counts *
qcow2_counts_new (guint order, guint64 n)
{
  guint8 **chunks = g_try_new0 (guint8 *, n / QCOW2_COUNTS_CHUNK + 1);
  if (chunks == NULL)
    return NULL;
  Qcow2Counts *counts = g_new0 (Qcow2Counts, 1);
  counts->order = order;
  counts->n = n;
  counts->max = order == 6 ? G_MAXUINT64 : (G_GUINT64_CONSTANT (1) << (1u << order)) - 1;
  counts->chunks = chunks;
  return counts;
}

void
qcow2_counts_free (Qcow2Counts *counts)
{
  for (guint64 i = 0; i <= counts->n / QCOW2_COUNTS_CHUNK; i++)
    g_free (counts->chunks[i]);
  g_free (counts->chunks);
  g_free (counts);
}

static guint64
get_in_chunk (const guint8 *chunk, guint order, guint index)
{
  switch (order)
    {
    case 4:
      return ((const guint16 *)(gconstpointer)chunk)[index];
    case 5:
      return ((const guint32 *)(gconstpointer)chunk)[index];
    case 6:
      return ((const guint64 *)(gconstpointer)chunk)[index];
    default:
      return qcow2_refcount_load (chunk, order, index);
    }
}

static void
set_in_chunk (guint8 *chunk, guint order, guint index, guint64 value)
{
  switch (order)
    {
    case 4:
      ((guint16 *)(gpointer)chunk)[index] = (guint16)value;
      return;
    case 5:
      ((guint32 *)(gpointer)chunk)[index] = (guint32)value;
      return;
    case 6:
      ((guint64 *)(gpointer)chunk)[index] = value;
      return;
    default:
      qcow2_refcount_store (chunk, order, index, value);
    }
}

guint64
qcow2_counts_get (const Qcow2Counts *counts, guint64 cluster)
{
  const guint8 *chunk
      = cluster < counts->n ? counts->chunks[cluster >> QCOW2_COUNTS_CHUNK_BITS] : NULL;
  return chunk == NULL ? 0 : get_in_chunk (chunk, counts->order, cluster % QCOW2_COUNTS_CHUNK);
}

guint64
qcow2_counts_add (Qcow2Counts *counts, guint64 cluster, guint64 times)
{
  guint8 **chunk = &counts->chunks[cluster >> QCOW2_COUNTS_CHUNK_BITS];
  guint index = cluster % QCOW2_COUNTS_CHUNK;

  g_assert (cluster < counts->n);
  if (*chunk == NULL)
    *chunk = g_try_malloc0 (chunk_bytes (counts));
  if (*chunk == NULL)
    {
      counts->is_short_of_memory = TRUE;
      return 0;
    }
  guint64 before = get_in_chunk (*chunk, counts->order, index);
  guint64 more = MIN (times, counts->max - before);
  set_in_chunk (*chunk, counts->order, index, before + more);
  return times - more;
}

guint64
qcow2_counts_add_run (Qcow2Counts *counts, guint64 cluster, guint64 n, guint64 times)
{
  guint64 i;

  if (n == 0 || !qcow2_counts_add_small (counts, cluster, times))
    return 0;
  if (counts->order != 4 || counts->chunks[cluster >> QCOW2_COUNTS_CHUNK_BITS] == NULL)
    return 1;
  guint16 *at = (guint16 *)(gpointer)counts->chunks[cluster >> QCOW2_COUNTS_CHUNK_BITS]
                + cluster % QCOW2_COUNTS_CHUNK;
  for (i = 1; i < n && times <= (guint64)(G_MAXUINT16 - at[i]); i++)
    at[i] = (guint16)(at[i] + times);
  return i;
}

void
qcow2_counts_take_one (Qcow2Counts *counts, guint64 cluster)
{
  guint64 count = qcow2_counts_get (counts, cluster);
  if (count > 0)
    set_in_chunk (counts->chunks[cluster >> QCOW2_COUNTS_CHUNK_BITS], counts->order,
                  cluster % QCOW2_COUNTS_CHUNK, count - 1);
}

/* ---- sets ---- */

#define WORDS (QCOW2_SET_CHUNK / 64)

static const guint64 full_chunk[WORDS] = { G_MAXUINT64, G_MAXUINT64, G_MAXUINT64, G_MAXUINT64,
                                           G_MAXUINT64, G_MAXUINT64, G_MAXUINT64, G_MAXUINT64 };
static const guint64 empty_chunk[WORDS];

Qcow2Set *
qcow2_set_new (guint64 n)
{
  guint64 **chunks = g_try_new0 (guint64 *, n / QCOW2_SET_CHUNK + 1);
  if (chunks == NULL)
    return NULL;
  Qcow2Set *set = g_new0 (Qcow2Set, 1);
  set->n = n;
  set->chunks = chunks;
  return set;
}

void
qcow2_set_free (Qcow2Set *set)
{
  for (guint64 i = 0; i <= set->n / QCOW2_SET_CHUNK; i++)
    if (set->chunks[i] != full_chunk)
      g_free (set->chunks[i]);
  g_free (set->chunks);
  g_free (set);
}

gboolean
qcow2_set_chunk_is_full (const Qcow2Set *set, guint64 i)
{
  return i < set->n && set->chunks[i / QCOW2_SET_CHUNK] == full_chunk;
}

void
qcow2_set_put_chunk (Qcow2Set *set, guint64 i, const guint64 words[WORDS])
{
  guint64 **chunk = &set->chunks[i / QCOW2_SET_CHUNK];

  g_assert (*chunk == NULL);
  if (memcmp (words, empty_chunk, sizeof empty_chunk) == 0)
    return;
  if (memcmp (words, full_chunk, sizeof full_chunk) == 0)
    {
      *chunk = (guint64 *)full_chunk; /* never written to: add() does not come here any more */
      return;
    }
  *chunk = g_try_new (guint64, WORDS);
  if (*chunk == NULL)
    set->is_short_of_memory = TRUE;
  else
    memcpy (*chunk, words, sizeof full_chunk);
}

void
qcow2_set_add (Qcow2Set *set, guint64 i)
{
  if (i >= set->n || qcow2_set_has (set, i))
    return;
  guint64 **chunk = &set->chunks[i / QCOW2_SET_CHUNK];
  if (*chunk == NULL)
    *chunk = g_try_new0 (guint64, WORDS);
  if (*chunk == NULL)
    set->is_short_of_memory = TRUE;
  else
    (*chunk)[i % QCOW2_SET_CHUNK / 64] |= G_GUINT64_CONSTANT (1) << i % 64;
}
