/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "file/attributes.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "lock/remote.h"

#define ACCESS_ACL "system.posix_acl_access"
#define DEFAULT_ACL "system.posix_acl_default"

/* Modes, without the file's kind. */
#define ALL_MODE ((mode_t)07777)
#define PRIVATE_MODE ((mode_t)0600)

/* What chattr(1) sets and means something for an image. */
#define FLAGS_TO_TRY                                                                     \
  (FS_COMPR_FL | FS_NOCOMP_FL | FS_NODUMP_FL | FS_NOATIME_FL | FS_SYNC_FL | FS_NOTAIL_FL \
   | FS_JOURNAL_DATA_FL)

static gboolean
throw_errno (GError **error, const char *name, const char *what)
{
  int why = errno;
  return img_throw (error, IMG_ERROR_FAILED,
                    "cannot replace '%s': its %s cannot be kept: %s (--in-place writes into it)",
                    name, what, g_strerror (why));
}

/* ---- owner and mode ------------------------------------------------------------------------- */

/* Give @fd the user and group of @to, if it has not got them. */
static gboolean
set_owner (int fd, const struct stat *to, const char *name, GError **error)
{
  struct stat now;
  if (fstat (fd, &now) < 0)
    return throw_errno (error, name, "owner");
  if (now.st_uid == to->st_uid && now.st_gid == to->st_gid)
    return TRUE;
  if (fchown (fd, now.st_uid == to->st_uid ? (uid_t)-1 : to->st_uid,
              now.st_gid == to->st_gid ? (gid_t)-1 : to->st_gid)
      < 0)
    return throw_errno (error, name, now.st_uid == to->st_uid ? "group" : "owner");
  return TRUE;
}

static gboolean
set_mode (int fd, mode_t mode, const char *name, GError **error)
{
  struct stat now;
  if (fstat (fd, &now) == 0 && ((now.st_mode ^ mode) & ALL_MODE) == 0)
    return TRUE;
  return fchmod (fd, mode & ALL_MODE) == 0 || throw_errno (error, name, "mode");
}

/* ---- extended attributes -------------------------------------------------------------------- */

/* Call flistxattr or fgetxattr until the answer fits. Returns its length with *@bytes (owned by the
 * caller), or -1 with errno set. @key NULL asks for the list. */
static gssize
get_xattr (int fd, const char *key, char **bytes)
{
  g_autofree char *buffer = NULL;
  for (;;)
    {
      ssize_t room = key == NULL ? flistxattr (fd, NULL, 0) : fgetxattr (fd, key, NULL, 0);
      if (room < 0)
        return -1;
      buffer = g_realloc (buffer, (gsize)room + 1);
      ssize_t length = key == NULL ? flistxattr (fd, buffer, (gsize)room)
                                   : fgetxattr (fd, key, buffer, (gsize)room);
      if (length < 0 && errno == ERANGE)
        continue;
      if (length < 0)
        return -1;
      /* Asked with no room the kernel tells the size, which may have grown. */
      if (length > room)
        continue;
      buffer[length] = '\0';
      *bytes = g_steal_pointer (&buffer);
      return length;
    }
}

static gboolean
is_kept (const char *key)
{
  static const char *const kept[]
      = { "user.", "trusted.", "security.", ACCESS_ACL, "system.nfs4_acl" };
  static const char *const bound[] = { "security.capability", "security.ima", "security.evm" };

  for (guint i = 0; i < G_N_ELEMENTS (bound); i++)
    if (strcmp (key, bound[i]) == 0)
      return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (kept); i++)
    if (g_str_has_prefix (key, kept[i]))
      return TRUE;
  return FALSE;
}

static gboolean
copy_xattr (int old_fd, int new_fd, const char *key, const char *name, GError **error)
{
  g_autofree char *wanted = NULL;
  g_autofree char *present = NULL;
  g_autofree char *safe_key = img_text_escape (key, -1);
  g_autofree char *what = g_strdup_printf ("extended attribute '%s'", safe_key);
  gssize length = get_xattr (old_fd, key, &wanted);

  if (length < 0)
    return errno == ENODATA || throw_errno (error, name, what);
  if (get_xattr (new_fd, key, &present) == length && memcmp (present, wanted, (gsize)length) == 0)
    return TRUE;
  if (fsetxattr (new_fd, key, wanted, (gsize)length, 0) == 0)
    return TRUE;
  if (errno == ENOTSUP && !g_str_has_prefix (key, "user.") && strcmp (key, ACCESS_ACL) != 0)
    return TRUE;
  return throw_errno (error, name, what);
}

static gboolean
copy_xattrs (int old_fd, int new_fd, const char *name, GError **error)
{
  g_autofree char *keys = NULL;
  gssize length = get_xattr (old_fd, NULL, &keys);

  if (length < 0)
    return errno == ENOTSUP || errno == ENOSYS || throw_errno (error, name, "extended attributes");
  for (const char *key = keys; key < keys + length; key += strlen (key) + 1)
    if (is_kept (key) && !copy_xattr (old_fd, new_fd, key, name, error))
      return FALSE;
  return TRUE;
}

/* A new file may have an ACL from its folder that the old one has not. */
static gboolean
drop_inherited_acl (int old_fd, int new_fd, const char *name, GError **error)
{
  if (fgetxattr (new_fd, ACCESS_ACL, NULL, 0) < 0 || fgetxattr (old_fd, ACCESS_ACL, NULL, 0) >= 0)
    return TRUE;
  return fremovexattr (new_fd, ACCESS_ACL) == 0 || throw_errno (error, name, "lack of an ACL");
}

/* ---- flags ---------------------------------------------------------------------------------- */

/* Make the flags of @mask on @fd as they are in @wanted. FALSE with errno set. */
static gboolean
set_flags (int fd, int mask, int wanted)
{
  int now;
  if (ioctl (fd, FS_IOC_GETFLAGS, &now) < 0)
    return FALSE;
  int flags = (now & ~mask) | (wanted & mask);
  return flags == now || ioctl (fd, FS_IOC_SETFLAGS, &flags) == 0;
}

static gboolean
copy_flags (int old_fd, int new_fd, const char *name, GError **error)
{
  int wanted;

  if (ioctl (old_fd, FS_IOC_GETFLAGS, &wanted) < 0)
    return TRUE; /* this file system has none */
  if (!set_flags (new_fd, FS_NOCOW_FL, wanted))
    return throw_errno (error, name, "flag \"no copy on write\"");
  for (int flag = 1; flag > 0 && flag <= FLAGS_TO_TRY; flag <<= 1)
    if ((FLAGS_TO_TRY & flag) && !set_flags (new_fd, flag, wanted))
      continue; /* as an example, only root may set "journal data" */
  return TRUE;
}

/* ---- all of it ------------------------------------------------------------------------------ */

gboolean
img_attributes_try (int old_fd, int new_fd, const char *name, GError **error)
{
  struct stat old, own;

  if (fstat (old_fd, &old) < 0 || fstat (new_fd, &own) < 0)
    return img_throw_errno (error, "cannot look at '%s'", name);
  /* The owner only to see whether it can be done: until it is finished the file is ours. */
  return set_owner (new_fd, &old, name, error) && set_owner (new_fd, &own, name, error)
         && copy_flags (old_fd, new_fd, name, error)
         && drop_inherited_acl (old_fd, new_fd, name, error)
         && copy_xattrs (old_fd, new_fd, name, error)
         /* An ACL for others gives nothing under this mode. */
         && set_mode (new_fd, PRIVATE_MODE, name, error);
}

gboolean
img_attributes_copy (int old_fd, int new_fd, const char *name, GError **error)
{
  struct stat old;

  if (fstat (old_fd, &old) < 0)
    return img_throw_errno (error, "cannot look at '%s'", name);
  /* The owner first, as it takes bits of the mode away; the mode last, as an ACL changes it. */
  return set_owner (new_fd, &old, name, error) && drop_inherited_acl (old_fd, new_fd, name, error)
         && copy_xattrs (old_fd, new_fd, name, error)
         && set_mode (new_fd, old.st_mode, name, error);
}

/* ---- new files ------------------------------------------------------------------------------ */

/* An entry of an ACL as an extended attribute: little-endian, after four bytes of version.
 * Source: linux/posix_acl_xattr.h. */
#define ACL_HEAD 4
#define ACL_ENTRY 8

enum
{
  ACL_USER_OBJ = 0x01,
  ACL_GROUP_OBJ = 0x04,
  ACL_MASK = 0x10,
  ACL_OTHER = 0x20,
};

mode_t
img_attributes_new_mode (int folder, mode_t mode)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", folder);
  guint8 acl[ACL_HEAD + 1024 * ACL_ENTRY];
  ssize_t length = getxattr (path, DEFAULT_ACL, acl, sizeof acl);
  mode_t user = 0, group = 0, mask = 07, other = 0;

  /* What a server does with ACLs is not known here. */
  if (length <= ACL_HEAD || img_remote_kind (folder) != IMG_REMOTE_NOT)
    {
      mode_t taken = umask (077);
      umask (taken);
      return mode & ~taken;
    }
  for (const guint8 *entry = acl + ACL_HEAD; entry + ACL_ENTRY <= acl + length; entry += ACL_ENTRY)
    switch (entry[0] | entry[1] << 8)
      {
      case ACL_USER_OBJ:
        user = entry[2];
        break;
      case ACL_GROUP_OBJ:
        group = entry[2];
        break;
      case ACL_MASK:
        mask = group = entry[2];
        break;
      case ACL_OTHER:
        other = entry[2];
        break;
      default:
        break;
      }
  return mode & ((user & 07u) << 6 | (group & mask & 07u) << 3 | (other & 07u));
}
