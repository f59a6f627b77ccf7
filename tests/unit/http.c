/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transfers against a server with scripted faults (tests/faultregistry.py
 * --help-rules), and the parsers of what servers send.
 */
#include "fetch/http/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <netdb.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

#include "fetch/cancel.h"
#include "fetch/http/internal.h"
#include "model/cleanup.h"
#include "tests/unit/cases.h"
#include "tests/unit/faultserver.h"

static struct fault_server server;
static struct test_observer observer;

static struct http *new_http(unsigned retries)
{
	const struct http_config config = { .user_agent = "imgfs-test",
		.verify_tls = true,
		.connect_timeout_ms = 5000,
		.stall_timeout_ms = 400,
		.retries = retries,
		.max_connections = 4 };
	struct http *http = NULL;
	struct error err;

	test_observer_init(&observer);
	assert_int_equal(http_new(&http, &config, &observer.base, &err), 0);
	return http;
}

static const char *blob_url(char url[static 256], const char *digest)
{
	(void)snprintf(url, 256, "http://127.0.0.1:%d/v2/app/blobs/%s", server.port, digest);
	return url;
}

/* ---- bodies under faults ---------------------------------------------------------------- */

static const struct body_case {
	const char *name, *rules;
	bool is_big, no_resume;
	uint64_t offset, len;
	unsigned retries;
	int rc;      /* of http_open() or http_read() */
	long status; /* 0: 200 */
	size_t got;  /* bytes; 0: all that were asked for */
	unsigned resumes, ignored, retried, redirects;
	const char *error; /* what the message must hold */
} body_cases[] = {
	{ .name = "a plain body", .rules = "[]" },
	{ .name = "a body larger than the window", .rules = "[]", .is_big = true },
	{ .name = "from an offset", .rules = "[]", .offset = 4711, .status = 206 },
	{ .name = "a span", .rules = "[]", .offset = 100, .len = 5000, .status = 206 },
	{ .name = "a span that reaches beyond the end",
		.rules = "[]",
		.offset = 99000,
		.len = 5000,
		.status = 206,
		.got = 1000 },
	{ .name = "chunked", .rules = "[{\"do\":{\"chunked\":true}}]" },
	{ .name = "interim answers", .rules = "[{\"do\":{\"informational\":3}}]" },

#define CUT(at) "[{\"times\":1,\"do\":{\"disconnect_after\":" at "}}]"
	{ .name = "cut before the first byte", .rules = CUT("0"), .retries = 2, .retried = 1 },
	{ .name = "cut after 1 byte", .rules = CUT("1"), .retries = 2, .resumes = 1, .retried = 1 },
	{ .name = "cut in the middle",
		.rules = CUT("50000"),
		.retries = 2,
		.resumes = 1,
		.retried = 1 },
	{ .name = "cut before the last byte",
		.rules = CUT("-1"),
		.retries = 2,
		.resumes = 1,
		.retried = 1 },
	{ .name = "cut beyond the window",
		.rules = CUT("5000000"),
		.is_big = true,
		.retries = 2,
		.resumes = 1,
		.retried = 1 },
	{ .name = "cut in a span",
		.rules = CUT("2000"),
		.offset = 100,
		.len = 5000,
		.status = 206,
		.retries = 2,
		.resumes = 1,
		.retried = 1 },
#undef CUT
	{ .name = "reset in the middle",
		.rules = "[{\"times\":1,\"do\":{\"disconnect_after\":50000,\"rst\":true}}]",
		.retries = 2,
		.resumes = 1,
		.retried = 1 },
	{ .name = "cut twice",
		.rules = "[{\"times\":2,\"do\":{\"disconnect_after\":30000}}]",
		.retries = 2,
		.resumes = 2,
		.retried = 2 },
	{ .name = "cut more often than allowed",
		.rules = "[{\"do\":{\"disconnect_after\":1000}}]",
		.retries = 1,
		.rc = -EIO,
		.resumes = 1,
		.retried = 1 },
	{ .name = "cut chunks",
		.rules = "[{\"times\":1,\"do\":{\"chunked_bad\":\"cut\"}}]",
		.retries = 2,
		.resumes = 1,
		.retried = 1 },
	{ .name = "a bad chunk size",
		.rules = "[{\"times\":1,\"do\":{\"chunked_bad\":\"size\"}}]",
		.retries = 2,
		.retried = 1 },
	{ .name = "cut and not to be resumed",
		.rules = "[{\"times\":1,\"do\":{\"disconnect_after\":50000}}]",
		.no_resume = true,
		.retries = 2,
		.rc = -EIO },
	{ .name = "a length that is too long, once",
		.rules = "[{\"times\":1,\"do\":{\"content_length\":\"+50\"}}]",
		.retries = 2,
		.resumes = 1,
		.retried = 1,
		.ignored = 0 },
	{ .name = "surplus bytes are dropped", .rules = "[{\"do\":{\"trailing\":100}}]" },

	{ .name = "range ignored",
		.rules = "[{\"do\":{\"ignore_range\":true}}]",
		.offset = 5000,
		.ignored = 1 },
	{ .name = "cut, then range ignored",
		.rules = "[{\"times\":1,\"do\":{\"disconnect_after\":50000}},"
			 "{\"do\":{\"ignore_range\":true}}]",
		.retries = 2,
		.resumes = 1,
		.retried = 1,
		.ignored = 1 },
	{ .name = "cut in a range, then range ignored",
		.rules = "[{\"times\":1,\"do\":{\"disconnect_after\":50000}},"
			 "{\"skip\":1,\"do\":{\"ignore_range\":true}}]",
		.offset = 5000,
		.status = 206,
		.retries = 2,
		.resumes = 1,
		.retried = 1,
		.ignored = 1 },
	{ .name = "another range than asked for",
		.rules = "[{\"do\":{\"content_range_shift\":7}}]",
		.offset = 5000 },
	{ .name = "cut, then another range",
		.rules = "[{\"times\":1,\"do\":{\"disconnect_after\":50000}},"
			 "{\"do\":{\"content_range_shift\":7}}]",
		.retries = 2,
		.resumes = 1,
		.retried = 1 },
	{ .name = "cut, then another total",
		.rules = "[{\"times\":1,\"do\":{\"disconnect_after\":50000}},"
			 "{\"do\":{\"content_range_total\":100001}}]",
		.retries = 2,
		.resumes = 1,
		.retried = 1 },
	{ .name = "no Content-Range",
		.rules = "[{\"do\":{\"content_range\":null}}]",
		.offset = 5000 },
	{ .name = "multipart", .rules = "[{\"do\":{\"multipart\":true}}]", .offset = 5000 },
	{ .name = "fewer bytes than asked for",
		.rules = "[{\"times\":1,\"do\":{\"range_short\":10}}]",
		.offset = 5000,
		.status = 206,
		.resumes = 1 },
	{ .name = "more bytes than asked for",
		.rules = "[{\"do\":{\"range_long\":100}}]",
		.offset = 100,
		.len = 5000,
		.status = 206 },
	{ .name = "truncated but well formed",
		.rules = "[{\"do\":{\"truncate\":500}}]",
		.got = 500 },
	{ .name = "past the end", .rules = "[]", .offset = 100000, .status = 416, .got = 1 },

	{ .name = "503 twice",
		.rules = "[{\"times\":2,\"do\":{\"status\":503}}]",
		.retries = 3,
		.retried = 2 },
	{ .name = "503 for ever is an answer",
		.rules = "[{\"do\":{\"status\":503}}]",
		.retries = 1,
		.retried = 1,
		.status = 503,
		.got = 1 },
	{ .name = "429 with Retry-After",
		.rules = "[{\"times\":1,\"do\":{\"status\":429,\"retry_after\":1}}]",
		.retries = 1,
		.retried = 1 },
	{ .name = "429 with Retry-After 0",
		.rules = "[{\"times\":1,\"do\":{\"status\":429,\"retry_after\":0}}]",
		.retries = 1,
		.retried = 1 },
	{ .name = "404 is not tried again",
		.rules = "[{\"do\":{\"status\":404}}]",
		.retries = 3,
		.status = 404,
		.got = 1 },
	{ .name = "no answer",
		.rules = "[{\"times\":1,\"do\":{\"disconnect\":\"request\"}}]",
		.retries = 2,
		.retried = 1 },

	{ .name = "silence before the answer",
		.rules = "[{\"times\":1,\"do\":{\"hang\":true}}]",
		.retries = 1,
		.retried = 1 },
	{ .name = "silence for ever",
		.rules = "[{\"do\":{\"hang\":true}}]",
		.retries = 1,
		.retried = 1,
		.rc = -ETIMEDOUT,
		.error = "nothing came" },
	{ .name = "silence in the body",
		.rules = "[{\"times\":1,\"do\":{\"delay_body\":1}}]",
		.retries = 1,
		.retried = 1 },
	{ .name = "a head in drops",
		.rules = "[{\"do\":{\"slow_headers\":0.05}}]",
		.rc = -ETIMEDOUT,
		.error = "nothing came" },
	{ .name = "a slow body is no stall",
		.rules = "[{\"do\":{\"slow\":{\"chunk\":10000,\"interval\":0.1}}}]" },

	{ .name = "an encoding",
		.rules = "[{\"do\":{\"content_encoding\":\"gzip\"}}]",
		.rc = -EPROTO,
		.error = "Content-Encoding" },
	{ .name = "one big header",
		.rules = "[{\"do\":{\"big_header\":65536}}]",
		.retries = 3,
		.rc = -EFBIG,
		.error = "65536" },
	{ .name = "many headers",
		.rules = "[{\"do\":{\"header_count\":10000}}]",
		.retries = 3,
		.rc = -EFBIG },
	{ .name = "no HTTP", .rules = "[{\"do\":{\"raw\":\"hello\\r\\n\\r\\n\"}}]", .rc = -EPROTO },
	{ .name = "a negative length",
		.rules = "[{\"do\":{\"raw\":\"HTTP/1.1 200 OK\\r\\n"
			 "Content-Length: -5\\r\\n\\r\\nabc\"}}]",
		.rc = -EPROTO },

	{ .name = "a redirect",
		.rules = "[{\"match\":{\"port\":\"main\"},\"do\":{\"redirect\":\"cdn\"}}]",
		.redirects = 1 },
	{ .name = "a redirect by 302",
		.rules = "[{\"match\":{\"port\":\"main\"},"
			 "\"do\":{\"redirect\":\"cdn\",\"status\":302}}]",
		.redirects = 1 },
	{ .name = "cut behind a redirect",
		.rules = "[{\"match\":{\"port\":\"main\"},\"do\":{\"redirect\":\"cdn\"}},"
			 "{\"match\":{\"port\":\"cdn\"},\"times\":1,"
			 "\"do\":{\"disconnect_after\":50000}}]",
		.retries = 2,
		.resumes = 1,
		.retried = 1,
		.redirects = 2 },
	{ .name = "a signed URL that has expired",
		.rules = "[{\"match\":{\"port\":\"main\"},\"do\":{\"redirect\":\"cdn\"}},"
			 "{\"match\":{\"port\":\"cdn\"},\"times\":1,\"do\":{\"status\":403}}]",
		.redirects = 2 },
	{ .name = "one that has expired, says 400",
		.rules = "[{\"match\":{\"port\":\"main\"},\"do\":{\"redirect\":\"cdn\"}},"
			 "{\"match\":{\"port\":\"cdn\"},\"times\":1,\"do\":{\"status\":400}}]",
		.redirects = 2 },
	{ .name = "one that has expired, says 410, and again",
		.rules = "[{\"match\":{\"port\":\"main\"},\"do\":{\"redirect\":\"cdn\"}},"
			 "{\"match\":{\"port\":\"cdn\"},\"do\":{\"status\":410}}]",
		.redirects = 2,
		.status = 410,
		.got = 1 },
	{ .name = "400 from the registry itself is final",
		.rules = "[{\"do\":{\"status\":400}}]",
		.retries = 2,
		.status = 400,
		.got = 1 },
	{ .name = "a redirect loop",
		.rules = "[{\"do\":{\"redirect\":\"loop\"}}]",
		.retries = 3,
		.rc = -EIO,
		.redirects = 5,
		.error = "redirects" },
	{ .name = "a redirect to a file",
		.rules = "[{\"do\":{\"redirect\":\"file:///etc/passwd\"}}]",
		.retries = 3,
		.rc = -EIO,
		.error = "neither http nor https" },
	{ .name = "a redirect to nowhere",
		.rules = "[{\"do\":{\"redirect\":\"http://\"}}]",
		.retries = 3,
		.rc = -EIO },
};

static size_t expected_len(const struct body_case *c, uint64_t start)
{
	size_t total = c->is_big ? BIG_LEN : SMALL_LEN;

	if (c->got)
		return c->got;
	return c->len ? c->len : total - start;
}

/* Reads in odd pieces; returns what ended it. */
static ssize_t read_body(struct http_transfer *t, char **ret, size_t *ret_len, struct error *err)
{
	size_t len = 0, room = BIG_LEN + 1;
	char *bytes = malloc(room);
	ssize_t n;

	assert_non_null(bytes);
	while ((n = http_read(t, bytes + len, room - len < 70001 ? room - len : 70001, err)) > 0)
		len += (size_t)n;
	*ret = bytes;
	*ret_len = len;
	return n;
}

static void check_counters(const struct body_case *c)
{
	struct counters *counters = &observer.base.counters;

	assert_int_equal(counters->http_retries, c->retried);
	assert_int_equal(counters->http_resumes, c->resumes);
	assert_int_equal(counters->range_ignored, c->ignored);
	assert_int_equal(counters->http_redirects, c->redirects);
}

static void gets_body(void **state)
{
	const struct body_case *c = *state;
	const struct http_header auth = { "Authorization: Basic c2VjcmV0", true };
	const unsigned char *whole = c->is_big ? server.big : server.small;
	struct http *http = new_http(c->retries);
	struct http_transfer *t = NULL;
	CLEANUP(freep) char *bytes = NULL;
	struct error err = { "" };
	char url[256];
	size_t len = 0;
	ssize_t rc;

	fault_rules(&server, c->rules);
	struct http_request request = { .url = blob_url(url, c->is_big ? server.big_digest
								       : server.small_digest),
		.headers = &auth,
		.header_count = 1,
		.range_offset = c->offset,
		.range_len = c->len,
		.may_resume = !c->no_resume };
	rc = http_open(&t, http, &request, NULL, &err);
	if (!rc) {
		const struct http_response *response = http_response(t);
		uint64_t start = response->status == 206 ? c->offset : 0;

		assert_int_equal(response->status, c->status ? c->status : 200);
		assert_int_equal(response->range_start, start);
		rc = read_body(t, &bytes, &len, &err);
		if (response->status < 300 && !c->rc) {
			if (rc)
				print_error("%s\n", err.text);
			assert_int_equal(rc, 0);
			assert_int_equal(len, expected_len(c, start));
			if (response->has_length)
				assert_true(response->length == len || strstr(c->name, "too long"));
		}
		if (response->status < 300)
			assert_memory_equal(bytes, whole + start, len);
		http_close(t);
	}
	if (rc != c->rc)
		print_error("%zd: %s\n%s", rc, err.text, observer.lines);
	assert_int_equal(rc, c->rc);
	if (c->error && !strstr(err.text, c->error))
		fail_msg("'%s' lacks '%s'", err.text, c->error);
	assert_null(strstr(err.text, "c2VjcmV0"));
	check_counters(c);
	assert_int_equal(fault_stat(&server, "cdn_with_authorization"), 0);
	http_free(http);
}

/* ---- cookies, and what goes along with redirects ---------------------------------------- */

#define HERE "http://h:80"

static const struct cookie_case {
	const char *values[4];
	const char *origin, *sent; /* for HERE */
} cookie_cases[] = {
	{ { "session=abc" }, HERE, "session=abc" },
	{ { "session=abc; Path=/; HttpOnly" }, HERE, "session=abc" },
	{ { "a=1", "b=2;Path=/" }, HERE, "b=2; a=1" },
	{ { "a=1", "a=2" }, HERE, "a=2" },
	{ { "a=1", "ab=2" }, HERE, "ab=2; a=1" },
	{ { "a=1", "a=; Max-Age=0" }, HERE, "" },
	{ { "a=1", "a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT" }, HERE, "" },
	{ { "a=1; max-age=60" }, HERE, "a=1" },
	{ { "a=1; Secure" }, HERE, "" },
	{ { "a=1; Domain=h" }, "http://x.h:80", "" },
	{ { "a=1" }, "http://h:8080", "" },
	{ { "a=1" }, "https://h:443", "" },
	{ { "a" }, HERE, "" },
	{ { "=1" }, HERE, "" },
	{ { "" }, HERE, "" },
	{ { ";;;" }, HERE, "" },
};

static void keeps_cookies(void **state)
{
	const struct cookie_case *c = *state;
	struct cookie *jar = NULL;
	struct buf line;

	buf_init(&line, 1024);
	for (size_t i = 0; i < ARRAY_SIZE(c->values) && c->values[i]; i++)
		assert_int_equal(cookies_take(&jar, c->origin, c->values[i]), 0);
	cookies_write(jar, HERE, &line);
	assert_int_equal(buf_status(&line), 0);
	assert_string_equal(line.data ? line.data : "", c->sent);
	buf_release(&line);
	cookies_free(jar);
}

static void bounds_cookies(void **state)
{
	struct cookie *jar = NULL;
	struct buf line;
	char pair[HTTP_COOKIE_MAX + 2];
	size_t count = 0;

	(void)state;
	memset(pair, 'x', sizeof pair - 1);
	pair[1] = '=';
	pair[sizeof pair - 1] = '\0';
	assert_int_equal(cookies_take(&jar, HERE, pair), 0);
	assert_null(jar);
	for (int i = 0; i < 2 * HTTP_COOKIES_MAX; i++) {
		(void)snprintf(pair, sizeof pair, "c%d=1", i);
		assert_int_equal(cookies_take(&jar, HERE, pair), 0);
	}
	for (struct cookie *at = jar; at; at = at->next)
		count++;
	assert_int_equal(count, HTTP_COOKIES_MAX);
	buf_init(&line, 64 << 10);
	cookies_write(jar, HERE, &line);
	assert_int_equal(buf_status(&line), 0);
	buf_release(&line);
	cookies_free(jar);
}

static long get_status(struct http *http, const struct http_request *request)
{
	struct http_transfer *t = NULL;
	struct error err;
	long status;
	int rc = http_open(&t, http, request, NULL, &err);

	if (rc)
		fail_msg("%s", err.text);
	status = http_response(t)->status;
	http_close(t);
	return status;
}

/* The second request brings what the first one was given; the redirected third one, not. */
static void sends_cookies(void **state)
{
	const struct http_config config = { .verify_tls = true,
		.connect_timeout_ms = 5000,
		.stall_timeout_ms = 400,
		.max_connections = 4,
		.keeps_cookies = true };
	struct http *http = NULL;
	char url[256];
	struct http_request request = { .url = blob_url(url, server.small_digest) };

	(void)state;
	test_observer_init(&observer);
	assert_int_equal(http_new(&http, &config, &observer.base, NULL), 0);
	fault_rules(&server,
		"[{\"times\":1,\"do\":{\"headers\":{\"Set-Cookie\":\"s=1; Path=/\"}}},"
		"{\"match\":{\"header\":{\"Cookie\":\"^s=1$\"}},\"do\":{\"status\":418}}]");
	assert_int_equal(get_status(http, &request), 200);
	assert_int_equal(get_status(http, &request), 418);
	fault_rules(&server, "[{\"match\":{\"port\":\"main\"},\"do\":{\"redirect\":\"cdn\"}}]");
	assert_int_equal(get_status(http, &request), 200);
	assert_int_equal(fault_stat(&server, "cdn_with_cookie"), 0);
	http_free(http);
}

static void withholds_secrets(void **state)
{
	const struct http_header auth = { "Authorization: Basic c2VjcmV0", true };
	struct http *http = new_http(0);
	char url[256];
	struct http_request request = {
		.url = blob_url(url, server.small_digest), .headers = &auth, .header_count = 1
	};

	(void)state;
	fault_rules(&server,
		"[{\"match\":{\"query\":\"^$\"},\"do\":{\"redirect\":\"self\"}},"
		"{\"match\":{\"query\":\"r=1\",\"auth\":true},\"do\":{\"status\":418}}]");
	assert_int_equal(get_status(http, &request), 418);
	request.no_secrets_on_redirects = true;
	assert_int_equal(get_status(http, &request), 200);
	http_free(http);
}

/* ---- unix sockets ------------------------------------------------------------------------- */

static void *answer_once(void *context)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello";
	int fd = accept(*(int *)context, NULL, NULL);
	char request[4096];

	if (fd < 0 || read(fd, request, sizeof request) <= 0 ||
		write(fd, answer, sizeof answer - 1) < 0)
		fault_die("unix socket");
	(void)close(fd);
	return NULL;
}

/* Whatever the environment's proxy is. */
static void speaks_unix(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct http_config config = {
		.connect_timeout_ms = 5000, .stall_timeout_ms = 5000, .max_connections = 1
	};
	struct http_request request = { .url = "http://localhost/x" };
	struct http_transfer *t = NULL;
	struct http *http = NULL;
	struct buf body;
	struct error err;
	pthread_t thread;

	(void)state;
	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", server.dir);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(pthread_create(&thread, NULL, answer_once, &listener), 0);
	test_observer_init(&observer);
	config.unix_socket = address.sun_path;
	config.proxy = "http://127.0.0.1:1";
	assert_int_equal(http_new(&http, &config, &observer.base, &err), 0);
	buf_init(&body, 100);
	assert_int_equal(http_fetch(&t, http, &request, &body, NULL, &err), 0);
	assert_string_equal(body.data, "hello");
	http_close(t);
	buf_clear(&body);
	(void)pthread_join(thread, NULL);
	(void)close(listener);
	assert_int_equal(http_fetch(&t, http, &request, &body, NULL, &err), -EHOSTUNREACH);
	buf_release(&body);
	http_free(http);
}

/* ---- fetching whole bodies -------------------------------------------------------------- */

/* What cannot be continued is started over, and no byte is seen twice. */
static void refetches_whole(void **state)
{
	struct http *http = new_http(2);
	struct http_transfer *t = NULL;
	struct buf body;
	struct error err;
	char url[256];

	(void)state;
	buf_init(&body, SMALL_LEN);
	fault_rules(&server, "[{\"times\":2,\"do\":{\"disconnect_after\":50000}}]");
	struct http_request request = { .url = blob_url(url, server.small_digest) };
	assert_int_equal(http_fetch(&t, http, &request, &body, NULL, &err), 0);
	assert_int_equal(http_response(t)->status, 200);
	assert_int_equal(body.len, SMALL_LEN);
	assert_memory_equal(body.data, server.small, SMALL_LEN);
	assert_int_equal(observer.base.counters.http_retries, 2);
	assert_int_equal(observer.base.counters.http_resumes, 0);
	http_close(t);
	buf_release(&body);
	http_free(http);
}

static void obeys_ceiling(void **state)
{
	struct http *http = new_http(0);
	struct http_transfer *t = NULL;
	struct buf body;
	struct error err;
	char url[256];

	(void)state;
	buf_init(&body, 5 << 20);
	fault_rules(&server, "[]");
	struct http_request request = { .url = blob_url(url, server.big_digest) };
	assert_int_equal(http_fetch(&t, http, &request, &body, NULL, &err), -EFBIG);
	assert_null(t);
	buf_release(&body);
	http_free(http);
}

static void heads(void **state)
{
	struct http *http = new_http(0);
	struct http_transfer *t = NULL;
	struct error err;
	char url[256], byte;

	(void)state;
	fault_rules(&server, "[]");
	struct http_request request = { .method = HTTP_HEAD,
		.url = blob_url(url, server.big_digest) };
	assert_int_equal(http_open(&t, http, &request, NULL, &err), 0);
	assert_int_equal(http_response(t)->status, 200);
	assert_true(http_response(t)->has_length);
	assert_int_equal(http_response(t)->length, BIG_LEN);
	assert_string_equal(http_response(t)->content_digest, server.big_digest);
	assert_string_equal(http_response(t)->final_url, url);
	assert_int_equal(http_read(t, &byte, 1, &err), 0);
	http_close(t);
	http_free(http);
}

/* ---- pausing, cancelling, ending ---------------------------------------------------------- */

/* The server gets rid of a window and no more while nobody reads, and that is no stall. */
static void pauses(void **state)
{
	struct http *http = new_http(0);
	struct http_transfer *t = NULL;
	CLEANUP(freep) char *bytes = NULL;
	struct error err;
	char url[256];
	size_t len;

	(void)state;
	fault_rules(&server, "[]");
	struct http_request request = { .url = blob_url(url, server.big_digest) };
	assert_int_equal(http_open(&t, http, &request, NULL, &err), 0);
	(void)pthread_mutex_lock(&http->lock);
	while (!t->is_paused)
		(void)pthread_cond_wait(&t->changed, &http->lock);
	assert_in_range(ring_used(&t->ring), HTTP_WINDOW - CURL_MAX_WRITE_SIZE, HTTP_WINDOW);
	(void)pthread_mutex_unlock(&http->lock);
	usleep(600000); /* beyond the stall timeout */
	assert_int_equal(read_body(t, &bytes, &len, &err), 0);
	assert_int_equal(len, BIG_LEN);
	assert_memory_equal(bytes, server.big, BIG_LEN);
	http_close(t);
	http_free(http);
}

struct opener {
	struct http *http;
	struct cancel *cancel;
	int rc;
};

static void *open_and_wait(void *context)
{
	struct opener *opener = context;
	struct http_transfer *t = NULL;
	struct error err;
	char url[256];

	struct http_request request = { .url = blob_url(url, server.small_digest) };
	opener->rc = http_open(&t, opener->http, &request, opener->cancel, &err);
	http_close(t);
	return NULL;
}

static struct http *new_patient_http(void)
{
	const struct http_config config = { .connect_timeout_ms = 60000,
		.stall_timeout_ms = 3600000,
		.retries = 5,
		.max_connections = 4 };
	struct http *http = NULL;

	test_observer_init(&observer);
	assert_int_equal(http_new(&http, &config, &observer.base, NULL), 0);
	return http;
}

/* The server has the request in hand. */
static void await_active(void)
{
	while (fault_stat_now(&server, "active") < 1)
		usleep(1000);
}

/* Each of these would take an hour if the cancel did not end it. */
static const struct cancel_case {
	const char *name, *rules, *line;
} cancel_cases[] = {
	{ "cancelled while the server hangs", "[{\"do\":{\"hang\":true}}]", NULL },
	{ "cancelled while waiting to try again",
		"[{\"do\":{\"status\":503,\"retry_after\":3600}}]", "retry 1/5 in 30.0s: 503" },
};

static void start_hanging(const struct cancel_case *c, struct opener *opener, pthread_t *thread)
{
	fault_rules(&server, c->rules);
	assert_int_equal(pthread_create(thread, NULL, open_and_wait, opener), 0);
	if (c->line)
		test_observer_wait(&observer, c->line);
	else
		await_active();
}

static void cancels(void **state)
{
	struct cancel cancel;
	struct opener opener = { .http = new_patient_http(), .cancel = &cancel };
	pthread_t thread;

	cancel_init(&cancel);
	start_hanging(*state, &opener, &thread);
	cancel_set(&cancel);
	(void)pthread_join(thread, NULL);
	assert_int_equal(opener.rc, -EINTR);
	cancel_release(&cancel);
	http_free(opener.http);
}

static void cancelled_before(void **state)
{
	struct cancel cancel;
	struct opener opener = { .http = new_patient_http(), .cancel = &cancel };

	(void)state;
	cancel_init(&cancel);
	cancel_set(&cancel);
	fault_rules(&server, "[{\"do\":{\"hang\":true}}]");
	(void)open_and_wait(&opener);
	assert_int_equal(opener.rc, -EINTR);
	cancel_release(&cancel);
	http_free(opener.http);
}

/* http_free() is called by another thread than the one that waits: here it may, as
 * the waiter's transfer is told to end and released before the memory goes. */
static void stops(void **state)
{
	struct opener opener = { .http = new_patient_http() };
	struct http *http = opener.http;
	pthread_t thread;

	start_hanging(*state, &opener, &thread);
	(void)pthread_mutex_lock(&http->lock);
	http->is_stopping = true;
	(void)curl_multi_wakeup(http->multi);
	(void)pthread_mutex_unlock(&http->lock);
	(void)pthread_join(thread, NULL);
	assert_int_equal(opener.rc, -EINTR);
	http_free(http);
}

/* ---- how long for ------------------------------------------------------------------------ */

static const struct patience_case {
	const char *name, *rules;
	unsigned connect_timeout_ms, stall_timeout_ms;
	int rc;
	long status;
	unsigned requests;
	const char *error;
} patience_cases[] = {
	{ "silence, and no time for another attempt", "[{\"do\":{\"hang\":true}}]", 100, 400,
		-ETIMEDOUT, 0, 1, "nothing came for 0.4s" },
	{ "another attempt, and no time to end it", "[{\"do\":{\"hang\":true}}]", 700, 700,
		-ETIMEDOUT, 0, 2, "nothing came in time" },
	{ "a head, and silence", "[{\"do\":{\"delay_body\":30}}]", 100, 400, -ETIMEDOUT, 200, 1,
		"nothing came for 0.4s" },
	{ "a wish to wait for longer", "[{\"do\":{\"status\":429,\"retry_after\":30}}]", 5000, 5000,
		0, 429, 1, NULL },
	{ "a wish that can be granted", "[{\"times\":1,\"do\":{\"status\":429,\"retry_after\":1}}]",
		5000, 5000, 0, 200, 2, NULL },
	{ "slow for longer", "[{\"do\":{\"slow\":{\"chunk\":5000,\"interval\":0.1}}}]", 600, 400, 0,
		200, 1, NULL },
	{ "slow for longer over what is there already",
		"[{\"times\":1,\"do\":{\"disconnect_after\":99000}},"
		"{\"do\":{\"ignore_range\":true,\"slow\":{\"chunk\":5000,\"interval\":0.1}}}]",
		600, 400, 0, 200, 2, NULL },
};

static struct http *new_impatient_http(const struct patience_case *c)
{
	const struct http_config config = { .verify_tls = true,
		.connect_timeout_ms = c->connect_timeout_ms,
		.stall_timeout_ms = c->stall_timeout_ms,
		.retries = 5,
		.max_connections = 4 };
	struct http *http = NULL;

	test_observer_init(&observer);
	fault_rules(&server, c->rules);
	assert_int_equal(http_new(&http, &config, &observer.base, NULL), 0);
	return http;
}

/* All of it; the last error. */
static int get_all(struct http *http, struct cancel *cancel, long *ret_status, struct error *err)
{
	char url[256], piece[16 << 10];
	struct http_request request = { .url = blob_url(url, server.small_digest),
		.may_resume = true };
	struct http_transfer *t = NULL;
	ssize_t n = http_open(&t, http, &request, cancel, err);

	if (n)
		return (int)n;
	*ret_status = http_response(t)->status;
	while ((n = http_read(t, piece, sizeof piece, err)) > 0)
		;
	http_close(t);
	return (int)n;
}

static void gives_up_in_time(void **state)
{
	const struct patience_case *c = *state;
	struct http *http = new_impatient_http(c);
	struct error err = { "" };
	long status = 0;

	assert_int_equal(get_all(http, NULL, &status, &err), c->rc);
	assert_int_equal(status, c->status);
	assert_int_equal(observer.base.counters.http_requests, c->requests);
	if (c->error)
		assert_non_null(strstr(err.text, c->error));
	http_free(http);
}

/* Two requests for one who waits: the second has what the first one left, which is the time for a
 * connection at least. */
static void shares_patience(void **state)
{
	const struct patience_case c = { .rules = "[{\"do\":{\"hang\":true}}]",
		.connect_timeout_ms = 100,
		.stall_timeout_ms = 600 };
	struct http *http = new_impatient_http(&c);
	struct cancel cancel;
	struct error err = { "" };
	long status;

	(void)state;
	cancel_init(&cancel);
	cancel_start_wait(&cancel);
	assert_int_equal(get_all(http, &cancel, &status, &err), -ETIMEDOUT);
	assert_non_null(strstr(err.text, "nothing came for 0.6s"));
	assert_int_equal(get_all(http, &cancel, &status, &err), -ETIMEDOUT);
	assert_non_null(strstr(err.text, "nothing came in time"));
	/* Something came for them meanwhile. */
	cancel_note_arrival(&cancel);
	assert_int_equal(get_all(http, &cancel, &status, &err), -ETIMEDOUT);
	assert_non_null(strstr(err.text, "nothing came for 0.6s"));
	cancel_release(&cancel);
	http_free(http);
}

/* ---- who was named by a peer ------------------------------------------------------------- */

/* A name that is an address of this machine, though it does not look so; NULL: there is none. */
static const char *inner_name(char name[static 256])
{
	struct addrinfo hints = { .ai_family = AF_INET }, *found;
	bool is_one;

	if (gethostname(name, 256) || http_host_is_internal(name) ||
		getaddrinfo(name, NULL, &hints, &found))
		return NULL;
	is_one = address_zone(found->ai_addr) == HTTP_ZONE_HOST;
	freeaddrinfo(found);
	return is_one ? name : NULL;
}

static const struct referred_case {
	const char *name;
	bool is_referred, by_name;
	enum http_zone referrer_zone;
	bool warms;        /* somebody else has made the connection that is used */
	const char *proxy; /* "%d": our port */
	int rc;
	long requests;
	enum http_zone zone; /* of the answer */
} referred_cases[] = {
	{ "the user's own name for this machine", false, true, 0, false, NULL, 0, 1,
		HTTP_ZONE_HOST },
	{ "a peer's address inside", true, false, HTTP_ZONE_LINK, false, NULL, -EIO, 0, 0 },
	{ "a peer's name inside", true, true, HTTP_ZONE_LINK, false, NULL, -EIO, 0, 0 },
	{ "a peer's name, and a connection that is there", true, true, HTTP_ZONE_PRIVATE, true,
		NULL, -EIO, 1, 0 },
	{ "a peer's name where the peer is", true, true, HTTP_ZONE_HOST, false, NULL, 0, 1,
		HTTP_ZONE_HOST },
	{ "a peer's name behind a proxy inside", true, true, 0, false, "http://127.0.0.1:%d", 0, 1,
		HTTP_ZONE_PUBLIC },
	{ "an address behind a proxy inside", true, false, 0, false, "http://127.0.0.1:%d", -EIO, 0,
		0 },
};

/* The one port serves as the proxy, too: it takes the absolute form of a URL. */
static void stays_in_its_zone(void **state)
{
	const struct referred_case *c = *state;
	char name[256], url[512], proxy[64];
	struct http_transfer *t = NULL;
	struct error err = { "" };
	const struct http_config config = { .stall_timeout_ms = 5000,
		.connect_timeout_ms = 5000,
		.max_connections = 4,
		.proxy = c->proxy ? proxy : NULL };
	struct http *http;
	int rc;

	if (!inner_name(name))
		skip();
	(void)snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", server.port);
	test_observer_init(&observer);
	assert_int_equal(http_new(&http, &config, &observer.base, &err), 0);
	fault_rules(&server, "[{\"do\":{\"status\":200}}]");
	(void)snprintf(url, sizeof url, "http://%s:%d/v2/", c->by_name ? name : "127.0.0.1",
		c->proxy ? 80 : server.port);
	if (c->warms)
		assert_int_equal(get_status(http, &(struct http_request){ .url = url }), 200);
	const struct http_request request = {
		.url = url, .is_referred = c->is_referred, .referrer_zone = c->referrer_zone
	};
	rc = http_open(&t, http, &request, NULL, &err);
	assert_int_equal(rc, c->rc);
	if (rc) {
		assert_non_null(strstr(err.text, "an internal address"));
	} else {
		assert_int_equal(http_response(t)->zone, c->zone);
		http_close(t);
	}
	assert_int_equal(fault_stat(&server, "requests"), c->requests);
	http_free(http);
}

/* Through a proxy that is inside, redirects lead inside no more than without it. */
static void trusts_no_proxy(void **state)
{
	char proxy[64], rules[256];
	const struct http_config config = { .stall_timeout_ms = 5000,
		.connect_timeout_ms = 5000,
		.max_connections = 4,
		.proxy = proxy };
	struct http_request request = { .url = "http://r.example.com/v2/" };
	struct http_transfer *t = NULL;
	struct error err = { "" };
	struct http *http;

	(void)state;
	(void)snprintf(proxy, sizeof proxy, "http://127.0.0.1:%d", server.port);
	test_observer_init(&observer);
	assert_int_equal(http_new(&http, &config, &observer.base, &err), 0);
	(void)snprintf(rules, sizeof rules,
		"[{\"match\":{\"header\":{\"Host\":\"example\"}},\"do\":{\"redirect\":"
		"\"http://169.254.169.254/\"},\"stop\":true},{\"do\":{\"status\":200}}]");
	fault_rules(&server, rules);
	assert_int_equal(http_open(&t, http, &request, NULL, &err), -EIO);
	assert_non_null(strstr(err.text, "internal address"));
	assert_int_equal(fault_stat(&server, "requests"), 1);
	http_free(http);
}

static const struct proxy_case {
	const char *url;
	unsigned port;
} proxy_cases[] = {
	{ "http://10.0.0.1:3128", 3128 },
	{ "10.0.0.1:8080", 8080 },
	{ "http://user:password@proxy.example.com:3128/", 3128 },
	{ "proxy.example.com", 1080 },
	{ "http://proxy.example.com", 1080 },
	{ "https://proxy.example.com", 443 },
	{ "socks5h://10.0.0.1:9050", 9050 },
	{ "socks5://10.0.0.1", 1080 },
	{ "http://[fd00::1]:3128", 3128 },
	{ "", 0 },
};

static void reads_proxy(void **state)
{
	const struct proxy_case *c = *state;

	assert_int_equal(proxy_port(c->url), c->port);
}

/* ---- peers that are not there ----------------------------------------------------------- */

static const struct peer_case {
	const char *name, *url;
	int rc;
	bool is_our_port; /* "%d" in url */
} peer_cases[] = {
	{ "refused", "http://127.0.0.1:1/", -EHOSTUNREACH, false },
	{ "a name that does not exist", "http://does-not-exist.invalid/", -EHOSTUNREACH, false },
	{ "https asked of http", "https://127.0.0.1:%d/", -EPROTONOSUPPORT, true },
	{ "another scheme", "ftp://127.0.0.1/", -EPROTO, false },
	{ "no URL", "http://", -EPROTO, false },
};

static void fails_to_reach(void **state)
{
	const struct peer_case *c = *state;
	struct http *http = new_http(0);
	struct http_transfer *t = NULL;
	struct error err;
	char url[256];

	if (c->is_our_port)
		(void)snprintf(url, sizeof url, "https://127.0.0.1:%d/", server.port);
	else
		(void)snprintf(url, sizeof url, "%s", c->url);
	fault_rules(&server, "[]");
	struct http_request request = { .url = url };
	assert_int_equal(http_open(&t, http, &request, NULL, &err), c->rc);
	http_free(http);
}

/* Who is refused is not asked for long, whatever was configured. */
static void gives_up_soon(void **state)
{
	struct http *http = new_http(100);
	struct http_transfer *t = NULL;
	struct http_request request = { .url = "http://127.0.0.1:1/" };
	struct error err;

	(void)state;
	assert_int_equal(http_open(&t, http, &request, NULL, &err), -EHOSTUNREACH);
	assert_int_equal(observer.base.counters.http_retries, 2);
	http_free(http);
}

/* As many at once as max_connections says, and no more.  None of them ends by itself, and the
 * server is one that has no others: a server hears late of what its clients have done with. */
static void runs_in_parallel(void **state)
{
	enum { COUNT = 12, AT_ONCE = 4, PAUSE_US = 50000 };
	struct fault_server others = server;
	struct http *http = new_patient_http();
	struct cancel cancels[COUNT];
	struct opener openers[COUNT];
	pthread_t threads[COUNT];

	(void)state;
	fault_server_start(&server, NULL);
	fault_rules(&server, "[{\"do\":{\"hang\":true}}]");
	for (size_t i = 0; i < COUNT; i++) {
		cancel_init(&cancels[i]);
		openers[i] = (struct opener){ .http = http, .cancel = &cancels[i] };
		assert_int_equal(pthread_create(&threads[i], NULL, open_and_wait, &openers[i]), 0);
	}
	while (fault_stat_now(&server, "active") < AT_ONCE)
		usleep(1000);
	usleep(PAUSE_US); /* for one too many to arrive */
	assert_int_equal(fault_stat_now(&server, "peak_active"), AT_ONCE);
	for (size_t i = 0; i < COUNT; i++)
		cancel_set(&cancels[i]);
	for (size_t i = 0; i < COUNT; i++) {
		(void)pthread_join(threads[i], NULL);
		assert_int_equal(openers[i].rc, -EINTR);
		cancel_release(&cancels[i]);
	}
	http_free(http);
	fault_server_stop(&server);
	server = others;
}

/* ---- parsers ---------------------------------------------------------------------------- */

static const struct range_case {
	const char *text;
	bool is_good;
	uint64_t start, end, total; /* total 0: unknown */
} range_cases[] = {
	{ "bytes 0-499/1234", true, 0, 500, 1234 },
	{ "bytes 500-1233/1234", true, 500, 1234, 1234 },
	{ "BYTES  1-1/*", true, 1, 2, 0 },
	{ "bytes */1234", false, 0, 0, 0 },
	{ "bytes 500-499/1234", false, 0, 0, 0 },
	{ "bytes 0-1234/1234", false, 0, 0, 0 },
	{ "bytes 0-1/2x", false, 0, 0, 0 },
	{ "bytes -1-1/2", false, 0, 0, 0 },
	{ "bytes 0-18446744073709551616/*", false, 0, 0, 0 },
	{ "bytes 0-9223372036854775807/*", true, 0, 9223372036854775808u, 0 },
	{ "bytes=0-1/2", false, 0, 0, 0 },
	{ "items 0-1/2", false, 0, 0, 0 },
	{ "", false, 0, 0, 0 },
};

static void parses_range(void **state)
{
	const struct range_case *c = *state;
	struct content_range range;

	assert_int_equal(content_range_parse(&range, c->text), c->is_good);
	if (!c->is_good)
		return;
	assert_true(range.start == c->start && range.end == c->end);
	assert_int_equal(range.has_total, c->total != 0);
	assert_true(range.total == c->total);
}

static const struct retry_case {
	const char *text, *date;
	bool is_good;
	uint64_t ms;
} retry_cases[] = {
	{ "0", NULL, true, 0 },
	{ "7", NULL, true, 7000 },
	{ "30", NULL, true, 30000 },
	{ "31", NULL, true, HTTP_RETRY_AFTER_MAX_MS },
	{ "99999999999999999999", NULL, false, 0 },
	{ "-1", NULL, false, 0 },
	{ "soon", NULL, false, 0 },
	/* RFC 9110 10.2.3's own date; the server's clock may be wrong by decades. */
	{ "Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 31 Dec 1999 23:59:49 GMT", true, 10000 },
	{ "Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 31 Dec 1999 00:00:00 GMT", true,
		HTTP_RETRY_AFTER_MAX_MS },
	{ "Fri, 31 Dec 1999 23:59:59 GMT", NULL, false, 0 },
};

static void parses_retry_after(void **state)
{
	const struct retry_case *c = *state;
	uint64_t ms = 0;

	assert_int_equal(retry_after_parse(&ms, c->text, c->date), c->is_good);
	assert_true(ms == c->ms);
}

static const struct log_url_case {
	const char *url, *text;
} log_url_cases[] = {
	{ "https://h:1/a/b", "https://h:1/a/b" },
	{ "https://user:secret@h/a?token=x#y", "https://h/a" },
	{ "https://h?token=x", "https://h" },
	{ "https://h/a@b", "https://h/a@b" },
	{ "https://a@b@h/", "https://h/" },
	{ "https://h/\033[1m\n", "https://h/?[1m?" },
};

static void logs_url(void **state)
{
	const struct log_url_case *c = *state;
	char text[64];

	assert_string_equal(http_url_for_log(c->url, text, sizeof text), c->text);
}

static const struct join_case {
	const char *base, *url, *joined; /* NULL: refused */
} join_cases[] = {
	{ NULL, "https://h/a", "https://h/a" },
	{ NULL, "https://u:p@h/a#f", "https://h/a" },
	{ NULL, "/a", NULL },
	{ NULL, "file:///a", NULL },
	{ "https://h/v2/_catalog?n=2", "/v2/_catalog?n=2&last=b",
		"https://h/v2/_catalog?n=2&last=b" },
	{ "https://h/v2/_catalog?n=2", "?last=b", "https://h/v2/_catalog?last=b" },
	{ "https://h/a/b", "c", "https://h/a/c" },
	{ "https://h/a", "//other/b", "https://other/b" },
	{ "https://h/a", "javascript:alert(1)", NULL },
	{ "https://h/a", "gopher://h/", NULL },
};

static void joins(void **state)
{
	const struct join_case *c = *state;
	CLEANUP(freep) char *joined = NULL;
	struct error err;
	int rc = http_url_join(&joined, c->base, c->url, &err);

	assert_int_equal(rc, c->joined ? 0 : -EPROTO);
	if (c->joined)
		assert_string_equal(joined, c->joined);
}

static const struct host_case {
	const char *host;
	enum http_zone zone;
	bool is_loopback;
} host_cases[] = {
	{ "localhost", HTTP_ZONE_HOST, true },
	{ "LOCALHOST:5000", HTTP_ZONE_HOST, true },
	{ "a.localhost", HTTP_ZONE_HOST, true },
	{ "127.0.0.1:5000", HTTP_ZONE_HOST, true },
	{ "127.9.9.9", HTTP_ZONE_HOST, true },
	{ "[::1]:5000", HTTP_ZONE_HOST, true },
	{ "2130706433", HTTP_ZONE_HOST, true }, /* 127.0.0.1 */
	{ "0x7f.1", HTTP_ZONE_HOST, true },
	{ "0.0.0.0", HTTP_ZONE_HOST, false },
	{ "10.1.2.3", HTTP_ZONE_PRIVATE, false },
	{ "172.31.0.1", HTTP_ZONE_PRIVATE, false },
	{ "172.32.0.1", HTTP_ZONE_PUBLIC, false },
	{ "192.168.1.1:443", HTTP_ZONE_PRIVATE, false },
	{ "169.254.169.254", HTTP_ZONE_LINK, false },
	{ "[fe80::1]", HTTP_ZONE_LINK, false },
	{ "[fd00::1]", HTTP_ZONE_PRIVATE, false },
	{ "[::ffff:169.254.169.254]", HTTP_ZONE_LINK, false },
	{ "[64:ff9b::10.0.0.1]", HTTP_ZONE_PRIVATE, false },
	{ "[ff02::1]", HTTP_ZONE_LINK, false },
	{ "100.64.0.1", HTTP_ZONE_PRIVATE, false },
	{ "100.128.0.1", HTTP_ZONE_PUBLIC, false },
	{ "255.255.255.255", HTTP_ZONE_LINK, false },
	{ "8.8.8.8", HTTP_ZONE_PUBLIC, false },
	{ "[2606:4700::1111]", HTTP_ZONE_PUBLIC, false },
	{ "registry.example.com", HTTP_ZONE_PUBLIC, false },
	{ "localhost.example.com", HTTP_ZONE_PUBLIC, false },
};

static void knows_host(void **state)
{
	const struct host_case *c = *state;
	char url[64];

	(void)snprintf(url, sizeof url, "https://%s/", c->host);
	assert_int_equal(http_url_zone(url), c->zone);
	assert_int_equal(http_host_is_internal(c->host), c->zone != HTTP_ZONE_PUBLIC);
	assert_int_equal(http_host_is_loopback(c->host), c->is_loopback);
}

static void compares_origins(void **state)
{
	(void)state;
	assert_true(http_url_same_origin("https://h/a", "https://H:443/b?c"));
	assert_false(http_url_same_origin("https://h/a", "http://h:443/a"));
	assert_false(http_url_same_origin("https://h/a", "https://h:444/a"));
	assert_false(http_url_same_origin("https://h/a", "https://i/a"));
}

static void parses_head(void **state)
{
	static const char text[] = "HTTP/1.1 401 Unauthorized\r\n"
				   "content-type:text/plain \r\n"
				   "Content-Type: second\r\n"
				   "WWW-Authenticate: Basic\n"
				   "www-authenticate: Bearer realm=\"x\"\r\n"
				   " folded\r\n"
				   "Location: /a\001b\r\n"
				   "Content-Length: 12\r\n\r\n";
	struct head head;
	struct error err;
	uint64_t length = 0;

	(void)state;
	assert_int_equal(head_parse(&head, text, sizeof text - 1, &err), 0);
	assert_int_equal(head.status, 401);
	assert_string_equal(head.content_type, "text/plain");
	assert_int_equal(head.challenges.count, 2);
	assert_string_equal(head.challenges.values[1], "Bearer realm=\"x\"");
	assert_null(head.location); /* control characters: as if it were not there */
	assert_true(head_length(&head, &length));
	assert_int_equal(length, 12);
	head_release(&head);
	assert_int_equal(head_parse(&head, "ICY 200", 7, &err), -EPROTO);
}

static int start_server(void **state)
{
	(void)state;
	fault_server_start(&server, NULL);
	return 0;
}

static int stop_server(void **state)
{
	(void)state;
	fault_server_stop(&server);
	return 0;
}

int main(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(range_cases); i++)
		add(range_cases[i].text, parses_range, &range_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(retry_cases); i++)
		add(retry_cases[i].text, parses_retry_after, &retry_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(log_url_cases); i++)
		add(log_url_cases[i].text, logs_url, &log_url_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(join_cases); i++)
		add(join_cases[i].url, joins, &join_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(host_cases); i++)
		add(host_cases[i].host, knows_host, &host_cases[i]);
	add("origins", compares_origins, NULL);
	add("a head", parses_head, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(body_cases); i++)
		add(body_cases[i].name, gets_body, &body_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(cookie_cases); i++)
		add(cookie_cases[i].values[0], keeps_cookies, &cookie_cases[i]);
	add("cookies are few and small", bounds_cookies, NULL);
	add("cookies go where they came from", sends_cookies, NULL);
	add("secrets stay behind on redirects", withholds_secrets, NULL);
	add("a unix socket", speaks_unix, NULL);
	add("a whole body is started over", refetches_whole, NULL);
	add("a body over its ceiling", obeys_ceiling, NULL);
	add("HEAD", heads, NULL);
	add("a slow reader pauses the server", pauses, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(cancel_cases); i++)
		add(cancel_cases[i].name, cancels, &cancel_cases[i]);
	add("cancelled before the start", cancelled_before, NULL);
	add("stopped while the server hangs", stops, &cancel_cases[0]);
	for (size_t i = 0; i < ARRAY_SIZE(patience_cases); i++)
		add(patience_cases[i].name, gives_up_in_time, &patience_cases[i]);
	add("two requests for one who waits", shares_patience, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(peer_cases); i++)
		add(peer_cases[i].name, fails_to_reach, &peer_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(referred_cases); i++)
		add(referred_cases[i].name, stays_in_its_zone, &referred_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(proxy_cases); i++)
		add(proxy_cases[i].url, reads_proxy, &proxy_cases[i]);
	add("a redirect behind a proxy inside", trusts_no_proxy, NULL);
	add("a refused connection is tried again twice", gives_up_soon, NULL);
	add("requests in parallel", runs_in_parallel, NULL);
	return _cmocka_run_group_tests("http", tests, test_count, start_server, stop_server);
}
