/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/mounts.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/fd.h"

void
img_mount_free (ImgMount *mount)
{
  g_free (mount->mount_point);
  g_free (mount->type);
  g_free (mount->source);
  g_free (mount->options);
  g_free (mount);
}

static gboolean
has_option (const char *options, const char *wanted)
{
  g_auto (GStrv) list = g_strsplit (options, ",", -1);
  return g_strv_contains ((const char *const *)list, wanted);
}

ImgMount *
img_mount_parse (const char *line)
{
  /* ID PARENT MAJ:MIN ROOT MOUNT-POINT OPTIONS [TAG...] - TYPE SOURCE SUPER-OPTIONS */
  g_auto (GStrv) words = g_strsplit (line, " ", -1);
  guint n = g_strv_length (words), dash = 6, id, device_major, device_minor;

  while (dash < n && strcmp (words[dash], "-") != 0)
    dash++;
  if (dash + 3 >= n || sscanf (words[0], "%u", &id) != 1
      || sscanf (words[2], "%u:%u", &device_major, &device_minor) != 2)
    return NULL;

  ImgMount *mount = g_new0 (ImgMount, 1);
  mount->id = id;
  mount->major = device_major;
  mount->minor = device_minor;
  mount->mount_point = g_strcompress (words[4]); /* octal escapes: \040 is a blank */
  mount->type = g_strdup (words[dash + 1]);
  mount->source = g_strcompress (words[dash + 2]);
  mount->options = g_strconcat (words[5], ",", words[dash + 3], NULL);
  mount->is_read_only = has_option (mount->options, "ro");
  return mount;
}

typedef gboolean (*MountPredicate) (const ImgMount *mount, guint a, guint b);

static ImgMount *
find_mount (MountPredicate is_wanted, guint a, guint b)
{
  g_autoptr (GString) text = g_string_new (NULL);
  if (!img_fd_read_file (AT_FDCWD, "/proc/self/mountinfo", text))
    return NULL;
  g_auto (GStrv) lines = g_strsplit (text->str, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    {
      g_autoptr (ImgMount) mount = img_mount_parse (lines[i]);
      if (mount != NULL && is_wanted (mount, a, b))
        return g_steal_pointer (&mount);
    }
  return NULL;
}

static gboolean
has_id (const ImgMount *mount, guint id, G_GNUC_UNUSED guint unused)
{
  return mount->id == id;
}

static gboolean
is_on_device (const ImgMount *mount, guint wanted_major, guint wanted_minor)
{
  struct stat st;
  if (mount->major == wanted_major && mount->minor == wanted_minor)
    return TRUE;
  return strcmp (mount->type, "btrfs") == 0 && g_str_has_prefix (mount->source, "/dev/")
         && stat (mount->source, &st) == 0 && S_ISBLK (st.st_mode)
         && st.st_rdev == makedev (wanted_major, wanted_minor);
}

ImgMount *
img_mount_by_id (guint id)
{
  return find_mount (has_id, id, 0);
}

ImgMount *
img_mount_by_device (guint device_major, guint device_minor)
{
  return find_mount (is_on_device, device_major, device_minor);
}

ImgMount *
img_mount_by_path (const char *path)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autoptr (ImgMount) best = NULL;
  gsize best_length = 0;

  if (!img_fd_read_file (AT_FDCWD, "/proc/self/mountinfo", text))
    return NULL;
  g_auto (GStrv) lines = g_strsplit (text->str, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    {
      ImgMount *mount = img_mount_parse (lines[i]);
      gsize length = mount == NULL ? 0 : strlen (mount->mount_point);
      gboolean is_above = length > 0 && strncmp (path, mount->mount_point, length) == 0
                          && (length == 1 || path[length] == '/' || path[length] == '\0');
      /* Of two mounts on one point the later one hides the earlier. */
      if (is_above && length >= best_length)
        {
          g_clear_pointer (&best, img_mount_free);
          best = g_steal_pointer (&mount);
          best_length = length;
        }
      g_clear_pointer (&mount, img_mount_free);
    }
  return g_steal_pointer (&best);
}

ImgMount *
img_mount_of_fd (int fd)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autofree char *path = g_strdup_printf ("/proc/self/fdinfo/%d", fd);
  const char *line;
  guint id;

  if (!img_fd_read_file (AT_FDCWD, path, text))
    return NULL;
  line = strstr (text->str, "\nmnt_id:");
  return line != NULL && sscanf (line, "\nmnt_id: %u", &id) == 1 ? img_mount_by_id (id) : NULL;
}

gboolean
img_mount_is_nfs3 (const ImgMount *mount)
{
  return strcmp (mount->type, "nfs") == 0 && has_option (mount->options, "vers=3")
         && !has_option (mount->options, "nolock")
         && !has_option (mount->options, "local_lock=posix")
         && !has_option (mount->options, "local_lock=all");
}
