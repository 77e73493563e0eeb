/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of file/output share: a folder to write in, and looks at what is there. */
#pragma once

#include "unit.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "file/output.h"
#include "lock/use.h"

#define OLD "the old content"
#define NEW "the new content"

static char *folder;
static char *target; /* folder/t.raw */
static char *part;   /* folder/.t.raw.imgtool-part */

static inline char *
unit_in_folder (const char *name)
{
  return g_build_filename (folder, name, NULL);
}

/* On another file system than that of /var/tmp with IMGTOOL_UNIT_FOLDER in the environment. */
static inline void
unit_make_folder (void)
{
  const char *wanted = g_getenv ("IMGTOOL_UNIT_FOLDER");
  folder = g_build_filename (wanted != NULL ? wanted : "/var/tmp", "imgtool-unit.XXXXXX", NULL);
  ck_assert_ptr_nonnull (g_mkdtemp (folder));
  target = unit_in_folder ("t.raw");
  part = unit_in_folder (".t.raw.imgtool-part");
  umask (022);
}

/* Files and empty folders only. */
static inline void
unit_drop_folder (void)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = unit_in_folder (name);
      (void)g_remove (path);
    }
  (void)g_rmdir (folder);
  g_clear_pointer (&folder, g_free);
  g_clear_pointer (&target, g_free);
  g_clear_pointer (&part, g_free);
}

/* Without what FUSE servers keep of a removed file until it is closed. */
static inline guint
unit_count_files (void)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;
  guint count = 0;
  ck_assert_ptr_nonnull (dir);
  while ((name = g_dir_read_name (dir)) != NULL)
    count += g_str_has_prefix (name, ".fuse_hidden") ? 0 : 1;
  return count;
}

static inline void
unit_write (const char *path, const char *text)
{
  FILE *file = fopen (path, "w");
  ck_assert_ptr_nonnull (file);
  ck_assert_int_ge (fputs (text, file), 0);
  ck_assert_int_eq (fclose (file), 0);
}

static inline gboolean
unit_exists (const char *path)
{
  struct stat st;
  return lstat (path, &st) == 0;
}

static inline mode_t
unit_mode (const char *path)
{
  struct stat st;
  ck_assert_int_eq (lstat (path, &st), 0);
  return st.st_mode & 07777;
}

static inline void
unit_expect_content (const char *path, const char *text)
{
  g_autofree char *content = NULL;
  ck_assert_msg (g_file_get_contents (path, &content, NULL, NULL), "no file %s", path);
  ck_assert_str_eq (content, text);
}

static inline ImgOutputParams
unit_params (ImgLocking locking)
{
  ImgOutputParams params = { .locking = locking,
                             .permissions = img_use_permissions (IMG_USE_CONVERT_TO, TRUE),
                             .is_durable = TRUE,
                             .mode = 0666 };
  return params;
}

/* Begin to write @path; what is there now is replaced. */
static inline ImgOutput *
unit_begin (const char *path, const ImgOutputParams *params, GError **error)
{
  ImgFileParams opening
      = { .is_writable = TRUE, .locking = params->locking, .permissions = params->permissions };
  ImgFile *replaced = NULL;
  struct stat st;
  if (stat (path, &st) == 0)
    {
      replaced = img_file_open (path, &opening, error);
      if (replaced == NULL)
        return NULL;
    }
  return img_output_new (path, replaced, params, error);
}

static inline ImgOutput *
unit_begin_well (const char *path)
{
  ImgOutputParams params = unit_params (IMG_LOCKING_AUTO);
  g_autoptr (GError) error = NULL;
  ImgOutput *output = unit_begin (path, &params, &error);
  ck_assert_msg (output != NULL, "%s", error != NULL ? error->message : "no error");
  return output;
}

static inline void
unit_fill (ImgOutput *output)
{
  ck_assert_int_eq (pwrite (img_file_fd (img_output_file (output)), NEW, strlen (NEW), 0),
                    (int)strlen (NEW));
}

static inline void
unit_publish_well (ImgOutput *output)
{
  g_autoptr (GError) error = NULL;
  gboolean is_done = img_output_publish (output, &error);
  ck_assert_msg (is_done, "%s", error != NULL ? error->message : "no error");
}

/* All of it, which must go well. */
static inline void
unit_write_output (const char *path)
{
  g_autoptr (ImgOutput) output = unit_begin_well (path);
  unit_fill (output);
  unit_publish_well (output);
}

/* Beginning to write @path must fail with @words in the message and leave @files files. */
static inline void
unit_expect_refusal (const char *path, const char *words, guint files)
{
  ImgOutputParams params = unit_params (IMG_LOCKING_AUTO);
  g_autoptr (GError) error = NULL;
  ImgOutput *output = unit_begin (path, &params, &error);
  ck_assert_msg (output == NULL, "'%s' was not refused", path);
  ck_assert_msg (strstr (error->message, words) != NULL, "'%s' is not in: %s", words,
                 error->message);
  ck_assert_uint_eq (unit_count_files (), files);
}

/* Publishing must fail with @words in the message. */
static inline void
unit_expect_unpublished (ImgOutput *output, const char *words)
{
  g_autoptr (GError) error = NULL;
  ck_assert (!img_output_publish (output, &error));
  ck_assert_msg (strstr (error->message, words) != NULL, "'%s' is not in: %s", words,
                 error->message);
}

/* Run @function in a new process, which it ends; the wait status. */
static inline int
unit_in_child (void (*function) (void))
{
  int status;
  pid_t child = fork ();
  ck_assert_int_ge (child, 0);
  if (child == 0)
    {
      function ();
      _exit (0);
    }
  ck_assert_int_eq (waitpid (child, &status, 0), child);
  return status;
}

/* The same; a check that fails there fails here. */
#define unit_expect_child(function) ck_assert_int_eq (unit_in_child (function), 0)
