/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Foreign layers: URLs themselves, and stores whose source lacks a blob that its descriptor has
 * URLs of.  One server is the source: its layout has lost the blob; the other one speaks TLS and
 * has it.
 */
#include "fetch/urls/urls.h"

#include <errno.h>
#include <ftw.h>
#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "fetch/cancel.h"
#include "fetch/bundle/bundle.h"
#include "fetch/layout/layout.h"
#include "fetch/registry/registry.h"
#include "fetch/store/store.h"
#include "model/cleanup.h"
#include "tests/unit/faultserver.h"

static struct fault_server lacking, tls;
static char tls_dir[64];
static bool has_tls;
static struct test_observer observer;

static const struct http_config http_config = { .user_agent = "imgfs-test",
	.client_cert = "/nonexistent",
	.verify_tls = false,
	.connect_timeout_ms = 5000,
	.stall_timeout_ms = 5000,
	.max_connections = 4 };

/* ---- URLs --------------------------------------------------------------------------------- */

enum { LIST_MAX = 10, URL_LEN = 256 };

/* What a letter stands for. */
static const struct {
	char letter;
	const char *before, *behind; /* the port */
	const struct fault_server *server;
} spellings[] = {
	{ 'b', "https://127.0.0.1:", "/v2/app/blobs/", &tls },
	{ 'm', "https://127.0.0.1:", "/v2/nothing/blobs/", &tls }, /* missing */
	{ 'u', "https://u:p@127.0.0.1:", "/v2/app/blobs/", &tls }, /* somebody's password */
	{ 'l', "https://localhost:", "/v2/app/blobs/", &tls },
	{ 'h', "http://127.0.0.1:", "/v2/app/blobs/", &lacking },
	{ 'f', "file:///etc/hostname?", "", &lacking },
};

static void make_url(char url[static URL_LEN], char letter)
{
	size_t i = 0;

	while (spellings[i].letter != letter)
		i++;
	(void)snprintf(url, URL_LEN, "%s%d%s%s", spellings[i].before, spellings[i].server->port,
		spellings[i].behind, tls.small_digest);
}

struct url_list {
	char texts[LIST_MAX][URL_LEN];
	char *urls[LIST_MAX + 1];
};

static void make_list(struct url_list *list, const char *letters)
{
	memset(list, 0, sizeof *list);
	for (size_t i = 0; letters[i] && i < LIST_MAX; i++) {
		make_url(list->texts[i], letters[i]);
		list->urls[i] = list->texts[i];
	}
}

#define REDIRECT(to) "[{\"do\":{\"status\":302,\"headers\":{\"Location\":\"" to "\"}}}]"

static const struct url_case {
	const char *name, *letters, *rules;
	uint64_t offset;
	bool stays_outside;
	int rc;
	const char *error; /* what the message must hold */
	long requests;     /* -1: to several paths, not counted */
} url_cases[] = {
	{ "a URL", "b", "[]", 0, false, 0, NULL, 1 },
	{ "from an offset", "b", "[]", 4711, false, 0, NULL, 1 },
	{ "from behind the end", "b", "[]", SMALL_LEN, false, -ERANGE, "416", 1 },
	{ "the second works", "mb", "[]", 0, false, 0, NULL, -1 },
	{ "only so many are tried", "mmmmmmmmb", "[]", 0, false, -ENOENT, "404", URLS_MAX },
	{ "not there", "m", "[]", 0, false, -ENOENT, "404", 1 },
	{ "forbidden", "b", "[{\"do\":{\"status\":403}}]", 0, false, -EACCES, "403", 1 },
	{ "http", "h", "[]", 0, false, -EACCES, "not https", 0 },
	{ "a file", "f", "[]", 0, false, -EACCES, "not https", 0 },
	{ "http, then https", "hb", "[]", 0, false, 0, NULL, 1 },
	{ "no URL", "", "[]", 0, false, -ENOENT, "", 0 },
	{ "no credentials are sent", "u", "[{\"match\":{\"auth\":true},\"do\":{\"status\":500}}]",
		0, false, 0, NULL, 1 },
	{ "an internal address", "b", "[]", 0, true, -EIO, "internal", 0 },
	{ "an internal name", "l", "[]", 0, true, -EIO, "internal", 0 },
	{ "a redirect to http", "b", REDIRECT("http://127.0.0.1:1/"), 0, false, -EIO,
		"from https to", 1 },
};

static struct urls *open_urls(bool stays_outside)
{
	struct urls *urls = NULL;

	test_observer_init(&observer);
	assert_int_equal(urls_new(&urls, &http_config, !stays_outside, &observer.base, NULL), 0);
	return urls;
}

static void assert_small(struct blob_stream *stream, uint64_t offset)
{
	static unsigned char bytes[SMALL_LEN + 1];
	size_t len = 0;
	ssize_t n;

	while ((n = stream->ops->read(stream, bytes + len, sizeof bytes - len, NULL)) > 0)
		len += (size_t)n;
	assert_int_equal(n, 0);
	assert_int_equal(len, SMALL_LEN - offset);
	assert_memory_equal(bytes, tls.small + offset, len);
}

static void opens_url(void **state)
{
	const struct url_case *c = *state;
	struct blob_stream *stream = NULL;
	struct error err = { "" };
	struct url_list list;
	struct urls *urls;
	uint64_t start = 99;
	int rc;

	if (!has_tls)
		skip();
	fault_rules(&tls, c->rules);
	urls = open_urls(c->stays_outside);
	make_list(&list, c->letters);
	rc = urls_open(urls, list.urls, c->offset, &stream, &start, NULL, &err);
	if (rc != c->rc)
		print_error("%s\n", err.text);
	assert_int_equal(rc, c->rc);
	if (rc) {
		assert_non_null(strstr(err.text, c->error));
	} else {
		assert_int_equal(start, c->offset);
		assert_small(stream, start);
		stream->ops->free(stream);
	}
	if (c->requests >= 0)
		assert_int_equal(fault_stat(&tls, "requests"), c->requests);
	urls_free(urls);
}

static bool is_loopback(const char *name)
{
	const struct addrinfo hints = { .ai_family = AF_INET };
	struct addrinfo *found = NULL;
	bool is_it;

	if (getaddrinfo(name, NULL, &hints, &found))
		return false;
	is_it = ntohl(((struct sockaddr_in *)found->ai_addr)->sin_addr.s_addr) >> 24 == 127;
	freeaddrinfo(found);
	return is_it;
}

/* This machine's own name gives nothing away, but mostly is in /etc/hosts. */
static void names_are_looked_at_when_they_are_resolved(void **state)
{
	char name[128], url[URL_LEN];
	char *list[] = { url, NULL };
	struct blob_stream *stream;
	struct error err = { "" };
	struct urls *urls;
	uint64_t start;

	(void)state;
	if (gethostname(name, sizeof name) || http_host_is_internal(name) || !is_loopback(name))
		skip();
	(void)snprintf(url, sizeof url, "https://%s:1/", name);
	urls = open_urls(true);
	assert_int_equal(urls_open(urls, list, 0, &stream, &start, NULL, &err), -EIO);
	assert_non_null(strstr(err.text, "internal"));
	urls_free(urls);
}

/* ---- stores ------------------------------------------------------------------------------- */

struct bench {
	char dir[64]; /* of the cache */
	struct url_list list;
	struct cache *cache;
	struct store *store;
	struct descriptor blob;
};

static struct source *open_registry(const char *host)
{
	const struct registry_config config = {
		.host = host, .no_credentials = true, .http = http_config
	};
	struct registry_config plain = config;
	struct source *source = NULL;

	plain.http.client_cert = NULL;
	assert_int_equal(registry_open(&source, &plain, &observer.base, NULL), 0);
	return source;
}

static struct source *open_lacking_layout(void)
{
	struct source *source = NULL;
	struct bundle *bundle;
	char path[128];

	(void)snprintf(path, sizeof path, "%s/layout", lacking.dir);
	assert_int_equal(bundle_open(&bundle, path, NULL, &observer.base, NULL, NULL), 0);
	assert_int_equal(layout_open(&source, bundle, &observer.base, NULL), 0);
	return source;
}

static void mount_store(struct bench *bench, bool is_local, bool follow_urls)
{
	struct store_config config = { .follow_urls = follow_urls, .http = &http_config };
	char host[32];

	store_free(TAKE(bench->store));
	(void)snprintf(host, sizeof host, "127.0.0.1:%d", lacking.port);
	config.host = is_local ? "" : host;
	assert_int_equal(
		store_new(&bench->store, is_local ? open_lacking_layout() : open_registry(host),
			bench->cache, &config, &observer.base, NULL),
		0);
}

static int setup(void **state)
{
	struct bench *bench = calloc(1, sizeof *bench);

	if (!bench)
		return -1;
	test_observer_init(&observer);
	(void)snprintf(bench->dir, sizeof bench->dir, "/tmp/imgfs-urls-XXXXXX");
	if (!mkdtemp(bench->dir) ||
		cache_open(&bench->cache, bench->dir, UINT64_MAX, &observer.base, NULL) ||
		digest_parse(&bench->blob.digest, tls.small_digest, NULL))
		return -1;
	make_list(&bench->list, "b");
	bench->blob.size = SMALL_LEN;
	bench->blob.urls = bench->list.urls;
	if (has_tls)
		fault_rules(&tls, "[]");
	*state = bench;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	store_free(bench->store);
	cache_close(bench->cache);
	(void)nftw(bench->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(bench);
	return 0;
}

static int get_blob(struct bench *bench, struct error *err)
{
	static unsigned char bytes[SMALL_LEN];
	struct stored_blob blob;
	int rc = store_blob(bench->store, STORE_FETCH, "app", &bench->blob, &blob, NULL, NULL, err);

	if (rc)
		return rc;
	assert_int_equal(blob.size, SMALL_LEN);
	assert_false(blob.is_local);
	assert_int_equal(reader_read(blob.bytes, bytes, SMALL_LEN, 0, NULL), SMALL_LEN);
	assert_memory_equal(bytes, tls.small, SMALL_LEN);
	stored_blob_release(&blob);
	return 0;
}

static void without_the_option_it_is_named(void **state)
{
	struct bench *bench = *state;

	for (int is_local = 0; is_local < 2; is_local++) {
		struct error err = { "" };

		mount_store(bench, is_local, false);
		assert_int_equal(get_blob(bench, &err), -EIO);
		assert_non_null(strstr(err.text, "foreign_layers"));
		bench->blob.urls = NULL; /* of another blob there is nothing to say */
		assert_int_equal(get_blob(bench, &err), -EIO);
		assert_null(strstr(err.text, "foreign_layers"));
		bench->blob.urls = bench->list.urls;
	}
}

static int age_proof(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	struct timespec times[2] = { { .tv_sec = st->st_mtime - 2 * CACHE_PROOF_MAX_AGE_S },
		{ .tv_sec = st->st_mtime - 2 * CACHE_PROOF_MAX_AGE_S } };

	(void)ftw;
	return flag == FTW_F && strstr(path, "/proof/") ? utimensat(AT_FDCWD, path, times, 0) : 0;
}

/* The registry goes on saying that it has no such blob. */
static void a_registry_need_not_have_it(void **state)
{
	struct bench *bench = *state;

	if (!has_tls)
		skip();
	mount_store(bench, false, true);
	assert_int_equal(get_blob(bench, NULL), 0);
	mount_store(bench, false, true);
	assert_int_equal(get_blob(bench, NULL), 0);
	assert_int_equal(nftw(bench->dir, age_proof, 16, FTW_PHYS), 0);
	mount_store(bench, false, true);
	assert_int_equal(get_blob(bench, NULL), 0);
	assert_int_equal(fault_stat(&tls, "requests"), 1);
}

static void a_whole_partial_is_no_proof(void **state)
{
	struct bench *bench = *state;
	char name[256];

	if (!has_tls)
		skip();
	mount_store(bench, false, true);
	(void)snprintf(name, sizeof name, "partial/%s", tls.small_digest + 7);
	write_file(bench->dir, name, tls.small, SMALL_LEN);
	assert_int_equal(get_blob(bench, NULL), 0);
	assert_int_equal(fault_stat(&tls, "requests"), 1);
}

static void a_layout_need_not_have_it(void **state)
{
	struct bench *bench = *state;

	if (!has_tls)
		skip();
	mount_store(bench, true, true);
	assert_int_equal(get_blob(bench, NULL), -EIO); /* no layout leads inside */
	assert_int_equal(fault_stat(&tls, "requests"), 0);
}

static void what_comes_is_verified(void **state)
{
	struct bench *bench = *state;
	struct error err = { "" };

	if (!has_tls)
		skip();
	fault_rules(&tls, "[{\"do\":{\"corrupt\":{\"at\":9,\"len\":1}}}]");
	mount_store(bench, false, true);
	assert_int_equal(get_blob(bench, &err), -EBADMSG);
	fault_rules(&tls, "[]");
	assert_int_equal(get_blob(bench, &err), 0);
}

static int start_servers(void **state)
{
	static const char version[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	char pem[128], key[128], path[512];
	const char *const tls_args[] = { "--tls-cert", pem, "--tls-key", key, NULL };

	(void)state;
	fault_server_start(&lacking, NULL);
	write_file(lacking.dir, "layout/oci-layout", version, sizeof version - 1);
	(void)snprintf(path, sizeof path, "%s/layout/blobs/sha256/%s", lacking.dir,
		lacking.small_digest + 7);
	if (unlink(path))
		fault_die(path);
	has_tls = make_certificate(tls_dir, pem, key);
	if (!has_tls)
		return 0;
	fault_server_start(&tls, tls_args);
	tls.speaks_tls = true;
	return setenv("SSL_CERT_FILE", pem, 1);
}

static int stop_servers(void **state)
{
	(void)state;
	fault_server_stop(&lacking);
	if (has_tls)
		fault_server_stop(&tls);
	return nftw(tls_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#define BENCHED(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	static const struct CMUnitTest others[] = {
		cmocka_unit_test(names_are_looked_at_when_they_are_resolved),
		BENCHED(without_the_option_it_is_named),
		BENCHED(a_registry_need_not_have_it),
		BENCHED(a_whole_partial_is_no_proof),
		BENCHED(a_layout_need_not_have_it),
		BENCHED(what_comes_is_verified),
	};
	struct CMUnitTest tests[ARRAY_SIZE(others) + ARRAY_SIZE(url_cases)];
	size_t n = ARRAY_SIZE(others);

	memcpy(tests, others, sizeof others);
	for (size_t i = 0; i < ARRAY_SIZE(url_cases); i++)
		tests[n++] = (struct CMUnitTest){ .name = url_cases[i].name,
			.test_func = opens_url,
			.initial_state = (void *)&url_cases[i] };
	return cmocka_run_group_tests_name("urls", tests, start_servers, stop_servers);
}
