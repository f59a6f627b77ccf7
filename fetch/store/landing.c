/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places are tried in this order: the cache, then those of temporary files.
 * When one is full or cannot be written, the bytes move on to the next; only
 * behind the last one is there no space left.
 */
#include "fetch/store/internal.h"

#include <assert.h>
#include <string.h>

#include "fetch/at.h"
#include "fetch/disk.h"
#include "fetch/temporary.h"
#include "model/cleanup.h"

enum { FIRST_TEMPORARY = 1 }; /* place 0 is the cache */

/* Opens a file in the first place from landing->place on that has one. */
static int open_from_place(struct landing *landing, struct error *err)
{
	unsigned place = landing->place - FIRST_TEMPORARY;
	int fd = temporary_open(&place, err);

	if (fd == -ENOSPC)
		return error_set(
			err, ENOSPC, "no space left, neither in the cache nor for temporary files");
	if (fd < 0)
		return fd;
	landing->fd = fd;
	landing->place = FIRST_TEMPORARY + place;
	if (landing->store->cache && !atomic_exchange(&landing->store->was_warned, true))
		observer_log(landing->store->observer, LOG_LEVEL_WARNING,
			"no place in the cache; using temporary files in %s",
			temporary_place(place));
	return 0;
}

/* Failures that another place would not mend. */
static bool is_final(int rc)
{
	return rc == -EINTR || rc == -EEXIST || rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE ||
	       rc == -EBADMSG;
}

static int open_in_cache(struct landing *landing, const struct request *request, struct error *err)
{
	struct cache *cache = landing->store->cache;
	int rc;

	if (landing->kind == CACHE_BLOB && !landing->is_nameless)
		rc = cache_writer_resume(&landing->writer, cache, &landing->digest, &landing->len,
			request->cancel, err);
	else
		rc = cache_writer_new(
			&landing->writer, cache, landing->kind, &landing->digest, err);
	if (!rc)
		landing->fd = cache_writer_fd(landing->writer);
	return rc;
}

static int open_first(struct landing *landing, const struct request *request, struct error *err)
{
	struct cache *cache = landing->store->cache;
	int rc;

	if (!landing->place && cache &&
		(landing->kind != CACHE_BLOB || cache_fits(cache, request->blob->size))) {
		rc = open_in_cache(landing, request, err);
		if (!rc || is_final(rc))
			return rc;
	}
	if (!landing->place)
		landing->place = FIRST_TEMPORARY;
	return open_from_place(landing, err);
}

int landing_open(struct landing *landing, const struct request *request, enum cache_kind kind,
	unsigned from_place, struct error *err)
{
	*landing = (struct landing){
		.store = request->store,
		.kind = kind,
		.digest = request->blob->digest,
		.fd = -1,
		.place = from_place,
	};
	return open_first(landing, request, err);
}

int landing_open_nameless(struct landing *landing, const struct request *request, struct error *err)
{
	*landing = (struct landing){
		.store = request->store,
		.kind = CACHE_BLOB,
		.digest = request->blob->digest,
		.is_nameless = true,
		.fd = -1,
	};
	return open_first(landing, request, err);
}

void landing_name(struct landing *landing, const struct digest *digest)
{
	landing->digest = *digest;
	if (landing->writer)
		cache_writer_name(landing->writer, digest);
}

static int write_piece(struct landing *landing, const char *bytes, size_t len, struct error *err)
{
	if (landing->writer)
		return cache_writer_append(landing->writer, bytes, len, err);
	return temporary_write(
		landing->fd, landing->place - FIRST_TEMPORARY, bytes, len, landing->len, err);
}

static int copy_from(struct landing *landing, int fd, uint64_t size, struct error *err)
{
	CLEANUP(freep) char *piece = malloc(PIECE);

	if (!piece)
		return error_set(err, ENOMEM, "out of memory");
	while (landing->len < size) {
		uint64_t left = size - landing->len;
		ssize_t n = read_at(fd, piece, left < PIECE ? (size_t)left : PIECE, landing->len);
		/* As if its digest were wrong: it is to be fetched afresh. */
		int rc = n <= 0 ? error_set(err, EBADMSG, "what landed cannot be read back")
				: write_piece(landing, piece, (size_t)n, err);

		if (rc)
			return rc;
		landing->len += (uint64_t)n;
	}
	return 0;
}

/* Takes what is there to the next place that has room for it. */
static int move_on(struct landing *landing, struct error *err)
{
	struct landing next = { .store = landing->store,
		.kind = landing->kind,
		.digest = landing->digest,
		.fd = -1,
		.place = landing->place + 1 };
	int rc = -ENOSPC;

	for (; rc && !is_final(rc); next.place += !!rc) {
		next.len = 0;
		rc = open_from_place(&next, err);
		if (rc)
			return rc; /* that was the last one */
		rc = copy_from(&next, landing->fd, landing->len, err);
		if (rc)
			closep(&next.fd);
	}
	if (rc)
		return rc;
	landing_release(landing, false);
	*landing = next;
	return 0;
}

int landing_append(struct landing *landing, const void *bytes, size_t len, struct error *err)
{
	int rc = write_piece(landing, bytes, len, err);

	while (rc && !is_final(rc)) {
		rc = move_on(landing, err);
		if (rc)
			return rc;
		rc = write_piece(landing, bytes, len, err);
	}
	if (!rc)
		landing->len += len;
	return rc;
}

int landing_reserve(struct landing *landing, uint64_t len, struct error *err)
{
	if (landing->writer)
		return cache_writer_reserve(landing->writer, len, err);
	if (disk_has_room(landing->fd, len))
		return 0;
	return error_set(err, ENOSPC, "%s: no space left to spare",
		temporary_place(landing->place - FIRST_TEMPORARY));
}

int landing_reset(struct landing *landing, struct error *err)
{
	int rc = 0;

	if (landing->writer)
		rc = cache_writer_reset(landing->writer, err);
	else if (ftruncate(landing->fd, 0))
		rc = error_set(err, errno, "temporary file: %m");
	if (rc && !is_final(rc)) { /* the disk does not even take that: on with the next place */
		unsigned place = landing->place + 1;

		landing_release(landing, false);
		landing->place = place;
		rc = open_from_place(landing, err);
	}
	if (!rc)
		landing->len = 0;
	return rc;
}

int landing_publish(struct landing *landing, struct files *ret, struct error *err)
{
	enum cache_kind kind = landing->kind;
	CLEANUP(closep) int fd = -1;
	struct error why = { "" };

	assert(landing->fd >= 0);
	fd = landing->writer ? cache_writer_reader(landing->writer, err) : TAKE_FD(landing->fd);
	if (fd < 0)
		return fd;
	/* Not committed, it still is a good file, only without a name. */
	if (!landing->writer || cache_writer_commit(landing->writer, &why))
		uncached_put(landing->store, landing->kind, &landing->digest, fd);
	landing_release(landing, false);
	cache_hold(fd);
	return files_put(ret, kind, TAKE_FD(fd), err);
}

void landing_release(struct landing *landing, bool keep_partial)
{
	if (landing->writer) {
		cache_writer_free(TAKE(landing->writer), keep_partial);
		landing->fd = -1;
	}
	closep(&landing->fd);
	landing->fd = -1;
}
