/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How the content is encrypted, as far as it is shown.
 *
 * Source: the LUKS1 on-disk format specification; the words are those of QEMU's
 * qapi/crypto.json. */
#include <string.h>

#include "base/bytes.h"
#include "format/qcow2/qcow2.h"

#define LUKS_SECTOR 512
#define N_SLOTS 8
#define SLOTS_OFFSET 208
#define SLOT_LENGTH 48
#define SLOT_ACTIVE 0x00ac71f3u

/* A field of the header that is a text, as a new string. */
static char *
field_text (const guint8 *header, gsize offset, gsize length)
{
  return g_strndup ((const char *)header + offset, length);
}

/* "aes" and a key of 64 bytes for XTS, which has two of them, is "aes-256". */
static char *
cipher_algorithm (const char *cipher, const char *mode, guint32 key_bytes)
{
  guint32 bytes = strcmp (mode, "xts") == 0 ? key_bytes / 2 : key_bytes;
  return g_strdup_printf ("%s-%u", cipher, bytes * 8);
}

static void
describe_slots (const guint8 *header, ImgFact *luks)
{
  ImgFact *slots = img_fact_add_list (luks, "slots");
  for (guint i = 0; i < N_SLOTS; i++)
    {
      const guint8 *slot = header + SLOTS_OFFSET + i * SLOT_LENGTH;
      gboolean is_active = img_load_be32 (slot) == SLOT_ACTIVE;
      ImgFact *fact = img_fact_add_group (slots, NULL);
      img_fact_add_boolean (fact, "active", is_active);
      if (is_active)
        img_fact_add_number (fact, "iters", img_load_be32 (slot + 4));
      img_fact_add_number (fact, "key-offset", (guint64)img_load_be32 (slot + 40) * LUKS_SECTOR);
      if (is_active)
        img_fact_add_number (fact, "stripes", img_load_be32 (slot + 44));
    }
}

/* Whether what begins with @header is in the only version that QEMU knows. */
static gboolean
is_luks (const guint8 *header)
{
  static const guint8 magic[] = { 'L', 'U', 'K', 'S', 0xba, 0xbe, 0, 1 };
  return memcmp (header, magic, sizeof magic) == 0;
}

gboolean
qcow2_crypt_check (const Qcow2 *q, gboolean *is_good, GError **error)
{
  guint8 header[QCOW2_LUKS_FIELDS];

  if (!img_file_read (q->file, q->luks_offset, header, sizeof header, error))
    return FALSE;
  *is_good = is_luks (header);
  return TRUE;
}

static gboolean
describe_luks (const Qcow2 *q, ImgFact *luks, GError **error)
{
  guint8 header[QCOW2_LUKS_FIELDS];

  if (!img_file_read (q->file, q->luks_offset, header, sizeof header, error))
    return FALSE;
  if (!is_luks (header))
    return img_throw (error, IMG_ERROR_FAILED,
                      "'%s': what its header points to is not a LUKS header", q->safe_path);
  g_autofree char *cipher = field_text (header, 8, 32);
  g_autofree char *mode = field_text (header, 40, 32);
  g_autofree char *hash = field_text (header, 72, 32);
  g_autofree char *uuid = field_text (header, 168, 40);
  /* "xts-plain64", or "cbc-essiv:sha256". */
  g_auto (GStrv) mode_parts = g_strsplit (mode, "-", 2);
  g_auto (GStrv) ivgen = g_strsplit (
      mode_parts[0] != NULL && mode_parts[1] != NULL ? mode_parts[1] : "none", ":", 2);
  g_autofree char *algorithm = cipher_algorithm (cipher, mode_parts[0] != NULL ? mode_parts[0] : "",
                                                 img_load_be32 (header + 108));

  img_fact_add_text (luks, "ivgen-alg", ivgen[0] != NULL ? ivgen[0] : "");
  img_fact_add_boolean (luks, "detached-header", FALSE);
  img_fact_add_text (luks, "hash-alg", hash);
  img_fact_add_text (luks, "cipher-alg", algorithm);
  img_fact_add_text (luks, "uuid", uuid);
  if (ivgen[0] != NULL && ivgen[1] != NULL)
    img_fact_add_text (luks, "ivgen-hash-alg", ivgen[1]);
  img_fact_add_text (luks, "format", "luks");
  img_fact_add_text (luks, "cipher-mode", mode_parts[0] != NULL ? mode_parts[0] : "");
  describe_slots (header, luks);
  img_fact_add_number (luks, "payload-offset", (guint64)img_load_be32 (header + 104) * LUKS_SECTOR);
  img_fact_add_number (luks, "master-key-iters", img_load_be32 (header + 164));
  return TRUE;
}

gboolean
qcow2_crypt_describe (const Qcow2 *q, ImgFact *facts, GError **error)
{
  if (q->crypt == QCOW2_CRYPT_NONE)
    return TRUE;
  ImgFact *crypt = img_fact_add_group (facts, "encrypt");
  if (q->crypt == QCOW2_CRYPT_LUKS)
    return describe_luks (q, crypt, error);
  img_fact_add_text (crypt, "format", "aes");
  return TRUE;
}
