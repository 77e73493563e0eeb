/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit.h"

#include <errno.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/keyval.h"
#include "base/size.h"
#include "base/text.h"

static void
assert_escaped (const char *bytes, gssize length, const char *expected)
{
  g_autofree char *text = img_text_escape (bytes, length);
  ck_assert_str_eq (text, expected);
}

START_TEST (escape_keeps_plain_text)
{
  assert_escaped ("disk.raw", -1, "disk.raw");
  assert_escaped ("Fotos \xc3\xa4\xe2\x82\xac \xe6\x97\xa5", -1,
                  "Fotos \xc3\xa4\xe2\x82\xac \xe6\x97\xa5");
}
END_TEST

START_TEST (escape_disarms_terminals)
{
  assert_escaped ("a\033[31mb", -1, "a\\x1b[31mb");
  assert_escaped ("a\nfile format: raw\tx\177", -1, "a\\nfile format: raw\\tx\\x7f");
  assert_escaped ("c1\xc2\x9b", -1, "c1\\u{009b}");
  assert_escaped ("bidi\xe2\x80\xae", -1, "bidi\\u{202e}");
  assert_escaped ("back\\slash", -1, "back\\\\slash");
}
END_TEST

START_TEST (escape_shows_bytes_that_are_no_text)
{
  assert_escaped ("\xff\xfe", -1, "\\xff\\xfe");
  assert_escaped ("cut\xc3", -1, "cut\\xc3");
  assert_escaped ("nul\0inside", 10, "nul\\x00inside");
  assert_escaped ("", -1, "");
}
END_TEST

START_TEST (command_line_is_quoted)
{
  const char *const argv[] = { "qemu", "-name", "my vm", "", "a'b", "x\n", NULL };
  g_autofree char *line = img_text_command_line (argv);
  ck_assert_str_eq (line, "qemu -name 'my vm' '' 'a'\\\\''b' 'x\\n'");
}
END_TEST

START_TEST (json_text_is_always_utf8)
{
  g_autofree char *text = img_text_to_utf8 ("a\xff"
                                            "b");
  ck_assert_str_eq (text, "a\xef\xbf\xbd"
                          "b");
}
END_TEST

START_TEST (sizes_read_as_in_qemu_img)
{
  static const struct
  {
    guint64 bytes;
    const char *text;
  } rows[] = { { 0, "0 B" },
               { 1, "1 B" },
               { 999, "999 B" },
               { 1000, "0.977 KiB" },
               { 43520, "42.5 KiB" },
               { 16777216, "16 MiB" },
               { 417792, "408 KiB" },
               { G_GUINT64_CONSTANT (1) << 40, "1 TiB" },
               { G_MAXUINT64, "16 EiB" } };
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autofree char *text = img_size_to_text (rows[i].bytes);
      ck_assert_str_eq (text, rows[i].text);
    }
}
END_TEST

START_TEST (sizes_round_up)
{
  ck_assert_uint_eq (img_size_round_up (0, 512), 0);
  ck_assert_uint_eq (img_size_round_up (1, 512), 512);
  ck_assert_uint_eq (img_size_round_up (43009, 512), 43520);
  ck_assert_uint_eq (img_size_round_up (G_MAXUINT64, 512), G_MAXUINT64 - 511);
}
END_TEST

START_TEST (sizes_are_parsed_as_qemu_img_does)
{
  static const struct
  {
    const char *text;
    guint64 bytes; /* G_MAXUINT64: refused */
  } rows[] = { { "0", 0 },
               { "512", 512 },
               { "010", 10 },
               { "1b", 1 },
               { "64k", 65536 },
               { "64K", 65536 },
               { "1.5G", 1610612736 },
               { "1.1k", 1126 },
               { ".5k", 512 },
               { "5.k", 5120 },
               { "1.0", 1 },
               { " +5k", 5120 },
               { "0.0000001k", 0 },
               { "7E", G_GUINT64_CONSTANT (7) << 60 },
               { "9223372036854775807", G_MAXINT64 },
               { "9223372036854775808", G_MAXUINT64 },
               { "8E", G_MAXUINT64 },
               { "18446744073709551616", G_MAXUINT64 },
               { "16777216P", G_MAXUINT64 },
               { "7.9999999999999999999999E", G_MAXUINT64 },
               { "-1", G_MAXUINT64 },
               { "-5k", G_MAXUINT64 },
               { "", G_MAXUINT64 },
               { " ", G_MAXUINT64 },
               { ".", G_MAXUINT64 },
               { "k", G_MAXUINT64 },
               { ".k", G_MAXUINT64 },
               { "1.5", G_MAXUINT64 },
               { "1.5b", G_MAXUINT64 },
               { "5kb", G_MAXUINT64 },
               { "5 k", G_MAXUINT64 },
               { "5k ", G_MAXUINT64 },
               { "5x", G_MAXUINT64 },
               { "1,5k", G_MAXUINT64 },
               { "1e3", G_MAXUINT64 },
               { "0x10", G_MAXUINT64 },
               { "inf", G_MAXUINT64 },
               { "nan", G_MAXUINT64 } };
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      guint64 bytes = G_MAXUINT64;
      gboolean is_size = img_size_parse (rows[i].text, &bytes);
      ck_assert_msg (is_size == (rows[i].bytes != G_MAXUINT64) && bytes == rows[i].bytes,
                     "'%s' gave %" G_GUINT64_FORMAT, rows[i].text, bytes);
    }
}
END_TEST

START_TEST (zeros_are_told_from_the_rest)
{
  const gsize size = 3 * 4096 + 100;
  char *buffer = img_buffer_new (size);
  ck_assert_uint_eq ((guintptr)buffer % 4096, 0);
  ck_assert (img_buffer_is_zero (buffer, size));
  ck_assert (img_buffer_is_zero (buffer, 0));
  for (gsize at = 0; at < size; at++)
    {
      buffer[at] = 1;
      ck_assert (!img_buffer_is_zero (buffer, size));
      ck_assert (img_buffer_is_zero (buffer, at));
      ck_assert (img_buffer_is_zero (buffer + at + 1, size - at - 1));
      buffer[at] = 0;
    }
  img_buffer_free (buffer, size);
}
END_TEST

START_TEST (runs_are_of_one_kind)
{
  static char buffer[10000];
  static const struct
  {
    gsize begin, block, run;
    gboolean is_zero;
  } rows[] = { { 0, 1000, 3000, TRUE },     { 0, 512, 3072, TRUE },     { 0, 4096, 8192, FALSE },
               { 3000, 1000, 2000, FALSE }, { 5000, 1000, 5000, TRUE }, { 5000, 4096, 5000, TRUE },
               { 9999, 4096, 1, TRUE },     { 0, 100000, 10000, FALSE } };
  buffer[3500] = buffer[4999] = 1;
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      gboolean is_zero;
      gsize run = img_buffer_run (buffer + rows[i].begin, sizeof buffer - rows[i].begin,
                                  rows[i].block, &is_zero);
      ck_assert_msg (run == rows[i].run && is_zero == rows[i].is_zero,
                     "row %u: %" G_GSIZE_FORMAT " %d", i, run, is_zero);
    }
}
END_TEST

START_TEST (throwing_keeps_errno)
{
  g_autoptr (GError) error = NULL;
  errno = ENOSPC;
  ck_assert (!img_throw_errno (&error, "cannot write '%s'", "x"));
  ck_assert_int_eq (errno, ENOSPC);
  ck_assert_str_eq (error->message, "cannot write 'x': No space left on device");
  ck_assert (g_error_matches (error, IMG_ERROR, IMG_ERROR_NO_SPACE));
  g_clear_error (&error);
  errno = EIO;
  ck_assert (!img_throw_errno (&error, "cannot write '%s'", "x"));
  ck_assert (g_error_matches (error, IMG_ERROR, IMG_ERROR_FAILED));
}
END_TEST

START_TEST (reads_end_with_the_file)
{
  g_autofree char *path = unit_new_file (100);
  g_auto (ImgFd) fd = open (path, O_RDONLY | O_CLOEXEC);
  char buffer[200];
  ck_assert_int_eq (img_fd_read_at (fd, 0, buffer, sizeof buffer), 100);
  ck_assert_int_eq (img_fd_read_at (fd, 90, buffer, sizeof buffer), 10);
  ck_assert_int_eq (img_fd_read_at (fd, 1000, buffer, sizeof buffer), 0);
  ck_assert_int_eq (img_fd_read_at (fd, G_MAXUINT64 - 1, buffer, 1), -1);
  ck_assert_int_eq (errno, EOVERFLOW);
  (void)g_unlink (path);
}
END_TEST

START_TEST (writes_are_whole)
{
  g_autofree char *path = unit_new_file (0);
  g_auto (ImgFd) fd = open (path, O_RDWR | O_CLOEXEC),
                 full = open ("/dev/full", O_RDWR | O_CLOEXEC);
  char buffer[3];
  ck_assert (img_fd_write_at (fd, 10, "abc", 3));
  ck_assert (img_fd_write_at (fd, 10, "", 0));
  ck_assert_int_eq (lseek (fd, 0, SEEK_CUR), 0);
  ck_assert_int_eq (img_fd_read_at (fd, 10, buffer, 10), 3);
  ck_assert_mem_eq (buffer, "abc", 3);
  ck_assert (!img_fd_write_at (full, 0, "x", 1));
  ck_assert_int_eq (errno, ENOSPC);
  ck_assert (!img_fd_write_at (fd, G_MAXINT64, "x", 1));
  ck_assert_int_eq (errno, EOVERFLOW);
  (void)g_unlink (path);
}
END_TEST

START_TEST (a_full_disk_is_an_error)
{
  g_auto (ImgFd) fd = open ("/dev/full", O_WRONLY | O_CLOEXEC);
  ck_assert (!img_fd_write_all (fd, "x", 1));
  ck_assert_int_eq (errno, ENOSPC);
}
END_TEST

static char *
pairs_text (const char *list)
{
  g_autoptr (GArray) pairs = img_keyval_parse (list, NULL);
  GString *text = g_string_new (NULL);
  for (guint i = 0; pairs != NULL && i < pairs->len; i++)
    {
      const ImgKeyValue *pair = &g_array_index (pairs, ImgKeyValue, i);
      g_string_append_printf (text, "[%s|%s]", pair->key, pair->value);
    }
  return g_string_free (text, pairs == NULL);
}

START_TEST (key_value_lists_are_qemus)
{
  static const struct
  {
    const char *list, *pairs;
  } rows[] = { { "a=1", "[a|1]" },
               { "driver=raw,file.filename=a,,b=c.raw", "[driver|raw][file.filename|a,b=c.raw]" },
               { "a=,b=2", "[a|][b|2]" },
               { "a=1,", "[a|1]" },
               { "a=,,", "[a|,]" },
               { "", NULL },
               { "a", NULL },
               { "=1", NULL },
               { "a=1,,,b", NULL },
               { ",a=1", NULL } };
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autofree char *text = pairs_text (rows[i].list);
      ck_assert_msg (g_strcmp0 (text, rows[i].pairs) == 0, "'%s' gave '%s'", rows[i].list, text);
    }
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("base");
  TCase *text = tcase_create ("text"), *size = tcase_create ("size"), *fd = tcase_create ("fd");
  tcase_add_test (text, escape_keeps_plain_text);
  tcase_add_test (text, escape_disarms_terminals);
  tcase_add_test (text, escape_shows_bytes_that_are_no_text);
  tcase_add_test (text, command_line_is_quoted);
  tcase_add_test (text, json_text_is_always_utf8);
  tcase_add_test (size, sizes_read_as_in_qemu_img);
  tcase_add_test (size, sizes_round_up);
  tcase_add_test (size, sizes_are_parsed_as_qemu_img_does);
  tcase_add_test (size, zeros_are_told_from_the_rest);
  tcase_add_test (size, runs_are_of_one_kind);
  tcase_add_test (text, key_value_lists_are_qemus);
  tcase_add_test (fd, throwing_keeps_errno);
  tcase_add_test (fd, reads_end_with_the_file);
  tcase_add_test (fd, writes_are_whole);
  tcase_add_test (fd, a_full_disk_is_an_error);
  suite_add_tcase (suite, text);
  suite_add_tcase (suite, size);
  suite_add_tcase (suite, fd);
  return unit_run (suite);
}
