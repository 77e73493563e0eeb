/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calling a function in a process of its own that is locked down, and getting back what it found.
 *
 * The child is a fork: it has the caller's memory and open descriptors, and gives up everything
 * else (sandbox/lock-down.h) before it looks at what a stranger wrote. Only bytes come back, which
 * are believed no more than the image was: a GVariant of the type that was asked for, or an error.
 * It dies with its parent, or before: a signal that ends the caller ends it first, so that nothing
 * is written without the caller's locks. The caller must have no other threads, and keeps what
 * needs a name: locks, the target's folder, putting in place. Where nothing is to be confined, the
 * function is called directly and everything else is the same. */
#pragma once

#include "base/error.h"

typedef struct
{
  /* In the child: returns a new (floating) GVariant of @type. */
  GVariant *(*work) (gpointer closure, GError **error);
  const char *type;
  gpointer closure; /* borrowed; for all functions here */
  /* In the caller's process, when the work says something or asks for something; or NULL. */
  void (*note) (const void *bytes, gsize length, gpointer closure);
  gboolean (*serve) (gpointer closure, GError **error);
  guint64 memory;       /* bytes of address space that the child may have; 0: no limit */
  const char *subject;  /* borrowed: the path of what is read or written, for messages */
  gboolean is_required; /* fail where no process can be started, rather than do without */
} ImgSandboxCall;

/* Returns what the work returned, or NULL and its error; IMG_ERROR_FAILED also if the child came to
 * an end without an answer. */
G_GNUC_WARN_UNUSED_RESULT
GVariant *img_sandbox_run (const ImgSandboxCall *call, GError **error);

/* For the work: call note() (from one thread at a time), or serve() and wait for its answer. */
void img_sandbox_note (const void *bytes, gsize length);
G_GNUC_WARN_UNUSED_RESULT
gboolean img_sandbox_ask (GError **error);

/* --no-sandbox: from now on everything is called directly. */
void img_sandbox_disable (void);

/* What was missing of the sandbox in the calls so far, in words; NULL: nothing, or it is disabled.
 * Constant. */
const char *img_sandbox_remark (void);
