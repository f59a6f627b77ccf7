/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blobs come first, which indexes are compared with; a spool is checked through its index.
 *
 * What is not looked at: blobs on their way, which are verified when they are complete, and spools
 * that no index refers to, which nobody reads.
 */
#include "fs/cache_verify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/layer/layer.h"
#include "fetch/reader.h"
#include "fs/log.h"
#include "model/buf.h"
#include "model/cleanup.h"
#include "model/image.h"

struct verification {
	struct cache *cache;
	bool is_trial;
	struct cache_entry *entries;
	size_t count;
	uint64_t kinds[3]; /* checked, by enum cache_kind */
	uint64_t records, damaged;
};

CLEANUP_POINTER(layerp, struct layer, layer_free)

/* --- what is found --- */

static void tell(struct verification *v, const char *name, const char *why, bool is_dropped)
{
	char line[LOG_LINE_MAX];

	v->damaged++;
	log_escape(why, line, sizeof line);
	(void)printf("%s: %s%s\n", name, line,
		v->is_trial  ? ""
		: is_dropped ? "; dropped"
			     : "; cannot be dropped");
}

static void tell_damage(struct verification *v, struct cache_entry *entry, const char *why)
{
	char name[CACHE_ENTRY_NAME_MAX];

	tell(v, cache_entry_name(entry, name), why,
		!v->is_trial && cache_entry_remove(v->cache, entry, false));
	entry->number = 0; /* it is no help with others any more */
}

/* The entry of that kind beside another one; NULL: there is none. */
static struct cache_entry *find(
	struct verification *v, enum cache_kind kind, const struct digest *digest)
{
	for (size_t i = 0; i < v->count; i++) {
		struct cache_entry *entry = &v->entries[i];

		if (entry->kind == kind && !entry->is_partial && entry->number &&
			digest_equal(&entry->digest, digest))
			return entry;
	}
	return NULL;
}

/* --- blobs --- */

/* Signed schema 1 manifests are named by their payload; the signatures around it are as they
 * came. */
static bool is_document(const struct cache_entry *entry, struct reader *blob)
{
	CLEANUP(buf_release) struct buf bytes = { .max = DOCUMENT_MAX };
	struct digest digest;

	return !reader_append_to(blob, &bytes, NULL) && bytes.len &&
	       !document_digest(&digest, entry->digest.algorithm, bytes.data, bytes.len, NULL) &&
	       digest_equal(&digest, &entry->digest);
}

static int check_blob(struct verification *v, struct cache_entry *entry, int fd, struct error *err)
{
	CLEANUP(readerp) struct reader *blob = NULL;
	char text[DIGEST_TEXT_MAX];
	struct digest digest;
	int rc = reader_of_copy(&blob, fd, err);

	(void)v;
	if (!rc)
		rc = reader_digest(blob, entry->digest.algorithm, &digest, NULL, err);
	if (rc || digest_equal(&digest, &entry->digest) || is_document(entry, blob))
		return rc;
	return error_set(err, EBADMSG, "its digest is %s", digest_format(&digest, text));
}

/* --- indexes --- */

static int check_beside(struct verification *v, const struct layer *layer,
	const struct cache_entry *entry, struct error *err)
{
	struct cache_entry *spool = find(v, CACHE_SPOOL, &entry->digest);
	CLEANUP(closep) int spool_fd = spool ? cache_entry_open(v->cache, spool, NULL) : -1;
	const struct cache_entry *blob = find(v, CACHE_BLOB, &entry->digest);
	bool is_spool = false;
	int rc;

	v->kinds[CACHE_SPOOL] += spool_fd >= 0;
	if (blob && blob->size != layer->stored_size)
		return error_set(err, EBADMSG, "its blob has another size");
	rc = layer_verify(layer, spool_fd, &is_spool, err);
	if (rc != -EBADMSG || !is_spool)
		return rc;
	tell_damage(v, spool, err->text);
	return 0;
}

/* Takes the fd. */
static int check_index(struct verification *v, struct cache_entry *entry, int fd, struct error *err)
{
	CLEANUP(closep) int own = fd;
	CLEANUP(layerp) struct layer *layer = NULL;
	int rc = layer_open(&layer, own, &entry->digest, err);

	if (rc)
		return rc == -EIO ? -EBADMSG : rc;
	return check_beside(v, layer, entry, err);
}

/* --- all --- */

static int check_all(struct verification *v, enum cache_kind kind,
	int (*check)(struct verification *, struct cache_entry *, int, struct error *),
	struct error *err)
{
	for (size_t i = 0; i < v->count; i++) {
		struct cache_entry *entry = &v->entries[i];
		int fd, rc;

		if (entry->kind != kind || entry->is_partial)
			continue;
		fd = cache_entry_open(v->cache, entry, err);
		if (fd == -ENOENT)
			continue; /* evicted meanwhile */
		if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM)
			return fd;
		rc = fd < 0 ? -EBADMSG : check(v, entry, fd, err);
		if (rc == -EBADMSG)
			tell_damage(v, entry, err->text);
		else if (rc)
			return rc;
		v->kinds[kind]++;
	}
	return 0;
}

static void check_record(const struct cache_record *record, void *context)
{
	struct verification *v = context;
	char path[LOG_LINE_MAX];

	v->records++;
	if (!record->is_damaged)
		return;
	log_escape(record->path, path, sizeof path);
	tell(v, path, "its checksum is wrong",
		!v->is_trial && cache_record_remove(v->cache, record->path));
}

int verify_cache(struct cache *cache, bool is_trial, bool *ret_is_damaged, struct error *err)
{
	struct verification v = { .cache = cache, .is_trial = is_trial };
	int rc = cache_entries(cache, &v.entries, &v.count, err);

	if (!rc)
		rc = check_all(&v, CACHE_BLOB, check_blob, err);
	if (!rc)
		rc = check_all(&v, CACHE_INDEX, check_index, err);
	free(v.entries);
	if (!rc)
		rc = cache_records(cache, check_record, &v, err);
	if (rc)
		return rc;
	(void)printf("blobs: %" PRIu64 ", indexes: %" PRIu64 ", spools: %" PRIu64
		     ", records: %" PRIu64 "; damaged: %" PRIu64 "\n",
		v.kinds[CACHE_BLOB], v.kinds[CACHE_INDEX], v.kinds[CACHE_SPOOL], v.records,
		v.damaged);
	*ret_is_damaged = v.damaged > 0;
	return 0;
}
