/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci/ and docker/: the image in one family, as a complete image that other
 * tools open in place: an OCI image layout, or a directory as written by the
 * "dir:" transport (containers-transports(5)).
 *
 * Manifests are converted bottom up, for a child that changes changes its
 * parent's digest.  What already is of the family stays as it is, byte for
 * byte.  What cannot be said in the family is left out and named in the
 * attribute user.imgfs.converted.
 *
 * Schema 1 and V1 have no config and do not know the diff_ids of their layers:
 * these are made into schema 2 first, when all layers have been read.
 * schema1/ is the way back, for one platform.
 */
#include "fs/views.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/hash.h"
#include "fs/spaces.h"
#include "model/cleanup.h"

enum {
	FLAVOUR_TEXT_MAX = 4096, /* bytes of one "converted" attribute */
	FLAVOUR_BLOBS_MAX =
		64 * IMAGE_LAYERS_MAX, /* configs and layers of one image, all platforms */
	FLAVOURS_MAX = 32 << 20, /* bytes of all flavours kept, about; made again when wanted */
};

struct flavour_slot {
	struct flavour flavour;
	char *key;
	size_t cost; /* bytes, about */
	UT_hash_handle hh;
};

static void blob_release(struct flavour_blob *blob)
{
	descriptor_release(&blob->descriptor);
	free(blob->bytes);
}

static void document_release(struct flavour_document *document)
{
	descriptor_release(&document->descriptor);
	free(document->bytes);
	free(document->converted);
}

/* Back to what it held before. */
static void truncate_flavour(struct flavour *flavour, size_t document_count, size_t blob_count)
{
	while (flavour->document_count > document_count)
		document_release(&flavour->documents[--flavour->document_count]);
	while (flavour->blob_count > blob_count)
		blob_release(&flavour->blobs[--flavour->blob_count]);
}

/* One table for the mount, in the order of use. */
static void slot_free(struct flavour_slot *slot)
{
	truncate_flavour(&slot->flavour, 0, 0);
	free(slot->flavour.documents);
	free(slot->flavour.blobs);
	free(slot->key);
	free(slot);
}

void flavours_free(struct fs *fs)
{
	struct flavour_slot *slot, *next;

	HASH_ITER(hh, fs->flavours, slot, next)
	{
		HASH_DEL(fs->flavours, slot);
		slot_free(slot);
	}
}

/* --- conversion --- */

struct conversion {
	struct fs *fs;
	const char *repository;
	enum media_family family;
	struct need *need;
	struct flavour *into;
	size_t visits; /* entries looked at: one that cannot be said may be named many times */
};

static int convert(struct conversion *conversion, const struct descriptor *from, unsigned depth,
	struct descriptor *ret);

static int out_of_memory(struct conversion *conversion)
{
	return error_set(&conversion->need->err, ENOMEM, "out of memory");
}

/* Room for one more, doubling at powers of two; NULL when out of memory. */
static void *grow(void *array, size_t count, size_t size)
{
	return count & (count - 1) ? array : realloc(array, (count ? 2 * count : 1) * size);
}

/* Takes bytes (NULL: it is stored). */
static int add_blob(struct conversion *conversion, const struct descriptor *blob, char *bytes)
{
	struct flavour *into = conversion->into;
	struct flavour_blob *blobs;

	if (into->blob_count >= FLAVOUR_BLOBS_MAX) {
		free(bytes);
		return error_set(&conversion->need->err, EFBIG, "more than %d configs and layers",
			FLAVOUR_BLOBS_MAX);
	}
	blobs = grow(into->blobs, into->blob_count, sizeof *blobs);
	if (!blobs) {
		free(bytes);
		return out_of_memory(conversion);
	}
	into->blobs = blobs;
	blobs[into->blob_count] = (struct flavour_blob){ .bytes = bytes };
	return descriptor_copy(&blobs[into->blob_count++].descriptor, blob, &conversion->need->err);
}

static int add_layers(struct conversion *conversion, const struct image *image)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < image->layer_count; i++)
		rc = add_blob(conversion, &image->layers[i], NULL);
	return rc;
}

/* What an entry looks like when it points at the converted document. */
static int point_at(struct conversion *conversion, const struct descriptor *from,
	const struct digest *digest, uint64_t size, const char *media_type, struct descriptor *ret)
{
	struct descriptor copy = { 0 };
	char *type = strdup(media_type);
	int rc = descriptor_copy(&copy, from, &conversion->need->err);

	if (rc || !type) {
		free(type);
		descriptor_release(&copy);
		return rc ? rc : out_of_memory(conversion);
	}
	free(copy.media_type);
	copy.media_type = type;
	copy.digest = *digest;
	copy.size = size;
	*ret = copy;
	return 0;
}

/* Takes bytes (NULL: the source as it is) of that type; *ret is a copy of its descriptor. */
static int add_document(struct conversion *conversion, const struct descriptor *from, char *bytes,
	size_t len, const char *dropped, enum document_kind source_kind, const char *media_type,
	struct descriptor *ret)
{
	struct flavour *into = conversion->into;
	struct flavour_document *documents =
		grow(into->documents, into->document_count, sizeof *documents);
	struct flavour_document *document;
	struct digest digest = from->digest;
	char text[DIGEST_TEXT_MAX];
	int rc = 0;

	if (!documents) {
		free(bytes);
		return out_of_memory(conversion);
	}
	into->documents = documents;
	document = &documents[into->document_count++];
	*document = (struct flavour_document){ .source = from->digest, .bytes = bytes };
	if (bytes) {
		rc = digest_of(&digest, from->digest.algorithm, bytes, len, &conversion->need->err);
		if (!rc && asprintf(&document->converted, "from %s (%s); dropped: %s",
				   digest_format(&from->digest, text),
				   document_media_type(source_kind),
				   dropped && *dropped ? dropped : "nothing") < 0)
			rc = out_of_memory(conversion);
	}
	if (!rc)
		rc = point_at(conversion, from, &digest, len, media_type, &document->descriptor);
	return rc ? rc : descriptor_copy(ret, &document->descriptor, &conversion->need->err);
}

/* Schema 1 is Docker's as well, but not what docker/ holds. */
static bool is_of_family(enum document_kind kind, enum media_family family)
{
	const struct media_type *type = media_type_find(document_media_type(kind));

	return type->family == family && (type->role == ROLE_MANIFEST || type->role == ROLE_INDEX);
}

/* A manifest written in the family, with its layers; the config is the caller's. */
static int write_manifest(struct conversion *conversion, const struct descriptor *from,
	enum document_kind source_kind, const struct image *image, struct descriptor *ret)
{
	struct buf text, dropped;
	char *bytes;
	size_t len;
	int rc;

	buf_init(&text, DOCUMENT_MAX);
	buf_init(&dropped, FLAVOUR_TEXT_MAX);
	rc = image_write(image, conversion->family, &text, &dropped, &conversion->need->err);
	if (!rc)
		rc = add_layers(conversion, image);
	bytes = rc ? NULL : buf_take(&text, &len);
	if (!rc)
		rc = bytes ? add_document(conversion, from, bytes, len, dropped.data, source_kind,
				     media_type_name(ROLE_MANIFEST, conversion->family), ret)
			   : out_of_memory(conversion);
	buf_release(&text);
	buf_release(&dropped);
	return rc;
}

/* Schema 1 and V1: all layers have been read; *ret and *ret_config (the caller's) are schema 2. */
static int upgrade(struct conversion *conversion, const struct image *image, struct image *ret,
	char **ret_config, size_t *ret_len)
{
	CLEANUP(freep) struct layer_facts *facts = NULL;
	struct buf config;
	int rc = layer_facts_get(
		conversion->fs, conversion->repository, image, &facts, conversion->need);

	if (rc)
		return rc;
	buf_init(&config, DOCUMENT_MAX);
	rc = image_upgrade(ret, image, facts, &config, &conversion->need->err);
	*ret_config = rc ? NULL : buf_take(&config, ret_len);
	if (!rc && !*ret_config) {
		image_release(ret);
		rc = out_of_memory(conversion);
	}
	buf_release(&config);
	return rc;
}

static int convert_old_manifest(struct conversion *conversion, const struct descriptor *from,
	const struct document *document, struct descriptor *ret)
{
	struct image image = { 0 };
	char *config;
	size_t len;
	int rc = upgrade(conversion, &document->image, &image, &config, &len);

	if (rc)
		return rc;
	rc = add_blob(conversion, &image.config, config);
	if (!rc)
		rc = write_manifest(conversion, from, document->kind, &image, ret);
	image_release(&image);
	return rc;
}

static int convert_manifest(struct conversion *conversion, const struct descriptor *from,
	const struct document *document, struct descriptor *ret)
{
	const struct image *image = &document->image;
	int rc;

	if (image->v1_count)
		return convert_old_manifest(conversion, from, document, ret);
	rc = add_blob(conversion, &image->config, NULL);
	if (rc)
		return rc;
	if (!is_of_family(document->kind, conversion->family))
		return write_manifest(conversion, from, document->kind, image, ret);
	rc = add_layers(conversion, image);
	return rc ? rc
		  : add_document(conversion, from, NULL, document->len, NULL, document->kind,
			    document_media_type(document->kind), ret);
}

struct children {
	struct descriptor *entries;
	size_t count;
	bool has_changed;
	struct buf dropped;
};

static void note_dropped(struct children *children, const struct descriptor *entry)
{
	char text[DIGEST_TEXT_MAX];

	(void)buf_printf(&children->dropped, "%s%.19s", children->dropped.len ? ", " : "",
		digest_format(&entry->digest, text)); /* cut short when there are very many */
	children->has_changed = true;
}

/* A manifest list has no entry without a platform: the child's config knows it. */
static int complete_platform(
	struct conversion *conversion, const struct digest *child, struct descriptor *entry)
{
	const struct image *image;
	int rc;

	if (conversion->family != FAMILY_DOCKER || entry->has_platform ||
		media_type_find(entry->media_type)->role != ROLE_MANIFEST)
		return 0;
	rc = image_get(conversion->fs, conversion->repository, child, &image, conversion->need);
	if (rc == LOAD_PENDING || need_is_transient(conversion->need, rc))
		return rc;
	if (rc || !image->has_config)
		return 0; /* "unknown" will do */
	rc = platform_copy(&entry->platform, &image->parsed.platform, &conversion->need->err);
	entry->has_platform = !rc;
	return rc;
}

/* A child that cannot be had or said costs only itself.  In its own family it stays as it is: a
 * sparse index is allowed. */
static int convert_child(struct conversion *conversion, const struct descriptor *entry,
	bool is_same_family, unsigned depth, struct children *children)
{
	struct descriptor *converted = &children->entries[children->count];
	size_t document_count = conversion->into->document_count;
	size_t blob_count = conversion->into->blob_count;
	int rc;

	if (++conversion->visits > INDEX_ENTRIES_MAX)
		return error_set(&conversion->need->err, EFBIG,
			"more than %d entries in nested indexes", INDEX_ENTRIES_MAX);
	if (conversion->family == FAMILY_DOCKER && image_index_entry_is_attestation(entry, NULL)) {
		note_dropped(children, entry);
		return 0;
	}
	rc = convert(conversion, entry, depth, converted);
	if (rc == LOAD_PENDING || need_is_transient(conversion->need, rc))
		return rc;
	if (rc)
		truncate_flavour(conversion->into, document_count, blob_count);
	if (rc && is_same_family) {
		rc = descriptor_copy(converted, entry, &conversion->need->err);
	} else if (rc) {
		note_dropped(children, entry);
		return 0;
	} else if (!is_same_family) {
		rc = complete_platform(conversion, &entry->digest, converted);
		if (rc)
			descriptor_release(converted);
	}
	if (rc)
		return rc;
	children->has_changed |= !digest_equal(&converted->digest, &entry->digest);
	children->count++;
	return 0;
}

static int write_index(struct conversion *conversion, const struct descriptor *from,
	const struct document *document, struct children *children, struct descriptor *ret)
{
	struct buf text;
	char *bytes = NULL;
	size_t len = document->len;
	int rc = 0;

	if (document->index.entry_count && !children->count)
		return error_set(&conversion->need->err, EOPNOTSUPP,
			"nothing in this index can be said in that flavour");
	buf_init(&text, DOCUMENT_MAX);
	if (children->has_changed || !is_of_family(document->kind, conversion->family)) {
		rc = image_index_write(&document->index, conversion->family, children->entries,
			children->count, &text, &children->dropped, &conversion->need->err);
		bytes = rc ? NULL : buf_take(&text, &len);
		if (!rc && !bytes)
			rc = out_of_memory(conversion);
	}
	if (!rc)
		rc = add_document(conversion, from, bytes, len, children->dropped.data,
			document->kind, media_type_name(ROLE_INDEX, conversion->family), ret);
	buf_release(&text);
	return rc;
}

/* All children are asked for at once, and nothing is converted before they are there: a conversion
 * that ends half way is done again from its start. */
static int have_children(struct conversion *conversion, const struct image_index *index)
{
	const struct document *child;
	struct load *missing = NULL;

	for (size_t i = 0; i < index->entry_count; i++)
		if (manifest_get(conversion->fs, conversion->repository, &index->entries[i].digest,
			    &child, conversion->need) == LOAD_PENDING)
			missing = conversion->need->load;
	conversion->need->load = missing;
	return missing ? LOAD_PENDING : 0;
}

static int convert_index(struct conversion *conversion, const struct descriptor *from,
	const struct document *document, unsigned depth, struct descriptor *ret)
{
	const struct image_index *index = &document->index;
	bool is_same_family = is_of_family(document->kind, conversion->family);
	struct children children = { .entries = calloc(
					     index->entry_count + 1, sizeof(struct descriptor)) };
	int rc = children.entries ? have_children(conversion, index) : out_of_memory(conversion);

	buf_init(&children.dropped, FLAVOUR_TEXT_MAX);
	for (size_t i = 0; !rc && i < index->entry_count; i++)
		rc = convert_child(
			conversion, &index->entries[i], is_same_family, depth + 1, &children);
	if (!rc)
		rc = write_index(conversion, from, document, &children, ret);
	for (size_t i = 0; i < children.count; i++)
		descriptor_release(&children.entries[i]);
	free(children.entries);
	buf_release(&children.dropped);
	return rc;
}

/* Depth is bounded by INDEX_DEPTH_MAX, and with it a cycle. */
static int convert(struct conversion *conversion, const struct descriptor *from, unsigned depth,
	struct descriptor *ret)
{
	const struct document *document;
	int rc;

	if (depth >= INDEX_DEPTH_MAX)
		return error_set(&conversion->need->err, EFBIG, "indexes nested deeper than %d",
			INDEX_DEPTH_MAX);
	for (size_t i = 0; i < conversion->into->document_count; i++) { /* each only once */
		const struct flavour_document *done = &conversion->into->documents[i];

		if (digest_equal(&done->source, &from->digest))
			return point_at(conversion, from, &done->descriptor.digest,
				done->descriptor.size, done->descriptor.media_type, ret);
	}
	rc = manifest_get(
		conversion->fs, conversion->repository, &from->digest, &document, conversion->need);
	if (rc)
		return rc;
	if (document_is_index(document))
		return convert_index(conversion, from, document, depth, ret);
	return convert_manifest(conversion, from, document, ret);
}

static int compare_digests(const struct digest *a, const struct digest *b)
{
	return memcmp(a, b, sizeof *a);
}

static int compare_blobs(const void *a, const void *b)
{
	const struct flavour_blob *x = a, *y = b;

	return compare_digests(&x->descriptor.digest, &y->descriptor.digest);
}

/* Of two with one digest the one made here comes first, and stays. */
static int order_blobs(const void *a, const void *b)
{
	const struct flavour_blob *x = a, *y = b;
	int order = compare_blobs(a, b);

	return order ? order : !x->bytes - !y->bytes;
}

static void sort_blobs(struct flavour *flavour)
{
	size_t kept = 0;

	if (!flavour->blob_count)
		return;
	qsort(flavour->blobs, flavour->blob_count, sizeof *flavour->blobs, order_blobs);
	for (size_t i = 1; i < flavour->blob_count; i++) {
		if (!compare_blobs(&flavour->blobs[kept], &flavour->blobs[i]))
			blob_release(&flavour->blobs[i]);
		else
			flavour->blobs[++kept] = flavour->blobs[i];
	}
	flavour->blob_count = kept + 1;
}

/* Found, it is the one used last. */
static struct flavour_slot *find_slot(struct fs *fs, const char *key)
{
	struct flavour_slot *slot;

	HASH_FIND_STR(fs->flavours, key, slot);
	if (!slot)
		return NULL;
	HASH_DEL(fs->flavours, slot);
	HASH_ADD_KEYPTR(hh, fs->flavours, slot->key, strlen(slot->key), slot);
	if (HASH_HAS(hh, slot))
		return slot;
	fs->flavour_bytes -= slot->cost;
	slot_free(slot);
	return NULL; /* then it is made anew */
}

static size_t cost_of(const struct flavour *flavour)
{
	size_t cost = sizeof(struct flavour_slot) +
		      flavour->document_count * sizeof *flavour->documents +
		      flavour->blob_count * sizeof *flavour->blobs;

	for (size_t i = 0; i < flavour->document_count; i++)
		if (flavour->documents[i].bytes)
			cost += (size_t)flavour->documents[i].descriptor.size;
	for (size_t i = 0; i < flavour->blob_count; i++)
		if (flavour->blobs[i].bytes)
			cost += (size_t)flavour->blobs[i].descriptor.size;
	return cost;
}

/* The oldest go; an operation holds on to the newest alone. */
static void evict(struct fs *fs)
{
	struct flavour_slot *slot, *next;

	HASH_ITER(hh, fs->flavours, slot, next)
	{
		if (fs->flavour_bytes <= FLAVOURS_MAX || !next)
			break;
		fs->flavour_bytes -= slot->cost;
		HASH_DEL(fs->flavours, slot);
		slot_free(slot);
	}
}

/* Takes the conversion's result into the table; on failure nothing is left of it. */
static int keep_slot(
	struct fs *fs, struct flavour_slot *slot, char **key, int rc, struct need *need)
{
	if (rc) {
		slot_free(slot);
		return rc;
	}
	slot->flavour.top = slot->flavour.document_count - 1; /* bottom up: the whole is last */
	sort_blobs(&slot->flavour);
	slot->key = TAKE(*key);
	slot->cost = cost_of(&slot->flavour);
	fs->flavour_bytes += slot->cost;
	HASH_ADD_KEYPTR(hh, fs->flavours, slot->key, strlen(slot->key), slot);
	if (!HASH_HAS(hh, slot)) {
		fs->flavour_bytes -= slot->cost;
		slot_free(slot);
		return error_set(&need->err, ENOMEM, "out of memory");
	}
	evict(fs);
	return 0;
}

int flavour_get(struct fs *fs, const char *repository, const struct digest *digest,
	enum media_family family, const struct flavour **ret, struct need *need)
{
	struct descriptor whole = { .digest = *digest, .size = DESCRIPTOR_SIZE_UNKNOWN };
	struct descriptor top = { 0 };
	struct conversion conversion = { fs, repository, family, need, NULL, 0 };
	CLEANUP(freep) char *key = NULL;
	char text[DIGEST_TEXT_MAX];
	struct flavour_slot *slot;
	int rc;

	if (asprintf(&key, "%d %s@%s", family, repository, digest_format(digest, text)) < 0)
		return error_set(&need->err, ENOMEM, "out of memory");
	slot = find_slot(fs, key);
	if (!slot) {
		slot = calloc(1, sizeof *slot);
		if (!slot)
			return error_set(&need->err, ENOMEM, "out of memory");
		conversion.into = &slot->flavour;
		rc = keep_slot(fs, slot, &key, convert(&conversion, &whole, 0, &top), need);
		descriptor_release(&top);
		if (rc)
			return rc;
	}
	*ret = &slot->flavour;
	return 0;
}

int flavour_check(const struct image *image, enum media_family family, struct need *need)
{
	return image_check_expressible(image, family, &need->err);
}

/* --- schema 1 --- */

/* The one layer that no image stores: what schema 1 has for steps that changed no file. */
static int add_empty_layer(struct conversion *conversion, const struct image *image)
{
	struct descriptor descriptor = { 0 };
	bool is_needed = false;
	const void *bytes;
	char *copy;
	size_t len;

	for (size_t i = 0; i < image->parsed.history_count; i++)
		is_needed |= image->parsed.history[i].is_empty_layer;
	if (!is_needed)
		return 0;
	bytes = schema1_empty_layer(&len, &descriptor.digest);
	descriptor.size = len;
	copy = malloc(len);
	if (!copy)
		return out_of_memory(conversion);
	memcpy(copy, bytes, len);
	return add_blob(conversion, &descriptor, copy);
}

static int write_schema1(struct conversion *conversion, const struct place *place,
	const struct descriptor *from, const struct document *document, const struct image *image,
	const char *config, size_t config_len)
{
	const char *type =
		media_type_find("application/vnd.docker.distribution.manifest.v1+json")->name;
	struct descriptor top = { 0 };
	struct buf text;
	char *bytes;
	size_t len;
	int rc;

	buf_init(&text, DOCUMENT_MAX);
	rc = schema1_write(image, config, config_len, place->repository,
		place->tag ? place->tag : "", &text, &conversion->need->err);
	if (!rc)
		rc = add_empty_layer(conversion, image);
	if (!rc)
		rc = add_layers(conversion, image);
	bytes = rc ? NULL : buf_take(&text, &len);
	if (!rc)
		rc = bytes ? add_document(conversion, from, bytes, len,
				     "media types, sizes, annotations", document->kind, type, &top)
			   : out_of_memory(conversion);
	descriptor_release(&top);
	buf_release(&text);
	return rc;
}

/* All that the manifest names, throwaway or not. */
static int add_fs_layers(struct conversion *conversion, const struct image *image)
{
	int rc = add_empty_layer(conversion, image);

	for (size_t i = 0; !rc && i < image->v1_count; i++) {
		struct descriptor layer = { .digest = image->v1[i].blob,
			.size = DESCRIPTOR_SIZE_UNKNOWN };

		rc = add_blob(conversion, &layer, NULL);
	}
	return rc;
}

/* V1 by way of schema 2, which finds what the layers are. */
static int old_to_schema1(struct conversion *conversion, const struct place *place,
	const struct descriptor *from, const struct document *document)
{
	CLEANUP(freep) char *config = NULL;
	struct descriptor top = { 0 };
	struct image image = { 0 };
	size_t len;
	int rc;

	if (document->kind == DOCUMENT_SCHEMA1) { /* as it is, signatures and all */
		rc = add_fs_layers(conversion, &document->image);
		if (!rc)
			rc = add_document(conversion, from, NULL, document->len, NULL,
				document->kind, document_media_type(document->kind), &top);
		descriptor_release(&top);
		return rc;
	}
	rc = upgrade(conversion, &document->image, &image, &config, &len);
	if (rc)
		return rc;
	rc = write_schema1(conversion, place, from, document, &image, config, len);
	image_release(&image);
	return rc;
}

static int to_schema1(
	struct conversion *conversion, const struct place *place, const struct digest *manifest)
{
	struct descriptor from = { .digest = *manifest, .size = DESCRIPTOR_SIZE_UNKNOWN };
	const struct document *document, *config;
	const struct image *image;
	int rc;

	rc = image_get(conversion->fs, place->repository, manifest, &image, conversion->need);
	if (!rc)
		rc = manifest_get(
			conversion->fs, place->repository, manifest, &document, conversion->need);
	if (rc)
		return rc;
	if (image->v1_count)
		return old_to_schema1(conversion, place, &from, document);
	if (image->is_artifact)
		return error_set(&conversion->need->err, EOPNOTSUPP,
			"an artifact cannot be written as schema 1");
	rc = small_blob_get(
		conversion->fs, place->repository, &image->config, &config, conversion->need);
	return rc ? rc
		  : write_schema1(
			    conversion, place, &from, document, image, config->bytes, config->len);
}

int schema1_flavour_get(struct fs *fs, const struct place *place, const struct digest *manifest,
	const struct flavour **ret, struct need *need)
{
	struct conversion conversion = { fs, place->repository, FAMILY_DOCKER, need, NULL, 0 };
	CLEANUP(freep) char *key = NULL;
	char text[DIGEST_TEXT_MAX];
	struct flavour_slot *slot;
	int rc;

	if (asprintf(&key, "schema1 %s:%s@%s", place->repository, place->tag ? place->tag : "",
		    digest_format(manifest, text)) < 0)
		return error_set(&need->err, ENOMEM, "out of memory");
	slot = find_slot(fs, key);
	if (!slot) {
		slot = calloc(1, sizeof *slot);
		if (!slot)
			return error_set(&need->err, ENOMEM, "out of memory");
		conversion.into = &slot->flavour;
		rc = keep_slot(fs, slot, &key, to_schema1(&conversion, place, manifest), need);
		if (rc)
			return rc;
	}
	*ret = &slot->flavour;
	return 0;
}

int flavour_document_bytes(struct fs *fs, const char *repository,
	const struct flavour_document *document, const char **ret, size_t *ret_len,
	struct need *need)
{
	const struct document *stored;
	int rc;

	if (document->bytes) {
		*ret = document->bytes;
		*ret_len = (size_t)document->descriptor.size;
		return 0;
	}
	rc = manifest_raw_get(fs, repository, &document->source, &stored, need);
	if (!rc) {
		*ret = stored->bytes;
		*ret_len = stored->len;
	}
	return rc;
}

/* --- entries --- */

int entry_flavour_document(struct fs *fs, const char *repository,
	const struct flavour_document *document, struct fuse_entry_param *ret, struct need *need)
{
	if (!document->bytes)
		return entry_blob(fs, repository, &document->descriptor, true, ret, need);
	return entry_generated(fs, &document->descriptor.digest, document->bytes,
		(size_t)document->descriptor.size, document->converted, ret, need);
}

int entry_flavour_blob(struct fs *fs, const char *repository, const struct flavour_blob *blob,
	struct fuse_entry_param *ret, struct need *need)
{
	const struct descriptor *descriptor = &blob->descriptor;

	if (!blob->bytes)
		return entry_blob(fs, repository, descriptor, false, ret, need);
	return entry_generated(fs, &descriptor->digest, blob->bytes, (size_t)descriptor->size,
		"made for the manifest that names it", ret, need);
}

enum media_family manifest_family(const struct fs *fs)
{
	switch (fs->options->manifest) {
	case MANIFEST_RAW:
		return FAMILY_OTHER;
	case MANIFEST_OCI:
		return FAMILY_OCI;
	case MANIFEST_DOCKER:
		return FAMILY_DOCKER;
	}
	return FAMILY_OTHER;
}

int entry_raw_manifest(struct fs *fs, const char *repository, const struct digest *digest,
	struct fuse_entry_param *ret, struct need *need)
{
	struct descriptor raw = { .digest = *digest };
	const struct document *document;
	int rc = manifest_raw_get(fs, repository, digest, &document, need);

	if (rc == -ENOENT) /* somebody named it: it is missing, not unknown */
		return error_prefix(&need->err, -EIO, "a manifest that should be there");
	if (rc)
		return rc;
	raw.size = document->len;
	raw.media_type = (char *)document_media_type(document->kind); /* only copied from */
	return entry_blob(fs, repository, &raw, true, ret, need);
}

int entry_manifest(struct fs *fs, const char *repository, const struct digest *digest,
	struct fuse_entry_param *ret, struct need *need)
{
	enum media_family family = manifest_family(fs);
	const struct flavour *flavour;
	int rc;

	if (family == FAMILY_OTHER)
		return entry_raw_manifest(fs, repository, digest, ret, need);
	rc = flavour_get(fs, repository, digest, family, &flavour, need);
	return rc ? rc
		  : entry_flavour_document(
			    fs, repository, &flavour->documents[flavour->top], ret, need);
}

static int place_flavour(
	struct fs *fs, struct node *dir, const struct flavour **ret, struct need *need)
{
	const struct place *place = &dir->place;
	bool is_whole = !digest_is_set(&place->manifest);

	if (dir->view == &view_schema1)
		return schema1_flavour_get(
			fs, place, is_whole ? &place->image : &place->manifest, ret, need);

	return flavour_get(fs, place->repository, is_whole ? &place->image : &place->manifest,
		place->family, ret, need);
}

const struct flavour_blob *flavour_find_blob(
	const struct flavour *flavour, const struct digest *digest)
{
	struct flavour_blob key = { .descriptor.digest = *digest };

	return flavour->blob_count ? bsearch(&key, flavour->blobs, flavour->blob_count, sizeof key,
					     compare_blobs)
				   : NULL;
}

static const struct flavour_document *find_document(
	const struct flavour *flavour, const struct digest *digest)
{
	for (size_t i = 0; i < flavour->document_count; i++)
		if (digest_equal(&flavour->documents[i].descriptor.digest, digest))
			return &flavour->documents[i];
	return NULL;
}

static int entry_fixed(struct fs *fs, struct node *dir, const char *name, const char *text,
	struct fuse_entry_param *ret, struct need *need)
{
	struct buf content;

	buf_init(&content, strlen(text));
	(void)buf_append_text(&content, text);
	return entry_file(fs, dir, name, &content, CONTENT_TIMEOUT_S, ret, need);
}

/* Of the directory: what the whole became, and from what. */
static int flavour_xattr(
	struct fs *fs, struct node *node, const char *name, struct buf *ret, struct need *need)
{
	const struct flavour_document *top;
	const struct flavour *flavour;
	char text[DIGEST_TEXT_MAX];
	int rc;

	if (strcmp(name, "digest") && strcmp(name, "converted"))
		return -ENODATA;
	rc = place_flavour(fs, node, &flavour, need);
	if (rc)
		return rc;
	top = &flavour->documents[flavour->top];
	if (!strcmp(name, "digest"))
		return buf_append_text(ret, digest_format(&top->descriptor.digest, text));
	return top->converted ? buf_append_text(ret, top->converted) : -ENODATA;
}

/* --- oci/ --- */

static int lookup_index(struct fs *fs, struct node *dir, const struct flavour *flavour,
	struct fuse_entry_param *ret, struct need *need)
{
	struct buf content;
	int rc;

	buf_init(&content, DOCUMENT_MAX);
	rc = layout_index_write(
		&flavour->documents[flavour->top].descriptor, dir->place.tag, &content, &need->err);
	if (rc) {
		buf_release(&content);
		return rc;
	}
	return entry_file(fs, dir, "index.json", &content, CONTENT_TIMEOUT_S, ret, need);
}

static int oci_lookup(struct fs *fs, struct node *dir, const char *name,
	struct fuse_entry_param *ret, struct need *need)
{
	const struct flavour *flavour;
	int rc;

	if (!strcmp(name, "oci-layout"))
		return entry_fixed(fs, dir, name, "{\"imageLayoutVersion\":\"1.0.0\"}", ret, need);
	if (!strcmp(name, "blobs"))
		return entry_directory(
			fs, dir, name, &view_oci_blobs, &dir->place, CONTENT_TIMEOUT_S, ret);
	if (strcmp(name, "index.json") && strcmp(name, "manifest.json"))
		return no_such_file(need, name);
	rc = place_flavour(fs, dir, &flavour, need);
	if (rc)
		return rc;
	if (!strcmp(name, "index.json"))
		return lookup_index(fs, dir, flavour, ret, need);
	if (!digest_is_set(&dir->place.manifest))
		return no_such_file(need, name); /* the whole may be an index */
	return entry_flavour_document(
		fs, dir->place.repository, &flavour->documents[flavour->top], ret, need);
}

static int oci_list(struct fs *fs, struct node *dir, struct listing *ret, struct need *need)
{
	int rc = listing_add(ret, "blobs", S_IFDIR, 0);

	(void)fs;
	(void)need;
	if (!rc)
		rc = listing_add(ret, "index.json", S_IFREG, 0);
	if (!rc && digest_is_set(&dir->place.manifest))
		rc = listing_add(ret, "manifest.json", S_IFREG, 0);
	return rc ? rc : listing_add(ret, "oci-layout", S_IFREG, 0);
}

const struct view view_oci = { .name = "oci",
	.type = S_IFDIR,
	.lookup = oci_lookup,
	.list = oci_list,
	.xattr = flavour_xattr };

static int oci_blobs_lookup(struct fs *fs, struct node *dir, const char *name,
	struct fuse_entry_param *ret, struct need *need)
{
	const struct flavour_document *document;
	const struct flavour_blob *blob;
	const struct flavour *flavour;
	struct place place = dir->place;
	struct digest digest;
	int rc;

	if (!place.algorithm) {
		place.algorithm = algorithm_named(name);
		return place.algorithm ? entry_directory(fs, dir, name, &view_oci_blobs, &place,
						 CONTENT_TIMEOUT_S, ret)
				       : no_such_file(need, name);
	}
	if (digest_parse_parts(&digest, digest_algorithm_name(place.algorithm), name, NULL))
		return no_such_file(need, name);
	rc = place_flavour(fs, dir, &flavour, need);
	if (rc)
		return rc;
	document = find_document(flavour, &digest);
	if (document)
		return entry_flavour_document(fs, place.repository, document, ret, need);
	blob = flavour_find_blob(flavour, &digest);
	return blob ? entry_flavour_blob(fs, place.repository, blob, ret, need)
		    : no_such_file(need, name);
}

static int oci_blobs_list(struct fs *fs, struct node *dir, struct listing *ret, struct need *need)
{
	enum digest_algorithm algorithm = dir->place.algorithm;
	bool has_sha512 = false;
	const struct flavour *flavour;
	char hex[DIGEST_HEX_MAX];
	int rc = place_flavour(fs, dir, &flavour, need);

	for (size_t i = 0; !rc && i < flavour->document_count + flavour->blob_count; i++) {
		const struct digest *digest =
			i < flavour->document_count
				? &flavour->documents[i].descriptor.digest
				: &flavour->blobs[i - flavour->document_count].descriptor.digest;

		has_sha512 |= digest->algorithm == DIGEST_SHA512;
		if (algorithm && digest->algorithm == algorithm)
			rc = listing_add(ret, digest_hex(digest, hex), S_IFREG, 0);
	}
	if (!rc && !algorithm)
		rc = listing_add(ret, "sha256", S_IFDIR, 0);
	if (!rc && !algorithm && has_sha512)
		rc = listing_add(ret, "sha512", S_IFDIR, 0);
	return rc;
}

const struct view view_oci_blobs = {
	.name = "blobs", .type = S_IFDIR, .lookup = oci_blobs_lookup, .list = oci_blobs_list
};

/* --- docker/ --- */

static const char child_suffix[] = ".manifest.json";

/* "HEX", of either algorithm by its length. */
static int parse_hex(struct digest *ret, const char *hex)
{
	return digest_parse_parts(ret, strlen(hex) == 128 ? "sha512" : "sha256", hex, NULL);
}

static int docker_lookup(struct fs *fs, struct node *dir, const char *name,
	struct fuse_entry_param *ret, struct need *need)
{
	const struct flavour_document *document = NULL;
	const struct flavour_blob *blob;
	const struct flavour *flavour;
	CLEANUP(freep) char *hex = NULL;
	struct digest digest;
	size_t len = strlen(name);
	bool is_child = len > sizeof child_suffix - 1 &&
			!strcmp(name + len - (sizeof child_suffix - 1), child_suffix);
	int rc;

	if (!strcmp(name, "version"))
		return entry_fixed(fs, dir, name, "Directory Transport Version: 1.1\n", ret, need);
	hex = strndup(name, is_child ? len - (sizeof child_suffix - 1) : len);
	if (!hex)
		return error_set(&need->err, ENOMEM, "out of memory");
	if (strcmp(name, "manifest.json") && parse_hex(&digest, hex))
		return no_such_file(need, name);
	rc = place_flavour(fs, dir, &flavour, need);
	if (rc)
		return rc;
	if (!strcmp(name, "manifest.json"))
		document = &flavour->documents[flavour->top];
	else if (is_child)
		document = find_document(flavour, &digest);
	if (document)
		return entry_flavour_document(fs, dir->place.repository, document, ret, need);
	blob = is_child ? NULL : flavour_find_blob(flavour, &digest);
	return blob ? entry_flavour_blob(fs, dir->place.repository, blob, ret, need)
		    : no_such_file(need, name);
}

static int docker_list(struct fs *fs, struct node *dir, struct listing *ret, struct need *need)
{
	char name[DIGEST_HEX_MAX + sizeof child_suffix];
	const struct flavour *flavour;
	char hex[DIGEST_HEX_MAX];
	int rc = place_flavour(fs, dir, &flavour, need);

	for (size_t i = 0; !rc && i < flavour->blob_count; i++)
		rc = listing_add(
			ret, digest_hex(&flavour->blobs[i].descriptor.digest, hex), S_IFREG, 0);
	for (size_t i = 0; !rc && i < flavour->document_count; i++) {
		if (i == flavour->top)
			continue;
		(void)snprintf(name, sizeof name, "%s%s",
			digest_hex(&flavour->documents[i].descriptor.digest, hex), child_suffix);
		rc = listing_add(ret, name, S_IFREG, 0);
	}
	if (!rc)
		rc = listing_add(ret, "manifest.json", S_IFREG, 0);
	return rc ? rc : listing_add(ret, "version", S_IFREG, 0);
}

const struct view view_docker = { .name = "docker",
	.type = S_IFDIR,
	.lookup = docker_lookup,
	.list = docker_list,
	.xattr = flavour_xattr };

const struct view view_schema1 = { .name = "schema1",
	.type = S_IFDIR,
	.lookup = docker_lookup,
	.list = docker_list,
	.xattr = flavour_xattr };
