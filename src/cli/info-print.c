/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/info-print.h"

#include <string.h>

#include "base/size.h"
#include "base/text.h"
#include "cli/fact-print.h"
#include "cli/lock-status-print.h"
#include "cli/output.h"
#include "cli/program-name.h"

const char *
cli_info_protocol (const ImgInfo *info)
{
  return info->is_device ? "host_device" : "file";
}

guint64
cli_info_protocol_size (const ImgInfo *info)
{
  return img_size_round_up (info->file_length, 512);
}

static void
append_size (GString *text, const char *name, guint64 bytes)
{
  g_autofree char *words = img_size_to_text (bytes);
  g_string_append_printf (text, "%s: %s (%" G_GUINT64_FORMAT " bytes)\n", name, words, bytes);
}

/* "0000:00:01.250" */
static char *
clock_to_text (guint64 nanoseconds)
{
  guint64 seconds = nanoseconds / 1000000000;
  return g_strdup_printf ("%04" G_GUINT64_FORMAT ":%02u:%02u.%03u", seconds / 3600,
                          (guint)(seconds / 60 % 60), (guint)(seconds % 60),
                          (guint)(nanoseconds / 1000000 % 1000));
}

/* qemu-img's table; its dates are local time. */
static void
append_snapshots (GString *text, const ImgDescription *description)
{
  const GPtrArray *snapshots = description->snapshots;
  if (snapshots == NULL)
    return;
  g_string_append_printf (text, "Snapshot list:\n%-7s %-16s %8s %19s %15s %10s\n", "ID", "TAG",
                          "VM_SIZE", "DATE", "VM_CLOCK", "ICOUNT");
  for (guint i = 0; i < snapshots->len; i++)
    {
      const ImgSnapshot *snapshot = snapshots->pdata[i];
      g_autofree char *id = img_text_escape (snapshot->id, -1);
      g_autofree char *name = img_text_escape (snapshot->name, -1);
      g_autofree char *size = img_size_to_text (snapshot->vm_state_size);
      g_autoptr (GDateTime) time = g_date_time_new_from_unix_local ((gint64)snapshot->date_seconds);
      g_autofree char *date
          = time == NULL ? g_strdup ("") : g_date_time_format (time, "%Y-%m-%d %H:%M:%S");
      g_autofree char *clock = clock_to_text (snapshot->vm_clock);
      g_autofree char *icount
          = snapshot->icount == G_MAXUINT64
                ? g_strdup ("--")
                : g_strdup_printf ("%" G_GINT64_FORMAT, (gint64)snapshot->icount);
      g_string_append_printf (text, "%-7s %-16s %8s %19s %15s %10s\n", id, name, size, date, clock,
                              icount);
    }
  if (snapshots->len < description->n_snapshots)
    g_string_append_printf (text, "... and %u more, %u snapshots in all\n",
                            description->n_snapshots - snapshots->len, description->n_snapshots);
}

static void
append_backing (GString *text, const ImgInfo *info)
{
  if (info->backing.name == NULL)
    return;
  g_autofree char *name = img_text_escape (info->backing.name, -1);
  g_string_append_printf (text, "backing file: %s", name);
  if (strcmp (info->backing.name, info->full_backing_name) != 0)
    {
      g_autofree char *full = img_text_escape (info->full_backing_name, -1);
      g_string_append_printf (text, " (actual path: %s)", full);
    }
  g_string_append_c (text, '\n');
  if (info->backing.format != NULL)
    {
      g_autofree char *format = img_text_escape (info->backing.format, -1);
      g_string_append_printf (text, "backing file format: %s\n", format);
    }
}

/* What qemu-img prints. */
static void
append_shared (GString *text, const ImgInfo *info)
{
  const ImgDescription *description = &info->description;
  g_autofree char *path = img_text_escape (info->path, -1);
  g_autofree char *allocated = img_size_to_text (info->allocated);

  g_string_append_printf (text, "image: %s\nfile format: %s\n", path, info->format);
  append_size (text, "virtual size", info->virtual_size);
  g_string_append_printf (text, "disk size: %s\n", allocated);
  if (description->is_encrypted)
    g_string_append (text, "encrypted: yes\n");
  if (description->cluster_size != 0)
    g_string_append_printf (text, "cluster_size: %" G_GUINT64_FORMAT "\n",
                            description->cluster_size);
  if (description->is_dirty)
    g_string_append (text, "cleanly shut down: no\n");
  append_backing (text, info);
  append_snapshots (text, description);
  if (description->facts != NULL)
    {
      g_string_append (text, "Format specific information:\n");
      cli_fact_append_text (text, description->facts, 1);
    }
  g_string_append_printf (text,
                          "Child node '/file':\n"
                          "    filename: %s\n"
                          "    protocol type: %s\n",
                          path, cli_info_protocol (info));
  append_size (text, "    file length", cli_info_protocol_size (info));
  g_string_append_printf (text, "    disk size: %s\n", allocated);
}

/* In one place what else would be opened to read the disk. */
static void
append_references (GString *text, const GPtrArray *references)
{
  for (guint i = 0; i < references->len; i++)
    {
      const ImgInfoReference *reference = references->pdata[i];
      g_autofree char *where
          = img_text_escape (reference->path != NULL ? reference->path : reference->name, -1);
      g_string_append_printf (text, "outside reference: %s '%s'%s\n", reference->kind, where,
                              reference->path != NULL ? "" : ", which is not followed");
    }
}

void
cli_info_append_text (GString *text, const ImgInfo *info, const ImgStatus *in_use)
{
  append_shared (text, info);
  if (cli_is_qemu_img ()) /* what follows is ours */
    return;
  if (info->is_raw && info->file_length != info->virtual_size)
    g_string_append_printf (text, "exact file length: %" G_GUINT64_FORMAT " bytes\n",
                            info->file_length);
  append_references (text, info->references);
  if (info->content.description != NULL)
    g_string_append_printf (text, "content: looks like %s (a guess)\n", info->content.description);
  if (in_use != NULL)
    {
      g_autofree char *sentence = cli_status_sentence (in_use);
      g_string_append_printf (text, "in use: %s\n",
                              in_use->state == IMG_STATUS_IN_USE ? sentence + sizeof "in use: " - 1
                              : in_use->state == IMG_STATUS_FREE ? "no"
                                                                 : sentence);
    }
}

void
cli_info_warn (const ImgInfo *info, gboolean verbose)
{
  if (cli_is_qemu_img () && !verbose)
    return;
  if (info->warning != NULL)
    cli_print_warning (info->warning);
  if (info->remark != NULL && verbose)
    cli_print_remark (info->remark);
  if (info->content.is_truncated)
    {
      g_autofree char *path = img_text_escape (info->path, -1);
      g_autofree char *text = g_strdup_printf (
          "'%s': its %s partition table ends at byte %" G_GUINT64_FORMAT
          ", but the file ends at byte %" G_GUINT64_FORMAT ": the image is truncated",
          path, info->content.partition_table, info->content.table_end, info->file_length);
      cli_print_remark (text);
    }
  if (info->description.needed > info->file_length)
    {
      g_autofree char *path = img_text_escape (info->path, -1);
      g_autofree char *text = g_strdup_printf ("'%s': its tables reach to byte %" G_GUINT64_FORMAT
                                               ", but the file ends at byte %" G_GUINT64_FORMAT
                                               ": the image is truncated",
                                               path, info->description.needed, info->file_length);
      cli_print_remark (text);
    }
}
