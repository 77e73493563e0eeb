/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/qcow2/qcow2.h"

/* In the order of qemu-img. */
static gboolean
describe_facts (const ImgDisk *disk, ImgFact *facts, GError **error)
{
  const Qcow2 *q = disk->state;
  gboolean is_new = q->version >= 3;

  img_fact_add_text (facts, "compat", is_new ? "1.1" : "0.10");
  img_fact_add_text (facts, "compression-type", q->compression == QCOW2_ZSTD ? "zstd" : "zlib");
  if (is_new)
    {
      img_fact_add_boolean (facts, "lazy-refcounts", (q->compatible & QCOW2_LAZY_REFCOUNTS) != 0);
      if (!qcow2_bitmaps_describe (q, facts, error))
        return FALSE;
    }
  img_fact_add_number (facts, "refcount-bits", G_GUINT64_CONSTANT (1) << q->refcount_order);
  if (disk->data_file.name != NULL)
    img_fact_add_text (facts, "data-file", disk->data_file.name);
  if (!qcow2_crypt_describe (q, facts, error))
    return FALSE;
  if (!is_new)
    return TRUE;
  if (q->incompatible & QCOW2_DATA_FILE)
    img_fact_add_boolean (facts, "data-file-raw", (q->autoclear & QCOW2_RAW_DATA_FILE) != 0);
  img_fact_add_boolean (facts, "corrupt", (q->incompatible & QCOW2_CORRUPT) != 0);
  img_fact_add_boolean (facts, "extended-l2", (q->incompatible & QCOW2_EXTENDED_L2) != 0);
  return TRUE;
}

gboolean
qcow2_describe (ImgDisk *disk, ImgDescription *description, GError **error)
{
  const Qcow2 *q = disk->state;

  description->cluster_size = q->cluster_size;
  description->is_encrypted = q->crypt != QCOW2_CRYPT_NONE;
  description->is_dirty = (q->incompatible & QCOW2_DIRTY) != 0;
  if (q->n_snapshots > 0)
    {
      description->snapshots = qcow2_snapshots_read (q, error);
      if (description->snapshots == NULL)
        return FALSE;
    }
  if (!qcow2_find_needed (q, &description->needed, error))
    return FALSE;
  description->facts = img_fact_new ();
  return describe_facts (disk, description->facts, error);
}
