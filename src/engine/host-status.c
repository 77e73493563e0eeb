/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/host-status.h"

#include <string.h>

#include "base/error.h"
#include "engine/evidence.h"
#include "holder/proc-locks.h"

static void
host_image_free (gpointer data)
{
  ImgHostImage *image = data;
  g_free (image->path);
  g_ptr_array_unref (image->holders);
  g_free (image);
}

/* libvirt's byte 0 or 1 alone says little: many programs lock the first byte of a file. */
static gboolean
is_libvirt (const ImgHolder *holder)
{
  const ImgProcess *first = holder->processes->len > 0 ? holder->processes->pdata[0] : NULL;
  return holder->dialect == IMG_DIALECT_LIBVIRT && first != NULL && first->command != NULL
         && (g_str_has_prefix (first->command, "virtlockd")
             || g_str_has_prefix (first->command, "libvirtd")
             || g_str_has_prefix (first->command, "virtqemud"));
}

/* Nor does a lock over a whole file, unless Cloud Hypervisor has it. */
static gboolean
is_cloud_hypervisor (const ImgHolder *holder)
{
  const ImgProcess *first = holder->processes->len > 0 ? holder->processes->pdata[0] : NULL;
  return first != NULL && first->command != NULL
         && g_str_has_prefix (first->command, "cloud-hyperviso");
}

static gboolean
is_image_lock (const ImgHolder *holder)
{
  if (holder->kind != IMG_HOLDER_LOCK || holder->held == IMG_HELD_FLOCK)
    return FALSE;
  return holder->dialect == IMG_DIALECT_QEMU || is_libvirt (holder) || is_cloud_hypervisor (holder);
}

static gboolean
any_is_image_lock (const GPtrArray *holders)
{
  for (guint i = 0; i < holders->len; i++)
    if (is_image_lock (holders->pdata[i]))
      return TRUE;
  return FALSE;
}

/* The set of inode numbers in @lines; flock() and leases are no image locks. */
static GHashTable *
locked_inodes (const GArray *lines)
{
  GHashTable *inodes = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  for (guint i = 0; i < lines->len; i++)
    {
      const ImgLocksLine *line = &g_array_index (lines, ImgLocksLine, i);
      if (line->kind == IMG_LOCKS_LINE_OFD || line->kind == IMG_LOCKS_LINE_POSIX)
        g_hash_table_add (inodes, g_memdup2 (&line->ino, sizeof line->ino));
    }
  return inodes;
}

/* The holders of the file that @openers (borrowed) have open, or of the inode of @lines. */
static GPtrArray *
judge (GPtrArray *openers, GArray *lines)
{
  g_autoptr (GPtrArray) notes = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) clients = NULL;
  ImgOpenerScan some = { .openers = openers };
  ImgEvidence evidence = { .key = { .is_ambiguous = lines == NULL },
                           .fs_kind = IMG_FS_LOCAL,
                           .lines = lines,
                           .scan = &some,
                           .writers = IMG_WRITERS_UNKNOWN };
  if (lines != NULL)
    {
      const ImgLocksLine *first = &g_array_index (lines, ImgLocksLine, 0);
      evidence.key.major = first->major;
      evidence.key.minor = first->minor;
      evidence.key.locks_ino = first->ino;
      evidence.key.has_key = TRUE;
      clients = img_nfs_clients (&evidence.key);
      evidence.nfs_clients = clients;
    }
  return img_evidence_holders (&evidence, notes);
}

/* Keep what @holders (taken over) are, if one of them has an image lock. */
static ImgHostImage *
add_image (ImgHostStatus *status, GPtrArray *holders)
{
  if (!any_is_image_lock (holders))
    {
      g_ptr_array_unref (holders);
      return NULL;
    }
  ImgHostImage *image = g_new0 (ImgHostImage, 1);
  image->holders = holders;
  g_ptr_array_add (status->images, image);
  return image;
}

/* The file of @line as one key: the kernel's device and inode number. The number alone would not
 * do, an NFS client's is that of its server. Returns a new string. */
static char *
file_key (const ImgLocksLine *line)
{
  return g_strdup_printf ("%x:%x:%" G_GUINT64_FORMAT, line->major, line->minor, line->ino);
}

/* Files that visible processes have open, one group of descriptors after the other; those that were
 * closed since have no name any more and are left out. Adds those whose locks they hold to @seen.
 */
static void
add_visible (ImgHostStatus *status, const ImgOpenerScan *scan, GHashTable *seen)
{
  for (guint i = 0; i < scan->openers->len; i++)
    {
      const ImgOpener *first = scan->openers->pdata[i];
      g_autoptr (GPtrArray) group = g_ptr_array_new ();
      guint k = 0;
      while (k < i
             && (((ImgOpener *)scan->openers->pdata[k])->ino != first->ino
                 || ((ImgOpener *)scan->openers->pdata[k])->dev != first->dev))
        k++;
      if (k < i)
        continue; /* a file that was looked at already */
      for (; k < scan->openers->len; k++)
        {
          ImgOpener *opener = scan->openers->pdata[k];
          if (opener->ino != first->ino || opener->dev != first->dev)
            continue;
          g_ptr_array_add (group, opener);
          for (guint m = 0; m < opener->locks->len; m++)
            g_hash_table_add (seen, file_key (&g_array_index (opener->locks, ImgLocksLine, m)));
        }
      g_autofree char *path = img_opener_path (first);
      ImgHostImage *image = path == NULL ? NULL : add_image (status, judge (group, NULL));
      if (image != NULL)
        image->path = g_steal_pointer (&path);
    }
}

/* Locks whose holders cannot be seen, by file. */
static void
add_invisible (ImgHostStatus *status, const GArray *lines, GHashTable *seen)
{
  g_autoptr (GPtrArray) nobody = g_ptr_array_new ();
  for (guint i = 0; i < lines->len; i++)
    {
      const ImgLocksLine *first = &g_array_index (lines, ImgLocksLine, i);
      g_autoptr (GArray) same = g_array_new (FALSE, FALSE, sizeof (ImgLocksLine));
      if (!g_hash_table_add (seen, file_key (first)))
        continue;
      for (guint k = i; k < lines->len; k++)
        {
          const ImgLocksLine *line = &g_array_index (lines, ImgLocksLine, k);
          if (line->ino == first->ino && line->major == first->major && line->minor == first->minor)
            g_array_append_val (same, *line);
        }
      ImgHostImage *image = add_image (status, judge (nobody, same));
      if (image != NULL)
        {
          image->major = first->major;
          image->minor = first->minor;
          image->ino = first->ino;
        }
    }
}

static gint
compare_images (gconstpointer a, gconstpointer b)
{
  const ImgHostImage *x = *(const ImgHostImage *const *)a, *y = *(const ImgHostImage *const *)b;
  return g_strcmp0 (x->path, y->path);
}

ImgHostStatus *
img_host_status_new (GError **error)
{
  g_autoptr (GArray) lines = img_proc_locks_read (NULL);
  if (lines == NULL)
    return img_null_throw_errno (error, "cannot read /proc/locks");

  ImgHostStatus *status = g_new0 (ImgHostStatus, 1);
  g_autoptr (GHashTable) inodes = locked_inodes (lines);
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (ImgOpenerScan) scan = img_openers_scan_locked (inodes);

  status->images = g_ptr_array_new_with_free_func (host_image_free);
  status->n_uninspected = scan->n_uninspected;
  status->is_confined = scan->is_confined;
  add_visible (status, scan, seen);
  add_invisible (status, lines, seen);
  g_ptr_array_sort (status->images, compare_images);
  return status;
}

void
img_host_status_free (ImgHostStatus *status)
{
  g_ptr_array_unref (status->images);
  g_free (status);
}
