/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk/plan.h"

#include "base/text.h"
#include <string.h>

/* Changes that are closer together are one write. */
#define NEAR 512

ImgPlan *
img_plan_new (void)
{
  ImgPlan *plan = g_new0 (ImgPlan, 1);
  plan->patches = g_ptr_array_new_with_free_func (g_free);
  return plan;
}

void
img_plan_free (ImgPlan *plan)
{
  g_ptr_array_unref (plan->patches);
  g_free (plan);
}

void
img_plan_add (ImgPlan *plan, ImgStage stage, guint64 offset, const void *bytes, gsize length)
{
  ImgPatch *patch = g_try_malloc (sizeof *patch + length);
  if (patch == NULL)
    {
      plan->is_short_of_memory = TRUE;
      return;
    }
  patch->stage = stage;
  patch->offset = offset;
  patch->length = length;
  memcpy (patch->bytes, bytes, length);
  g_ptr_array_add (plan->patches, patch);
}

gboolean
img_plan_check (const ImgPlan *plan, const char *path, GError **error)
{
  if (!plan->is_short_of_memory)
    return TRUE;
  g_autofree char *safe = img_text_escape (path, -1);
  return img_throw (error, IMG_ERROR_FAILED,
                    "'%s': there is not enough memory for what is to be repaired", safe);
}

void
img_plan_add_changes (ImgPlan *plan, ImgStage stage, guint64 offset, const guint8 *before,
                      const guint8 *after, gsize length)
{
  gsize begin = length, end = 0;

  for (gsize i = 0; i < length; i++)
    {
      if (before[i] == after[i])
        continue;
      if (begin < length && i >= end + NEAR)
        {
          img_plan_add (plan, stage, offset + begin, after + begin, end - begin);
          begin = length;
        }
      begin = MIN (begin, i);
      end = i + 1;
    }
  if (begin < length)
    img_plan_add (plan, stage, offset + begin, after + begin, end - begin);
}

const char *
img_stage_name (ImgStage stage)
{
  static const char *const names[IMG_N_STAGES] = {
    [IMG_STAGE_CLEAR] = "clear", [IMG_STAGE_RAISE] = "raise", [IMG_STAGE_SWITCH] = "switch",
    [IMG_STAGE_LOWER] = "lower", [IMG_STAGE_SET] = "set",     [IMG_STAGE_CLEAN] = "clean",
  };
  return names[stage];
}
