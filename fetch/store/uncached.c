/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries without a place in the cache: the fds of their temporary files.
 *
 * Who called for them has fds of their own, so forgetting one here takes
 * nothing away; it only makes the next asker fetch again.  Hence a fixed
 * table: what the store itself keeps alive on disk is UNCACHED_MAX digests.
 */
#include "fetch/store/internal.h"

#include <fcntl.h>

#include "model/cleanup.h"

void uncached_init(struct store *store)
{
	for (size_t i = 0; i < UNCACHED_MAX; i++)
		for (size_t kind = 0; kind < KINDS; kind++)
			store->uncached[i].fds[kind] = -1;
}

static void close_all(int fds[KINDS])
{
	for (size_t kind = 0; kind < KINDS; kind++)
		closep(&fds[kind]);
}

/* Under lock. */
static struct uncached *find(struct store *store, const struct digest *digest)
{
	for (size_t i = 0; i < UNCACHED_MAX; i++)
		if (digest_equal(&store->uncached[i].digest, digest))
			return &store->uncached[i];
	return NULL;
}

/* Under lock. */
static struct uncached *oldest(struct store *store)
{
	struct uncached *found = &store->uncached[0];

	for (size_t i = 1; i < UNCACHED_MAX; i++)
		if (store->uncached[i].used < found->used)
			found = &store->uncached[i];
	return found;
}

int uncached_get(struct store *store, enum cache_kind kind, const struct digest *digest)
{
	struct uncached *found;
	int fd = -1;

	(void)pthread_mutex_lock(&store->lock);
	found = find(store, digest);
	if (found && found->fds[kind] >= 0) {
		found->used = ++store->uncached_used;
		fd = fcntl(found->fds[kind], F_DUPFD_CLOEXEC, 0);
	}
	(void)pthread_mutex_unlock(&store->lock);
	return fd;
}

void uncached_put(struct store *store, enum cache_kind kind, const struct digest *digest, int fd)
{
	int forgotten[KINDS] = { -1, -1, -1 };
	struct uncached *entry;
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (own < 0)
		return; /* the next asker fetches again */
	(void)pthread_mutex_lock(&store->lock);
	entry = find(store, digest);
	if (!entry) {
		entry = oldest(store);
		entry->digest = *digest;
		for (size_t i = 0; i < KINDS; i++)
			forgotten[i] = TAKE_FD(entry->fds[i]);
	}
	if (entry->fds[kind] >= 0)
		forgotten[kind] = entry->fds[kind];
	entry->fds[kind] = own;
	entry->used = ++store->uncached_used;
	(void)pthread_mutex_unlock(&store->lock);
	close_all(forgotten);
}

void uncached_drop(struct store *store, enum cache_kind kind, const struct digest *digest)
{
	struct uncached *found;
	int fd = -1;

	(void)pthread_mutex_lock(&store->lock);
	found = find(store, digest);
	if (found)
		fd = TAKE_FD(found->fds[kind]);
	(void)pthread_mutex_unlock(&store->lock);
	closep(&fd);
}

void uncached_release(struct store *store)
{
	for (size_t i = 0; i < UNCACHED_MAX; i++)
		close_all(store->uncached[i].fds);
}
