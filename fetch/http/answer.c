/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An answer's head is complete: is it for the reader, a step on the way, or
 * nonsense?  answer_decide() sets plan, or leaves PLAN_NONE and sets failure.
 *
 * For a body that is being continued, the reader's bytes up to position are
 * kept and only these answers are of use:
 *
 *	206, the range asked for, same total     goes on at position
 *	200                                      skipped up to position
 *	206 of anything else, 416                asked once more without Range
 */
#include "fetch/http/internal.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "fetch/observer.h"
#include "model/cleanup.h"

static bool is_redirect(long status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* The server's trouble, not ours: it may pass. */
static bool is_passing(long status)
{
	return status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

/* What those say whose URLs are signed, and run out: S3 and the like 400 or 403, others 410. */
static bool is_expired(long status)
{
	return status == 400 || status == 403 || status == 410;
}

static void refuse_range(struct http_transfer *t, const char *why)
{
	observer_count(t->http->observer, range_refused, 1);
	if (t->is_range_refused) {
		failure_set(t, EIO, PATIENCE_NONE, "%s", why);
		return;
	}
	observer_log(t->http->observer, LOG_LEVEL_WARNING, "%s: %s; asking without a range",
		strstr(t->origin, "://") + 3, why);
	t->is_range_refused = true;
	t->plan = PLAN_AGAIN;
}

static bool is_as_asked(const struct http_transfer *t, const struct content_range *range)
{
	if (range->start != t->cursor)
		return false;
	/* A total that changes, or is given up: not the same object any more. */
	return !t->has_response || !t->has_total || (range->has_total && range->total == t->total);
}

static void take_partial(struct http_transfer *t)
{
	struct content_range range;
	const char *type = t->head.content_type;

	if (!t->has_asked_range) {
		failure_set(t, EPROTO, PATIENCE_ONCE, "part of a body that was asked for whole");
		return;
	}
	if ((type && !strncasecmp(type, "multipart/", 10)) ||
		!content_range_parse(&range, t->head.content_range) || !is_as_asked(t, &range)) {
		refuse_range(t, "the answer is not the range that was asked for");
		return;
	}
	t->plan = PLAN_DELIVER;
	t->part_end = range.end;
	if (t->has_response)
		return;
	t->base = t->position = range.start;
	t->has_total = range.has_total;
	t->total = range.total;
	t->end = range.has_total ? range.total : range.end;
	if (t->end > t->wanted_end)
		t->end = t->wanted_end;
}

static void take_whole(struct http_transfer *t)
{
	uint64_t length = 0;
	bool has_length = head_length(&t->head, &length);

	if (t->has_asked_range)
		observer_count(t->http->observer, range_ignored, 1);
	t->cursor = 0;
	t->part_end = has_length ? length : UINT64_MAX;
	if (!t->has_response) {
		t->base = t->position = 0;
		t->wanted_end = UINT64_MAX;
		t->has_total = has_length;
		t->total = length;
		t->end = t->part_end;
	} else if (has_length) { /* the newest answer knows best how much there is */
		t->end = length < t->wanted_end ? length : t->wanted_end;
		if (t->end < t->position) {
			failure_set(t, EIO, PATIENCE_NONE,
				"the body shrank from %llu to %llu bytes",
				(unsigned long long)t->total, (unsigned long long)length);
			return;
		}
	}
	t->plan = PLAN_DELIVER;
}

/* HEAD has a length but no body; errors have a body that nobody counts. */
static void take_other(struct http_transfer *t)
{
	uint64_t length;

	t->cursor = t->base = t->position = 0;
	t->part_end = t->end = UINT64_MAX;
	t->has_total = head_length(&t->head, &length);
	t->total = t->has_total ? length : 0;
	t->plan = PLAN_DELIVER;
}

/* A body that was under way cannot be continued with this. */
static void refuse_continuation(struct http_transfer *t)
{
	long status = t->head.status;

	if (status == 416)
		refuse_range(t, "the rest of the body was refused");
	else
		failure_set(t, status == 401 || status == 403 ? EACCES : EIO, PATIENCE_NONE,
			"status %ld for the rest of the body", status);
}

/* Of a body that will be used; that of an error may be what it likes. */
static bool is_plain(const struct http_transfer *t)
{
	const struct head *head = &t->head;

	return t->method == HTTP_HEAD || head->status >= 300 || !head->content_encoding ||
	       !*head->content_encoding || !strcasecmp(head->content_encoding, "identity");
}

/* Returns false when out of memory. */
static bool fill_response(struct http_transfer *t)
{
	struct http_response *response = &t->response;

	response->status = t->head.status;
	response->content_type = TAKE(t->head.content_type);
	response->content_digest = TAKE(t->head.content_digest);
	response->location = TAKE(t->head.location);
	response->links = TAKE(t->head.links.values);
	response->challenges = TAKE(t->head.challenges.values);
	response->docker_tokens = TAKE(t->head.docker_tokens.values);
	response->docker_endpoints = TAKE(t->head.docker_endpoints.values);
	response->docker_standalone = TAKE(t->head.docker_standalone);
	t->head.links.count = t->head.challenges.count = 0;
	t->head.docker_tokens.count = t->head.docker_endpoints.count = 0;
	response->final_url = strdup(t->url);
	response->zone = t->zone;
	response->has_length = t->end != UINT64_MAX || t->method == HTTP_HEAD;
	response->length = t->end - t->base;
	if (t->end == UINT64_MAX) {
		response->has_length = t->has_total;
		response->length = t->total;
	}
	if (t->head.status == 206) {
		response->range_start = t->base;
		response->has_total = t->has_total;
		response->total = t->total;
	}
	return response->final_url;
}

static size_t ring_size(const struct http_transfer *t)
{
	uint64_t length = t->end == UINT64_MAX ? UINT64_MAX : t->end - t->base;

	if (length > HTTP_WINDOW)
		return HTTP_WINDOW;
	return length < CURL_MAX_WRITE_SIZE ? CURL_MAX_WRITE_SIZE : (size_t)length;
}

static void publish(struct http_transfer *t)
{
	struct http *http = t->http;
	bool is_ready = fill_response(t);

	if (is_ready && t->method != HTTP_HEAD && !t->ring.bytes)
		is_ready = !ring_allocate(&t->ring, ring_size(t));
	if (!is_ready) {
		failure_set(t, ENOMEM, PATIENCE_NONE, "out of memory");
		t->plan = PLAN_NONE;
		return;
	}
	(void)pthread_mutex_lock(&http->lock);
	t->has_response = true;
	if (!t->is_whole)
		t->is_released = true;
	(void)pthread_cond_broadcast(&t->changed);
	(void)pthread_mutex_unlock(&http->lock);
}

static void take_body(struct http_transfer *t)
{
	long status = t->head.status;

	if (!is_plain(t)) {
		failure_set(t, EPROTO, PATIENCE_ONCE, "a Content-Encoding that was not asked for");
		return;
	}
	if (status == 206 && t->method == HTTP_GET)
		take_partial(t);
	else if (status == 200 && t->method != HTTP_HEAD)
		take_whole(t);
	else if (t->has_response)
		refuse_continuation(t);
	else
		take_other(t);
	if (t->plan == PLAN_DELIVER && !t->has_response)
		publish(t);
}

/* Those that memory does not suffice for are not sent again, that is all. */
static void take_cookies(struct http_transfer *t)
{
	if (!t->http->config.keeps_cookies || t->hops)
		return;
	for (size_t i = 0; i < t->head.cookies.count; i++)
		(void)cookies_take(&t->http->cookies, t->origin, t->head.cookies.values[i]);
}

void answer_decide(struct http_transfer *t)
{
	long status = t->head.status;
	uint64_t wait_ms = transfer_backoff_ms(t);

	take_cookies(t);
	(void)retry_after_parse(&wait_ms, t->head.retry_after, t->head.date);
	if (is_redirect(status) && t->head.location && !t->no_redirects && t->method != HTTP_POST) {
		t->plan = PLAN_REDIRECT;
	} else if (is_passing(status) && transfer_may_retry(t, PATIENCE_FULL, wait_ms)) {
		failure_set(t, status == 429 ? EDQUOT : EIO, PATIENCE_FULL, "%ld from %s", status,
			strstr(t->origin, "://") + 3);
		t->failure.wait_ms = wait_ms;
		t->plan = PLAN_LATER;
	} else if (is_expired(status) && t->hops && !t->has_asked_again) {
		t->has_asked_again = true; /* a signed URL that has run out, perhaps */
		t->plan = PLAN_AGAIN;
	} else {
		take_body(t);
	}
}

static void strings_release(char **strings)
{
	for (size_t i = 0; strings && strings[i]; i++)
		free(strings[i]);
	free(strings);
}

void response_release(struct http_response *response)
{
	free(response->content_type);
	free(response->content_digest);
	free(response->location);
	strings_release(response->links);
	strings_release(response->challenges);
	strings_release(response->docker_tokens);
	strings_release(response->docker_endpoints);
	free(response->docker_standalone);
	free(response->final_url);
	*response = (struct http_response){ 0 };
}
