/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* L1 and L2 tables, of the disk as it is and of its snapshots. */
#include "base/bytes.h"
#include "base/text.h"
#include "format/qcow2/check.h"

/* So many references are sorted and made one for each table before there are more. */
#define FEW_TABLES 65536
#define SUBCLUSTERS G_GUINT64_CONSTANT (0xffffffff)

static guint
l2_bits (const Qcow2Check *check)
{
  return 2 * check->q->cluster_bits - (check->has_subclusters ? 4 : 3);
}

/* ---- references to L2 tables ---- */

static int
by_place (gconstpointer a, gconstpointer b)
{
  const Qcow2TableRef *x = a, *y = b;
  if (x->host_offset != y->host_offset)
    return x->host_offset < y->host_offset ? -1 : 1;
  /* The disk as it is first, so that it is named. */
  return (x->n_active == 0) - (y->n_active == 0);
}

static guint32
add_up (guint32 a, guint32 b)
{
  return a > G_MAXUINT32 - b ? G_MAXUINT32 : a + b;
}

/* One reference for each table, in the order of the file. */
static void
sort_tables (Qcow2Check *check)
{
  GArray *tables = check->tables;
  guint n = 0;

  g_array_sort (tables, by_place);
  for (guint i = 0; i < tables->len; i++)
    {
      Qcow2TableRef *from = &g_array_index (tables, Qcow2TableRef, i);
      Qcow2TableRef *last = n > 0 ? &g_array_index (tables, Qcow2TableRef, n - 1) : NULL;
      if (last == NULL || last->host_offset != from->host_offset)
        {
          g_array_index (tables, Qcow2TableRef, n++) = *from;
          continue;
        }
      last->n_active = add_up (last->n_active, from->n_active);
      last->n_inactive = add_up (last->n_inactive, from->n_inactive);
    }
  g_array_set_size (tables, n);
  check->n_tables_max = MAX (FEW_TABLES, 2 * (guint64)n);
}

static void
add_table (Qcow2Check *check, const Qcow2TableRef *ref)
{
  if (ref->host_offset >= check->file_size)
    return; /* reads as zeros */
  g_array_append_val (check->tables, *ref);
  if (check->tables->len >= check->n_tables_max)
    sort_tables (check);
}

/* ---- L1 ---- */

static void
place_in_guest (const Qcow2Check *check, ImgFindingPlace *place, guint64 guest_offset,
                guint64 length)
{
  guint64 size = check->q->size;
  place->guest_offset = guest_offset;
  place->guest_length = guest_offset < size ? MIN (length, size - guest_offset) : 0;
}

/* Whether @entry says as much about the number of users as the refcount of the cluster. */
static gboolean
check_copied (Qcow2Check *check, const char *what, guint64 l1_index, guint64 entry, guint64 times,
              const ImgFindingPlace *place, GError **error)
{
  guint64 cluster = (entry & QCOW2_OFFSET_MASK) >> check->q->cluster_bits;
  gboolean is_copied = (entry & QCOW2_COPIED) != 0;
  guint64 refcount = 1;

  if (!check->has_data_file || l1_index != G_MAXUINT64)
    {
      if (qcow2_check_is_unknown (check, cluster))
        return TRUE;
      if (!qcow2_check_load_refcount (check, cluster, &refcount, error))
        return FALSE;
    }
  if ((refcount == 1) == is_copied)
    return TRUE;
  if (l1_index != G_MAXUINT64)
    img_check_note (check->result, IMG_FINDING_COPIED, times, place,
                    " OFLAG_COPIED %s cluster: l1_index=%" G_GUINT64_FORMAT
                    " l1_entry=%" G_GINT64_MODIFIER "x refcount=%" G_GUINT64_FORMAT,
                    what, l1_index, entry, refcount);
  else
    img_check_note (check->result, IMG_FINDING_COPIED, times, place,
                    " OFLAG_COPIED %s cluster: l2_entry=%" G_GINT64_MODIFIER
                    "x refcount=%" G_GUINT64_FORMAT,
                    what, entry, refcount);
  return TRUE;
}

/* An entry of an L1 table that @times tables have. */
static void
take_l1_entry (Qcow2Check *check, guint64 entry, guint64 index, guint64 times, gboolean is_active,
               ImgFindingPlace *place, guint32 snapshot)
{
  const Qcow2 *q = check->q;
  guint32 n = (guint32)MIN (times, G_MAXUINT32);
  Qcow2TableRef ref = { .host_offset = entry & QCOW2_OFFSET_MASK,
                        .guest_offset = index << l2_bits (check),
                        .n_active = is_active ? n : 0,
                        .n_inactive = is_active ? 0 : n,
                        .snapshot = snapshot };

  place_in_guest (check, place, ref.guest_offset, G_GUINT64_CONSTANT (1) << l2_bits (check));
  if (entry & QCOW2_L1_RESERVED)
    img_check_note (check->result, IMG_FINDING_ENTRY, times, place,
                    " found L1 entry with reserved bits set: %" G_GINT64_MODIFIER "x", entry);
  if (ref.host_offset == 0 || (ref.host_offset & (q->cluster_size - 1)) != 0)
    qcow2_check_refer (check, ref.host_offset, q->cluster_size, times, place);
  else
    qcow2_check_refer_metadata (check, "L2 table", ref.host_offset, q->cluster_size, times, place);
  add_table (check, &ref);
  if ((ref.host_offset & (q->cluster_size - 1)) == 0)
    return;
  check->n_lost++;
  img_check_note (check->result, IMG_FINDING_ENTRY, times, place,
                  " l2_offset=%" G_GINT64_MODIFIER
                  "x: Table is not cluster aligned; L1 entry corrupted",
                  ref.host_offset);
}

static gboolean
take_active_l1 (Qcow2Check *check, GError **error)
{
  const Qcow2 *q = check->q;
  guint64 bytes = (guint64)q->l1_entries * 8;

  qcow2_check_refer_metadata (check, "L1 table", q->l1_offset, bytes, 1, NULL);
  for (guint64 i = 0; i < q->l1_entries; i++)
    {
      ImgFindingPlace place = { .host_offset = q->l1_offset + i * 8 };
      const guint8 *at = qcow2_check_get (check, place.host_offset, 8, bytes - i * 8, error);
      if (at == NULL)
        return FALSE;
      guint64 entry = img_load_be64 (at);
      if (entry == 0)
        continue;
      take_l1_entry (check, entry, i, 1, TRUE, &place, 0);
      if ((entry & QCOW2_OFFSET_MASK) != 0
          && !check_copied (check, "L2", i, entry, 1, &place, error))
        return FALSE;
    }
  return TRUE;
}

/* ---- L1 tables of snapshots, which may lie in each other ---- */

/* Where a table begins or ends. */
typedef struct
{
  guint64 at;
  gint step;
  guint32 snapshot;
} Edge;

static int
by_edge (gconstpointer a, gconstpointer b)
{
  const Edge *x = a, *y = b;
  return x->at < y->at ? -1 : x->at > y->at;
}

static void
add_edges (GArray *edges, guint64 begin, guint64 end, guint32 snapshot)
{
  Edge first = { begin, 1, snapshot }, last = { end, -1, snapshot };
  g_array_append_val (edges, first);
  g_array_append_val (edges, last);
}

/* @n_tables tables have the bytes from @begin to @end in common; the last that began is that of
 * @snapshot. */
static gboolean
take_stretch (Qcow2Check *check, guint64 begin, guint64 end, guint64 n_tables, guint32 number,
              GError **error)
{
  g_assert (check->snapshots != NULL);
  const Qcow2Snapshot *snapshot = check->snapshots->pdata[number];
  guint64 stop = MIN (end, check->file_size);

  for (guint64 at = begin; at + 8 <= stop; at += 8)
    {
      ImgFindingPlace place = { .host_offset = at, .snapshot = snapshot->shown.name };
      const guint8 *bytes = qcow2_check_get (check, at, 8, stop - at, error);
      if (bytes == NULL)
        return FALSE;
      guint64 entry = img_load_be64 (bytes);
      if (entry != 0)
        take_l1_entry (check, entry, (at - snapshot->l1_offset) / 8, n_tables, FALSE, &place,
                       number);
    }
  return TRUE;
}

static gboolean
take_edges (Qcow2Check *check, GArray *edges, GError **error)
{
  guint64 n_tables = 0;
  guint32 snapshot = 0;

  g_array_sort (edges, by_edge);
  for (guint i = 0; i < edges->len; i++)
    {
      const Edge *edge = &g_array_index (edges, Edge, i);
      guint64 end = i + 1 < edges->len ? edge[1].at : edge->at;
      if (edge->step > 0)
        snapshot = edge->snapshot;
      n_tables = edge->step > 0 ? n_tables + 1 : n_tables - 1;
      if (n_tables > 0 && end > edge->at
          && !take_stretch (check, edge->at, end, n_tables, snapshot, error))
        return FALSE;
    }
  return TRUE;
}

/* Whether there is no telling where the L1 table of @snapshot is. */
static gboolean
snapshot_is_bad (Qcow2Check *check, const Qcow2Snapshot *snapshot)
{
  const Qcow2 *q = check->q;
  ImgFindingPlace place = { .host_offset = q->snapshots_offset, .snapshot = snapshot->shown.name };
  g_autofree char *id = img_text_escape (snapshot->shown.id, -1);
  g_autofree char *name = img_text_escape (snapshot->shown.name, -1);

  if ((snapshot->l1_offset & (q->cluster_size - 1)) != 0)
    img_check_note (check->result, IMG_FINDING_SNAPSHOT, 1, &place,
                    " snapshot %s (%s) l1_offset=0x%" G_GINT64_MODIFIER
                    "x: L1 table is not cluster aligned; snapshot table entry corrupted",
                    id, name, snapshot->l1_offset);
  else if (snapshot->l1_entries > QCOW2_MAX_L1_BYTES / 8)
    img_check_note (check->result, IMG_FINDING_SNAPSHOT, 1, &place,
                    " snapshot %s (%s) l1_size=0x%x: L1 table is too large; snapshot table entry "
                    "corrupted",
                    id, name, snapshot->l1_entries);
  else
    return FALSE;
  check->n_lost++;
  return TRUE;
}

/* What the rest of a short table led to is not known: it may be what nobody seems to use. */
static void
note_short (Qcow2Check *check, const Qcow2Snapshot *snapshot)
{
  ImgFindingPlace place
      = { .host_offset = check->q->snapshots_offset, .snapshot = snapshot->shown.name };
  g_autofree char *id = img_text_escape (snapshot->shown.id, -1);
  g_autofree char *name = img_text_escape (snapshot->shown.name, -1);

  check->n_lost++;
  img_check_note (check->result, IMG_FINDING_SNAPSHOT, 1, &place,
                  " snapshot %s (%s) l1_size=0x%x: L1 table is too small for %" G_GUINT64_FORMAT
                  " bytes; snapshot table entry corrupted, and no cluster it may need is freed",
                  id, name, snapshot->l1_entries, snapshot->shown.disk_size);
}

/* @n_tables L1 tables have those clusters. */
static void
refer_stretch (Qcow2Check *check, guint64 begin, guint64 end, guint64 n_tables)
{
  guint bits = check->q->cluster_bits;
  qcow2_check_refer_metadata (check, "L1 table", begin << bits,
                              MIN (end << bits, check->file_size) - (begin << bits), n_tables,
                              NULL);
}

static void
refer_edges (Qcow2Check *check, GArray *edges)
{
  guint64 n_tables = 0;

  g_array_sort (edges, by_edge);
  for (guint i = 0; i + 1 < edges->len; i++)
    {
      const Edge *edge = &g_array_index (edges, Edge, i);
      n_tables = edge->step > 0 ? n_tables + 1 : n_tables - 1;
      if (n_tables > 0 && edge[1].at > edge->at
          && edge->at << check->q->cluster_bits < check->file_size)
        refer_stretch (check, edge->at, edge[1].at, n_tables);
    }
}

/* Note where the L1 table of a snapshot is: in bytes, and in whole clusters. */
static void
add_snapshot (Qcow2Check *check, guint32 number, GArray *bytes, GArray *clusters)
{
  const Qcow2Snapshot *snapshot = check->snapshots->pdata[number];
  guint64 length = (guint64)snapshot->l1_entries * 8, end = snapshot->l1_offset + length;
  ImgFindingPlace place = { .host_offset = snapshot->l1_offset, .snapshot = snapshot->shown.name };
  guint bits = check->q->cluster_bits;

  if (snapshot_is_bad (check, snapshot))
    return;
  if (!qcow2_snapshot_has_l1 (check->q, snapshot))
    note_short (check, snapshot);
  if (length == 0)
    return;
  if (end < snapshot->l1_offset || end >= check->file_size + check->q->cluster_size)
    qcow2_check_refer (check, snapshot->l1_offset, length, 1, &place);
  else
    add_edges (clusters, snapshot->l1_offset >> bits, ((end - 1) >> bits) + 1, number);
  qcow2_check_note_cut (check, "L1 table of a snapshot", snapshot->l1_offset, length, 1, &place);
  if (end > snapshot->l1_offset && snapshot->l1_offset < check->file_size)
    add_edges (bytes, snapshot->l1_offset, end, number);
}

gboolean
qcow2_check_l1_tables (Qcow2Check *check, GError **error)
{
  g_autoptr (GArray) bytes = g_array_new (FALSE, FALSE, sizeof (Edge));
  g_autoptr (GArray) clusters = g_array_new (FALSE, FALSE, sizeof (Edge));

  check->n_tables_max = FEW_TABLES;
  if (!take_active_l1 (check, error))
    return FALSE;
  for (guint32 i = 0; check->snapshots != NULL && i < check->snapshots->len; i++)
    add_snapshot (check, i, bytes, clusters);
  refer_edges (check, clusters);
  if (!take_edges (check, bytes, error))
    return FALSE;
  sort_tables (check);
  check->total += (guint64)check->tables->len * check->q->cluster_size;
  return TRUE;
}

/* ---- L2 ---- */

/* One table that is being looked at. */
typedef struct
{
  Qcow2Check *check;
  const Qcow2TableRef *ref;
  guint64 times;
  guint64 disk_size; /* bytes */
  guint64 next;      /* where the next cluster is, if the file is not fragmented; 0: not known */
  ImgFindingPlace place;
} Walk;

static void
place_entry (Walk *walk, guint64 index)
{
  const Qcow2Check *check = walk->check;
  const Qcow2TableRef *ref = walk->ref;
  const Qcow2Snapshot *snapshot = ref->n_active > 0 ? NULL : check->snapshots->pdata[ref->snapshot];

  walk->place.host_offset = ref->host_offset + index * check->entry_bytes;
  walk->place.snapshot = snapshot == NULL ? NULL : snapshot->shown.name;
  place_in_guest (check, &walk->place, ref->guest_offset + (index << check->q->cluster_bits),
                  check->q->cluster_size);
}

static void
take_compressed (Walk *walk, guint64 index, guint64 entry, guint64 bitmap)
{
  Qcow2Check *check = walk->check;
  const Qcow2 *q = check->q;
  guint length_bits = q->cluster_bits - 8, offset_bits = 62 - length_bits;
  guint64 offset_mask = (G_GUINT64_CONSTANT (1) << offset_bits) - 1;
  guint64 sectors = (entry >> offset_bits & ((G_GUINT64_CONSTANT (1) << length_bits) - 1)) + 1;
  guint64 offset = entry & offset_mask;

  place_entry (walk, index);
  if (entry & QCOW2_COPIED)
    img_check_note (check->result, IMG_FINDING_ENTRY, walk->times, &walk->place,
                    ": coffset=0x%" G_GINT64_MODIFIER
                    "x: copied flag must never be set for compressed clusters",
                    offset);
  entry &= ~QCOW2_COPIED;
  if (check->has_data_file)
    {
      img_check_note (check->result, IMG_FINDING_ENTRY, walk->times, &walk->place,
                      " compressed cluster %" G_GUINT64_FORMAT
                      " with data file, entry=0x%" G_GINT64_MODIFIER "x",
                      index, entry);
      return;
    }
  if (bitmap != 0)
    {
      check->n_lost++;
      img_check_note (check->result, IMG_FINDING_ENTRY, walk->times, &walk->place,
                      " compressed cluster %" G_GUINT64_FORMAT
                      " with non-zero subcluster allocation bitmap, entry=0x%" G_GINT64_MODIFIER
                      "x",
                      index, entry);
      return;
    }
  guint64 length = sectors * 512 - offset % 512;
  qcow2_check_refer (check, offset, length, walk->times, &walk->place);
  if (qcow2_stream_is_cut (offset, length, check->file_size))
    qcow2_check_note_cut_data (check, offset, length, walk->times, &walk->place);
  check->result->allocated_clusters += walk->ref->n_active;
  check->result->compressed_clusters += walk->ref->n_active;
  check->result->fragmented_clusters += walk->ref->n_active;
}

/* The same where nothing is wrong and the data is in one cluster or two; FALSE: look closely. */
static gboolean
take_plain_compressed (Walk *walk, guint64 entry)
{
  Qcow2Check *check = walk->check;
  const Qcow2 *q = check->q;
  guint length_bits = q->cluster_bits - 8, offset_bits = 62 - length_bits;
  guint64 sectors = (entry >> offset_bits & ((G_GUINT64_CONSTANT (1) << length_bits) - 1)) + 1;
  guint64 offset = entry & ((G_GUINT64_CONSTANT (1) << offset_bits) - 1);
  guint64 end = offset + sectors * 512 - offset % 512;
  guint64 first = offset >> q->cluster_bits, last = (end - 1) >> q->cluster_bits;

  if ((entry & QCOW2_COPIED) != 0 || check->has_data_file || end > check->file_size
      || last > first + 1
      || walk->times > check->counts->max - qcow2_counts_get (check->counts, last)
      || !qcow2_counts_add_small (check->counts, first, walk->times)
      || (last > first && !qcow2_counts_add_small (check->counts, last, walk->times)))
    return FALSE;
  check->result->allocated_clusters += walk->ref->n_active;
  check->result->compressed_clusters += walk->ref->n_active;
  check->result->fragmented_clusters += walk->ref->n_active;
  return TRUE;
}

/* What is wrong with an entry that points to a cluster. */
static void
judge_standard (Walk *walk, guint64 index, guint64 entry, guint64 bitmap)
{
  Qcow2Check *check = walk->check;
  guint64 offset = entry & QCOW2_OFFSET_MASK;
  guint64 guest_offset = walk->ref->guest_offset + (index << check->q->cluster_bits);
  gboolean has_data
      = check->has_subclusters ? (bitmap & SUBCLUSTERS) != 0 : !(entry & QCOW2_READS_AS_ZERO);

  if ((bitmap >> 32 & bitmap) != 0)
    img_check_note (check->result, IMG_FINDING_ENTRY, walk->times, &walk->place,
                    " offset=%" G_GINT64_MODIFIER
                    "x: Allocated cluster has corrupted subcluster allocation bitmap",
                    offset);
  if ((offset & (check->q->cluster_size - 1)) == 0)
    {
      if (check->has_data_file && offset != guest_offset)
        img_check_note (check->result, IMG_FINDING_ENTRY, walk->times, &walk->place,
                        " offset=%" G_GINT64_MODIFIER
                        "x: in a data file it has to be as on the disk, at %" G_GINT64_MODIFIER "x",
                        offset, guest_offset);
      return;
    }
  check->n_lost += has_data ? 1 : 0;
  img_check_note (check->result, IMG_FINDING_ENTRY, walk->times, &walk->place,
                  has_data ? " offset=%" G_GINT64_MODIFIER
                             "x: Data cluster is not properly aligned; L2 entry corrupted."
                           : " offset=%" G_GINT64_MODIFIER
                             "x: Preallocated cluster is not properly aligned; L2 entry corrupted.",
                  offset);
}

static gboolean
take_standard (Walk *walk, guint64 index, guint64 entry, guint64 bitmap, GError **error)
{
  Qcow2Check *check = walk->check;
  const Qcow2 *q = check->q;
  guint64 offset = entry & QCOW2_OFFSET_MASK;
  gboolean is_zero = !check->has_subclusters && (entry & QCOW2_READS_AS_ZERO) != 0;

  place_entry (walk, index);
  if (entry & qcow2_check_l2_reserved (check))
    img_check_note (check->result, IMG_FINDING_ENTRY, walk->times, &walk->place,
                    " found l2 entry with reserved bits set: %" G_GINT64_MODIFIER "x", entry);
  if (is_zero && q->version < 3)
    img_check_note (
        check->result, IMG_FINDING_ENTRY, walk->times, &walk->place,
        ": zero flag in an image of version 2, which has none: l2_entry=%" G_GINT64_MODIFIER "x",
        entry);
  if (offset == 0 && (is_zero || !check->has_data_file || !(entry & QCOW2_COPIED)))
    {
      if (!is_zero && (bitmap & SUBCLUSTERS) != 0)
        img_check_note (check->result, IMG_FINDING_ENTRY, walk->times, &walk->place,
                        ": Unallocated cluster has non-zero subcluster allocation map");
      return TRUE;
    }
  judge_standard (walk, index, entry, bitmap);
  if (walk->ref->n_active > 0)
    {
      check->result->allocated_clusters += walk->ref->n_active;
      if (walk->next != 0 && offset != walk->next)
        check->result->fragmented_clusters += walk->ref->n_active;
      walk->next = offset + q->cluster_size;
    }
  if (!check->has_data_file)
    {
      if (qcow2_set_has (check->metadata, offset >> q->cluster_bits))
        qcow2_check_add_overlap (check, offset >> q->cluster_bits, walk->times, &walk->place);
      qcow2_check_refer (check, offset, q->cluster_size, walk->times, &walk->place);
      if (offset < check->file_size && qcow2_check_has_content (check, entry, offset))
        qcow2_check_note_cut_data (
            check, offset,
            qcow2_check_needed (check, bitmap, walk->ref->guest_offset + (index << q->cluster_bits),
                                walk->disk_size),
            walk->times, &walk->place);
    }
  /* QEMU does not look for the flag in what an L1 entry without an offset leads to. */
  return walk->ref->n_active == 0 || walk->ref->host_offset == 0
         || check_copied (check, "data", G_MAXUINT64, entry, walk->ref->n_active, &walk->place,
                          error);
}

/* The common case, in which nothing is wrong; FALSE: look closely. */
static inline gboolean
take_plain (Walk *walk, guint64 entry)
{
  Qcow2Check *check = walk->check;
  const Qcow2 *q = check->q;
  guint64 offset = entry & ~QCOW2_COPIED, cluster = offset >> q->cluster_bits;
  guint32 n_active = walk->ref->n_active;

  if ((offset & (QCOW2_COMPRESSED | QCOW2_L2_RESERVED | (q->cluster_size - 1))) != 0 || offset == 0
      || cluster >= check->n_whole || check->has_data_file
      || qcow2_set_has (check->metadata, cluster)
      || (n_active > 0 && qcow2_set_has (check->single, cluster) != ((entry & QCOW2_COPIED) != 0))
      || !qcow2_counts_add_small (check->counts, cluster, walk->times))
    return FALSE;
  if (n_active == 0)
    return TRUE;
  check->result->allocated_clusters += n_active;
  if (walk->next != 0 && offset != walk->next)
    check->result->fragmented_clusters += n_active;
  walk->next = offset + q->cluster_size;
  return TRUE;
}

/* A run of entries for clusters that lie one behind the other, have one user each and are no
 * metadata: what an image that was written in order is full of. Returns how many of the @n entries
 * at @bytes it is, at most to the end of a chunk. */
static guint64
take_run (Walk *walk, const guint8 *bytes, guint64 n)
{
  Qcow2Check *check = walk->check;
  const Qcow2 *q = check->q;
  guint64 entry = img_load_be64 (bytes), offset = entry & ~QCOW2_COPIED;
  guint64 cluster = offset >> q->cluster_bits, i;

  if ((entry & QCOW2_COPIED) == 0 || (offset & (q->cluster_size - 1)) != 0
      || cluster >= check->n_whole || !qcow2_set_chunk_is_full (check->single, cluster)
      || !qcow2_set_chunk_is_empty (check->metadata, cluster))
    return 0;
  n = MIN (n, QCOW2_SET_CHUNK - cluster % QCOW2_SET_CHUNK);
  n = MIN (n, check->n_whole - cluster);
  for (i = 0; i < n; i++, entry += q->cluster_size)
    if (img_load_be64 (bytes + i * 8) != entry)
      break;
  i = qcow2_counts_add_run (check->counts, cluster, i, walk->times);
  if (i == 0 || walk->ref->n_active == 0)
    return i;
  check->result->allocated_clusters += i * walk->ref->n_active;
  if (walk->next != 0 && offset != walk->next)
    check->result->fragmented_clusters += walk->ref->n_active;
  walk->next = offset + (i << q->cluster_bits);
  return i;
}

static gboolean
take_table (Qcow2Check *check, const Qcow2TableRef *ref, const guint8 *bytes, GError **error)
{
  Walk walk = { .check = check,
                .ref = ref,
                .times = (guint64)ref->n_active + ref->n_inactive,
                .disk_size = qcow2_check_disk_size (check, ref) };
  guint64 n = check->q->cluster_size / check->entry_bytes;
  gboolean has_runs = !check->has_subclusters && !check->has_data_file;

  for (guint64 i = 0; i < n; i++)
    {
      guint64 length = has_runs ? take_run (&walk, bytes + i * 8, n - i) : 0;
      if (length > 0)
        {
          i += length - 1;
          continue;
        }
      const guint8 *at = bytes + i * check->entry_bytes;
      guint64 entry = img_load_be64 (at);
      guint64 bitmap = check->has_subclusters ? img_load_be64 (at + 8) : 0;
      if ((entry == 0 && bitmap == 0) || (bitmap >> 32 == 0 && take_plain (&walk, entry)))
        continue;
      if (entry & QCOW2_COMPRESSED)
        {
          if (bitmap != 0 || !take_plain_compressed (&walk, entry))
            take_compressed (&walk, i, entry, bitmap);
        }
      else if (!take_standard (&walk, i, entry, bitmap, error))
        return FALSE;
    }
  return TRUE;
}

guint64
qcow2_check_run_of_tables (const Qcow2Check *check, guint i)
{
  const Qcow2TableRef *refs = &g_array_index (check->tables, Qcow2TableRef, 0);
  guint64 length = check->q->cluster_size;

  while (++i < check->tables->len && length < check->window.size
         && refs[i].host_offset == refs[i - 1].host_offset + check->q->cluster_size)
    length += check->q->cluster_size;
  return length;
}

gboolean
qcow2_check_l2_tables (Qcow2Check *check, GError **error)
{
  gsize bytes = (gsize)check->q->cluster_size;

  for (guint i = 0; i < check->tables->len; i++)
    {
      const Qcow2TableRef *ref = &g_array_index (check->tables, Qcow2TableRef, i);
      const guint8 *table = qcow2_check_get (check, ref->host_offset, bytes,
                                             qcow2_check_run_of_tables (check, i), error);
      if (table == NULL || !take_table (check, ref, table, error))
        return FALSE;
      qcow2_check_tell (check, bytes);
    }
  return TRUE;
}
