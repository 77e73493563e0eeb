/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the bytes of a raw disk look like: a partition table, a file system, something compressed.
 * A guess, and never a reason to treat the disk differently. */
#pragma once

#include "file/file.h"

typedef struct
{
  char *description;     /* owned; for people, safe to print; NULL if nothing was recognised */
  char *partition_table; /* owned; "gpt", "dos" ..., or NULL */
  guint64 table_end;     /* where its last partition ends, in bytes */
  gboolean is_truncated; /* ... which is past the end of the file */
  char *filesystem;      /* owned; "ext4" ..., or NULL */
} ImgContent;

/* Look at @file; reads only through its own descriptor. Where libblkid is not built in, only
 * compressed files are recognised. */
void img_content_guess (ImgFile *file, ImgContent *content);
void img_content_clear (ImgContent *content);
