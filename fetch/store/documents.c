/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Manifests, indexes and configs: small, read whole, hashed each time.
 *
 * A registry's are kept in the cache as blobs.  What Content-Type it gave with
 * a manifest is kept as a ref whose tag is the digest (no tag holds a ':'), so
 * that a document is not taken for another kind when it comes from the cache.
 *
 * Signed schema 1 manifests are named by the digest of their payload: registries sign anew at each
 * GET.  The body that came first is kept and stays what is shown.
 */
#include "fetch/store/internal.h"

#include <inttypes.h>
#include <string.h>

#include "model/cleanup.h"
#include "model/image.h"

struct document {
	struct request request;
	bool is_manifest;
	struct buf body;
	char *type; /* of a manifest; NULL: not said */
};

static void document_release(struct document *document)
{
	buf_release(&document->body);
	free(document->type);
}

static void document_clear(struct document *document)
{
	buf_clear(&document->body);
	free(TAKE(document->type));
}

/* --- what is read --- */

/* Is it the manifest that was asked for, though not by all of its bytes? */
static bool has_right_payload(const struct document *document)
{
	const struct digest *wanted = &document->request.blob->digest;
	const struct buf *body = &document->body;
	struct digest digest;

	return document->is_manifest && body->len &&
	       !document_digest(&digest, wanted->algorithm, body->data, body->len, NULL) &&
	       digest_equal(&digest, wanted);
}

static int verify(struct document *document, struct error *err)
{
	const struct descriptor *blob = document->request.blob;
	const struct buf *body = &document->body;
	char want[DIGEST_TEXT_MAX], have[DIGEST_TEXT_MAX];
	struct digest digest;
	int rc;

	rc = digest_of(
		&digest, blob->digest.algorithm, body->data ? body->data : "", body->len, err);
	if (rc)
		return rc;
	if (blob->size != DESCRIPTOR_SIZE_UNKNOWN && body->len != blob->size)
		return wrong_size(document->request.store, err,
			"%s: %zu bytes, not the %" PRIu64 " it should have",
			digest_format(&blob->digest, want), body->len, blob->size);
	if (digest_equal(&digest, &blob->digest) || has_right_payload(document))
		return 0;
	return error_set(err, EBADMSG, "%s: its digest is %s", digest_format(&blob->digest, want),
		digest_format(&digest, have));
}

static int append(struct document *document, const void *bytes, size_t len, struct error *err)
{
	int rc = buf_append(&document->body, bytes, len);

	if (!rc)
		return check_cancel(document->request.cancel, err);
	return error_set(err, -rc,
		rc == -EFBIG ? "a document of more than %d bytes"
			     : "a document of up to %d bytes: out of memory",
		DOCUMENT_MAX);
}

static int read_file(struct document *document, struct reader *file, struct error *err)
{
	char piece[16 << 10];

	for (;;) {
		ssize_t n = reader_read(file, piece, sizeof piece, document->body.len, err);
		int rc = n < 0 ? (int)n : append(document, piece, (size_t)n, err);

		if (rc || (size_t)n < sizeof piece)
			return rc;
	}
}

static int read_stream(struct document *document, struct error *err)
{
	const struct request *request = &document->request;
	CLEANUP(streamp) struct blob_stream *stream = NULL;
	char piece[16 << 10];
	uint64_t start;
	ssize_t n = 0;
	int rc = stream_open(request, 0, &stream, &start, err);

	if (rc)
		return rc;
	do {
		n = stream->ops->read(stream, piece, sizeof piece, err);
		rc = n < 0 ? (int)n : append(document, piece, (size_t)n, err);
	} while (!rc && n);
	return rc;
}

static int read_source(struct document *document, struct error *err)
{
	const struct request *request = &document->request;
	struct source *source = request->store->source;
	CLEANUP(readerp) struct reader *file = NULL;
	int rc;

	if (document->is_manifest)
		return source->ops->manifest(source, request->repository, &request->blob->digest,
			&document->body, &document->type, request->cancel, err);
	if (is_remote(request->store))
		return read_stream(document, err);
	rc = source->ops->open_reader(source, &request->blob->digest, &file, request->cancel, err);
	return rc ? rc : read_file(document, file, err);
}

/* A copy that is not what it should be is asked for once more. */
static int fetch(struct document *document, struct error *err)
{
	struct store *store = document->request.store;
	int tries = is_remote(store) ? 2 : 1;
	int rc = -EBADMSG;

	for (int i = 0; i < tries; i++) {
		document_clear(document);
		rc = read_source(document, err);
		if (!rc)
			rc = verify(document, err);
		if (rc != -EBADMSG)
			break;
		tell_mismatch(store, err);
		store_distrust(store, &document->request.blob->digest);
	}
	return rc;
}

/* --- the cache --- */

static void put(struct document *document)
{
	const struct request *request = &document->request;
	struct store *store = request->store;
	struct descriptor typed = *request->blob;
	struct cache_writer *writer;
	char text[DIGEST_TEXT_MAX];

	if (!store->cache)
		return;
	typed.media_type = document->type;
	if (document->type) /* first: a document in the cache has its type there */
		(void)cache_ref_put(store->cache, store->host, request->repository,
			digest_format(&typed.digest, text), &typed, NULL);
	if (cache_writer_new(&writer, store->cache, CACHE_BLOB, &typed.digest, NULL))
		return; /* the cache has said why; the document is fetched again next time */
	if (!document->body.len ||
		!cache_writer_append(writer, document->body.data, document->body.len, NULL))
		(void)cache_writer_commit(writer, NULL);
	cache_writer_free(writer, false);
}

void document_keep(struct store *store, const char *repository, const struct descriptor *manifest,
	const struct buf *body)
{
	struct document document = { .request = { store, STORE_FETCH, repository, manifest, NULL,
					     NULL },
		.is_manifest = true,
		.body = *body,
		.type = manifest->media_type }; /* both borrowed */

	access_grant(&document.request);
	put(&document);
}

static int read_type(struct document *document, struct error *err)
{
	const struct request *request = &document->request;
	struct store *store = request->store;
	struct descriptor typed = { 0 };
	char text[DIGEST_TEXT_MAX];
	uint64_t age;
	int rc;

	if (!document->is_manifest)
		return 0;
	rc = cache_ref_get(store->cache, store->host, request->repository,
		digest_format(&request->blob->digest, text), &typed, &age, err);
	if (!rc)
		document->type = TAKE(typed.media_type);
	descriptor_release(&typed);
	return rc == -ENOMEM ? rc : 0;
}

/* -ENOENT: not there, or damaged. */
static int get_cached(struct document *document, struct error *err)
{
	const struct request *request = &document->request;
	struct store *store = request->store;
	const struct digest *digest = &request->blob->digest;
	CLEANUP(readerp) struct reader *file = NULL;
	int fd, rc;

	if (!store->cache)
		return error_set(err, ENOENT, "there is no cache");
	fd = cache_lookup(store->cache, CACHE_BLOB, digest, request->blob->size, err);
	if (fd < 0)
		return fd;
	rc = reader_of_copy(&file, fd, err);
	document_clear(document);
	if (!rc)
		rc = read_file(document, file, err);
	if (!rc)
		rc = verify(document, err);
	if (rc == -EBADMSG) {
		tell_mismatch(store, err);
		cache_drop(store->cache, CACHE_BLOB, digest);
		return -ENOENT;
	}
	return rc ? rc : read_type(document, err);
}

/* What may be given out without asking anybody; else -ENOENT. */
static int get_proven(struct document *document, struct error *err)
{
	return access_is_proven(&document->request) ? get_cached(document, err) : -ENOENT;
}

/* Fetching is a proof as good as asking for one, and for manifests the only one: what is
 * asked about are blobs. */
static int get_or_fetch(struct document *document, struct error *err)
{
	const struct request *request = &document->request;
	struct store *store = request->store;
	char text[DIGEST_TEXT_MAX];
	struct error why = { "" };
	int rc = get_proven(document, err);

	if (rc != -ENOENT)
		return rc;
	(void)digest_format(&request->blob->digest, text);
	if (store->offline)
		return error_set(err, ENETUNREACH, "%s: offline, and not in the cache", text);
	rc = fetch(document, err);
	away_note(store, rc, err);
	if (!rc) {
		access_grant(request);
		put(document);
		return 0;
	}
	if (!source_is_away(rc) || !access_was_proven(request) || get_cached(document, &why))
		return rc;
	observer_log(store->observer, away_level(store), "%s; serving %.19s from cache", err->text,
		text);
	return 0;
}

static int obtain_document(struct document *document, struct error *err)
{
	const struct request *request = &document->request;
	struct work *work;
	int rc;

	if (must_wait(request))
		return STORE_FETCH;
	if (!is_remote(request->store))
		return fetch(document, err);
	do {
		rc = check_cancel(request->cancel, err);
		if (!rc)
			rc = get_proven(document, err);
		if (rc != -ENOENT)
			return rc;
		if (request->step != STORE_FETCH)
			return STORE_FETCH; /* it is a proof, and as small as asking for one */
		rc = work_begin(&work, request, err);
	} while (!rc && !work);
	if (rc)
		return rc;
	rc = get_or_fetch(document, err);
	work_end(work, rc, err);
	return rc;
}

static int give(struct document *document, char **ret_bytes, size_t *ret_len, struct error *err)
{
	size_t len;
	char *bytes = buf_take(&document->body, &len);

	if (!bytes)
		return error_set(err, ENOMEM, "out of memory");
	*ret_bytes = bytes;
	*ret_len = len;
	return 0;
}

int store_manifest(struct store *store, enum store_step step, const char *repository,
	const struct digest *digest, char **ret_bytes, size_t *ret_len, char **ret_type,
	struct cancel *cancel, struct error *err)
{
	const struct descriptor blob = { .digest = *digest, .size = DESCRIPTOR_SIZE_UNKNOWN };
	CLEANUP(document_release)
	struct document document = { .request = { store, step, repository, &blob, NULL, cancel },
		.is_manifest = true };
	struct error local = { "" };
	int rc;

	err = err ? err : &local;
	buf_init(&document.body, DOCUMENT_MAX);
	rc = obtain_document(&document, err);
	if (!rc)
		rc = give(&document, ret_bytes, ret_len, err);
	if (!rc && ret_type)
		*ret_type = TAKE(document.type);
	return rc;
}

bool store_has_manifest(struct store *store, const char *repository, const struct digest *digest)
{
	const struct descriptor blob = { .digest = *digest, .size = DESCRIPTOR_SIZE_UNKNOWN };
	CLEANUP(document_release)
	struct document document = {
		.request = { store, STORE_LOOK, repository, &blob, NULL, NULL }, .is_manifest = true
	};
	struct error why;

	buf_init(&document.body, DOCUMENT_MAX);
	return access_was_proven(&document.request) && !get_cached(&document, &why);
}

int store_document(struct store *store, enum store_step step, const char *repository,
	const struct descriptor *blob, char **ret_bytes, size_t *ret_len, struct cancel *cancel,
	struct error *err)
{
	CLEANUP(document_release)
	struct document document = { .request = { store, step, repository, blob, NULL, cancel } };
	uint64_t limit = is_remote(store) && store->fetch_limit && store->fetch_limit < DOCUMENT_MAX
				 ? store->fetch_limit
				 : DOCUMENT_MAX;
	struct error local = { "" };
	int rc;

	err = err ? err : &local;
	if (blob->size != DESCRIPTOR_SIZE_UNKNOWN && blob->size > limit)
		return error_set(err, EFBIG, "a document of %" PRIu64 " bytes: more than %" PRIu64,
			blob->size, limit);
	if (!data_get(&document.request, ret_bytes, ret_len))
		return 0;
	buf_init(&document.body, DOCUMENT_MAX);
	rc = obtain_document(&document, err);
	if (!rc)
		rc = give(&document, ret_bytes, ret_len, err);
	return listed(rc);
}
