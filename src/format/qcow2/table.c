/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/qcow2/table.h"

#include "base/buffer.h"
#include "base/text.h"

struct Qcow2Tables
{
  ImgFile *file; /* borrowed */
  gsize budget;

  GMutex mutex;
  GHashTable *pages; /* owned, under the mutex: host_offset of a Qcow2Page to it; has one use */
  GQueue by_use;     /* under the mutex: the last used first */
  gsize bytes;       /* under the mutex: of all pages */
};

Qcow2Tables *
qcow2_tables_new (ImgFile *file, gsize budget)
{
  Qcow2Tables *tables = g_new0 (Qcow2Tables, 1);
  tables->file = file;
  tables->budget = budget;
  tables->pages = g_hash_table_new (g_int64_hash, g_int64_equal);
  g_mutex_init (&tables->mutex);
  return tables;
}

/* The page used longest ago is not kept any more. */
static void
drop_last (Qcow2Tables *tables)
{
  Qcow2Page *page = g_queue_peek_tail (&tables->by_use);
  g_hash_table_remove (tables->pages, &page->host_offset);
  g_queue_unlink (&tables->by_use, &page->link);
  tables->bytes -= page->length;
  qcow2_page_unref (page);
}

void
qcow2_tables_free (Qcow2Tables *tables)
{
  while (tables->by_use.length > 0)
    drop_last (tables);
  g_hash_table_unref (tables->pages);
  g_mutex_clear (&tables->mutex);
  g_free (tables);
}

void
qcow2_page_unref (Qcow2Page *page)
{
  if (g_atomic_int_dec_and_test (&page->users))
    g_free (page);
}

/* The page at @host_offset if it is kept, for one more user; under the mutex. */
static Qcow2Page *
find (Qcow2Tables *tables, guint64 host_offset)
{
  Qcow2Page *page = g_hash_table_lookup (tables->pages, &host_offset);
  if (page == NULL)
    return NULL;
  g_atomic_int_inc (&page->users);
  if (tables->by_use.head != &page->link)
    {
      g_queue_unlink (&tables->by_use, &page->link);
      g_queue_push_head_link (&tables->by_use, &page->link);
    }
  return page;
}

static Qcow2Page *
load (Qcow2Tables *tables, const char *what, guint64 host_offset, gsize length, GError **error)
{
  guint64 size = img_file_size (tables->file);

  if (host_offset > size || size - host_offset < length)
    {
      g_autofree char *safe = img_text_escape (img_file_path (tables->file), -1);
      return img_null_throw (error, IMG_ERROR_FAILED,
                             "'%s' is truncated: an %s is at offset %" G_GUINT64_FORMAT
                             ", and the file has only %" G_GUINT64_FORMAT " bytes",
                             safe, what, host_offset, size);
    }
  g_autoptr (Qcow2Page) page
      = img_buffer_alloc (sizeof *page + length, img_file_path (tables->file), error);
  if (page == NULL)
    return NULL;
  page->users = 1;
  page->host_offset = host_offset;
  page->length = length;
  page->link = (GList){ .data = page };
  return img_file_read (tables->file, host_offset, page->bytes, length, error)
             ? g_steal_pointer (&page)
             : NULL;
}

/* Keep @page, unless somebody else was faster; under the mutex. */
static void
keep (Qcow2Tables *tables, Qcow2Page *page)
{
  if (g_hash_table_contains (tables->pages, &page->host_offset))
    return;
  while (tables->by_use.length > 0 && tables->bytes + page->length > tables->budget)
    drop_last (tables);
  g_atomic_int_inc (&page->users);
  g_hash_table_insert (tables->pages, &page->host_offset, page);
  g_queue_push_head_link (&tables->by_use, &page->link);
  tables->bytes += page->length;
}

Qcow2Page *
qcow2_tables_get (Qcow2Tables *tables, const char *what, guint64 host_offset, gsize length,
                  GError **error)
{
  g_mutex_lock (&tables->mutex);
  Qcow2Page *page = find (tables, host_offset);
  g_mutex_unlock (&tables->mutex);
  /* A hostile image may use one offset for tables of two kinds. */
  if (page != NULL && page->length >= length)
    return page;
  g_clear_pointer (&page, qcow2_page_unref);
  page = load (tables, what, host_offset, length, error);
  if (page == NULL)
    return NULL;
  g_mutex_lock (&tables->mutex);
  keep (tables, page);
  g_mutex_unlock (&tables->mutex);
  return page;
}
