/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/at-signal.h"

#include <signal.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#define MAX_ENTRIES 4

static const int fatal[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

/* Changed only while signals are held off. */
static struct
{
  ImgAtSignal function; /* NULL: free */
  gpointer what;        /* borrowed */
} entries[IMG_N_AT_SIGNAL_PHASES][MAX_ENTRIES];

static struct sigaction before[G_N_ELEMENTS (fatal)];
static guint n_entries;
static pid_t owner; /* who installed the handlers: a forked child has them too */

static guint depth; /* of img_at_signal_hold() */
static sigset_t mask_before;

/* The main thread says that it is changing things, a handler in another thread that the process is
 * ending; each says so before it looks whether the other has. */
static atomic_bool is_held, is_ending;

/* End as the signal would have: SA_RESETHAND has put the default back already, and the signal is
 * delivered when this returns. */
static void
clean_up_and_end (int number)
{
  static const struct timespec moment = { .tv_nsec = 1000000 };

  if (getpid () != owner)
    {
      raise (number);
      return;
    }
  if (atomic_exchange (&is_ending, TRUE))
    return; /* another signal is at it */
  while (atomic_load (&is_held))
    nanosleep (&moment, NULL);
  for (guint phase = 0; phase < IMG_N_AT_SIGNAL_PHASES; phase++)
    for (guint i = 0; i < MAX_ENTRIES; i++)
      if (entries[phase][i].function != NULL)
        entries[phase][i].function (entries[phase][i].what);
  raise (number);
}

static void
fill_set (sigset_t *set)
{
  sigemptyset (set);
  for (guint i = 0; i < G_N_ELEMENTS (fatal); i++)
    sigaddset (set, fatal[i]);
}

void
img_at_signal_hold (void)
{
  sigset_t set;

  if (depth++ > 0)
    return;
  fill_set (&set);
  pthread_sigmask (SIG_BLOCK, &set, &mask_before);
  atomic_store (&is_held, TRUE);
  if (!atomic_load (&is_ending) || getpid () != owner)
    return;
  /* Another thread is ending the process: nothing may be changed any more. */
  atomic_store (&is_held, FALSE);
  for (;;)
    pause ();
}

void
img_at_signal_release (void)
{
  g_assert (depth > 0);
  if (--depth > 0)
    return;
  atomic_store (&is_held, FALSE);
  pthread_sigmask (SIG_SETMASK, &mask_before, NULL);
}

static void
install (void)
{
  struct sigaction action = { .sa_handler = clean_up_and_end, .sa_flags = (int)SA_RESETHAND };

  fill_set (&action.sa_mask);
  owner = getpid ();
  for (guint i = 0; i < G_N_ELEMENTS (fatal); i++)
    {
      sigaction (fatal[i], NULL, &before[i]);
      if (before[i].sa_handler == SIG_DFL)
        sigaction (fatal[i], &action, NULL);
    }
}

static void
uninstall (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (fatal); i++)
    if (before[i].sa_handler == SIG_DFL)
      sigaction (fatal[i], &before[i], NULL);
}

void
img_at_signal_add (ImgAtSignalPhase phase, ImgAtSignal function, gpointer what)
{
  guint i = 0;

  img_at_signal_hold ();
  while (i < MAX_ENTRIES && entries[phase][i].function != NULL)
    i++;
  g_assert (i < MAX_ENTRIES);
  entries[phase][i].function = function;
  entries[phase][i].what = what;
  if (n_entries++ == 0)
    install ();
  img_at_signal_release ();
}

void
img_at_signal_remove (ImgAtSignalPhase phase, ImgAtSignal function, gpointer what)
{
  guint i = 0;

  img_at_signal_hold ();
  while (i < MAX_ENTRIES
         && (entries[phase][i].function != function || entries[phase][i].what != what))
    i++;
  g_assert (i < MAX_ENTRIES);
  entries[phase][i].function = NULL;
  if (--n_entries == 0)
    uninstall ();
  img_at_signal_release ();
}
