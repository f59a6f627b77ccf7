/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of digests in work, at some step.
 *
 *	absent --work_begin()--> in work --work_end()--> ended (not in the table)
 *
 * A work is freed by whoever leaves it last.  A worker that was cancelled has
 * told nothing about the blob: then the first of its waiters to come back is
 * the next worker.  The same where the failure may be one of the worker's repository, or it found
 * that another step has to be taken.
 *
 * Who is at one step does not wait for those at another: who works on what is in the cache would
 * wait for a network.  That may do work twice, which costs time and nothing else.
 */
#include "fetch/store/internal.h"

#include <string.h>

#include "model/cleanup.h"

struct work {
	struct work *next; /* in the table */
	struct store *store;
	enum store_step step;
	struct digest digest;
	char *repository;
	pthread_cond_t changed;
	unsigned users; /* under store->lock, like all below */
	bool is_ended;
	int rc;
	struct error err;
};

struct waiter {
	struct work *work;
	bool is_cancelled; /* under store->lock */
};

static void wake(void *context)
{
	struct waiter *waiter = context;

	(void)pthread_mutex_lock(&waiter->work->store->lock);
	waiter->is_cancelled = true;
	(void)pthread_cond_broadcast(&waiter->work->changed);
	(void)pthread_mutex_unlock(&waiter->work->store->lock);
}

static void leave(struct work *work)
{
	struct store *store = work->store;
	bool is_last;

	(void)pthread_mutex_lock(&store->lock);
	is_last = --work->users == 0;
	(void)pthread_mutex_unlock(&store->lock);
	if (!is_last)
		return;
	(void)pthread_cond_destroy(&work->changed);
	free(work->repository);
	free(work);
}

/* 0: look again: what is too much for an index (-EFBIG) may be none for who wants the blob. */
static int wait_for(struct work *work, const struct request *request, struct error *err)
{
	struct waiter waiter = { work, false };
	bool is_watched = cancel_watch(request->cancel, wake, &waiter);
	int rc;

	(void)pthread_mutex_lock(&work->store->lock);
	while (is_watched && !work->is_ended && !waiter.is_cancelled)
		(void)pthread_cond_wait(&work->changed, &work->store->lock);
	rc = !is_watched || waiter.is_cancelled ? -EINTR : work->rc;
	(void)pthread_mutex_unlock(&work->store->lock);
	if (is_watched)
		cancel_unwatch(request->cancel);

	if (!is_watched || waiter.is_cancelled)
		rc = error_set(err, EINTR, "interrupted");
	else if (rc >= 0 || rc == -EINTR || rc == -EFBIG ||
		 strcmp(work->repository, request->repository) != 0)
		rc = 0;
	else
		(void)error_set(err, -rc, "%s", work->err.text);
	leave(work);
	return rc;
}

static struct work *work_new(const struct request *request)
{
	struct work *work = calloc(1, sizeof *work);

	if (!work)
		return NULL;
	work->repository = strdup(request->repository);
	if (!work->repository) {
		free(work);
		return NULL;
	}
	work->store = request->store;
	work->step = request->step;
	work->digest = request->blob->digest;
	work->users = 1;
	(void)pthread_cond_init(&work->changed, NULL);
	return work;
}

int work_begin(struct work **ret, const struct request *request, struct error *err)
{
	struct store *store = request->store;
	struct work *own = work_new(request);
	struct work *found;

	if (!own)
		return error_set(err, ENOMEM, "out of memory");
	(void)pthread_mutex_lock(&store->lock);
	for (found = store->works; found; found = found->next)
		if (found->step == own->step && digest_equal(&found->digest, &own->digest))
			break;
	if (found) {
		found->users++;
	} else {
		own->next = store->works;
		store->works = own;
	}
	(void)pthread_mutex_unlock(&store->lock);
	*ret = found ? NULL : own;
	if (!found)
		return 0;
	leave(own);
	observer_count(store->observer, fetch_coalesced, request->step == STORE_FETCH);
	return wait_for(found, request, err);
}

void work_end(struct work *work, int rc, const struct error *err)
{
	struct store *store = work->store;
	struct work **at;

	(void)pthread_mutex_lock(&store->lock);
	for (at = &store->works; *at != work; at = &(*at)->next)
		;
	*at = work->next;
	work->is_ended = true;
	work->rc = rc;
	if (rc < 0 && err)
		work->err = *err;
	(void)pthread_cond_broadcast(&work->changed);
	(void)pthread_mutex_unlock(&store->lock);
	leave(work);
}
