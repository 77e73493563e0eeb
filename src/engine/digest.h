/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Digests of guest content. nettle does the work. */
#pragma once

#include "base/error.h"

typedef struct ImgDigest ImgDigest;

/* Whether @name ("sha256") is known; and all names, NULL-terminated and constant. */
gboolean img_digest_is_known (const char *name);
const char *const *img_digest_names (void);

ImgDigest *img_digest_new (const char *name);
void img_digest_add (ImgDigest *digest, const void *buffer, gsize length);
void img_digest_add_zeros (ImgDigest *digest, guint64 length);
/* The first @length bytes of the result into @bytes; @digest begins anew. */
void img_digest_get (ImgDigest *digest, guint8 *bytes, gsize length);
/* The result in hexadecimal, a new string; frees @digest. */
char *img_digest_finish (ImgDigest *digest);
void img_digest_free (ImgDigest *digest);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImgDigest, img_digest_free)
