/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/undo.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/fd.h"
#include "base/text.h"
#include "file/place.h"

/* The file begins with this; a record follows the other. All numbers are big endian. */
static const char magic[16] = "imgtool undo 1\n";

typedef enum
{
  RECORD_PLACE = 1, /* offset, length, stage; the bytes before, the bytes after */
  RECORD_SIZE = 2,  /* of the image, before */
  RECORD_END = 3,   /* of the image, after; seconds and nanoseconds of its mtime */
  RECORD_BACK = 4,  /* it is being put back */
  RECORD_GONE = 5,  /* it was put back */
} RecordKind;

#define HEAD_BYTES 32

struct ImgUndo
{
  int fd;          /* owned */
  char *safe_path; /* owned; for messages */
};

static void
store (guint8 *at, guint64 value)
{
  value = GUINT64_TO_BE (value);
  memcpy (at, &value, sizeof value);
}

ImgUndo *
img_undo_new (const char *path, GError **error)
{
  g_autoptr (ImgPlace) place = img_place_find (path, error);
  if (place == NULL)
    return NULL;

  g_autoptr (ImgUndo) undo = g_new0 (ImgUndo, 1);
  undo->safe_path = img_text_escape (path, -1);
  undo->fd = openat (place->folder, place->name,
                     O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW, 0600);
  if (undo->fd < 0)
    return img_null_throw_errno (error, "cannot make the undo file '%s'", undo->safe_path);
  if (!img_fd_write_all (undo->fd, magic, sizeof magic))
    return img_null_throw_errno (error, "cannot write to the undo file '%s'", undo->safe_path);
  /* fsync(2) of a file need not bring its name to the disk. */
  if (!img_place_flush (place, undo->fd))
    return img_null_throw_errno (error, "cannot bring the name of the undo file '%s' to the disk",
                                 undo->safe_path);
  return g_steal_pointer (&undo);
}

void
img_undo_free (ImgUndo *undo)
{
  if (undo->fd >= 0)
    (void)close (undo->fd); /* everything was flushed, or the repair failed */
  g_free (undo->safe_path);
  g_free (undo);
}

static gboolean
write_record (ImgUndo *undo, RecordKind kind, guint64 first, guint64 second, guint64 third,
              GError **error)
{
  guint8 head[HEAD_BYTES];
  store (head, kind);
  store (head + 8, first);
  store (head + 16, second);
  store (head + 24, third);
  if (!img_fd_write_all (undo->fd, head, sizeof head))
    return img_throw_errno (error, "cannot write to the undo file '%s'", undo->safe_path);
  return TRUE;
}

static gboolean
flush (ImgUndo *undo, GError **error)
{
  if (fsync (undo->fd) < 0)
    return img_throw_errno (error, "cannot bring the undo file '%s' to the disk", undo->safe_path);
  return TRUE;
}

static gboolean
save_patch (ImgUndo *undo, ImgFile *image, const ImgPatch *patch, GError **error)
{
  guint64 size = img_file_size (image);
  gsize there = (gsize)(patch->offset < size ? MIN (size - patch->offset, patch->length) : 0);
  g_autofree guint8 *before = img_buffer_alloc0 (patch->length, img_file_path (image), error);

  if (before == NULL)
    return FALSE;
  if (there > 0 && !img_file_read (image, patch->offset, before, there, error))
    return FALSE;
  if (!write_record (undo, RECORD_PLACE, patch->offset, patch->length, patch->stage, error))
    return FALSE;
  if (!img_fd_write_all (undo->fd, before, patch->length)
      || !img_fd_write_all (undo->fd, patch->bytes, patch->length))
    return img_throw_errno (error, "cannot write to the undo file '%s'", undo->safe_path);
  return TRUE;
}

gboolean
img_undo_save (ImgUndo *undo, ImgFile *image, const ImgPlan *plan, GError **error)
{
  if (!write_record (undo, RECORD_SIZE, img_file_size (image), 0, 0, error))
    return FALSE;
  for (guint i = 0; i < plan->patches->len; i++)
    if (!save_patch (undo, image, plan->patches->pdata[i], error))
      return FALSE;
  return flush (undo, error);
}

gboolean
img_undo_finish (ImgUndo *undo, ImgFile *image, GError **error)
{
  struct stat st;
  if (fstat (img_file_fd (image), &st) < 0)
    return img_throw_errno (error, "cannot look at the open image");
  return write_record (undo, RECORD_END, img_file_size (image), (guint64)st.st_mtim.tv_sec,
                       (guint64)st.st_mtim.tv_nsec, error)
         && flush (undo, error);
}

/* ---- back ---- */

typedef struct
{
  RecordKind kind;
  guint64 first, second, third;
  const guint8 *before, *after; /* borrowed */
} Record;

typedef struct
{
  char *safe_path; /* owned */
  GString *bytes;  /* owned: the whole file */
  GArray *records; /* owned Record */
  gsize end;       /* of the last whole record */
} Saved;

static void
saved_clear (Saved *saved)
{
  g_free (saved->safe_path);
  g_string_free (saved->bytes, TRUE);
  g_array_unref (saved->records);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Saved, saved_clear)

/* The records; one that is not whole was being written when the repair was killed, and nothing it
 * is about was changed. */
static gboolean
parse (Saved *saved, GError **error)
{
  const guint8 *bytes = (const guint8 *)saved->bytes->str;
  gsize length = saved->bytes->len, at = sizeof magic;

  if (length < sizeof magic || memcmp (bytes, magic, sizeof magic) != 0)
    return img_throw (error, IMG_ERROR_FAILED, "'%s' is not an undo file", saved->safe_path);
  saved->end = at;
  while (length - at >= HEAD_BYTES)
    {
      Record record = { .kind = (RecordKind)img_load_be64 (bytes + at),
                        .first = img_load_be64 (bytes + at + 8),
                        .second = img_load_be64 (bytes + at + 16),
                        .third = img_load_be64 (bytes + at + 24) };
      if (record.kind < RECORD_PLACE || record.kind > RECORD_GONE)
        break;
      at += HEAD_BYTES;
      if (record.kind == RECORD_PLACE)
        {
          if (record.second > (length - at) / 2 || record.first > G_MAXINT64 - record.second)
            break;
          record.before = bytes + at;
          record.after = record.before + record.second;
          at += 2 * record.second;
        }
      g_array_append_val (saved->records, record);
      saved->end = at;
    }
  return TRUE;
}

/* Whether @byte is what some record has at @offset. */
static gboolean
is_known (const Saved *saved, guint64 offset, guint8 byte)
{
  for (guint i = 0; i < saved->records->len; i++)
    {
      const Record *record = &g_array_index (saved->records, Record, i);
      if (record->kind != RECORD_PLACE || offset < record->first
          || offset - record->first >= record->second)
        continue;
      guint64 at = offset - record->first;
      if (record->before[at] == byte || record->after[at] == byte)
        return TRUE;
    }
  return FALSE;
}

static gboolean
throw_changed (const Saved *saved, ImgFile *image, GError **error)
{
  g_autofree char *safe = img_text_escape (img_file_path (image), -1);
  return img_throw (error, IMG_ERROR_FAILED,
                    "'%s' is not as the repair left it, whose undo file is '%s': nothing was put "
                    "back",
                    safe, saved->safe_path);
}

static gboolean
check_place (const Saved *saved, const Record *record, ImgFile *image, GError **error)
{
  guint64 size = img_file_size (image);
  gsize length = (gsize)(record->first < size ? MIN (size - record->first, record->second) : 0);
  g_autofree guint8 *now = img_buffer_alloc (length, img_file_path (image), error);

  if (now == NULL)
    return FALSE;
  if (length > 0 && !img_file_read (image, record->first, now, length, error))
    return FALSE;
  if (memcmp (now, record->after, length) == 0 || memcmp (now, record->before, length) == 0)
    return TRUE;
  for (gsize i = 0; i < length; i++)
    if (!is_known (saved, record->first + i, now[i]))
      return throw_changed (saved, image, error);
  return TRUE;
}

/* The bytes that the repair wrote are there, but others may have been written since. Who knows
 * better can say so with touch(1). */
static gboolean
throw_touched (const Saved *saved, const Record *record, ImgFile *image, GError **error)
{
  g_autofree char *safe = img_text_escape (img_file_path (image), -1);
  g_autofree char *quoted = g_shell_quote (img_file_path (image));
  g_autofree char *shown = img_text_escape (quoted, -1);
  return img_throw (error, IMG_ERROR_FAILED,
                    "'%s' was last modified at another time than by the repair whose undo file is "
                    "'%s', so nothing was put back. If nobody wrote to it since, as to a copy, "
                    "say so: touch -d @%" G_GUINT64_FORMAT ".%09" G_GUINT64_FORMAT " %s",
                    safe, saved->safe_path, record->second, record->third, shown);
}

static gboolean
check_end (const Saved *saved, const Record *record, ImgFile *image, GError **error)
{
  struct stat st;
  if (fstat (img_file_fd (image), &st) < 0)
    return img_throw_errno (error, "cannot look at the open image");
  if (record->first != img_file_size (image))
    return throw_changed (saved, image, error);
  return !S_ISREG (st.st_mode)
         || (record->second == (guint64)st.st_mtim.tv_sec
             && record->third == (guint64)st.st_mtim.tv_nsec)
         || throw_touched (saved, record, image, error);
}

static gboolean
has_record (const Saved *saved, RecordKind kind)
{
  for (guint i = 0; i < saved->records->len; i++)
    if (g_array_index (saved->records, Record, i).kind == kind)
      return TRUE;
  return FALSE;
}

static gboolean
check_all (const Saved *saved, ImgFile *image, GError **error)
{
  gboolean was_begun = has_record (saved, RECORD_BACK); /* and changed the mtime */

  if (has_record (saved, RECORD_GONE))
    return img_throw (error, IMG_ERROR_FAILED, "what is in '%s' has been put back already",
                      saved->safe_path);
  for (guint i = 0; i < saved->records->len; i++)
    {
      const Record *record = &g_array_index (saved->records, Record, i);
      if (record->kind == RECORD_PLACE && !check_place (saved, record, image, error))
        return FALSE;
      if (record->kind == RECORD_END && !was_begun && !check_end (saved, record, image, error))
        return FALSE;
    }
  return TRUE;
}

/* From the last to the first, a stage on the disk before the one that was before it. */
static gboolean
put_back (const Saved *saved, ImgFile *image, guint *n_places, GError **error)
{
  guint64 size = img_file_size (image), stage = 0;

  *n_places = 0;
  for (guint i = saved->records->len; i > 0; i--)
    {
      const Record *record = &g_array_index (saved->records, Record, i - 1);
      if (record->kind == RECORD_SIZE)
        size = record->first;
      if (record->kind != RECORD_PLACE || record->first >= img_file_size (image))
        continue;
      if (*n_places > 0 && record->third != stage && !img_file_flush (image, error))
        return FALSE;
      stage = record->third;
      gsize length = (gsize)MIN (record->second, img_file_size (image) - record->first);
      if (!img_file_write (image, record->first, record->before, length, error))
        return FALSE;
      ++*n_places;
    }
  return img_file_flush (image, error)
         && (size >= img_file_size (image) || img_file_is_device (image)
             || (img_file_resize (image, size, error) && img_file_flush (image, error)));
}

/* The file at @path again, to be written behind what is whole in it. */
static ImgUndo *
reopen (const char *path, const Saved *saved, GError **error)
{
  g_autoptr (ImgUndo) undo = g_new0 (ImgUndo, 1);

  undo->safe_path = img_text_escape (path, -1);
  undo->fd = open (path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (undo->fd < 0 || ftruncate (undo->fd, (off_t)saved->end) < 0)
    return img_null_throw_errno (error, "cannot write to the undo file '%s'", undo->safe_path);
  return g_steal_pointer (&undo);
}

gboolean
img_undo_apply (const char *path, ImgFile *image, guint *n_places, GError **error)
{
  g_auto (Saved) saved = { .safe_path = img_text_escape (path, -1),
                           .bytes = g_string_new (NULL),
                           .records = g_array_new (FALSE, FALSE, sizeof (Record)) };

  if (!img_fd_read_file (AT_FDCWD, path, saved.bytes))
    return img_throw_errno (error, "cannot read the undo file '%s'", saved.safe_path);
  if (!parse (&saved, error) || !check_all (&saved, image, error))
    return FALSE;
  g_autoptr (ImgUndo) undo = reopen (path, &saved, error);
  return undo != NULL && write_record (undo, RECORD_BACK, 0, 0, 0, error) && flush (undo, error)
         && put_back (&saved, image, n_places, error)
         && write_record (undo, RECORD_GONE, 0, 0, 0, error) && flush (undo, error);
}
