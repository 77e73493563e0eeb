/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* File servers that do not notice a close: what a signal would leave locked there.
 *
 * On local file systems the kernel drops the locks of a process that ends. A FUSE server may never
 * hear of it, so while locks are held on a server's files, signals that end the process unlock
 * first (base/at-signal.h). */
#pragma once

#include <glib.h>

/* Locks on a server's file are held now, or not any more; calls nest. Main thread only. */
void img_unlock_on_signal_begin (void);
void img_unlock_on_signal_end (void);
