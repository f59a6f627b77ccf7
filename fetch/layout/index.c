/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.json, entry by entry: one that is malformed, or of a digest nobody
 * can verify, must not take the other images with it.  That is why this is
 * not left to image_index_parse().
 */
#include "fetch/layout/internal.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "fetch/observer.h"
#include "model/cleanup.h"
#include "model/image.h"
#include "model/json.h"
#include "model/reference.h"

/* OCI image-spec annotations.md; containerd's own. */
#define REF_NAME    "org.opencontainers.image.ref.name"
#define IMAGE_NAME  "io.containerd.image.name"
#define DEFAULT_TAG "latest" /* what the tools that write full names mean by none */

static void entry_release(struct layout_entry *entry)
{
	descriptor_release(&entry->descriptor);
	free(entry->repository);
	free(entry->tag);
	*entry = (struct layout_entry){ 0 };
}

struct layout_index *layout_index_ref(struct layout_index *idx)
{
	(void)atomic_fetch_add_explicit(&idx->users, 1, memory_order_relaxed);
	return idx;
}

void layout_index_unref(struct layout_index *idx)
{
	if (!idx || atomic_fetch_sub_explicit(&idx->users, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < idx->count; i++)
		entry_release(&idx->entries[i]);
	free(idx->entries);
	layout_referrers_free(idx->referrers);
	free(idx);
}

/* --- names --- */

/* Holds a '/', or a ':' (one before a '/' makes no difference then). */
static bool is_full_name(const char *name)
{
	return strpbrk(name, "/:");
}

/* Without the digest that may end a full name. */
static size_t name_len(const char *name)
{
	const char *at = strrchr(name, '@');
	struct digest digest;

	return at && !digest_parse(&digest, at + 1, NULL) ? (size_t)(at - name) : strlen(name);
}

/* REPOSITORY[:TAG][@DIGEST] in two.  False when there are no two in it. */
static bool split_name(const char *name, const char *default_tag, char **ret_repository,
	char **ret_tag, struct error *err, int *rc)
{
	size_t len = name_len(name);
	const char *tag;
	size_t repository_len = name_split(name, len, &tag);
	size_t tag_len = tag ? len - repository_len - 1 : strlen(default_tag);

	*rc = 0;
	if (!tag_len || !name_has_components(name, repository_len))
		return false;
	*ret_repository = strndup(name, repository_len);
	*ret_tag = strndup(tag ? tag : default_tag, tag_len);
	if (!*ret_repository || !*ret_tag)
		*rc = error_set(err, ENOMEM, "out of memory");
	return true;
}

static int take_plain(struct layout_entry *entry, const char *name, struct error *err)
{
	entry->repository = strdup("");
	entry->tag = name ? strdup(name) : NULL;
	return entry->repository && (entry->tag || !name) ? 0
							  : error_set(err, ENOMEM, "out of memory");
}

/* Finds the entry's name from its two annotations; either may be NULL. */
static int take_name(struct layout_entry *entry, const char *image_name, const char *ref_name,
	bool plain_only, bool *ret_is_full, struct error *err)
{
	const char *full = image_name && *image_name ? image_name : NULL;
	const char *tag = ref_name && *ref_name ? ref_name : NULL;
	int rc;

	if (!full && tag && is_full_name(tag))
		full = tag;
	if (!full || plain_only)
		return take_plain(entry, tag ? tag : full, err);
	if (!split_name(full, full != tag && tag && !is_full_name(tag) ? tag : DEFAULT_TAG,
		    &entry->repository, &entry->tag, err, &rc))
		return take_plain(entry, full, err);
	*ret_is_full = true;
	return rc;
}

/* --- entries --- */

/* An annotation that is no clean string is none: the entry stays, by its digest. */
static char *annotation(struct json_object *annotations, const char *name)
{
	char *value = NULL;

	if (annotations)
		(void)json_get_string(annotations, name, &value, NULL);
	return value;
}

static int parse_digest_and_size(
	struct descriptor *descriptor, struct json_object *object, struct error *err)
{
	CLEANUP(freep) char *text = NULL;
	int rc = json_get_string(object, "digest", &text, err);

	if (!rc && !text)
		rc = error_set(err, EIO, "no digest");
	if (!rc)
		rc = digest_parse(&descriptor->digest, text, err);
	descriptor->size = DESCRIPTOR_SIZE_UNKNOWN;
	return rc ? rc : json_get_size(object, "size", &descriptor->size, err);
}

static int parse_entry(
	struct layout_index *idx, struct json_object *object, bool plain_only, struct error *err)
{
	struct layout_entry *entry = &idx->entries[idx->count];
	struct json_object *annotations = NULL;
	CLEANUP(freep) char *image_name = NULL;
	CLEANUP(freep) char *ref_name = NULL;
	bool is_full = false;
	int rc;

	if (!json_object_is_type(object, json_type_object))
		return error_set(err, EIO, "not an object");
	rc = parse_digest_and_size(&entry->descriptor, object, err);
	if (!rc)
		rc = json_get_string(object, "mediaType", &entry->descriptor.media_type, err);
	if (!rc)
		rc = json_get_object(object, "annotations", &annotations, err);
	if (!rc) {
		image_name = annotation(annotations, IMAGE_NAME);
		ref_name = annotation(annotations, REF_NAME);
		rc = take_name(entry, image_name, ref_name, plain_only, &is_full, err);
	}
	if (rc) {
		entry_release(entry);
		return rc;
	}
	idx->has_full_names |= is_full;
	idx->count++;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct layout_entry *x = *(struct layout_entry *const *)a;
	const struct layout_entry *y = *(struct layout_entry *const *)b;
	int order = strcmp(x->repository, y->repository);

	if (!order)
		order = strcmp(x->tag, y->tag);
	return order ? order : (x > y) - (x < y); /* then as in the document */
}

static bool have_one_name(const struct layout_entry *a, const struct layout_entry *b)
{
	return !strcmp(a->repository, b->repository) && !strcmp(a->tag, b->tag);
}

/* Of entries with one name the first has it; the others are reached by their digests. */
static int mark_lost(struct layout_index *idx, struct error *err)
{
	CLEANUP(freep) struct layout_entry **named = calloc(idx->count + 1, sizeof *named);
	const struct layout_entry *first = NULL;
	size_t count = 0;

	if (!named)
		return error_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < idx->count; i++)
		if (idx->entries[i].tag)
			named[count++] = &idx->entries[i];
	qsort(named, count, sizeof *named, by_name);
	for (size_t i = 0; i < count; i++) {
		if (!first || !have_one_name(first, named[i]))
			first = named[i];
		named[i]->is_lost =
			!digest_equal(&first->descriptor.digest, &named[i]->descriptor.digest);
	}
	return 0;
}

static int parse_entries(struct layout_index *idx, struct json_object *array, bool plain_only,
	struct observer *observer, struct error *err)
{
	size_t count = array ? json_object_array_length(array) : 0;

	if (count > LAYOUT_ENTRIES_MAX)
		return error_set(err, EFBIG, "more than %d entries", LAYOUT_ENTRIES_MAX);
	idx->entries = calloc(count + 1, sizeof *idx->entries);
	if (!idx->entries)
		return error_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		struct error why = { "" };
		int rc = parse_entry(idx, json_object_array_get_idx(array, i), plain_only, &why);

		if (rc == -ENOMEM)
			return error_set(err, ENOMEM, "%s", why.text);
		if (rc)
			observer_log(observer, LOG_LEVEL_WARNING,
				"index.json: entry %zu left out: %s", i, why.text);
	}
	return mark_lost(idx, err);
}

/* Go tools write an empty list as null, which tells nothing of the kind. */
static bool is_index(enum document_kind kind, struct json_object *root)
{
	return kind == DOCUMENT_OCI_INDEX || kind == DOCUMENT_DOCKER_LIST ||
	       (kind == DOCUMENT_UNKNOWN && json_object_object_get_ex(root, "manifests", NULL));
}

int layout_index_parse(struct layout_index **ret, const char *bytes, size_t len, bool plain_only,
	struct observer *observer, struct error *err)
{
	CLEANUP(json_putp) struct json_object *root = NULL;
	CLEANUP(layout_indexp) struct layout_index *idx = calloc(1, sizeof *idx);
	struct json_object *manifests = NULL;
	enum document_kind kind;
	int rc;

	if (!idx)
		return error_set(err, ENOMEM, "out of memory");
	atomic_init(&idx->users, 1);
	rc = document_kind(&kind, NULL, bytes, len, err);
	if (!rc)
		rc = json_parse(&root, bytes, len, err);
	if (!rc && !is_index(kind, root))
		rc = error_set(err, EIO, "not an index");
	if (!rc)
		rc = json_get_array(root, "manifests", &manifests, err);
	if (!rc)
		rc = parse_entries(idx, manifests, plain_only, observer, err);
	if (rc)
		return rc;
	*ret = TAKE(idx);
	return 0;
}
