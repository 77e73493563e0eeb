/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bitmaps for an image that has none: its header gets one more extension.
 *
 * That may go behind the others, in the place of their end, if the name of the backing file makes
 * room. Whatever of it is written when power goes, the header can be read, and all in it is as it
 * was: until the last write says so, nobody looks at bitmaps. */
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "format/qcow2/extension.h"
#include "format/qcow2/rewrite.h"

#define BACKING_AT 8
#define EXTENSION_HEAD 8
#define EXTENSION_LENGTH (EXTENSION_HEAD + 24)

/* Where in the header's cluster things go. */
typedef struct
{
  guint64 extension_at;
  gboolean is_there; /* a bitmaps extension, which is out of date */
  guint64 name_to;   /* where the name of the backing file goes; 0: it can stay */
  guint8 *head;      /* owned; the cluster as it is */
} Room;

static void
room_clear (Room *room)
{
  g_clear_pointer (&room->head, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Room, room_clear)

static gboolean
throw_room (const Qcow2 *q, const char *reason, GError **error)
{
  return img_throw (error, IMG_ERROR_UNSUPPORTED, "'%s' cannot get bitmaps: %s", q->safe_path,
                    reason);
}

/* For an extension more, behind the @n that are there already, up to @end. */
static gboolean
find_place (const Qcow2 *q, Room *room, guint64 end, guint n, GError **error)
{
  static const char none[] = "there is no room for them in its header";
  guint64 at = room->extension_at, needed = at + EXTENSION_LENGTH + EXTENSION_HEAD;
  guint64 name_at = img_load_be64 (room->head + BACKING_AT);
  guint64 name_length = img_load_be32 (room->head + BACKING_AT + 8);

  room->is_there = n > 0;
  if (n > 1) /* all would be read once there are bitmaps */
    return throw_room (q, "its header has more than one place for them", error);
  if (n == 1)
    return (at + EXTENSION_LENGTH <= end
            && img_load_be32 (room->head + at + 4) == EXTENSION_LENGTH - EXTENSION_HEAD)
           || throw_room (q, "the place for them in its header is of another size", error);
  if (name_at == 0 || needed <= name_at)
    return needed <= q->cluster_size || throw_room (q, none, error);
  /* The old name is not read as an extension while only an end stands before it. */
  room->name_to = MAX (needed, name_at + name_length);
  return (at + EXTENSION_HEAD <= name_at && room->name_to + name_length <= q->cluster_size)
         || throw_room (q, none, error);
}

/* That the name is inside of the cluster was seen when it was read. */
static gboolean
find_room (const Qcow2 *q, Room *room, GError **error)
{
  gsize cluster = (gsize)q->cluster_size, length = (gsize)MIN (cluster, img_file_size (q->file));
  guint n;

  room->head = img_buffer_alloc0 (cluster, img_file_path (q->file), error);
  if (room->head == NULL || !img_file_read (q->file, 0, room->head, length, error))
    return FALSE;
  guint64 name_at = img_load_be64 (room->head + BACKING_AT);
  gsize end = (gsize)(name_at != 0 ? name_at : cluster);
  if (q->header_length > end)
    return throw_room (q, "its header is longer than it can be", error);
  room->extension_at = q->header_length
                       + qcow2_extension_find (room->head + q->header_length,
                                               end - q->header_length, QCOW2_EXTENSION_BITMAPS, &n);
  return find_place (q, room, end, n, error);
}

gboolean
qcow2_rewrite_check_room (const Qcow2 *q, GError **error)
{
  g_auto (Room) room = { 0 };

  if (q->version < 3)
    return img_throw (error, IMG_ERROR_UNSUPPORTED,
                      "'%s' cannot get bitmaps: it is a qcow2 image of version 2", q->safe_path);
  return find_room (q, &room, error);
}

/* Everything before is on the disk before the next. */
static gboolean
put (const Qcow2Writer *w, guint64 offset, const void *bytes, gsize length, GError **error)
{
  return img_file_write (w->file, offset, bytes, length, error)
         && (!w->is_durable || img_file_flush (w->file, error));
}

static gboolean
move_name (const Qcow2Writer *w, const Room *room, GError **error)
{
  guint64 from = img_load_be64 (room->head + BACKING_AT);
  guint64 word = GUINT64_TO_BE (room->name_to);
  gsize length = img_load_be32 (room->head + BACKING_AT + 8);

  return put (w, room->name_to, room->head + from, length, error)
         && put (w, BACKING_AT, &word, sizeof word, error);
}

gboolean
qcow2_rewrite_add_bitmaps (const Qcow2Writer *w, GError **error)
{
  const Qcow2 *q = w->previous->state;
  guint64 word = GUINT64_TO_BE (QCOW2_BITMAPS); /* an image with a data file gets none */
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_auto (Room) room = { 0 };

  if (w->n_bitmaps == 0)
    return TRUE;
  if (!find_room (q, &room, error))
    return FALSE;
  qcow2_append_bitmaps (w, bytes);
  if (!room.is_there) /* and the end of all extensions */
    g_byte_array_set_size (bytes, EXTENSION_LENGTH + EXTENSION_HEAD);
  memset (bytes->data + EXTENSION_LENGTH, 0, bytes->len - EXTENSION_LENGTH);
  return (room.name_to == 0 || move_name (w, &room, error))
         && put (w, room.extension_at + EXTENSION_HEAD, bytes->data + EXTENSION_HEAD,
                 bytes->len - EXTENSION_HEAD, error)
         && put (w, room.extension_at, bytes->data, EXTENSION_HEAD, error)
         && put (w, QCOW2_AUTOCLEAR_AT, &word, sizeof word, error);
}
