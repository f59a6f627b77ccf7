/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking a token server (distribution docs/spec/auth/token.md, oauth.md): a GET
 * with Basic credentials or none, or, for an identity token, a POST of the
 * refresh grant, with GET to fall back on.
 */
#include "fetch/auth/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "model/cleanup.h"
#include "model/json.h"

enum { URL_MAX = 16 << 10 };

#define CLIENT_ID "imgfs"

/* RFC 3986 2.3: all but the unreserved. */
static void add_encoded(struct buf *buf, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			strchr("-._~", c))
			(void)buf_append(buf, text, 1); /* the status is checked at the end */
		else
			(void)buf_printf(buf, "%%%02X", c);
	}
}

static void add_parameter(
	struct buf *buf, const char *separator, const char *name, const char *value)
{
	(void)buf_printf(buf, "%s%s=", separator, name);
	add_encoded(buf, value);
}

/* The realm may have a query of its own. */
static void make_url(struct buf *url, const struct token_request *request)
{
	const char *separator = strchr(request->realm->url, '?') ? "&" : "?";
	CLEANUP(freep) char *scopes = strdup(request->scopes);
	char *rest = NULL;

	(void)buf_append_text(url, request->realm->url);
	if (request->service) {
		add_parameter(url, separator, "service", request->service);
		separator = "&";
	}
	for (char *scope = scopes ? strtok_r(scopes, " ", &rest) : NULL; scope;
		scope = strtok_r(NULL, " ", &rest)) {
		add_parameter(url, separator, "scope", scope);
		separator = "&";
	}
	if (request->credential && request->credential->user)
		add_parameter(url, separator, "account", request->credential->user);
	if (!scopes)
		url->status = -ENOMEM;
}

static void make_form(struct buf *form, const struct token_request *request)
{
	add_parameter(form, "", "grant_type", "refresh_token");
	add_parameter(form, "&", "client_id", CLIENT_ID);
	add_parameter(form, "&", "access_type", "offline");
	if (request->service)
		add_parameter(form, "&", "service", request->service);
	if (*request->scopes)
		add_parameter(form, "&", "scope", request->scopes);
	add_parameter(form, "&", "refresh_token", request->identity_token);
}

static bool is_token_text(const char *text)
{
	size_t len = strlen(text);

	if (!len || len > TOKEN_TEXT_MAX)
		return false;
	for (; *text; text++)
		if (*text <= ' ' || *text >= 0x7f)
			return false;
	return true;
}

/* Whatever the server's clock says, time counts from now; too short or absurd
 * lifetimes become the specification's minimum. */
static uint64_t lifetime_of(const struct json_members *document)
{
	const struct json_member *member = json_members_find(document, "expires_in");
	uint64_t seconds;

	if (!member || strspn(member->value, "0123456789") != member->len)
		return AUTH_TOKEN_MIN_S;
	seconds = strtoull(member->value, NULL, 10); /* too large: ULLONG_MAX */
	if (seconds < AUTH_TOKEN_MIN_S)
		return AUTH_TOKEN_MIN_S;
	return seconds > AUTH_TOKEN_MAX_S ? AUTH_TOKEN_MAX_S : seconds;
}

int token_answer_parse(struct token_answer *ret, const char *text, size_t len, struct error *err)
{
	CLEANUP(json_members_release) struct json_members document = { 0 };
	CLEANUP(secret_freep) char *token = NULL;
	CLEANUP(secret_freep) char *refresh = NULL;
	int rc;

	rc = json_members_parse(&document, text, len, err);
	if (!rc)
		rc = json_members_check_unique(&document, err);
	if (!rc)
		rc = json_members_string(&document, "token", &token, err);
	if (!rc && !token)
		rc = json_members_string(&document, "access_token", &token, err);
	if (!rc)
		rc = json_members_string(&document, "refresh_token", &refresh, err);
	if (rc)
		return rc;
	if (!token || !is_token_text(token))
		return error_set(err, EIO, "no token that can be sent");
	*ret = (struct token_answer){ .token = TAKE(token),
		.refresh_token = TAKE(refresh),
		.lifetime_s = lifetime_of(&document) };
	return 0;
}

static int refused(long status, const char *realm, struct error *err)
{
	char text[256];

	(void)http_url_for_log(realm, text, sizeof text);
	switch (status) {
	case 400: /* oauth.md: invalid_grant */
	case 401:
	case 403:
		return error_set(err, EACCES, "token server '%s' refused (%ld)", text, status);
	case 429:
		return error_set(err, EDQUOT, "token server '%s' limits the rate", text);
	default:
		return error_set(err, EIO, "token server '%s' answered %ld", text, status);
	}
}

static struct http_request request_to(const struct realm *realm, const char *url)
{
	return (struct http_request){ .url = url,
		.is_secret = true,
		.is_elsewhere = !realm->is_registry,
		.is_referred = !realm->is_permitted,
		.referrer_zone = realm->zone };
}

/* Sends; *ret_status is 200, or the answer was something else and *ret is not set. */
static int exchange(struct token_answer *ret, long *ret_status, struct http *http,
	const struct http_request *request, struct cancel *cancel, struct error *err)
{
	struct http_transfer *transfer = NULL;
	CLEANUP(buf_release) struct buf body;
	char text[256];
	int rc;

	buf_init_secret(&body, AUTH_TOKEN_MAX);
	rc = http_fetch(&transfer, http, request, &body, cancel, err);
	if (!rc) {
		*ret_status = http_response(transfer)->status;
		if (*ret_status == 200)
			rc = token_answer_parse(ret, body.data ? body.data : "", body.len, err);
		if (rc)
			(void)error_prefix(err, rc, "token server '%s'",
				http_url_for_log(request->url, text, sizeof text));
		http_close(transfer);
	}
	return rc;
}

static int post(struct token_answer *ret, long *ret_status, struct http *http,
	const struct token_request *request, struct cancel *cancel, struct error *err)
{
	CLEANUP(buf_release) struct buf form;
	int rc;

	buf_init_secret(&form, 4 * AUTH_FILE_MAX);
	make_form(&form, request);
	rc = buf_status(&form);
	if (rc) {
		(void)error_set(err, -rc, "token request too large");
	} else {
		struct http_request post = request_to(request->realm, request->realm->url);

		post.method = HTTP_POST;
		post.form = form.data;
		rc = exchange(ret, ret_status, http, &post, cancel, err);
	}
	return rc;
}

static int get(struct token_answer *ret, long *ret_status, struct http *http,
	const struct token_request *request, struct cancel *cancel, struct error *err)
{
	CLEANUP(secret_freep) char *line = NULL;
	struct http_header header = { .is_secret = true };
	struct buf url;
	int rc = 0;

	buf_init(&url, URL_MAX);
	make_url(&url, request);
	if (buf_status(&url))
		rc = error_set(err, EPROTO, "a challenge too long to answer");
	else if (request->credential && request->credential->user)
		rc = credential_header(&line, request->credential, err);
	if (!rc) {
		struct http_request get = request_to(request->realm, url.data);

		header.line = line;
		get.headers = &header;
		get.header_count = line ? 1 : 0;
		rc = exchange(ret, ret_status, http, &get, cancel, err);
	}
	buf_release(&url);
	return rc;
}

int token_fetch(struct token_answer *ret, struct http *http, const struct token_request *request,
	struct cancel *cancel, struct error *err)
{
	long status = 0;
	int rc = 0;

	if (request->identity_token) {
		rc = post(ret, &status, http, request, cancel, err);
		if (rc)
			return rc;
	}
	if (!status || status == 404 || status == 405)
		rc = get(ret, &status, http, request, cancel, err);
	if (rc)
		return rc;
	return status == 200 ? 0 : refused(status, request->realm->url, err);
}
