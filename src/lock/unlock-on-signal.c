/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lock/unlock-on-signal.h"

#include <signal.h>

#include "lock/image-lock.h"

static const int fatal[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };

static struct sigaction before[G_N_ELEMENTS (fatal)];
static guint depth;

/* End as the signal would have. SA_RESETHAND has put the default back already. */
static void
unlock_and_end (int number)
{
  img_lock_unlock_all ();
  raise (number);
}

void
img_unlock_on_signal_begin (void)
{
  struct sigaction action = { .sa_handler = unlock_and_end, .sa_flags = (int)SA_RESETHAND };
  if (depth++ > 0)
    return;
  for (guint i = 0; i < G_N_ELEMENTS (fatal); i++)
    {
      sigaction (fatal[i], NULL, &before[i]);
      /* Neither what is ignored (nohup(1)) nor somebody's own handler. */
      if (before[i].sa_handler == SIG_DFL)
        sigaction (fatal[i], &action, NULL);
    }
}

void
img_unlock_on_signal_end (void)
{
  if (--depth > 0)
    return;
  for (guint i = 0; i < G_N_ELEMENTS (fatal); i++)
    if (before[i].sa_handler == SIG_DFL)
      sigaction (fatal[i], &before[i], NULL);
}
