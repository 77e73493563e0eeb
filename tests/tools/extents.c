/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Print where the bytes of an image come from, as the library knows it:
 *
 *   extents [-f FORMAT] IMAGE     in the words of "qemu-img map --output=json"
 *   extents --count IMAGE         only how many extents there are
 *
 * Exit status 1 if the image cannot be opened or read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/open.h"

/* Whether @next is of one kind with @last and lies behind it. */
static gboolean
continues (const ImgMapping *last, const ImgMapping *next)
{
  if (last->kind != next->kind || last->depth != next->depth
      || last->is_compressed != next->is_compressed || last->file != next->file)
    return FALSE;
  return next->file == NULL || next->host_offset == last->host_offset + last->length;
}

static void
print (const ImgMapping *extent, gboolean is_first)
{
  gboolean is_data = extent->kind == IMG_MAPPING_DATA;
  printf ("%s{ \"start\": %" G_GUINT64_FORMAT ", \"length\": %" G_GUINT64_FORMAT
          ", \"depth\": %u, \"present\": %s, \"zero\": %s, \"data\": %s, \"compressed\": %s",
          is_first ? "[" : ",\n", extent->guest_offset, extent->length, extent->depth,
          extent->kind == IMG_MAPPING_ABSENT ? "false" : "true", is_data ? "false" : "true",
          is_data ? "true" : "false", extent->is_compressed ? "true" : "false");
  if (extent->file != NULL)
    printf (", \"offset\": %" G_GUINT64_FORMAT, extent->host_offset);
  printf ("}");
}

static gboolean
walk (ImgDisk *disk, gboolean only_count, GError **error)
{
  ImgMapping joined = { 0 }, next;
  guint64 n = 0;

  for (guint64 at = 0; at < disk->size; at += next.length)
    {
      if (!img_disk_map (disk, at, disk->size - at, &next, error))
        return FALSE;
      if (joined.length > 0 && continues (&joined, &next))
        {
          joined.length += next.length;
          continue;
        }
      if (joined.length > 0 && !only_count)
        print (&joined, n == 1);
      joined = next;
      n++;
    }
  if (joined.length > 0 && !only_count)
    print (&joined, n == 1);
  if (only_count)
    printf ("%" G_GUINT64_FORMAT "\n", n);
  else
    printf ("%s]\n", n == 0 ? "[" : "");
  return TRUE;
}

int
main (int argc, char **argv)
{
  ImgOpenParams params = { 0 };
  gboolean only_count = FALSE;
  int i = 1;

  for (; i < argc - 1; i++)
    if (strcmp (argv[i], "-f") == 0)
      params.format = argv[++i];
    else if (strcmp (argv[i], "--count") == 0)
      only_count = TRUE;
  if (i != argc - 1)
    {
      fprintf (stderr, "usage: extents [-f FORMAT] [--count] IMAGE\n");
      return 2;
    }
  g_autoptr (GError) error = NULL;
  /* The files outlive the disk in them. */
  g_autoptr (GPtrArray) files = g_ptr_array_new_with_free_func ((GDestroyNotify)img_file_close);
  g_auto (ImgChain) chain = { 0 };
  g_autoptr (ImgDisk) disk = img_open_chain (argv[i], IMG_USE_READ, &params, files, &chain, &error)
                                 ? img_chain_open (&chain, &error)
                                 : NULL;

  if (disk != NULL && walk (disk, only_count, &error))
    return EXIT_SUCCESS;
  fprintf (stderr, "extents: %s\n", error->message);
  return EXIT_FAILURE;
}
