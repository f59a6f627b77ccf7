/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass: each piece of the blob is in memory once, goes to where it lands,
 * and through a check: the indexer, which verifies on the way, or a hasher.
 *
 *	file:    reader ------------------> check
 *	stream:  what landed before ------> check
 *	         source ---> landing -----> check
 *
 * What failed decides what follows: a wrong digest drops the copy and fetches
 * afresh once; a full disk under index or spool repeats the pass with these
 * in the next place (the blob's own bytes stay, they are not fetched again); more plain bytes than
 * fetch_limit, or a spool over cache_size, ends the index, and the blob goes on without one if
 * nothing else was asked for; all else ends the pass, and the partial stays for another time.
 *
 * Published is in the order blob, spool, index: whoever sees an index finds the rest.
 */
#include "fetch/store/internal.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "fetch/layer/indexer.h"
#include "model/cleanup.h"

struct pass {
	const struct request *request;
	uint64_t size; /* of the blob, or DESCRIPTOR_SIZE_UNKNOWN */
	enum pass_index want;
	bool with_index;         /* and it is still to be had */
	unsigned place;          /* landing_open()'s, for index and spool */
	bool place_failed;       /* they could not be written there */
	bool is_over;            /* it cannot be had: some limit */
	struct indexer *indexer; /* with_index, else the hasher */
	char *piece;             /* PIECE bytes, for the hasher; the indexer has room of its own */
	struct hasher *hasher;
	uint64_t fed;
	uint64_t copied; /* bytes of the spool, among store->copied */
	struct landing index, spool;
};

/* --- the check --- */

/* The spools that are being made have to fit into the cache together, or what comes out of a small
 * layer could take any disk. */
static int count_copied(struct pass *pass, uint64_t size, struct error *err)
{
	struct store *store = pass->request->store;
	uint64_t len = size - pass->copied, all = atomic_fetch_add(&store->copied, len) + len;

	pass->copied = size;
	if (!store->cache || cache_fits(store->cache, all))
		return 0;
	pass->is_over = true;
	if (cache_fits(store->cache, size))
		return error_set(err, ENOSPC,
			"no room in cache_size for a seekable copy beside others being made");
	return error_set(err, EFBIG, "a seekable copy of it would take more than cache_size");
}

static int open_spool(struct pass *pass, struct error *err)
{
	if (pass->spool.fd >= 0)
		return 0;
	return landing_open(&pass->spool, pass->request, CACHE_SPOOL, pass->place, err);
}

/* indexer_spool_fn */
static int give_spool(void *context, uint64_t size, struct error *err)
{
	struct pass *pass = context;
	uint64_t len = size - pass->copied;
	int rc = count_copied(pass, size, err);

	if (!rc)
		rc = open_spool(pass, err);
	if (!rc)
		rc = landing_reserve(&pass->spool, len, err);
	return rc ? rc : pass->spool.fd;
}

static void pass_init(
	struct pass *pass, const struct request *request, uint64_t size, enum pass_index want)
{
	*pass = (struct pass){ .request = request,
		.size = size,
		.want = want,
		.with_index = want != PASS_WITHOUT,
		.index = LANDING_NONE,
		.spool = LANDING_NONE };
}

/* Ends a check; what was not published is gone. */
static void check_release(struct pass *pass)
{
	indexer_free(TAKE(pass->indexer));
	hasher_free(TAKE(pass->hasher));
	landing_release(&pass->index, false);
	landing_release(&pass->spool, false);
	(void)atomic_fetch_sub(&pass->request->store->copied, pass->copied);
	pass->copied = 0;
}

static void pass_release(struct pass *pass)
{
	check_release(pass);
	free(pass->piece);
}

static int check_begin(struct pass *pass, struct error *err)
{
	const struct request *request = pass->request;
	const struct descriptor *blob = request->blob;
	int rc;

	pass->fed = 0;
	pass->place_failed = pass->is_over = false;
	if (request->progress) {
		atomic_store(&request->progress->done, 0);
		atomic_store(&request->progress->total,
			pass->size == DESCRIPTOR_SIZE_UNKNOWN ? 0 : pass->size);
	}
	if (!pass->with_index && !pass->piece)
		pass->piece = malloc(PIECE);
	if (!pass->with_index && !pass->piece)
		return error_set(err, ENOMEM, "out of memory");
	if (!pass->with_index)
		return hasher_new(&pass->hasher, blob->digest.algorithm, err);
	rc = landing_open(&pass->index, request, CACHE_INDEX, pass->place, err);
	if (!rc)
		rc = indexer_new(&pass->indexer, &blob->digest, pass->size, give_spool, pass, err);
	if (!rc)
		rc = indexer_set_secret(pass->indexer, cache_secret(request->store->cache), err);
	if (rc)
		return rc;
	indexer_set_cancel(pass->indexer, request->cancel);
	if (request->store->fetch_limit)
		indexer_set_limit(pass->indexer, request->store->fetch_limit);
	return 0;
}

/* Any failure of the indexer that is not the blob's, a limit's or ours is one of the disk below
 * it. */
static int judge(struct pass *pass, int rc, struct error *err)
{
	bool is_over_limit = rc == -EFBIG && !pass->is_over;

	pass->is_over |= is_over_limit;
	pass->place_failed = rc && !pass->is_over && rc != -EBADMSG && rc != -EINTR &&
			     rc != -ENOMEM && rc != -EMFILE;
	return is_over_limit ? error_prefix(err, rc, "more than fetch_limit") : rc;
}

/* Where the bytes to be checked next are to be put; NULL: out of memory. */
static void *check_room(struct pass *pass, size_t *ret_len, struct error *err)
{
	if (pass->indexer)
		return indexer_room(pass->indexer, ret_len, err);
	*ret_len = PIECE;
	return pass->piece;
}

/* len of them are there. */
static int check_put(struct pass *pass, size_t len, struct error *err)
{
	const struct request *request = pass->request;
	int rc;

	if (pass->size != DESCRIPTOR_SIZE_UNKNOWN && len > pass->size - pass->fed)
		return wrong_size(request->store, err,
			"more than the %" PRIu64 " bytes it should have", pass->size);
	rc = pass->indexer ? judge(pass, indexer_put(pass->indexer, len, err), err)
			   : hasher_update(pass->hasher, pass->piece, len, err);
	if (rc)
		return rc;
	pass->fed += len;
	if (request->progress)
		atomic_store(&request->progress->done, pass->fed);
	return check_cancel(request->cancel, err);
}

static int too_short(const struct pass *pass, struct error *err)
{
	return wrong_size(pass->request->store, err,
		"%" PRIu64 " bytes, not the %" PRIu64 " it should have", pass->fed, pass->size);
}

static int check_hash(struct pass *pass, struct error *err)
{
	const struct descriptor *blob = pass->request->blob;
	char want[DIGEST_TEXT_MAX], have[DIGEST_TEXT_MAX];
	struct digest digest;
	int rc;

	if (pass->size != DESCRIPTOR_SIZE_UNKNOWN && pass->fed != pass->size)
		return too_short(pass, err);
	rc = hasher_final(pass->hasher, &digest, err);
	if (rc || digest_equal(&digest, &blob->digest))
		return rc;
	return error_set(err, EBADMSG, "its digest is %s, not %s", digest_format(&digest, have),
		digest_format(&blob->digest, want));
}

static int check_finish(struct pass *pass, struct error *err)
{
	if (!pass->indexer)
		return check_hash(pass, err);
	if (pass->size != DESCRIPTOR_SIZE_UNKNOWN && pass->fed != pass->size)
		return too_short(pass, err);
	return judge(pass, indexer_finish(pass->indexer, pass->index.fd, err), err);
}

/* Names the blob in front of what is wrong with it. */
static int describe(const struct request *request, int rc, struct error *err)
{
	char text[DIGEST_TEXT_MAX];

	return rc ? error_prefix(err, rc, "blob %s", digest_format(&request->blob->digest, text))
		  : 0;
}

static int publish_index(struct pass *pass, struct files *ret, struct error *err)
{
	int rc = 0;

	if (!pass->with_index)
		return 0;
	if (pass->spool.fd >= 0)
		rc = landing_publish(&pass->spool, ret, err);
	if (!rc)
		rc = landing_publish(&pass->index, ret, err);
	if (!rc)
		observer_count(pass->request->store->observer, layers_indexed, 1);
	return rc;
}

/* --- where it lies --- */

/* Feeds the first len bytes, or all there are. */
static int feed_file(struct pass *pass, struct reader *file, uint64_t len, struct error *err)
{
	while (pass->fed < len) {
		uint64_t left = len - pass->fed;
		size_t room;
		void *bytes = check_room(pass, &room, err);
		ssize_t n = bytes ? reader_read(file, bytes, left < room ? (size_t)left : room,
					    pass->fed, err)
				  : -ENOMEM;
		int rc = n <= 0 ? (int)n : check_put(pass, (size_t)n, err);

		if (rc || !n)
			return rc;
	}
	return 0;
}

int pass_file(const struct request *request, struct reader *blob, enum pass_index index,
	struct files *ret, struct error *err)
{
	uint64_t told = request->blob->size;
	CLEANUP(pass_release) struct pass pass;
	int rc;

	pass_init(&pass, request, told == DESCRIPTOR_SIZE_UNKNOWN ? blob->size : told, index);
	do {
		check_release(&pass);
		rc = check_begin(&pass, err);
		if (!rc)
			rc = feed_file(&pass, blob, UINT64_MAX, err);
		if (!rc)
			rc = check_finish(&pass, err);
		pass.place++;
	} while (rc && pass.place_failed);
	if (!rc)
		rc = publish_index(&pass, ret, err);
	return describe(request, rc, err);
}

/* --- from the source --- */

int check_limit(const struct request *request, uint64_t bytes, struct error *err)
{
	uint64_t limit = request->store->fetch_limit;

	if (!limit || bytes == DESCRIPTOR_SIZE_UNKNOWN || bytes <= limit)
		return 0;
	return error_set(err, EFBIG, "%" PRIu64 " bytes%s: more than fetch_limit, %" PRIu64, bytes,
		request->blob->size == DESCRIPTOR_SIZE_UNKNOWN ? " at least" : "", limit);
}

static int take_piece(struct pass *pass, struct landing *landing, const void *bytes, size_t len,
	struct error *err)
{
	uint64_t size = pass->size;
	int rc = check_limit(pass->request, landing->len + len, err);

	if (!rc && size != DESCRIPTOR_SIZE_UNKNOWN && len > size - landing->len)
		rc = wrong_size(pass->request->store, err,
			"more than the %" PRIu64 " bytes it should have", size);
	if (!rc)
		rc = landing_append(landing, bytes, len, err);
	return rc ? rc : check_put(pass, len, err);
}

/* Where nobody told the size, all of it may have landed: there is nothing behind its end that
 * could be asked for, so the last byte is fetched once more. */
static uint64_t where_to_go_on(const struct pass *pass, const struct landing *landing)
{
	return landing->len - (landing->len && pass->size == DESCRIPTOR_SIZE_UNKNOWN);
}

/* Fetches what the landing lacks. */
static int feed_stream(struct pass *pass, struct landing *landing, struct error *err)
{
	const struct request *request = pass->request;
	CLEANUP(streamp) struct blob_stream *stream = NULL;
	uint64_t from = where_to_go_on(pass, landing), start = 0, skip;
	int rc;

	rc = stream_open(request, from, &stream, &start, err);
	if (rc)
		return rc == -ERANGE ? -EBADMSG : rc; /* what landed is more than there is */
	if (start && start != from)
		return error_set(err, EPROTO, "the source starts at %" PRIu64 ", not at %" PRIu64,
			start, from);
	skip = landing->len - start; /* from 0 when it cannot start in the middle */
	while (!rc) {
		size_t room;
		void *bytes = check_room(pass, &room, err);
		ssize_t n;

		if (!bytes)
			return -ENOMEM;
		n = stream->ops->read(
			stream, bytes, skip && skip < room ? (size_t)skip : room, err);
		if (n <= 0)
			return (int)n;
		rc = check_cancel(request->cancel, err);
		if (skip)
			skip -= (uint64_t)n;
		else if (!rc)
			rc = take_piece(pass, landing, bytes, (size_t)n, err);
	}
	return rc;
}

static int feed_landed(struct pass *pass, const struct landing *landing, struct error *err)
{
	CLEANUP(readerp) struct reader *landed = NULL;
	int fd = fcntl(landing->fd, F_DUPFD_CLOEXEC, 0);
	int rc = fd < 0 ? error_set(err, errno, "%m") : reader_of_copy(&landed, fd, err);

	return rc ? rc : feed_file(pass, landed, landing->len, err);
}

/* Bytes that landed earlier may be somebody else's: they need a proof as a cached blob does,
 * unless there is a request to follow, which is one. */
static int feed_all(struct pass *pass, struct landing *landing, struct error *err)
{
	const struct request *request = pass->request;
	bool is_whole = landing->len == pass->size;
	int rc = 0;

	if (is_whole && !access_is_proven(request))
		rc = access_prove(request, err);
	if (foreign_may_follow(request, rc)) { /* what comes from there is proof, all of it */
		is_whole = false;
		rc = landing_reset(landing, err);
	}
	if (!rc)
		rc = feed_landed(pass, landing, err);
	if (!rc && !is_whole)
		rc = feed_stream(pass, landing, err);
	return rc;
}

static int begin_landing(struct landing *landing, const struct request *request, struct error *err)
{
	uint64_t size = request->blob->size;
	int rc = landing_open(landing, request, CACHE_BLOB, 0, err);

	if (!rc && size != DESCRIPTOR_SIZE_UNKNOWN && landing->len > size)
		rc = landing_reset(landing, err);
	return rc;
}

/* Repeats the pass while there is something to be mended. */
static int fetch(struct pass *pass, struct landing *landing, struct error *err)
{
	bool is_afresh = false;

	for (;;) {
		int rc = check_begin(pass, err);

		if (!rc)
			rc = feed_all(pass, landing, err);
		if (!rc)
			rc = check_finish(pass, err);
		if (!rc)
			return 0;
		check_release(pass);
		if (rc == -EBADMSG) {
			struct error why;

			(void)describe(pass->request, rc, err);
			tell_mismatch(pass->request->store, err);
			store_distrust(pass->request->store, &pass->request->blob->digest);
			if (is_afresh)
				return rc;
			is_afresh = true;
			if (landing_reset(landing, &why))
				return rc;
		} else if (pass->place_failed) {
			pass->place++;
		} else if (pass->is_over && pass->want == PASS_MAY_INDEX) {
			pass->with_index = false;
		} else {
			return describe(pass->request, rc, err);
		}
	}
}

static void landing_keep(struct landing *landing)
{
	landing_release(landing, true);
}

int pass_fetch(
	const struct request *request, enum pass_index index, struct files *ret, struct error *err)
{
	CLEANUP(pass_release) struct pass pass;
	CLEANUP(landing_keep) struct landing landing = LANDING_NONE;
	struct error local = { "" };
	struct stat st;
	int rc;

	pass_init(&pass, request, request->blob->size, index);
	err = err ? err : &local; /* it is also logged */
	rc = check_limit(request, request->blob->size, err);
	if (rc)
		return describe(request, rc, err);
	rc = begin_landing(&landing, request, err);
	if (rc)
		return rc;
	rc = fetch(&pass, &landing, err);
	if (rc == -EBADMSG || (rc == -EFBIG && !pass.is_over))
		landing_release(&landing, false);
	if (rc)
		return rc;
	access_grant(request); /* before others can find what it allows */
	rc = landing_publish(&landing, ret, err);
	if (rc)
		return rc;
	if (!reader_stat(ret->blob, &st, NULL))
		seen_put(request->store, &request->blob->digest, &st);
	return publish_index(&pass, ret, err);
}
