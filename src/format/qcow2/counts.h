/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Refcounts in memory, and sets of clusters: as much memory as is used, however long the file.
 *
 * A refcount takes as many bits as in the image, in chunks that exist once something in them is not
 * 0. Running out of memory is remembered, not fatal: whoever counts asks at the end. */
#pragma once

#include <glib.h>

#define QCOW2_COUNTS_CHUNK_BITS 11
#define QCOW2_COUNTS_CHUNK (1u << QCOW2_COUNTS_CHUNK_BITS)
#define QCOW2_SET_CHUNK 512

typedef struct
{
  guint order; /* log2 of the bits of a refcount */
  guint64 n;   /* clusters there are */
  guint64 max; /* the highest refcount */
  guint8 **chunks;
  gboolean is_short_of_memory;
} Qcow2Counts;

/* NULL if there is no memory for the index. */
Qcow2Counts *qcow2_counts_new (guint order, guint64 n);
void qcow2_counts_free (Qcow2Counts *counts);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Qcow2Counts, qcow2_counts_free)

guint64 qcow2_counts_get (const Qcow2Counts *counts, guint64 cluster);

/* Add @times; returns by how much that would go over what a refcount can be. */
guint64 qcow2_counts_add (Qcow2Counts *counts, guint64 cluster, guint64 times);

/* Add @times to each of @n clusters from @cluster on, which are all in one chunk; returns to how
 * many it could be added before one would go over. */
guint64 qcow2_counts_add_run (Qcow2Counts *counts, guint64 cluster, guint64 n, guint64 times);

/* One less, where it is not 0. */
void qcow2_counts_take_one (Qcow2Counts *counts, guint64 cluster);

/* The same as add() in few instructions; FALSE, and nothing is done, if it is not that simple. */
static inline gboolean
qcow2_counts_add_small (Qcow2Counts *counts, guint64 cluster, guint64 times)
{
  guint8 *chunk = counts->chunks[cluster >> QCOW2_COUNTS_CHUNK_BITS];
  if (counts->order != 4 || chunk == NULL)
    {
      guint64 before = qcow2_counts_get (counts, cluster);
      return times <= counts->max - before && qcow2_counts_add (counts, cluster, times) == 0;
    }
  guint16 *count = &((guint16 *)(gpointer)chunk)[cluster % QCOW2_COUNTS_CHUNK];
  if (times > (guint64)(G_MAXUINT16 - *count))
    return FALSE;
  *count = (guint16)(*count + times);
  return TRUE;
}

/* Whether all of the QCOW2_COUNTS_CHUNK clusters around @cluster are 0 without being looked at. */
static inline gboolean
qcow2_counts_chunk_is_empty (const Qcow2Counts *counts, guint64 cluster)
{
  return counts->chunks[cluster >> QCOW2_COUNTS_CHUNK_BITS] == NULL;
}

/* Refcount @index of a block as it is in the file. */
guint64 qcow2_refcount_load (const guint8 *block, guint order, guint64 index);
void qcow2_refcount_store (guint8 *block, guint order, guint64 index, guint64 value);

/* A set of numbers below @n. */
typedef struct
{
  guint64 n;
  guint64 **chunks;
  gboolean is_short_of_memory;
} Qcow2Set;

Qcow2Set *qcow2_set_new (guint64 n);
void qcow2_set_free (Qcow2Set *set);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Qcow2Set, qcow2_set_free)
void qcow2_set_add (Qcow2Set *set, guint64 i);

/* Make the chunk that @i begins be @words; those that are all alike take no memory. */
void qcow2_set_put_chunk (Qcow2Set *set, guint64 i, const guint64 words[QCOW2_SET_CHUNK / 64]);

/* Whether the chunk that @i is in has all of its numbers, or none. */
gboolean qcow2_set_chunk_is_full (const Qcow2Set *set, guint64 i);

static inline gboolean
qcow2_set_chunk_is_empty (const Qcow2Set *set, guint64 i)
{
  return i < set->n && set->chunks[i / QCOW2_SET_CHUNK] == NULL;
}

static inline gboolean
qcow2_set_has (const Qcow2Set *set, guint64 i)
{
  const guint64 *chunk = i < set->n ? set->chunks[i / QCOW2_SET_CHUNK] : NULL;
  return chunk != NULL && (chunk[i % QCOW2_SET_CHUNK / 64] >> i % 64 & 1) != 0;
}
