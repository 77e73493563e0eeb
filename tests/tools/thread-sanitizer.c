/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the thread sanitizer must be told: GLib's locks are made of futexes, in a library that it
 * does not see into. These stand in front of them, and are part of builds with
 * --enable-thread-sanitizer alone. */
#include <dlfcn.h>
#include <glib.h>

void __tsan_acquire (void *address);
void __tsan_release (void *address);

/* The function of that name in GLib, looked up once. */
#define REAL(name)                                                \
  ({                                                              \
    static gpointer real_;                                        \
    gpointer found_ = __atomic_load_n (&real_, __ATOMIC_ACQUIRE); \
    if (found_ == NULL)                                           \
      {                                                           \
        found_ = dlsym (RTLD_NEXT, #name);                        \
        __atomic_store_n (&real_, found_, __ATOMIC_RELEASE);      \
      }                                                           \
    (__typeof__ (&name))found_;                                   \
  })

/* What is inside the last kind of locks GLib makes when one is used first, with atomic operations.
 * G_DEFINE_QUARK asks for the same number in each thread. */
const char *__tsan_default_suppressions (void);

const char *
__tsan_default_suppressions (void)
{
  return "race:g_rw_lock_\n"
         "race:img_error_quark\n";
}

/* ---- mutexes ---- */

void
g_mutex_lock (GMutex *mutex)
{
  REAL (g_mutex_lock) (mutex);
  __tsan_acquire (mutex);
}

gboolean
g_mutex_trylock (GMutex *mutex)
{
  gboolean is_locked = REAL (g_mutex_trylock) (mutex);
  if (is_locked)
    __tsan_acquire (mutex);
  return is_locked;
}

void
g_mutex_unlock (GMutex *mutex)
{
  __tsan_release (mutex);
  REAL (g_mutex_unlock) (mutex);
}

/* ---- conditions, which give their mutex up for a while ---- */

void
g_cond_wait (GCond *condition, GMutex *mutex)
{
  __tsan_release (mutex);
  REAL (g_cond_wait) (condition, mutex);
  __tsan_acquire (mutex);
}

gboolean
g_cond_wait_until (GCond *condition, GMutex *mutex, gint64 end_time)
{
  __tsan_release (mutex);
  gboolean is_in_time = REAL (g_cond_wait_until) (condition, mutex, end_time);
  __tsan_acquire (mutex);
  return is_in_time;
}

/* ---- locks of readers and writers: @lock for what writers did, the byte behind its beginning for
 * what readers did ---- */

static gpointer
readers_of (GRWLock *lock)
{
  return (char *)lock + sizeof (gpointer);
}

void
g_rw_lock_writer_lock (GRWLock *lock)
{
  REAL (g_rw_lock_writer_lock) (lock);
  __tsan_acquire (lock);
  __tsan_acquire (readers_of (lock));
}

void
g_rw_lock_writer_unlock (GRWLock *lock)
{
  __tsan_release (lock);
  REAL (g_rw_lock_writer_unlock) (lock);
}

void
g_rw_lock_reader_lock (GRWLock *lock)
{
  REAL (g_rw_lock_reader_lock) (lock);
  __tsan_acquire (lock);
}

void
g_rw_lock_reader_unlock (GRWLock *lock)
{
  __tsan_release (readers_of (lock));
  REAL (g_rw_lock_reader_unlock) (lock);
}
