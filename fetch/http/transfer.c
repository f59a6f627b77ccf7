/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The caller's side of a transfer: it hands a request to the http thread and
 * waits for what comes back, under http->lock, on the transfer's condition.
 *
 * Lock order: a cancel's lock, then http->lock.  So a watch is registered and
 * dropped with http->lock free, and its wake function leaves a mark.
 */
#include "fetch/http/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/cancel.h"
#include "fetch/observer.h"
#include "model/cleanup.h"

static void wake(void *context)
{
	struct http_transfer *t = context;

	(void)pthread_mutex_lock(&t->http->lock);
	t->is_cancelled = true;
	(void)pthread_cond_broadcast(&t->changed);
	(void)pthread_mutex_unlock(&t->http->lock);
}

static bool has_head(struct http_transfer *t)
{
	return t->is_released;
}

static bool has_bytes(struct http_transfer *t)
{
	return ring_used(&t->ring) || t->is_finished;
}

/* The head of a held-back answer comes with its end, or with a full ring.  Seeing that and
 * releasing it is one step, after which the thread may not start the body over. */
static bool release_head(struct http_transfer *t)
{
	if (t->is_finished || t->is_paused)
		t->is_released = true;
	return t->is_released;
}

static bool check(struct http_transfer *t, bool (*is_ready)(struct http_transfer *))
{
	bool yes;

	(void)pthread_mutex_lock(&t->http->lock);
	yes = is_ready(t);
	(void)pthread_mutex_unlock(&t->http->lock);
	return yes;
}

static int wait_for(
	struct http_transfer *t, bool (*is_ready)(struct http_transfer *), struct error *err)
{
	bool is_cancelled;

	if (cancel_is_set(t->cancel))
		return error_set(err, EINTR, "interrupted");
	if (check(t, is_ready))
		return 0;
	if (!cancel_watch(t->cancel, wake, t))
		return error_set(err, EINTR, "interrupted");
	(void)pthread_mutex_lock(&t->http->lock);
	while (!is_ready(t) && !t->is_cancelled)
		(void)pthread_cond_wait(&t->changed, &t->http->lock);
	is_cancelled = t->is_cancelled;
	(void)pthread_mutex_unlock(&t->http->lock);
	cancel_unwatch(t->cancel);
	return is_cancelled ? error_set(err, EINTR, "interrupted") : 0;
}

static int add_header(struct curl_slist **list, const char *line)
{
	struct curl_slist *longer = curl_slist_append(*list, line);

	if (!longer)
		return -ENOMEM;
	*list = longer;
	return 0;
}

static int set_headers(struct http_transfer *t, const struct http_request *request)
{
	if (add_header(&t->headers, "Accept-Encoding: identity") ||
		add_header(&t->foreign_headers, "Accept-Encoding: identity") ||
		add_header(&t->headers, "Expect:"))
		return -ENOMEM;
	for (size_t i = 0; i < request->header_count; i++) {
		const struct http_header *header = &request->headers[i];

		if (!*header->line)
			continue;
		if (strpbrk(header->line, "\r\n")) /* one line, or it is an attack */
			return -EINVAL;
		if (add_header(&t->headers, header->line))
			return -ENOMEM;
		if (!header->is_secret && add_header(&t->foreign_headers, header->line))
			return -ENOMEM;
	}
	return 0;
}

static int set_url(struct http_transfer *t, const struct http_request *request, struct error *err)
{
	int rc = http_url_join(&t->first_url, NULL, request->url, err);

	if (!rc)
		rc = url_origin(&t->first_origin, t->first_url, err);
	if (rc)
		return rc;
	t->url = strdup(t->first_url);
	t->origin = strdup(t->first_origin);
	if (!t->url || !t->origin)
		return error_set(err, ENOMEM, "out of memory");
	t->is_referred = request->is_referred || t->http->config.stays_outside;
	t->reach = http_url_zone(t->first_url);
	if (!t->is_referred)
		return 0;
	if (t->reach > request->referrer_zone)
		return error_set(err, EIO, "an internal address");
	t->reach = request->referrer_zone;
	return 0;
}

static int set_request(
	struct http_transfer *t, const struct http_request *request, struct error *err)
{
	int rc = set_url(t, request, err);

	if (rc)
		return rc;
	rc = set_headers(t, request);
	if (rc)
		return error_set(err, -rc, "request headers: %s", strerror(-rc));
	if (request->form) {
		t->form = strdup(request->form);
		if (!t->form)
			return error_set(err, ENOMEM, "out of memory");
	}
	if (request->range_len > UINT64_MAX - request->range_offset)
		return error_set(err, EINVAL, "a range beyond all bytes");
	t->method = request->method;
	t->range_offset = request->range_offset;
	t->range_len = request->range_len;
	t->wanted_end =
		request->range_len ? request->range_offset + request->range_len : UINT64_MAX;
	t->may_resume = request->may_resume;
	t->no_redirects = request->no_redirects;
	t->no_retries = request->no_retries;
	t->no_secrets_on_redirects = request->no_secrets_on_redirects;
	t->is_elsewhere = request->is_elsewhere;
	t->is_secret = request->is_secret;
	return 0;
}

static void wipe(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
}

static void transfer_free(struct http_transfer *t)
{
	for (struct curl_slist *at = t->headers; at; at = at->next)
		wipe(at->data);
	curl_slist_free_all(t->headers);
	curl_slist_free_all(t->foreign_headers);
	wipe(t->form);
	free(t->form);
	free(t->first_url);
	free(t->first_origin);
	free(t->url);
	free(t->origin);
	response_release(&t->response);
	if (t->is_secret && t->ring.bytes)
		explicit_bzero(t->ring.bytes, t->ring.capacity);
	ring_release(&t->ring);
	buf_release(&t->head_text);
	head_release(&t->head);
	(void)pthread_cond_destroy(&t->changed);
	free(t);
}

/* Hands it to the thread, which owns it until is_detached. */
static int start(struct http_transfer *t, struct error *err)
{
	struct http *http = t->http;
	bool is_stopping;

	(void)pthread_mutex_lock(&http->lock);
	is_stopping = http->is_stopping;
	if (!is_stopping) {
		t->wants_start = true;
		http_poke(t);
	}
	(void)pthread_mutex_unlock(&http->lock);
	return is_stopping ? error_set(err, EINTR, "interrupted") : 0;
}

/* What ended the transfer, if it failed. */
static int result_of(struct http_transfer *t, struct error *err)
{
	char text[256];

	if (!t->result)
		return 0;
	if (err)
		*err = t->err;
	return error_prefix(
		err, t->result, "%s", http_url_for_log(t->first_url, text, sizeof text));
}

static int wait_for_head(struct http_transfer *t, struct error *err)
{
	int rc = wait_for(t, t->is_whole ? release_head : has_head, err);

	if (rc)
		return rc;
	(void)pthread_mutex_lock(&t->http->lock);
	rc = t->has_response ? 0 : t->result;
	(void)pthread_mutex_unlock(&t->http->lock);
	return rc ? result_of(t, err) : 0;
}

static int open_transfer(struct http_transfer **ret, struct http *http,
	const struct http_request *request, bool is_whole, struct cancel *cancel, struct error *err)
{
	struct http_transfer *t = calloc(1, sizeof *t);
	int rc;

	if (!t)
		return error_set(err, ENOMEM, "out of memory");
	t->http = http;
	t->cancel = cancel;
	t->is_whole = is_whole;
	buf_init(&t->head_text, HTTP_HEADERS_MAX);
	(void)pthread_cond_init(&t->changed, NULL); /* cannot fail with default attributes */
	rc = set_request(t, request, err);
	if (!rc)
		rc = start(t, err);
	if (rc) {
		transfer_free(t);
		return rc;
	}
	rc = wait_for_head(t, err);
	if (rc) {
		http_close(t);
		return rc;
	}
	*ret = t;
	return 0;
}

int http_open(struct http_transfer **ret, struct http *http, const struct http_request *request,
	struct cancel *cancel, struct error *err)
{
	return open_transfer(ret, http, request, false, cancel, err);
}

const struct http_response *http_response(const struct http_transfer *t)
{
	return &t->response;
}

/* Room again: half a window at once, so that the thread is not woken per piece. */
static void take(struct http_transfer *t, size_t len)
{
	t->ring.tail += len;
	if (t->is_paused && !t->is_detached && ring_room(&t->ring) >= t->ring.capacity / 2) {
		t->wants_unpause = true;
		http_poke(t);
	}
}

ssize_t http_read(struct http_transfer *t, void *bytes, size_t len, struct error *err)
{
	struct http *http = t->http;
	uint64_t head;
	bool has_some;
	int rc;

	if (!len)
		return 0;
	rc = wait_for(t, has_bytes, err);
	if (rc)
		return rc;
	(void)pthread_mutex_lock(&http->lock);
	head = t->ring.head;
	has_some = ring_used(&t->ring);
	(void)pthread_mutex_unlock(&http->lock);
	if (!has_some)
		return result_of(t, err);

	len = ring_peek(&t->ring, head, bytes, len);
	(void)pthread_mutex_lock(&http->lock);
	take(t, len);
	(void)pthread_mutex_unlock(&http->lock);
	return (ssize_t)len;
}

void http_close(struct http_transfer *t)
{
	struct http *http;

	if (!t)
		return;
	http = t->http;
	(void)pthread_mutex_lock(&http->lock);
	if (!t->is_detached) {
		t->wants_abort = true;
		http_poke(t);
	}
	while (!t->is_detached)
		(void)pthread_cond_wait(&t->changed, &http->lock);
	(void)pthread_mutex_unlock(&http->lock);
	transfer_free(t);
}

static int read_all(struct http_transfer *t, struct buf *body, struct error *err)
{
	char piece[16 << 10];
	ssize_t n;

	while ((n = http_read(t, piece, sizeof piece, err)) > 0) {
		if (buf_append(body, piece, (size_t)n))
			return error_set(
				err, -buf_status(body), "a body of more than %zu bytes", body->max);
	}
	if (t->is_secret)
		explicit_bzero(piece, sizeof piece);
	return (int)n;
}

int http_fetch(struct http_transfer **ret, struct http *http, const struct http_request *request,
	struct buf *body, struct cancel *cancel, struct error *err)
{
	struct http_transfer *t;
	int rc;

	rc = open_transfer(&t, http, request, true, cancel, err);
	if (rc)
		return rc;
	rc = read_all(t, body, err);
	if (rc) {
		http_close(t);
		return rc;
	}
	*ret = t;
	return 0;
}
