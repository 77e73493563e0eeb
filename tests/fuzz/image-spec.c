/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a user writes behind --image-opts. */
#include "engine/image-spec.h"
#include "fuzz.h"

static void
run (const guint8 *data, gsize size)
{
  g_autofree char *text = fuzz_text (data, size);
  g_auto (ImgImageSpec) spec = { 0 };
  GError *error = NULL;
  gboolean is_good = img_image_spec_parse (text, &spec, &error);

  fuzz_check_error (!is_good, &error);
  if (is_good)
    g_assert (spec.path != NULL && spec.path[0] != '\0');
}

const FuzzTarget fuzz_image_spec = { .name = "image-spec", .run = run };
