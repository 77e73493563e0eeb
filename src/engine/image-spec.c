/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/image-spec.h"

#include <string.h>

#include "base/keyval.h"
#include "base/text.h"
#include "disk/detect.h"

static gboolean
is_protocol (const char *driver)
{
  return strcmp (driver, "file") == 0 || strcmp (driver, "host_device") == 0;
}

static gboolean
throw_value (const ImgKeyValue *pair, const char *must, GError **error)
{
  g_autofree char *safe = img_text_escape (pair->value, -1);
  return img_throw (error, IMG_ERROR_USAGE, "bad value '%s' for %s: it must be %s", safe, pair->key,
                    must);
}

static gboolean
set_driver (const ImgKeyValue *pair, ImgImageSpec *spec, GError **error)
{
  if (is_protocol (pair->value))
    spec->format = "raw"; /* the file's bytes as they are */
  else if (img_format_is_known (pair->value))
    spec->format = img_format_intern (pair->value);
  else
    return throw_value (pair, "a format or file or host_device", error);
  return TRUE;
}

static gboolean
set_one (const ImgKeyValue *pair, ImgImageSpec *spec, GError **error)
{
  /* "file." leads to the layer below the format, where there is one. */
  const char *key = pair->key;
  gboolean is_below = g_str_has_prefix (key, "file.");
  key += is_below ? strlen ("file.") : 0;

  if (strcmp (key, "driver") == 0)
    {
      if (!is_below)
        return set_driver (pair, spec, error);
      return is_protocol (pair->value) || throw_value (pair, "file or host_device", error);
    }
  if (strcmp (key, "filename") == 0)
    {
      g_free (spec->path);
      spec->path = g_strdup (pair->value);
      return TRUE;
    }
  if (strcmp (key, "locking") == 0)
    return img_locking_parse (pair->value, &spec->locking)
           || throw_value (pair, "on, off, auto or posix", error);
  g_autofree char *safe = img_text_escape (pair->key, -1);
  return img_throw (error, IMG_ERROR_USAGE,
                    "unknown key '%s' in --image-opts: the keys are driver, file.driver, "
                    "file.filename and file.locking",
                    safe);
}

gboolean
img_image_spec_parse (const char *options, ImgImageSpec *spec, GError **error)
{
  g_autoptr (GArray) pairs = img_keyval_parse (options, error);
  if (pairs == NULL)
    return FALSE;
  g_clear_pointer (&spec->path, g_free);
  for (guint i = 0; i < pairs->len; i++)
    if (!set_one (&g_array_index (pairs, ImgKeyValue, i), spec, error))
      return FALSE;
  if (spec->path == NULL || spec->path[0] == '\0')
    return img_throw (error, IMG_ERROR_USAGE, "--image-opts needs file.filename=PATH");
  return TRUE;
}

void
img_image_spec_clear (ImgImageSpec *spec)
{
  g_clear_pointer (&spec->path, g_free);
}
