/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request on the wire: how the easy handle is set up, and what its
 * callbacks do.  All of it runs on the http thread.
 *
 * libcurl follows no redirect and decodes nothing here.  A callback that wants the attempt to
 * end returns short; what that means is in plan and failure, and
 * attempt_done() reads them before it looks at libcurl's own code.
 */
#include "fetch/http/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "fetch/cancel.h"
#include "fetch/observer.h"
#include "model/cleanup.h"

bool attempt_is_own_origin(const struct http_transfer *t)
{
	return !strcmp(t->origin, t->first_origin);
}

static bool may_send_secrets(const struct http_transfer *t)
{
	return attempt_is_own_origin(t) && !(t->hops && t->no_secrets_on_redirects);
}

/* A blank line ends a section; 1xx answers are sections of their own. */
static size_t on_header(char *bytes, size_t size, size_t count, void *context)
{
	struct http_transfer *t = context;
	size_t len = size * count;
	int rc;

	if (t->plan != PLAN_NONE) /* trailers */
		return len;
	if (buf_append(&t->head_text, bytes, len)) {
		failure_set(t, -buf_status(&t->head_text), PATIENCE_NONE,
			"headers of more than %d bytes", HTTP_HEADERS_MAX);
		return 0;
	}
	if (bytes[0] != '\r' && bytes[0] != '\n')
		return len;
	rc = head_parse(&t->head, t->head_text.data, t->head_text.len, &t->failure.err);
	if (rc) {
		t->failure.code = -rc;
		t->failure.patience = PATIENCE_ONCE;
		return 0;
	}
	if (t->head.status < 200) {
		head_release(&t->head);
		buf_clear(&t->head_text);
		return len;
	}
	t->arrived_at = now_ms();
	answer_decide(t);
	return t->plan == PLAN_NONE ? 0 : len;
}

/* All of it or nothing; nothing pauses the connection. */
static bool put(struct http_transfer *t, const char *bytes, size_t len)
{
	bool fits;

	(void)pthread_mutex_lock(&t->http->lock);
	fits = ring_room(&t->ring) >= len;
	if (fits)
		ring_put(&t->ring, bytes, len);
	else
		t->is_paused = true;
	(void)pthread_cond_broadcast(&t->changed);
	(void)pthread_mutex_unlock(&t->http->lock);
	return fits;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t patience_ms(const struct http_transfer *t)
{
	return (uint64_t)t->http->config.connect_timeout_ms + t->http->config.stall_timeout_ms;
}

void transfer_be_patient(struct http_transfer *t)
{
	t->give_up_at = now_ms() + patience_ms(t);
}

static uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* What those waited for who wait for us is not ours alone. */
static void begin_patience(struct http_transfer *t)
{
	uint64_t since =
		most(cancel_waiting_since(t->cancel), atomic_load(&t->http->observer->arrived_ms));

	t->give_up_at = most(since + patience_ms(t), now_ms() + t->http->config.connect_timeout_ms);
}

/* Bytes that an earlier attempt brought as well are no progress, but the attempt lives. */
static void note_arrival(struct http_transfer *t)
{
	t->is_flowing = true;
	if (t->position <= t->reached)
		return;
	t->reached = t->position;
	transfer_be_patient(t);
	cancel_note_arrival(t->cancel);
	atomic_store(&t->http->observer->arrived_ms, now_ms());
}

/*
 *	cursor      position                  part_end, end
 *	  | delivered | ...... for the reader ...... | surplus
 */
static size_t deliver(struct http_transfer *t, const char *bytes, size_t len)
{
	size_t skip = (size_t)least(len, t->position - t->cursor);
	size_t keep = (size_t)least(len - skip, least(t->part_end, t->end) - t->position);

	if (keep && !put(t, bytes + skip, keep))
		return CURL_WRITEFUNC_PAUSE;
	t->cursor += skip + keep;
	t->position += keep;
	t->progress += keep;
	t->discarded += len - skip - keep;
	if (skip + keep)
		note_arrival(t);
	return t->discarded <= HTTP_ERROR_BODY_MAX ? len : 0;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *context)
{
	struct http_transfer *t = context;
	size_t len = size * count, taken;

	t->arrived_at = now_ms();
	if (t->plan == PLAN_DELIVER) {
		taken = deliver(t, bytes, len);
	} else {
		t->discarded += len;
		taken = t->discarded <= HTTP_ERROR_BODY_MAX ? len : 0;
	}
	if (taken == len)
		observer_count(t->http->observer, fetched_bytes, len);
	return taken;
}

/* Who was named by the user may be anywhere. */
static bool is_bounded(const struct http_transfer *t)
{
	return t->is_referred || !attempt_is_own_origin(t);
}

/* libcurl does not tell whether it uses the proxy or goes round it ($NO_PROXY), but the port does.
 * Where the origin has the same one, it is taken for the proxy. */
static bool is_proxy(const struct http_transfer *t, unsigned port)
{
	return port && port == t->http->proxy_ports[http_url_is_https(t->origin)];
}

/* False: a peer in that zone is not to be spoken to. */
static bool may_reach(struct http_transfer *t, enum http_zone zone)
{
	if (!is_bounded(t) || zone <= t->reach)
		return true;
	observer_count(t->http->observer, net_redirect, t->hops > 0);
	failure_set(t, EIO, PATIENCE_NONE, "%s an internal address",
		t->hops ? "redirected to" : "its name is one of");
	return false;
}

/* An address as libcurl writes it. */
static enum http_zone zone_of_text(const char *text)
{
	struct sockaddr_in ipv4 = { .sin_family = AF_INET };
	struct sockaddr_in6 ipv6 = { .sin6_family = AF_INET6 };

	if (inet_pton(AF_INET, text, &ipv4.sin_addr) == 1)
		return address_zone((const struct sockaddr *)&ipv4);
	if (inet_pton(AF_INET6, text, &ipv6.sin6_addr) == 1)
		return address_zone((const struct sockaddr *)&ipv6);
	return HTTP_ZONE_HOST;
}

/* Connected, handshake done: from here on silence counts.  Connections are used again, so the peer
 * is checked here as well.  Who is found further inside than its name told may send us there. */
static int on_connected(void *context, char *peer, char *local, int peer_port, int local_port)
{
	struct http_transfer *t = context;

	(void)local, (void)local_port;
	t->failure = (struct failure){ 0 }; /* of other addresses that the name has */
	if (t->http->unix_socket || is_proxy(t, (unsigned)peer_port)) {
		t->zone = http_url_zone(t->url);
	} else {
		t->zone = zone_of_text(peer);
		if (!may_reach(t, t->zone))
			return CURL_PREREQFUNC_ABORT;
		if (!is_bounded(t) && t->zone > t->reach)
			t->reach = t->zone;
	}
	t->is_connected = true;
	t->arrived_at = now_ms();
	return CURL_PREREQFUNC_OK;
}

static unsigned port_of(const struct sockaddr *address)
{
	switch (address->sa_family) {
	case AF_INET:
		return ntohs(((const struct sockaddr_in *)address)->sin_port);
	case AF_INET6:
		return ntohs(((const struct sockaddr_in6 *)address)->sin6_port);
	default:
		return 0;
	}
}

static curl_socket_t on_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct http_transfer *t = context;
	int fd;

	(void)purpose;
	if (!is_proxy(t, port_of(&address->addr)) && !may_reach(t, address_zone(&address->addr)))
		return CURL_SOCKET_BAD;
	fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE)) /* no fault of who is not reached */
		failure_set(t, errno, PATIENCE_NONE, "no connection: %s", strerror(errno));
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

/* libcurl copies texts: what it has no memory for must not be left out, a proxy or the authorities
 * least of all.  Other options cannot fail. */
static void set_text(struct http_transfer *t, CURLoption option, const char *text)
{
	if (text && curl_easy_setopt(t->easy, option, text))
		t->lacks_memory = true;
}

static void set_tls(struct http_transfer *t)
{
	const struct http *http = t->http;
	struct curl_blob authorities = { http->authorities.data, http->authorities.len,
		CURL_BLOB_NOCOPY };
	CURL *easy = t->easy;

	(void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, http->config.verify_tls ? 1L : 0L);
	(void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, http->config.verify_tls ? 2L : 0L);
	set_text(t, CURLOPT_CAINFO, http->ca_file);
	set_text(t, CURLOPT_CAPATH, http->ca_path);
	if (authorities.len && /* in place of the file, which is part of it */
		curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &authorities))
		t->lacks_memory = true;
	if (t->is_elsewhere || !may_send_secrets(t)) /* a client certificate is a credential */
		return;
	set_text(t, CURLOPT_SSLCERT, http->client_cert);
	set_text(t, CURLOPT_SSLKEY, http->client_key);
}

/* As the Go tools do: loopback never goes through the environment's proxy, and
 * HTTP_PROXY counts for http. */
static void set_proxy(struct http_transfer *t)
{
	const struct http *http = t->http;

	if (http->config.stays_outside)
		set_text(t, CURLOPT_NOPROXY, "");
	if (http->unix_socket)
		set_text(t, CURLOPT_PROXY, "");
	else if (http->proxy || http->config.stays_outside)
		set_text(t, CURLOPT_PROXY, http->proxy ? http->proxy : "");
	else if (http_host_is_loopback(strstr(t->origin, "://") + 3))
		set_text(t, CURLOPT_PROXY, "");
	else if (!http_url_is_https(t->origin))
		set_text(t, CURLOPT_PROXY, http->plain_proxy);
	(void)curl_easy_setopt(t->easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
}

static void set_cookies(struct http_transfer *t)
{
	CLEANUP(buf_release) struct buf line = { .max = HTTP_HEADERS_MAX };

	if (!t->http->cookies || t->hops)
		return;
	cookies_write(t->http->cookies, t->origin, &line);
	if (!buf_status(&line))
		set_text(t, CURLOPT_COOKIE, line.data);
}

static void set_method(struct http_transfer *t)
{
	switch (t->method) {
	case HTTP_GET:
		(void)curl_easy_setopt(t->easy, CURLOPT_HTTPGET, 1L);
		break;
	case HTTP_HEAD:
		(void)curl_easy_setopt(t->easy, CURLOPT_NOBODY, 1L);
		break;
	case HTTP_POST:
		(void)curl_easy_setopt(t->easy, CURLOPT_POST, 1L);
		(void)curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, t->form ? t->form : "");
		break;
	}
}

static void set_range(struct http_transfer *t)
{
	char text[48];
	uint64_t from = t->has_response ? t->position : t->range_offset;

	t->has_asked_range = t->method == HTTP_GET && !t->is_range_refused &&
			     (from || t->wanted_end != UINT64_MAX);
	if (!t->has_asked_range)
		return;
	if (t->wanted_end == UINT64_MAX)
		(void)snprintf(text, sizeof text, "%llu-", (unsigned long long)from);
	else
		(void)snprintf(text, sizeof text, "%llu-%llu", (unsigned long long)from,
			(unsigned long long)t->wanted_end - 1);
	set_text(t, CURLOPT_RANGE, text);
	t->cursor = from;
	if (t->has_response && !t->hops)
		observer_count(t->http->observer, http_resumes, 1);
}

static void set_callbacks(struct http_transfer *t)
{
	CURL *easy = t->easy;

	(void)curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
	(void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->message);
	(void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	(void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
	(void)curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connected);
	(void)curl_easy_setopt(easy, CURLOPT_PREREQDATA, t);
	(void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket);
	(void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, t);
}

/* QUICK_EXIT: dropping a handle must not wait for a name that is still being resolved. */
static void set_up(struct http_transfer *t)
{
	const struct http *http = t->http;
	CURL *easy = t->easy;

	curl_easy_reset(easy);
	set_callbacks(t);
	set_text(t, CURLOPT_URL, t->url);
	set_text(t, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
	(void)curl_easy_setopt(
		easy, CURLOPT_CONNECTTIMEOUT_MS, (long)http->config.connect_timeout_ms);
	(void)curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 256L << 10);
	set_text(t, CURLOPT_USERAGENT, http->user_agent);
	(void)curl_easy_setopt(
		easy, CURLOPT_HTTPHEADER, may_send_secrets(t) ? t->headers : t->foreign_headers);
	set_text(t, CURLOPT_UNIX_SOCKET_PATH, http->unix_socket);
	set_cookies(t);
	set_tls(t);
	set_proxy(t);
	set_method(t);
}

int attempt_start(struct http_transfer *t)
{
	if (!t->easy)
		t->easy = curl_easy_init();
	if (!t->easy)
		return -ENOMEM;
	if (!t->give_up_at)
		begin_patience(t);
	t->plan = PLAN_NONE;
	t->failure = (struct failure){ 0 };
	t->is_connected = t->is_flowing = false;
	t->cursor = 0;
	t->part_start = t->position;
	t->discarded = 0;
	t->message[0] = '\0';
	t->lacks_memory = false;
	set_up(t);
	set_range(t);
	if (t->lacks_memory || curl_multi_add_handle(t->http->multi, t->easy))
		return -ENOMEM;
	t->state = STATE_ACTIVE;
	observer_count(t->http->observer, http_requests, 1);
	return 0;
}

void attempt_stop(struct http_transfer *t)
{
	if (t->state == STATE_ACTIVE)
		(void)curl_multi_remove_handle(t->http->multi, t->easy); /* it is in there */
	t->state = STATE_QUEUED;
	(void)pthread_mutex_lock(&t->http->lock);
	t->is_paused = false;
	(void)pthread_mutex_unlock(&t->http->lock);
	head_release(&t->head);
	buf_clear(&t->head_text);
}
