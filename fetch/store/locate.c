/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers without a digest: those of V1 images have an id, which says nothing
 * about their bytes.  They are read once, and what that finds is kept
 *
 *	in memory, as far as it fits;
 *	as a ref "v1:ID" (no tag holds a ':'), for those who have seen names of the repository:
 *	a digest tells what an image is made of.
 *
 * The bytes go into the cache, but they are given out for a digest alone, by
 * the rules for all blobs.  What a local source has is not kept: it may change, and
 * remembers for itself.
 */
#include "fetch/store/internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "model/cleanup.h"

#define REF_PREFIX "v1:"

struct location {
	struct request request; /* its blob is the layer as it is listed */
	struct digest key;      /* stands for repository and id */
	struct digest digest;   /* what was found */
	uint64_t size;
};

static int make_key(struct location *location, struct error *err)
{
	CLEANUP(freep) char *text = NULL;
	int n = asprintf(
		&text, "%s\n%s", location->request.repository, location->request.blob->layer_id);

	if (n < 0) {
		text = NULL;
		return error_set(err, ENOMEM, "out of memory");
	}
	return digest_of(&location->key, DIGEST_SHA256, text, (size_t)n, err);
}

/* --- what is known --- */

static bool is_remembered(struct location *location)
{
	struct store *store = location->request.store;
	struct located *slot = &store->located[digest_hash(&location->key) % LOCATED_MAX];
	bool is_it;

	(void)pthread_mutex_lock(&store->lock);
	is_it = digest_equal(&slot->key, &location->key);
	if (is_it) {
		location->digest = slot->digest;
		location->size = slot->size;
	}
	(void)pthread_mutex_unlock(&store->lock);
	return is_it;
}

static void remember(const struct location *location)
{
	struct store *store = location->request.store;
	struct located *slot = &store->located[digest_hash(&location->key) % LOCATED_MAX];

	(void)pthread_mutex_lock(&store->lock);
	*slot = (struct located){ location->key, location->digest, location->size };
	(void)pthread_mutex_unlock(&store->lock);
}

/* To be freed; NULL when out of memory: then it is not known, or not kept. */
static char *make_tag(const struct request *request)
{
	char *tag;

	return asprintf(&tag, REF_PREFIX "%s", request->blob->layer_id) < 0 ? NULL : tag;
}

static bool is_in_cache(struct location *location)
{
	const struct request *request = &location->request;
	struct store *store = request->store;
	CLEANUP(freep) char *tag = make_tag(request);
	CLEANUP(descriptor_release) struct descriptor found = { 0 };
	uint64_t age_s;

	if (!tag || !store->cache || !access_has_names(store, request->repository) ||
		cache_ref_get(
			store->cache, store->host, request->repository, tag, &found, &age_s, NULL))
		return false;
	location->digest = found.digest;
	location->size = found.size;
	return true;
}

static bool is_known(struct location *location)
{
	return is_remote(location->request.store) &&
	       (is_remembered(location) || is_in_cache(location));
}

static void keep(const struct location *location)
{
	const struct request *request = &location->request;
	struct store *store = request->store;
	CLEANUP(freep) char *tag = make_tag(request);
	const struct descriptor found = { .digest = location->digest, .size = location->size };

	remember(location);
	if (tag && store->cache) /* one that is not kept is read again */
		(void)cache_ref_put(
			store->cache, store->host, request->repository, tag, &found, NULL);
}

/* --- reading --- */

CLEANUP_POINTER(hasherp, struct hasher, hasher_free)

/* landing NULL: the bytes are only hashed. */
static int take(struct location *location, struct hasher *hasher, struct landing *landing,
	const char *bytes, size_t len, struct error *err)
{
	const struct request *request = &location->request;
	int rc = landing ? check_limit(request, location->size + len, err) : 0;

	if (!rc)
		rc = hasher_update(hasher, bytes, len, err);
	if (!rc && landing)
		rc = landing_append(landing, bytes, len, err);
	if (rc)
		return rc;
	location->size += len;
	if (request->progress)
		atomic_store(&request->progress->done, location->size);
	return check_cancel(request->cancel, err);
}

static int read_all(struct location *location, struct landing *landing, struct error *err)
{
	const struct request *request = &location->request;
	struct source *source = request->store->source;
	CLEANUP(streamp) struct blob_stream *stream = NULL;
	CLEANUP(hasherp) struct hasher *hasher = NULL;
	CLEANUP(freep) char *piece = malloc(PIECE);
	ssize_t n = 0;
	int rc;

	if (!piece)
		return error_set(err, ENOMEM, "out of memory");
	rc = hasher_new(&hasher, DIGEST_SHA256, err);
	if (!rc)
		rc = source->ops->open_layer(source, request->repository, request->blob->layer_id,
			&stream, request->cancel, err);
	if (rc)
		return rc;
	location->size = 0;
	do {
		n = stream->ops->read(stream, piece, PIECE, err);
		rc = n < 0 ? (int)n : take(location, hasher, landing, piece, (size_t)n, err);
	} while (!rc && n);
	return rc ? rc : hasher_final(hasher, &location->digest, err);
}

static void landing_drop(struct landing *landing)
{
	landing_release(landing, false);
}

/* Puts the bytes where store_layer() finds them. */
static int fetch(struct location *location, struct error *err)
{
	struct store *store = location->request.store;
	const struct descriptor key = { .digest = location->key, .size = DESCRIPTOR_SIZE_UNKNOWN };
	struct request request = location->request;
	CLEANUP(landing_drop) struct landing landing = LANDING_NONE;
	CLEANUP(files_close) struct files files = FILES_NONE;
	struct stat st;
	int rc;

	if (store->offline)
		return error_set(err, ENETUNREACH, "offline, and not in the cache");
	request.blob = &key;
	rc = landing_open_nameless(&landing, &request, err);
	if (!rc)
		rc = read_all(location, &landing, err);
	if (rc)
		return rc;
	const struct descriptor found = { .digest = location->digest, .size = location->size };
	request.blob = &found;
	landing_name(&landing, &location->digest);
	access_grant(&request); /* before others can find what it allows */
	rc = landing_publish(&landing, &files, err);
	if (rc)
		return rc;
	if (!reader_stat(files.blob, &st, NULL))
		seen_put(store, &location->digest, &st);
	keep(location);
	return 0;
}

static int find_or_read(struct location *location, struct error *err)
{
	if (is_known(location))
		return 0;
	if (is_remote(location->request.store))
		return fetch(location, err);
	return read_all(location, NULL, err);
}

/* --- the call --- */

/* The step that reads the layer. */
static enum store_step reading_step(const struct request *request)
{
	return is_remote(request->store) || request->store->source->may_wait ? STORE_FETCH
									     : STORE_WORK;
}

static int locate(struct location *location, struct error *err)
{
	const struct descriptor key = { .digest = location->key, .size = DESCRIPTOR_SIZE_UNKNOWN };
	struct request request = location->request;
	struct work *work;
	int rc;

	request.blob = &key;
	do {
		rc = check_cancel(request.cancel, err);
		if (rc || is_known(location))
			return rc;
		if (request.step < reading_step(&request))
			return (int)reading_step(&request);
		rc = work_begin(&work, &request, err);
	} while (!rc && !work);
	if (rc)
		return rc;
	rc = find_or_read(location, err);
	work_end(work, rc, err);
	return rc;
}

static void begin_progress(const struct request *request)
{
	uint64_t size = request->blob->size;

	if (!request->progress)
		return;
	atomic_store(&request->progress->done, 0);
	atomic_store(&request->progress->total, size == DESCRIPTOR_SIZE_UNKNOWN ? 0 : size);
}

int store_locate(struct store *store, enum store_step step, const char *repository,
	const struct descriptor *layer, struct descriptor *ret, struct progress *progress,
	struct cancel *cancel, struct error *err)
{
	struct location location = { .request = {
					     store, step, repository, layer, progress, cancel } };
	struct descriptor found;
	struct error local = { "" };
	int rc;

	assert(layer->layer_id);
	err = err ? err : &local; /* waiters get it as well */
	if (!store->source->ops->open_layer)
		return error_set(err, EOPNOTSUPP, "layers without a digest come from V1 alone");
	begin_progress(&location.request);
	rc = make_key(&location, err);
	if (!rc)
		rc = locate(&location, err);
	if (rc > 0)
		return rc;
	if (rc)
		return error_prefix(err, listed(rc), "layer %.12s", layer->layer_id);
	rc = descriptor_copy(&found, layer, err);
	if (rc)
		return rc;
	found.digest = location.digest;
	found.size = location.size;
	*ret = found;
	return 0;
}
