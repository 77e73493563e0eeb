/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening an image for a command: img_file_open(), and when somebody is in the way, who it is. */
#pragma once

#include "disk/chain.h"
#include "lock/use.h"

typedef struct
{
  ImgLocking locking;
  gboolean force_share; /* -U: do not ask others to stop writing */
  gint64 lock_wait;     /* microseconds; see img_lock_take() */
  const char *format;   /* what the user says it is, or NULL: look */
  gboolean any_format;  /* also one that cannot be read */
  gboolean is_named;    /* another image names it */
  gboolean no_devices;  /* ... and may not name a block device */
  const ImgRoot *root;  /* borrowed; ... nor what is outside; or NULL */
  const char *snapshot; /* read that state of it, or NULL */
  ImgGatePolicy policy; /* for what it names */
} ImgOpenParams;

/* Sets *@root to what the names that begin at the image @path may not lead out of, if @policy says
 * so, else to NULL. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_open_root (const char *path, const ImgGatePolicy *policy, ImgRoot **root,
                        GError **error);

/* img_file_open(), with the holders named in the message of IMG_ERROR_LOCKED, and the ways out in
 * that of IMG_ERROR_NO_LOCKS. */
G_GNUC_WARN_UNUSED_RESULT
ImgFile *img_open_file (const char *path, const ImgFileParams *params, GError **error);

/* Add to @error, of IMG_ERROR_LOCKED, who on @path is in the way of @set. */
void img_open_name_holders (const char *path, ImgPermSet set, ImgLocking locking, GError **error);

/* The same, and the ways out for IMG_ERROR_NO_LOCKS; other errors stay as they are. */
void img_open_explain (const char *path, ImgPermSet set, ImgLocking locking, GError **error);

/* Open @path for @use, which must be one that reads, with the locks that its format takes. With
 * IMG_ERROR_LOCKED the message names the holders. IMG_ERROR_UNSUPPORTED if it is, or looks like, a
 * format that cannot be handled yet; *@format (constant) says what it was opened as. */
G_GNUC_WARN_UNUSED_RESULT
ImgFile *img_open (const char *path, ImgUse use, const ImgOpenParams *params, const char **format,
                   GError **error);

/* img_open(), and open everything that the image names, likewise: the files, of which
 * img_chain_open() makes a disk. @chain is zeroed, and to be cleared also after an error. The files
 * are appended to @files, which owns them and must outlive the chain, also on failure. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_open_chain (const char *path, ImgUse use, const ImgOpenParams *params,
                         GPtrArray *files, ImgChain *chain, GError **error);

/* The same for @file (borrowed), which is open and has the format called @format; only what it
 * names is opened. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_open_chain_in (ImgFile *file, const char *format, ImgUse use,
                            const ImgOpenParams *params, GPtrArray *files, ImgChain *chain,
                            GError **error);

/* Open the data file that the image in @file of the format called @format names, likewise;
 * *@data NULL: it names none. */
G_GNUC_WARN_UNUSED_RESULT
gboolean img_open_data_file (ImgFile *file, const char *format, ImgUse use,
                             const ImgOpenParams *params, ImgFile **data, GError **error);
