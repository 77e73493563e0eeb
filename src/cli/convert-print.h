/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is said when an image has been copied. */
#pragma once

#include "engine/convert.h"

/* On stderr: warnings and what could not be read (unless @quiet); with @verbose also remarks. */
void cli_convert_warn (const ImgConvertResult *result, gboolean quiet, gboolean verbose);

/* On stderr: what became of the bytes, in @seconds. */
void cli_convert_print_summary (const ImgCopyResult *copy, double seconds);

/* The lines of cksum(1) with --tag, for "cksum --check": "SHA256 (@name) = hex", one for each of
 * @digests (names, NULL-terminated, in the order of @result). A terminal is not sent what could
 * control it. */
void cli_convert_append_digests (GString *text, const char *const *digests,
                                 const ImgCopyResult *result, const char *name,
                                 gboolean for_terminal);
