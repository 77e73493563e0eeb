/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "holder/nfs-server.h"

#include <fcntl.h>
#include <string.h>

#include "base/fd.h"
#include "base/proc-stat.h"

#define CLIENTS "/proc/fs/nfsd/clients"

static void
client_free (gpointer data)
{
  ImgNfsClient *client = data;
  g_free (client->address);
  g_free (client->name);
  g_free (client);
}

ImgNfsClient *
img_nfs_client_copy (const ImgNfsClient *client)
{
  ImgNfsClient *copy = g_memdup2 (client, sizeof *client);
  copy->address = g_strdup (client->address);
  copy->name = g_strdup (client->name);
  return copy;
}

GPtrArray *
img_nfs_client_array (void)
{
  return g_ptr_array_new_with_free_func (client_free);
}

ImgNfsThread
img_nfs_thread (pid_t pid)
{
  g_autoptr (GString) command = g_string_new (NULL);
  g_autofree char *path = g_strdup_printf ("/proc/%d/comm", (int)pid);

  if (!img_fd_read_file (AT_FDCWD, path, command) || !img_proc_is_kernel_thread (pid))
    return IMG_NFS_NOT;
  if (strcmp (command->str, "nfsd\n") == 0)
    return IMG_NFS_NFSD;
  return strcmp (command->str, "lockd\n") == 0 ? IMG_NFS_LOCKD : IMG_NFS_NOT;
}

/* What stands between quotes behind @key at the beginning of a line, quotes inside escaped by the
 * kernel; or NULL. */
static char *
quoted (const char *text, const char *key)
{
  g_autofree char *start = g_strdup_printf ("%s: \"", key);
  const char *found = text;
  while ((found = strstr (found, start)) != NULL && found != text && found[-1] != '\n')
    found++;
  if (found == NULL)
    return NULL;
  found += strlen (start);
  return g_strndup (found, strcspn (found, "\"\n"));
}

gboolean
img_nfs_info_parse (const char *info, ImgNfsClient *client)
{
  g_autofree char *address = quoted (info, "address");
  char *port = address == NULL ? NULL : strrchr (address, ':');

  if (port == NULL)
    return FALSE;
  *port = '\0';
  g_free (client->address);
  g_free (client->name);
  client->address = g_steal_pointer (&address);
  client->name = quoted (info, "name");
  if (client->name == NULL)
    client->name = g_strdup ("");
  return TRUE;
}

/* One line, "- 0x...: { type: open, access: rw, deny: --, superblock: "07:00:12", filename: ...".
 * Names that the client has chosen come behind what is looked at here. */
static gboolean
parse_state (const char *line, const char *inode, ImgNfsClient *client)
{
  g_autofree char *superblock = g_strdup_printf ("superblock: \"%s\"", inode);
  const char *found = strstr (line, "superblock: \"");
  const char *type = strstr (line, "type: ");
  const char *access = strstr (line, "access: ");

  if (found == NULL || type == NULL || type > found || !g_str_has_prefix (found, superblock))
    return FALSE;
  client->has_lock |= g_str_has_prefix (type, "type: lock");
  gboolean is_delegation = g_str_has_prefix (type, "type: deleg");
  client->has_delegation |= is_delegation;
  if (access == NULL || access > found)
    return TRUE;
  /* Who has a delegation for reading need not have it open; one for writing lets it write. */
  gsize length = strcspn (access += strlen ("access: "), ", ");
  client->can_read |= !is_delegation && memchr (access, 'r', length) != NULL;
  client->can_write |= memchr (access, 'w', length) != NULL;
  return TRUE;
}

gboolean
img_nfs_states_parse (const char *states, const char *inode, ImgNfsClient *client)
{
  g_auto (GStrv) lines = g_strsplit (states, "\n", -1);
  gboolean is_there = FALSE;
  for (guint i = 0; lines[i] != NULL; i++)
    is_there |= parse_state (lines[i], inode, client);
  return is_there;
}

/* Look at one client; NULL if it does not have the file open, or cannot be looked at. */
static ImgNfsClient *
look_at_client (const char *number, const char *inode)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autofree char *states = g_build_filename (CLIENTS, number, "states", NULL);
  g_autofree char *info = g_build_filename (CLIENTS, number, "info", NULL);
  ImgNfsClient *client = g_new0 (ImgNfsClient, 1);

  if (img_fd_read_file (AT_FDCWD, states, text) && img_nfs_states_parse (text->str, inode, client)
      && img_fd_read_file (AT_FDCWD, info, text) && img_nfs_info_parse (text->str, client))
    return client;
  client_free (client);
  return NULL;
}

GPtrArray *
img_nfs_clients (const ImgInodeKey *key)
{
  GPtrArray *clients = img_nfs_client_array ();
  g_autofree char *inode
      = g_strdup_printf ("%02x:%02x:%" G_GUINT64_FORMAT, key->major, key->minor, key->locks_ino);
  /* On btrfs the same numbers may be another file's. */
  g_autoptr (GDir) folder
      = key->has_key && !key->is_ambiguous ? g_dir_open (CLIENTS, 0, NULL) : NULL;
  const char *number;

  while (folder != NULL && (number = g_dir_read_name (folder)) != NULL)
    {
      ImgNfsClient *client = look_at_client (number, inode);
      if (client != NULL)
        g_ptr_array_add (clients, client);
    }
  return clients;
}

gboolean
img_nfs_is_served (void)
{
  return g_file_test ("/proc/net/rpc/nfsd", G_FILE_TEST_EXISTS);
}
