/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lock/image-lock.h"

#include <errno.h>
#include <string.h>

#include "base/mounts.h"
#include "base/text.h"
#include "lock/locks-line.h"
#include "lock/other-eyes.h"
#include "lock/reach.h"
#include "lock/remote.h"
#include "lock/unlock-on-signal.h"

/* Tries before a conflict is believed when nobody wants to wait: 4 tries within about 100 ms. */
#define RACE_TRIES 4

/* File servers may hear late of a close: of a few hundred releases the slowest took 61 ms. */
#define RELEASE_GRACE (300 * G_TIME_SPAN_MILLISECOND)

struct ImgLock
{
  int fd;      /* borrowed */
  char *image; /* owned; escaped, for messages */
  ImgLocking locking;
  ImgLockKind kind;
  ImgPermSet
      foreign; /* of held: locks that somebody else put on the description, not ours to unlock */
  ImgPermSet held;
  char *warning;    /* owned */
  char *remark;     /* owned */
  ImgRemote remote; /* who keeps the locks */
  enum
  {
    EYES_UNKNOWN,
    EYES_GOOD,
    EYES_BLIND,
  } eyes;                /* whether asking the server is of any use */
  gboolean is_unchecked; /* nobody could tell whether others have locks */
  gboolean is_guarded;   /* they do */
  ImgLock *next;         /* borrowed; in all_locks */
};

/* Those that hold something, for img_lock_unlock_all(). Changed only by the main thread, and so
 * that a signal handler finds a list at any instant: a lock is complete before it is linked. */
static ImgLock *volatile all_locks;

/* What stopped an attempt. */
typedef struct
{
  enum
  {
    OBSTACLE_NONE,
    OBSTACLE_HOLDER, /* somebody has a lock */
    OBSTACLE_ERRNO,  /* the operation itself fails */
  } what;
  int error_number;
  guint bit;             /* whose check failed */
  gboolean is_forbidden; /* TRUE: somebody forbids it; FALSE: somebody uses it */
  guint64 byte;          /* whose locking failed, or 0 */
  gboolean is_final;     /* not to be tried again */
} Obstacle;

static const char *const locking_names[] = { [IMG_LOCKING_AUTO] = "auto",
                                             [IMG_LOCKING_ON] = "on",
                                             [IMG_LOCKING_OFF] = "off",
                                             [IMG_LOCKING_POSIX] = "posix" };

const char *
img_locking_name (ImgLocking locking)
{
  return locking_names[locking];
}

gboolean
img_locking_parse (const char *name, ImgLocking *locking)
{
  for (guint i = 0; i < G_N_ELEMENTS (locking_names); i++)
    if (strcmp (locking_names[i], name) == 0)
      {
        *locking = (ImgLocking)i;
        return TRUE;
      }
  return FALSE;
}

static guint64
byte_of (guint bit, gboolean forbidden)
{
  return (forbidden ? IMG_PERM_FORBIDDEN_BASE : IMG_PERM_USED_BASE) + bit;
}

static gboolean
is_conflict (int error_number)
{
  return error_number == EAGAIN || error_number == EACCES;
}

/* Unlock the bytes of @set. A failure cannot be helped: closing the descriptor is all that is left.
 */
static void
unlock_set (ImgLock *lock, ImgPermSet set)
{
  if (lock->kind == IMG_LOCK_NONE)
    return;
  for (gboolean forbidden = FALSE; forbidden <= TRUE; forbidden++)
    for (guint bit = 0; bit < IMG_PERM_BITS; bit++)
      if ((forbidden ? set.forbids : set.uses) & (1u << bit))
        (void)img_unlock_byte (lock->fd, lock->kind, byte_of (bit, forbidden));
}

/* Lock the bytes of @set in QEMU's order; on failure none of them stays locked. */
static Obstacle
apply (ImgLock *lock, ImgPermSet set)
{
  ImgPermSet done = { 0, 0 };
  Obstacle obstacle = { .what = OBSTACLE_NONE };

  for (gboolean forbidden = FALSE; forbidden <= TRUE; forbidden++)
    for (guint bit = 0; bit < IMG_PERM_BITS; bit++)
      {
        if (!((forbidden ? set.forbids : set.uses) & (1u << bit)))
          continue;
        int result = img_lock_byte (lock->fd, lock->kind, byte_of (bit, forbidden));
        if (result != 0)
          {
            unlock_set (lock, done);
            obstacle.what = is_conflict (result) ? OBSTACLE_HOLDER : OBSTACLE_ERRNO;
            obstacle.error_number = result;
            obstacle.byte = byte_of (bit, forbidden);
            return obstacle;
          }
        *(forbidden ? &done.forbids : &done.uses) |= 1u << bit;
      }
  return obstacle;
}

/* Look for others who forbid what @set uses or use what it forbids. */
static Obstacle
check (ImgLock *lock, ImgPermSet set)
{
  Obstacle obstacle = { .what = OBSTACLE_NONE };

  for (int pass = 0; pass < 2; pass++)
    for (guint bit = 0; bit < IMG_PERM_BITS; bit++)
      {
        gboolean asks_forbidden = pass == 0;
        gboolean is_locked = FALSE;
        ImgLockRange found;
        if (!((asks_forbidden ? set.uses : set.forbids) & (1u << bit)))
          continue;
        guint64 byte = byte_of (bit, asks_forbidden);
        int result = img_lock_query (lock->fd, lock->kind, byte, byte, &is_locked, &found);
        if (result == 0 && !is_locked)
          continue;
        obstacle.what = result == 0 ? OBSTACLE_HOLDER : OBSTACLE_ERRNO;
        obstacle.error_number = result;
        obstacle.bit = bit;
        obstacle.is_forbidden = asks_forbidden;
        return obstacle;
      }
  return obstacle;
}

/* Whether asking this file server about locks is useless, since it does not show others even what
 * was locked just now. */
static gboolean
is_blind (ImgLock *lock, ImgPermSet applied)
{
  if (lock->eyes == EYES_UNKNOWN)
    lock->eyes = lock->remote == IMG_REMOTE_NFS3
                         || (lock->remote == IMG_REMOTE_FUSE
                             && img_lock_seen_by_others (lock->fd, applied) == IMG_LOCK_LOST)
                     ? EYES_BLIND
                     : EYES_GOOD;
  return lock->eyes == EYES_BLIND;
}

/* The check where asking is useless: an exclusive lock on a byte is granted only if nobody else has
 * a lock there. It is given back at once, and never tried while waiting, since for that instant it
 * is in everybody's way. On a descriptor that cannot write it cannot be had: then nobody can tell.
 */
static Obstacle
check_by_locking (ImgLock *lock, ImgPermSet set)
{
  Obstacle obstacle = { .what = OBSTACLE_NONE };

  for (guint pass = 0; pass < 2; pass++)
    for (guint bit = 0; bit < IMG_PERM_BITS; bit++)
      {
        gboolean asks_forbidden = pass == 0;
        guint64 byte = byte_of (bit, asks_forbidden);
        /* What is held from before must not be lost either. */
        guint own = asks_forbidden ? set.forbids | lock->held.forbids : set.uses | lock->held.uses;
        if (!((asks_forbidden ? set.uses : set.forbids) & (1u << bit)))
          continue;
        int result = img_lock_byte_exclusively (lock->fd, lock->kind, byte);
        if (result == 0)
          result = own & (1u << bit) ? img_lock_byte (lock->fd, lock->kind, byte)
                                     : img_unlock_byte (lock->fd, lock->kind, byte);
        if (result == EBADF)
          {
            lock->is_unchecked = TRUE;
            return obstacle;
          }
        if (result == 0)
          continue;
        obstacle.what = is_conflict (result) ? OBSTACLE_HOLDER : OBSTACLE_ERRNO;
        obstacle.error_number = result;
        obstacle.bit = bit;
        obstacle.is_forbidden = asks_forbidden;
        obstacle.is_final = TRUE;
        return obstacle;
      }
  return obstacle;
}

static ImgPermSet
set_minus (ImgPermSet a, ImgPermSet b)
{
  ImgPermSet rest = { .uses = a.uses & ~b.uses, .forbids = a.forbids & ~b.forbids };
  return rest;
}

/* One round of apply and check. Only what this round added is taken back when it fails. */
static Obstacle
attempt (ImgLock *lock, ImgPermSet set)
{
  ImgPermSet added = set_minus (set, lock->held);
  Obstacle obstacle = apply (lock, added);
  if (obstacle.what != OBSTACLE_NONE)
    return obstacle;
  obstacle = check (lock, set);
  if (obstacle.what == OBSTACLE_NONE && lock->remote != IMG_REMOTE_NOT && is_blind (lock, added))
    obstacle = check_by_locking (lock, set);
  if (obstacle.what != OBSTACLE_NONE)
    {
      unlock_set (lock, added);
      return obstacle;
    }
  lock->held.uses |= set.uses;
  lock->held.forbids |= set.forbids;
  if (lock->remote != IMG_REMOTE_NOT && !lock->is_guarded)
    {
      lock->is_guarded = TRUE;
      img_unlock_on_signal_begin ();
    }
  return obstacle;
}

/* Try until it works, the time is over or it is hopeless. While waiting, a look without locks comes
 * before each attempt, so that those who wait do not get into the way of those who start. */
static Obstacle
attempt_for (ImgLock *lock, ImgPermSet set, gint64 wait)
{
  gint64 now = g_get_monotonic_time ();
  if (lock->remote != IMG_REMOTE_NOT)
    wait = MAX (wait, RELEASE_GRACE);
  gint64 deadline = wait > G_MAXINT64 - now ? G_MAXINT64 : now + wait;
  Obstacle obstacle = attempt (lock, set);

  for (guint tries = 1; obstacle.what == OBSTACLE_HOLDER && !obstacle.is_final; tries++)
    {
      if (tries >= RACE_TRIES && g_get_monotonic_time () >= deadline)
        break;
      guint longest = 10u << MIN (tries, 3u); /* milliseconds: 20, 40, 80, 80, ... */
      g_usleep ((gulong)g_random_int_range (2000, (gint)longest * 1000));
      if (tries >= RACE_TRIES)
        {
          Obstacle seen = check (lock, set);
          if (seen.what != OBSTACLE_NONE)
            {
              obstacle = seen;
              continue;
            }
        }
      obstacle = attempt (lock, set);
    }
  return obstacle;
}

/* The words are QEMU's, which scripts look for. */
static gboolean
throw_obstacle (const ImgLock *lock, const Obstacle *obstacle, GError **error)
{
  ImgErrorCode code = obstacle->what == OBSTACLE_HOLDER ? IMG_ERROR_LOCKED : IMG_ERROR_NO_LOCKS;
  const char *separator = obstacle->what == OBSTACLE_HOLDER ? "" : ": ";
  const char *why = obstacle->what == OBSTACLE_HOLDER ? "" : g_strerror (obstacle->error_number);

  if (obstacle->byte != 0)
    return img_throw (error, code,
                      "cannot open '%s': Failed to lock byte %" G_GUINT64_FORMAT "%s%s",
                      lock->image, obstacle->byte, separator, why);
  return img_throw (error, code, "cannot open '%s': Failed to get %s\"%s\" lock%s%s", lock->image,
                    obstacle->is_forbidden ? "" : "shared ", img_perm_name (obstacle->bit),
                    separator, why);
}

static gboolean
set_is_empty (ImgPermSet set)
{
  return set.uses == 0 && set.forbids == 0;
}

static gboolean
set_writes (ImgPermSet set)
{
  return (set.uses & (IMG_PERM_WRITE | IMG_PERM_WRITE_UNCHANGED | IMG_PERM_RESIZE)) != 0;
}

/* `on` where OFD locks cannot be had. */
static Obstacle
fall_back_to_posix (ImgLock *lock, ImgPermSet set, gint64 wait, const char *why)
{
  lock->kind = IMG_LOCK_POSIX;
  Obstacle obstacle = attempt_for (lock, set, wait);
  if (obstacle.what == OBSTACLE_NONE)
    lock->warning
        = g_strdup_printf ("'%s': OFD locks are not available (%s), falling back to POSIX "
                           "locks: these locks can be lost unexpectedly",
                           lock->image, why);
  return obstacle;
}

/* `auto` where the file system refuses OFD locks: a reader may go on, a writer must not. */
static gboolean
go_on_unlocked (ImgLock *lock, ImgPermSet set, const Obstacle *obstacle, GError **error)
{
  if (set_writes (set))
    {
      (void)throw_obstacle (lock, obstacle, error);
      g_prefix_error (error,
                      "the file system refuses OFD locks, and writing unlocked is not safe: ");
      return FALSE;
    }
  lock->kind = IMG_LOCK_NONE;
  lock->warning = g_strdup_printf ("'%s': the file system refuses OFD locks (%s): reading it "
                                   "unlocked; --locking=posix may work",
                                   lock->image, g_strerror (obstacle->error_number));
  return TRUE;
}

/* With OFD locks known to exist. */
static gboolean
take_ofd (ImgLock *lock, ImgPermSet set, gint64 wait, GError **error)
{
  lock->kind = IMG_LOCK_OFD;
  Obstacle obstacle = attempt_for (lock, set, wait);
  if (obstacle.what == OBSTACLE_ERRNO)
    {
      if (lock->locking == IMG_LOCKING_AUTO)
        return go_on_unlocked (lock, set, &obstacle, error);
      obstacle = fall_back_to_posix (lock, set, wait, g_strerror (obstacle.error_number));
    }
  return obstacle.what == OBSTACLE_NONE || throw_obstacle (lock, &obstacle, error);
}

static gboolean
take_without_ofd (ImgLock *lock, ImgPermSet set, gint64 wait, GError **error)
{
  if (lock->locking == IMG_LOCKING_AUTO)
    {
      lock->remark
          = g_strdup_printf ("'%s': this kernel has no OFD locks: opened unlocked", lock->image);
      return TRUE;
    }
  Obstacle obstacle = fall_back_to_posix (lock, set, wait, "this kernel has none");
  return obstacle.what == OBSTACLE_NONE || throw_obstacle (lock, &obstacle, error);
}

static gboolean
take (ImgLock *lock, ImgPermSet set, gint64 wait, GError **error)
{
  if (lock->locking == IMG_LOCKING_OFF || set_is_empty (set))
    return TRUE;
  if (lock->locking == IMG_LOCKING_POSIX)
    {
      lock->kind = IMG_LOCK_POSIX;
      Obstacle obstacle = attempt_for (lock, set, wait);
      return obstacle.what == OBSTACLE_NONE || throw_obstacle (lock, &obstacle, error);
    }
  if (!img_lock_kernel_has_ofd ())
    return take_without_ofd (lock, set, wait, error);
  return take_ofd (lock, set, wait, error);
}

char *
img_lock_reach_warning (const ImgLock *lock, ImgPermSet set)
{
  ImgPermSet listed;
  if (lock->kind == IMG_LOCK_NONE || !set_writes (set))
    return NULL;
  g_autoptr (ImgMount) mount = img_mount_of_fd (lock->fd);
  if (mount == NULL)
    return NULL;
  img_locks_fdinfo_held (lock->fd, lock->kind, &listed);
  gboolean is_listed = listed.uses != 0 || listed.forbids != 0;
  ImgReach reach
      = img_reach_of (mount->type, mount->options, is_listed ? IMG_SIGHT_KERNEL : IMG_SIGHT_SERVER);
  g_autofree char *advice = reach.is_unsafe ? img_reach_advice (&reach, mount->type) : NULL;
  return advice == NULL ? NULL : g_strdup_printf ("'%s': %s", lock->image, advice);
}

/* The user must know what could not be made sure of. */
static gboolean
take_and_warn (ImgLock *lock, ImgPermSet set, gint64 wait, GError **error)
{
  if (!take (lock, set, wait, error))
    return FALSE;
  if (lock->is_unchecked && lock->warning == NULL)
    lock->warning = g_strdup_printf ("'%s': this file server does not show the locks of others: "
                                     "whether somebody writes to it cannot be told",
                                     lock->image);
  if (lock->warning == NULL)
    lock->warning = img_lock_reach_warning (lock, set);
  return TRUE;
}

static ImgLock *
new_lock (int fd, const char *image, ImgLocking locking)
{
  ImgLock *lock = g_new0 (ImgLock, 1);
  lock->next = all_locks;
  lock->fd = fd;
  lock->image = img_text_escape (image, -1);
  lock->locking = locking;
  lock->remote = img_remote_kind (fd);
  all_locks = lock;
  return lock;
}

ImgLock *
img_lock_take (int fd, const char *image, ImgLocking locking, ImgPermSet set, gint64 wait,
               GError **error)
{
  g_autoptr (ImgLock) lock = new_lock (fd, image, locking);
  return take_and_warn (lock, set, wait, error) ? g_steal_pointer (&lock) : NULL;
}

ImgLock *
img_lock_adopt (int fd, const char *image, ImgPermSet set, gint64 wait, GError **error)
{
  g_autoptr (ImgLock) lock = new_lock (fd, image, IMG_LOCKING_ON);
  lock->kind = IMG_LOCK_OFD;
  img_locks_fdinfo_held (fd, IMG_LOCK_OFD, &lock->foreign);
  lock->held = lock->foreign;
  Obstacle obstacle = attempt_for (lock, set, wait);
  if (obstacle.what != OBSTACLE_NONE)
    return throw_obstacle (lock, &obstacle, error), NULL;
  return g_steal_pointer (&lock);
}

gboolean
img_lock_extend (ImgLock *lock, ImgPermSet set, gint64 wait, GError **error)
{
  if (lock->kind == IMG_LOCK_NONE)
    {
      /* Nothing was lockable, or nothing was asked for until now. */
      if (lock->warning != NULL || lock->remark != NULL)
        return !set_writes (set) || lock->remark != NULL
               || img_throw (error, IMG_ERROR_NO_LOCKS,
                             "the file system refuses OFD locks, and writing '%s' unlocked is not "
                             "safe",
                             lock->image);
      return take (lock, set, wait, error);
    }
  Obstacle obstacle = attempt_for (lock, set, wait);
  return obstacle.what == OBSTACLE_NONE || throw_obstacle (lock, &obstacle, error);
}

static void
unlink_lock (ImgLock *lock)
{
  if (all_locks == lock)
    {
      all_locks = lock->next;
      return;
    }
  for (ImgLock *other = all_locks; other != NULL; other = other->next)
    if (other->next == lock)
      {
        other->next = lock->next;
        return;
      }
}

void
img_lock_unlock_all (void)
{
  ImgPermSet everything = { .uses = ~0u, .forbids = ~0u };
  for (ImgLock *lock = all_locks; lock != NULL; lock = lock->next)
    unlock_set (lock, set_minus (everything, lock->foreign));
}

void
img_lock_leave (ImgLock *lock)
{
  unlink_lock (lock);
  if (lock->is_guarded)
    img_unlock_on_signal_end ();
  g_free (lock->image);
  g_free (lock->warning);
  g_free (lock->remark);
  g_free (lock);
}

void
img_lock_release (ImgLock *lock)
{
  unlock_set (lock, set_minus (lock->held, lock->foreign));
  img_lock_leave (lock);
}

ImgLockKind
img_lock_kind (const ImgLock *lock)
{
  return lock->kind;
}

ImgPermSet
img_lock_held (const ImgLock *lock)
{
  return lock->held;
}

int
img_lock_fd (const ImgLock *lock)
{
  return lock->fd;
}

const char *
img_lock_warning (const ImgLock *lock)
{
  return lock->warning;
}

const char *
img_lock_remark (const ImgLock *lock)
{
  return lock->remark;
}

gboolean
img_lock_is_unchecked (const ImgLock *lock)
{
  return lock->is_unchecked;
}
