/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What libFuzzer calls. The target is the one that FUZZ_TARGET names. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"

int LLVMFuzzerInitialize (int *argc, char ***argv);
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator (uint8_t *data, size_t size, size_t max_size, unsigned int seed);
size_t LLVMFuzzerMutate (uint8_t *data, size_t size, size_t max_size);

static const FuzzTarget *target;

int
LLVMFuzzerInitialize (int *argc, char ***argv)
{
  const char *name = g_getenv ("FUZZ_TARGET");

  (void)argc, (void)argv;
  target = name == NULL ? NULL : fuzz_target_find (name);
  if (target == NULL)
    {
      fprintf (stderr, "FUZZ_TARGET must be one of:");
      for (guint i = 0; fuzz_targets[i] != NULL; i++)
        fprintf (stderr, " %s", fuzz_targets[i]->name);
      fprintf (stderr, "\n");
      exit (2);
    }
  return 0;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  target->run (data, size);
  return 0;
}

size_t
LLVMFuzzerCustomMutator (uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
  return target->mutate == NULL ? LLVMFuzzerMutate (data, size, max_size)
                                : target->mutate (data, size, max_size, seed);
}

gsize
fuzz_mutate_any (guint8 *data, gsize size, gsize max_size)
{
  return LLVMFuzzerMutate (data, size, max_size);
}
