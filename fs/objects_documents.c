/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Manifests, indexes and configs in memory, and what is derived from them.
 *
 * Parsing happens on the pool's thread, right after the fetch.  A document that
 * is malformed is still READY: its bytes can be shown, its parse_rc is what
 * everybody gets who wants more.
 */
#include "fs/objects_internal.h"

#include <limits.h>
#include <stdio.h>
#include <utlist.h>

#include "fs/names.h"
#include "fs/spaces.h"

static void document_free(struct document_object *object)
{
	struct document *document = &object->document;

	for (size_t i = 0; i < document->platform_count; i++) {
		free(document->platforms[i].name);
		descriptor_release(&document->platforms[i].manifest);
	}
	free(document->platforms);
	image_release(&document->image);
	image_index_release(&document->index);
	descriptor_release(&object->descriptor);
	load_release(&object->load);
	free(object->bytes);
	free(object->type);
	free(object->key);
	free(object);
}

void documents_free(struct fs *fs)
{
	struct document_object *object, *next;

	HASH_ITER(hh, fs->objects->documents, object, next)
	{
		HASH_DEL(fs->objects->documents, object);
		document_free(object);
	}
}

static int parse(struct document_object *object)
{
	struct document *document = &object->document;
	struct error *err = &object->parse_err;
	char text[DIGEST_TEXT_MAX];
	int rc;

	rc = document_kind(&document->kind, object->type, document->bytes, document->len, err);
	if (rc)
		return error_prefix(err, rc, "%s", digest_format(&object->descriptor.digest, text));
	switch (document->kind) {
	case DOCUMENT_OCI_INDEX:
	case DOCUMENT_DOCKER_LIST:
		rc = image_index_parse(
			&document->index, document->kind, document->bytes, document->len, err);
		break;
	case DOCUMENT_OCI_MANIFEST:
	case DOCUMENT_SCHEMA2:
	case DOCUMENT_SCHEMA1:
	case DOCUMENT_V1:
		rc = image_parse(
			&document->image, document->kind, document->bytes, document->len, err);
		break;
	case DOCUMENT_UNKNOWN:
		rc = error_set(err, EIO, "neither a manifest nor an index");
		break;
	}
	return rc ? error_prefix(err, rc, "%s", digest_format(&object->descriptor.digest, text))
		  : 0;
}

static int document_run(struct load *load)
{
	struct document_object *object = container_of(load, struct document_object, load);
	size_t len;
	int rc;

	if (object->is_manifest)
		rc = store_manifest(load->fs->store, load->step, object->repository,
			&object->descriptor.digest, &object->bytes, &len, &object->type,
			&load->cancel, &load->err);
	else
		rc = store_document(load->fs->store, load->step, object->repository,
			&object->descriptor, &object->bytes, &len, &load->cancel, &load->err);
	if (rc)
		return rc;
	object->document.bytes = object->bytes;
	object->document.len = len;
	if (object->is_manifest)
		object->parse_rc = parse(object);
	return 0;
}

static void count_known(struct document_object *object)
{
	const struct image *image = &object->document.image;

	for (size_t i = 0; i < image->layer_count; i++)
		if (digest_is_set(&image->layers[i].digest))
			identity_count(object->load.fs, &image->layers[i]);
}

static void evict(struct objects *objects)
{
	uint64_t now = now_ms();

	while (objects->document_bytes > DOCUMENTS_MAX && objects->document_lru) {
		struct document_object *oldest = objects->document_lru;

		if (now - oldest->used_ms < DOCUMENT_RECENT_MS)
			break;
		DL_DELETE(objects->document_lru, oldest);
		HASH_DEL(objects->documents, oldest);
		objects->document_bytes -= oldest->document.len;
		document_free(oldest);
	}
}

static void document_publish(struct load *load)
{
	struct document_object *object = container_of(load, struct document_object, load);
	struct objects *objects = load->fs->objects;

	object->used_ms = now_ms();
	DL_APPEND(objects->document_lru, object);
	objects->document_bytes += object->document.len;
	count_known(object);
	if (object->parse_rc)
		log_line(load->fs->log, LOG_LEVEL_WARNING, "%s", object->parse_err.text);
	evict(objects);
}

static const struct load_type document_type = { .pool = POOL_LOOK,
	.fetch_pool = POOL_REQUEST,
	.run = document_run,
	.publish = document_publish };

static int document_get(struct fs *fs, const char *repository, const struct descriptor *descriptor,
	bool is_manifest, struct document_object **ret, struct need *need)
{
	CLEANUP(freep)
	char *key = digest_key(
		is_manifest ? 'm' : 'b', repository, &descriptor->digest, descriptor->size);
	struct document_object *object;
	int rc;

	if (!key)
		return no_memory(need);
	HASH_FIND_STR(fs->objects->documents, key, object);
	if (!object) {
		object = calloc(1, sizeof *object);
		if (!object)
			return no_memory(need);
		load_init(&object->load, fs, &document_type);
		object->repository = repository;
		object->is_manifest = is_manifest;
		rc = descriptor_copy(&object->descriptor, descriptor, &need->err);
		if (rc) {
			document_free(object);
			return rc;
		}
		object->key = TAKE(key);
		HASH_ADD_KEYPTR(
			hh, fs->objects->documents, object->key, strlen(object->key), object);
		if (!HASH_HAS(hh, object)) {
			document_free(object);
			return no_memory(need);
		}
	}
	rc = load_want(&object->load, need);
	need->is_unread = rc == -EIO;
	if (rc)
		return rc;
	object->used_ms = now_ms();
	DL_DELETE(fs->objects->document_lru, object);
	DL_APPEND(fs->objects->document_lru, object);
	*ret = object;
	return 0;
}

static int manifest_object_get(struct fs *fs, const char *repository, const struct digest *digest,
	struct document_object **ret, struct need *need)
{
	struct descriptor descriptor = { .digest = *digest, .size = DESCRIPTOR_SIZE_UNKNOWN };
	int rc;

	rc = document_get(fs, repository, &descriptor, true, ret, need);
	if (rc == -ENOENT) /* somebody named it: it is missing, not unknown */
		return error_prefix(&need->err, -EIO, "a manifest that should be there");
	if (rc || !(*ret)->parse_rc)
		return rc;
	need->err = (*ret)->parse_err;
	return (*ret)->parse_rc;
}

int manifest_get(struct fs *fs, const char *repository, const struct digest *digest,
	const struct document **ret, struct need *need)
{
	struct document_object *object;
	int rc = manifest_object_get(fs, repository, digest, &object, need);

	if (!rc)
		*ret = &object->document;
	return rc;
}

int manifest_raw_get(struct fs *fs, const char *repository, const struct digest *digest,
	const struct document **ret, struct need *need)
{
	struct descriptor descriptor = { .digest = *digest, .size = DESCRIPTOR_SIZE_UNKNOWN };
	struct document_object *object;
	int rc = document_get(fs, repository, &descriptor, true, &object, need);

	if (!rc)
		*ret = &object->document;
	return rc;
}

int small_blob_get(struct fs *fs, const char *repository, const struct descriptor *blob,
	const struct document **ret, struct need *need)
{
	struct document_object *object;
	int rc = document_get(fs, repository, blob, false, &object, need);

	if (!rc)
		*ret = &object->document;
	return rc;
}

int image_get(struct fs *fs, const char *repository, const struct digest *digest,
	const struct image **ret, struct need *need)
{
	const struct document *config;
	struct document_object *object;
	struct image *image;
	int rc;

	*ret = NULL;
	rc = manifest_object_get(fs, repository, digest, &object, need);
	if (rc)
		return rc;
	image = &object->document.image;
	if (document_is_index(&object->document))
		return error_set(&need->err, EIO, "an index where a manifest should be");
	*ret = image;
	if (image->is_artifact || image->has_config)
		return 0;
	if (!object->config_rc) {
		rc = small_blob_get(fs, repository, &image->config, &config, need);
		if (rc)
			return rc;
		object->config_rc =
			image_parse_config(image, config->bytes, config->len, &object->config_err);
	}
	if (object->config_rc)
		need->err = object->config_err;
	return object->config_rc;
}

/* --- platforms --- */

struct flattening {
	struct fs *fs;
	const char *repository;
	struct need *need;
	struct platform_entry *entries;
	size_t count;
	size_t visits; /* entries looked at: an index may be named many times */
	struct digest seen[INDEX_DEPTH_MAX]; /* indexes on the way down */
};

static void entries_free(struct platform_entry *entries, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(entries[i].name);
		descriptor_release(&entries[i].manifest);
	}
	free(entries);
}

/* The platform of an entry that does not say: from its config, or none for artifacts. */
static int platform_of(
	struct flattening *flat, const struct descriptor *entry, const struct platform **ret)
{
	const struct image *image;
	int rc;

	*ret = entry->has_platform ? &entry->platform : NULL;
	if (*ret)
		return 0;
	rc = image_get(flat->fs, flat->repository, &entry->digest, &image, flat->need);
	if (rc == LOAD_PENDING || need_is_transient(flat->need, rc))
		return rc;
	/* One that cannot be read gets a name all the same: its siblings live. */
	if (!rc && image->has_config)
		*ret = &image->parsed.platform;
	return 0;
}

static int add_platform(
	struct flattening *flat, const struct descriptor *entry, const struct platform *platform)
{
	struct platform_entry *entries;
	char name[PLATFORM_NAME_MAX] = "unknown";
	int rc;

	if (flat->count >= INDEX_ENTRIES_MAX)
		return error_set(
			&flat->need->err, EFBIG, "more than %d manifests", INDEX_ENTRIES_MAX);
	for (size_t i = 0; i < flat->count; i++)
		if (digest_equal(&flat->entries[i].manifest.digest, &entry->digest))
			return 0; /* named twice: one directory */
	if ((flat->count & (flat->count - 1)) == 0) {
		entries = realloc(
			flat->entries, (flat->count ? 2 * flat->count : 1) * sizeof *entries);
		if (!entries)
			return no_memory(flat->need);
		flat->entries = entries;
	}
	if (platform)
		(void)platform_directory_name(platform, name);
	entries = &flat->entries[flat->count];
	*entries = (struct platform_entry){ .name = strdup(name) };
	if (!entries->name)
		return no_memory(flat->need);
	flat->count++;
	rc = descriptor_copy(&entries->manifest, entry, &flat->need->err);
	if (!rc && platform && !entry->has_platform) {
		rc = platform_copy(&entries->manifest.platform, platform, &flat->need->err);
		entries->manifest.has_platform = !rc;
	}
	return rc;
}

static int flatten(struct flattening *flat, const struct image_index *index, unsigned depth);

static int flatten_entry(struct flattening *flat, const struct descriptor *entry, unsigned depth)
{
	const struct platform *platform;
	const struct document *child;
	int rc;

	if (++flat->visits > INDEX_ENTRIES_MAX)
		return error_set(&flat->need->err, EFBIG, "more than %d entries in nested indexes",
			INDEX_ENTRIES_MAX);
	if (image_index_entry_is_attestation(entry, NULL))
		return 0;
	if (media_type_find(entry->media_type)->role != ROLE_INDEX) {
		rc = platform_of(flat, entry, &platform);
		return rc ? rc : add_platform(flat, entry, platform);
	}
	if (depth + 1 >= INDEX_DEPTH_MAX)
		return error_set(
			&flat->need->err, EFBIG, "indexes nested deeper than %d", INDEX_DEPTH_MAX);
	for (unsigned i = 0; i < depth; i++)
		if (digest_equal(&flat->seen[i], &entry->digest))
			return 0;
	flat->seen[depth] = entry->digest;
	rc = manifest_get(flat->fs, flat->repository, &entry->digest, &child, flat->need);
	if (rc == LOAD_PENDING || need_is_transient(flat->need, rc))
		return rc;
	return rc ? 0 : flatten(flat, &child->index, depth + 1);
}

/* Depth is bounded by INDEX_DEPTH_MAX. */
static int flatten(struct flattening *flat, const struct image_index *index, unsigned depth)
{
	for (size_t i = 0; i < index->entry_count; i++) {
		int rc = flatten_entry(flat, &index->entries[i], depth);

		if (rc)
			return rc;
	}
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	const struct platform_entry *const *x = a, *const *y = b;
	int order = strcmp((*x)->name, (*y)->name);

	return order ? order : (*x > *y) - (*x < *y);
}

static int rename_entry(struct platform_entry *entry, const char *suffix, char separator)
{
	char escaped[ESCAPED_NAME_MAX];
	char *name = NULL;

	/* A version too long for a name does not tell them apart: the digest will. */
	if (!name_escape(escaped, suffix) ||
		strlen(entry->name) + strlen(escaped) + 2 + DIGEST_SHORT > NAME_MAX)
		return 0;
	if (asprintf(&name, "%s%c%s", entry->name, separator, escaped) < 0)
		return -ENOMEM;
	free(entry->name);
	entry->name = name;
	return 0;
}

/* Entries of one platform get os.version behind the name; those that are still
 * equal, or have none, the digest's first digits. */
static int make_unique(struct platform_entry *entries, size_t count)
{
	for (int round = 0; round < 2; round++) {
		CLEANUP(freep) struct platform_entry **sorted = calloc(count, sizeof *sorted);

		if (!sorted)
			return -ENOMEM;
		for (size_t i = 0; i < count; i++)
			sorted[i] = &entries[i];
		qsort(sorted, count, sizeof *sorted, compare_names);
		for (size_t i = 0, end; i < count; i = end) {
			for (end = i + 1;
				end < count && !strcmp(sorted[i]->name, sorted[end]->name);)
				end++;
			for (size_t k = i; end > i + 1 && k < end; k++) {
				const struct descriptor *manifest = &sorted[k]->manifest;
				const char *version =
					manifest->has_platform ? manifest->platform.os_version : "";
				char hex[DIGEST_HEX_MAX];
				int rc = 0;

				(void)digest_hex(&manifest->digest, hex);
				hex[DIGEST_SHORT] = '\0';
				if (round == 0 && *version)
					rc = rename_entry(sorted[k], version, '_');
				else if (round == 1)
					rc = rename_entry(sorted[k], hex, '.');
				if (rc)
					return rc;
			}
		}
	}
	return 0;
}

static int list_platforms(
	struct flattening *flat, const struct digest *digest, const struct document *document)
{
	const struct image *image;
	struct descriptor self = { .digest = *digest, .size = document->len };
	int rc;

	if (document_is_index(document)) {
		rc = flatten(flat, &document->index, 0);
		return rc ? rc : flat->count > 1 ? make_unique(flat->entries, flat->count) : 0;
	}
	rc = image_get(flat->fs, flat->repository, digest, &image, flat->need);
	if (rc || image->is_artifact)
		return rc;
	self.media_type = (char *)document_media_type(document->kind); /* only copied from */
	return add_platform(flat, &self, &image->parsed.platform);
}

int image_platforms(struct fs *fs, const char *repository, const struct digest *digest,
	const struct platform_entry **ret, size_t *ret_count, struct need *need)
{
	struct flattening flat = { .fs = fs, .repository = repository, .need = need };
	struct document_object *object;
	int rc;

	rc = manifest_object_get(fs, repository, digest, &object, need);
	if (rc)
		return rc;
	if (!object->document.has_platforms) {
		rc = list_platforms(&flat, digest, &object->document);
		if (rc) {
			entries_free(flat.entries, flat.count);
			return rc;
		}
		object->document.platforms = flat.entries;
		object->document.platform_count = flat.count;
		object->document.has_platforms = true;
	}
	*ret = object->document.platforms;
	*ret_count = object->document.platform_count;
	return 0;
}
