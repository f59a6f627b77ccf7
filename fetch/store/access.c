/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Holding a digest is not permission: a repository can name a blob that it
 * does not hold.  What is in the cache is served after the source said once,
 * within CACHE_PROOF_MAX_AGE_S, that this identity gets it through this
 * repository; a fetch is such a proof.  When the source cannot be asked, a
 * proof of any age will do.
 *
 * Proofs are kept in the cache; a small table here saves looking there, and
 * stands in where there is no cache.
 */
#include "fetch/store/internal.h"

#include <stdio.h>
#include <string.h>

#include "fetch/clock.h"
#include "model/cleanup.h"

/* Who asks for what through which repository; to be freed, NULL when out of memory. */
static char *make_key(struct store *store, const char *repository)
{
	struct source *source = store->source;
	char *key;

	if (asprintf(&key, "%s\n%s\n%s", store->host, repository,
		    source->ops->identity ? source->ops->identity(source) : "") < 0)
		return NULL;
	return key;
}

/* The slot for a key and a digest, and what it must hold. */
static struct proof *find_slot(
	struct store *store, const char *key, const struct digest *digest, struct digest *ret)
{
	CLEANUP(freep) char *whole = NULL;
	char text[DIGEST_TEXT_MAX];
	int n = asprintf(&whole, "%s\n%s", key, digest_format(digest, text));

	if (n < 0) {
		whole = NULL;
		return NULL;
	}
	if (digest_of(ret, DIGEST_SHA256, whole, (size_t)n, NULL))
		return NULL;
	return &store->proofs[digest_hash(ret) % PROOFS_MAX];
}

static bool is_remembered(struct store *store, const char *key, const struct digest *digest)
{
	struct digest want;
	struct proof *slot = find_slot(store, key, digest, &want);
	bool is_it;

	if (!slot)
		return false;
	(void)pthread_mutex_lock(&store->lock);
	is_it = digest_equal(&slot->digest, &want) &&
		now_ms() / 1000 - slot->granted_s < CACHE_PROOF_MAX_AGE_S;
	(void)pthread_mutex_unlock(&store->lock);
	return is_it;
}

static void remember(struct store *store, const char *key, const struct digest *digest)
{
	struct digest want;
	struct proof *slot = find_slot(store, key, digest, &want);

	if (!slot)
		return;
	(void)pthread_mutex_lock(&store->lock);
	*slot = (struct proof){ want, now_ms() / 1000 };
	(void)pthread_mutex_unlock(&store->lock);
}

static bool needs_no_proof(const struct store *store)
{
	return !is_remote(store) || !store->source->ops->prove;
}

static bool has_proof(
	struct store *store, const char *repository, const struct digest *digest, bool any_age)
{
	CLEANUP(freep) char *key = make_key(store, repository);

	return key &&
	       (is_remembered(store, key, digest) ||
		       (store->cache && cache_proof_has(store->cache, key, digest, any_age)));
}

static void grant(struct store *store, const char *repository, const struct digest *digest)
{
	CLEANUP(freep) char *key = make_key(store, repository);

	if (!key)
		return; /* it is asked again next time */
	remember(store, key, digest);
	if (store->cache)
		cache_proof_put(store->cache, key, digest);
}

bool access_is_proven(const struct request *request)
{
	struct store *store = request->store;

	return needs_no_proof(store) ||
	       has_proof(store, request->repository, &request->blob->digest,
		       store->offline || away_rests(store, NULL));
}

bool access_was_proven(const struct request *request)
{
	struct store *store = request->store;

	return needs_no_proof(store) ||
	       has_proof(store, request->repository, &request->blob->digest, true);
}

int access_prove(const struct request *request, struct error *err)
{
	struct store *store = request->store;
	struct source *source = store->source;
	const struct digest *digest = &request->blob->digest;
	char text[DIGEST_TEXT_MAX];
	struct error local = { "" };
	int rc;

	err = err ? err : &local;
	if (store->offline)
		return error_set(err, ENETUNREACH,
			"%s: offline, and it was never read through '%s'",
			digest_format(digest, text), request->repository);
	rc = source->ops->prove(source, request->repository, request->blob, request->cancel, err);
	away_note(store, rc, err);
	if (foreign_may_follow(request, rc) && access_was_proven(request))
		return 0;
	if (source_is_away(rc) && access_was_proven(request)) {
		observer_log(store->observer, away_level(store), "%s; serving %.19s from cache",
			err->text, digest_format(digest, text));
		return 0;
	}
	if (!rc)
		access_grant(request);
	return rc;
}

void access_grant(const struct request *request)
{
	if (!needs_no_proof(request->store))
		grant(request->store, request->repository, &request->blob->digest);
}

bool access_has_names(struct store *store, const char *repository)
{
	return needs_no_proof(store) || has_proof(store, repository, &store->names, true);
}

void access_grant_names(struct store *store, const char *repository)
{
	if (!needs_no_proof(store))
		grant(store, repository, &store->names);
}
