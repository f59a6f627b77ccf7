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
 */
#include "fs/views.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <uthash.h>

#include "fs/spaces.h"
#include "model/cleanup.h"

enum { FLAVOUR_TEXT_MAX = 4096 }; /* bytes of one "converted" attribute */

struct flavour_slot {
	struct flavour flavour;
	char *key;
	UT_hash_handle hh;
};

/* One table for the mount; entries stay, they are small: converted manifests and descriptors. */
static void slot_free(struct flavour_slot *slot)
{
	for (size_t i = 0; i < slot->flavour.document_count; i++) {
		descriptor_release(&slot->flavour.documents[i].descriptor);
		free(slot->flavour.documents[i].bytes);
		free(slot->flavour.documents[i].converted);
	}
	free(slot->flavour.documents);
	for (size_t i = 0; i < slot->flavour.blob_count; i++)
		descriptor_release(&slot->flavour.blobs[i]);
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

static int add_blob(struct conversion *conversion, const struct descriptor *blob)
{
	struct flavour *into = conversion->into;
	struct descriptor *blobs = grow(into->blobs, into->blob_count, sizeof *blobs);

	if (!blobs)
		return out_of_memory(conversion);
	into->blobs = blobs;
	blobs[into->blob_count] = (struct descriptor){ 0 };
	return descriptor_copy(&blobs[into->blob_count++], blob, &conversion->need->err);
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

/* Takes bytes (NULL: the source as it is); *ret is a copy of its descriptor. */
static int add_document(struct conversion *conversion, const struct descriptor *from, char *bytes,
	size_t len, const char *dropped, enum document_kind source_kind, struct descriptor *ret)
{
	struct flavour *into = conversion->into;
	struct flavour_document *documents =
		grow(into->documents, into->document_count, sizeof *documents);
	struct flavour_document *document;
	const struct media_type *type = media_type_find(document_media_type(source_kind));
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
				   digest_format(&from->digest, text), type->name,
				   dropped && *dropped ? dropped : "nothing") < 0)
			rc = out_of_memory(conversion);
	}
	if (!rc)
		rc = point_at(conversion, from, &digest, len,
			media_type_in(type, conversion->family), &document->descriptor);
	return rc ? rc : descriptor_copy(ret, &document->descriptor, &conversion->need->err);
}

static bool is_of_family(enum document_kind kind, enum media_family family)
{
	return media_type_find(document_media_type(kind))->family == family;
}

static int convert_manifest(struct conversion *conversion, const struct descriptor *from,
	const struct document *document, struct descriptor *ret)
{
	const struct image *image = &document->image;
	struct buf text, dropped;
	char *bytes = NULL;
	size_t len = document->len;
	int rc = 0;

	buf_init(&text, DOCUMENT_MAX);
	buf_init(&dropped, FLAVOUR_TEXT_MAX);
	if (!is_of_family(document->kind, conversion->family)) {
		rc = image_write(
			image, conversion->family, &text, &dropped, &conversion->need->err);
		bytes = rc ? NULL : buf_take(&text, &len);
		if (!rc && !bytes)
			rc = out_of_memory(conversion);
	}
	if (!rc)
		rc = add_blob(conversion, &image->config);
	for (size_t i = 0; !rc && i < image->layer_count; i++)
		rc = add_blob(conversion, &image->layers[i]);
	if (!rc)
		rc = add_document(
			conversion, from, TAKE(bytes), len, dropped.data, document->kind, ret);
	free(bytes);
	buf_release(&text);
	buf_release(&dropped);
	return rc;
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

/* A child that cannot be had or said costs only itself.  In its own family it stays as it is: a
 * sparse index is allowed. */
static int convert_child(struct conversion *conversion, const struct descriptor *entry,
	bool is_same_family, unsigned depth, struct children *children)
{
	struct descriptor *converted = &children->entries[children->count];
	int rc;

	if (conversion->family == FAMILY_DOCKER && image_index_entry_is_attestation(entry, NULL)) {
		note_dropped(children, entry);
		return 0;
	}
	rc = convert(conversion, entry, depth, converted);
	if (rc == LOAD_PENDING || load_is_transient(rc))
		return rc;
	if (rc && is_same_family)
		rc = descriptor_copy(converted, entry, &conversion->need->err);
	else if (rc) {
		note_dropped(children, entry);
		return 0;
	}
	children->has_changed |= !digest_equal(&converted->digest, &entry->digest);
	children->count += !rc;
	return rc;
}

static int write_index(struct conversion *conversion, const struct descriptor *from,
	const struct document *document, struct children *children, struct descriptor *ret)
{
	struct buf text;
	char *bytes = NULL;
	size_t len = document->len;
	int rc = 0;

	buf_init(&text, DOCUMENT_MAX);
	if (children->has_changed || !is_of_family(document->kind, conversion->family)) {
		rc = image_index_write(&document->index, conversion->family, children->entries,
			children->count, &text, &children->dropped, &conversion->need->err);
		bytes = rc ? NULL : buf_take(&text, &len);
		if (!rc && !bytes)
			rc = out_of_memory(conversion);
	}
	if (!rc)
		rc = add_document(
			conversion, from, bytes, len, children->dropped.data, document->kind, ret);
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

	if (depth >= INDEX_DEPTH_MAX || conversion->into->document_count >= INDEX_ENTRIES_MAX)
		return error_set(&conversion->need->err, EFBIG,
			"indexes nested deeper than %d, or more than %d manifests", INDEX_DEPTH_MAX,
			INDEX_ENTRIES_MAX);
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
	if (document->kind == DOCUMENT_OCI_INDEX || document->kind == DOCUMENT_DOCKER_LIST)
		return convert_index(conversion, from, document, depth, ret);
	return convert_manifest(conversion, from, document, ret);
}

static int compare_digests(const struct digest *a, const struct digest *b)
{
	return memcmp(a, b, sizeof *a);
}

static int compare_blobs(const void *a, const void *b)
{
	return compare_digests(
		&((const struct descriptor *)a)->digest, &((const struct descriptor *)b)->digest);
}

static void sort_blobs(struct flavour *flavour)
{
	size_t kept = 0;

	if (!flavour->blob_count)
		return;
	qsort(flavour->blobs, flavour->blob_count, sizeof *flavour->blobs, compare_blobs);
	for (size_t i = 1; i < flavour->blob_count; i++) {
		if (digest_equal(&flavour->blobs[kept].digest, &flavour->blobs[i].digest))
			descriptor_release(&flavour->blobs[i]);
		else
			flavour->blobs[++kept] = flavour->blobs[i];
	}
	flavour->blob_count = kept + 1;
}

int flavour_get(struct fs *fs, const char *repository, const struct digest *digest,
	enum media_family family, const struct flavour **ret, struct need *need)
{
	struct descriptor whole = { .digest = *digest, .size = DESCRIPTOR_SIZE_UNKNOWN };
	struct descriptor top = { 0 };
	struct conversion conversion = { fs, repository, family, need, NULL };
	CLEANUP(freep) char *key = NULL;
	char text[DIGEST_TEXT_MAX];
	struct flavour_slot *slot;
	int rc;

	if (asprintf(&key, "%d %s@%s", family, repository, digest_format(digest, text)) < 0)
		return error_set(&need->err, ENOMEM, "out of memory");
	HASH_FIND_STR(fs->flavours, key, slot);
	if (!slot) {
		slot = calloc(1, sizeof *slot);
		if (!slot)
			return error_set(&need->err, ENOMEM, "out of memory");
		conversion.into = &slot->flavour;
		rc = convert(&conversion, &whole, 0, &top);
		descriptor_release(&top);
		if (rc) {
			slot_free(slot);
			return rc;
		}
		slot->flavour.top =
			slot->flavour.document_count - 1; /* bottom up: the whole is last */
		sort_blobs(&slot->flavour);
		slot->key = TAKE(key);
		HASH_ADD_KEYPTR(hh, fs->flavours, slot->key, strlen(slot->key), slot);
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

static int entry_document(struct fs *fs, const char *repository,
	const struct flavour_document *document, struct fuse_entry_param *ret, struct need *need)
{
	if (!document->bytes)
		return entry_blob(fs, repository, &document->descriptor, true, ret, need);
	return entry_generated(fs, &document->descriptor.digest, document->bytes,
		(size_t)document->descriptor.size, document->converted, ret, need);
}

int entry_manifest(struct fs *fs, const char *repository, const struct digest *digest,
	struct fuse_entry_param *ret, struct need *need)
{
	const struct document *document;
	const struct flavour *flavour;
	struct descriptor raw = { .digest = *digest };
	int rc;

	if (fs->options->manifest != MANIFEST_RAW) {
		rc = flavour_get(fs, repository, digest,
			fs->options->manifest == MANIFEST_OCI ? FAMILY_OCI : FAMILY_DOCKER,
			&flavour, need);
		return rc ? rc
			  : entry_document(
				    fs, repository, &flavour->documents[flavour->top], ret, need);
	}
	rc = manifest_raw_get(fs, repository, digest, &document, need);
	if (rc == -ENOENT) /* somebody named it: it is missing, not unknown */
		return error_prefix(&need->err, -EIO, "a manifest that should be there");
	if (rc)
		return rc;
	raw.size = document->len;
	raw.media_type = (char *)document_media_type(document->kind); /* only copied from */
	return entry_blob(fs, repository, &raw, true, ret, need);
}

static int place_flavour(
	struct fs *fs, struct node *dir, const struct flavour **ret, struct need *need)
{
	const struct place *place = &dir->place;
	bool is_whole = !digest_is_set(&place->manifest);

	return flavour_get(fs, place->repository, is_whole ? &place->image : &place->manifest,
		place->family, ret, need);
}

const struct descriptor *flavour_find_blob(
	const struct flavour *flavour, const struct digest *digest)
{
	struct descriptor key = { .digest = *digest };

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
	return entry_document(
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

const struct view view_oci = {
	.name = "oci", .type = S_IFDIR, .lookup = oci_lookup, .list = oci_list
};

static int oci_blobs_lookup(struct fs *fs, struct node *dir, const char *name,
	struct fuse_entry_param *ret, struct need *need)
{
	const struct flavour_document *document;
	const struct descriptor *blob;
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
		return entry_document(fs, place.repository, document, ret, need);
	blob = flavour_find_blob(flavour, &digest);
	return blob ? entry_blob(fs, place.repository, blob, false, ret, need)
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
				: &flavour->blobs[i - flavour->document_count].digest;

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
	const struct descriptor *blob;
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
		return entry_document(fs, dir->place.repository, document, ret, need);
	blob = is_child ? NULL : flavour_find_blob(flavour, &digest);
	return blob ? entry_blob(fs, dir->place.repository, blob, false, ret, need)
		    : no_such_file(need, name);
}

static int docker_list(struct fs *fs, struct node *dir, struct listing *ret, struct need *need)
{
	char name[DIGEST_HEX_MAX + sizeof child_suffix];
	const struct flavour *flavour;
	char hex[DIGEST_HEX_MAX];
	int rc = place_flavour(fs, dir, &flavour, need);

	for (size_t i = 0; !rc && i < flavour->blob_count; i++)
		rc = listing_add(ret, digest_hex(&flavour->blobs[i].digest, hex), S_IFREG, 0);
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

const struct view view_docker = {
	.name = "docker", .type = S_IFDIR, .lookup = docker_lookup, .list = docker_list
};
