/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A lock status in words, and as JSON (the schema stands in imgtool-lock-status(1)). */
#pragma once

#include "cli/json.h"
#include "engine/lock-status.h"

/* The state of one image: "in use: qemu-system-x86 (pid 4711, VM web01) writes to it". Returns a
 * new string, safe to print. */
char *cli_status_sentence (const ImgStatus *status);

/* "free", "in-use", "unknown"; "possible", "blocked", "unsafe", "unknown"; constant. */
const char *cli_state_name (ImgStatusState state);
const char *cli_verdict_name (ImgVerdictKind kind);

/* "OFD", "POSIX", "flock", or NULL: no lock, or its kind is not visible; constant. */
const char *cli_held_name (ImgHeldKind held);

/* "100-101, 203" with @separator; a new string. */
char *cli_ranges_text (const ImgHolder *holder, const char *separator);

/* The whole of it for people. @use is the one asked for, or -1. */
void cli_status_append_text (GString *text, const ImgStatus *status, int use, gboolean verbose,
                             gboolean with_color);

/* The holders, and the object of one image; new references. */
json_t *cli_holders_to_json (const GPtrArray *holders);
json_t *cli_status_to_json (const ImgStatus *status);
