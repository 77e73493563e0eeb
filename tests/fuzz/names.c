/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names that an image gives to other files, at the gate. The first byte chooses the format that is
 * recorded with the name. */
#include <string.h>

#include "disk/gate.h"
#include "fuzz.h"

static void
check_path (const char *path)
{
  g_autofree char *canonical = g_canonicalize_filename (path, NULL);
  g_assert (path[0] != '\0' && !g_str_has_prefix (canonical, "/proc/")
            && strcmp (canonical, "/proc") != 0 && strcmp (canonical, "/dev/fd") != 0);
  for (const char *c = path; *c != '\0'; c++)
    g_assert (!g_ascii_iscntrl (*c));
}

static void
run (const guint8 *data, gsize size)
{
  static const char *const formats[] = { NULL, "raw", "qcow2", "file", "nonsense" };
  g_auto (ImgGatePath) path = { 0 };
  GError *error = NULL;

  if (size < 2)
    return;
  g_autofree char *name = fuzz_text (data + 1, size - 1);
  g_autofree char *format = g_strdup (formats[data[0] % G_N_ELEMENTS (formats)]);
  const ImgReference reference = { .name = name, .format = format };
  g_autofree char *full = img_gate_full_name ("/folder/top.qcow2", name);
  g_assert_nonnull (full);
  gboolean is_good
      = img_gate_resolve ("/folder/top.qcow2", "backing file", &reference, &path, &error);

  fuzz_check_error (!is_good, &error);
  if (is_good)
    check_path (path.path);
}

const FuzzTarget fuzz_names = { .name = "names", .run = run };
