/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk/detect.h"

#include <string.h>

typedef struct
{
  const char *name;
  gsize offset;
  const char *magic;
  gsize length;
} Signature;

#define SIGNATURE(name, offset, magic)    \
  {                                       \
    name, offset, magic, sizeof magic - 1 \
  }

/* Sources: QEMU docs/interop and the formats' public descriptions. A fixed VHD begins with the
 * disk's own first sector and is raw to everybody who looks at the beginning. */
static const Signature formats[] = {
  SIGNATURE ("qcow", 0, "QFI\xfb\x00\x00\x00\x01"),
  SIGNATURE ("qcow2", 0, "QFI\xfb"),
  SIGNATURE ("qed", 0, "QED\0"),
  SIGNATURE ("vmdk", 0, "KDMV"),
  SIGNATURE ("vmdk", 0, "COWD"),
  SIGNATURE ("vmdk", 0, "# Disk DescriptorFile"),
  SIGNATURE ("vhdx", 0, "vhdxfile"),
  SIGNATURE ("vpc", 0, "conectix"),
  SIGNATURE ("vdi", 0x40, "\x7f\x10\xda\xbe"),
  SIGNATURE ("luks", 0, "LUKS\xba\xbe"),
  SIGNATURE ("parallels", 0, "WithoutFreeSpace"),
  SIGNATURE ("parallels", 0, "WithouFreSpacExt"),
  SIGNATURE ("bochs", 0, "Bochs Virtual HD Image"),
};

static const Signature wrappers[] = {
  SIGNATURE ("gzip", 0, "\x1f\x8b"),
  SIGNATURE ("xz", 0,
             "\xfd"
             "7zXZ\0"),
  SIGNATURE ("zstd", 0, "\x28\xb5\x2f\xfd"),
  SIGNATURE ("bzip2", 0, "BZh"),
};

static const char *
find (const Signature *table, gsize n, const guint8 *head, gsize length)
{
  for (gsize i = 0; i < n; i++)
    if (length >= table[i].offset + table[i].length
        && memcmp (head + table[i].offset, table[i].magic, table[i].length) == 0)
      return table[i].name;
  return NULL;
}

const char *
img_detect_format (const guint8 *head, gsize length)
{
  const char *name = find (formats, G_N_ELEMENTS (formats), head, length);
  return name == NULL ? "raw" : name;
}

const char *
img_detect_wrapper (const guint8 *head, gsize length)
{
  return find (wrappers, G_N_ELEMENTS (wrappers), head, length);
}

const char *
img_format_intern (const char *name)
{
  if (strcmp (name, "raw") == 0)
    return "raw";
  for (gsize i = 0; i < G_N_ELEMENTS (formats); i++)
    if (strcmp (formats[i].name, name) == 0)
      return formats[i].name;
  return NULL;
}

gboolean
img_format_is_known (const char *name)
{
  return img_format_intern (name) != NULL;
}

gboolean
img_format_is_supported (const char *name)
{
  return strcmp (name, "raw") == 0 || strcmp (name, "qcow2") == 0;
}

gboolean
img_format_can_be_written (const char *name)
{
  return img_format_is_supported (name);
}
