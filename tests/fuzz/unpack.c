/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What comes out of the sandbox, if somebody in there wrote it: the first byte says what it is
 * taken for (unpack.h), and the rest is it. */
#include "unpack.h"

#include <string.h>

#include "fuzz.h"

/* One line or several, and nothing that acts on a terminal. */
static void
check_safe (const char *text)
{
  fuzz_check_printable (text);
  for (const char *c = text; *c != '\0'; c = g_utf8_next_char (c))
    {
      gunichar character = g_utf8_get_char (c);
      g_assert (
          character == '\n'
          || (g_unichar_isprint (character) && g_unichar_type (character) != G_UNICODE_FORMAT));
    }
}

static void
check_all_safe (const GPtrArray *texts)
{
  for (guint i = 0; i < texts->len; i++)
    check_safe (texts->pdata[i]);
}

static void
unpack_text (GVariant *packed)
{
  g_autofree char *text = img_unpack_text (packed);
  g_autofree char *safe = img_unpack_safe_text (packed);
  gsize most = g_variant_n_children (packed);

  g_assert ((text == NULL) == (most == 0) && (text == NULL || strlen (text) < most));
  g_assert ((safe == NULL) == (text == NULL));
  if (safe != NULL)
    check_safe (safe);
}

static void
unpack_content (GVariant *packed)
{
  ImgContent content = { 0 };

  img_unpack_content (packed, &content);
  const char *const texts[] = { content.description, content.partition_table, content.filesystem };
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    if (texts[i] != NULL)
      check_safe (texts[i]);
  g_assert (content.is_truncated == TRUE || content.is_truncated == FALSE);
  img_content_clear (&content);
}

/* @depth: of facts in facts. Each has what its kind says, and names are where they belong. */
static void
check_fact (const ImgFact *fact, guint depth)
{
  g_assert (fact->kind <= IMG_FACT_GROUP && depth < 16);
  gboolean has_facts = fact->kind == IMG_FACT_LIST || fact->kind == IMG_FACT_GROUP;
  g_assert ((fact->text != NULL) == (fact->kind == IMG_FACT_TEXT));
  g_assert ((fact->facts != NULL) == has_facts);
  for (guint i = 0; has_facts && i < fact->facts->len; i++)
    {
      const ImgFact *inner = fact->facts->pdata[i];
      g_assert ((inner->name != NULL) == (fact->kind == IMG_FACT_GROUP));
      if (inner->name != NULL)
        check_safe (inner->name);
      check_fact (inner, depth + 1);
    }
}

static void
unpack_description (GVariant *packed)
{
  g_auto (ImgDescription) description = { 0 };

  img_unpack_description (packed, &description);
  guint n = description.snapshots == NULL ? 0 : description.snapshots->len;
  g_assert (n <= description.n_snapshots && n <= IMG_MAX_LISTED);
  for (guint i = 0; i < n; i++)
    {
      const ImgSnapshot *snapshot = description.snapshots->pdata[i];
      g_assert (snapshot->id != NULL && snapshot->name != NULL);
    }
  for (guint i = 0; description.features != NULL && i < description.features->len; i++)
    {
      const ImgFeature *feature = description.features->pdata[i];
      check_safe (feature->name);
    }
  if (description.facts != NULL)
    {
      g_assert (description.facts->kind == IMG_FACT_GROUP && description.facts->name == NULL);
      check_fact (description.facts, 0);
    }
}

static void
unpack_inspection (GVariant *packed)
{
  g_autoptr (ImgInspection) inspection = img_inspection_new (fuzz_image_plain (), "qcow2");

  img_unpack_inspection (packed, inspection);
  check_all_safe (inspection->candidates);
  check_all_safe (inspection->features);
  check_all_safe (inspection->reasons);
  for (guint i = 0; i < inspection->references->len; i++)
    {
      const ImgInspectedReference *reference = inspection->references->pdata[i];
      check_safe (reference->kind);
      g_assert (reference->name != NULL);
    }
}

/* No counter says that there is less than what is listed, nor more than can be added up. */
static void
unpack_check (GVariant *packed)
{
  g_auto (ImgCheckResult) result = { 0 };
  guint64 n_of_kind[IMG_N_FINDING_KINDS] = { 0 }, n_of_class[IMG_FINDING_IS_PAST + 1] = { 0 };

  img_check_result_init (&result);
  img_unpack_check (packed, &result);
  const guint64 counted[] = { [IMG_FINDING_IS_CORRUPTION] = result.corruptions,
                              [IMG_FINDING_IS_LEAK] = result.leaks,
                              [IMG_FINDING_IS_ERROR] = result.errors,
                              [IMG_FINDING_IS_PAST] = result.past_end };
  g_assert (result.findings->len <= IMG_CHECK_MAX_KEPT);
  for (guint i = 0; i < result.findings->len; i++)
    {
      const ImgFinding *finding = result.findings->pdata[i];
      g_assert (finding->kind < IMG_N_FINDING_KINDS);
      check_safe (finding->text);
      n_of_kind[finding->kind]++;
      n_of_class[img_finding_class (finding->kind)]++;
    }
  for (guint i = 0; i < IMG_N_FINDING_KINDS; i++)
    g_assert (result.n_of_kind[i] >= n_of_kind[i]
              && result.n_of_kind[i] <= img_check_n_findings (&result));
  for (guint i = 0; i < G_N_ELEMENTS (counted); i++)
    g_assert (counted[i] >= n_of_class[i]);
}

static void
unpack_plan (GVariant *packed)
{
  g_autoptr (ImgPlan) plan = img_plan_new ();

  img_unpack_plan (packed, plan);
  for (guint i = 0; i < plan->patches->len; i++)
    {
      const ImgPatch *patch = plan->patches->pdata[i];
      g_assert (patch->stage < IMG_N_STAGES && img_stage_name (patch->stage) != NULL);
      g_assert (patch->length > 0 && patch->length <= g_variant_get_size (packed));
    }
}

static void
unpack_copy (GVariant *packed)
{
  g_auto (ImgCopyResult) result = { 0 };

  img_unpack_copy (packed, &result);
  g_assert (result.unreadable->len <= g_variant_get_size (packed));
  check_all_safe (result.digests);
}

/* The gate takes any name: it is for it to refuse. */
static void
unpack_heading (GVariant *packed)
{
  g_auto (ImgHeading) heading = { 0 };
  const ImgReference *const references[] = { &heading.backing, &heading.data_file };

  img_unpack_heading (packed, &heading);
  for (guint i = 0; i < G_N_ELEMENTS (references); i++)
    {
      g_auto (ImgGatePath) path = { 0 };
      if (references[i]->name != NULL
          && img_gate_resolve ("/image", "backing file", references[i], &path, NULL))
        g_assert (path.path[0] == '/');
    }
}

static void
unpack_texts (GVariant *packed)
{
  g_autoptr (GPtrArray) texts = g_ptr_array_new_with_free_func (g_free);

  img_unpack_safe_texts (packed, texts);
  g_assert (texts->len <= g_variant_get_size (packed));
  check_all_safe (texts);
}

static const struct
{
  const char *type;
  void (*unpack) (GVariant *packed);
} kinds[FUZZ_N_PACKED] = {
  [FUZZ_PACKED_TEXT] = { IMG_PACK_TEXT, unpack_text },
  [FUZZ_PACKED_CONTENT] = { IMG_PACK_CONTENT, unpack_content },
  [FUZZ_PACKED_DESCRIPTION] = { IMG_PACK_DESCRIPTION, unpack_description },
  [FUZZ_PACKED_INSPECTION] = { IMG_PACK_INSPECTION, unpack_inspection },
  [FUZZ_PACKED_CHECK] = { IMG_PACK_CHECK, unpack_check },
  [FUZZ_PACKED_PLAN] = { IMG_PACK_PLAN, unpack_plan },
  [FUZZ_PACKED_COPY] = { IMG_PACK_COPY, unpack_copy },
  [FUZZ_PACKED_HEADING] = { IMG_PACK_HEADING, unpack_heading },
  [FUZZ_PACKED_TEXTS] = { IMG_PACK_TEXTS, unpack_texts },
};

static void
run (const guint8 *data, gsize size)
{
  if (size == 0)
    return;
  /* What is in no good form is read as well: that is what the caller does. */
  g_autoptr (GBytes) bytes = g_bytes_new (data + 1, size - 1);
  guint kind = data[0] % FUZZ_N_PACKED;
  g_autoptr (GVariant) packed = g_variant_ref_sink (
      g_variant_new_from_bytes (G_VARIANT_TYPE (kinds[kind].type), bytes, FALSE));
  kinds[kind].unpack (packed);
}

const FuzzTarget fuzz_unpack = { .name = "unpack", .run = run };
