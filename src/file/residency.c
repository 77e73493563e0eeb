/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "file/residency.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_cachestat
#ifdef __alpha__
#define SYS_cachestat 561
#else
#define SYS_cachestat 451
#endif
#endif

guint64
img_page_size (void)
{
  return (guint64)sysconf (_SC_PAGESIZE);
}

/* From linux/mman.h of 6.5. */
typedef struct
{
  guint64 offset, length;
} CacheRange;

typedef struct
{
  guint64 cached, dirty, writeback, evicted, recently_evicted; /* pages */
} CacheCounts;

/* TRUE if counting was enough. */
static gboolean
count (ImgResidents *residents, int fd, guint64 offset, guint64 length)
{
  CacheRange range = { offset, length };
  CacheCounts counts;

  if (syscall (SYS_cachestat, fd, &range, &counts, 0) < 0)
    return FALSE;
  if (counts.cached != 0 && counts.cached < length / img_page_size ())
    return FALSE;
  residents->kind = counts.cached == 0 ? IMG_RESIDENT_NONE : IMG_RESIDENT_ALL;
  return TRUE;
}

static void
look_at_pages (ImgResidents *residents, int fd, guint64 offset, guint64 length)
{
  gsize n_pages = (gsize)(length / img_page_size ()), n_resident = 0;
  void *map = mmap (NULL, (gsize)length, PROT_READ, MAP_SHARED, fd, (off_t)offset);
  g_autofree guint8 *pages = g_malloc (n_pages);

  residents->kind = IMG_RESIDENT_ALL;
  if (map == MAP_FAILED)
    return;
  if (mincore (map, (gsize)length, pages) == 0)
    {
      for (gsize i = 0; i < n_pages; i++)
        n_resident += pages[i] & 1;
      residents->kind = n_resident == 0         ? IMG_RESIDENT_NONE
                        : n_resident == n_pages ? IMG_RESIDENT_ALL
                                                : IMG_RESIDENT_SOME;
    }
  (void)munmap (map, (gsize)length);
  if (residents->kind == IMG_RESIDENT_SOME)
    residents->pages = g_steal_pointer (&pages);
}

gboolean
img_residents_look (ImgResidents *residents, int fd, guint64 offset, guint64 length,
                    gint *lacks_cachestat)
{
  residents->kind = IMG_RESIDENT_ALL;
  residents->pages = NULL;
  if (!g_atomic_int_get (lacks_cachestat))
    {
      errno = 0;
      if (count (residents, fd, offset, length))
        return TRUE;
      if (errno == EPERM)
        return FALSE;
      if (errno != 0)
        g_atomic_int_set (lacks_cachestat, 1);
    }
  look_at_pages (residents, fd, offset, length);
  return TRUE;
}

void
img_residents_clear (ImgResidents *residents)
{
  g_clear_pointer (&residents->pages, g_free);
}

void
img_residents_each_absent (const ImgResidents *residents, guint64 offset, guint64 length,
                           void (*visit) (guint64 begin, guint64 end, gpointer user_data),
                           gpointer user_data)
{
  guint64 page = img_page_size ();
  gsize n_pages = (gsize)(length / page), begin = 0;

  if (residents->kind == IMG_RESIDENT_NONE)
    visit (offset, offset + length, user_data);
  if (residents->kind != IMG_RESIDENT_SOME)
    return;
  for (gsize i = 0; i < n_pages; i++)
    {
      if (!(residents->pages[i] & 1))
        continue;
      if (begin < i)
        visit (offset + begin * page, offset + i * page, user_data);
      begin = i + 1;
    }
  if (begin < n_pages)
    visit (offset + begin * page, offset + n_pages * page, user_data);
}
