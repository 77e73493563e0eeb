/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/progress.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/size.h"
#include "cli/program-name.h"

/* Microseconds: work that is over sooner needs no line; how often the line and JSON change; over
 * which time the rate is smoothed. */
#define SHORT_WORK (G_USEC_PER_SEC / 2)
#define LINE_INTERVAL (G_USEC_PER_SEC / 5)
#define SMOOTHING (3.0 * G_USEC_PER_SEC)

struct CliProgress
{
  CliProgressKind kind;
  int fd;                  /* borrowed; -1 once writing to it has failed */
  int write_errno;         /* of stdout */
  gboolean has_begun;      /* the engine has said something */
  ImgProgressState last;   /* what it said last */
  double percent;          /* that was printed last */
  gint64 began, shown_at;  /* monotonic; 0: nothing shown in this phase */
  guint64 shown_done;      /* bytes of the phase at that time */
  double rate;             /* bytes a second, smoothed */
  guint width;             /* of the line on the terminal */
  struct sigaction before; /* what SIGUSR1 did */
};

static volatile sig_atomic_t is_asked;

static void
note_the_question (G_GNUC_UNUSED int number)
{
  is_asked = 1;
}

static gboolean
has_total (const ImgProgressState *state)
{
  return state->total != G_MAXUINT64;
}

/* Of the copying, which is all that qemu-img counts. */
static double
percent_of (const ImgProgressState *state)
{
  if (state->phase != IMG_PHASE_COPY)
    return state->phase == IMG_PHASE_ALLOCATE ? 0 : 100;
  if (!has_total (state) || state->total == 0)
    return 0;
  return MIN (100.0, 100.0 * (double)state->done / (double)state->total);
}

static void
print_percent (CliProgress *progress, const char *more)
{
  char text[64];
  int length = g_snprintf (text, sizeof text, "    (%3.2f/100%%)\r%s", progress->percent, more);
  if (progress->write_errno == 0 && !img_fd_write_all (STDOUT_FILENO, text, (gsize)length))
    progress->write_errno = errno;
}

/* As qemu-img: a step of at least a percent, and the end, which is said once more when all is done;
 * where there were no data it is said only then. */
static void
show_percent (CliProgress *progress, const ImgProgressState *state)
{
  double percent = percent_of (state);
  gboolean is_end = percent >= 100 && progress->percent < 100;
  if (state->phase > IMG_PHASE_COPY)
    return;
  if (!state->has_data || (!is_end && percent <= progress->percent + 1))
    return;
  progress->percent = percent;
  print_percent (progress, "");
}

static void
show_json (CliProgress *progress, const ImgProgressState *state)
{
  g_autofree char *total = has_total (state) ? g_strdup_printf ("%" G_GUINT64_FORMAT, state->total)
                                             : g_strdup ("null");
  g_autofree char *text = g_strdup_printf (
      "{\"phase\":\"%s\",\"done\":%" G_GUINT64_FORMAT ",\"total\":%s,\"copied\":%" G_GUINT64_FORMAT
      ",\"zero\":%" G_GUINT64_FORMAT ",\"cloned\":%" G_GUINT64_FORMAT ",\"same\":%" G_GUINT64_FORMAT
      "}\n",
      img_phase_name (state->phase), state->done, total, state->copied, state->zero, state->cloned,
      state->same);
  /* Whoever has stopped listening has stopped: half a line would only confuse. */
  if (progress->fd >= 0 && !img_fd_write_all (progress->fd, text, strlen (text)))
    progress->fd = -1;
}

char *
cli_progress_line (const ImgProgressState *state, double rate)
{
  g_autofree char *done = img_size_to_text (state->done);
  GString *line = g_string_new (img_phase_name (state->phase));

  if (state->done == 0 && (!has_total (state) || state->total == 0)) /* who knows */
    return g_string_free (g_string_append (line, " ..."), FALSE);
  g_string_append_printf (line, ": %s", done);
  if (has_total (state))
    {
      g_autofree char *total = img_size_to_text (state->total);
      g_string_append_printf (
          line, " of %s (%.0f%%)", total,
          state->total == 0 ? 100.0 : floor (100.0 * (double)state->done / (double)state->total));
    }
  if (rate >= 1)
    {
      g_autofree char *words = img_size_to_text ((guint64)rate);
      g_string_append_printf (line, ", %s/s", words);
    }
  double left = rate < 1 || !has_total (state) ? 0 : (double)(state->total - state->done) / rate;
  if (left > 0 && left < 100 * 3600)
    {
      guint seconds = (guint)ceil (left);
      if (seconds >= 3600)
        g_string_append_printf (line, ", %u:%02u:%02u left", seconds / 3600, seconds / 60 % 60,
                                seconds % 60);
      else
        g_string_append_printf (line, ", %u:%02u left", seconds / 60, seconds % 60);
    }
  return g_string_free (line, FALSE);
}

/* Columns of the terminal that a line may take; the last is left free, or some would wrap. 0 if
 * this is no business of ours now: a job in the background does not write across what is in front.
 */
static guint
columns (void)
{
  struct winsize size;
  pid_t front = tcgetpgrp (STDERR_FILENO);
  if (front >= 0 && front != getpgrp ())
    return 0;
  if (ioctl (STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
    return 79;
  return size.ws_col - 1U;
}

/* Put @text in place of the line that is there; blanks do it on every terminal. */
static void
draw (CliProgress *progress, const char *text)
{
  guint room = columns (), width = MIN ((guint)strlen (text), room);
  if (room == 0)
    return;
  fprintf (stderr, "\r%.*s%*s%s", (int)width, text,
           (int)(progress->width > width ? progress->width - width : 0), "",
           width == 0 ? "\r" : "");
  progress->width = width;
}

/* The rate of the time between two looks counts the more the longer that was. */
static void
measure (CliProgress *progress, const ImgProgressState *state, gint64 now)
{
  gint64 passed = now - progress->shown_at;
  if (progress->shown_at != 0 && passed > 0 && state->done >= progress->shown_done)
    {
      double now_rate
          = (double)(state->done - progress->shown_done) * G_USEC_PER_SEC / (double)passed;
      double weight = progress->rate <= 0 ? 1 : 1 - exp (-(double)passed / SMOOTHING);
      progress->rate += weight * (now_rate - progress->rate);
    }
  progress->shown_at = now;
  progress->shown_done = state->done;
}

/* qemu-img's answer to the signal. Where the end is not known there are bytes instead. */
static void
answer (CliProgress *progress, const ImgProgressState *state)
{
  is_asked = 0;
  if (progress->width > 0)
    draw (progress, "");
  if (has_total (state))
    fprintf (stderr, "    (%3.2f/100%%)\n", percent_of (state));
  else
    fprintf (stderr, "    (%" G_GUINT64_FORMAT " bytes)\n", state->done);
}

static void
show (const ImgProgressState *state, gpointer closure)
{
  CliProgress *progress = closure;
  gboolean is_new = !progress->has_begun || state->phase != progress->last.phase;
  gint64 now = g_get_monotonic_time ();

  if (state->phase == IMG_PHASE_DONE) /* said by finish(), which knows whether it is true */
    return;
  if (is_asked)
    answer (progress, state);
  if (is_new)
    {
      progress->shown_at = 0;
      progress->rate = 0;
    }
  progress->has_begun = TRUE;
  progress->last = *state;
  if (progress->kind == CLI_PROGRESS_PERCENT)
    show_percent (progress, state);
  if (!is_new && now - progress->shown_at < LINE_INTERVAL)
    return;
  measure (progress, state, now);
  if (progress->kind == CLI_PROGRESS_JSON)
    show_json (progress, state);
  if (progress->kind != CLI_PROGRESS_LINE || now - progress->began < SHORT_WORK)
    return;
  g_autofree char *line = cli_progress_line (state, progress->rate);
  draw (progress, line);
}

CliProgress *
cli_progress_new (CliProgressKind kind, int fd)
{
  CliProgress *progress = g_new0 (CliProgress, 1);
  struct sigaction action = { .sa_handler = note_the_question, .sa_flags = SA_RESTART };

  progress->kind = kind;
  progress->fd = fd;
  progress->began = g_get_monotonic_time ();
  is_asked = 0;
  sigaction (SIGUSR1, &action, &progress->before);
  if (kind == CLI_PROGRESS_PERCENT)
    print_percent (progress, "");
  return progress;
}

ImgProgress
cli_progress_hook (CliProgress *progress)
{
  ImgProgress hook = { .show = show, .closure = progress };
  return hook;
}

gboolean
cli_progress_finish (CliProgress *progress, gboolean has_succeeded)
{
  ImgProgressState *last = &progress->last;

  if (progress->width > 0)
    draw (progress, "");
  if (has_succeeded)
    {
      last->phase = IMG_PHASE_DONE;
      progress->percent = 100;
      if (is_asked)
        answer (progress, last);
      if (progress->kind == CLI_PROGRESS_JSON)
        show_json (progress, last);
    }
  if (progress->kind == CLI_PROGRESS_PERCENT && has_succeeded)
    print_percent (progress, "\n");
  else if (progress->kind == CLI_PROGRESS_PERCENT && progress->write_errno == 0
           && !img_fd_write_all (STDOUT_FILENO, "\n", 1))
    progress->write_errno = errno;
  sigaction (SIGUSR1, &progress->before, NULL);
  int why = progress->write_errno;
  g_free (progress);
  if (why != 0)
    fprintf (stderr, "%s: cannot write the output: %s\n", cli_program_name (), g_strerror (why));
  return why == 0;
}
