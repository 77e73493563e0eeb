/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which bytes of a file are locked by others, asked of the kernel (or the file server) itself.
 *
 * F_GETLK answers with one lock and its whole merged range, so the file is walked by asking again
 * on both sides of each answer. Several read locks over one byte show as one: who they all are only
 * /proc can tell. The caller must hold no lock of its own on the file. */
#pragma once

#include "lock/lock-fd.h"
#include "lock/permission.h"

typedef struct
{
  gboolean asked_posix, asked_ofd; /* which commands gave answers */
  int error;                       /* errno of the command that failed first, when none worked */
  guint used, forbidden;           /* ImgPerm bits whose byte is locked */
  GArray *ranges;                  /* ImgLockRange, disjoint in what they were found for; owned */
  gboolean is_truncated;           /* more ranges than anybody could want to see */
} ImgProbe;

/* Ask about @fd (readable) with F_GETLK and, if @with_ofd, F_OFD_GETLK; a byte counts as locked if
 * either says so. F_GETLK comes first because only it names processes on FUSE and network file
 * systems. Never fails: look at asked_posix and asked_ofd. */
ImgProbe *img_probe_new (int fd, gboolean with_ofd);
void img_probe_free (ImgProbe *probe);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImgProbe, img_probe_free)

/* Whether any byte was found locked. */
gboolean img_probe_is_locked (const ImgProbe *probe);

/* Whether two probes found the same locks. */
gboolean img_probe_equal (const ImgProbe *a, const ImgProbe *b);
