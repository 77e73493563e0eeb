/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lock/locks-line.h"

#include <fcntl.h>
#include <string.h>

#include "base/fd.h"
#include "lock/trial.h"

/* The next blank-separated word of *@text, or NULL; a word never crosses the end of the line. */
static const char *
next_word (const char **text, gsize *length)
{
  const char *start = *text + strspn (*text, " \t");
  *length = strcspn (start, " \t\n");
  *text = start + *length;
  return *length > 0 ? start : NULL;
}

static gboolean
word_is (const char *word, gsize length, const char *expected)
{
  return word != NULL && strlen (expected) == length && memcmp (word, expected, length) == 0;
}

/* The whole of @word as a number; strtoull() alone would take signs and stop anywhere. */
static gboolean
parse_number (const char *word, gsize length, guint base, guint64 max, guint64 *value)
{
  g_autofree char *copy = word == NULL ? NULL : g_strndup (word, length);
  return copy != NULL && g_ascii_string_to_unsigned (copy, base, 0, max, value, NULL);
}

static ImgLocksLineKind
kind_of (const char *word, gsize length)
{
  if (word_is (word, length, "POSIX"))
    return IMG_LOCKS_LINE_POSIX;
  if (word_is (word, length, "OFDLCK"))
    return IMG_LOCKS_LINE_OFD;
  if (word_is (word, length, "FLOCK"))
    return IMG_LOCKS_LINE_FLOCK;
  if (word_is (word, length, "LEASE") || word_is (word, length, "DELEG"))
    return IMG_LOCKS_LINE_LEASE;
  return IMG_LOCKS_LINE_OTHER;
}

/* "fe:00:11034827" */
static gboolean
parse_inode (const char *word, gsize length, ImgLocksLine *line)
{
  g_autofree char *copy = word == NULL ? NULL : g_strndup (word, length);
  g_auto (GStrv) parts = copy == NULL ? NULL : g_strsplit (copy, ":", 4);
  guint64 major, minor;

  if (parts == NULL || g_strv_length (parts) != 3
      || !parse_number (parts[0], strlen (parts[0]), 16, G_MAXUINT, &major)
      || !parse_number (parts[1], strlen (parts[1]), 16, G_MAXUINT, &minor)
      || !parse_number (parts[2], strlen (parts[2]), 10, G_MAXUINT64, &line->ino))
    return FALSE;
  line->major = (guint)major;
  line->minor = (guint)minor;
  return TRUE;
}

static gboolean
parse_pid (const char *word, gsize length, gint64 *pid)
{
  g_autofree char *copy = word == NULL ? NULL : g_strndup (word, length);
  return copy != NULL && g_ascii_string_to_signed (copy, 10, G_MININT64, G_MAXINT64, pid, NULL);
}

gboolean
img_locks_line_parse (const char *text, ImgLocksLine *line)
{
  gsize length;
  const char *word = next_word (&text, &length);

  memset (line, 0, sizeof *line);
  if (word == NULL || word[length - 1] != ':')
    return FALSE;
  word = next_word (&text, &length);
  if (word_is (word, length, "->"))
    {
      line->is_waiting = TRUE;
      word = next_word (&text, &length);
    }
  if (word == NULL)
    return FALSE;
  line->kind = kind_of (word, length);
  if (next_word (&text, &length) == NULL) /* ADVISORY, ACTIVE, BREAKING ... */
    return FALSE;
  word = next_word (&text, &length);
  if (word == NULL)
    return FALSE;
  line->range.is_write = word_is (word, length, "WRITE");
  word = next_word (&text, &length);
  if (!parse_pid (word, length, &line->range.pid))
    return FALSE;
  word = next_word (&text, &length);
  if (!parse_inode (word, length, line))
    return FALSE;
  word = next_word (&text, &length);
  if (!parse_number (word, length, 10, IMG_RANGE_TO_EOF, &line->range.start))
    return FALSE;
  word = next_word (&text, &length);
  if (word_is (word, length, "EOF"))
    line->range.end = IMG_RANGE_TO_EOF;
  else if (!parse_number (word, length, 10, IMG_RANGE_TO_EOF, &line->range.end))
    return FALSE;
  if (line->range.start == IMG_TRIAL_BYTE && line->range.end == IMG_TRIAL_BYTE)
    return FALSE;
  return line->range.start <= line->range.end;
}

ImgPermSet
img_locks_text_held (const char *fdinfo, ImgLockKind kind)
{
  ImgLocksLineKind wanted = kind == IMG_LOCK_OFD ? IMG_LOCKS_LINE_OFD : IMG_LOCKS_LINE_POSIX;
  ImgPermSet held = { 0, 0 };

  for (const char *next = fdinfo; (next = strstr (next, "lock:")) != NULL;)
    {
      ImgLocksLine line;
      next += strlen ("lock:");
      if (!img_locks_line_parse (next, &line) || line.kind != wanted || line.is_waiting)
        continue;
      for (guint bit = 0; bit < IMG_PERM_BITS; bit++)
        {
          guint64 used = IMG_PERM_USED_BASE + bit, forbidden = IMG_PERM_FORBIDDEN_BASE + bit;
          if (line.range.start <= used && used <= line.range.end)
            held.uses |= 1u << bit;
          if (line.range.start <= forbidden && forbidden <= line.range.end)
            held.forbids |= 1u << bit;
        }
    }
  return held;
}

void
img_locks_fdinfo_held (int fd, ImgLockKind kind, ImgPermSet *held)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autofree char *path = g_strdup_printf ("/proc/self/fdinfo/%d", fd);

  held->uses = held->forbids = 0;
  if (img_fd_read_file (AT_FDCWD, path, text))
    *held = img_locks_text_held (text->str, kind);
}
