/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the unit tests share: a main() that runs one suite and speaks TAP, and a scratch file. */
#pragma once

#include <check.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Run the tests of @suite; the exit status for main(). TAP goes where CK_TAP_LOG_FILE_NAME says. */
static inline int
unit_run (Suite *suite)
{
  SRunner *runner = srunner_create (suite);
  if (g_getenv ("CK_TAP_LOG_FILE_NAME") != NULL)
    srunner_set_tap (runner, g_getenv ("CK_TAP_LOG_FILE_NAME"));
  srunner_run_all (runner, g_getenv ("CK_TAP_LOG_FILE_NAME") != NULL ? CK_SILENT : CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* A new file of @size bytes under /var/tmp, which is no tmpfs; free and unlink it. */
static inline char *
unit_new_file (off_t size)
{
  char *path = g_strdup ("/var/tmp/imgtool-unit.XXXXXX");
  int fd = g_mkstemp (path);
  ck_assert_int_ge (fd, 0);
  ck_assert_int_eq (ftruncate (fd, size), 0);
  close (fd);
  return path;
}

static inline void
unit_delete_file (char *path)
{
  (void)g_unlink (path);
  g_free (path);
}
