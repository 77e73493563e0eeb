/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether an image can be trusted, in words and as JSON. */
#pragma once

#include "cli/json.h"
#include "disk/inspect.h"

void cli_inspection_append_text (GString *text, const ImgInspection *inspection);

/* A new reference. */
json_t *cli_inspection_to_json (const ImgInspection *inspection);
