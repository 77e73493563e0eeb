/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading a directory of entries of different lengths, in few reads and with little memory. */
#pragma once

#include "file/file.h"

#define QCOW2_SCAN_WINDOW 65536

typedef struct
{
  ImgFile *file;       /* borrowed */
  const char *what;    /* "snapshot table"; constant */
  guint64 offset, end; /* of the file: what comes next, and where the directory must end */
  guint64 window_offset;
  gsize window_length;
  guint8 *window; /* owned */
} Qcow2Scan;

/* Begin at @offset; the directory has at most @max_bytes. */
void qcow2_scan_begin (Qcow2Scan *scan, ImgFile *file, const char *what, guint64 offset,
                       guint64 max_bytes);

/* Take the next @length bytes; @into may be NULL to leave them out. */
G_GNUC_WARN_UNUSED_RESULT
gboolean qcow2_scan_take (Qcow2Scan *scan, void *into, gsize length, GError **error);

/* Take @length bytes as a new text, which ends early if there is a NUL. */
G_GNUC_WARN_UNUSED_RESULT
char *qcow2_scan_take_text (Qcow2Scan *scan, gsize length, GError **error);

void qcow2_scan_clear (Qcow2Scan *scan);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Qcow2Scan, qcow2_scan_clear)
