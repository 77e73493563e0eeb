/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzz targets: what is done with an input of which nothing is known.
 *
 * A target is a file of this folder and its line in targets.c. libFuzzer runs it on inputs that it
 * makes up (fuzzer.c), and "make check" on those that are kept (replay.c). A finding is a report of
 * a sanitizer, an assertion that fails (here or in the library), a run that does not end, or memory
 * without bound. */
#pragma once

#include <glib.h>

typedef struct
{
  const char *name;
  /* Do it. What was allocated is freed; nothing is remembered for the next run. */
  void (*run) (const guint8 *data, gsize size);
  /* Change the @size bytes of @data, which has room for @max_size; returns the new size. NULL:
   * libFuzzer does that alone. */
  gsize (*mutate) (guint8 *data, gsize size, gsize max_size, guint seed);
} FuzzTarget;

/* Ended by NULL. */
extern const FuzzTarget *const fuzz_targets[];

/* NULL: there is none of that name. */
const FuzzTarget *fuzz_target_find (const char *name);

/* For targets that take a text: the input up to its first NUL, in exactly as much memory. A new
 * string. */
char *fuzz_text (const guint8 *data, gsize size);

/* Demand that @text is valid UTF-8 of printable characters and newlines. */
void fuzz_check_printable (const char *text);

/* Demand what errors promise: one is set if and only if it @failed, and its message is valid UTF-8
 * of printable characters. Clears it. */
void fuzz_check_error (gboolean failed, GError **error);

/* Random mutation of part of an input, as libFuzzer does it; outside of libFuzzer nothing. */
gsize fuzz_mutate_any (guint8 *data, gsize size, gsize max_size);

/* Mutation that knows what a qcow2 image looks like. */
gsize fuzz_mutate_qcow2 (guint8 *data, gsize size, gsize max_size, guint seed);
