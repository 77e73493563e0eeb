/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "fuzz.h"

extern const FuzzTarget fuzz_check, fuzz_describe, fuzz_read, fuzz_repair;
extern const FuzzTarget fuzz_escape, fuzz_image_spec, fuzz_keyval, fuzz_locks, fuzz_mountinfo,
    fuzz_names, fuzz_size, fuzz_unpack;

const FuzzTarget *const fuzz_targets[] = {
  &fuzz_describe,   &fuzz_read,   &fuzz_check, &fuzz_repair,    &fuzz_escape,
  &fuzz_image_spec, &fuzz_keyval, &fuzz_locks, &fuzz_mountinfo, &fuzz_names,
  &fuzz_size,       &fuzz_unpack, NULL,
};

const FuzzTarget *
fuzz_target_find (const char *name)
{
  for (guint i = 0; fuzz_targets[i] != NULL; i++)
    if (strcmp (fuzz_targets[i]->name, name) == 0)
      return fuzz_targets[i];
  return NULL;
}

char *
fuzz_text (const guint8 *data, gsize size)
{
  gsize length = size == 0 ? 0 : strnlen ((const char *)data, size);
  char *text = g_malloc (length + 1);

  if (length > 0)
    memcpy (text, data, length);
  text[length] = '\0';
  return text;
}

void
fuzz_check_printable (const char *text)
{
  g_assert (g_utf8_validate (text, -1, NULL));
  for (const char *c = text; *c != '\0'; c++)
    g_assert (*c == '\n' || !g_ascii_iscntrl (*c));
}

void
fuzz_check_error (gboolean failed, GError **error)
{
  g_assert (failed == (*error != NULL));
  if (*error == NULL)
    return;
  fuzz_check_printable ((*error)->message);
  g_clear_error (error);
}
