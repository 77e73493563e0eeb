/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a process is, from /proc/PID. All of it is text from outside: escape before showing. */
#pragma once

#include <glib.h>
#include <sys/types.h>

typedef struct
{
  pid_t pid;
  char *command;  /* owned; /proc/PID/comm without the newline, or NULL if it is gone */
  char **cmdline; /* owned; may be empty */
  gint64 uid;     /* -1 if unknown */
  char *user;     /* owned; NULL if the uid has no name */
  guint64
      start_ticks;   /* field 22 of /proc/PID/stat: tells one process from the next with its pid */
  gint64 start_time; /* seconds since the epoch, 0 if unknown */
  char *vm_name;     /* owned; QEMU's -name, or NULL */
  GArray *fds;       /* int; its descriptors of the image, ascending */
} ImgProcess;

/* Look at @pid now. Never fails: of a process that is gone, command is NULL. */
ImgProcess *img_process_new (pid_t pid);
void img_process_free (ImgProcess *process);

/* The virtual machine's name in a QEMU command line (`-name x`, `-name guest=x,...`), or NULL if
 * this is not QEMU's command line or it gives no name. Returns a new string. */
char *img_process_vm_name (const char *const *cmdline);
