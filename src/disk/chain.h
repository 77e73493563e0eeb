/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An image with everything behind it: backing files and data files, opened through the gate.
 *
 * All files are opened (and locked, by who opens them) before the first byte of the guest is read,
 * and stay so as long as the disk. A chain that leads back to itself ends where it does. Finding
 * the files takes names, and little of what is in them (disk/heading.h); making a disk of them
 * takes nothing but them, and can be done elsewhere. */
#pragma once

#include "disk/heading.h"

#define IMG_CHAIN_MAX_DEPTH 64

/* A file of a chain. */
typedef struct
{
  ImgFile *file;         /* borrowed */
  const char *what;      /* "image", "backing file" or "data file"; constant */
  const char *format;    /* what it is read as; constant */
  const char *front;     /* borrowed from the chain's files: the image that names it; or NULL */
  guint depth;           /* images in front of it, or of the image whose data it has */
  char *backing;         /* owned: what it says is behind it; or NULL */
  char *data_file;       /* owned: likewise */
  gboolean is_data_file; /* of the image before it */
} ImgChainMember;

typedef struct
{
  GArray *members; /* owned ImgChainMember: the image, and what is behind it, in this order */
  char *snapshot;  /* owned: the state of the image that is read; NULL: as it is now */
  guint64 size;    /* guest bytes */
  char *refused;   /* owned: the name that was not followed; or NULL */
} ImgChain;

void img_chain_clear (ImgChain *chain);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (ImgChain, img_chain_clear)

typedef struct
{
  ImgGatePolicy policy;
  gboolean was_probed;  /* nobody said what format the image has */
  const char *snapshot; /* read this state of it; NULL: as it is now */
  /* Open a file that an image names, for reading; who looks for the chain decides how. */
  ImgFile *(*open) (const char *path, gpointer closure, GError **error);
  gpointer closure;
  /* How to do what img_heading_read() does; NULL: by calling it. */
  gboolean (*read_heading) (ImgFile *file, const char *format, const ImgHeadingParams *params,
                            ImgHeading *heading, GError **error);
} ImgChainParams;

/* Follow everything that the image in @file (borrowed), of the format called @format, names, and
 * fill in @chain (zeroed). It is to be cleared also after an error; its members are then those that
 * could be followed. Each file that was opened is appended to @files, which owns them and must
 * outlive the chain; also on failure. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_chain_find (ImgFile *file, const char *format, const ImgChainParams *params,
                         GPtrArray *files, ImgChain *chain, GError **error);

/* Whether it is a raw disk alone, or nothing (zeroed): making a disk of it reads nothing. */
gboolean img_chain_is_raw (const ImgChain *chain);

/* The disk that the files of @chain make, ready to be read; it must not outlive the files. */
G_GNUC_WARN_UNUSED_RESULT
ImgDisk *img_chain_open (const ImgChain *chain, GError **error);
