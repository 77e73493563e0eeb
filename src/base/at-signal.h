/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is left to do when a signal ends the process: another process to end, a part file to remove,
 * a lock to give back.
 *
 * While there is something to do, SIGINT, SIGTERM, SIGHUP and SIGQUIT do it and then end the
 * process as they would have. Only while there is, and neither a signal that is ignored (nohup(1))
 * nor somebody's own handler is touched: a handled signal does not interrupt a process that waits
 * for a file server that hangs, and a second one is fatal again. The handler may run in any thread,
 * and does its work once; in a forked child it does nothing but end it. The functions here are for
 * the main thread. */
#pragma once

#include <glib.h>

/* Must be async-signal-safe. */
typedef void (*ImgAtSignal) (gpointer what);

/* Whoever works for this process stops first: nothing is written any more when the locks go. Files
 * are removed while they are still locked, so that nobody else has made one in their place. */
typedef enum
{
  IMG_AT_SIGNAL_STOP,
  IMG_AT_SIGNAL_REMOVE,
  IMG_AT_SIGNAL_UNLOCK,
} ImgAtSignalPhase;

#define IMG_N_AT_SIGNAL_PHASES 3

/* Call @function (@what) when a signal ends the process, and do so no more. @what is borrowed.
 * There is room for a few of each phase only. */
void img_at_signal_add (ImgAtSignalPhase phase, ImgAtSignal function, gpointer what);
void img_at_signal_remove (ImgAtSignalPhase phase, ImgAtSignal function, gpointer what);

/* Between these two no signal ends the process and no handler looks: what must be true together
 * (that a file exists, that it is to be removed) is changed here. Calls nest. */
void img_at_signal_hold (void);
void img_at_signal_release (void);
