/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/verify.h"

#include <string.h>

#include "base/buffer.h"
#include "base/text.h"
#include "engine/copy.h"
#include "engine/digest.h"

#define SHOW_EVERY (100 * G_TIME_SPAN_MILLISECOND)

typedef struct
{
  ImgDisk *disk;  /* borrowed */
  guint8 *buffer; /* borrowed; @longest bytes */
  gsize longest;
  const ImgProgress *progress;
  ImgProgressState *state;
  gint64 shown;
} Verifier;

static void
hash (const void *buffer, gsize length, guint8 *into)
{
  g_autoptr (ImgDigest) digest = img_digest_new ("sha256");
  img_digest_add (digest, buffer, length);
  img_digest_get (digest, into, IMG_CHECK_BYTES);
}

void
img_check_add (GArray *checks, GMutex *mutex, guint64 guest_offset, const void *buffer,
               gsize length)
{
  ImgCheck check = { .guest_offset = guest_offset, .length = length };
  hash (buffer, length, check.hash);
  g_mutex_lock (mutex);
  g_array_append_val (checks, check);
  g_mutex_unlock (mutex);
}

static gint
compare_checks (gconstpointer a, gconstpointer b)
{
  guint64 first = ((const ImgCheck *)a)->guest_offset, second = ((const ImgCheck *)b)->guest_offset;
  return first < second ? -1 : first > second;
}

static void
advance (Verifier *verifier, guint64 done)
{
  gint64 now = g_get_monotonic_time ();
  verifier->state->done = done;
  if (verifier->progress->show == NULL || now - verifier->shown < SHOW_EVERY)
    return;
  verifier->shown = now;
  verifier->progress->show (verifier->state, verifier->progress->closure);
}

static gboolean
differs (const Verifier *verifier, guint64 offset, guint64 length, GError **error)
{
  g_autofree char *safe = img_text_escape (img_file_path (verifier->disk->file), -1);
  return img_throw (error, IMG_ERROR_FAILED,
                    "verification failed: '%s' differs from what was written to it, between "
                    "offset %" G_GUINT64_FORMAT " and %" G_GUINT64_FORMAT,
                    safe, offset, offset + length);
}

static gboolean
read_back (Verifier *verifier, guint64 offset, gsize length, GError **error)
{
  gsize got;
  return img_disk_read (verifier->disk, offset, verifier->buffer, length, &got, error);
}

static gboolean
verify_check (Verifier *verifier, const ImgCheck *check, GError **error)
{
  guint8 found[IMG_CHECK_BYTES];
  if (!read_back (verifier, check->guest_offset, (gsize)check->length, error))
    return FALSE;
  hash (verifier->buffer, (gsize)check->length, found);
  if (memcmp (found, check->hash, sizeof found) != 0)
    return differs (verifier, check->guest_offset, check->length, error);
  return TRUE;
}

/* What lies between two checks must be zero. */
static gboolean
verify_zeros (Verifier *verifier, guint64 begin, guint64 end, GError **error)
{
  guint64 part;
  for (guint64 at = begin; at < end; at += part)
    {
      ImgExtent extent;
      if (!img_disk_extent (verifier->disk, at, end - at, &extent, error))
        return FALSE;
      part = extent.length;
      if (extent.kind == IMG_EXTENT_DATA)
        {
          part = MIN (part, verifier->longest);
          if (!read_back (verifier, at, (gsize)part, error))
            return FALSE;
          if (!img_buffer_is_zero (verifier->buffer, (gsize)part))
            return differs (verifier, at, part, error);
        }
      advance (verifier, at + part);
    }
  return TRUE;
}

static gboolean
verify_all (Verifier *verifier, GArray *checks, guint64 size, GError **error)
{
  guint64 at = 0;
  for (guint i = 0; i < checks->len; i++)
    {
      const ImgCheck *check = &g_array_index (checks, ImgCheck, i);
      if (!verify_zeros (verifier, at, check->guest_offset, error)
          || !verify_check (verifier, check, error))
        return FALSE;
      at = check->guest_offset + check->length;
      advance (verifier, at);
    }
  return verify_zeros (verifier, at, size, error);
}

gboolean
img_verify (ImgDisk *disk, GArray *checks, guint64 size, gsize longest, const ImgProgress *progress,
            ImgProgressState *state, GError **error)
{
  Verifier verifier = { .disk = disk, .longest = longest, .progress = progress, .state = state };
  void *buffer = img_buffer_new (longest);
  if (buffer == NULL)
    return img_throw_errno (error, "cannot get memory for the verification");

  verifier.buffer = buffer;
  g_array_sort (checks, compare_checks);
  state->phase = IMG_PHASE_VERIFY;
  state->total = size;
  advance (&verifier, 0);
  img_file_forget (disk->file, 0, 0);
  gboolean is_good = verify_all (&verifier, checks, size, error);
  img_buffer_free (buffer, longest);
  return is_good;
}
