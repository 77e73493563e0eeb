/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A disk with everything behind it: backing files and data files, opened through the gate.
 *
 * All files are opened (and locked, by who opens them) before the first byte of the guest is read,
 * and stay so as long as the disk. A chain that leads back to itself ends where it does. */
#pragma once

#include "disk/gate.h"

#define IMG_CHAIN_MAX_DEPTH 64

typedef struct
{
  ImgGatePolicy policy;
  gboolean was_probed;  /* nobody said what format the image has */
  const char *snapshot; /* read this state of it; NULL: as it is now */
  /* Open a file that an image names, for reading; the caller of img_chain_open() decides how. */
  ImgFile *(*open) (const char *path, gpointer closure, GError **error);
  gpointer closure;
} ImgChainParams;

/* The disk in @file (borrowed), of the format called @format, ready to be read. Every file that was
 * opened is appended to @files, which owns them and must outlive the disk; also on failure. */
G_GNUC_WARN_UNUSED_RESULT
ImgDisk *img_chain_open (ImgFile *file, const char *format, const ImgChainParams *params,
                         GPtrArray *files, GError **error);
