/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk/snapshot.h"

#include <string.h>

#include "base/keyval.h"
#include "base/text.h"
#include "disk/format.h"

/* What snapshot.id=ID,snapshot.name=NAME says; borrowed from @pairs. */
static gboolean
take_keys (const GArray *pairs, const char **id, const char **name, GError **error)
{
  for (guint i = 0; i < pairs->len; i++)
    {
      const ImgKeyValue *pair = &g_array_index (pairs, ImgKeyValue, i);
      if (strcmp (pair->key, "snapshot.id") == 0)
        *id = pair->value;
      else if (strcmp (pair->key, "snapshot.name") == 0)
        *name = pair->value;
      else
        {
          g_autofree char *safe = img_text_escape (pair->key, -1);
          return img_throw (error, IMG_ERROR_USAGE,
                            "unknown key '%s' in -l: the keys are snapshot.id and snapshot.name",
                            safe);
        }
    }
  return TRUE;
}

static gboolean
select_by_text (ImgDisk *disk, const char *text, gboolean *is_found, GError **error)
{
  const char *id = NULL, *name = NULL;

  if (!g_str_has_prefix (text, "snapshot."))
    return disk->format->select (disk, text, NULL, is_found, error)
           && (*is_found || disk->format->select (disk, NULL, text, is_found, error));
  g_autoptr (GArray) pairs = img_keyval_parse (text, error);
  return pairs != NULL && take_keys (pairs, &id, &name, error)
         && disk->format->select (disk, id, name, is_found, error);
}

gboolean
img_disk_select (ImgDisk *disk, const char *text, GError **error)
{
  g_autofree char *path = img_text_escape (img_file_path (disk->file), -1);
  g_autofree char *safe = img_text_escape (text, -1);
  gboolean is_found;

  if (disk->format->select == NULL)
    return img_throw (error, IMG_ERROR_UNSUPPORTED, "'%s' is %s, which cannot hold snapshots", path,
                      disk->format->name);
  if (!select_by_text (disk, text, &is_found, error))
    return FALSE;
  return is_found || img_throw (error, IMG_ERROR_FAILED, "'%s' has no snapshot '%s'", path, safe);
}
