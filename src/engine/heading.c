/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/heading.h"

#include <string.h>

#include "engine/pack.h"
#include "sandbox/call.h"

/* Address space of the process that reads it. */
#define MEMORY (G_GUINT64_CONSTANT (1) << 30)

/* All is borrowed. */
typedef struct
{
  ImgFile *file;
  const char *format;
  const ImgHeadingParams *params;
} Reading;

/* In the sandbox. */
static GVariant *
read_heading (gpointer closure, GError **error)
{
  const Reading *reading = closure;
  g_auto (ImgHeading) heading = { 0 };

  return img_heading_read (reading->file, reading->format, reading->params, &heading, error)
             ? img_pack_heading (&heading)
             : NULL;
}

/* Of a raw disk nothing is read, unless it is to be looked at with suspicion. */
static gboolean
is_harmless (const char *format, const ImgHeadingParams *params)
{
  return strcmp (format, "raw") == 0 && (params->policy == NULL || !params->policy->is_untrusted);
}

gboolean
img_read_heading (ImgFile *file, const char *format, const ImgHeadingParams *params,
                  ImgHeading *heading, GError **error)
{
  Reading reading = { .file = file, .format = format, .params = params };
  ImgSandboxCall call = { .work = read_heading,
                          .type = IMG_PACK_HEADING,
                          .closure = &reading,
                          .memory = MEMORY,
                          .subject = img_file_path (file),
                          .is_required = params->policy != NULL && params->policy->is_untrusted };

  if (is_harmless (format, params))
    return img_heading_read (file, format, params, heading, error);
  g_autoptr (GVariant) packed = img_sandbox_run (&call, error);
  if (packed == NULL)
    return FALSE;
  img_unpack_heading (packed, heading);
  return TRUE;
}
