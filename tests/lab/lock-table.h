/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The byte-range locks of a file server for tests: one table for all its mounts, which stand for as
 * many hosts. An owner is what the kernel says it is (the files_struct for POSIX locks, the open
 * file description for OFD locks; a server cannot tell them apart). Thread-safe. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define LOCK_TO_EOF INT64_MAX

typedef struct
{
  uint64_t ino;
  unsigned host;
  uint64_t owner;
  uint64_t handle; /* the open file through which it was set */
  pid_t pid;
  bool is_write;
  int64_t start, end; /* inclusive */
} LockEntry;

/* A lock of another owner that is in the way of @wanted; false if there is none. */
bool lock_table_find_conflict (const LockEntry *wanted, LockEntry *found);

/* Put @entry in place of what its owner has in that range; false if another owner is in the way. */
bool lock_table_set (const LockEntry *entry);

/* Take the range of @entry off its owner. */
void lock_table_clear (const LockEntry *entry);

/* Drop all locks of an owner on a file, of an open file, of everybody. */
void lock_table_drop_owner (uint64_t ino, unsigned host, uint64_t owner);
void lock_table_drop_handle (uint64_t handle);
void lock_table_drop_all (void);
