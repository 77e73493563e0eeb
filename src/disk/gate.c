/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk/gate.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

void
img_gate_path_clear (ImgGatePath *path)
{
  g_clear_pointer (&path->path, g_free);
  g_clear_pointer (&path->format, g_free);
}

static gboolean
is_one_of (const char *word, const char *a, const char *b)
{
  return strcmp (word, a) == 0 || strcmp (word, b) == 0;
}

/* "nbd:..." and the like: a colon before any slash. */
static gboolean
has_protocol (const char *name)
{
  gsize length = strcspn (name, ":/");
  return name[length] == ':';
}

/* @path relative to the folder of @image. */
static char *
beside (const char *image, const char *path)
{
  const char *slash = strrchr (image, '/');
  if (path[0] == '/' || slash == NULL)
    return g_strdup (path);
  return g_strdup_printf ("%.*s/%s", (int)(slash - image), image, path);
}

char *
img_gate_full_name (const char *image, const char *name)
{
  return has_protocol (name) ? g_strdup (name) : beside (image, name);
}

static gboolean
refuse (const char *image, const char *what, const char *name, const char *why, GError **error)
{
  g_autofree char *safe = img_text_escape (image, -1);
  g_autofree char *safe_name = img_text_escape (name, -1);
  return img_throw (error, IMG_ERROR_FAILED, "'%s' names '%s' as its %s, which is not followed: %s",
                    safe, safe_name, what, why);
}

/* ---- json: ---- */

/* What was found in the object of a json: name. */
typedef struct
{
  const char *format, *driver, *filename; /* borrowed from the object */
} JsonName;

/* Whether @object, or what is called "file" in it, has only the members that a plain file needs. */
static gboolean
take_members (json_t *object, const char *prefix, JsonName *found)
{
  const char *key;
  json_t *value;
  gboolean is_file = prefix[0] != '\0';

  json_object_foreach (object, key, value)
  {
    const char *text = json_string_value (value);
    const char *rest = g_str_has_prefix (key, "file.") && !is_file ? key + strlen ("file.") : NULL;
    if (strcmp (key, "file") == 0 && !is_file && json_is_object (value))
      {
        if (!take_members (value, "file.", found))
          return FALSE;
      }
    else if (text == NULL)
      return FALSE;
    else if (strcmp (key, "driver") == 0 && !is_file)
      found->format = text;
    else if ((is_file && strcmp (key, "driver") == 0)
             || (rest != NULL && strcmp (rest, "driver") == 0))
      found->driver = text;
    else if (strcmp (rest != NULL ? rest : key, "filename") == 0)
      found->filename = text;
    else
      return FALSE;
  }
  return TRUE;
}

/* Whether @found is a format over a file, or a file; what is not said is probed or is a file. */
static gboolean
is_plain (JsonName *found)
{
  if (found->filename == NULL)
    return FALSE;
  if (found->format != NULL && found->driver == NULL
      && is_one_of (found->format, "file", "host_device"))
    found->format = NULL;
  return (found->format == NULL || is_one_of (found->format, "raw", "qcow2"))
         && (found->driver == NULL || is_one_of (found->driver, "file", "host_device"));
}

static gboolean
resolve_json (const char *image, const char *what, const char *name, ImgGatePath *path,
              char **file_name, GError **error)
{
  JsonName found = { 0 };
  json_t *object = json_loads (name + strlen ("json:"), JSON_REJECT_DUPLICATES, NULL);
  gboolean is_good
      = json_is_object (object) && take_members (object, "", &found) && is_plain (&found);

  if (is_good)
    {
      *file_name = g_strdup (found.filename);
      if (path->format == NULL)
        path->format = g_strdup (found.format);
    }
  json_decref (object);
  return is_good
         || refuse (image, what, name,
                    "of json: only raw or qcow2 over a plain file is, with no other options",
                    error);
}

/* ---- names ---- */

static gboolean
has_control (const char *name)
{
  for (const char *c = name; *c != '\0'; c++)
    if (g_ascii_iscntrl (*c))
      return TRUE;
  return FALSE;
}

/* What is not a file for everybody, but something of the process that opens it. Links to such are
 * refused when they are followed. */
static gboolean
is_of_process (const char *path)
{
  static const char *const places[]
      = { "/proc", "/dev/fd", "/dev/fdset", "/dev/stdin", "/dev/stdout", "/dev/stderr" };
  g_autofree char *canonical = g_canonicalize_filename (path, NULL);
  const char *absolute = canonical + strspn (canonical, "/") - 1; /* it keeps two of them */
  for (guint i = 0; i < G_N_ELEMENTS (places); i++)
    {
      gsize length = strlen (places[i]);
      if (strncmp (absolute, places[i], length) == 0
          && (absolute[length] == '/' || absolute[length] == '\0'))
        return TRUE;
    }
  return FALSE;
}

gboolean
img_gate_resolve (const char *image, const char *what, const ImgReference *reference,
                  ImgGatePath *path, GError **error)
{
  const char *name = reference->name;
  g_autofree char *file_name = NULL;

  /* QEMU's names for the layer below the format: the file's bytes as they are. */
  path->format
      = g_strdup (reference->format == NULL                              ? NULL
                  : is_one_of (reference->format, "file", "host_device") ? "raw"
                                                                         : reference->format);
  if (g_str_has_prefix (name, "json:"))
    {
      if (!resolve_json (image, what, name, path, &file_name, error))
        return FALSE;
    }
  else if (g_str_has_prefix (name, "file:"))
    file_name = g_strdup (name + strlen ("file:"));
  else if (has_protocol (name))
    return refuse (image, what, name,
                   "it is no file name; a file that is really called so has ./ before its name",
                   error);
  else
    file_name = g_strdup (name);
  if (file_name[0] == '\0' || has_control (file_name))
    return refuse (image, what, name, "it is empty or has control characters", error);
  path->path = beside (image, file_name);
  return !is_of_process (path->path)
         || refuse (image, what, name, "that is no file, but something of this process", error);
}

/* ---- files ---- */

/* Whether what @fd stands for is in the folder of @image or below it. */
static gboolean
is_inside_folder (const char *image, int fd)
{
  g_autofree char *folder = g_path_get_dirname (image);
  g_autofree char *link = g_strdup_printf ("/proc/self/fd/%d", fd);
  g_autofree char *target = g_file_read_link (link, NULL);
  char *real = realpath (folder, NULL);
  gsize length = real == NULL ? 0 : strlen (real);
  gboolean is_inside = target != NULL && length > 0 && strncmp (target, real, length) == 0
                       && (target[length] == '/' || strcmp (real, "/") == 0);
  free (real);
  return is_inside;
}

gboolean
img_gate_check (ImgFile *image, const char *what, gboolean is_data_file, ImgFile *file,
                const ImgGatePolicy *policy, GError **error)
{
  const char *image_path = img_file_path (image), *path = img_file_path (file);

  if (img_file_is_device (file) && !img_file_is_device (image) && !policy->allow_devices)
    return refuse (image_path, what, path, "it is a block device; --allow-devices permits that",
                   error);
  if (is_data_file && !policy->allow_data_file && !img_file_is_device (file)
      && !is_inside_folder (image_path, img_file_fd (file)))
    return refuse (image_path, what, path,
                   "it is not in the folder of the image; --allow-data-file permits that", error);
  return TRUE;
}
