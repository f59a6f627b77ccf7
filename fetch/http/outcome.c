/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An attempt is over: the transfer ends, goes on at another URL or at
 * another offset, or sleeps and tries again.  Nothing here waits: a sleeping
 * transfer is an entry with a time.
 *
 * Each retry starts at the first URL, because where a redirect led may have
 * been good for one use only.
 */
#include "fetch/http/internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "fetch/observer.h"
#include "model/cleanup.h"

/* What libcurl says, what it is for us, and whether it may pass.  Names and
 * ports that do not answer are tried again only briefly. */
static const struct {
	CURLcode code;
	int error;
	enum patience patience;
} curl_failures[] = {
	{ CURLE_COULDNT_RESOLVE_HOST, EHOSTUNREACH, PATIENCE_TWICE },
	{ CURLE_COULDNT_RESOLVE_PROXY, EHOSTUNREACH, PATIENCE_TWICE },
	{ CURLE_COULDNT_CONNECT, EHOSTUNREACH, PATIENCE_TWICE },
	{ CURLE_PROXY, EHOSTUNREACH, PATIENCE_TWICE },
	{ CURLE_OPERATION_TIMEDOUT, ETIMEDOUT, PATIENCE_TWICE },
	{ CURLE_GOT_NOTHING, EIO, PATIENCE_FULL },
	{ CURLE_SEND_ERROR, EIO, PATIENCE_FULL },
	{ CURLE_RECV_ERROR, EIO, PATIENCE_FULL },
	{ CURLE_PARTIAL_FILE, EIO, PATIENCE_FULL },
	{ CURLE_HTTP2, EIO, PATIENCE_FULL },
	{ CURLE_HTTP2_STREAM, EIO, PATIENCE_FULL },
	{ CURLE_SSL_CONNECT_ERROR, EPROTONOSUPPORT, PATIENCE_ONCE },
	{ CURLE_PEER_FAILED_VERIFICATION, EPROTO, PATIENCE_NONE },
	{ CURLE_SSL_CERTPROBLEM, EPROTO, PATIENCE_NONE },
	{ CURLE_SSL_CACERT_BADFILE, EPROTO, PATIENCE_NONE },
	{ CURLE_SSL_ISSUER_ERROR, EPROTO, PATIENCE_NONE },
	{ CURLE_SSL_CLIENTCERT, EPROTO, PATIENCE_NONE },
	{ CURLE_URL_MALFORMAT, EPROTO, PATIENCE_NONE },
	{ CURLE_OUT_OF_MEMORY, ENOMEM, PATIENCE_NONE },
};

void failure_set(struct http_transfer *t, int code, enum patience patience, const char *fmt, ...)
{
	va_list ap;

	t->failure.code = code;
	t->failure.patience = patience;
	va_start(ap, fmt);
	(void)vsnprintf(t->failure.err.text, sizeof t->failure.err.text, fmt, ap);
	va_end(ap);
}

static void count_failure(struct observer *observer, CURLcode code)
{
	if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY)
		observer_count(observer, net_dns, 1);
	else if (code == CURLE_COULDNT_CONNECT || code == CURLE_PROXY ||
		 code == CURLE_OPERATION_TIMEDOUT) /* the one for connecting: there is no other */
		observer_count(observer, net_connect, 1);
	else if (code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION ||
		 code == CURLE_SSL_ISSUER_ERROR || code == CURLE_SSL_CLIENTCERT)
		observer_count(observer, net_tls, 1);
}

static void failure_from_curl(struct http_transfer *t, CURLcode code)
{
	const char *text = t->message[0] ? t->message : curl_easy_strerror(code);
	int error = EPROTO; /* whatever else there is: malformed HTTP */
	enum patience patience = PATIENCE_ONCE;

	for (size_t i = 0; i < ARRAY_SIZE(curl_failures); i++) {
		if (curl_failures[i].code == code) {
			error = curl_failures[i].error;
			patience = curl_failures[i].patience;
		}
	}
	failure_set(t, error, patience, "%s", text);
	make_printable(t->failure.err.text);
	if (!t->no_retries) /* a try at which protocol a host speaks is allowed to fail */
		count_failure(t->http->observer, code);
}

static void count_retry(const struct http_transfer *t)
{
	struct observer *observer = t->http->observer;

	observer_count(observer, http_retries, 1);
	if (t->plan == PLAN_LATER && t->failure.code == EDQUOT)
		observer_count(observer, http_retries_429, 1);
	else if (t->plan == PLAN_LATER && t->failure.code == EIO)
		observer_count(observer, http_retries_5xx, 1);
	else if (t->failure.code == ETIMEDOUT)
		observer_count(observer, http_retries_timeout, 1);
	else if (t->failure.code == EHOSTUNREACH)
		observer_count(observer, http_retries_connect, 1);
	else
		observer_count(observer, http_retries_broken, 1);
}

static unsigned patience_limit(const struct http_transfer *t, enum patience patience)
{
	unsigned limit = t->no_retries ? 0 : t->http->config.retries;

	if (patience != PATIENCE_FULL && limit > (unsigned)patience)
		limit = (unsigned)patience;
	return limit;
}

static unsigned failures_so_far(const struct http_transfer *t)
{
	return t->progress >= HTTP_PROGRESS_MIN ? 0 : t->failures;
}

/* Would another attempt be hidden from the reader, and is there one, and time, left? */
bool transfer_may_retry(const struct http_transfer *t, enum patience patience, uint64_t wait_ms)
{
	bool is_released;

	(void)pthread_mutex_lock(&t->http->lock);
	is_released = t->is_released;
	(void)pthread_mutex_unlock(&t->http->lock);
	if (is_released && !t->may_resume)
		return false;
	return failures_so_far(t) < patience_limit(t, patience) &&
	       now_ms() + wait_ms < t->give_up_at;
}

static int go_to(struct http_transfer *t, const char *url, struct error *err)
{
	CLEANUP(freep) char *copy = strdup(url);
	char *origin = NULL;
	int rc;

	if (!copy)
		return error_set(err, ENOMEM, "out of memory");
	rc = url_origin(&origin, copy, err);
	if (rc)
		return rc;
	free(t->url);
	free(t->origin);
	t->url = TAKE(copy);
	t->origin = origin;
	t->state = STATE_QUEUED;
	return 0;
}

/* A body that cannot be continued, and that nobody has seen, starts anew. */
static void forget_body(struct http_transfer *t)
{
	struct http *http = t->http;

	if (!t->has_response || t->may_resume)
		return;
	(void)pthread_mutex_lock(&http->lock);
	ring_clear(&t->ring);
	t->has_response = false;
	(void)pthread_mutex_unlock(&http->lock);
	response_release(&t->response);
	t->base = t->position = 0;
	t->wanted_end = t->range_len ? t->range_offset + t->range_len : UINT64_MAX;
}

static void start_over(struct http_transfer *t)
{
	struct error err;

	forget_body(t);
	t->hops = 0;
	if (go_to(t, t->first_url, &err))
		transfer_finish(t, -ENOMEM, &err);
}

/* From half of it to all of it, so that many clients do not come back at once. */
static uint64_t backoff_ms(unsigned failures)
{
	uint64_t base =
		failures < 8 ? (uint64_t)HTTP_BACKOFF_MS << (failures - 1) : HTTP_BACKOFF_MAX_MS;
	uint16_t dice = 0;

	if (base > HTTP_BACKOFF_MAX_MS)
		base = HTTP_BACKOFF_MAX_MS;
	if (getrandom(&dice, sizeof dice, GRND_NONBLOCK) < 0)
		dice = UINT16_MAX; /* without luck: no jitter */
	return base / 2 + base / 2 * dice / UINT16_MAX;
}

uint64_t transfer_backoff_ms(const struct http_transfer *t)
{
	return backoff_ms(failures_so_far(t) + 1);
}

void transfer_fail(struct http_transfer *t)
{
	struct failure failure = t->failure;
	struct observer *observer = t->http->observer;
	uint64_t wait = failure.wait_ms ? failure.wait_ms : transfer_backoff_ms(t);

	attempt_stop(t);
	if (!transfer_may_retry(t, failure.patience, wait)) {
		/* A try at which protocol a host speaks is allowed to fail. */
		observer_count(observer, http_failures, !t->no_retries);
		transfer_finish(t, -failure.code, &failure.err);
		return;
	}
	t->failures = failures_so_far(t) + 1;
	t->progress = 0;
	count_retry(t);
	observer_log(observer, LOG_LEVEL_WARNING, "retry %u/%u in %.1fs: %s", t->failures,
		patience_limit(t, failure.patience), (double)wait / 1000, failure.err.text);
	forget_body(t);
	t->wake_at = now_ms() + wait;
	t->hops = 0;
	if (go_to(t, t->first_url, &failure.err))
		transfer_finish(t, -ENOMEM, &failure.err);
	else
		t->state = STATE_SLEEPING;
}

static int check_redirect(const struct http_transfer *t, const char *url, struct error *err)
{
	char text[256];

	if (t->hops >= HTTP_REDIRECTS_MAX)
		return error_set(err, EIO, "more than %d redirects", HTTP_REDIRECTS_MAX);
	(void)http_url_for_log(url, text, sizeof text);
	if (http_url_is_https(t->url) && !http_url_is_https(url))
		return error_set(err, EIO, "refused to be redirected from https to '%s'", text);
	if (http_url_zone(url) > t->reach)
		return error_set(
			err, EIO, "refused to be redirected to internal address '%s'", text);
	return 0;
}

static int follow(struct http_transfer *t, const char *location, struct error *err)
{
	CLEANUP(freep) char *url = NULL;
	char text[256];
	int rc;

	rc = http_url_join(&url, t->url, location, err);
	if (rc)
		return error_prefix(err, -EIO, "refused redirect");
	rc = check_redirect(t, url, err);
	if (rc)
		return rc;
	observer_count(t->http->observer, http_redirects, 1);
	observer_log(t->http->observer, LOG_LEVEL_DEBUG, "redirected to %s",
		http_url_for_log(url, text, sizeof text));
	t->hops++;
	return go_to(t, url, err);
}

static void redirect(struct http_transfer *t)
{
	CLEANUP(freep) char *location = TAKE(t->head.location);
	struct error err;
	int rc;

	attempt_stop(t);
	rc = follow(t, location, &err);
	if (!rc)
		return;
	observer_count(t->http->observer, http_failures, 1);
	observer_count(t->http->observer, net_redirect, 1);
	transfer_finish(t, rc, &err);
}

/* Errors and HEAD have no body worth counting. */
static bool is_complete(const struct http_transfer *t, CURLcode code)
{
	if (t->method == HTTP_HEAD || t->response.status >= 300)
		return true;
	if (t->end != UINT64_MAX)
		return t->position >= t->end;
	return code == CURLE_OK && !t->failure.code;
}

static void delivered(struct http_transfer *t, CURLcode code)
{
	if (is_complete(t, code)) {
		transfer_finish(t, 0, NULL);
		return;
	}
	/* A server may give less than was asked for: go on behind it. */
	if (code == CURLE_OK && t->may_resume && t->position - t->part_start >= HTTP_PROGRESS_MIN) {
		attempt_stop(t);
		start_over(t);
		return;
	}
	if (!t->failure.code && code == CURLE_OK)
		failure_set(t, EIO, PATIENCE_FULL, "%s: the body ends %llu bytes short",
			strstr(t->origin, "://") + 3, (unsigned long long)(t->end - t->position));
	else if (!t->failure.code)
		failure_from_curl(t, code);
	/* It was there a moment ago: worth more than a server that never answered. */
	if (t->failure.patience != PATIENCE_NONE && t->position > t->part_start)
		t->failure.patience = PATIENCE_FULL;
	transfer_fail(t);
}

void attempt_done(struct http_transfer *t, CURLcode code)
{
	switch (t->plan) {
	case PLAN_REDIRECT:
		redirect(t);
		break;
	case PLAN_AGAIN:
		attempt_stop(t);
		start_over(t);
		break;
	case PLAN_LATER:
		transfer_fail(t);
		break;
	case PLAN_DELIVER:
		delivered(t, code);
		break;
	case PLAN_NONE:
		if (!t->failure.code)
			failure_from_curl(t, code);
		transfer_fail(t);
		break;
	}
}
