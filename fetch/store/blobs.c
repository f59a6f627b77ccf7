/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stored blobs and layers.
 *
 * Bytes of a layer are checked span by span when they are read; a blob that is
 * shown whole has nothing to check its parts by, so it is hashed once before
 * it is given out: a file in the cache may have lost a bit since it was
 * written, one of a layout may have been anything from the start.
 */
#include "fetch/store/internal.h"

#include <string.h>

#include "fetch/clock.h"
#include "model/cleanup.h"

enum { TRIES = 2 }; /* a damaged copy is made anew once */

/* --- blobs --- */

/* 0, STORE_WORK, -EBADMSG, or that it could not be read. */
static int verify_once(
	const struct request *request, struct reader *blob, struct stat *st, struct error *err)
{
	struct store *store = request->store;
	struct files none = FILES_NONE;
	struct stat after;
	int rc = reader_stat(blob, st, err);

	if (rc || seen_has(store, &request->blob->digest, st))
		return rc;
	if (request->step < STORE_WORK)
		return STORE_WORK;
	rc = pass_file(request, blob, PASS_WITHOUT, &none, err);
	if (rc == -EBADMSG)
		tell_mismatch(store, err);
	if (!rc)
		rc = reader_stat(blob, &after, err);
	if (rc)
		return rc;
	if (after.st_size == st->st_size && times_equal(&after.st_mtim, &st->st_mtim))
		seen_put(store, &request->blob->digest, st);
	return 0;
}

int store_blob(struct store *store, enum store_step step, const char *repository,
	const struct descriptor *blob, struct stored_blob *ret, struct progress *progress,
	struct cancel *cancel, struct error *err)
{
	const struct request request = { store, step, repository, blob, progress, cancel };
	CLEANUP(files_close) struct files files = FILES_NONE;
	struct error local = { "" };
	struct stat st;
	int rc;

	err = err ? err : &local;
	rc = data_open(&request, &files.blob);
	if (!rc) {
		*ret = (struct stored_blob){ .size = files.blob->size };
		ret->bytes = TAKE(files.blob);
		return 0;
	}
	for (int i = 0; i < TRIES; i++) {
		rc = obtain(&request, WANT_BLOB, &files, err);
		if (rc)
			return listed(rc);
		rc = verify_once(&request, files.blob, &st, err);
		if (rc != -EBADMSG || files.is_local)
			break;
		store_drop(store, CACHE_BLOB, &blob->digest);
		files_close(&files);
	}
	if (rc)
		return rc;
	*ret = (struct stored_blob){
		.size = files.blob->size, .is_local = files.is_local, .st = st
	};
	ret->bytes = TAKE(files.blob);
	return 0;
}

void stored_blob_release(struct stored_blob *blob)
{
	reader_unref(blob->bytes);
	*blob = (struct stored_blob){ 0 };
}

bool stored_blob_is_intact(const struct stored_blob *blob)
{
	struct stat st;

	if (!blob->is_local)
		return true;
	return !reader_stat(blob->bytes, &st, NULL) && st.st_size == blob->st.st_size &&
	       times_equal(&st.st_mtim, &blob->st.st_mtim) &&
	       times_equal(&st.st_ctim, &blob->st.st_ctim);
}

void store_blob_damaged(struct store *store, const struct digest *digest)
{
	store_drop(store, CACHE_BLOB, digest);
}

/* --- layers --- */

static int open_index(const struct request *request, int fd, struct layer **ret, struct error *err)
{
	const struct descriptor *blob = request->blob;
	struct layer *layer;
	int rc = layer_open(&layer, fd, &blob->digest, err);

	if (rc)
		return rc;
	if (blob->size != DESCRIPTOR_SIZE_UNKNOWN && layer->stored_size != blob->size) {
		rc = error_set(err, EBADMSG, "the blob has %llu bytes, its descriptor says %llu",
			(unsigned long long)layer->stored_size, (unsigned long long)blob->size);
		layer_free(layer);
		return rc;
	}
	layer_set_secret(layer, cache_secret(request->store->cache));
	*ret = layer;
	return 0;
}

int store_layer(struct store *store, enum store_step step, const char *repository,
	const struct descriptor *blob, struct layer **ret, struct progress *progress,
	struct cancel *cancel, struct error *err)
{
	const struct request request = { store, step, repository, blob, progress, cancel };
	int rc = 0;

	for (int i = 0; i < TRIES; i++) {
		CLEANUP(files_close) struct files files = FILES_NONE;

		rc = obtain(&request, WANT_INDEX, &files, err);
		if (rc)
			return listed(rc);
		rc = open_index(&request, files.index_fd, ret, err);
		if (rc != -EIO)
			return rc;
		store_drop(store, CACHE_INDEX, &blob->digest);
	}
	return rc;
}

/* All that is wanted, or all but the blob; -ENOENT: less; STORE_ASK. */
static int find_lacking_blob(
	const struct request *request, unsigned wanted, struct files *ret, struct error *err)
{
	bool may_ask = request->step == STORE_ASK || request->step == STORE_FETCH;
	int rc = files_find(request, wanted, may_ask, ret, err);
	bool has_rest = !(wanted & WANT_SPOOL) || files_has(ret, CACHE_SPOOL);
	bool has_some = ret->blob || files_has(ret, CACHE_SPOOL);

	if (rc != -ENOENT || !has_rest)
		return rc;
	return may_ask || !has_some || access_is_proven(request) ? 0 : STORE_ASK;
}

int store_layer_files(struct store *store, enum store_step step, const char *repository,
	const struct descriptor *blob, const struct layer *layer, bool may_lack_blob,
	struct reader **ret_blob, int *ret_spool_fd, struct progress *progress,
	struct cancel *cancel, struct error *err)
{
	const struct request request = { store, step, repository, blob, progress, cancel };
	CLEANUP(files_close) struct files files = FILES_NONE;
	unsigned wanted = WANT_BLOB | (layer->needs_spool ? (unsigned)WANT_SPOOL : 0);
	int rc = -ENOENT;

	if (may_lack_blob && has_ranges(store))
		rc = find_lacking_blob(&request, wanted, &files, err);
	if (rc == -ENOENT)
		rc = obtain(&request, wanted, &files, err);
	if (rc)
		return listed(rc);
	*ret_blob = TAKE(files.blob);
	*ret_spool_fd = layer->needs_spool ? TAKE_FD(files.spool_fd) : -1;
	return 0;
}

void store_layer_damaged(struct store *store, const struct layer *layer)
{
	store_drop(store, CACHE_BLOB, &layer->digest);
	store_drop(store, CACHE_SPOOL, &layer->digest);
	store_drop(store, CACHE_INDEX, &layer->digest);
}
