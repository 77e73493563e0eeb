/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What only a format knows of an image, in qemu-img's layouts. */
#pragma once

#include "cli/json.h"
#include "disk/fact.h"

/* Append what the group or list @fact has, @indent levels deep. */
void cli_fact_append_text (GString *text, const ImgFact *fact, guint indent);

/* A new reference. */
json_t *cli_fact_to_json (const ImgFact *fact);
