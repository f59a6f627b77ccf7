/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which names lead to an entry: refs name manifests, and manifests that are here name the rest.
 * Mostly each manifest has a ref for its tag and one for its digest; the latter is told only where
 * there is no tag.
 */
#include "fs/cache_list.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fetch/reader.h"
#include "fs/control.h"
#include "fs/hash.h"
#include "fs/log.h"
#include "model/buf.h"
#include "model/cleanup.h"
#include "model/image.h"

enum { NAMES_SHOWN = 3 };

struct name {
	char *text;
	char *media_type; /* of what it names, or NULL */
	struct digest digest;
	bool is_tag;
};

/* A digest, what is here of it, and what leads to it. */
struct node {
	struct digest digest;
	const struct cache_entry *blob; /* NULL: not here */
	const struct name **names;
	size_t name_count;
	bool was_read;      /* as a document: the rest is set */
	bool are_documents; /* what it names, too */
	struct digest *children;
	size_t child_count;
	UT_hash_handle hh;
};

struct listing {
	struct cache *cache;
	struct cache_entry *entries;
	size_t entry_count;
	struct name *names;
	size_t name_count;
	struct node *nodes;
	bool is_cut; /* out of memory */
	int rc;      /* why a blob that can be read was not, or 0 */
};

static void listing_release(struct listing *listing)
{
	struct node *node, *next;

	HASH_ITER(hh, listing->nodes, node, next)
	{
		HASH_DEL(listing->nodes, node);
		free(node->names);
		free(node->children);
		free(node);
	}
	for (size_t i = 0; i < listing->name_count; i++) {
		free(listing->names[i].text);
		free(listing->names[i].media_type);
	}
	free(listing->names);
	free(listing->entries);
}

/* Room for one more behind count, which is full at powers of two; NULL: out of memory. */
static void *grow(void *array, size_t size, size_t count)
{
	return count & (count - 1) ? array : reallocarray(array, count ? count * 2 : 1, size);
}

/* --- names --- */

static char *name_of(const struct cache_record *record)
{
	struct digest digest;
	char *text;
	int n;

	if (!strcmp(record->host, "archive")) /* fetch/bundle: the tag tells what the file was */
		return strdup(record->repository);
	if (!strcmp(record->host, "docker-daemon")) /* fetch/daemon: an image's id */
		n = asprintf(&text, "%s:%.*s", record->host, DIGEST_SHORT, record->repository);
	else
		n = asprintf(&text, "%s%s%s%c%s", record->host, *record->host ? "/" : "",
			record->repository, digest_parse(&digest, record->tag, NULL) ? ':' : '@',
			record->tag);
	return n < 0 ? NULL : text;
}

/* cache_record_fn */
static void add_name(const struct cache_record *record, void *context)
{
	struct listing *listing = context;
	struct name *names;

	if (record->is_damaged || !record->tag)
		return;
	names = grow(listing->names, sizeof *names, listing->name_count);
	listing->is_cut |= !names;
	if (!names)
		return;
	listing->names = names;
	names += listing->name_count;
	*names = (struct name){
		.text = name_of(record),
		.media_type = record->media_type ? strdup(record->media_type) : NULL,
		.digest = record->digest,
		.is_tag = !strchr(record->tag, ':'), /* a digest, or a layer's id */
	};
	listing->is_cut |= !names->text || (record->media_type && !names->media_type);
	if (names->text)
		listing->name_count++;
	else
		free(names->media_type);
}

/* --- documents --- */

static struct node *node_get(struct listing *listing, const struct digest *digest)
{
	struct node *node;

	HASH_FIND(hh, listing->nodes, digest, sizeof *digest, node);
	if (node)
		return node;
	node = calloc(1, sizeof *node);
	listing->is_cut |= !node;
	if (!node)
		return NULL;
	node->digest = *digest;
	HASH_ADD(hh, listing->nodes, digest, sizeof node->digest, node);
	if (HASH_HAS(hh, node))
		return node;
	listing->is_cut = true;
	free(node);
	return NULL;
}

static void add_child(struct listing *listing, struct node *node, const struct digest *digest)
{
	struct digest *children;

	if (!digest_is_set(digest))
		return;
	children = grow(node->children, sizeof *children, node->child_count);
	listing->is_cut |= !children;
	if (!children)
		return;
	node->children = children;
	children[node->child_count++] = *digest;
}

static int read_children(struct listing *listing, struct node *node, enum document_kind kind,
	const struct buf *bytes)
{
	struct image_index idx;
	struct image image;
	int rc;

	node->are_documents = kind == DOCUMENT_OCI_INDEX || kind == DOCUMENT_DOCKER_LIST;
	if (node->are_documents) {
		rc = image_index_parse(&idx, kind, bytes->data, bytes->len, NULL);
		if (rc)
			return rc;
		for (size_t i = 0; i < idx.entry_count; i++)
			add_child(listing, node, &idx.entries[i].digest);
		image_index_release(&idx);
		return 0;
	}
	rc = image_parse(&image, kind, bytes->data, bytes->len, NULL);
	if (rc)
		return rc;
	add_child(listing, node, &image.config.digest);
	for (size_t i = 0; i < image.layer_count; i++)
		add_child(listing, node, &image.layers[i].digest);
	image_release(&image);
	return 0;
}

/* One blob that cannot be read is told, and costs only what it would have told. */
static void could_not_read(
	struct listing *listing, const struct node *node, int rc, const struct error *err)
{
	char name[CACHE_ENTRY_NAME_MAX], line[LOG_LINE_MAX];

	if (rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE) {
		listing->rc = rc;
		return;
	}
	log_escape(err->text, line, sizeof line);
	(void)fprintf(stderr, "imgfs: %s: %s\n", cache_entry_name(node->blob, name), line);
}

/* Of what cannot be read, which is told, or is no manifest, nothing is known. */
static void read_document(struct listing *listing, struct node *node, const char *media_type)
{
	CLEANUP(buf_release) struct buf bytes = { .max = DOCUMENT_MAX };
	CLEANUP(readerp) struct reader *reader = NULL;
	struct error err = { "" };
	enum document_kind kind;
	int rc;

	if (node->was_read || !node->blob || node->blob->size > DOCUMENT_MAX)
		return;
	node->was_read = true;
	rc = cache_entry_open(listing->cache, node->blob, &err);
	if (rc >= 0)
		rc = reader_of_copy(&reader, rc, &err);
	if (!rc)
		rc = reader_append_to(reader, &bytes, &err);
	if (rc && rc != -ENOENT) /* evicted meanwhile */
		could_not_read(listing, node, rc, &err);
	if (rc || !bytes.len)
		return;
	rc = document_kind(&kind, media_type, bytes.data, bytes.len, NULL);
	if (!rc)
		rc = read_children(listing, node, kind, &bytes);
	if (rc == -ENOMEM)
		listing->rc = rc;
}

/* The name leads to the digest, and to what is below it. */
static void spread(struct listing *listing, const struct name *name, const struct digest *digest,
	bool is_document, unsigned depth)
{
	struct node *node = node_get(listing, digest);
	const struct name **names;

	if (!node || (node->name_count && node->names[node->name_count - 1] == name))
		return; /* been here with this name */
	names = grow(node->names, sizeof *names, node->name_count);
	listing->is_cut |= !names;
	if (!names)
		return;
	node->names = names;
	names[node->name_count++] = name;
	if (!is_document || depth > INDEX_DEPTH_MAX)
		return;
	read_document(listing, node, depth ? NULL : name->media_type);
	for (size_t i = 0; i < node->child_count; i++)
		spread(listing, name, &node->children[i], node->are_documents, depth + 1);
}

static int find_names(struct listing *listing, struct error *err)
{
	int rc = cache_records(listing->cache, add_name, listing, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < listing->entry_count; i++) {
		const struct cache_entry *entry = &listing->entries[i];
		struct node *node = node_get(listing, &entry->digest);

		if (node && entry->kind == CACHE_BLOB && !entry->is_partial)
			node->blob = entry;
	}
	for (size_t i = 0; i < listing->name_count; i++)
		if (listing->names[i].is_tag)
			spread(listing, &listing->names[i], &listing->names[i].digest, true, 0);
	for (size_t i = 0; i < listing->name_count; i++) {
		const struct name *name = &listing->names[i];
		struct node *node = name->is_tag ? NULL : node_get(listing, &name->digest);

		if (node && !node->name_count)
			spread(listing, name, &name->digest, true, 0);
	}
	if (listing->is_cut)
		listing->rc = -ENOMEM;
	return listing->rc ? error_set(err, -listing->rc, "%s", strerror(-listing->rc)) : 0;
}

/* --- shown --- */

static const char *kind_of(const struct cache_entry *entry)
{
	static const char *const kinds[] = {
		[CACHE_BLOB] = "blob", [CACHE_INDEX] = "index", [CACHE_SPOOL] = "spool"
	};

	return entry->is_partial ? "partial" : kinds[entry->kind];
}

static const struct node *node_of(struct listing *listing, const struct cache_entry *entry)
{
	return node_get(listing, &entry->digest); /* which is there by now */
}

static void show_size(uint64_t size)
{
	CLEANUP(buf_release) struct buf text = { .max = 64 };

	put_bytes(&text, size);
	(void)printf("%10s", text.data ? text.data : "");
}

static void show_names(const struct node *node)
{
	char text[LOG_LINE_MAX];

	for (size_t i = 0; i < node->name_count && i < NAMES_SHOWN; i++) {
		log_escape(node->names[i]->text, text, sizeof text);
		(void)printf("%s%s", i ? ", " : "  ", text);
	}
	if (node->name_count > NAMES_SHOWN)
		(void)printf(", and %zu more", node->name_count - NAMES_SHOWN);
}

static void show_entry(struct listing *listing, const struct cache_entry *entry)
{
	char digest[DIGEST_TEXT_MAX], when[32] = "?";
	struct tm tm;

	if (entry->is_in_use)
		(void)snprintf(when, sizeof when, "in use");
	else if (localtime_r(&entry->used.tv_sec, &tm))
		(void)strftime(when, sizeof when, "%Y-%m-%d %H:%M", &tm);
	(void)printf("%-7s  ", kind_of(entry));
	show_size(entry->size);
	(void)printf("  %-16s  %s", when, digest_format(&entry->digest, digest));
	show_names(node_of(listing, entry));
	(void)putchar('\n');
}

static void show(struct listing *listing)
{
	CLEANUP(buf_release) struct buf sum = { .max = 64 };
	uint64_t bytes = 0;

	(void)printf(
		"%-7s  %10s  %-16s  %-71s  %s\n", "KIND", "SIZE", "LAST USE", "DIGEST", "NAMES");
	for (size_t i = 0; i < listing->entry_count; i++) {
		show_entry(listing, &listing->entries[i]);
		bytes += listing->entries[i].size;
	}
	put_bytes(&sum, bytes);
	(void)printf("%zu entries, %s in %s\n", listing->entry_count, sum.data ? sum.data : "",
		cache_path(listing->cache));
}

/* --- as JSON --- */

static void put_text(struct buf *ret, const char *text)
{
	(void)json_write_string(ret, text, strlen(text));
}

static void put_entry(struct listing *listing, const struct cache_entry *entry, struct buf *ret)
{
	const struct node *node = node_of(listing, entry);
	char digest[DIGEST_TEXT_MAX], when[32] = "";
	struct tm tm;

	if (gmtime_r(&entry->used.tv_sec, &tm)) /* RFC 3339 */
		(void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
	(void)buf_printf(ret,
		"{\"kind\": \"%s\", \"digest\": \"%s\", \"size\": %" PRIu64
		", \"used\": \"%s\", \"in_use\": %s, \"names\": [",
		kind_of(entry), digest_format(&entry->digest, digest), entry->size, when,
		entry->is_in_use ? "true" : "false");
	for (size_t i = 0; i < node->name_count; i++) {
		(void)buf_append_text(ret, i ? ", " : "");
		put_text(ret, node->names[i]->text);
	}
	(void)buf_append_text(ret, "]}");
}

static int show_json(struct listing *listing, struct error *err)
{
	CLEANUP(buf_release) struct buf text = { .max = 1 << 30 };
	int rc;

	(void)buf_append_text(&text, "{\n  \"schema\": 1,\n  \"directory\": ");
	put_text(&text, cache_path(listing->cache));
	(void)buf_append_text(&text, ",\n  \"entries\": [");
	for (size_t i = 0; i < listing->entry_count; i++) {
		(void)buf_append_text(&text, i ? ",\n    " : "\n    ");
		put_entry(listing, &listing->entries[i], &text);
	}
	(void)buf_append_text(&text, "\n  ]\n}\n");
	rc = buf_status(&text);
	if (rc)
		return error_set(err, -rc, "the list is too long");
	(void)fwrite(text.data, 1, text.len, stdout);
	return 0;
}

int list_cache(struct cache *cache, bool as_json, struct error *err)
{
	CLEANUP(listing_release) struct listing listing = { .cache = cache };
	int rc = cache_entries(cache, &listing.entries, &listing.entry_count, err);

	if (!rc)
		rc = find_names(&listing, err);
	if (rc)
		return rc;
	if (as_json)
		return show_json(&listing, err);
	show(&listing);
	return 0;
}
