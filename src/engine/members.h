/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which files belong to an image: itself, what is behind it, their data files.
 *
 * They are found by reading the headers, without any lock, since whoever asks wants to lock them or
 * to know who has locked them; so they may change at any time. Every name passes the gate. */
#pragma once

#include <sys/stat.h>

#include "engine/open.h"

typedef struct
{
  char *path;            /* owned */
  const char *what;      /* "image", "backing file" or "data file"; constant */
  const char *format;    /* what it is read as; constant */
  char *front;           /* owned; the image that names it; NULL: the user does */
  guint depth;           /* see ImgChainMember */
  guint64 device, inode; /* img_identity_of() it */
  gboolean no_devices;   /* with what it has to be opened again: see ImgFileParams */
  ImgRoot *root;         /* owned: one use; likewise */
} ImgMember;

/* New ImgMember in @members, from the front, for the image @path and all that it leads to; of
 * @params what says how to look at it and what to follow. On failure those that were found, and in
 * *@refused a new string, or NULL: what was not followed. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_members_find (const char *path, const ImgOpenParams *params, GPtrArray *members,
                           char **refused, GError **error);
void img_member_free (ImgMember *member);

/* What names the file with @st among members, whichever node of a device it was reached by. */
void img_identity_of (const struct stat *st, guint64 *device, guint64 *inode);

/* What is done to @member when @use is made of its image: QEMU only reads what is behind one. */
ImgUse img_member_use (const ImgMember *member, ImgUse use);
