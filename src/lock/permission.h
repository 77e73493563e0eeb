/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QEMU's image permissions and the file bytes that stand for them.
 *
 * A user of an image says what it does (uses) and what it cannot bear others to do (forbids). Each
 * permission is a bit i; a read lock on byte 100 + i means "in use", one on byte 200 + i means
 * "forbidden to others". The bytes need not exist in the file.
 * Source: QEMU block/file-posix.c (RAW_LOCK_PERM_BASE, RAW_LOCK_SHARED_BASE) and
 * include/block/block-common.h; names as in its bdrv_perm_names(). */
#pragma once

#include <glib.h>

typedef enum
{
  IMG_PERM_NONE = 0,
  IMG_PERM_CONSISTENT_READ = 1 << 0,
  IMG_PERM_WRITE = 1 << 1,
  IMG_PERM_WRITE_UNCHANGED = 1 << 2,
  IMG_PERM_RESIZE = 1 << 3,
  IMG_PERM_GRAPH_MOD = 1 << 4, /* QEMU up to 6.1 only; shown, never taken */
} ImgPerm;

#define IMG_PERM_BITS 5
#define IMG_PERM_USED_BASE G_GUINT64_CONSTANT (100)
#define IMG_PERM_FORBIDDEN_BASE G_GUINT64_CONSTANT (200)

/* All that can be taken. */
#define IMG_PERM_ALL 0x0fu

/* Two sets of ImgPerm bits. */
typedef struct
{
  guint uses;
  guint forbids;
} ImgPermSet;

/* "write" and so on, for bit @bit < IMG_PERM_BITS; constant. */
const char *img_perm_name (guint bit);

/* The names of the bits in @perms, joined by ", ", or "nothing". Returns a new string. */
char *img_perm_names (guint perms);

/* Parse "write,resize", "all" or "none" (names with a hyphen for the blank) into *@perms. FALSE if
 * a name is not one of a permission that can be taken. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_perm_parse (const char *list, guint *perms);
