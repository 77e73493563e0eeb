/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/program-name.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/run-command.h"

#define OTHER_VARIABLE "IMGTOOL_QEMU_IMG"

static const char *program_name = "imgtool";

/* Of qemu-img 10.0, those that are not here. */
static const char *const missing[] = { "amend", "bench",   "bitmap", "commit", "compare",  "dd",
                                       "map",   "measure", "rebase", "resize", "snapshot", NULL };

void
cli_program_set_name (const char *argv0)
{
  const char *slash = argv0 == NULL ? NULL : strrchr (argv0, '/');
  const char *base = slash == NULL ? argv0 : slash + 1;
  program_name = g_strcmp0 (base, "qemu-img") == 0 ? "qemu-img" : "imgtool";
}

const char *
cli_program_name (void)
{
  return program_name;
}

gboolean
cli_is_qemu_img (void)
{
  return program_name[0] == 'q';
}

/* Whether @path leads back here, which would go on for ever. */
static gboolean
is_this_program (const char *path)
{
  struct stat other, self;
  return stat (path, &other) == 0 && stat ("/proc/self/exe", &self) == 0
         && other.st_dev == self.st_dev && other.st_ino == self.st_ino;
}

static void
throw_missing (const char *command, GError **error)
{
  g_autofree char *safe = img_text_escape (command, -1);
  if (g_strv_contains (missing, command))
    img_throw (error, IMG_ERROR_UNSUPPORTED,
               "the command '%s' is not supported yet: set " OTHER_VARIABLE
               " to the path of a qemu-img that has it",
               safe);
  else
    img_throw (error, IMG_ERROR_FAILED, "Command not found: %s", safe);
}

void
cli_run_other_qemu_img (char *const *argv, GError **error)
{
  g_autofree char *path = g_strdup (secure_getenv (OTHER_VARIABLE));
  g_autofree char *safe = img_text_escape (path == NULL ? "" : path, -1);
  g_autoptr (GPtrArray) words = g_ptr_array_new ();

  if (path == NULL || path[0] == '\0')
    {
      throw_missing (argv[0], error);
      return;
    }
  if (path[0] != '/' || is_this_program (path))
    {
      img_throw (error, IMG_ERROR_FAILED, "cannot run '%s' (of " OTHER_VARIABLE "): %s", safe,
                 path[0] != '/' ? "it must be an absolute path" : "it is this program itself");
      return;
    }
  g_ptr_array_add (words, path);
  for (; *argv != NULL; argv++)
    g_ptr_array_add (words, *argv);
  g_ptr_array_add (words, NULL);
  /* If this program is behind it after all, by a script or as a copy, it ends there. */
  g_unsetenv (OTHER_VARIABLE);
  cli_restore_signals ();
  execv (path, (char *const *)words->pdata);
  cli_ignore_signals ();
  img_throw_errno (error, "cannot run '%s' (of " OTHER_VARIABLE ")", safe);
}
