/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a check found, in qemu-img's words and as its JSON, with our additions behind. */
#pragma once

#include "cli/json.h"
#include "engine/repair.h"

/* The findings, a line each, on stderr. @after is what is left of them after a repair, or NULL. */
void cli_check_print_findings (const ImgCheckReport *report, const ImgCheckReport *after);

/* What a repair did, or would do. */
void cli_repair_append_text (GString *text, const ImgRepairReport *report, gboolean is_dry_run);

/* The "plan" object; a new reference. */
json_t *cli_repair_to_json (const ImgRepairReport *report);

void cli_check_append_text (GString *text, const ImgCheckReport *report);

/* A new reference. Keys come in qemu-img's order. */
json_t *cli_check_to_json (const ImgCheckReport *report);
