/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk/content.h"

#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "disk/detect.h"

#ifdef HAVE_BLKID
#include <blkid.h>

typedef struct blkid_struct_probe ImgBlkidProbe;
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImgBlkidProbe, blkid_free_probe)

/* How much of the beginning holds every partition table's first copy. */
#define HEAD_BYTES (1024 * 1024)

/* A disk long enough for any table. */
#define LONG_DISK (G_GUINT64_CONSTANT (1) << 60)

static char *
lookup (blkid_probe probe, const char *name)
{
  const char *value = NULL;
  if (blkid_probe_lookup_value (probe, name, &value, NULL) < 0)
    return NULL;
  return img_text_escape (value, -1);
}

/* A probe of @fd, of a disk with sectors of @sector_bytes (0: as usual), that has done its work, or
 * NULL. */
static blkid_probe
probe_fd (int fd, guint sector_bytes, gboolean with_superblocks)
{
  g_autoptr (ImgBlkidProbe) probe = blkid_new_probe ();
  if (probe == NULL || blkid_probe_set_device (probe, fd, 0, 0) < 0
      || (sector_bytes != 0 && blkid_probe_set_sectorsize (probe, sector_bytes) < 0))
    return NULL;
  blkid_probe_enable_superblocks (probe, with_superblocks);
  blkid_probe_set_superblocks_flags (probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE);
  blkid_probe_enable_partitions (probe, 1);
  blkid_probe_set_partitions_flags (probe, BLKID_PARTS_ENTRY_DETAILS);
  return blkid_do_safeprobe (probe) < 0 ? NULL : g_steal_pointer (&probe);
}

/* The table and where its last partition ends. */
static void
take_partitions (blkid_probe probe, ImgContent *content, guint *n_partitions)
{
  blkid_partlist list = blkid_probe_get_partitions (probe);
  blkid_parttable table = list == NULL ? NULL : blkid_partlist_get_table (list);

  if (table == NULL)
    return;
  content->partition_table = img_text_escape (blkid_parttable_get_type (table), -1);
  *n_partitions = (guint)MAX (blkid_partlist_numof_partitions (list), 0);
  for (guint i = 0; i < *n_partitions; i++)
    {
      blkid_partition partition = blkid_partlist_get_partition (list, (int)i);
      guint64 start = (guint64)blkid_partition_get_start (partition);
      guint64 size = (guint64)blkid_partition_get_size (partition);
      guint64 sectors, end;
      if (g_uint64_checked_add (&sectors, start, size) && g_uint64_checked_mul (&end, sectors, 512))
        content->table_end = MAX (content->table_end, end);
    }
}

/* On a disk that is cut short, libblkid rejects a GPT and finds only its protective MBR. Show it
 * the same beginning on a disk that is long enough. */
static void
take_partitions_of_cut_disk (ImgFile *file, ImgContent *content, guint *n_partitions)
{
  gsize length = (gsize)MIN (img_file_size (file), HEAD_BYTES);
  g_autofree guint8 *head = g_malloc (length);
  g_auto (ImgFd) memory = memfd_create ("imgtool-head", MFD_CLOEXEC);

  if (memory < 0 || img_fd_read_at (img_file_fd (file), 0, head, length) != (gssize)length
      || !img_fd_write_all (memory, head, length) || ftruncate (memory, (off_t)LONG_DISK) < 0)
    return;
  g_autoptr (ImgBlkidProbe) probe = probe_fd (memory, 0, FALSE);
  if (probe != NULL)
    take_partitions (probe, content, n_partitions);
}

/* Where signatures are. */
#define DEVICE_HEAD ((gsize)4 << 20)
#define DEVICE_TAIL ((gsize)1 << 20)

static gboolean
copy_part (ImgFile *file, int memory, guint64 offset, gsize length)
{
  g_autofree guint8 *part = g_malloc (length);
  return img_fd_read_at (img_file_fd (file), offset, part, length) == (gssize)length
         && img_fd_write_at (memory, offset, part, length);
}

/* Of a device libblkid asks the system more than the device; it is shown a file that begins and
 * ends the same. Returns a descriptor, or -1. */
static int
copy_device (ImgFile *file)
{
  guint64 size = img_file_size (file);
  gsize head = (gsize)MIN (size, DEVICE_HEAD), tail = (gsize)MIN (size - head, DEVICE_TAIL);
  g_auto (ImgFd) memory = memfd_create ("imgtool-device", MFD_CLOEXEC);

  return memory >= 0 && ftruncate (memory, (off_t)size) == 0 && copy_part (file, memory, 0, head)
                 && copy_part (file, memory, size - tail, tail)
             ? img_fd_steal (&memory)
             : -1;
}

static void
guess_by_blkid (ImgFile *file, ImgContent *content)
{
  guint n_partitions = 0;
  g_auto (ImgFd) copy = img_file_is_device (file) ? copy_device (file) : -1;
  g_autoptr (ImgBlkidProbe) probe = NULL;
  int sector_bytes = 0;

  if (copy < 0 && img_file_is_device (file))
    return;
  if (copy >= 0 && ioctl (img_file_fd (file), BLKSSZGET, &sector_bytes) < 0)
    sector_bytes = 0;
  probe = probe_fd (copy >= 0 ? copy : img_file_fd (file), (guint)sector_bytes, TRUE);
  if (probe == NULL)
    return;
  g_autofree char *table_type = lookup (probe, "PTTYPE");
  content->filesystem = lookup (probe, "TYPE");
  if (g_strcmp0 (table_type, "PMBR") == 0)
    take_partitions_of_cut_disk (file, content, &n_partitions);
  else
    take_partitions (probe, content, &n_partitions);
  content->is_truncated = content->table_end > img_file_size (file);

  if (content->partition_table != NULL)
    content->description
        = g_strdup_printf ("a %s partition table with %u partition%s", content->partition_table,
                           n_partitions, n_partitions == 1 ? "" : "s");
  else if (content->filesystem != NULL)
    content->description = g_strdup_printf ("%s, without a partition table", content->filesystem);
}
#endif

void
img_content_guess (ImgFile *file, ImgContent *content)
{
  guint8 head[IMG_DETECT_BYTES];
  const char *wrapper = NULL;
  gssize got = img_fd_read_at (img_file_fd (file), 0, head, sizeof head);

  memset (content, 0, sizeof *content);
  if (got > 0)
    wrapper = img_detect_wrapper (head, (gsize)got);
  if (wrapper != NULL)
    content->description
        = g_strdup_printf ("%s data: unpack it to get at the disk inside", wrapper);
#ifdef HAVE_BLKID
  else if (got > 0)
    guess_by_blkid (file, content);
#endif
}

void
img_content_clear (ImgContent *content)
{
  g_clear_pointer (&content->description, g_free);
  g_clear_pointer (&content->partition_table, g_free);
  g_clear_pointer (&content->filesystem, g_free);
}
