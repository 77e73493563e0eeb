/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define SECTOR 512
#define PLAIN_DATA 65536
#define PLAIN_SIZE (1 << 20)

static const char *const names[FUZZ_SLOTS]
    = { [FUZZ_TOP] = "top.qcow2", [FUZZ_BEHIND] = "behind.qcow2", [FUZZ_PLAIN] = "plain.raw" };

static ImgFile *files_of_slots[FUZZ_SLOTS]; /* open as long as the program runs */

/* Reads end in the kernel, where the address sanitizer does not see what they overwrite. */
ssize_t __real_preadv2 (int fd, const struct iovec *parts, int n, off_t offset, int flags);
ssize_t __wrap_preadv2 (int fd, const struct iovec *parts, int n, off_t offset, int flags);

ssize_t
__wrap_preadv2 (int fd, const struct iovec *parts, int n, off_t offset, int flags)
{
  ssize_t got = __real_preadv2 (fd, parts, n, offset, flags);

  for (int i = 0; got > 0 && i < n; i++)
    {
      volatile guint8 *bytes = parts[i].iov_base;
      bytes[0] = bytes[0];
      bytes[parts[i].iov_len - 1] = bytes[parts[i].iov_len - 1];
    }
  return got;
}

static ImgFile *
new_file (const char *name)
{
  const ImgFileParams params = { .is_writable = TRUE, .locking = IMG_LOCKING_OFF };
  int fd = memfd_create (name, MFD_CLOEXEC);
  GError *error = NULL;

  g_assert_cmpint (fd, >=, 0);
  ImgFile *file = img_file_adopt (fd, name, &params, &error);
  g_assert_no_error (error);
  return file;
}

ImgFile *
fuzz_image (FuzzSlot slot, const guint8 *data, gsize size)
{
  ImgFile *file = files_of_slots[slot];

  if (file == NULL)
    file = files_of_slots[slot] = new_file (names[slot]);
  g_assert_true (img_file_resize (file, size, NULL));
  g_assert_true (img_file_write (file, 0, data, size, NULL));
  return file;
}

ImgFile *
fuzz_image_plain (void)
{
  static ImgFile *plain;
  guint8 data[PLAIN_DATA];

  if (plain != NULL)
    return plain;
  for (gsize i = 0; i < sizeof data; i++)
    data[i] = (guint8)(i / SECTOR + 1);
  plain = fuzz_image (FUZZ_PLAIN, data, sizeof data);
  g_assert_true (img_file_resize (plain, PLAIN_SIZE, NULL));
  return plain;
}

/* ---- chains ---- */

typedef struct
{
  const guint8 *data; /* borrowed; where a second image begins, or NULL */
  gsize size;
} Second;

static Second
find_second (const guint8 *data, gsize size)
{
  for (gsize at = SECTOR; at + 4 <= size; at += SECTOR)
    if (memcmp (data + at, "QFI\xfb", 4) == 0)
      return (Second){ .data = data + at, .size = size - at };
  return (Second){ .data = NULL };
}

static ImgFile *
open_named (const char *path, gpointer closure, GError **error)
{
  const Second *second = closure;

  if (g_str_has_suffix (path, ".raw"))
    return fuzz_image_plain ();
  if (second->data != NULL)
    return fuzz_image (FUZZ_BEHIND, second->data, second->size);
  return img_null_throw (error, IMG_ERROR_FAILED, "there is no such file here");
}

ImgDisk *
fuzz_image_reopen (const guint8 *data, gsize size, const char *snapshot, GPtrArray *files,
                   GError **error)
{
  Second second = find_second (data, size);
  ImgChainParams params = { .policy = { .allow_devices = TRUE, .allow_data_file = TRUE },
                            .snapshot = snapshot,
                            .open = open_named,
                            .closure = &second };
  g_auto (ImgChain) chain = { 0 };
  return img_chain_find (files_of_slots[FUZZ_TOP], "qcow2", &params, files, &chain, error)
             ? img_chain_open (&chain, error)
             : NULL;
}

ImgDisk *
fuzz_image_open (const guint8 *data, gsize size, const char *snapshot, GPtrArray *files,
                 GError **error)
{
  (void)fuzz_image (FUZZ_TOP, data, size);
  return fuzz_image_reopen (data, size, snapshot, files, error);
}
