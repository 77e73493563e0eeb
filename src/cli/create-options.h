/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What -o says about an image that is to be made: "preallocation=full,size=10G". */
#pragma once

#include "disk/disk.h"

/* Whether @list asks, with help or ?, what there is. NULL asks nothing. */
gboolean cli_create_options_want_help (const char *list);

/* What can be said about an image of the format @format; @with_size if its size can be. */
void cli_create_options_append_help (GString *text, const char *format, gboolean with_size);

/* Add what @list (or NULL) says about an image of @format to @options. FALSE with IMG_ERROR_USAGE.
 */
G_GNUC_WARN_UNUSED_RESULT
gboolean cli_create_options_parse (const char *list, const char *format, gboolean with_size,
                                   ImgCreateOptions *options, GError **error);

/* What an image of @format is made with, as qemu-img says it: "Formatting 'a', fmt=raw size=1". */
void cli_create_options_append (GString *text, const char *name, const char *format,
                                const ImgCreateOptions *options);

/* Add what -b (or -B) and -F say, each NULL if it was not; -o may have said it already. FALSE with
 * IMG_ERROR_USAGE if the format of a backing file is missing. */
G_GNUC_WARN_UNUSED_RESULT
gboolean cli_create_options_add_backing (ImgCreateOptions *options, const char *backing,
                                         const char *backing_format, GError **error);
