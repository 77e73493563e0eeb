/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is known about an image, in qemu-img's words and as its JSON, with our additions behind. */
#pragma once

#include "cli/json.h"
#include "engine/info.h"
#include "engine/lock-status.h"

/* @in_use may be NULL: then nothing is said about it. */
void cli_info_append_text (GString *text, const ImgInfo *info, const ImgStatus *in_use);

/* A new reference. Keys come in qemu-img's order. */
json_t *cli_info_to_json (const ImgInfo *info);

/* The "content" object, or NULL if nothing was recognised; a new reference. */
json_t *cli_content_to_json (const ImgContent *content);

/* What QEMU calls the layer below the format, and how long that is to it. */
const char *cli_info_protocol (const ImgInfo *info);
guint64 cli_info_protocol_size (const ImgInfo *info);

/* What people must know about an image that was opened: how it was locked, and whether it is cut
 * short. On stderr. */
void cli_info_warn (const ImgInfo *info, gboolean verbose);
