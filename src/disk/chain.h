/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A disk with everything behind it: backing files and data files, opened through the gate.
 *
 * All files are opened (and locked, by who opens them) before the first byte of the guest is read,
 * and stay so as long as the disk. A chain that leads back to itself ends where it does. */
#pragma once

#include "disk/gate.h"

#define IMG_CHAIN_MAX_DEPTH 64

/* A file of a chain. */
typedef struct
{
  ImgFile *file;      /* borrowed */
  const char *what;   /* "image", "backing file" or "data file"; constant */
  const char *format; /* what it is read as; constant */
  const char *front;  /* borrowed from the chain's files: the image that names it; or NULL */
  guint depth;        /* how many images are in front of it, or of the image whose data it has */
} ImgChainMember;

typedef struct
{
  ImgGatePolicy policy;
  gboolean was_probed;  /* nobody said what format the image has */
  const char *snapshot; /* read this state of it; NULL: as it is now */
  /* Open a file that an image names, for reading; the caller of img_chain_open() decides how. */
  ImgFile *(*open) (const char *path, gpointer closure, GError **error);
  gpointer closure;
} ImgChainParams;

/* Follow everything that the image in @file (borrowed), of the format called @format, names. Each
 * file that was opened is appended to @files, which owns them and must outlive the disk, and each
 * that may be followed to @members (ImgChainMember); also on failure, when *@refused is a new
 * string, or NULL: the name that was not followed. */
G_GNUC_WARN_UNUSED_RESULT
ImgDisk *img_chain_find (ImgFile *file, const char *format, const ImgChainParams *params,
                         GPtrArray *files, GArray *members, char **refused, GError **error);

/* The disk in @file (borrowed), of the format called @format, ready to be read. Every file that was
 * opened is appended to @files, which owns them and must outlive the disk; also on failure. */
G_GNUC_WARN_UNUSED_RESULT
ImgDisk *img_chain_open (ImgFile *file, const char *format, const ImgChainParams *params,
                         GPtrArray *files, GError **error);
