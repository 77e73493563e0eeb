/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "holder/process.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/proc-stat.h"

/* Seconds since the epoch at which the system started; 0 if unknown. */
static gint64
boot_time (void)
{
  static gint64 seconds = -1;
  if (seconds < 0)
    {
      g_autoptr (GString) text = g_string_new (NULL);
      const char *line = NULL;
      if (img_fd_read_file (AT_FDCWD, "/proc/stat", text))
        line = strstr (text->str, "\nbtime ");
      seconds = line == NULL ? 0 : g_ascii_strtoll (line + strlen ("\nbtime "), NULL, 10);
    }
  return seconds;
}

/* Split what /proc/PID/cmdline holds: words, each ended by a NUL. */
static char **
split_cmdline (const GString *text)
{
  GPtrArray *words = g_ptr_array_new ();
  for (gsize at = 0; at < text->len; at += strlen (text->str + at) + 1)
    g_ptr_array_add (words, g_strdup (text->str + at));
  g_ptr_array_add (words, NULL);
  return (char **)g_ptr_array_free (words, FALSE);
}

static gboolean
is_qemu (const char *program)
{
  const char *base = strrchr (program, '/');
  base = base == NULL ? program : base + 1;
  return g_str_has_prefix (base, "qemu") || g_str_has_prefix (base, "kvm");
}

/* The value of the name option: "x", "x,debug-threads=on", "guest=x,process=y"; ",," is a comma. */
static char *
parse_name_option (const char *option)
{
  GString *name = g_string_new (NULL);
  if (g_str_has_prefix (option, "guest="))
    option += strlen ("guest=");
  else if (strchr (option, '=') != NULL && strcspn (option, "=") < strcspn (option, ","))
    {
      /* Some other key first: look for guest= further on. */
      const char *guest = strstr (option, ",guest=");
      option = guest == NULL ? "" : guest + strlen (",guest=");
    }
  for (; *option != '\0'; option++)
    {
      if (option[0] == ',' && option[1] != ',')
        break;
      if (option[0] == ',')
        option++;
      g_string_append_c (name, *option);
    }
  return g_string_free (name, name->len == 0);
}

char *
img_process_vm_name (const char *const *cmdline)
{
  if (cmdline[0] == NULL || !is_qemu (cmdline[0]))
    return NULL;
  for (guint i = 1; cmdline[i] != NULL; i++)
    if ((strcmp (cmdline[i], "-name") == 0 || strcmp (cmdline[i], "--name") == 0)
        && cmdline[i + 1] != NULL)
      return parse_name_option (cmdline[i + 1]);
  return NULL;
}

static char *
user_name (uid_t uid)
{
  struct passwd entry, *found = NULL;
  char buffer[4096];
  if (getpwuid_r (uid, &entry, buffer, sizeof buffer, &found) != 0 || found == NULL)
    return NULL;
  return g_strdup (entry.pw_name);
}

/* From "Uid: real effective saved fs"; the owner of /proc/PID would be root for processes that the
 * kernel does not let be dumped. */
static gint64
parse_effective_uid (const char *status)
{
  const char *line = strstr (status, "\nUid:");
  unsigned int uid;
  return line != NULL && sscanf (line, "\nUid: %*u %u", &uid) == 1 ? (gint64)uid : -1;
}

ImgProcess *
img_process_new (pid_t pid)
{
  ImgProcess *process = g_new0 (ImgProcess, 1);
  g_autoptr (GString) text = g_string_new (NULL);
  g_autofree char *path = g_strdup_printf ("/proc/%d", (int)pid);
  g_auto (ImgFd) directory = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  process->pid = pid;
  process->uid = -1;
  process->fds = g_array_new (FALSE, FALSE, sizeof (int));
  process->cmdline = g_new0 (char *, 1);
  if (directory < 0)
    return process;
  if (img_fd_read_file (directory, "comm", text))
    process->command = g_strndup (text->str, strcspn (text->str, "\n"));
  if (img_fd_read_file (directory, "cmdline", text))
    {
      g_strfreev (process->cmdline);
      process->cmdline = split_cmdline (text);
    }
  if (img_fd_read_file (directory, "status", text))
    process->uid = parse_effective_uid (text->str);
  if (process->uid >= 0)
    process->user = user_name ((uid_t)process->uid);
  process->start_ticks = img_proc_start_ticks (pid);
  if (process->start_ticks != 0 && boot_time () != 0)
    process->start_time
        = boot_time () + (gint64)(process->start_ticks / (guint64)sysconf (_SC_CLK_TCK));
  process->vm_name = img_process_vm_name ((const char *const *)process->cmdline);
  return process;
}

void
img_process_free (ImgProcess *process)
{
  g_free (process->command);
  g_strfreev (process->cmdline);
  g_free (process->user);
  g_free (process->vm_name);
  g_array_unref (process->fds);
  g_free (process);
}
