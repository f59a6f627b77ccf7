/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tags are resolved by HEAD, which some registries do not count as a pull, unless somebody wants to
 * read what they point at and has never seen it.
 * Where HEAD is refused, or tells no digest or no type of a manifest, the
 * manifest itself is fetched, and believed if it is one: whoever stands between
 * us and the registry answers 200 to everything, with a page to log in.
 *
 * Accept names all manifest types: asked with fewer, registries answer
 * with something else than what was pushed.
 */
#include "fetch/registry/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/observer.h"
#include "model/cleanup.h"
#include "model/image.h"
#include "model/media_type.h"

struct manifest_call {
	struct call call;
	char path[REPOSITORY_MAX + DIGEST_TEXT_MAX + TAG_MAX + 32];
	char subject[REPOSITORY_MAX + DIGEST_TEXT_MAX + TAG_MAX + 32];
};

static void prepare(struct manifest_call *manifest, enum http_method method, const char *repository,
	const char *reference)
{
	(void)snprintf(manifest->path, sizeof manifest->path, "/v2/%s/manifests/%s", repository,
		reference);
	(void)snprintf(manifest->subject, sizeof manifest->subject, "manifest '%s' of '%s'",
		reference, repository);
	manifest->call = (struct call){ .method = method,
		.repository = repository,
		.path = manifest->path,
		.accept = media_type_accept(),
		.subject = manifest->subject };
}

static int take_type(char **ret, const struct http_response *response, struct error *err)
{
	*ret = NULL;
	if (!response->content_type)
		return 0;
	*ret = strdup(response->content_type);
	return *ret ? 0 : error_set(err, ENOMEM, "out of memory");
}

static bool announces_digest(const struct http_response *response, struct digest *ret)
{
	return response->content_digest && !digest_parse(ret, response->content_digest, NULL);
}

static bool announces_manifest(const struct http_response *response)
{
	switch (media_type_find(response->content_type)->role) {
	case ROLE_INDEX:
	case ROLE_MANIFEST:
	case ROLE_SCHEMA1:
	case ROLE_ARTIFACT_MANIFEST:
		return true;
	default:
		return false;
	}
}

/* HEAD not allowed, not known, or answered as if there were nothing. */
static bool is_head_refused(long status)
{
	return status == 400 || status == 404 || status == 405 || status == 406 || status == 501;
}

/* *ret_asked_enough false: GET has to tell. */
static int take_head(struct registry *registry, const struct call *call,
	struct http_transfer *transfer, struct descriptor *ret, bool *ret_asked_enough,
	struct error *err)
{
	const struct http_response *response = http_response(transfer);
	struct digest digest;
	int rc;

	*ret_asked_enough = false;
	if (is_head_refused(response->status))
		return 0;
	if (response->status != 200)
		return registry_refused(registry, call, transfer, NULL, err);
	if (!announces_digest(response, &digest) || !announces_manifest(response))
		return 0;
	*ret = (struct descriptor){ .digest = digest,
		.size = response->has_length ? response->length : DESCRIPTOR_SIZE_UNKNOWN };
	rc = take_type(&ret->media_type, response, err);
	*ret_asked_enough = true;
	return rc;
}

static int resolve_by_head(struct registry *registry, const char *repository, const char *tag,
	struct descriptor *ret, bool *ret_asked_enough, struct cancel *cancel, struct error *err)
{
	struct http_transfer *transfer = NULL;
	struct manifest_call head = { .path = "" };
	int rc;

	prepare(&head, HTTP_HEAD, repository, tag);
	rc = registry_call(registry, &head.call, NULL, &transfer, cancel, err);
	if (rc)
		return rc;
	rc = take_head(registry, &head.call, transfer, ret, ret_asked_enough, err);
	http_close(transfer);
	return rc;
}

int registry_check_manifest(struct registry *registry, const struct call *call,
	struct http_transfer *transfer, const struct buf *body, struct error *err)
{
	const char *type = http_response(transfer)->content_type;
	enum document_kind kind = DOCUMENT_UNKNOWN;
	struct error why = { "" };
	int rc = document_kind(&kind, type, body->data ? body->data : "", body->len, &why);

	if (rc == -EOPNOTSUPP) /* nobody reads it, but it is one */
		return 0;
	if (!rc && kind == DOCUMENT_UNKNOWN)
		rc = error_set(&why, EIO, "JSON of another kind");
	if (rc == -EIO)
		return registry_mistaken(registry, call, transfer, body, "a manifest", &why, err);
	return rc ? error_set(err, -rc, "%s: %s: %s", registry->name, call->subject, why.text) : 0;
}

/* What the body says counts, not what the header says of it. */
static int find_digest(struct registry *registry, const struct call *call,
	const struct http_response *response, const struct buf *body, struct digest *ret,
	struct error *err)
{
	char said[DIGEST_TEXT_MAX], found[DIGEST_TEXT_MAX];
	struct digest announced = { .algorithm = DIGEST_SHA256 };
	bool is_announced = announces_digest(response, &announced);
	int rc = document_digest(ret, announced.algorithm, body->data, body->len, err);

	if (!rc && is_announced && !digest_equal(ret, &announced))
		observer_log(registry->observer, LOG_LEVEL_WARNING,
			"%s: %s: announced as %s, but its digest is %s", registry->name,
			call->subject, digest_format(&announced, said), digest_format(ret, found));
	return rc;
}

static int take_whole(struct registry *registry, const struct call *call,
	struct http_transfer *transfer, const struct buf *body, struct descriptor *ret,
	struct error *err)
{
	const struct http_response *response = http_response(transfer);
	struct digest digest;
	int rc;

	if (response->status != 200)
		return registry_refused(registry, call, transfer, body, err);
	rc = registry_check_manifest(registry, call, transfer, body, err);
	if (!rc)
		rc = find_digest(registry, call, response, body, &digest, err);
	if (rc)
		return rc;
	*ret = (struct descriptor){ .digest = digest, .size = body->len };
	return take_type(&ret->media_type, response, err);
}

int registry_resolve_to_read(struct source *source, const char *repository, const char *tag,
	struct descriptor *ret, struct buf *body, struct cancel *cancel, struct error *err)
{
	struct registry *registry = registry_of(source);
	struct http_transfer *transfer = NULL;
	struct manifest_call get = { .path = "" };
	int rc;

	if (!repository_is_valid(repository) || !tag_is_valid(tag))
		return error_set(err, ENOENT, "not a repository and tag");
	prepare(&get, HTTP_GET, repository, tag);
	rc = registry_call(registry, &get.call, body, &transfer, cancel, err);
	if (rc)
		return rc;
	rc = take_whole(registry, &get.call, transfer, body, ret, err);
	http_close(transfer);
	return rc;
}

int registry_resolve(struct source *source, const char *repository, const char *tag,
	struct descriptor *ret, struct cancel *cancel, struct error *err)
{
	struct registry *registry = registry_of(source);
	CLEANUP(buf_release) struct buf body = { .max = DOCUMENT_MAX };
	struct descriptor found = { .media_type = NULL };
	bool is_enough = false;
	int rc;

	if (!repository_is_valid(repository) || !tag_is_valid(tag))
		return error_set(err, ENOENT, "not a repository and tag");
	rc = resolve_by_head(registry, repository, tag, &found, &is_enough, cancel, err);
	if (!rc && !is_enough)
		rc = registry_resolve_to_read(source, repository, tag, &found, &body, cancel, err);
	if (rc)
		return rc;
	*ret = found;
	return 0;
}

int registry_manifest(struct source *source, const char *repository, const struct digest *digest,
	struct buf *body, char **ret_type, struct cancel *cancel, struct error *err)
{
	struct registry *registry = registry_of(source);
	struct http_transfer *transfer = NULL;
	struct manifest_call get = { .path = "" };
	char text[DIGEST_TEXT_MAX];
	int rc;

	if (!repository_is_valid(repository))
		return error_set(err, ENOENT, "not a repository");
	prepare(&get, HTTP_GET, repository, digest_format(digest, text));
	rc = registry_call(registry, &get.call, body, &transfer, cancel, err);
	if (rc)
		return rc;
	if (http_response(transfer)->status != 200)
		rc = registry_refused(registry, &get.call, transfer, body, err);
	else if (ret_type)
		rc = take_type(ret_type, http_response(transfer), err);
	http_close(transfer);
	return rc;
}
