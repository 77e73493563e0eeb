/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* When a process started: what tells it from a later one with the same number. */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* Clock ticks after boot at which @pid started, or 0 if there is no such process.
 * Source: proc(5), field 22 of /proc/PID/stat. */
guint64 img_proc_start_ticks (pid_t pid);
