/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one error domain, and helpers that make a failure one line.
 *
 * Every fallible function takes a GError ** last and returns FALSE or NULL if and only if it set
 * it. Messages are lower case, without a full stop, with user text in quotes; names and other text
 * from outside go through img_text_escape() first. A code exists only where a caller branches. */
#pragma once

#include <glib.h>

#define IMG_ERROR (img_error_quark ())
GQuark img_error_quark (void);

typedef enum
{
  IMG_ERROR_FAILED,      /* anything nobody branches on */
  IMG_ERROR_USAGE,       /* the command line is wrong */
  IMG_ERROR_LOCKED,      /* somebody else's lock is in the way */
  IMG_ERROR_NO_LOCKS,    /* this file cannot be locked as asked */
  IMG_ERROR_LOCK_LOST,   /* a lock that was granted is gone */
  IMG_ERROR_APPEARED,    /* a name that was free has just been taken */
  IMG_ERROR_NO_SPACE,    /* the disk, or a quota, is full */
  IMG_ERROR_STALE,       /* ESTALE: a file server knows the file no more by which a name went */
  IMG_ERROR_NO_MEMORY,   /* for what a file has the size of */
  IMG_ERROR_UNSUPPORTED, /* recognised, but this program cannot handle it */
} ImgErrorCode;

/* Set @error and return FALSE: `return img_throw (error, CODE, "...", ...)`. */
gboolean img_throw (GError **error, ImgErrorCode code, const char *format, ...)
    G_GNUC_PRINTF (3, 4);

/* The same with ": " and the text of errno appended, of IMG_ERROR_NO_SPACE, IMG_ERROR_STALE or
 * IMG_ERROR_FAILED; errno is kept. */
gboolean img_throw_errno (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* For functions that return a pointer. */
#define img_null_throw(...) (img_throw (__VA_ARGS__), NULL)
#define img_null_throw_errno(...) (img_throw_errno (__VA_ARGS__), NULL)
