/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/digest.h"

#include <nettle/nettle-meta.h>
#include <string.h>

#define MAX_DIGEST_BYTES 64
#define ZEROS (64 * 1024)

struct ImgDigest
{
  const struct nettle_hash *hash; /* constant */
  gpointer context;               /* owned */
};

static const char *const names[]
    = { "sha256", "sha512", "sha384", "sha224", "sha1", "sha3_256", "sha3_512", "md5", NULL };

gboolean
img_digest_is_known (const char *name)
{
  return g_strv_contains (names, name) && nettle_lookup_hash (name) != NULL;
}

const char *const *
img_digest_names (void)
{
  return names;
}

ImgDigest *
img_digest_new (const char *name)
{
  ImgDigest *digest = g_new0 (ImgDigest, 1);
  digest->hash = nettle_lookup_hash (name);
  g_assert (digest->hash != NULL && digest->hash->digest_size <= MAX_DIGEST_BYTES);
  digest->context = g_malloc (digest->hash->context_size);
  digest->hash->init (digest->context);
  return digest;
}

void
img_digest_add (ImgDigest *digest, const void *buffer, gsize length)
{
  digest->hash->update (digest->context, length, buffer);
}

void
img_digest_add_zeros (ImgDigest *digest, guint64 length)
{
  static const guint8 zeros[ZEROS];
  while (length > 0)
    {
      gsize part = (gsize)MIN (length, ZEROS);
      img_digest_add (digest, zeros, part);
      length -= part;
    }
}

void
img_digest_get (ImgDigest *digest, guint8 *bytes, gsize length)
{
  g_assert (length <= digest->hash->digest_size);
  digest->hash->digest (digest->context, length, bytes);
}

char *
img_digest_finish (ImgDigest *digest)
{
  guint8 bytes[MAX_DIGEST_BYTES];
  guint length = digest->hash->digest_size;
  GString *text = g_string_sized_new (2 * (gsize)length + 1);

  img_digest_get (digest, bytes, length);
  for (guint i = 0; i < length; i++)
    g_string_append_printf (text, "%02x", bytes[i]);
  img_digest_free (digest);
  return g_string_free (text, FALSE);
}

void
img_digest_free (ImgDigest *digest)
{
  g_free (digest->context);
  g_free (digest);
}
