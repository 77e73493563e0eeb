/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a user calls an image: a path, or with --image-opts a list of options in QEMU's spelling. */
#pragma once

#include "lock/image-lock.h"

typedef struct
{
  char *path;         /* owned */
  const char *format; /* constant or borrowed; NULL: look */
  ImgLocking locking;
} ImgImageSpec;

/* Parse "driver=raw,file.filename=x,file.locking=off". The keys are driver, file.driver (file or
 * host_device), file.filename and file.locking, or with driver=file filename and locking alone;
 * what is not given is taken from @spec, whose path is replaced. FALSE with IMG_ERROR_USAGE. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_image_spec_parse (const char *options, ImgImageSpec *spec, GError **error);

void img_image_spec_clear (ImgImageSpec *spec);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ImgImageSpec, img_image_spec_clear)
