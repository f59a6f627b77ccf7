/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread.  It sleeps in curl_multi_poll() until a socket stirs, a caller
 * pokes it, or the nearest deadline (a stall, the end of a backoff) has come;
 * with nothing to do it sleeps for ever.
 *
 * Connections are not shared by requests at one time (no HTTP/2 multiplexing):
 * in libcurl before 8.2 one paused stream holds up all others of
 * its connection, and our readers pause.  How many requests one origin gets at
 * once is counted here, not by libcurl, whose connect timeout would run
 * while a request is still in its queue.
 */
#include "fetch/http/internal.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fetch/cancel.h"
#include "fetch/observer.h"
#include "fetch/thread.h"
#include "model/cleanup.h"

enum { IDLE_CONNECTIONS_MAX = 32 };

void http_poke(struct http_transfer *t)
{
	struct http *http = t->http;

	if (!t->is_poked) {
		t->is_poked = true;
		t->next_poked = http->poked;
		http->poked = t;
	}
	(void)curl_multi_wakeup(http->multi); /* fails only for want of a socket pair */
}

static void unpoke(struct http_transfer *t)
{
	for (struct http_transfer **at = &t->http->poked; *at; at = &(*at)->next_poked) {
		if (*at == t) {
			*at = t->next_poked;
			break;
		}
	}
	t->is_poked = false;
}

static void unlink_transfer(struct http_transfer *t)
{
	for (struct http_transfer **at = &t->http->transfers; *at; at = &(*at)->next) {
		if (*at == t) {
			*at = t->next;
			return;
		}
	}
}

/* After this the transfer is its caller's alone, who may already have freed it. */
void transfer_finish(struct http_transfer *t, int result, const struct error *err)
{
	struct http *http = t->http;

	attempt_stop(t);
	curl_easy_cleanup(t->easy);
	t->easy = NULL;
	unlink_transfer(t);
	if (!result) /* with a body or without one */
		cancel_note_arrival(t->cancel);

	(void)pthread_mutex_lock(&http->lock);
	unpoke(t);
	t->result = result;
	if (err)
		t->err = *err;
	t->is_released = true;
	t->is_finished = t->is_detached = true;
	(void)pthread_cond_broadcast(&t->changed);
	(void)pthread_mutex_unlock(&http->lock);
}

static void interrupt(struct http_transfer *t)
{
	struct error err;

	transfer_finish(t, error_set(&err, EINTR, "interrupted"), &err);
}

static struct http_transfer *next_poked(struct http *http, bool *is_stopping)
{
	struct http_transfer *t;

	(void)pthread_mutex_lock(&http->lock);
	*is_stopping = http->is_stopping;
	t = http->poked;
	if (t)
		unpoke(t);
	(void)pthread_mutex_unlock(&http->lock);
	return t;
}

static void attend(struct http_transfer *t)
{
	struct http *http = t->http;
	bool wants_start, wants_abort, wants_unpause;

	(void)pthread_mutex_lock(&http->lock);
	wants_start = t->wants_start;
	wants_abort = t->wants_abort;
	wants_unpause = t->wants_unpause && t->is_paused;
	t->wants_start = t->wants_unpause = false;
	if (wants_unpause)
		t->is_paused = false;
	(void)pthread_mutex_unlock(&http->lock);

	if (wants_start) {
		t->next = http->transfers;
		http->transfers = t;
	}
	if (wants_abort) {
		interrupt(t);
	} else if (wants_unpause && t->state == STATE_ACTIVE) {
		t->arrived_at = now_ms();
		transfer_be_patient(t);
		(void)curl_easy_pause(t->easy, CURLPAUSE_CONT); /* errors come as a message */
	}
}

/* Returns false when the thread shall end. */
static bool attend_all(struct http *http)
{
	struct http_transfer *t;
	bool is_stopping;

	while ((t = next_poked(http, &is_stopping)))
		attend(t);
	return !is_stopping;
}

static unsigned count_active(const struct http *http, const char *origin)
{
	unsigned count = 0;

	for (const struct http_transfer *t = http->transfers; t; t = t->next)
		if (t->state == STATE_ACTIVE && !strcmp(t->origin, origin))
			count++;
	return count;
}

/* Newest come first in the list; the oldest that waits is due. */
static struct http_transfer *next_queued(const struct http *http)
{
	struct http_transfer *due = NULL;

	for (struct http_transfer *t = http->transfers; t; t = t->next)
		if (t->state == STATE_QUEUED &&
			count_active(http, t->origin) < http->config.max_connections)
			due = t;
	return due;
}

static void start_queued(struct http *http)
{
	struct http_transfer *t;

	while ((t = next_queued(http))) {
		struct error err;

		if (attempt_start(t))
			transfer_finish(t, error_set(&err, ENOMEM, "out of memory"), &err);
	}
}

static void collect_done(struct http *http)
{
	struct CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(http->multi, &left))) {
		CURLcode code = message->data.result;
		char *context = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &context);
		attempt_done((struct http_transfer *)(void *)context, code);
	}
}

static bool is_watched(const struct http_transfer *t)
{
	bool is_paused;

	if (t->state != STATE_ACTIVE)
		return false;
	(void)pthread_mutex_lock(&t->http->lock);
	is_paused = t->is_paused;
	(void)pthread_mutex_unlock(&t->http->lock);
	return !is_paused;
}

static uint64_t stalled_at(const struct http_transfer *t)
{
	return t->is_connected ? t->arrived_at + t->http->config.stall_timeout_ms : UINT64_MAX;
}

/* When something is due for this transfer; UINT64_MAX: only when it stirs. */
static uint64_t deadline_of(const struct http_transfer *t)
{
	uint64_t stalled = stalled_at(t);

	if (t->state == STATE_SLEEPING)
		return t->wake_at;
	if (!is_watched(t))
		return UINT64_MAX;
	return !t->is_flowing && t->give_up_at < stalled ? t->give_up_at : stalled;
}

static void stalled(struct http_transfer *t)
{
	const char *host = strstr(t->origin, "://") + 3;

	if (now_ms() >= stalled_at(t))
		failure_set(t, ETIMEDOUT, PATIENCE_TWICE, "%s: nothing came for %.1fs", host,
			(double)t->http->config.stall_timeout_ms / 1000);
	else
		failure_set(t, ETIMEDOUT, PATIENCE_NONE,
			"%s: nothing came in time, whatever was tried", host);
	observer_count(t->http->observer, net_stall, 1);
	attempt_done(t, CURLE_OPERATION_TIMEDOUT);
}

static void expire(struct http *http)
{
	uint64_t now = now_ms();

	for (struct http_transfer *t = http->transfers, *next; t; t = next) {
		next = t->next;
		if (deadline_of(t) > now)
			continue;
		if (t->state == STATE_SLEEPING)
			t->state = STATE_QUEUED;
		else
			stalled(t);
	}
}

static int poll_timeout(const struct http *http)
{
	uint64_t now = now_ms(), first = UINT64_MAX;

	for (const struct http_transfer *t = http->transfers; t; t = t->next) {
		uint64_t deadline = deadline_of(t);

		if (deadline < first)
			first = deadline;
	}
	if (first <= now)
		return 0;
	return first - now < INT_MAX ? (int)(first - now) : INT_MAX;
}

static void *run(void *context)
{
	struct http *http = context;
	int running;

	while (attend_all(http)) {
		start_queued(http);
		(void)curl_multi_perform(http->multi, &running); /* failures are messages */
		collect_done(http);
		expire(http);
		start_queued(http);
		(void)curl_multi_poll(http->multi, NULL, 0, poll_timeout(http), NULL);
	}
	while (http->transfers)
		interrupt(http->transfers);
	return NULL;
}

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_status;

/* libcurl copies headers, forms and answers about: all that it frees is wiped. */
static void wiping_free(void *bytes)
{
	if (bytes)
		explicit_bzero(bytes, malloc_usable_size(bytes));
	free(bytes);
}

static void *wiping_realloc(void *bytes, size_t len)
{
	size_t has = malloc_usable_size(bytes); /* of NULL: 0 */
	void *moved;

	if (bytes && len <= has)
		return bytes;
	moved = malloc(len);
	if (!moved)
		return NULL;
	if (bytes)
		memcpy(moved, bytes, has);
	wiping_free(bytes);
	return moved;
}

static void init_curl(void)
{
	curl_status = curl_global_init_mem(
		CURL_GLOBAL_DEFAULT, malloc, wiping_free, wiping_realloc, strdup, calloc);
}

static const char *from_environment(const char *configured, const char *name)
{
	const char *value = configured ? NULL : getenv(name);

	return value && *value ? value : configured;
}

static int copy_text(char **ret, const char *text)
{
	if (!text)
		return 0;
	*ret = strdup(text);
	return *ret ? 0 : -ENOMEM;
}

/* What libcurl finds in the environment, in its order, and HTTP_PROXY, which set_proxy() adds. */
static const char *proxy_of_environment(bool is_https)
{
	static const char *const names[2][4] = {
		{ "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY" },
		{ "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY" },
	};
	const char *proxy = NULL;

	for (size_t i = 0; !proxy && i < ARRAY_SIZE(names[is_https]); i++)
		proxy = from_environment(NULL, names[is_https][i]);
	return proxy;
}

/* Who stays outside uses the one for https for everything. */
static const char *find_proxy(const struct http_config *config)
{
	if (config->proxy || !config->stays_outside)
		return config->proxy;
	return proxy_of_environment(true);
}

static void find_proxy_ports(struct http *http)
{
	for (size_t is_https = 0; is_https < ARRAY_SIZE(http->proxy_ports); is_https++)
		http->proxy_ports[is_https] = proxy_port(http->proxy || http->config.stays_outside
								 ? http->proxy
								 : proxy_of_environment(is_https));
}

static int copy_config(struct http *http, const struct http_config *config)
{
	http->config = *config;
	if (!http->config.max_connections)
		http->config.max_connections = 1;
	if (copy_text(&http->proxy, find_proxy(config)) ||
		copy_text(&http->user_agent, config->user_agent) ||
		copy_text(&http->ca_file, from_environment(NULL, "SSL_CERT_FILE")) ||
		copy_text(&http->ca_path, from_environment(NULL, "SSL_CERT_DIR")) ||
		copy_text(&http->client_cert, config->client_cert) ||
		copy_text(&http->client_key, config->client_key) ||
		copy_text(&http->unix_socket, config->unix_socket))
		return -ENOMEM;
	find_proxy_ports(http);
	if (getenv("http_proxy"))
		return 0;
	return copy_text(&http->plain_proxy, from_environment(NULL, "HTTP_PROXY"));
}

/* A proxy's URL may hold a password. */
static void free_url(char *url)
{
	if (url)
		explicit_bzero(url, strlen(url));
	free(url);
}

static void release(struct http *http)
{
	if (http->multi)
		(void)curl_multi_cleanup(http->multi);
	(void)pthread_mutex_destroy(&http->lock);
	free_url(http->proxy);
	free(http->user_agent);
	free(http->ca_file);
	free(http->ca_path);
	free(http->client_cert);
	free(http->client_key);
	buf_release(&http->authorities);
	free_url(http->plain_proxy);
	free(http->unix_socket);
	cookies_free(http->cookies);
	free(http);
}

int http_new(struct http **ret, const struct http_config *config, struct observer *observer,
	struct error *err)
{
	struct http *http;
	int rc;

	(void)pthread_once(&curl_once, init_curl);
	if (curl_status)
		return error_set(err, EIO, "libcurl: %s", curl_easy_strerror(curl_status));
	http = calloc(1, sizeof *http);
	if (!http)
		return error_set(err, ENOMEM, "out of memory");
	http->observer = observer;
	(void)pthread_mutex_init(&http->lock, NULL); /* cannot fail with default attributes */
	http->multi = curl_multi_init();
	if (!http->multi || copy_config(http, config)) {
		release(http);
		return error_set(err, ENOMEM, "out of memory");
	}
	rc = config->extra_ca
		     ? authorities_join(&http->authorities, http->ca_file, config->extra_ca, err)
		     : 0;
	if (rc) {
		release(http);
		return rc;
	}
	(void)curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	(void)curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNECTIONS_MAX);
	rc = thread_start(&http->thread, "imgfs-http", run, http);
	if (rc) {
		release(http);
		return error_set(err, rc, "start the http thread: %s", strerror(rc));
	}
	*ret = http;
	return 0;
}

void http_free(struct http *http)
{
	if (!http)
		return;
	(void)pthread_mutex_lock(&http->lock);
	http->is_stopping = true;
	(void)curl_multi_wakeup(http->multi);
	(void)pthread_mutex_unlock(&http->lock);
	(void)pthread_join(http->thread, NULL);
	release(http);
}
