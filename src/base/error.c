/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"

#include <errno.h>

G_DEFINE_QUARK (img - error - quark, img_error)

gboolean
img_throw (GError **error, ImgErrorCode code, const char *format, ...)
{
  va_list arguments;
  va_start (arguments, format);
  if (error != NULL)
    *error = g_error_new_valist (IMG_ERROR, (int)code, format, arguments);
  va_end (arguments);
  return FALSE;
}

gboolean
img_throw_errno (GError **error, const char *format, ...)
{
  int saved_errno = errno;
  va_list arguments;
  va_start (arguments, format);
  g_autofree char *what = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  ImgErrorCode code = saved_errno == ENOSPC || saved_errno == EDQUOT ? IMG_ERROR_NO_SPACE
                      : saved_errno == ESTALE                        ? IMG_ERROR_STALE
                                                                     : IMG_ERROR_FAILED;
  g_set_error (error, IMG_ERROR, (int)code, "%s: %s", what, g_strerror (saved_errno));
  errno = saved_errno;
  return FALSE;
}
