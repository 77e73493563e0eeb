/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Open an image through imgtool's own backend and keep it:
 *
 *   hold-image [--locking=MODE] [--write|--read] [--wait=SECONDS] IMAGE [MILLISECONDS]
 *
 * Prints "ready" once the lock is granted, waits for the end of stdin or for MILLISECONDS, and
 * prints what has become of the lock: "held", "unverified" or "lost". Exit status 1 if it was not
 * granted, 2 for usage, 3 if it was lost. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "file/file.h"
#include "lock/use.h"

static gboolean
parse_option (const char *option, ImgFileParams *params)
{
  if (strcmp (option, "--write") == 0 || strcmp (option, "--read") == 0)
    {
      params->is_writable = strcmp (option, "--write") == 0;
      params->permissions
          = img_use_permissions (params->is_writable ? IMG_USE_WRITE : IMG_USE_READ, FALSE);
      return TRUE;
    }
  if (g_str_has_prefix (option, "--wait="))
    {
      params->lock_wait
          = (gint64)(g_ascii_strtod (option + strlen ("--wait="), NULL) * G_TIME_SPAN_SECOND);
      return TRUE;
    }
  return g_str_has_prefix (option, "--locking=")
         && img_locking_parse (option + strlen ("--locking="), &params->locking);
}

/* Until stdin ends, or for @milliseconds if that is not negative. */
static void
wait_for_the_end (int milliseconds)
{
  char rest[256];
  if (milliseconds >= 0)
    (void)poll (NULL, 0, milliseconds);
  else
    while (img_fd_read_some (STDIN_FILENO, rest, sizeof rest) > 0)
      ;
}

static int
hold (const char *path, const ImgFileParams *params, int milliseconds)
{
  static const char *const states[] = {
    [IMG_LOCK_HELD] = "held", [IMG_LOCK_UNVERIFIED] = "unverified", [IMG_LOCK_LOST] = "lost"
  };
  ImgLockState state = IMG_LOCK_UNVERIFIED;
  g_autoptr (GError) error = NULL;
  g_autoptr (ImgFile) file = img_file_open (path, params, &error);

  if (file == NULL)
    {
      fprintf (stderr, "hold-image: %s\n", error->message);
      return 1;
    }
  if (img_lock_warning (img_file_lock (file)) != NULL)
    fprintf (stderr, "hold-image: warning: %s\n", img_lock_warning (img_file_lock (file)));
  puts ("ready");
  fflush (stdout);
  wait_for_the_end (milliseconds);
  gboolean is_good = img_file_verify_lock (file, &state, NULL);
  puts (states[state]);
  return is_good ? 0 : 3;
}

int
main (int argc, char **argv)
{
  ImgFileParams params = { .permissions = img_use_permissions (IMG_USE_READ, FALSE) };
  int i = 1;

  for (; i < argc && g_str_has_prefix (argv[i], "--"); i++)
    if (!parse_option (argv[i], &params))
      {
        fprintf (stderr, "hold-image: bad option '%s'\n", argv[i]);
        return 2;
      }
  if (i >= argc)
    {
      fputs ("hold-image: which image?\n", stderr);
      return 2;
    }
  return hold (argv[i], &params, i + 1 < argc ? atoi (argv[i + 1]) : -1);
}
