/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A library for LD_PRELOAD: when a program has started another, it opens and closes the file that
 * CLOSE_IMAGE names, as any library might do behind a program's back. With that the program loses
 * the POSIX locks that it has on the file; its OFD locks stay.
 *
 *   cc -shared -fPIC -o close-image.so close-image.c -ldl
 */

#define _GNU_SOURCE /* RTLD_NEXT */

#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

pid_t
fork (void)
{
  const char *path = getenv ("CLOSE_IMAGE");
  pid_t (*real) (void);
  void *symbol = dlsym (RTLD_NEXT, "fork");

  memcpy (&real, &symbol, sizeof real);
  pid_t child = real ();
  int fd = child > 0 && path != NULL ? open (path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd >= 0)
    close (fd);
  return child;
}
