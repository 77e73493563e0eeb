/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What was found out about an image, as bytes that can leave the sandbox, and back.
 *
 * Each pair is a function that returns a new floating GVariant, and one that fills a struct
 * (zeroed, or as its own init function leaves it) from a GVariant of the type that stands beside
 * it. Whoever made the bytes, what is unpacked is a valid struct: numbers of kinds are in range,
 * counts are those of what is there, texts are safe to print where the struct says so. */
#pragma once

#include "disk/check.h"
#include "disk/content.h"
#include "disk/describe.h"
#include "disk/heading.h"
#include "disk/inspect.h"
#include "engine/copy.h"

/* Texts are bytes, and need not be UTF-8; NULL is different from "". */
#define IMG_PACK_TEXT "ay"
GVariant *img_pack_text (const char *text);
char *img_unpack_text (GVariant *packed);

/* A text that is safe to print. */
char *img_unpack_safe_text (GVariant *packed);

/* Safe to print. */
#define IMG_PACK_TEXTS "aay"
GVariant *img_pack_texts (const GPtrArray *texts);
void img_unpack_safe_texts (GVariant *packed, GPtrArray *texts);

/* The names are as the image has them. */
#define IMG_PACK_HEADING "(tayayayay)"
GVariant *img_pack_heading (const ImgHeading *heading);
void img_unpack_heading (GVariant *packed, ImgHeading *heading);

#define IMG_PACK_CONTENT "(ayaytbay)"
GVariant *img_pack_content (const ImgContent *content);
void img_unpack_content (GVariant *packed, ImgContent *content);

#define IMG_PACK_DESCRIPTION "(tbbtua(ayaytttttu)ava(ayb))"
GVariant *img_pack_description (const ImgDescription *description);
void img_unpack_description (GVariant *packed, ImgDescription *description);

/* Without the path, the format and the length of the file, which are known outside. */
#define IMG_PACK_INSPECTION "(btaaya(ayayay)aayaay)"
GVariant *img_pack_inspection (const ImgInspection *inspection);
void img_unpack_inspection (GVariant *packed, ImgInspection *inspection);

#define IMG_PACK_CHECK "(ata(uaytttay))"
GVariant *img_pack_check (const ImgCheckResult *result);
void img_unpack_check (GVariant *packed, ImgCheckResult *result);

#define IMG_PACK_PLAN "(tba(utay))"
GVariant *img_pack_plan (const ImgPlan *plan);
void img_unpack_plan (GVariant *packed, ImgPlan *plan);

#define IMG_PACK_COPY "(ttttta(tt)aay)"
GVariant *img_pack_copy (const ImgCopyResult *result);
void img_unpack_copy (GVariant *packed, ImgCopyResult *result);
