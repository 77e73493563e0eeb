/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What "imgtool info" does: find out the format, open, and list all that there is to tell. */
#include <string.h>

#include "base/text.h"
#include "disk/describe.h"
#include "disk/gate.h"
#include "disk/probe.h"
#include "fuzz.h"
#include "image.h"

static void
show (const char *text)
{
  g_autofree char *safe = img_text_escape (text, -1);
  g_autofree char *utf8 = img_text_to_utf8 (text);
  g_assert_true (g_utf8_validate (safe, -1, NULL) && g_utf8_validate (utf8, -1, NULL));
}

static void
show_facts (const ImgFact *fact)
{
  if (fact->kind == IMG_FACT_TEXT)
    show (fact->text);
  for (guint i = 0; fact->facts != NULL && i < fact->facts->len; i++)
    show_facts (fact->facts->pdata[i]);
}

static void
show_description (ImgDisk *disk)
{
  g_auto (ImgDescription) description = { 0 };
  GError *error = NULL;
  gboolean is_good = img_disk_describe (disk, &description, &error);

  fuzz_check_error (!is_good, &error);
  if (!is_good)
    return;
  for (guint i = 0; description.snapshots != NULL && i < description.snapshots->len; i++)
    {
      const ImgSnapshot *snapshot = description.snapshots->pdata[i];
      show (snapshot->id);
      show (snapshot->name);
    }
  if (description.facts != NULL)
    show_facts (description.facts);
}

static void
show_reference (const char *what, const ImgReference *reference)
{
  g_auto (ImgGatePath) path = { 0 };
  GError *error = NULL;

  if (reference->name == NULL)
    return;
  g_autofree char *full = img_gate_full_name ("top.qcow2", reference->name);
  show (full);
  fuzz_check_error (!img_gate_resolve ("top.qcow2", what, reference, &path, &error), &error);
}

static void
run (const guint8 *data, gsize size)
{
  ImgFile *file = fuzz_image (FUZZ_TOP, data, size);
  GError *error = NULL;
  const char *format = img_probe (file, &error);

  fuzz_check_error (format == NULL, &error);
  /* Raw disks are libblkid's to look at. */
  if (format == NULL || strcmp (format, "raw") == 0)
    return;
  g_autoptr (ImgDisk) disk = img_disk_open (file, format, &error);
  fuzz_check_error (disk == NULL, &error);
  if (disk == NULL)
    return;
  fuzz_check_error (
      !img_probe_check (img_file_path (file), format, &disk->backing, &disk->data_file, &error),
      &error);
  show_reference ("backing file", &disk->backing);
  show_reference ("data file", &disk->data_file);
  show_description (disk);
}

const FuzzTarget fuzz_describe = { .name = "describe", .run = run, .mutate = fuzz_mutate_qcow2 };
