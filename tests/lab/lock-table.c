/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lock-table.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct Node Node;
struct Node
{
  LockEntry entry;
  Node *next;
};

static Node *table;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static bool
overlap (const LockEntry *a, const LockEntry *b)
{
  return a->ino == b->ino && a->start <= b->end && b->start <= a->end;
}

static bool
same_owner (const LockEntry *a, const LockEntry *b)
{
  return a->host == b->host && a->owner == b->owner;
}

static const LockEntry *
conflict_of (const LockEntry *wanted)
{
  for (const Node *node = table; node != NULL; node = node->next)
    if (overlap (&node->entry, wanted) && !same_owner (&node->entry, wanted)
        && (node->entry.is_write || wanted->is_write))
      return &node->entry;
  return NULL;
}

static void
add (const LockEntry *entry)
{
  Node *node = malloc (sizeof *node);
  if (node == NULL)
    abort ();
  node->entry = *entry;
  node->next = table;
  table = node;
}

/* Remove what @is_meant says, given @closure. */
static void
remove_if (bool (*is_meant) (const LockEntry *, const LockEntry *), const LockEntry *closure)
{
  for (Node **link = &table; *link != NULL;)
    {
      Node *node = *link;
      if (is_meant (&node->entry, closure))
        {
          *link = node->next;
          free (node);
        }
      else
        link = &node->next;
    }
}

static bool
is_overlapping_and_own (const LockEntry *entry, const LockEntry *range)
{
  return overlap (entry, range) && same_owner (entry, range);
}

/* Cut the range of @hole out of what its owner has. */
static void
cut_out (const LockEntry *hole)
{
  Node *rest = NULL;
  for (Node *node = table; node != NULL; node = node->next)
    {
      if (!is_overlapping_and_own (&node->entry, hole))
        continue;
      for (int side = 0; side < 2; side++)
        {
          LockEntry part = node->entry;
          if (side == 0)
            part.end = hole->start - 1;
          else if (hole->end == LOCK_TO_EOF)
            continue;
          else
            part.start = hole->end + 1;
          if (part.start > part.end)
            continue;
          Node *kept = malloc (sizeof *kept);
          if (kept == NULL)
            abort ();
          kept->entry = part;
          kept->next = rest;
          rest = kept;
        }
    }
  remove_if (is_overlapping_and_own, hole);
  while (rest != NULL)
    {
      Node *next = rest->next;
      rest->next = table;
      table = rest;
      rest = next;
    }
}

bool
lock_table_find_conflict (const LockEntry *wanted, LockEntry *found)
{
  pthread_mutex_lock (&mutex);
  const LockEntry *conflict = conflict_of (wanted);
  if (conflict != NULL)
    *found = *conflict;
  pthread_mutex_unlock (&mutex);
  return conflict != NULL;
}

bool
lock_table_set (const LockEntry *entry)
{
  pthread_mutex_lock (&mutex);
  bool is_free = conflict_of (entry) == NULL;
  if (is_free)
    {
      cut_out (entry);
      add (entry);
    }
  pthread_mutex_unlock (&mutex);
  return is_free;
}

void
lock_table_clear (const LockEntry *entry)
{
  pthread_mutex_lock (&mutex);
  cut_out (entry);
  pthread_mutex_unlock (&mutex);
}

static bool
is_of_owner (const LockEntry *entry, const LockEntry *wanted)
{
  return entry->ino == wanted->ino && same_owner (entry, wanted);
}

static bool
is_of_handle (const LockEntry *entry, const LockEntry *wanted)
{
  return entry->handle == wanted->handle;
}

static bool
is_any (const LockEntry *entry, const LockEntry *unused)
{
  (void)entry;
  (void)unused;
  return true;
}

static void
drop (bool (*is_meant) (const LockEntry *, const LockEntry *), const LockEntry *closure)
{
  pthread_mutex_lock (&mutex);
  remove_if (is_meant, closure);
  pthread_mutex_unlock (&mutex);
}

void
lock_table_drop_owner (uint64_t ino, unsigned host, uint64_t owner)
{
  LockEntry wanted = { .ino = ino, .host = host, .owner = owner };
  drop (is_of_owner, &wanted);
}

void
lock_table_drop_handle (uint64_t handle)
{
  LockEntry wanted = { .handle = handle };
  drop (is_of_handle, &wanted);
}

void
lock_table_drop_all (void)
{
  drop (is_any, NULL);
}
