/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What follows the header: extensions, each with a type and a length. */
#include <string.h>

#include "base/bytes.h"
#include "base/text.h"
#include "format/qcow2/extension.h"
#include "format/qcow2/qcow2.h"

typedef struct
{
  guint32 type;
  const guint8 *data; /* borrowed */
  gsize length;
} Extension;

/* The extension at *@at, which moves on; FALSE at the end, or (*@is_bad) where one is cut off. */
static gboolean
next_extension (const guint8 *area, gsize length, gsize *at, Extension *extension, gboolean *is_bad)
{
  *is_bad = FALSE;
  if (*at > length || length - *at < 8)
    return FALSE;
  extension->type = img_load_be32 (area + *at);
  extension->length = img_load_be32 (area + *at + 4);
  extension->data = area + *at + 8;
  if (extension->type == QCOW2_EXTENSION_END)
    return FALSE;
  *is_bad = extension->length > length - *at - 8;
  if (*is_bad)
    return FALSE;
  *at += 8 + ((extension->length + 7) & ~(gsize)7);
  return TRUE;
}

gsize
qcow2_extension_find (const guint8 *area, gsize length, guint32 type, guint *n)
{
  Extension extension;
  gboolean is_bad;
  gsize begin = 0, found = 0;

  *n = 0;
  for (gsize at = 0; next_extension (area, length, &at, &extension, &is_bad); begin = at)
    if (extension.type == type && ++*n == 1)
      found = begin;
  return *n > 0 ? found : begin;
}

/* ---- features ---- */

/* The name of bit @bit of the incompatible features, if @table has it; a new string. */
static char *
feature_name (const Extension *table, guint bit)
{
  for (gsize at = 0;
       table->length >= QCOW2_FEATURE_ENTRY && at <= table->length - QCOW2_FEATURE_ENTRY;
       at += QCOW2_FEATURE_ENTRY)
    {
      const guint8 *entry = table->data + at;
      const char *name = (const char *)entry + 2;
      if (entry[0] == 0 && entry[1] == bit && name[0] != '\0')
        return img_text_escape (name, (gssize)strnlen (name, QCOW2_FEATURE_NAME));
    }
  return NULL;
}

gboolean
qcow2_features_check (const Qcow2 *q, guint64 unknown, const guint8 *area, gsize length,
                      GError **error)
{
  Extension extension, table = { 0 };
  g_autoptr (GString) names = g_string_new (NULL);
  gboolean is_bad;

  if (unknown == 0)
    return TRUE;
  for (gsize at = 0; next_extension (area, length, &at, &extension, &is_bad);)
    if (extension.type == QCOW2_EXTENSION_FEATURE_NAMES)
      table = extension;
  for (guint bit = 0; bit < 64; bit++)
    {
      if ((unknown >> bit & 1) == 0)
        continue;
      g_autofree char *name = feature_name (&table, bit);
      g_string_append_printf (names, "%s%u", names->len > 0 ? ", " : "", bit);
      if (name != NULL)
        g_string_append_printf (names, " (%s)", name);
    }
  return img_throw (error, IMG_ERROR_UNSUPPORTED,
                    "'%s' uses features of qcow2 that are not known here: bit %s", q->safe_path,
                    names->str);
}

/* ---- the others ---- */

/* @extension as a text that may stand in a C string. */
static gboolean
take_text (const Qcow2 *q, const Extension *extension, const char *what, char **text,
           GError **error)
{
  if (memchr (extension->data, 0, extension->length) != NULL)
    return img_throw (error, IMG_ERROR_FAILED, "'%s': the %s in its header contains a NUL",
                      q->safe_path, what);
  g_free (*text);
  *text = g_strndup ((const char *)extension->data, extension->length);
  return TRUE;
}

static gboolean
throw_bad (const Qcow2 *q, const char *what, GError **error)
{
  return img_throw (error, IMG_ERROR_FAILED, "'%s': the %s in its header makes no sense",
                    q->safe_path, what);
}

static gboolean
take_bitmaps (Qcow2 *q, const Extension *extension, GError **error)
{
  guint32 n;
  guint64 bytes, offset;

  /* Somebody who does not know of bitmaps wrote to the image: they are out of date. */
  if (q->version < 3 || (q->autoclear & QCOW2_BITMAPS) == 0)
    {
      q->has_stale_bitmaps = TRUE;
      return TRUE;
    }
  if (extension->length != 24)
    return throw_bad (q, "bitmaps extension", error);
  n = img_load_be32 (extension->data);
  bytes = img_load_be64 (extension->data + 8);
  offset = img_load_be64 (extension->data + 16);
  if (n == 0 || n > QCOW2_MAX_BITMAPS || img_load_be32 (extension->data + 4) != 0)
    return throw_bad (q, "number of bitmaps", error);
  if (!qcow2_check_table (q, "bitmap directory", offset, bytes, 1, QCOW2_MAX_BITMAP_DIRECTORY_BYTES,
                          error))
    return FALSE;
  q->n_bitmaps = n;
  q->bitmap_directory_bytes = bytes;
  q->bitmap_directory_offset = offset;
  return TRUE;
}

static gboolean
take_luks (Qcow2 *q, const Extension *extension, GError **error)
{
  if (q->crypt != QCOW2_CRYPT_LUKS || extension->length != 16)
    return throw_bad (q, "place of the LUKS header", error);
  q->luks_offset = img_load_be64 (extension->data);
  q->luks_length = img_load_be64 (extension->data + 8);
  return qcow2_check_table (q, "LUKS header", q->luks_offset, q->luks_length, 1, G_MAXINT64, error);
}

/* It is left out; that it was there may matter to whoever does not trust the image. */
static gboolean
note_strange (Qcow2 *q, const Extension *extension)
{
  if (q->strange_extension == 0)
    q->strange_extension = extension->type;
  return TRUE;
}

static gboolean
take (Qcow2 *q, ImgDisk *disk, const Extension *extension, GError **error)
{
  switch (extension->type)
    {
    case QCOW2_EXTENSION_BACKING_FORMAT:
      if (extension->length > QCOW2_MAX_BACKING_FORMAT)
        return throw_bad (q, "format of the backing file", error);
      return take_text (q, extension, "format of the backing file", &disk->backing.format, error);
    case QCOW2_EXTENSION_FEATURE_NAMES:
      return TRUE;
    case QCOW2_EXTENSION_DATA_FILE_NAME:
      if ((q->incompatible & QCOW2_DATA_FILE) == 0)
        return note_strange (q, extension);
      if (extension->length > QCOW2_MAX_DATA_FILE_NAME)
        return throw_bad (q, "name of the data file", error);
      return take_text (q, extension, "name of the data file", &disk->data_file.name, error);
    case QCOW2_EXTENSION_BITMAPS:
      return take_bitmaps (q, extension, error);
    case QCOW2_EXTENSION_LUKS_HEADER:
      return take_luks (q, extension, error);
    default:
      return note_strange (q, extension);
    }
}

gboolean
qcow2_extensions_read (Qcow2 *q, ImgDisk *disk, const guint8 *area, gsize length, GError **error)
{
  Extension extension;
  gboolean is_bad;

  for (gsize at = 0; next_extension (area, length, &at, &extension, &is_bad);)
    if (!take (q, disk, &extension, error))
      return FALSE;
  if (is_bad)
    return throw_bad (q, "length of an extension", error);
  if (q->crypt == QCOW2_CRYPT_LUKS && q->luks_length == 0)
    return img_throw (error, IMG_ERROR_FAILED,
                      "'%s': it is encrypted with LUKS, but has no LUKS header", q->safe_path);
  return TRUE;
}
