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

/* So much of them is enough for everybody who means well. */
#define MANY 1024

/* Bits of the header that are not known, and what else is strange. */
static void
describe_strange_features (const Qcow2 *q, ImgDescription *description)
{
  guint64 compatible = q->compatible & ~QCOW2_LAZY_REFCOUNTS;
  guint64 autoclear = q->autoclear & ~QCOW2_KNOWN_AUTOCLEAR;

  if (compatible != 0)
    img_description_add_feature (
        description,
        g_strdup_printf ("unknown compatible bits 0x%" G_GINT64_MODIFIER "x", compatible), FALSE);
  if (autoclear != 0)
    img_description_add_feature (
        description,
        g_strdup_printf ("unknown autoclear bits 0x%" G_GINT64_MODIFIER "x", autoclear), FALSE);
  if (q->strange_extension != 0)
    img_description_add_feature (
        description, g_strdup_printf ("unknown header extension 0x%08x", q->strange_extension),
        FALSE);
}

/* All that not every image has; unknown incompatible bits have been refused before. */
static void
describe_features (const Qcow2 *q, ImgDescription *description)
{
  const struct
  {
    gboolean is_used;
    const char *name;
    gboolean is_harmless;
  } features[] = {
    { (q->incompatible & QCOW2_DIRTY) != 0, "dirty", TRUE },
    { (q->incompatible & QCOW2_CORRUPT) != 0, "corrupt", FALSE },
    { (q->incompatible & QCOW2_DATA_FILE) != 0, "data-file", FALSE },
    { (q->incompatible & QCOW2_COMPRESSION) != 0, "compression-type", TRUE },
    { (q->incompatible & QCOW2_EXTENDED_L2) != 0, "extended-l2", TRUE },
    { (q->compatible & QCOW2_LAZY_REFCOUNTS) != 0, "lazy-refcounts", TRUE },
    { q->n_bitmaps > 0, "bitmaps", q->n_bitmaps <= MANY },
    { (q->autoclear & QCOW2_RAW_DATA_FILE) != 0, "data-file-raw", FALSE },
    { q->n_snapshots > 0, "snapshots", q->n_snapshots <= MANY },
    { q->crypt != QCOW2_CRYPT_NONE, "encryption", FALSE },
  };
  for (guint i = 0; i < G_N_ELEMENTS (features); i++)
    if (features[i].is_used)
      img_description_add_feature (description, g_strdup (features[i].name),
                                   features[i].is_harmless);
  describe_strange_features (q, description);
}

gboolean
qcow2_describe (ImgDisk *disk, ImgDescription *description, GError **error)
{
  const Qcow2 *q = disk->state;

  description->cluster_size = q->cluster_size;
  description->is_encrypted = q->crypt != QCOW2_CRYPT_NONE;
  description->is_dirty = (q->incompatible & QCOW2_DIRTY) != 0;
  describe_features (q, description);
  if (q->n_snapshots > 0)
    {
      description->n_snapshots = q->n_snapshots;
      description->snapshots = qcow2_snapshots_list (q, error);
      if (description->snapshots == NULL)
        return FALSE;
    }
  if (!qcow2_find_needed (q, &description->needed, error))
    return FALSE;
  description->facts = img_fact_new ();
  return describe_facts (disk, description->facts, error);
}
