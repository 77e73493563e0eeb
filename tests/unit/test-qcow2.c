/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What of reading qcow2 the command line does not reach: the cache of tables, decoders used by many
 * threads, what the gate makes of names, how a chain is found and made into a disk. */
#include "unit.h"

#include "base/bytes.h"
#include "base/fd.h"
#include "disk/chain.h"
#include "disk/snapshot.h"
#include "format/qcow2/compress.h"
#include "format/qcow2/table.h"

#define PAGE 4096
#define N_PAGES 64

static char *path;
static ImgFile *file;

/* A file whose page i is full of i. */
static void
open_file (void)
{
  ImgFileParams params = { .locking = IMG_LOCKING_OFF };
  guint8 page[PAGE];

  path = unit_new_file (0);
  int fd = open (path, O_WRONLY | O_CLOEXEC);
  for (guint i = 0; i < N_PAGES; i++)
    {
      memset (page, (int)i, sizeof page);
      ck_assert (img_fd_write_at (fd, i * PAGE, page, sizeof page));
    }
  close (fd);
  file = img_file_open (path, &params, NULL);
  ck_assert_ptr_nonnull (file);
}

static void
close_file (void)
{
  img_file_close (file);
  unit_delete_file (path);
}

/* ---- tables ---- */

START_TEST (pages_are_what_the_file_has_whatever_is_thrown_out)
{
  Qcow2Tables *tables = qcow2_tables_new (file, 3 * PAGE);
  g_autoptr (Qcow2Page) kept = qcow2_tables_get (tables, "L2 table", 5 * PAGE, PAGE, NULL);

  for (guint round = 0; round < 3; round++)
    for (guint i = 0; i < N_PAGES; i++)
      {
        g_autoptr (Qcow2Page) page = qcow2_tables_get (tables, "L2 table", i * PAGE, PAGE, NULL);
        ck_assert_ptr_nonnull (page);
        ck_assert (page->bytes[0] == i && page->bytes[PAGE - 1] == i);
      }
  ck_assert_int_eq (kept->bytes[7], 5);
  qcow2_tables_free (tables);
  ck_assert_int_eq (kept->bytes[8], 5);
}
END_TEST

START_TEST (a_page_is_read_once_while_it_is_used)
{
  Qcow2Tables *tables = qcow2_tables_new (file, 3 * PAGE);
  g_autoptr (Qcow2Page) first = qcow2_tables_get (tables, "L2 table", 0, PAGE, NULL);

  for (guint i = 1; i < N_PAGES; i++)
    {
      g_autoptr (Qcow2Page) again = qcow2_tables_get (tables, "L2 table", 0, PAGE, NULL);
      g_autoptr (Qcow2Page) other = qcow2_tables_get (tables, "L2 table", i * PAGE, PAGE, NULL);
      ck_assert_ptr_eq (again, first);
      ck_assert_ptr_nonnull (other);
    }
  qcow2_tables_free (tables);
}
END_TEST

START_TEST (a_table_behind_the_end_is_an_error)
{
  static const guint64 offsets[]
      = { N_PAGES * PAGE, N_PAGES * PAGE - 1, G_MAXUINT64 - 1, G_GUINT64_CONSTANT (1) << 55 };
  Qcow2Tables *tables = qcow2_tables_new (file, 0);

  for (guint i = 0; i < G_N_ELEMENTS (offsets); i++)
    {
      g_autoptr (GError) error = NULL;
      ck_assert_ptr_null (qcow2_tables_get (tables, "L2 table", offsets[i], PAGE, &error));
      ck_assert_ptr_nonnull (strstr (error->message, "is truncated: an L2 table is at offset"));
    }
  /* Another length of the same place, as only a hostile image has it. */
  g_autoptr (Qcow2Page) small = qcow2_tables_get (tables, "L1 table", 0, 8, NULL);
  g_autoptr (Qcow2Page) large = qcow2_tables_get (tables, "L2 table", 0, PAGE, NULL);
  ck_assert (small->length == 8 && large->length == PAGE);
  qcow2_tables_free (tables);
}
END_TEST

/* ---- decoders ---- */

/* A stored block of deflate: no library is needed to make one. */
#define CLUSTER 512
#define STREAM (5 + CLUSTER)
#define N_STREAMS 40
#define N_THREADS 8

static Qcow2Decoders *decoders;
static gint n_wrong;

static void
write_streams (void)
{
  int fd = open (path, O_WRONLY | O_CLOEXEC);
  for (guint i = 0; i < N_STREAMS; i++)
    {
      guint8 stream[STREAM] = { 1, CLUSTER & 0xff, CLUSTER >> 8, (guint8) ~(CLUSTER & 0xff),
                                (guint8) ~(CLUSTER >> 8) };
      memset (stream + 5, (int)i, CLUSTER);
      stream[5] = 77;
      ck_assert (img_fd_write_at (fd, i * STREAM, stream, sizeof stream));
    }
  close (fd);
}

static gpointer
decode_all (gpointer seed)
{
  guint random = GPOINTER_TO_UINT (seed);
  guint8 bytes[CLUSTER];

  for (guint n = 0; n < 4000; n++)
    {
      random = random * 1103515245 + 12345;
      guint i = random >> 16 & 1 ? (random >> 17) % N_STREAMS : 3; /* one of them is in demand */
      gsize at = (random >> 8) % 3 == 0 ? 0 : (random >> 9) % CLUSTER;
      gsize length = CLUSTER - at;
      Qcow2Compressed data = { .file = file, .host_offset = i * STREAM, .length = STREAM };
      if (!qcow2_decode (decoders, &data, at, bytes, length, NULL) || bytes[length - 1] != i
          || bytes[0] != (at == 0 ? 77 : i))
        g_atomic_int_inc (&n_wrong);
    }
  return NULL;
}

START_TEST (threads_share_decoders)
{
  static const gsize budgets[] = { 0, 3 * 3 * CLUSTER, 100 * 3 * CLUSTER, 0, 0, 0 };
  /* What is shared with other disks: nothing, less than is needed once, enough for two. */
  static const gsize workspaces[] = { 0, 0, 0, 1, 3 * CLUSTER, 7 * CLUSTER };

  write_streams ();
  for (guint i = 0; i < G_N_ELEMENTS (budgets); i++)
    {
      GThread *threads[N_THREADS];
      g_autoptr (ImgBudget) workspace = workspaces[i] == 0 ? NULL : img_budget_new (workspaces[i]);
      decoders = qcow2_decoders_new (QCOW2_ZLIB, CLUSTER, budgets[i], workspace);
      for (guint t = 0; t < N_THREADS; t++)
        threads[t] = g_thread_new ("decode", decode_all, GUINT_TO_POINTER (t + 1));
      for (guint t = 0; t < N_THREADS; t++)
        g_thread_join (threads[t]);
      qcow2_decoders_free (decoders);
      ck_assert_int_eq (n_wrong, 0);
    }
}
END_TEST

START_TEST (a_stream_that_was_bad_is_not_remembered)
{
  guint8 bytes[CLUSTER];
  Qcow2Compressed good = { .file = file, .host_offset = 0, .length = STREAM };
  Qcow2Compressed cut = { .file = file, .host_offset = 0, .length = STREAM - 100 };
  Qcow2Decoders *pool = qcow2_decoders_new (QCOW2_ZLIB, CLUSTER, 0, NULL);

  write_streams ();
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr (GError) error = NULL;
      ck_assert (!qcow2_decode (pool, &cut, 1, bytes, 10, &error));
      ck_assert_ptr_nonnull (strstr (error->message, "cannot be decompressed"));
    }
  ck_assert (qcow2_decode (pool, &good, 1, bytes, 10, NULL));
  qcow2_decoders_free (pool);
}
END_TEST

/* ---- the gate ---- */

START_TEST (names_become_paths_or_are_refused)
{
  static const struct
  {
    const char *image, *name, *path, *format;
  } cases[] = {
    { "top.qcow2", "base.raw", "base.raw", NULL },
    { "a/b/top.qcow2", "base.raw", "a/b/base.raw", NULL },
    { "/a/top.qcow2", "../base.raw", "/a/../base.raw", NULL },
    { "a/top.qcow2", "/base.raw", "/base.raw", NULL },
    { "a/top.qcow2", "file:base.raw", "a/base.raw", NULL },
    { "a/top.qcow2", "./nbd:x", "a/./nbd:x", NULL },
    { "a/top.qcow2", "proc/self/x", "a/proc/self/x", NULL },
    { "a/top.qcow2", "b/c:d", "a/b/c:d", NULL },
    { "a/t", "json:{\"driver\":\"qcow2\",\"file.filename\":\"x\"}", "a/x", "qcow2" },
    { "a/t", "json:{\"driver\":\"file\",\"filename\":\"/x\"}", "/x", NULL },
    { "a/t", "json:{\"file\":{\"driver\":\"file\",\"filename\":\"x\"}}", "a/x", NULL },
    { "t", "json:{\"driver\":\"raw\",\"file\":{\"driver\":\"raw\",\"filename\":\"x\"}}", NULL,
      NULL },
    { "t", "json:{\"driver\":\"qcow2\",\"backing\":\"y\",\"file.filename\":\"x\"}", NULL, NULL },
    { "t", "json:{\"driver\":\"raw\",\"filename\":\"x\",\"filename\":\"y\"}", NULL, NULL },
    { "t", "json:{\"driver\":\"raw\",\"file.filename\":\"nb\\nd\"}", NULL, NULL },
    { "t", "json:", NULL, NULL },
    { "t", "nbd:x", NULL, NULL },
    { "t", "a:b", NULL, NULL },
    { "t", ":", NULL, NULL },
    { "t", "", NULL, NULL },
    { "t", "a\033[31mb", NULL, NULL },
    { "t", "/proc/self/mem", NULL, NULL },
    { "t", "//proc/./self/mem", NULL, NULL },
    { "/dev/shm/t", "../fd/3", NULL, NULL },
  };
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_auto (ImgGatePath) found = { 0 };
      g_autoptr (GError) error = NULL;
      ImgReference reference = { .name = (char *)cases[i].name };
      gboolean is_good
          = img_gate_resolve (cases[i].image, "backing file", &reference, &found, &error);
      ck_assert_msg (is_good == (cases[i].path != NULL), "%s", cases[i].name);
      ck_assert_pstr_eq (is_good ? found.path : NULL, cases[i].path);
      if (is_good)
        ck_assert_pstr_eq (found.format, cases[i].format);
      else
        ck_assert_ptr_null (strchr (error->message, '\033'));
    }
}
END_TEST

START_TEST (what_is_recorded_wins_over_json)
{
  g_auto (ImgGatePath) found = { 0 };
  ImgReference reference = { .name = (char *)"json:{\"driver\":\"qcow2\",\"file.filename\":\"x\"}",
                             .format = (char *)"raw" };
  ck_assert (img_gate_resolve ("t", "backing file", &reference, &found, NULL));
  ck_assert_str_eq (found.format, "raw");
}
END_TEST

/* ---- chains ---- */

#define IMAGE (3 * 65536)

/* An empty image of 64 KiB, of version 2, that has @backing (or NULL) behind it. */
static void
write_image (const char *name, const char *backing)
{
  guint8 head[512] = { 'Q', 'F', 'I', 0xfb };
  g_auto (ImgFd) fd = open (name, O_WRONLY | O_CLOEXEC);

  img_store_be32 (head + 4, 2);
  if (backing != NULL)
    {
      img_store_be64 (head + 8, 128);
      img_store_be32 (head + 16, (guint32)strlen (backing));
      memcpy (head + 128, backing, strlen (backing));
    }
  img_store_be32 (head + 20, 16);
  img_store_be64 (head + 24, 65536);
  img_store_be32 (head + 36, 1);
  img_store_be64 (head + 40, 65536);
  img_store_be64 (head + 48, 131072);
  img_store_be32 (head + 56, 1);
  ck_assert (img_fd_write_at (fd, 0, head, sizeof head) && ftruncate (fd, IMAGE) == 0);
}

static ImgFile *
open_by_name (const char *name, G_GNUC_UNUSED gpointer closure, GError **error)
{
  ImgFileParams params = { .locking = IMG_LOCKING_OFF };
  return img_file_open (name, &params, error);
}

static guint n_headings;

/* As another process would tell it. */
static gboolean
tell_heading (ImgFile *image, const char *format, const ImgHeadingParams *params,
              ImgHeading *heading, GError **error)
{
  n_headings++;
  return img_heading_read (image, format, params, heading, error);
}

START_TEST (a_chain_is_made_of_what_the_headings_say)
{
  g_autofree char *top = unit_new_file (0), *behind = unit_new_file (65536);
  g_autoptr (GPtrArray) files = g_ptr_array_new_with_free_func ((GDestroyNotify)img_file_close);
  g_auto (ImgChain) chain = { 0 };
  g_autoptr (GError) error = NULL;
  ImgChainParams params = { .open = open_by_name, .read_heading = tell_heading };

  write_image (top, behind);
  ImgFile *image = open_by_name (top, NULL, NULL);
  g_ptr_array_add (files, image);
  ck_assert (img_chain_find (image, "qcow2", &params, files, &chain, NULL));
  ck_assert_uint_eq (n_headings, 2);
  ck_assert_uint_eq (files->len, 2);
  ck_assert_uint_eq (chain.members->len, 2);
  ck_assert_uint_eq (chain.size, 65536);
  const ImgChainMember *second = &g_array_index (chain.members, ImgChainMember, 1);
  ck_assert_str_eq (second->what, "backing file");
  ck_assert_str_eq (second->format, "raw");
  ck_assert_str_eq (second->front, top);
  g_autoptr (ImgDisk) disk = img_chain_open (&chain, NULL);
  ck_assert_ptr_nonnull (disk);
  ck_assert_ptr_eq (disk->backing_disk->file, files->pdata[1]);

  /* It says something else now than when its files were opened. */
  for (guint i = 0; i < 2; i++)
    {
      write_image (top, i == 0 ? NULL : "another");
      ck_assert_ptr_null (img_chain_open (&chain, &error));
      ck_assert_ptr_nonnull (strstr (error->message, "was changed while it was opened"));
      g_clear_error (&error);
    }
  unit_delete_file (g_steal_pointer (&top));
  unit_delete_file (g_steal_pointer (&behind));
}
END_TEST

/* Whoever read the image may have been taken over by it. */
START_TEST (a_heading_is_judged_by_who_opens_the_files)
{
  ImgGatePolicy strict = { .is_untrusted = TRUE }, small = { .max_size = 100 }, none = { 0 };
  char name[] = "/etc/shadow";
  ImgHeading named = { .backing.name = name, .size = 512 }, data = { .data_file.name = name },
             plain = { .size = 512 };
  const struct
  {
    const ImgHeading *heading;
    ImgHeadingParams params;
    const char *refused; /* part of the message; NULL: it is not */
  } cases[] = {
    { &named, { .policy = &strict }, "it names another file" },
    { &data, { .policy = &strict }, "it names another file" },
    { &plain, { .policy = &strict }, NULL },
    { &plain, { .policy = &small }, "--max-size" },
    { &named, { .policy = &none, .was_probed = TRUE }, "A guest can write that" },
    { &data, { .policy = &none, .was_probed = TRUE }, "A guest can write that" },
    { &plain, { .policy = &none, .was_probed = TRUE }, NULL },
    { &named, { .policy = &none }, NULL },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      gboolean is_fit
          = img_heading_check (cases[i].heading, "disk.img", "qcow2", &cases[i].params, &error);
      ck_assert_int_eq (is_fit, cases[i].refused == NULL);
      ck_assert (is_fit || strstr (error->message, cases[i].refused) != NULL);
    }
}
END_TEST

START_TEST (a_chain_that_cannot_be_followed_says_how_far)
{
  g_autofree char *top = unit_new_file (0);
  g_autoptr (GPtrArray) files = g_ptr_array_new_with_free_func ((GDestroyNotify)img_file_close);
  g_auto (ImgChain) chain = { 0 };
  ImgChainParams params = { .open = open_by_name };

  write_image (top, "/var/tmp/imgtool-unit-nothing");
  ImgFile *image = open_by_name (top, NULL, NULL);
  g_ptr_array_add (files, image);
  ck_assert (!img_chain_find (image, "qcow2", &params, files, &chain, NULL));
  ck_assert_uint_eq (chain.members->len, 1);
  ck_assert_str_eq (chain.refused, "/var/tmp/imgtool-unit-nothing");
  unit_delete_file (g_steal_pointer (&top));
}
END_TEST

int
main (void)
{
  Suite *suite = suite_create ("qcow2");
  TCase *tests = tcase_create ("qcow2");
  tcase_add_checked_fixture (tests, open_file, close_file);
  tcase_set_timeout (tests, 30);
  tcase_add_test (tests, pages_are_what_the_file_has_whatever_is_thrown_out);
  tcase_add_test (tests, a_page_is_read_once_while_it_is_used);
  tcase_add_test (tests, a_table_behind_the_end_is_an_error);
  tcase_add_test (tests, threads_share_decoders);
  tcase_add_test (tests, a_stream_that_was_bad_is_not_remembered);
  tcase_add_test (tests, names_become_paths_or_are_refused);
  tcase_add_test (tests, what_is_recorded_wins_over_json);
  tcase_add_test (tests, a_chain_is_made_of_what_the_headings_say);
  tcase_add_test (tests, a_heading_is_judged_by_who_opens_the_files);
  tcase_add_test (tests, a_chain_that_cannot_be_followed_says_how_far);
  suite_add_tcase (suite, tests);
  return unit_run (suite);
}
