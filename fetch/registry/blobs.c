/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/registry/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/clock.h"
#include "model/cleanup.h"

/* Who gave the whole for a part is asked for no more parts, as that costs the whole each time; but
 * one that fetches from elsewhere itself may have had no more of it yet. */
enum { WHOLE_REST_MS = 600000 };

struct blob_call {
	struct call call;
	char path[REPOSITORY_MAX + DIGEST_TEXT_MAX + 32];
	char subject[REPOSITORY_MAX + DIGEST_TEXT_MAX + 32];
};

struct blob_opening {
	struct registry_stream stream;
	struct registry *registry;
	struct cancel *cancel;
	char repository[REPOSITORY_MAX + 1];
	struct digest digest;
	uint64_t end; /* offset where a part of the blob ends, or UINT64_MAX: all of it */
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

/* Of a part, the whole is no substitute: it may be a thousand times as long. */
static bool is_of_use(const struct blob_opening *opening, long status)
{
	return status == 206 || (status == 200 && opening->end == UINT64_MAX);
}

static bool gives_parts(struct registry *registry)
{
	bool gives;

	(void)pthread_mutex_lock(&registry->lock);
	gives = now_ms() >= registry->whole_until;
	(void)pthread_mutex_unlock(&registry->lock);
	return gives;
}

static int refuse_whole(struct registry *registry, const char *subject, struct error *err)
{
	(void)pthread_mutex_lock(&registry->lock);
	registry->whole_until = now_ms() + WHOLE_REST_MS;
	(void)pthread_mutex_unlock(&registry->lock);
	return error_set(
		err, EOPNOTSUPP, "%s: %s: the whole of it, not a range", registry->name, subject);
}

static int refuse(struct blob_opening *opening, const struct blob_call *get, uint64_t position,
	struct http_transfer *transfer, struct error *err)
{
	long status = http_response(transfer)->status;
	int rc;

	if (status == 200)
		return refuse_whole(opening->registry, get->subject, err);
	rc = registry_refused(opening->registry, &get->call, transfer, NULL, err);
	return status == 416 && position ? -ERANGE : rc;
}

static int open_at(struct registry_stream *base, uint64_t position, struct http_transfer **ret,
	struct error *err)
{
	struct blob_opening *opening = container_of(base, struct blob_opening, stream);
	struct http_transfer *transfer = NULL;
	struct blob_call get = { .path = "" };
	int rc;

	prepare(&get, HTTP_GET, opening->repository, &opening->digest);
	get.call.range_offset = position;
	if (opening->end != UINT64_MAX)
		get.call.range_len = opening->end - position;
	rc = registry_call(opening->registry, &get.call, NULL, &transfer, opening->cancel, err);
	if (rc)
		return rc;
	if (!is_of_use(opening, http_response(transfer)->status)) {
		rc = refuse(opening, &get, position, transfer, err);
		http_close(transfer);
		return rc;
	}
	*ret = transfer;
	return 0;
}

static int open_part(struct source *source, const char *repository, const struct descriptor *blob,
	uint64_t offset, uint64_t end, struct blob_stream **ret, uint64_t *ret_offset,
	struct cancel *cancel, struct error *err)
{
	CLEANUP(freep) struct blob_opening *opening = NULL;
	int rc;

	if (!repository_is_valid(repository))
		return error_set(err, ENOENT, "not a repository");
	opening = calloc(1, sizeof *opening);
	if (!opening)
		return error_set(err, ENOMEM, "out of memory");
	opening->stream.open = open_at;
	opening->registry = registry_of(source);
	opening->cancel = cancel;
	opening->digest = blob->digest;
	opening->end = end;
	(void)snprintf(opening->repository, sizeof opening->repository, "%s", repository);
	rc = registry_stream_start(&opening->stream, offset, ret_offset, err);
	if (rc)
		return rc;
	*ret = &TAKE(opening)->stream.base;
	return 0;
}

int registry_open_blob(struct source *source, const char *repository, const struct descriptor *blob,
	uint64_t offset, struct blob_stream **ret, uint64_t *ret_offset, struct cancel *cancel,
	struct error *err)
{
	return open_part(
		source, repository, blob, offset, UINT64_MAX, ret, ret_offset, cancel, err);
}

int registry_open_range(struct source *source, const char *repository,
	const struct descriptor *blob, uint64_t offset, uint64_t len, struct blob_stream **ret,
	struct cancel *cancel, struct error *err)
{
	struct registry *registry = registry_of(source);
	uint64_t start; /* offset, or it would not be a 206 */

	if (!gives_parts(registry))
		return error_set(err, EOPNOTSUPP, "%s gives no parts of blobs", registry->name);
	return open_part(source, repository, blob, offset, offset + len, ret, &start, cancel, err);
}

/* Who says yes to everything does not know how long the blob is. */
static bool is_about(const struct descriptor *blob, bool is_said, uint64_t size)
{
	return !is_said || blob->size == DESCRIPTOR_SIZE_UNKNOWN || size == blob->size;
}

static int take_yes(struct registry *registry, const struct call *call,
	const struct http_response *response, const struct descriptor *blob, struct error *err)
{
	bool is_part = response->status == 206;
	uint64_t size = is_part ? response->total : response->length;

	if (is_about(blob, is_part ? response->has_total : response->has_length, size))
		return 0;
	return error_set(err, EPROTO,
		"%s: %s: an answer about %" PRIu64 " bytes, where it has %" PRIu64, registry->name,
		call->subject, size, blob->size);
}

/* HEAD must not be carried to where a redirect leads: what is signed there is a
 * GET.  So that is what follows, for one byte; an empty blob has none (416). */
static int prove_by_get(struct registry *registry, const char *repository,
	const struct descriptor *blob, struct cancel *cancel, struct error *err)
{
	const struct http_response *response;
	struct http_transfer *transfer = NULL;
	struct blob_call get = { .path = "" };
	int rc;

	prepare(&get, HTTP_GET, repository, &blob->digest);
	get.call.range_len = 1;
	rc = registry_call(registry, &get.call, NULL, &transfer, cancel, err);
	if (rc)
		return rc;
	response = http_response(transfer);
	if (response->status == 200 || response->status == 206)
		rc = take_yes(registry, &get.call, response, blob, err);
	else if (response->status != 416)
		rc = registry_refused(registry, &get.call, transfer, NULL, err);
	http_close(transfer);
	return rc;
}

static bool is_final(long status)
{
	return status == 200 || status == 401 || status == 403 || status == 404 || status == 429 ||
	       (status >= 500 && status != 501);
}

int registry_prove(struct source *source, const char *repository, const struct descriptor *blob,
	struct cancel *cancel, struct error *err)
{
	struct registry *registry = registry_of(source);
	struct http_transfer *transfer = NULL;
	struct blob_call head = { .path = "" };
	const struct http_response *response;
	bool is_told;
	int rc;

	if (!repository_is_valid(repository))
		return error_set(err, ENOENT, "not a repository");
	prepare(&head, HTTP_HEAD, repository, &blob->digest);
	head.call.no_redirects = true;
	rc = registry_call(registry, &head.call, NULL, &transfer, cancel, err);
	if (rc)
		return rc;
	response = http_response(transfer);
	is_told = is_final(response->status);
	if (response->status == 200)
		is_told = is_about(blob, response->has_length, response->length);
	else if (is_told)
		rc = registry_refused(registry, &head.call, transfer, NULL, err);
	http_close(transfer);
	return is_told ? rc : prove_by_get(registry, repository, blob, cancel, err);
}
