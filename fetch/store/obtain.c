/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of a blob: what is there already is found without waiting for
 * anybody; for the rest there is one worker per digest and step.
 *
 *	LOOK --- here, but not proven --> ASK --+--> there
 *	  |                                     |
 *	  +--- the blob is here, proven ------> WORK --> made from it
 *	  |                                     |
 *	  +--- it is not -----------------------+-----> FETCH
 *
 * Each may find that things have changed since the one before it, for the worse too: then the
 * last one does whatever it takes, in the same order.
 */
#include "fetch/store/internal.h"

#include <inttypes.h>
#include <string.h>

#include "model/cleanup.h"
#include "model/media_type.h"

enum { COMPLETED_TRIES = 3 }; /* other processes that finish just before us */

int store_find(struct store *store, enum cache_kind kind, const struct digest *digest,
	uint64_t size, struct error *err)
{
	int fd = uncached_get(store, kind, digest);

	if (fd >= 0)
		return fd;
	if (!store->cache)
		return error_set(err, ENOENT, "there is no cache");
	return cache_lookup(store->cache, kind, digest, size, err);
}

void store_drop(struct store *store, enum cache_kind kind, const struct digest *digest)
{
	uncached_drop(store, kind, digest);
	if (store->cache)
		cache_drop(store->cache, kind, digest);
}

/* --- files seen before --- */

/* Ours get a new ctime by each lookup; others' files tell by it that they were touched. */
static bool is_same_file(const struct store *store, const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       (is_remote(store) || (a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
					    a->st_ctim.tv_nsec == b->st_ctim.tv_nsec));
}

bool seen_has(struct store *store, const struct digest *digest, const struct stat *st)
{
	struct seen *slot = &store->seen[digest_hash(digest) % SEEN_MAX];
	bool is_seen;

	(void)pthread_mutex_lock(&store->lock);
	is_seen = digest_equal(&slot->digest, digest) && is_same_file(store, &slot->st, st);
	(void)pthread_mutex_unlock(&store->lock);
	return is_seen;
}

void seen_put(struct store *store, const struct digest *digest, const struct stat *st)
{
	struct seen *slot = &store->seen[digest_hash(digest) % SEEN_MAX];

	(void)pthread_mutex_lock(&store->lock);
	*slot = (struct seen){ *digest, *st };
	(void)pthread_mutex_unlock(&store->lock);
}

/* --- what is there --- */

static int open_local(const struct request *request, struct reader **ret, struct error *err)
{
	struct source *source = request->store->source;
	const struct descriptor *blob = request->blob;
	CLEANUP(readerp) struct reader *found = NULL;
	char text[DIGEST_TEXT_MAX];
	int rc = source->ops->open_reader(source, &blob->digest, &found, request->cancel, err);

	if (rc)
		return rc;
	if (blob->size == DESCRIPTOR_SIZE_UNKNOWN || found->size == blob->size) {
		*ret = TAKE(found);
		return 0;
	}
	(void)wrong_size(request->store, err,
		"blob %s: %" PRIu64 " bytes, not the %" PRIu64 " it should have",
		digest_format(&blob->digest, text), found->size, blob->size);
	if (err)
		tell_mismatch(request->store, err);
	return -EBADMSG;
}

static int find_one(const struct request *request, enum cache_kind kind, struct files *ret)
{
	struct error why;
	int fd;

	if (files_has(ret, kind))
		return 0;
	fd = store_find(request->store, kind, &request->blob->digest,
		kind == CACHE_BLOB ? request->blob->size : DESCRIPTOR_SIZE_UNKNOWN, &why);
	return fd < 0 ? fd : files_put(ret, kind, fd, &why);
}

int files_find(const struct request *request, unsigned wanted, bool may_ask, struct files *ret,
	struct error *err)
{
	struct store *store = request->store;
	bool is_missing = false, has_some = false;
	int rc = 0;

	if (!is_remote(store) && !ret->blob) {
		rc = open_local(request, &ret->blob, err);
		ret->is_local = !rc;
	}
	if (rc && !foreign_may_follow(request, rc))
		return listed(foreign_is_meant(request, rc) ? foreign_refuse(rc, err) : rc);
	for (unsigned kind = 0; kind < KINDS; kind++) {
		if (!(wanted & 1U << kind))
			continue;
		rc = find_one(request, (enum cache_kind)kind, ret);
		if (rc && rc != -ENOENT)
			return error_set(err, -rc, "cache: %s", strerror(-rc));
		is_missing |= rc == -ENOENT;
		has_some |= !rc;
	}
	if (has_some && !access_is_proven(request)) {
		rc = may_ask ? access_prove(request, err) : -ENOENT;
		if (rc)
			return rc == -ENOENT && may_ask ? -EIO : rc;
	}
	return is_missing ? error_set(err, ENOENT, "not there yet") : 0;
}

/* --- what is not --- */

static bool is_layer(const struct descriptor *blob)
{
	return media_type_find(blob->media_type)->role == ROLE_LAYER;
}

/* A layer that enters the cache gets its index on the way, if it has none yet. */
static enum pass_index index_wanted(
	const struct request *request, unsigned wanted, struct files *have)
{
	if (wanted & (WANT_INDEX | WANT_SPOOL))
		return PASS_WITH_INDEX;
	if (!is_remote(request->store) || !is_layer(request->blob) ||
		find_one(request, CACHE_INDEX, have) != -ENOENT)
		return PASS_WITHOUT;
	return PASS_MAY_INDEX;
}

/* Indexes a blob that is here.  A damaged copy is dropped: -ENOENT. */
static int index_cached(const struct request *request, struct files *ret, struct error *err)
{
	int rc = pass_file(request, ret->blob, PASS_WITH_INDEX, ret, err);

	if (rc != -EBADMSG)
		return rc;
	tell_mismatch(request->store, err);
	if (ret->is_local)
		return rc;
	store_drop(request->store, CACHE_BLOB, &request->blob->digest);
	reader_unref(TAKE(ret->blob));
	return -ENOENT;
}

static int make(
	const struct request *request, unsigned wanted, struct files *ret, struct error *err)
{
	enum pass_index index = index_wanted(request, wanted, ret);
	int rc = -EEXIST;

	for (int i = 0; rc == -EEXIST && i < COMPLETED_TRIES; i++) {
		rc = files_find(request, WANT_BLOB, true, ret, err);
		if (!rc && index == PASS_WITH_INDEX)
			rc = index_cached(request, ret, err);
		if (rc != -ENOENT)
			continue;
		if (request->store->offline)
			return error_set(err, ENETUNREACH, "offline, and not in the cache");
		rc = pass_fetch(request, index, ret, err);
	}
	return rc == -EEXIST ? error_set(err, EIO, "cache: a blob that comes and goes") : rc;
}

static bool has_all(const struct files *files, unsigned wanted)
{
	for (unsigned kind = 0; kind < KINDS; kind++)
		if ((wanted & 1U << kind) && !files_has(files, (enum cache_kind)kind))
			return false;
	return true;
}

/* As the worker for the digest: nobody else makes these files meanwhile, in this process. */
static int find_or_make(
	const struct request *request, unsigned wanted, struct files *ret, struct error *err)
{
	int rc = files_find(request, wanted, true, ret, err);

	if (rc == -ENOENT)
		rc = make(request, wanted, ret, err);
	if (!rc && !has_all(ret, wanted))
		rc = error_set(err, EIO, "the layer has no seekable copy after all");
	return rc;
}

/* --- step by step --- */

/* What it takes to have what is wanted; some of it is missing, or not proven. */
static enum store_step next_step(const struct request *request, unsigned wanted, struct files *have)
{
	if (find_one(request, CACHE_BLOB, have) && !has_all(have, wanted))
		return STORE_FETCH;
	return access_is_proven(request) ? STORE_WORK : STORE_ASK;
}

static int ask(const struct request *request, unsigned wanted, struct files *ret, struct error *err)
{
	int rc = files_find(request, wanted | WANT_BLOB, true, ret, err);

	if (rc && rc != -ENOENT)
		return rc;
	if (has_all(ret, wanted))
		return 0;
	return ret->blob ? STORE_WORK : STORE_FETCH;
}

static int make_from_blob(
	const struct request *request, unsigned wanted, struct files *ret, struct error *err)
{
	int rc = files_find(request, wanted | WANT_BLOB, false, ret, err);

	if (rc != -ENOENT)
		return rc;
	if (!ret->blob || !access_is_proven(request))
		return STORE_FETCH;
	rc = index_cached(request, ret, err);
	return rc == -ENOENT || (!rc && !has_all(ret, wanted)) ? STORE_FETCH : rc;
}

static int take_step(
	const struct request *request, unsigned wanted, struct files *ret, struct error *err)
{
	if (request->step == STORE_ASK)
		return ask(request, wanted, ret, err);
	if (request->step == STORE_WORK)
		return make_from_blob(request, wanted, ret, err);
	return find_or_make(request, wanted, ret, err);
}

int obtain(const struct request *request, unsigned wanted, struct files *ret, struct error *err)
{
	bool may_only_look = request->step == STORE_LOOK;
	struct error local = { "" };
	struct work *work = NULL;
	int rc;

	if (must_wait(request))
		return STORE_FETCH;
	err = err ? err : &local; /* waiters get it as well */
	do {
		rc = check_cancel(request->cancel, err);
		if (!rc)
			rc = files_find(request, wanted, false, ret, err);
		if (rc != -ENOENT || may_only_look)
			break;
		files_close(ret); /* no files are held while waiting */
		rc = work_begin(&work, request, err);
	} while (!rc && !work);
	if (rc == -ENOENT && may_only_look)
		rc = (int)next_step(request, wanted, ret);
	if (work) {
		rc = take_step(request, wanted, ret, err);
		work_end(work, rc, err);
	}
	if (rc)
		files_close(ret);
	return rc;
}
