/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "cli/program-name.h"

void
cli_print_error (const GError *error)
{
  if (error->message[0] != '\0')
    fprintf (stderr, "%s: %s\n", cli_program_name (), error->message);
}

void
cli_print_warning (const char *text)
{
  fprintf (stderr, "%s: warning: %s\n", cli_program_name (), text);
}

void
cli_print_remark (const char *text)
{
  fprintf (stderr, "%s: %s\n", cli_program_name (), text);
}

gboolean
cli_write_stdout (const GString *text)
{
  if (img_fd_write_all (STDOUT_FILENO, text->str, text->len))
    return TRUE;
  fprintf (stderr, "%s: cannot write the output: %s\n", cli_program_name (), g_strerror (errno));
  return FALSE;
}

void
cli_write_stderr (const GString *text)
{
  fputs (text->str, stderr);
}

void
cli_secure_stdio (void)
{
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    if (fcntl (fd, F_GETFD) < 0 && errno == EBADF)
      /* The lowest free number is this one. Opened the wrong way round, so that using it fails. */
      (void)!open ("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}
