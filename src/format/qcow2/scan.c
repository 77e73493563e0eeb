/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format/qcow2/scan.h"

#include <string.h>

#include "base/buffer.h"
#include "base/text.h"

void
qcow2_scan_begin (Qcow2Scan *scan, ImgFile *file, const char *what, guint64 offset,
                  guint64 max_bytes)
{
  scan->file = file;
  scan->what = what;
  scan->offset = offset;
  scan->end = MIN (offset + max_bytes, img_file_size (file));
  scan->window_length = 0;
  scan->window = g_malloc (QCOW2_SCAN_WINDOW);
}

void
qcow2_scan_clear (Qcow2Scan *scan)
{
  g_clear_pointer (&scan->window, g_free);
}

static gboolean
fill_window (Qcow2Scan *scan, GError **error)
{
  scan->window_offset = scan->offset;
  scan->window_length = (gsize)MIN (QCOW2_SCAN_WINDOW, scan->end - scan->offset);
  return img_file_read (scan->file, scan->offset, scan->window, scan->window_length, error);
}

gboolean
qcow2_scan_take (Qcow2Scan *scan, void *into, gsize length, GError **error)
{
  guint8 *next = into;

  if (scan->offset > scan->end || scan->end - scan->offset < length)
    {
      g_autofree char *safe = img_text_escape (img_file_path (scan->file), -1);
      return img_throw (error, IMG_ERROR_FAILED,
                        "'%s': the %s goes on behind offset %" G_GUINT64_FORMAT
                        ", where the file or what it may be at most ends",
                        safe, scan->what, scan->end);
    }
  while (length > 0)
    {
      guint64 window_end = scan->window_offset + scan->window_length;
      if ((scan->window_length == 0 || scan->offset >= window_end) && !fill_window (scan, error))
        return FALSE;
      gsize at = (gsize)(scan->offset - scan->window_offset);
      gsize part = MIN (length, scan->window_length - at);
      if (next != NULL)
        {
          memcpy (next, scan->window + at, part);
          next += part;
        }
      scan->offset += part;
      length -= part;
    }
  return TRUE;
}

char *
qcow2_scan_take_text (Qcow2Scan *scan, gsize length, GError **error)
{
  g_autofree char *text = img_buffer_alloc (length + 1, img_file_path (scan->file), error);
  if (text == NULL)
    return NULL;
  text[length] = '\0';
  return qcow2_scan_take (scan, text, length, error) ? g_steal_pointer (&text) : NULL;
}
