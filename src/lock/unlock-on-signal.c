/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lock/unlock-on-signal.h"

#include "base/at-signal.h"
#include "lock/image-lock.h"

static guint depth;

static void
unlock (G_GNUC_UNUSED gpointer unused)
{
  img_lock_unlock_all ();
}

void
img_unlock_on_signal_begin (void)
{
  if (depth++ == 0)
    img_at_signal_add (IMG_AT_SIGNAL_UNLOCK, unlock, NULL);
}

void
img_unlock_on_signal_end (void)
{
  if (--depth == 0)
    img_at_signal_remove (IMG_AT_SIGNAL_UNLOCK, unlock, NULL);
}
