/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Numbers in memory that came from a file: big endian, at any alignment. */
#pragma once

#include <glib.h>
#include <string.h>

static inline guint16
img_load_be16 (const void *bytes)
{
  guint16 value;
  memcpy (&value, bytes, sizeof value);
  return GUINT16_FROM_BE (value);
}

static inline guint32
img_load_be32 (const void *bytes)
{
  guint32 value;
  memcpy (&value, bytes, sizeof value);
  return GUINT32_FROM_BE (value);
}

static inline guint64
img_load_be64 (const void *bytes)
{
  guint64 value;
  memcpy (&value, bytes, sizeof value);
  return GUINT64_FROM_BE (value);
}
