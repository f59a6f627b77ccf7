/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request of the API: by the right scheme, with the right header, and what
 * its status means.
 *
 * The scheme is found out by the first request itself.  http is tried only when the
 * host is one for which that is allowed, and https did not come about: a
 * certificate that does not verify is an answer, and no reason for http.
 *
 * A challenge is answered once per request, and once more when the token was revoked or
 * other credentials have turned up since; the third 401 is final.
 */
#include "fetch/registry/request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "fetch/observer.h"
#include "model/cleanup.h"
#include "model/json.h"

enum {
	DETAIL_MAX = 160, /* bytes shown of what a server says about an error */
	HINT_MAX = 4096,
};

static const char *known_scheme(struct registry *registry)
{
	const char *scheme;

	(void)pthread_mutex_lock(&registry->lock);
	scheme = registry->scheme;
	(void)pthread_mutex_unlock(&registry->lock);
	return scheme;
}

static char *make_url(const char *scheme, const char *host, const char *path)
{
	char *url = NULL;

	return asprintf(&url, "%s://%s%s", scheme, host, path) < 0 ? NULL : url;
}

/* Somebody else, to whom the first request was redirected, proves nothing of where it is. */
static enum http_zone zone_of(
	struct registry *registry, const char *scheme, const struct http_response *response)
{
	CLEANUP(freep) char *url = make_url(scheme, registry->host, "/");

	return url && http_url_same_origin(url, response->final_url) ? response->zone
								     : HTTP_ZONE_PUBLIC;
}

static enum http_zone known_zone(struct registry *registry)
{
	enum http_zone zone;

	(void)pthread_mutex_lock(&registry->lock);
	zone = registry->zone;
	(void)pthread_mutex_unlock(&registry->lock);
	return zone;
}

static void remember_scheme(
	struct registry *registry, const char *scheme, const struct http_response *response)
{
	enum http_zone zone = zone_of(registry, scheme, response);
	bool is_news;

	(void)pthread_mutex_lock(&registry->lock);
	is_news = !registry->scheme;
	if (is_news) {
		registry->scheme = scheme;
		registry->zone = zone;
	}
	(void)pthread_mutex_unlock(&registry->lock);
	if (!is_news || strcmp(scheme, "http"))
		return;
	auth_allow_http(registry->auth);
	observer_log(
		registry->observer, LOG_LEVEL_INFO, "%s speaks http, not https", registry->host);
}

char *registry_url(struct registry *registry, const char *path)
{
	const char *scheme = known_scheme(registry);

	return make_url(scheme ? scheme : "https", registry->host, path);
}

struct attempt {
	const struct call *call;
	const char *authorization; /* a header line, or "" */
	struct buf *body;
	struct cancel *cancel;
};

static int send_by(struct registry *registry, const struct attempt *attempt, const char *scheme,
	bool no_retries, struct http_transfer **ret, struct error *err)
{
	const struct call *call = attempt->call;
	const char *host = call->host ? call->host : registry->host;
	bool is_elsewhere = strcmp(host, registry->host) != 0;
	CLEANUP(freep) char *url = make_url(scheme, host, call->path);
	CLEANUP(freep) char *accept = NULL;
	struct http_header headers[3] = { { attempt->authorization, true } };
	size_t count = 1;

	if (!url || (call->accept && asprintf(&accept, "Accept: %s", call->accept) < 0)) {
		accept = NULL;
		return error_set(err, ENOMEM, "out of memory");
	}
	if (accept)
		headers[count++].line = accept;
	if (call->header)
		headers[count++].line = call->header;
	struct http_request request = { .method = call->method,
		.url = url,
		.headers = headers,
		.header_count = count,
		.range_offset = call->range_offset,
		.range_len = call->range_len,
		.may_resume = call->may_resume,
		.no_redirects = call->no_redirects,
		.no_retries = no_retries || call->no_retries,
		.no_secrets_on_redirects = call->no_secrets_on_redirects,
		.is_elsewhere = is_elsewhere,
		.is_referred = is_elsewhere,
		.referrer_zone = known_zone(registry) };
	if (!attempt->body)
		return http_open(ret, registry->http, &request, attempt->cancel, err);
	buf_clear(attempt->body);
	return http_fetch(ret, registry->http, &request, attempt->body, attempt->cancel, err);
}

static bool is_reason_for_http(int rc)
{
	return rc == -EPROTONOSUPPORT || rc == -EHOSTUNREACH || rc == -ETIMEDOUT || rc == -EIO;
}

/* If neither answers, the more telling error is the one of https. */
static int find_scheme(struct registry *registry, const struct attempt *attempt,
	struct http_transfer **ret, struct error *err)
{
	struct error http_err;
	int rc, http_rc;

	rc = send_by(registry, attempt, "https", registry->may_try_http, ret, err);
	if (!rc) {
		remember_scheme(registry, "https", http_response(*ret));
		return 0;
	}
	if (!registry->may_try_http || !is_reason_for_http(rc))
		return rc;
	http_rc = send_by(registry, attempt, "http", false, ret, &http_err);
	if (!http_rc) {
		remember_scheme(registry, "http", http_response(*ret));
		return 0;
	}
	if (http_rc == -EINTR || http_rc == -EFBIG || rc == -EPROTONOSUPPORT) {
		rc = http_rc;
		if (err)
			*err = http_err;
	}
	return rc;
}

static int send_attempt(struct registry *registry, const struct attempt *attempt,
	struct http_transfer **ret, struct error *err)
{
	const char *scheme = known_scheme(registry);
	int rc;

	if (scheme || attempt->call->host) /* whose own scheme nobody asks for */
		rc = send_by(registry, attempt, scheme ? scheme : "https", false, ret, err);
	else
		rc = find_scheme(registry, attempt, ret, err);
	return rc == -EPROTONOSUPPORT ? -EPROTO : rc;
}

static int make_scope(char **ret, const struct call *call, struct error *err)
{
	int n = call->repository
			? asprintf(ret, "repository:%s:pull", call->repository)
			: asprintf(ret, "%s", call->is_catalog ? "registry:catalog:*" : "");

	if (n >= 0)
		return 0;
	*ret = NULL;
	return error_set(err, ENOMEM, "out of memory");
}

static void secret_linep(char **line)
{
	if (*line)
		explicit_bzero(*line, strlen(*line));
	free(*line);
}

/* A challenge counts only when it comes from the registry itself: another host,
 * reached by a redirect, must not choose where passwords go. */
static bool is_own_challenge(struct registry *registry, struct http_transfer *transfer)
{
	const struct http_response *response = http_response(transfer);
	CLEANUP(freep) char *url = registry_url(registry, "/");

	return response->status == 401 && url && http_url_same_origin(url, response->final_url);
}

static int denied(struct registry *registry, const struct call *call, int rc, struct error *err)
{
	CLEANUP(buf_release) struct buf hint = { .max = HINT_MAX };
	struct error why = *err;

	if (rc != -EACCES)
		return error_prefix(err, rc, "%s", registry->name);
	observer_count(registry->observer, auth_failures, 1);
	auth_describe(registry->auth, &hint);
	return error_set(err, EACCES, "%s: %s: %s; credentials: %s", registry->name, call->subject,
		why.text, hint.data ? hint.data : "");
}

void registry_drain(struct http_transfer *transfer)
{
	char piece[4096];
	size_t len = 0;
	ssize_t n;

	while (len < HTTP_ERROR_BODY_MAX &&
		(n = http_read(transfer, piece, sizeof piece, NULL)) > 0)
		len += (size_t)n;
}

enum { CHALLENGES_ANSWERED = 2 };

/* Sends for the how-manieth time; *ret_again: a challenge was answered, and it should be sent anew.
 */
static int try_call(struct registry *registry, const struct call *call, const char *scope,
	struct attempt *attempt, unsigned round, struct http_transfer **ret, bool *ret_again,
	struct error *err)
{
	CLEANUP(secret_linep) char *line = NULL;
	struct http_transfer *transfer = NULL;
	int rc;

	*ret_again = false;
	rc = auth_header(registry->auth, call->repository, scope, &line, attempt->cancel, err);
	if (rc)
		return denied(registry, call, rc, err);
	attempt->authorization = line;
	rc = send_attempt(registry, attempt, &transfer, err);
	if (rc)
		return error_prefix(err, rc, "%s", call->subject);
	if (round == CHALLENGES_ANSWERED || !is_own_challenge(registry, transfer)) {
		*ret = transfer;
		return 0;
	}
	rc = auth_challenge(registry->auth, call->repository, scope, line, round > 0,
		http_response(transfer), attempt->cancel, err);
	if (rc == -EACCES && round) { /* then its own words say most */
		*ret = transfer;
		return 0;
	}
	registry_drain(transfer);
	http_close(transfer);
	if (rc)
		return denied(registry, call, rc, err);
	*ret_again = true;
	return 0;
}

int registry_call(struct registry *registry, const struct call *call, struct buf *body,
	struct http_transfer **ret, struct cancel *cancel, struct error *err)
{
	struct attempt attempt = { .call = call, .body = body, .cancel = cancel };
	CLEANUP(freep) char *scope = NULL;
	struct error ignored;
	bool again = true;
	int rc;

	if (!err)
		err = &ignored;
	if (call->authorization) {
		attempt.authorization = call->authorization;
		rc = send_attempt(registry, &attempt, ret, err);
		return rc ? error_prefix(err, rc, "%s", call->subject) : 0;
	}
	rc = make_scope(&scope, call, err);
	for (unsigned round = 0; !rc && again; round++)
		rc = try_call(registry, call, scope, &attempt, round, ret, &again, err);
	return rc;
}

/* ---- what a status means -------------------------------------------------------------- */

static const struct {
	long status;
	int code;
	const char *text;
} meanings[] = {
	{ 401, EACCES, "not authorised" },
	{ 403, EACCES, "access denied" },
	{ 404, ENOENT, "not found" },
	{ 405, EOPNOTSUPP, "not supported" },
	{ 416, EIO, "no such range" },
	{ 429, EDQUOT, "too many requests" },
};

static void append_printable(struct buf *buf, const char *text)
{
	for (; *text && buf->len < DETAIL_MAX; text++)
		(void)buf_append(buf, *text >= ' ' && *text <= '~' ? text : "?", 1); /* words */
}

/* {"errors":[{"code":...,"message":...}]}: the first one, made fit for a line. */
static void describe(struct buf *ret, const char *text, size_t len)
{
	CLEANUP(json_putp) struct json_object *document = NULL;
	CLEANUP(freep) char *code = NULL;
	CLEANUP(freep) char *message = NULL;
	struct json_object *errors = NULL, *first;
	struct error ignored;

	if (json_parse(&document, text, len, &ignored) ||
		!json_object_is_type(document, json_type_object) ||
		json_get_array(document, "errors", &errors, &ignored) || !errors)
		return;
	first = json_object_array_get_idx(errors, 0);
	if (!json_object_is_type(first, json_type_object) ||
		json_get_string(first, "code", &code, &ignored) ||
		json_get_string(first, "message", &message, &ignored))
		return;
	(void)buf_append_text(ret, " "); /* only words, here and below */
	append_printable(ret, code ? code : "error");
	if (message && *message) {
		(void)buf_append_text(ret, ": ");
		append_printable(ret, message);
	}
}

/* An error's body is read for its words alone: failures do not matter. */
static void read_detail(struct http_transfer *transfer, struct buf *ret)
{
	char piece[4096];
	ssize_t n;

	while ((n = http_read(transfer, piece, sizeof piece, NULL)) > 0)
		if (buf_append(ret, piece, (size_t)n))
			return;
}

int registry_refused(struct registry *registry, const struct call *call,
	struct http_transfer *transfer, const struct buf *body, struct error *err)
{
	long status = http_response(transfer)->status;
	int code = status >= 500 ? EIO : EPROTO;
	const char *text = status >= 500 ? "the server failed" : "an answer that makes no sense";
	CLEANUP(buf_release) struct buf hint = { .max = HINT_MAX };
	struct buf detail, read;

	for (size_t i = 0; i < ARRAY_SIZE(meanings); i++) {
		if (meanings[i].status == status) {
			code = meanings[i].code;
			text = meanings[i].text;
		}
	}
	observer_count(registry->observer, auth_failures, code == EACCES);
	buf_init(&detail, 4 * DETAIL_MAX);
	buf_init(&read, HTTP_ERROR_BODY_MAX);
	if (!body) {
		read_detail(transfer, &read);
		body = &read;
	}
	if (body->data)
		describe(&detail, body->data, body->len);
	if (code == EACCES) {
		(void)buf_append_text(&hint, "; credentials: "); /* only words */
		auth_describe(registry->auth, &hint);
	}
	(void)error_set(err, code, "%s: %s: %s (%ld%s)%s", registry->name, call->subject, text,
		status, detail.data ? detail.data : "", hint.data ? hint.data : "");
	buf_release(&detail);
	buf_release(&read);
	return -code;
}

int registry_mistaken(struct registry *registry, const struct call *call,
	struct http_transfer *transfer, const struct buf *body, const char *wanted,
	const struct error *why, struct error *err)
{
	const struct http_response *response = http_response(transfer);
	CLEANUP(freep) char *url = registry_url(registry, "/");
	CLEANUP(buf_release) struct buf type = { .max = 2 * DETAIL_MAX };
	char from[DETAIL_MAX] = "";

	append_printable(&type, response->content_type ? response->content_type : "no type");
	if (url && !http_url_same_origin(url, response->final_url))
		(void)http_url_for_log(response->final_url, from, sizeof from);
	return error_set(err, EIO, "%s: %s: instead of %s came %zu bytes of '%s'%s%s: %s",
		registry->name, call->subject, wanted, body->len, type.data ? type.data : "",
		*from ? " from " : "", from, why->text);
}
