/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* States of a disk that are kept inside its image. */
#pragma once

#include "disk/describe.h"

/* From now on @disk is as it was in the snapshot that @text says: an ID, or else a name, or
 * qemu-img's snapshot.id=ID,snapshot.name=NAME. Before img_disk_begin(). */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_disk_select (ImgDisk *disk, const char *text, GError **error);
