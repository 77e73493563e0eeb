/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What was read last of the L1 and L2 tables.
 *
 * Tables are kept in pages of at most 64 KiB, as they are in the file, within a fixed budget. A
 * page that was handed out stays valid until it is given back, whatever is thrown out meanwhile.
 * Any thread may ask. */
#pragma once

#include "file/file.h"

#define QCOW2_PAGE_BYTES 65536

typedef struct
{
  guint64 host_offset;
  gsize length;
  gint users; /* atomic: the cache and those it was handed out to */
  GList link; /* in the order of use */
  guint8 bytes[];
} Qcow2Page;

typedef struct Qcow2Tables Qcow2Tables;

/* Keeps at most @budget bytes of @file (borrowed), but one page at least. */
Qcow2Tables *qcow2_tables_new (ImgFile *file, gsize budget);
void qcow2_tables_free (Qcow2Tables *tables);

/* A page with at least the @length bytes at @host_offset, which belong to @what ("L2 table"). */
G_GNUC_WARN_UNUSED_RESULT
Qcow2Page *qcow2_tables_get (Qcow2Tables *tables, const char *what, guint64 host_offset,
                             gsize length, GError **error);
void qcow2_page_unref (Qcow2Page *page);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Qcow2Page, qcow2_page_unref)
