/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/run-command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"
#include "cli/command.h"

/* What is passed on. The rest either cannot be caught or is nobody's business but the kernel's. */
static const int passed_on[]
    = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH, SIGCONT };

static const int ignored[] = { SIGPIPE, SIGXFSZ };
static struct sigaction before_ignoring[G_N_ELEMENTS (ignored)];

void
cli_ignore_signals (void)
{
  struct sigaction ignore = { .sa_handler = SIG_IGN };
  for (guint i = 0; i < G_N_ELEMENTS (ignored); i++)
    sigaction (ignored[i], &ignore, &before_ignoring[i]);
}

void
cli_restore_signals (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (ignored); i++)
    sigaction (ignored[i], &before_ignoring[i], NULL);
}

static void
block_signals (sigset_t *watched, sigset_t *before)
{
  sigemptyset (watched);
  sigaddset (watched, SIGCHLD);
  for (guint i = 0; i < G_N_ELEMENTS (passed_on); i++)
    sigaddset (watched, passed_on[i]);
  sigprocmask (SIG_BLOCK, watched, before);
}

/* In the new process: become the command, or say through @report why not. */
static void
become (char *const *argv, const sigset_t *mask, int report)
{
  cli_restore_signals ();
  /* No handler of this program may run here: it would unlock the descriptions that both share. */
  for (guint i = 0; i < G_N_ELEMENTS (passed_on); i++)
    {
      struct sigaction now;
      if (sigaction (passed_on[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
        signal (passed_on[i], SIG_DFL);
    }
  sigprocmask (SIG_SETMASK, mask, NULL);
  execvp (argv[0], argv);
  int why = errno;
  if (!img_fd_write_all (report, &why, sizeof why))
    _exit (CLI_EXIT_LOCK_FAILED);
  _exit (why == ENOENT ? CLI_EXIT_NOT_FOUND : CLI_EXIT_NOT_RUNNABLE);
}

/* Wait for the end of @child, passing signals on meanwhile. What the terminal sends reaches the
 * command by itself, as it is in the same process group; sending it again would be once too much.
 */
static int
wait_for (pid_t child, const sigset_t *watched)
{
  for (;;)
    {
      siginfo_t info;
      int status;
      int number = sigwaitinfo (watched, &info);
      if (number > 0 && number != SIGCHLD && info.si_code <= 0)
        kill (child, number);
      if (number == SIGCHLD && waitpid (child, &status, WNOHANG) == child)
        return WIFEXITED (status) ? WEXITSTATUS (status) : 128 + WTERMSIG (status);
    }
}

int
cli_run_command (char *const *argv, GError **error)
{
  g_autofree char *safe = img_text_escape (argv[0], -1);
  g_auto (ImgFd) report_in = -1;
  g_auto (ImgFd) report_out = -1;
  sigset_t watched, before;
  int pipe_fds[2], why;

  if (pipe2 (pipe_fds, O_CLOEXEC) < 0)
    {
      img_throw_errno (error, "cannot run '%s'", safe);
      return CLI_EXIT_LOCK_FAILED;
    }
  report_in = pipe_fds[0];
  report_out = pipe_fds[1];
  signal (SIGCHLD, SIG_DFL); /* if it was ignored, the end of the command would go unnoticed */
  block_signals (&watched, &before);
  pid_t child = fork ();
  if (child == 0)
    become (argv, &before, report_out);
  img_fd_clear (&report_out);
  /* Where Yama lets only ancestors look into a process, an imgtool inside could not adopt the lock.
   */
  if (child > 0)
    (void)prctl (PR_SET_PTRACER, (unsigned long)child, 0, 0, 0);
  if (child < 0)
    {
      img_throw_errno (error, "cannot run '%s'", safe);
      sigprocmask (SIG_SETMASK, &before, NULL);
      return CLI_EXIT_LOCK_FAILED;
    }
  /* Nothing comes if exec succeeds: the pipe closes itself. */
  gboolean has_failed = img_fd_read_some (report_in, &why, sizeof why) == (gssize)sizeof why;
  int status = wait_for (child, &watched);
  sigprocmask (SIG_SETMASK, &before, NULL);
  if (has_failed)
    img_throw (error, IMG_ERROR_FAILED, "cannot run '%s': %s", safe, g_strerror (why));
  return status;
}
