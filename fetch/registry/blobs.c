/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream outlives single requests: http continues a broken body by itself,
 * but when the token has run out meanwhile, the blob is opened anew here, with a fresh
 * one, from the byte that is due.
 */
#include "fetch/registry/internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/cleanup.h"

struct blob_call {
	struct call call;
	char path[REPOSITORY_MAX + DIGEST_TEXT_MAX + 32];
	char subject[REPOSITORY_MAX + DIGEST_TEXT_MAX + 32];
};

struct registry_stream {
	struct blob_stream base;
	struct registry *registry;
	struct cancel *cancel;
	struct http_transfer *transfer;
	char repository[REPOSITORY_MAX + 1];
	struct digest digest;
	uint64_t position;    /* offset of the next byte to read */
	uint64_t reopened_at; /* the position at which it was opened last */
};

static void prepare(struct blob_call *blob, enum http_method method, const char *repository,
	const struct digest *digest)
{
	char text[DIGEST_TEXT_MAX];

	(void)digest_format(digest, text);
	(void)snprintf(blob->path, sizeof blob->path, "/v2/%s/blobs/%s", repository, text);
	(void)snprintf(blob->subject, sizeof blob->subject, "blob '%s' of '%s'", text, repository);
	blob->call = (struct call){ .method = method,
		.repository = repository,
		.path = blob->path,
		.subject = blob->subject,
		.may_resume = true };
}

/* Opens the blob at stream->position, or at 0, which *ret_offset then says. */
static int open_at(struct registry_stream *stream, uint64_t *ret_offset, struct error *err)
{
	struct http_transfer *transfer = NULL;
	const struct http_response *response;
	struct blob_call get = { .path = "" };
	int rc;

	prepare(&get, HTTP_GET, stream->repository, &stream->digest);
	get.call.range_offset = stream->position;
	rc = registry_call(stream->registry, &get.call, NULL, &transfer, stream->cancel, err);
	if (rc)
		return rc;
	response = http_response(transfer);
	if (response->status != 200 && response->status != 206) {
		rc = registry_refused(stream->registry, &get.call, transfer, NULL, err);
		if (response->status == 416 && stream->position)
			rc = -ERANGE;
		http_close(transfer);
		return rc;
	}
	*ret_offset = response->range_start;
	stream->transfer = transfer;
	return 0;
}

static int skip(struct registry_stream *stream, uint64_t len, struct error *err)
{
	char piece[16 << 10];

	while (len) {
		size_t want = len < sizeof piece ? (size_t)len : sizeof piece;
		ssize_t n = http_read(stream->transfer, piece, want, err);

		if (n < 0)
			return (int)n;
		if (!n)
			return error_set(err, EIO, "the blob shrank");
		len -= (uint64_t)n;
	}
	return 0;
}

static int reopen(struct registry_stream *stream, struct error *err)
{
	uint64_t offset = 0;
	int rc;

	http_close(stream->transfer);
	stream->transfer = NULL;
	stream->reopened_at = stream->position;
	rc = open_at(stream, &offset, err);
	return rc ? rc : skip(stream, stream->position - offset, err);
}

static struct registry_stream *stream_of(struct blob_stream *stream)
{
	return container_of(stream, struct registry_stream, base);
}

static ssize_t stream_read(struct blob_stream *base, void *bytes, size_t len, struct error *err)
{
	struct registry_stream *stream = stream_of(base);
	ssize_t n;
	int rc;

	if (!stream->transfer)
		return error_set(err, EIO, "read on after a failure");
	n = http_read(stream->transfer, bytes, len, err);
	if (n == -EACCES && stream->position != stream->reopened_at) {
		rc = reopen(stream, err);
		if (rc)
			return rc;
		n = http_read(stream->transfer, bytes, len, err);
	}
	if (n > 0)
		stream->position += (uint64_t)n;
	return n;
}

static void stream_free(struct blob_stream *base)
{
	struct registry_stream *stream = stream_of(base);

	http_close(stream->transfer);
	free(stream);
}

static const struct blob_stream_ops stream_ops = {
	.read = stream_read,
	.free = stream_free,
};

int registry_open_blob(struct source *source, const char *repository, const struct descriptor *blob,
	uint64_t offset, struct blob_stream **ret, uint64_t *ret_offset, struct cancel *cancel,
	struct error *err)
{
	CLEANUP(freep) struct registry_stream *stream = NULL;
	int rc;

	if (!repository_is_valid(repository))
		return error_set(err, ENOENT, "not a repository");
	stream = calloc(1, sizeof *stream);
	if (!stream)
		return error_set(err, ENOMEM, "out of memory");
	stream->base.ops = &stream_ops;
	stream->registry = registry_of(source);
	stream->cancel = cancel;
	stream->digest = blob->digest;
	stream->position = offset;
	(void)snprintf(stream->repository, sizeof stream->repository, "%s", repository);
	rc = open_at(stream, &offset, err);
	if (rc)
		return rc;
	stream->position = stream->reopened_at = offset;
	*ret_offset = offset;
	*ret = &TAKE(stream)->base;
	return 0;
}

/* HEAD must not be carried to where a redirect leads: what is signed there is a
 * GET.  So that is what follows, for one byte; an empty blob has none (416). */
static int prove_by_get(struct registry *registry, const char *repository,
	const struct digest *digest, struct cancel *cancel, struct error *err)
{
	struct http_transfer *transfer = NULL;
	struct blob_call get = { .path = "" };
	long status;
	int rc;

	prepare(&get, HTTP_GET, repository, digest);
	get.call.range_len = 1;
	rc = registry_call(registry, &get.call, NULL, &transfer, cancel, err);
	if (rc)
		return rc;
	status = http_response(transfer)->status;
	if (status != 200 && status != 206 && status != 416)
		rc = registry_refused(registry, &get.call, transfer, NULL, err);
	http_close(transfer);
	return rc;
}

static bool is_final(long status)
{
	return status == 200 || status == 401 || status == 403 || status == 404 || status == 429 ||
	       (status >= 500 && status != 501);
}

int registry_prove(struct source *source, const char *repository, const struct digest *digest,
	struct cancel *cancel, struct error *err)
{
	struct registry *registry = registry_of(source);
	struct http_transfer *transfer = NULL;
	struct blob_call head = { .path = "" };
	long status;
	int rc;

	if (!repository_is_valid(repository))
		return error_set(err, ENOENT, "not a repository");
	prepare(&head, HTTP_HEAD, repository, digest);
	head.call.no_redirects = true;
	rc = registry_call(registry, &head.call, NULL, &transfer, cancel, err);
	if (rc)
		return rc;
	status = http_response(transfer)->status;
	if (is_final(status) && status != 200)
		rc = registry_refused(registry, &head.call, transfer, NULL, err);
	http_close(transfer);
	return is_final(status) ? rc : prove_by_get(registry, repository, digest, cancel, err);
}
