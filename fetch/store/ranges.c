/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of a blob that is not here, for those who can tell right bytes from wrong ones by the
 * layer's index.  A range that was given is a proof of access, as a fetch is.
 */
#include "fetch/store/internal.h"

#include <inttypes.h>

#include "model/cleanup.h"

bool has_ranges(const struct store *store)
{
	return is_remote(store) && store->source->ops->open_range;
}

/* Where parts are refused, the whole may be had after all: from elsewhere (a foreign layer), or
 * with another size than the index has, which is for the verification to say. */
static bool is_for_the_whole(const struct request *request, int rc)
{
	return rc == -ERANGE || foreign_is_meant(request, rc);
}

static int open_range(const struct request *request, uint64_t offset, size_t len,
	struct blob_stream **ret, struct error *err)
{
	struct source *source = request->store->source;
	int rc;

	if (!has_ranges(request->store))
		return error_set(err, EOPNOTSUPP, "the source gives no parts of blobs");
	if (request->store->offline)
		return error_set(err, ENETUNREACH, "offline, and not in the cache");
	rc = source->ops->open_range(
		source, request->repository, request->blob, offset, len, ret, request->cancel, err);
	return is_for_the_whole(request, rc) ? -EOPNOTSUPP : rc;
}

static int read_range(const struct request *request, struct blob_stream *stream, char *bytes,
	size_t len, struct error *err)
{
	for (size_t done = 0; done < len;) {
		size_t left = len - done;
		ssize_t n =
			stream->ops->read(stream, bytes + done, left < PIECE ? left : PIECE, err);

		if (n < 0)
			return (int)n;
		if (!n)
			return error_set(
				err, EIO, "%zu bytes of a range of %zu are missing", left, len);
		done += (size_t)n;
		if (request->progress)
			atomic_store(&request->progress->done, done);
	}
	return 0;
}

static int fetch_range(const struct request *request, uint64_t offset, size_t len, uint64_t size,
	struct reader **ret, struct error *err)
{
	CLEANUP(streamp) struct blob_stream *stream = NULL;
	CLEANUP(freep) char *bytes = malloc(len);
	int rc;

	if (!bytes)
		return error_set(err, ENOMEM, "out of memory");
	if (request->progress)
		atomic_store(&request->progress->total, len);
	rc = open_range(request, offset, len, &stream, err);
	if (!rc)
		rc = read_range(request, stream, bytes, len, err);
	if (rc)
		return rc;
	access_grant(request);
	return reader_of_bytes(ret, TAKE(bytes), len, offset, size, err);
}

int store_range(struct store *store, const char *repository, const struct descriptor *blob,
	uint64_t size, uint64_t fetched, uint64_t offset, size_t len, struct reader **ret,
	struct progress *progress, struct cancel *cancel, struct error *err)
{
	const struct request request = { store, STORE_FETCH, repository, blob, progress, cancel };
	CLEANUP(files_close) struct files files = FILES_NONE;
	int rc = files_find(&request, WANT_BLOB, true, &files, err);

	if (!rc) { /* somebody fetched all of it meanwhile */
		*ret = TAKE(files.blob);
		return 0;
	}
	if (rc == -ENOENT)
		rc = check_limit(&request, fetched + len, err);
	if (!rc)
		rc = fetch_range(&request, offset, len, size, ret, err);
	return listed(rc);
}
