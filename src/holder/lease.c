/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "holder/lease.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

ImgWriters
img_lease_ask (int fd, const struct stat *st, ImgFsKind kind)
{
  ImgWriters writers = IMG_WRITERS_UNKNOWN;
  struct sigaction ignore = { .sa_handler = SIG_IGN }, before;

  if (!S_ISREG (st->st_mode) || kind != IMG_FS_LOCAL)
    return IMG_WRITERS_UNKNOWN;
  /* Somebody who opens the file for writing in this instant waits until the lease is gone, and we
   * are sent SIGIO, which would end the program. */
  sigaction (SIGIO, &ignore, &before);
  if (fcntl (fd, F_SETLEASE, F_RDLCK) == 0)
    {
      writers = IMG_WRITERS_NONE;
      (void)fcntl (fd, F_SETLEASE, F_UNLCK);
    }
  else if (errno == EAGAIN)
    writers = IMG_WRITERS_SOME;
  sigaction (SIGIO, &before, NULL);
  return writers;
}
