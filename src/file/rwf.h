/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Flags of preadv2(2) that the C library may not know yet. */
#pragma once

#include <errno.h>
#include <glib.h>
#include <sys/uio.h>

#ifndef RWF_DONTCACHE
#define RWF_DONTCACHE 0x00000080
#endif

/* Whether a call failed because this kernel or file system does not know one of the flags. */
static inline gboolean
img_rwf_is_unknown (int error_number)
{
  return error_number == EOPNOTSUPP || error_number == EINVAL || error_number == ENOSYS;
}
