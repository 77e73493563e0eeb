/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a check found, in qemu-img's words and as its JSON, with our additions behind. */
#pragma once

#include "cli/json.h"
#include "engine/check.h"

/* The findings, a line each, on stderr. */
void cli_check_print_findings (const ImgCheckReport *report);

void cli_check_append_text (GString *text, const ImgCheckReport *report);

/* A new reference. Keys come in qemu-img's order. */
json_t *cli_check_to_json (const ImgCheckReport *report);
