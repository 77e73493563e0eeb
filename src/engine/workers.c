/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/workers.h"

#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include "base/buffer.h"

#define STACK_BYTES (256 * 1024)
#define TICK (100 * G_TIME_SPAN_MILLISECOND)

/* Reads that wait for a disk want company even on one processor. */
#define FEWEST 8
#define MOST 16

typedef struct
{
  const ImgWorkers *workers; /* borrowed */
  gpointer job;              /* borrowed */
  GMutex mutex;
  GCond ended;
  guint n_running; /* under the mutex */
} Crew;

typedef struct
{
  pthread_t thread;
  Crew *crew;   /* borrowed */
  void *buffer; /* owned */
} Worker;

static void *
run_worker (void *data)
{
  Worker *worker = data;
  Crew *crew = worker->crew;

  crew->workers->work (crew->job, worker->buffer);
  g_mutex_lock (&crew->mutex);
  crew->n_running--;
  g_cond_signal (&crew->ended);
  g_mutex_unlock (&crew->mutex);
  return NULL;
}

static gboolean
start_worker (Crew *crew, Worker *worker)
{
  pthread_attr_t attributes;
  sigset_t all, before;

  worker->crew = crew;
  worker->buffer = img_buffer_new (crew->workers->buffer_size);
  if (worker->buffer == NULL || pthread_attr_init (&attributes) != 0)
    return FALSE;
  g_mutex_lock (&crew->mutex);
  crew->n_running++;
  g_mutex_unlock (&crew->mutex);
  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &before);
  int result = pthread_attr_setstacksize (&attributes, STACK_BYTES);
  if (result == 0)
    result = pthread_create (&worker->thread, &attributes, run_worker, worker);
  pthread_sigmask (SIG_SETMASK, &before, NULL);
  pthread_attr_destroy (&attributes);
  if (result == 0)
    return TRUE;
  g_mutex_lock (&crew->mutex);
  crew->n_running--;
  g_mutex_unlock (&crew->mutex);
  return FALSE;
}

static void
watch (Crew *crew)
{
  g_mutex_lock (&crew->mutex);
  while (crew->n_running > 0)
    {
      g_cond_wait_until (&crew->ended, &crew->mutex, g_get_monotonic_time () + TICK);
      g_mutex_unlock (&crew->mutex);
      crew->workers->tick (crew->job);
      g_mutex_lock (&crew->mutex);
    }
  g_mutex_unlock (&crew->mutex);
}

static gboolean
work_alone (const ImgWorkers *workers, gpointer job, GError **error)
{
  void *buffer = img_buffer_new (workers->buffer_size);
  if (buffer == NULL)
    return img_throw_errno (error, "cannot get %" G_GSIZE_FORMAT " bytes of memory",
                            workers->buffer_size);
  workers->work (job, buffer);
  img_buffer_free (buffer, workers->buffer_size);
  return TRUE;
}

gboolean
img_workers_run (const ImgWorkers *workers, gpointer job, GError **error)
{
  Crew crew = { .workers = workers, .job = job };
  g_autofree Worker *all = g_new0 (Worker, workers->n_wanted);
  guint n = 0;

  if (workers->n_wanted <= 1 && !workers->keeps_main_free)
    return work_alone (workers, job, error);
#ifdef M_ARENA_MAX
  /* Each arena would reserve 64 MiB of address space. */
  mallopt (M_ARENA_MAX, 1);
#endif
  g_mutex_init (&crew.mutex);
  g_cond_init (&crew.ended);
  while (n < workers->n_wanted && start_worker (&crew, &all[n]))
    n++;
  if (n < workers->n_wanted && all[n].buffer != NULL)
    img_buffer_free (all[n].buffer, workers->buffer_size);
  if (n > 0)
    watch (&crew);
  for (guint i = 0; i < n; i++)
    {
      pthread_join (all[i].thread, NULL);
      img_buffer_free (all[i].buffer, workers->buffer_size);
    }
  g_mutex_clear (&crew.mutex);
  g_cond_clear (&crew.ended);
  return n > 0 || work_alone (workers, job, error);
}

guint
img_workers_default (void)
{
  cpu_set_t set;
  guint n = sched_getaffinity (0, sizeof set, &set) == 0 ? (guint)CPU_COUNT (&set) : 1;
  return CLAMP (n, FEWEST, MOST);
}
