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

/* What is looked for only where an image is not trusted: at the end ... */
static const Signature at_end[] = {
  SIGNATURE ("vpc", 0, "conectix"), /* of a fixed disk */
  SIGNATURE ("dmg", 0, "koly"),
};

/* ... and contents, which a raw disk may have. ISO 9660 can be in sessions of other sector sizes;
 * GPT is in the second sector, whatever its size. */
static const Signature contents[] = {
  SIGNATURE ("iso", 0x8001, "CD001"),
  SIGNATURE ("iso", 0x8801, "CD001"),
  SIGNATURE ("gpt", 512, "EFI PART"),
  SIGNATURE ("gpt", 4096, "EFI PART"),
  SIGNATURE ("mbr", 510, "\x55\xaa"),
  SIGNATURE ("cloop", 0, "#!/bin/sh\n#V2.0 Format\nmodprobe cloop"),
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

static void
add_name (GPtrArray *names, const char *name)
{
  if (!g_ptr_array_find_with_equal_func (names, name, g_str_equal, NULL))
    g_ptr_array_add (names, (gpointer)name);
}

static void
add_matches (const Signature *table, gsize n, const guint8 *bytes, gsize length, GPtrArray *names)
{
  for (gsize i = 0; i < n; i++)
    if (find (&table[i], 1, bytes, length) != NULL)
      add_name (names, table[i].name);
}

/* QEMU takes a text for the descriptor of a VMDK if its first line that is neither empty nor a
 * comment is version=1, 2 or 3. */
static gboolean
is_descriptor (const guint8 *head, gsize length)
{
  gsize at = 0;

  while (at < length
         && (head[at] == '#' || head[at] == '\n' || head[at] == ' ' || head[at] == '\r'))
    {
      const guint8 *end = memchr (head + at, '\n', length - at);
      if (head[at] != '#' && head[at] != '\n')
        at++;
      else if (end == NULL)
        return FALSE;
      else
        at = (gsize)(end - head) + 1;
    }
  const char *key = "version=";
  return length - at > strlen (key) && memcmp (head + at, key, strlen (key)) == 0
         && head[at + strlen (key)] >= '1' && head[at + strlen (key)] <= '3';
}

void
img_detect_candidates (const guint8 *head, gsize head_length, const guint8 *tail, gsize tail_length,
                       GPtrArray *names)
{
  const char *first = find (formats, G_N_ELEMENTS (formats), head, head_length);

  if (first != NULL)
    g_ptr_array_add (names, (gpointer)first);
  /* Both begin alike, and the version has decided. */
  for (gsize i = 0; i < G_N_ELEMENTS (formats); i++)
    if (find (&formats[i], 1, head, head_length) != NULL
        && !(g_strcmp0 (first, "qcow") == 0 && strcmp (formats[i].name, "qcow2") == 0))
      add_name (names, formats[i].name);
  if (is_descriptor (head, head_length))
    add_name (names, img_format_intern ("vmdk"));
  if (tail_length == IMG_DETECT_TAIL_BYTES)
    add_matches (at_end, G_N_ELEMENTS (at_end), tail, tail_length, names);
  add_matches (contents, G_N_ELEMENTS (contents), head, head_length, names);
}

gboolean
img_detect_is_content (const char *name)
{
  return strcmp (name, "iso") == 0 || strcmp (name, "gpt") == 0 || strcmp (name, "mbr") == 0;
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
