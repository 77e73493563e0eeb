/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a loop device is made of, as the kernel knows it: no name is believed, since a file may have
 * been renamed, deleted, or be in another mount namespace. */
#pragma once

#include <glib.h>
#include <sys/types.h>

typedef struct
{
  dev_t dev; /* the file or device behind it, as stat(2) names it */
  ino_t ino;
  dev_t rdev;     /* if that is a device, else 0 */
  guint64 offset; /* bytes */
  guint64 limit;  /* bytes; 0: to the end */
} ImgLoop;

/* Ask the loop device called @name ("loop0"), by its node in /dev. FALSE if that cannot be opened,
 * or nothing is attached. It asks the file system of what is behind it in turn, and waits for its
 * server if it has one. */
gboolean img_loop_ask (const char *name, ImgLoop *loop);
