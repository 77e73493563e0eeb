/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Run a target once on each of the inputs that are kept:
 *
 *   replay                         names all targets
 *   replay TARGET FILE|FOLDER...   also those in the folders, in the order of their names
 *   replay --pack FOLDER IMAGE...  make inputs for "unpack" of images
 *
 * It prints the number of inputs. Whatever is wrong ends it, after the name of the input. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "unpack.h"

gsize
fuzz_mutate_any (guint8 *data, gsize size, gsize max_size)
{
  (void)data, (void)max_size;
  return size;
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

/* Add @path, or what is in it, to @files. */
static void
add_path (GPtrArray *files, const char *path)
{
  g_autoptr (GDir) folder = g_dir_open (path, 0, NULL);
  guint first = files->len;

  if (folder == NULL)
    {
      g_ptr_array_add (files, g_strdup (path));
      return;
    }
  for (const char *name; (name = g_dir_read_name (folder)) != NULL;)
    g_ptr_array_add (files, g_build_filename (path, name, NULL));
  if (files->len > first)
    qsort (files->pdata + first, files->len - first, sizeof (gpointer), compare_names);
}

/* In memory that is exactly as long, so that a sanitizer sees what reads on. */
static gboolean
replay (const FuzzTarget *target, const char *path)
{
  g_autofree char *contents = NULL;
  g_autoptr (GError) error = NULL;
  gsize size;

  if (!g_file_get_contents (path, &contents, &size, &error))
    {
      fprintf (stderr, "replay: %s\n", error->message);
      return FALSE;
    }
  g_autofree guint8 *data = g_malloc (MAX (size, 1));
  memcpy (data, contents, size);
  target->run (data, size);
  return TRUE;
}

static int
pack (const char *folder, char *const *images)
{
  g_autoptr (GError) error = NULL;

  for (; *images != NULL; images++)
    if (!fuzz_pack_image (*images, folder, &error))
      {
        fprintf (stderr, "replay: %s\n", error->message);
        return EXIT_FAILURE;
      }
  return EXIT_SUCCESS;
}

int
main (int argc, char **argv)
{
  if (argc > 2 && strcmp (argv[1], "--pack") == 0)
    return pack (argv[2], argv + 3);

  const FuzzTarget *target = argc < 2 ? NULL : fuzz_target_find (argv[1]);
  g_autoptr (GPtrArray) files = g_ptr_array_new_with_free_func (g_free);

  if (target == NULL)
    {
      for (guint i = 0; fuzz_targets[i] != NULL; i++)
        printf ("%s\n", fuzz_targets[i]->name);
      return argc < 2 ? EXIT_SUCCESS : 2;
    }
  for (int i = 2; i < argc; i++)
    add_path (files, argv[i]);
  for (guint i = 0; i < files->len; i++)
    {
      const char *path = files->pdata[i];
      /* Written before it is known how it ends. */
      fprintf (stderr, "%s\n", path);
      if (!replay (target, path))
        return EXIT_FAILURE;
    }
  printf ("%u\n", files->len);
  return EXIT_SUCCESS;
}
