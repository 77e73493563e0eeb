/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who holds an image, and what may be done with it now.
 *
 * The answer is a snapshot put together from three sources at three instants: what the kernel or
 * file server answers about locks, its lock table, and the descriptors of all processes. Looking
 * again tells whether it changed meanwhile. It is never a promise: only taking the lock is. */
#pragma once

#include "engine/members.h"
#include "holder/filesystem.h"
#include "holder/holder.h"
#include "lock/image-lock.h"
#include "lock/probe.h"
#include "lock/trial.h"
#include "lock/use.h"

typedef enum
{
  IMG_STATUS_FREE,
  IMG_STATUS_IN_USE,
  IMG_STATUS_UNKNOWN,
} ImgStatusState;

/* Who answers about locks. */
typedef enum
{
  IMG_ANSWERS_NONE,      /* nobody was asked, or nobody answered */
  IMG_ANSWERS_KERNEL,    /* this kernel, which keeps them */
  IMG_ANSWERS_SERVER,    /* a file server */
  IMG_ANSWERS_TRIED,     /* a file server that was seen to tell of read locks */
  IMG_ANSWERS_UNTRUSTED, /* a file server that calls read-locked bytes free */
} ImgAnswers;

typedef enum
{
  IMG_VERDICT_POSSIBLE,
  IMG_VERDICT_BLOCKED, /* a lock is in the way */
  IMG_VERDICT_UNSAFE,  /* the lock would be granted, but somebody writes without one */
  IMG_VERDICT_UNKNOWN,
} ImgVerdictKind;

typedef struct
{
  ImgVerdictKind kind;
  GPtrArray *by; /* owned array of borrowed ImgHolder: all who are in the way */
  char *reason;  /* owned; NULL if possible */
} ImgVerdict;

typedef struct
{
  ImgLocking locking;
  const char *format;    /* what the image is, or NULL: look */
  gboolean locks_only;   /* look at no other process */
  gboolean names_wanted; /* FALSE: who it is does not matter, if the state is certain without */
  ImgTrial trial;        /* IMG_TRIAL_WANTED, IMG_TRIAL_NONE, or what came out of an earlier one */
  const ImgMember *member; /* what it is in a chain; NULL: it was not looked for as such */
} ImgStatusParams;

typedef struct
{
  char *path;         /* owned; as given */
  const char *what;   /* constant; what it is in a chain, see ImgMember; or NULL */
  char *front;        /* owned; the image that names it; or NULL */
  ImgLocking locking; /* how it was looked at */
  ImgStatusState state;
  char *error;           /* owned; why the state is unknown, or NULL */
  gboolean may_not_read; /* the file could not be opened for reading */
  guint64 size;
  const char *format; /* constant; NULL if it could not be read */
  ImgFilesystem filesystem;
  ImgProbe *probe;    /* owned; NULL if none was made */
  ImgTrial trial;     /* what locks are to a FUSE server */
  ImgAnswers answers; /* how good what the probe says is */
  GPtrArray *holders; /* owned ImgHolder; locks, openers for writing, for reading, the kernel */
  GPtrArray *queue;   /* owned ImgQueued: who waits for a lock, who has a lease */
  ImgVerdict verdicts[IMG_N_USES];
  gboolean openers_scanned, openers_complete, no_writers_proven, has_changed;
  gboolean may_hide_locks; /* NFS clients of this host may have locks that only they know of */
  guint n_uninspected;     /* processes that may not be looked into */
  GPtrArray *notes;        /* owned char *: what could not be seen */
} ImgStatus;

/* Look at the image @path. NULL only for what is no image: a missing file, a directory ... */
G_GNUC_WARN_UNUSED_RESULT
ImgStatus *img_status_new (const char *path, const ImgStatusParams *params, GError **error);
/* The status of what could not be looked at, because of @message. */
ImgStatus *img_status_new_unknown (const char *path, const char *message);

void img_status_free (ImgStatus *status);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (ImgStatus, img_status_free)

/* Whether QEMU locks it as a raw image by itself; what an image names is locked like one with
 * metadata. */
gboolean img_status_is_raw (const ImgStatus *status);

/* Whether everything was seen that the state, or the verdict on @use, depends on. */
gboolean img_status_is_certain (const ImgStatus *status);
gboolean img_status_is_certain_for (const ImgStatus *status, ImgUse use);

/* Why the answers of the file server cannot be trusted (IMG_ANSWERS_UNTRUSTED), or NULL; constant.
 */
const char *img_status_untrusted_reason (const ImgStatus *status);

/* "qemu-system-x86 (pid 4711, VM web01)", safe to print. Returns a new string. */
char *img_holder_describe (const ImgHolder *holder, gboolean with_vm);

/* Whether the holder may be writing to the image. */
gboolean img_holder_is_writer (const ImgHolder *holder);
