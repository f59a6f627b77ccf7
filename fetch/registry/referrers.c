/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Referrers, by the API for them; where a registry has none, which is said in
 * several ways, by the tag that clients then keep themselves.
 *
 * They are asked for on the side, when somebody lists a directory.  So a
 * failure is not tried again: the listing would wait for it.
 */
#include "fetch/registry/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fetch/referrers.h"
#include "model/cleanup.h"
#include "model/image.h"

enum {
	REFERRERS_PAGES_MAX = 1000,     /* empty pages are allowed, but not for ever */
	REFERRERS_BYTES_MAX = 32 << 20, /* bytes of all pages: annotations can be long */
};

struct asking {
	struct registry *registry;
	struct call call;
	struct referrer_list found;
	size_t bytes;
	bool is_manifest; /* what is asked for: anything else is no answer */
	struct cancel *cancel;
};

static bool says_unsupported(long status)
{
	return status == 400 || status == 404 || status == 405 || status == 406 || status == 501;
}

/* *ret_is_index false: it is something else, which is no error. */
static int take_index(
	struct asking *asking, const struct buf *body, bool *ret_is_index, struct error *err)
{
	CLEANUP(image_index_release) struct image_index idx = { 0 };
	const char *bytes = body->data ? body->data : "";
	enum document_kind kind = DOCUMENT_UNKNOWN;
	int rc = document_kind(&kind, NULL, bytes, body->len, NULL);

	*ret_is_index = !rc && (kind == DOCUMENT_OCI_INDEX || kind == DOCUMENT_DOCKER_LIST);
	if (!*ret_is_index)
		return rc == -ENOMEM ? error_set(err, ENOMEM, "out of memory") : 0;
	asking->bytes += body->len;
	if (asking->bytes > REFERRERS_BYTES_MAX)
		return error_set(err, EFBIG, "more than %d bytes", REFERRERS_BYTES_MAX);
	rc = image_index_parse(&idx, kind, bytes, body->len, err);
	for (size_t i = 0; !rc && i < idx.entry_count; i++)
		rc = referrer_list_add(&asking->found, &idx.entries[i], err);
	return rc;
}

/* Adds what an index at path holds.  *ret_has false: there is no such index.  *ret_next is the
 * path of the page that follows, the caller's, or NULL. */
static int ask(
	struct asking *asking, const char *path, bool *ret_has, char **ret_next, struct error *err)
{
	CLEANUP(buf_release) struct buf body = { .max = DOCUMENT_MAX };
	struct http_transfer *transfer = NULL;
	const struct http_response *response;
	int rc;

	*ret_has = false;
	*ret_next = NULL;
	asking->call.path = path;
	rc = registry_call(asking->registry, &asking->call, &body, &transfer, asking->cancel, err);
	if (rc)
		return rc;
	response = http_response(transfer);
	if (response->status == 200 && asking->is_manifest)
		rc = registry_check_manifest(asking->registry, &asking->call, transfer, &body, err);
	if (response->status == 200 && !rc)
		rc = take_index(asking, &body, ret_has, err);
	else if (!rc && !says_unsupported(response->status))
		rc = registry_refused(asking->registry, &asking->call, transfer, &body, err);
	if (!rc && *ret_has)
		rc = registry_next_page(asking->registry, path, response->links, ret_next, err);
	http_close(transfer);
	return rc;
}

/* *ret_has false: there is no API. */
static int ask_api(struct asking *asking, const char *path, bool *ret_has, struct error *err)
{
	CLEANUP(freep) char *next = NULL;
	int rc = ask(asking, path, ret_has, &next, err);

	for (unsigned pages = 1; !rc && next; pages++) {
		CLEANUP(freep) char *page = TAKE(next);
		bool has_page;

		if (pages >= REFERRERS_PAGES_MAX)
			return error_set(err, EFBIG, "more than %d pages", REFERRERS_PAGES_MAX);
		rc = ask(asking, page, &has_page, &next, err);
		if (!rc && !has_page)
			rc = error_set(err, EIO, "a page is missing");
	}
	return rc;
}

/* A tag that is not there, or is an image, holds none. */
static int ask_tag(struct asking *asking, const char *path, struct error *err)
{
	CLEANUP(freep) char *next = NULL;
	bool has_tag;

	asking->is_manifest = true;
	return ask(asking, path, &has_tag, &next, err);
}

int registry_referrers(struct source *source, const char *repository, const struct digest *subject,
	struct descriptor **ret, size_t *ret_count, struct cancel *cancel, struct error *err)
{
	char path[REPOSITORY_MAX + DIGEST_TEXT_MAX + 32], text[DIGEST_TEXT_MAX];
	char about[REPOSITORY_MAX + DIGEST_TEXT_MAX + 32], tag[REFERRERS_TAG_MAX];
	struct asking asking = { .registry = registry_of(source),
		.call = { .repository = repository,
			.subject = about,
			.accept = media_type_accept(),
			.no_retries = true },
		.cancel = cancel };
	bool has_api;
	int rc;

	if (!repository_is_valid(repository))
		return error_set(err, ENOENT, "not a repository");
	(void)digest_format(subject, text);
	(void)snprintf(about, sizeof about, "referrers of '%s' in '%s'", text, repository);
	(void)snprintf(path, sizeof path, "/v2/%s/referrers/%s", repository, text);
	rc = ask_api(&asking, path, &has_api, err);
	if (!rc && !has_api) {
		(void)snprintf(path, sizeof path, "/v2/%s/manifests/%s", repository,
			referrers_tag(subject, tag));
		rc = ask_tag(&asking, path, err);
	}
	if (!rc)
		referrer_list_give(&asking.found, subject, ret, ret_count);
	referrer_list_release(&asking.found);
	return rc;
}
