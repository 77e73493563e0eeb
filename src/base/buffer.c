/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/buffer.h"
#include "base/text.h"

#include <string.h>
#include <sys/mman.h>

/* What memory is compared with; it stays in the nearest cache. */
#define ZERO_BLOCK 4096
static const char zeros[ZERO_BLOCK];

void *
img_buffer_new (gsize size)
{
  void *buffer
      = mmap (NULL, MAX (size, 1), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return buffer == MAP_FAILED ? NULL : buffer;
}

void
img_buffer_free (void *buffer, gsize size)
{
  if (buffer != NULL)
    (void)munmap (buffer, MAX (size, 1));
}

static void *
check_memory (void *memory, gsize size, const char *path, GError **error)
{
  if (memory != NULL)
    return memory;
  g_autofree char *safe = img_text_escape (path, -1);
  return img_null_throw (error, IMG_ERROR_NO_MEMORY,
                         "there is not enough memory for %" G_GSIZE_FORMAT " bytes of '%s'", size,
                         safe);
}

void *
img_buffer_alloc (gsize size, const char *path, GError **error)
{
  return check_memory (g_try_malloc (MAX (size, 1)), size, path, error);
}

void *
img_buffer_alloc0 (gsize size, const char *path, GError **error)
{
  return check_memory (g_try_malloc0 (MAX (size, 1)), size, path, error);
}

gboolean
img_buffer_is_zero (const void *buffer, gsize length)
{
  const char *bytes = buffer;

  for (gsize done = 0; done < length; done += ZERO_BLOCK)
    if (memcmp (bytes + done, zeros, MIN (ZERO_BLOCK, length - done)) != 0)
      return FALSE;
  return TRUE;
}

gsize
img_buffer_run (const void *buffer, gsize length, gsize block, gboolean *zero)
{
  const char *bytes = buffer;
  gsize run = MIN (block, length);

  g_assert (block > 0);
  *zero = img_buffer_is_zero (bytes, run);
  while (run < length && img_buffer_is_zero (bytes + run, MIN (block, length - run)) == *zero)
    run += MIN (block, length - run);
  return run;
}
