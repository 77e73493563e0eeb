/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/pack.h"

#include <string.h>

#include "base/text.h"

/* Facts in facts; more is nobody's. */
#define MAX_DEPTH 8

/* Findings of a kind: so that all kinds can be added up. */
#define MAX_COUNT (G_MAXUINT64 / IMG_N_FINDING_KINDS)

/* ---- texts ---- */

GVariant *
img_pack_text (const char *text)
{
  return text == NULL ? g_variant_new_array (G_VARIANT_TYPE_BYTE, NULL, 0)
                      : g_variant_new_bytestring (text);
}

char *
img_unpack_text (GVariant *packed)
{
  return g_variant_n_children (packed) == 0 ? NULL : g_variant_dup_bytestring (packed, NULL);
}

char *
img_unpack_safe_text (GVariant *packed)
{
  g_autofree char *text = img_unpack_text (packed);
  return text == NULL ? NULL : img_text_escape_again (text);
}

static char *
text_at (GVariant *packed, gsize i)
{
  g_autoptr (GVariant) child = g_variant_get_child_value (packed, i);
  return img_unpack_text (child);
}

/* Like the above, but never NULL. */
static char *
text_there_at (GVariant *packed, gsize i)
{
  char *text = text_at (packed, i);
  return text != NULL ? text : g_strdup ("");
}

static char *
safe_text_at (GVariant *packed, gsize i)
{
  g_autofree char *text = text_there_at (packed, i);
  return img_text_escape_again (text);
}

GVariant *
img_pack_texts (const GPtrArray *texts)
{
  GVariantBuilder builder;
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("aay"));
  for (guint i = 0; texts != NULL && i < texts->len; i++)
    g_variant_builder_add_value (&builder, img_pack_text (texts->pdata[i]));
  return g_variant_builder_end (&builder);
}

/* Append the texts in @array to @texts; @is_constant: interned, for who owns nothing. */
static void
unpack_safe_texts (GVariant *array, gboolean is_constant, GPtrArray *texts)
{
  for (gsize k = 0; k < g_variant_n_children (array); k++)
    {
      g_autofree char *text = safe_text_at (array, k);
      g_ptr_array_add (texts, is_constant ? (gpointer)g_intern_string (text)
                                          : (gpointer)g_steal_pointer (&text));
    }
}

static void
safe_texts_at (GVariant *packed, gsize i, gboolean is_constant, GPtrArray *texts)
{
  g_autoptr (GVariant) array = g_variant_get_child_value (packed, i);
  unpack_safe_texts (array, is_constant, texts);
}

void
img_unpack_safe_texts (GVariant *packed, GPtrArray *texts)
{
  unpack_safe_texts (packed, FALSE, texts);
}

/* ---- what an image says of other files ---- */

GVariant *
img_pack_heading (const ImgHeading *heading)
{
  return g_variant_new ("(t@ay@ay@ay@ay)", heading->size, img_pack_text (heading->backing.name),
                        img_pack_text (heading->backing.format),
                        img_pack_text (heading->data_file.name),
                        img_pack_text (heading->data_file.format));
}

void
img_unpack_heading (GVariant *packed, ImgHeading *heading)
{
  g_variant_get_child (packed, 0, "t", &heading->size);
  heading->backing.name = text_at (packed, 1);
  heading->backing.format = text_at (packed, 2);
  heading->data_file.name = text_at (packed, 3);
  heading->data_file.format = text_at (packed, 4);
}

/* ---- what is in a raw disk ---- */

GVariant *
img_pack_content (const ImgContent *content)
{
  return g_variant_new ("(@ay@aytb@ay)", img_pack_text (content->description),
                        img_pack_text (content->partition_table), content->table_end,
                        content->is_truncated, img_pack_text (content->filesystem));
}

void
img_unpack_content (GVariant *packed, ImgContent *content)
{
  g_autoptr (GVariant) description = g_variant_get_child_value (packed, 0);
  g_autoptr (GVariant) partition_table = g_variant_get_child_value (packed, 1);
  g_autoptr (GVariant) filesystem = g_variant_get_child_value (packed, 4);

  content->description = img_unpack_safe_text (description);
  content->partition_table = img_unpack_safe_text (partition_table);
  content->filesystem = img_unpack_safe_text (filesystem);
  g_variant_get_child (packed, 2, "t", &content->table_end);
  g_variant_get_child (packed, 3, "b", &content->is_truncated);
}

/* ---- what a format tells ---- */

#define FACT "(uayv)" /* kind, name, value */

static GVariant *
pack_fact (const ImgFact *fact)
{
  GVariantBuilder builder;
  GVariant *value;

  switch (fact->kind)
    {
    case IMG_FACT_BOOLEAN:
      value = g_variant_new_boolean (fact->boolean);
      break;
    case IMG_FACT_NUMBER:
      value = g_variant_new_uint64 (fact->number);
      break;
    case IMG_FACT_TEXT:
      value = img_pack_text (fact->text);
      break;
    case IMG_FACT_LIST:
    case IMG_FACT_GROUP:
    default:
      g_variant_builder_init (&builder, G_VARIANT_TYPE ("a" FACT));
      for (guint i = 0; i < fact->facts->len; i++)
        g_variant_builder_add_value (&builder, pack_fact (fact->facts->pdata[i]));
      value = g_variant_builder_end (&builder);
      break;
    }
  return g_variant_new ("(u@ayv)", (guint32)fact->kind, img_pack_text (fact->name), value);
}

static gboolean
is_of (GVariant *value, const char *type)
{
  return g_variant_is_of_type (value, G_VARIANT_TYPE (type));
}

/* Add what @packed, of the type FACT, says to the group or list @into; nonsense is left out. */
static void
unpack_fact (GVariant *packed, ImgFact *into, guint depth)
{
  g_autoptr (GVariant) outer = g_variant_get_child_value (packed, 2);
  g_autoptr (GVariant) value = g_variant_get_variant (outer);
  g_autofree char *text = safe_text_at (packed, 1);
  const char *name = into->kind == IMG_FACT_GROUP ? g_intern_string (text) : NULL;
  guint32 kind;

  g_variant_get_child (packed, 0, "u", &kind);
  if (kind == IMG_FACT_BOOLEAN && is_of (value, "b"))
    img_fact_add_boolean (into, name, g_variant_get_boolean (value));
  else if (kind == IMG_FACT_NUMBER && is_of (value, "t"))
    img_fact_add_number (into, name, g_variant_get_uint64 (value));
  else if (kind == IMG_FACT_TEXT && is_of (value, "ay"))
    img_fact_add_text (into, name, g_variant_get_bytestring (value));
  else if ((kind == IMG_FACT_LIST || kind == IMG_FACT_GROUP) && is_of (value, "a" FACT)
           && depth < MAX_DEPTH)
    {
      ImgFact *added = kind == IMG_FACT_LIST ? img_fact_add_list (into, name)
                                             : img_fact_add_group (into, name);
      for (gsize i = 0; i < g_variant_n_children (value); i++)
        {
          g_autoptr (GVariant) child = g_variant_get_child_value (value, i);
          unpack_fact (child, added, depth + 1);
        }
    }
}

static GVariant *
pack_snapshots (const GPtrArray *snapshots)
{
  GVariantBuilder builder;
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a(ayaytttttu)"));
  for (guint i = 0; snapshots != NULL && i < snapshots->len; i++)
    {
      const ImgSnapshot *snapshot = snapshots->pdata[i];
      g_variant_builder_add (&builder, "(@ay@aytttttu)", img_pack_text (snapshot->id),
                             img_pack_text (snapshot->name), snapshot->date_seconds,
                             snapshot->vm_clock, snapshot->vm_state_size, snapshot->icount,
                             snapshot->disk_size, snapshot->date_nanoseconds);
    }
  return g_variant_builder_end (&builder);
}

static ImgSnapshot *
unpack_snapshot (GVariant *packed)
{
  ImgSnapshot *snapshot = g_new0 (ImgSnapshot, 1);

  snapshot->id = text_there_at (packed, 0);
  snapshot->name = text_there_at (packed, 1);
  g_variant_get_child (packed, 2, "t", &snapshot->date_seconds);
  g_variant_get_child (packed, 3, "t", &snapshot->vm_clock);
  g_variant_get_child (packed, 4, "t", &snapshot->vm_state_size);
  g_variant_get_child (packed, 5, "t", &snapshot->icount);
  g_variant_get_child (packed, 6, "t", &snapshot->disk_size);
  g_variant_get_child (packed, 7, "u", &snapshot->date_nanoseconds);
  return snapshot;
}

static GVariant *
pack_features (const GPtrArray *features)
{
  GVariantBuilder builder;
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a(ayb)"));
  for (guint i = 0; features != NULL && i < features->len; i++)
    {
      const ImgFeature *feature = features->pdata[i];
      g_variant_builder_add (&builder, "(@ayb)", img_pack_text (feature->name),
                             feature->is_harmless);
    }
  return g_variant_builder_end (&builder);
}

GVariant *
img_pack_description (const ImgDescription *description)
{
  GVariantBuilder facts;

  g_variant_builder_init (&facts, G_VARIANT_TYPE ("av"));
  if (description->facts != NULL)
    g_variant_builder_add (&facts, "v", pack_fact (description->facts));
  return g_variant_new ("(tbbtu@a(ayaytttttu)@av@a(ayb))", description->cluster_size,
                        description->is_encrypted, description->is_dirty, description->needed,
                        (guint32)description->n_snapshots, pack_snapshots (description->snapshots),
                        g_variant_builder_end (&facts), pack_features (description->features));
}

static void
unpack_facts (GVariant *packed, ImgDescription *description)
{
  for (gsize i = 0; i < g_variant_n_children (packed); i++)
    {
      g_autoptr (GVariant) outer = g_variant_get_child_value (packed, i);
      g_autoptr (GVariant) group = g_variant_get_variant (outer);
      if (!is_of (group, FACT) || description->facts != NULL)
        continue;
      /* The outermost is a group without a name: what it has is added to another such. */
      g_autoptr (GVariant) inner = g_variant_get_child_value (group, 2);
      g_autoptr (GVariant) all = g_variant_get_variant (inner);
      description->facts = img_fact_new ();
      for (gsize k = 0; is_of (all, "a" FACT) && k < g_variant_n_children (all); k++)
        {
          g_autoptr (GVariant) fact = g_variant_get_child_value (all, k);
          unpack_fact (fact, description->facts, 0);
        }
    }
}

void
img_unpack_description (GVariant *packed, ImgDescription *description)
{
  g_autoptr (GVariant) snapshots = g_variant_get_child_value (packed, 5);
  g_autoptr (GVariant) facts = g_variant_get_child_value (packed, 6);
  g_autoptr (GVariant) features = g_variant_get_child_value (packed, 7);
  guint32 n_snapshots;

  g_variant_get_child (packed, 0, "t", &description->cluster_size);
  g_variant_get_child (packed, 1, "b", &description->is_encrypted);
  g_variant_get_child (packed, 2, "b", &description->is_dirty);
  g_variant_get_child (packed, 3, "t", &description->needed);
  g_variant_get_child (packed, 4, "u", &n_snapshots);
  gsize n = MIN (g_variant_n_children (snapshots), IMG_MAX_LISTED);
  if (n > 0)
    description->snapshots = g_ptr_array_new_with_free_func ((GDestroyNotify)img_snapshot_free);
  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) snapshot = g_variant_get_child_value (snapshots, i);
      g_ptr_array_add (description->snapshots, unpack_snapshot (snapshot));
    }
  description->n_snapshots = MAX (n_snapshots, (guint)n);
  unpack_facts (facts, description);
  for (gsize i = 0; i < g_variant_n_children (features); i++)
    {
      g_autoptr (GVariant) feature = g_variant_get_child_value (features, i);
      gboolean is_harmless;
      g_variant_get_child (feature, 1, "b", &is_harmless);
      img_description_add_feature (description, safe_text_at (feature, 0), is_harmless);
    }
}

/* ---- whether it can be trusted ---- */

GVariant *
img_pack_inspection (const ImgInspection *inspection)
{
  GVariantBuilder references;

  g_variant_builder_init (&references, G_VARIANT_TYPE ("a(ayayay)"));
  for (guint i = 0; i < inspection->references->len; i++)
    {
      const ImgInspectedReference *reference = inspection->references->pdata[i];
      g_variant_builder_add (&references, "(@ay@ay@ay)", img_pack_text (reference->kind),
                             img_pack_text (reference->name), img_pack_text (reference->format));
    }
  return g_variant_new ("(bt@aay@a(ayayay)@aay@aay)", inspection->has_size,
                        inspection->virtual_size, img_pack_texts (inspection->candidates),
                        g_variant_builder_end (&references), img_pack_texts (inspection->features),
                        img_pack_texts (inspection->reasons));
}

void
img_unpack_inspection (GVariant *packed, ImgInspection *inspection)
{
  g_autoptr (GVariant) references = g_variant_get_child_value (packed, 3);

  g_variant_get_child (packed, 0, "b", &inspection->has_size);
  g_variant_get_child (packed, 1, "t", &inspection->virtual_size);
  safe_texts_at (packed, 2, TRUE, inspection->candidates);
  for (gsize i = 0; i < g_variant_n_children (references); i++)
    {
      g_autoptr (GVariant) one = g_variant_get_child_value (references, i);
      g_autofree char *kind = safe_text_at (one, 0);
      ImgInspectedReference *reference = g_new0 (ImgInspectedReference, 1);
      reference->kind = g_intern_string (kind);
      reference->name = text_there_at (one, 1);
      reference->format = text_at (one, 2);
      g_ptr_array_add (inspection->references, reference);
    }
  safe_texts_at (packed, 4, FALSE, inspection->features);
  safe_texts_at (packed, 5, FALSE, inspection->reasons);
}

/* ---- what a check found ---- */

/* The numbers of an ImgCheckResult, in the order in which they are packed. */
static void
list_numbers (ImgCheckResult *result, GPtrArray *numbers)
{
  guint64 *const all[] = { &result->image_end_offset,
                           &result->total_clusters,
                           &result->allocated_clusters,
                           &result->fragmented_clusters,
                           &result->compressed_clusters,
                           &result->corruptions,
                           &result->leaks,
                           &result->errors,
                           &result->corruptions_fixed,
                           &result->leaks_fixed,
                           &result->past_end };

  for (gsize i = 0; i < G_N_ELEMENTS (all); i++)
    g_ptr_array_add (numbers, all[i]);
  for (guint i = 0; i < IMG_N_FINDING_KINDS; i++)
    g_ptr_array_add (numbers, &result->n_of_kind[i]);
}

GVariant *
img_pack_check (const ImgCheckResult *result)
{
  g_autoptr (GPtrArray) numbers = g_ptr_array_new ();
  ImgCheckResult copy = *result;
  GVariantBuilder counts, findings;

  list_numbers (&copy, numbers);
  g_variant_builder_init (&counts, G_VARIANT_TYPE ("at"));
  for (guint i = 0; i < numbers->len; i++)
    g_variant_builder_add (&counts, "t", *(const guint64 *)numbers->pdata[i]);
  g_variant_builder_init (&findings, G_VARIANT_TYPE ("a(uaytttay)"));
  for (guint i = 0; i < result->findings->len; i++)
    {
      const ImgFinding *finding = result->findings->pdata[i];
      const ImgFindingPlace *place = &finding->place;
      g_variant_builder_add (&findings, "(u@ayttt@ay)", (guint32)finding->kind,
                             img_pack_text (finding->text), place->host_offset, place->guest_offset,
                             place->guest_length, img_pack_text (place->snapshot));
    }
  return g_variant_new ("(@at@a(uaytttay))", g_variant_builder_end (&counts),
                        g_variant_builder_end (&findings));
}

void
img_unpack_check (GVariant *packed, ImgCheckResult *result)
{
  g_autoptr (GVariant) counts = g_variant_get_child_value (packed, 0);
  g_autoptr (GVariant) findings = g_variant_get_child_value (packed, 1);
  g_autoptr (GPtrArray) numbers = g_ptr_array_new ();

  for (gsize i = 0; i < MIN (g_variant_n_children (findings), IMG_CHECK_MAX_KEPT); i++)
    {
      g_autoptr (GVariant) one = g_variant_get_child_value (findings, i);
      g_autofree char *text = safe_text_at (one, 1);
      g_autofree char *snapshot = text_at (one, 5);
      ImgFindingPlace place = { .snapshot = snapshot };
      guint32 kind;

      g_variant_get_child (one, 0, "u", &kind);
      g_variant_get_child (one, 2, "t", &place.host_offset);
      g_variant_get_child (one, 3, "t", &place.guest_offset);
      g_variant_get_child (one, 4, "t", &place.guest_length);
      img_check_note (result, MIN (kind, IMG_N_FINDING_KINDS - 1), 1, &place, "%s", text);
    }
  list_numbers (result, numbers);
  for (gsize i = 0; i < MIN (g_variant_n_children (counts), numbers->len); i++)
    {
      guint64 *number = numbers->pdata[i], count;
      g_variant_get_child (counts, i, "t", &count);
      /* Here it has what was just counted. */
      *number = CLAMP (count, *number, MAX_COUNT);
    }
}

/* ---- what a repair would write ---- */

GVariant *
img_pack_plan (const ImgPlan *plan)
{
  GVariantBuilder patches;

  g_variant_builder_init (&patches, G_VARIANT_TYPE ("a(utay)"));
  for (guint i = 0; i < plan->patches->len; i++)
    {
      const ImgPatch *patch = plan->patches->pdata[i];
      g_variant_builder_add (
          &patches, "(ut@ay)", (guint32)patch->stage, patch->offset,
          g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, patch->bytes, patch->length, 1));
    }
  return g_variant_new ("(tb@a(utay))", plan->size, plan->is_held_back,
                        g_variant_builder_end (&patches));
}

void
img_unpack_plan (GVariant *packed, ImgPlan *plan)
{
  g_autoptr (GVariant) patches = g_variant_get_child_value (packed, 2);

  g_variant_get_child (packed, 0, "t", &plan->size);
  g_variant_get_child (packed, 1, "b", &plan->is_held_back);
  for (gsize i = 0; i < g_variant_n_children (patches); i++)
    {
      g_autoptr (GVariant) patch = g_variant_get_child_value (patches, i);
      g_autoptr (GVariant) array = g_variant_get_child_value (patch, 2);
      guint64 offset;
      guint32 stage;
      gsize length;

      g_variant_get_child (patch, 0, "u", &stage);
      g_variant_get_child (patch, 1, "t", &offset);
      const void *bytes = g_variant_get_fixed_array (array, &length, 1);
      if (stage < IMG_N_STAGES && length > 0)
        img_plan_add (plan, (ImgStage)stage, offset, bytes, length);
    }
}

/* ---- what was copied ---- */

GVariant *
img_pack_copy (const ImgCopyResult *result)
{
  GVariantBuilder ranges;

  g_variant_builder_init (&ranges, G_VARIANT_TYPE ("a(tt)"));
  for (guint i = 0; i < result->unreadable->len; i++)
    {
      const ImgRange *range = &g_array_index (result->unreadable, ImgRange, i);
      g_variant_builder_add (&ranges, "(tt)", range->guest_offset, range->length);
    }
  return g_variant_new ("(ttttt@a(tt)@aay)", result->size, result->copied, result->zero,
                        result->cloned, result->same, g_variant_builder_end (&ranges),
                        img_pack_texts (result->digests));
}

void
img_unpack_copy (GVariant *packed, ImgCopyResult *result)
{
  g_autoptr (GVariant) ranges = g_variant_get_child_value (packed, 5);

  g_variant_get_child (packed, 0, "t", &result->size);
  g_variant_get_child (packed, 1, "t", &result->copied);
  g_variant_get_child (packed, 2, "t", &result->zero);
  g_variant_get_child (packed, 3, "t", &result->cloned);
  g_variant_get_child (packed, 4, "t", &result->same);
  result->unreadable = g_array_new (FALSE, FALSE, sizeof (ImgRange));
  for (gsize i = 0; i < g_variant_n_children (ranges); i++)
    {
      ImgRange range;
      g_variant_get_child (ranges, i, "(tt)", &range.guest_offset, &range.length);
      g_array_append_val (result->unreadable, range);
    }
  result->digests = g_ptr_array_new_with_free_func (g_free);
  safe_texts_at (packed, 6, FALSE, result->digests);
}
