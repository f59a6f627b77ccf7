/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is asked for a repository, and with what.
 *
 *	_ping says standalone    the host itself, by Basic credentials
 *	_ping says index         GET repositories/NAME/images with "X-Docker-Token: true":
 *	                         a token, and the hosts that take it
 *	no _ping                 the same is tried; without an answer, as standalone
 *
 * A session is found out once for a repository, and anew when its token is refused.
 */
#include "fetch/registry_v1/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fetch/clock.h"
#include "fetch/observer.h"
#include "model/cleanup.h"

enum {
	PATH_SIZE = REPOSITORY_MAX + TAG_MAX + 2 * V1_ID_LEN,
	PROOF_MAX_AGE_MS = 60000,
};

#define LIBRARY "library/"

/* ---- sessions --------------------------------------------------------------------------- */

static void session_free(struct session *session)
{
	for (char **endpoint = session->endpoints; endpoint && *endpoint; endpoint++)
		free(*endpoint);
	free(session->endpoints);
	if (session->authorization)
		explicit_bzero(session->authorization, strlen(session->authorization));
	free(session->authorization);
	free(session->repository);
	free(session);
}

/* Under lock. */
static void unref(struct session *session)
{
	if (!--session->users)
		session_free(session);
}

static void session_put(struct registry_v1 *v1, struct session *session)
{
	(void)pthread_mutex_lock(&v1->lock);
	unref(session);
	(void)pthread_mutex_unlock(&v1->lock);
}

/* Under lock: takes it out of the list; those who use it go on with it. */
static void forget(struct registry_v1 *v1, const struct session *session)
{
	for (struct session **at = &v1->sessions; *at; at = &(*at)->next) {
		struct session *found = *at;

		if (found != session)
			continue;
		*at = found->next;
		unref(found);
		return;
	}
}

/* Under lock. */
static struct session *find(struct registry_v1 *v1, const char *repository)
{
	for (struct session *session = v1->sessions; session; session = session->next)
		if (!strcmp(session->repository, repository))
			return session;
	return NULL;
}

/* Under lock. */
static void forget_oldest(struct registry_v1 *v1)
{
	const struct session *last = NULL;
	size_t count = 0;

	for (const struct session *session = v1->sessions; session; session = session->next) {
		last = session;
		count++;
	}
	if (count >= V1_SESSIONS_MAX)
		forget(v1, last);
}

static struct session *session_find(struct registry_v1 *v1, const char *repository)
{
	struct session *session;

	(void)pthread_mutex_lock(&v1->lock);
	session = find(v1, repository);
	if (session)
		session->users++;
	(void)pthread_mutex_unlock(&v1->lock);
	return session;
}

/* Two threads may have made one each: the later one counts. */
static void session_add(struct registry_v1 *v1, struct session *session)
{
	(void)pthread_mutex_lock(&v1->lock);
	forget(v1, find(v1, session->repository));
	forget_oldest(v1);
	session->users = 2; /* the list, and who called */
	session->next = v1->sessions;
	v1->sessions = session;
	(void)pthread_mutex_unlock(&v1->lock);
}

static void session_drop(struct registry_v1 *v1, struct session *session)
{
	(void)pthread_mutex_lock(&v1->lock);
	forget(v1, session);
	(void)pthread_mutex_unlock(&v1->lock);
}

void v1_sessions_free(struct registry_v1 *v1)
{
	while (v1->sessions)
		forget(v1, v1->sessions);
}

bool v1_was_proven(struct registry_v1 *v1, const char *repository)
{
	struct session *session = session_find(v1, repository);
	uint64_t proved_at;

	if (!session)
		return false;
	proved_at = session->proved_at;
	session_put(v1, session);
	return proved_at && now_ms() - proved_at < PROOF_MAX_AGE_MS;
}

/* ---- the host: registry or index? ------------------------------------------------------- */

static int read_mode(struct registry_v1 *v1, const struct call *call,
	struct http_transfer *transfer, enum v1_mode *ret, struct error *err)
{
	const struct http_response *response = http_response(transfer);
	const char *standalone = response->docker_standalone;

	if (response->status == 401 || response->status == 429 || response->status >= 500)
		return registry_refused(&v1->registry, call, transfer, NULL, err);
	if (response->status != 200)
		*ret = V1_MODE_UNSURE;
	else if (standalone && (!strcasecmp(standalone, "false") || !strcmp(standalone, "0")))
		*ret = V1_MODE_INDEX;
	else
		*ret = V1_MODE_STANDALONE;
	registry_drain(transfer);
	return 0;
}

int v1_ping(struct registry_v1 *v1, enum v1_mode *ret, struct cancel *cancel, struct error *err)
{
	const struct call call = {
		.path = "/v1/_ping", .subject = "V1 API", .no_secrets_on_redirects = true
	};
	struct http_transfer *transfer = NULL;
	int rc = registry_call(&v1->registry, &call, NULL, &transfer, cancel, err);

	if (rc)
		return rc;
	rc = read_mode(v1, &call, transfer, ret, err);
	http_close(transfer);
	if (rc)
		return rc;
	(void)pthread_mutex_lock(&v1->lock);
	v1->mode = *ret;
	(void)pthread_mutex_unlock(&v1->lock);
	return 0;
}

static int find_mode(
	struct registry_v1 *v1, enum v1_mode *ret, struct cancel *cancel, struct error *err)
{
	(void)pthread_mutex_lock(&v1->lock);
	*ret = v1->mode;
	(void)pthread_mutex_unlock(&v1->lock);
	return *ret == V1_MODE_UNKNOWN ? v1_ping(v1, ret, cancel, err) : 0;
}

/* ---- what an index gives ---------------------------------------------------------------- */

/* Each header a part of it. */
static int take_tokens(struct session *session, char *const *tokens, struct error *err)
{
	CLEANUP(buf_release) struct buf line = { .max = V1_TOKEN_MAX };

	if (!tokens)
		return 0;
	(void)buf_append_text(&line, "Authorization: Token "); /* the status is checked below */
	for (size_t i = 0; tokens[i]; i++)
		(void)buf_printf(&line, "%s%s", i ? "," : "", tokens[i]);
	if (buf_status(&line))
		return error_set(err, -buf_status(&line), "a token that is too long");
	session->authorization = buf_take(&line, NULL);
	return session->authorization ? 0 : error_set(err, ENOMEM, "out of memory");
}

/* An index out in the world must not send us to this machine or its neighbours. */
static bool endpoint_is_allowed(const struct registry_v1 *v1, const char *host)
{
	return registry_host_is_valid(host) &&
	       (!http_host_is_internal(host) || http_host_is_internal(v1->registry.host));
}

static int take_endpoint(
	struct registry_v1 *v1, struct session *session, const char *host, size_t *count)
{
	if (!endpoint_is_allowed(v1, host)) {
		observer_log(v1->registry.observer, LOG_LEVEL_WARNING,
			"%s: names '%s' as a registry, which is not allowed", v1->registry.name,
			host);
		return 0;
	}
	if (*count == V1_ENDPOINTS_MAX)
		return 0;
	session->endpoints[*count] = strdup(host);
	return session->endpoints[(*count)++] ? 0 : -ENOMEM;
}

/* "host, host"; more than one such header. */
static int take_endpoints(
	struct registry_v1 *v1, struct session *session, char *const *lists, struct error *err)
{
	size_t count = 0;
	int rc = 0;

	if (!lists)
		return 0;
	session->endpoints = calloc(V1_ENDPOINTS_MAX + 1, sizeof *session->endpoints);
	if (!session->endpoints)
		return error_set(err, ENOMEM, "out of memory");
	for (; !rc && *lists; lists++) {
		CLEANUP(freep) char *list = strdup(*lists);
		char *rest = NULL;

		if (!list)
			return error_set(err, ENOMEM, "out of memory");
		for (char *host = strtok_r(list, ", \t", &rest); !rc && host;
			host = strtok_r(NULL, ", \t", &rest))
			rc = take_endpoint(v1, session, host, &count);
	}
	if (rc)
		return error_set(err, -rc, "out of memory");
	return count ? 0 : error_set(err, EPROTO, "names no registry that may be asked");
}

/* The index knows the repository, or there is none: both are fine where *ret_is_known says so. */
static int take_answer(struct registry_v1 *v1, struct session *session, const struct call *call,
	bool is_index, struct http_transfer *transfer, bool *ret_is_known, struct error *err)
{
	const struct http_response *response = http_response(transfer);
	int rc;

	*ret_is_known = response->status == 200;
	if (response->status == 404 || (response->status != 200 && !is_index &&
					       response->status != 401 && response->status < 429))
		return 0;
	if (response->status != 200)
		return registry_refused(&v1->registry, call, transfer, NULL, err);
	rc = take_tokens(session, response->docker_tokens, err);
	if (!rc)
		rc = take_endpoints(v1, session, response->docker_endpoints, err);
	return rc ? error_prefix(err, rc, "%s: %s", v1->registry.name, call->subject) : 0;
}

static int ask_index(struct registry_v1 *v1, struct session *session, bool in_library,
	bool is_index, bool *ret_is_known, struct cancel *cancel, struct error *err)
{
	char path[PATH_SIZE], subject[PATH_SIZE];
	const struct call call = { .repository = session->repository,
		.path = path,
		.subject = subject,
		.header = "X-Docker-Token: true",
		.no_secrets_on_redirects = true };
	struct http_transfer *transfer = NULL;
	int rc;

	(void)snprintf(path, sizeof path, "/v1/repositories/%s%s/images", in_library ? LIBRARY : "",
		session->repository);
	(void)snprintf(subject, sizeof subject, "images of '%s'", session->repository);
	rc = registry_call(&v1->registry, &call, NULL, &transfer, cancel, err);
	if (rc)
		return rc;
	rc = take_answer(v1, session, &call, is_index, transfer, ret_is_known, err);
	registry_drain(transfer);
	http_close(transfer);
	if (*ret_is_known)
		session->is_in_library = in_library;
	return rc;
}

static int find_out(
	struct registry_v1 *v1, struct session *session, struct cancel *cancel, struct error *err)
{
	enum v1_mode mode;
	bool is_known = false;
	int rc = find_mode(v1, &mode, cancel, err);

	if (rc || mode == V1_MODE_STANDALONE)
		return rc;
	rc = ask_index(v1, session, false, mode == V1_MODE_INDEX, &is_known, cancel, err);
	if (!rc && !is_known && !strchr(session->repository, '/'))
		rc = ask_index(v1, session, true, mode == V1_MODE_INDEX, &is_known, cancel, err);
	if (!rc && !is_known && mode == V1_MODE_INDEX)
		rc = error_set(err, ENOENT, "%s: there is no repository '%s'", v1->registry.name,
			session->repository);
	return rc;
}

static int session_get(struct registry_v1 *v1, const char *repository, struct session **ret,
	struct cancel *cancel, struct error *err)
{
	struct session *session = session_find(v1, repository);
	int rc;

	if (session) {
		*ret = session;
		return 0;
	}
	session = calloc(1, sizeof *session);
	if (!session)
		return error_set(err, ENOMEM, "out of memory");
	session->repository = strdup(repository);
	rc = session->repository ? find_out(v1, session, cancel, err)
				 : error_set(err, ENOMEM, "out of memory");
	if (rc) {
		session_free(session);
		return rc;
	}
	session_add(v1, session);
	*ret = session;
	return 0;
}

/* ---- requests --------------------------------------------------------------------------- */

/* Then another host may be there. */
static bool is_unreachable(int rc)
{
	return rc == -EHOSTUNREACH || rc == -ETIMEDOUT;
}

static void make_path(
	char path[static PATH_SIZE], const struct session *session, const struct v1_call *call)
{
	bool in_library = call->is_in_library || session->is_in_library;

	if (call->of_image)
		(void)snprintf(path, PATH_SIZE, "/v1/images/%s", call->of_image);
	else
		(void)snprintf(path, PATH_SIZE, "/v1/repositories/%s%s%s",
			in_library ? LIBRARY : "", session->repository, call->of_repository);
}

/* To the first of the hosts that is there. */
static int send_call(struct registry_v1 *v1, const struct session *session,
	const struct v1_call *call, struct buf *body, struct http_transfer **ret,
	struct cancel *cancel, struct error *err)
{
	static char *const itself[] = { NULL, NULL };
	char path[PATH_SIZE];
	struct call request = { .repository = call->repository,
		.path = path,
		.subject = call->subject,
		.range_offset = call->range_offset,
		.may_resume = call->may_resume,
		.authorization = session->authorization,
		.no_secrets_on_redirects = true };
	char *const *host = session->endpoints ? session->endpoints : itself;
	int rc;

	make_path(path, session, call);
	do {
		request.host = *host && strcmp(*host, v1->registry.host) != 0 ? *host : NULL;
		if (request.host && !request.authorization)
			request.authorization = "";
		rc = registry_call(&v1->registry, &request, body, ret, cancel, err);
	} while (is_unreachable(rc) && *host && *++host);
	return rc;
}

/* *ret_is_refused: the token is, and a new one may help. */
static int try_call(struct registry_v1 *v1, const struct v1_call *call, struct buf *body,
	struct http_transfer **ret, bool *ret_is_refused, struct cancel *cancel, struct error *err)
{
	struct session *session = NULL;
	long status;
	int rc = session_get(v1, call->repository, &session, cancel, err);

	*ret_is_refused = false;
	if (rc)
		return rc;
	rc = send_call(v1, session, call, body, ret, cancel, err);
	status = rc ? 0 : http_response(*ret)->status;
	if (status == 200 && call->of_repository) {
		session->proved_at = now_ms();
		if (call->is_in_library)
			session->is_in_library = true;
	} else if ((status == 401 || status == 403) && session->authorization) {
		session_drop(v1, session);
		*ret_is_refused = true;
	}
	session_put(v1, session);
	return rc;
}

int v1_call(struct registry_v1 *v1, const struct v1_call *call, struct buf *body,
	struct http_transfer **ret, struct cancel *cancel, struct error *err)
{
	struct http_transfer *transfer = NULL;
	bool is_refused;
	int rc = try_call(v1, call, body, &transfer, &is_refused, cancel, err);

	if (!rc && is_refused) {
		http_close(transfer);
		if (body)
			buf_clear(body);
		rc = try_call(v1, call, body, &transfer, &is_refused, cancel, err);
	}
	if (!rc)
		*ret = transfer;
	return rc;
}

int v1_refused(struct registry_v1 *v1, const struct v1_call *call, struct http_transfer *transfer,
	const struct buf *body, struct error *err)
{
	const struct call plain = { .repository = call->repository, .subject = call->subject };

	return registry_refused(&v1->registry, &plain, transfer, body, err);
}

int v1_get(struct registry_v1 *v1, const struct v1_call *call, struct buf *body,
	struct cancel *cancel, struct error *err)
{
	struct http_transfer *transfer = NULL;
	int rc = v1_call(v1, call, body, &transfer, cancel, err);

	if (rc)
		return rc;
	if (http_response(transfer)->status != 200)
		rc = v1_refused(v1, call, transfer, body, err);
	http_close(transfer);
	return rc;
}
