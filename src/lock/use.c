/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lock/use.h"

#define CR IMG_PERM_CONSISTENT_READ
#define W IMG_PERM_WRITE
#define RS IMG_PERM_RESIZE

static const struct
{
  const char *name, *title;
  ImgPermSet raw, other;
} uses[IMG_N_USES] = {
  [IMG_USE_INFO] = { "info", "info", { 0, 0 }, { 0, W | RS } },
  [IMG_USE_CHECK] = { "check", "check", { CR, 0 }, { CR, W | RS } },
  [IMG_USE_REPAIR] = { "repair", "check -r", { CR | W | RS, W | RS }, { CR | W | RS, W | RS } },
  [IMG_USE_CONVERT_FROM] = { "convert-from", "convert from", { CR, W | RS }, { CR, W | RS } },
  [IMG_USE_CONVERT_TO]
  = { "convert-to", "convert to", { CR | W | RS, W | RS }, { CR | W | RS, W | RS } },
  [IMG_USE_VM] = { "vm", "start a VM", { CR | W, W }, { CR | W | RS, W | RS } },
  [IMG_USE_VM_READ_ONLY] = { "vm-read-only", "start a VM read-only", { CR, W }, { CR, W | RS } },
  [IMG_USE_READ] = { "read", "read", { CR, W | RS }, { CR, W | RS } },
  [IMG_USE_WRITE] = { "write", "write", { CR | W | RS, W | RS }, { CR | W | RS, W | RS } },
};

const char *
img_use_name (ImgUse use)
{
  return uses[use].name;
}

const char *
img_use_title (ImgUse use)
{
  return uses[use].title;
}

ImgPermSet
img_use_permissions (ImgUse use, gboolean is_raw)
{
  return is_raw ? uses[use].raw : uses[use].other;
}

ImgPermSet
img_use_permissions_shared (ImgUse use)
{
  ImgPermSet set = { .uses = use == IMG_USE_INFO ? 0 : CR, .forbids = 0 };
  return set;
}
