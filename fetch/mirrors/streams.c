/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A blob is the same wherever it comes from: its digest names it.  So when one route breaks off,
 * the stream goes on at the next.
 *
 *	given to the reader            position
 *	|------------------------------|
 *	|--- skip, where a route ------|
 *	     starts at 0 alone
 */
#include "fetch/mirrors/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/cleanup.h"

struct mirrored_stream {
	struct blob_stream base;
	struct walk walk;
	struct blob_stream *inner; /* of the step at hand, or NULL: it failed */
	struct cancel *cancel;
	struct descriptor blob; /* without its texts */
	uint64_t position;      /* offset of the next byte for the reader */
	uint64_t skip;          /* bytes that come before that */
	uint64_t end;           /* where a part of the blob ends, or UINT64_MAX: all of it */
};

static void close_inner(struct mirrored_stream *stream)
{
	if (stream->inner)
		stream->inner->ops->free(stream->inner);
	stream->inner = NULL;
}

static void note_taken(struct mirrored_stream *stream)
{
	const struct walk *walk = &stream->walk;
	struct mirrors *mirrors = walk->mirrors;
	const struct digest *digest = &stream->blob.digest;
	struct taken *slot = &mirrors->taken[digest_hash(digest) % MIRROR_ORIGINS_MAX];

	(void)pthread_mutex_lock(&mirrors->lock);
	*slot = (struct taken){ *digest, walk->steps[walk->at - 1].endpoint };
	(void)pthread_mutex_unlock(&mirrors->lock);
}

void mirrors_distrust(struct source *source, const struct digest *digest)
{
	struct mirrors *mirrors = mirrors_of(source);
	struct taken *slot = &mirrors->taken[digest_hash(digest) % MIRROR_ORIGINS_MAX];
	struct endpoint *endpoint;
	char text[DIGEST_TEXT_MAX], why[DIGEST_TEXT_MAX + 32];

	(void)pthread_mutex_lock(&mirrors->lock);
	endpoint = digest_equal(&slot->digest, digest) ? slot->endpoint : NULL;
	(void)pthread_mutex_unlock(&mirrors->lock);
	if (!endpoint || !endpoint->is_mirror)
		return;
	(void)snprintf(why, sizeof why, "blob %s: other bytes", digest_format(digest, text));
	endpoint_rest(mirrors, endpoint, why);
}

static int open_inner(struct mirrored_stream *stream, struct source *registry, uint64_t *ret_start,
	struct error *err)
{
	const char *repository = stream->walk.repository;

	*ret_start = stream->position;
	if (stream->end == UINT64_MAX)
		return registry->ops->open_blob(registry, repository, &stream->blob,
			stream->position, &stream->inner, ret_start, stream->cancel, err);
	return registry->ops->open_range(registry, repository, &stream->blob, stream->position,
		stream->end - stream->position, &stream->inner, stream->cancel, err);
}

/* Parts are many, and a line each would be too much. */
static void tell(const struct mirrored_stream *stream)
{
	char what[DIGEST_TEXT_MAX + 16], text[DIGEST_TEXT_MAX];

	(void)snprintf(what, sizeof what, "blob '%s'", digest_format(&stream->blob.digest, text));
	walk_served(
		&stream->walk, stream->end == UINT64_MAX ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, what);
}

/* At the next route that has it. */
static int open_next(struct mirrored_stream *stream, uint64_t *ret_start, struct error *err)
{
	struct walk *walk = &stream->walk;
	struct source *registry;

	while ((registry = walk_next(walk))) {
		struct error why = { "" };
		int rc = open_inner(stream, registry, ret_start, &why);

		if (!rc) {
			note_taken(stream);
			tell(stream);
			return 0;
		}
		if (!walk_failed(walk, rc, &why))
			break;
	}
	return error_set(err, -walk->rc, "%s", walk->err.text);
}

static int move_on(
	struct mirrored_stream *stream, int rc, const struct error *why, struct error *err)
{
	uint64_t start;

	close_inner(stream);
	if (!walk_failed(&stream->walk, rc, why))
		return error_set(err, -rc, "%s", why->text);
	rc = open_next(stream, &start, err);
	if (!rc)
		stream->skip = stream->position - start;
	return rc;
}

static struct mirrored_stream *stream_of(struct blob_stream *stream)
{
	return container_of(stream, struct mirrored_stream, base);
}

static ssize_t stream_read(struct blob_stream *base, void *bytes, size_t len, struct error *err)
{
	struct mirrored_stream *stream = stream_of(base);

	if (!stream->inner)
		return error_set(err, EIO, "read on after a failure");
	for (;;) {
		size_t want = stream->skip && stream->skip < len ? (size_t)stream->skip : len;
		struct error why = { "" };
		ssize_t n = stream->inner->ops->read(stream->inner, bytes, want, &why);
		int rc;

		if (n > 0 && stream->skip) {
			stream->skip -= (uint64_t)n;
			continue;
		}
		if (n >= 0) {
			stream->position += (uint64_t)n;
			return n;
		}
		rc = move_on(stream, (int)n, &why, err);
		if (rc)
			return rc;
	}
}

static void stream_free(struct blob_stream *base)
{
	struct mirrored_stream *stream = stream_of(base);

	close_inner(stream);
	free(stream);
}

static const struct blob_stream_ops stream_ops = { stream_read, stream_free };

static int open_part(struct source *source, const char *repository, const struct descriptor *blob,
	uint64_t offset, uint64_t end, struct blob_stream **ret, uint64_t *ret_offset,
	struct cancel *cancel, struct error *err)
{
	CLEANUP(freep) struct mirrored_stream *stream = calloc(1, sizeof *stream);
	uint64_t start;
	int rc;

	if (!stream)
		return error_set(err, ENOMEM, "out of memory");
	stream->base.ops = &stream_ops;
	stream->cancel = cancel;
	stream->blob = (struct descriptor){ .digest = blob->digest, .size = blob->size };
	stream->position = offset;
	stream->end = end;
	rc = walk_begin(&stream->walk, mirrors_of(source), FOR_DIGEST, repository, "", err);
	if (!rc)
		rc = open_next(stream, &start, err);
	if (rc)
		return rc;
	*ret_offset = stream->position = start;
	*ret = &TAKE(stream)->base;
	return 0;
}

int mirrors_open_blob(struct source *source, const char *repository, const struct descriptor *blob,
	uint64_t offset, struct blob_stream **ret, uint64_t *ret_offset, struct cancel *cancel,
	struct error *err)
{
	return open_part(
		source, repository, blob, offset, UINT64_MAX, ret, ret_offset, cancel, err);
}

int mirrors_open_range(struct source *source, const char *repository, const struct descriptor *blob,
	uint64_t offset, uint64_t len, struct blob_stream **ret, struct cancel *cancel,
	struct error *err)
{
	uint64_t start; /* offset, as always of a part */

	return open_part(source, repository, blob, offset, offset + len, ret, &start, cancel, err);
}
