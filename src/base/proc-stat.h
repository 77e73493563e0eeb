/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /proc/PID/stat: when a process started, which tells it from a later one with the same number, and
 * whether it is one at all. */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* Clock ticks after boot at which @pid started, or 0 if there is no such process.
 * Source: proc(5), field 22 of /proc/PID/stat. */
guint64 img_proc_start_ticks (pid_t pid);

/* Whether @pid is a thread of the kernel's.
 * Source: field 9 of the same, PF_KTHREAD in linux/sched.h. */
gboolean img_proc_is_kernel_thread (pid_t pid);
