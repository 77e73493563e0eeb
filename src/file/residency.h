/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What of a file is in the page cache, found out without bringing anything in.
 *
 * Source: cachestat(2) (Linux 6.5), which counts, and mincore(2), which tells page from page. Both
 * are honest only to who owns the file or may write to it: for others the first fails with EPERM
 * and the second calls everything cached. */
#pragma once

#include <glib.h>

typedef enum
{
  IMG_RESIDENT_NONE,
  IMG_RESIDENT_SOME,
  IMG_RESIDENT_ALL, /* or unknown */
} ImgResidency;

typedef struct
{
  ImgResidency kind;
  guint8 *pages; /* owned, with IMG_RESIDENT_SOME: bit 0 of each page's byte; else NULL */
} ImgResidents;

/* Look at @length bytes from @offset, both multiples of the page size. @lacks_cachestat remembers
 * (atomic) that the kernel has only mincore. FALSE, with all of it counted as cached, if this
 * process is not to know. */
gboolean img_residents_look (ImgResidents *residents, int fd, guint64 offset, guint64 length,
                             gint *lacks_cachestat);
void img_residents_clear (ImgResidents *residents);

/* Call @visit for each run of pages within the @length bytes from @offset, where @residents were
 * looked up, that were not cached. */
void img_residents_each_absent (const ImgResidents *residents, guint64 offset, guint64 length,
                                void (*visit) (guint64 begin, guint64 end, gpointer user_data),
                                gpointer user_data);

guint64 img_page_size (void);
