/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream outlives single requests: http continues a broken body by itself,
 * but when the token has run out meanwhile, the body is opened anew here, with a fresh
 * one, from the byte that is due.
 */
#include "fetch/registry/request.h"

#include <errno.h>
#include <stdlib.h>

#include "model/cleanup.h"

/* *ret_offset is where the body really starts. */
static int open_at(struct registry_stream *stream, uint64_t *ret_offset, struct error *err)
{
	struct http_transfer *transfer = NULL;
	int rc = stream->open(stream, stream->position, &transfer, err);

	if (rc)
		return rc;
	*ret_offset = http_response(transfer)->range_start;
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

int registry_stream_start(
	struct registry_stream *stream, uint64_t offset, uint64_t *ret_offset, struct error *err)
{
	int rc;

	stream->base.ops = &stream_ops;
	stream->position = offset;
	rc = open_at(stream, &offset, err);
	if (rc)
		return rc;
	stream->position = stream->reopened_at = offset;
	*ret_offset = offset;
	return 0;
}
