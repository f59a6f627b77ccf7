/* SPDX-License-Identifier: Apache-2.0 */
/* Challenges, credentials, realms and token answers; then the token dance itself. */
#include "fetch/auth/auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fetch/auth/internal.h"
#include "fetch/cancel.h"
#include "model/cleanup.h"
#include "tests/unit/cases.h"
#include "tests/unit/faultserver.h"

/* ---- challenges --------------------------------------------------------------------------- */

static const struct challenge_case {
	const char *name, *value;
	size_t count;
	enum auth_scheme best;
	const char *realm, *service, *scope; /* of the best */
} challenge_cases[] = {
	{ "Docker Hub's",
		"Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\","
		"scope=\"repository:library/nginx:pull\"",
		1, SCHEME_BEARER, "https://auth.docker.io/token", "registry.docker.io",
		"repository:library/nginx:pull" },
	{ "a comma inside quotes", "Bearer realm=\"https://a/\",scope=\"repository:a:pull,push\"",
		1, SCHEME_BEARER, "https://a/", NULL, "repository:a:pull,push" },
	{ "unquoted, and blanks about", "bearer  Realm = https://a/t , SERVICE = s", 1,
		SCHEME_BEARER, "https://a/t", "s", NULL },
	{ "escapes", "Bearer realm=\"https://a/\\\"\\\\\"", 1, SCHEME_BEARER, "https://a/\"\\",
		NULL, NULL },
	{ "unknown parameters", "Bearer realm=\"https://a/\",error=\"insufficient_scope\"", 1,
		SCHEME_BEARER, "https://a/", NULL, NULL },
	{ "two in one header", "Basic realm=\"b\", Bearer realm=\"https://a/\"", 2, SCHEME_BEARER,
		"https://a/", NULL, NULL },
	{ "a scheme alone", "Basic", 1, SCHEME_BASIC, NULL, NULL, NULL },
	{ "Basic behind a token68", "Negotiate abc==, Basic realm=x", 2, SCHEME_BASIC, "x", NULL,
		NULL },
	{ "Bearer without a realm", "Bearer service=\"x\"", 1, SCHEME_UNKNOWN, NULL, NULL, NULL },
	{ "a realm twice", "Bearer realm=\"https://a/\",realm=\"https://b/\"", 1, SCHEME_UNKNOWN,
		NULL, NULL, NULL },
	{ "a quote without an end", "Bearer realm=\"https://a/", 1, SCHEME_UNKNOWN, NULL, NULL,
		NULL },
	{ "a line break inside", "Bearer realm=\"https://a/\nX: y\"", 1, SCHEME_UNKNOWN, NULL, NULL,
		NULL },
	{ "unknown schemes", "Digest realm=x, Hoba", 2, SCHEME_UNKNOWN, NULL, NULL, NULL },
	{ "a parameter of nobody", "realm=\"x\"", 0, SCHEME_UNKNOWN, NULL, NULL, NULL },
	{ "nothing", "", 0, SCHEME_UNKNOWN, NULL, NULL, NULL },
	{ "commas alone", ", ,,", 0, SCHEME_UNKNOWN, NULL, NULL, NULL },
	{ "more than are kept", "A,A,A,A,A,A,A,A,A,A,A,A,A,A,A,A,A,A,A,A,A,Basic", CHALLENGES_MAX,
		SCHEME_UNKNOWN, NULL, NULL, NULL },
};

static void equal_or_null(const char *got, const char *wanted)
{
	if (wanted) {
		assert_non_null(got);
		assert_string_equal(got, wanted);
	} else {
		assert_null(got);
	}
}

static void reads_challenge(void **state)
{
	const struct challenge_case *c = *state;
	struct challenge_list list = { .count = 0 };
	const struct challenge *best;

	assert_int_equal(challenge_list_parse(&list, c->value), 0);
	assert_int_equal(list.count, c->count);
	best = challenge_list_best(&list);
	assert_int_equal(best ? best->scheme : SCHEME_UNKNOWN, c->best);
	if (best) {
		equal_or_null(best->realm, c->realm);
		equal_or_null(best->service, c->service);
		equal_or_null(best->scope, c->scope);
	}
	challenge_list_release(&list);
}

/* ---- credentials -------------------------------------------------------------------------- */

/* printf user:PASSWORD | base64 */
#define U1         "dXNlcjpvbmU="     /* user:one */
#define U2         "dXNlcjp0d286Og==" /* user:two:: */
#define TOKEN_USER "PHRva2VuPjppZA==" /* <token>:id */

static const struct credential_case {
	const char *name, *text, *host, *repository;
	int rc;
	const char *password, *identity_token; /* NULL and NULL: none found */
	const char *helper;
} credential_cases[] = {
	{ "by host", "{\"auths\":{\"h:5000\":{\"auth\":\"" U1 "\"}}}", "h:5000", "a/b", 0, "one",
		NULL, NULL },
	{ "the port counts", "{\"auths\":{\"h:5000\":{\"auth\":\"" U1 "\"}}}", "h", "a/b", 0, NULL,
		NULL, NULL },
	{ "a password with colons", "{\"auths\":{\"h\":{\"auth\":\"" U2 "\"}}}", "h", NULL, 0,
		"two::", NULL, NULL },
	{ "the longest key",
		"{\"auths\":{\"h\":{\"auth\":\"" U1 "\"},\"h/a\":{\"auth\":\"" U2 "\"}}}", "h",
		"a/b", 0, "two::", NULL, NULL },
	{ "a key ends at a slash",
		"{\"auths\":{\"h\":{\"auth\":\"" U1 "\"},\"h/a\":{\"auth\":\"" U2 "\"}}}", "h",
		"ab", 0, "one", NULL, NULL },
	{ "a longer key is not for the host", "{\"auths\":{\"h/a\":{\"auth\":\"" U2 "\"}}}", "h",
		NULL, 0, NULL, NULL, NULL },
	{ "an URL", "{\"auths\":{\"https://h/v1/\":{\"auth\":\"" U1 "\"}}}", "h", "a", 0, "one",
		NULL, NULL },
	{ "Docker Hub's old key",
		"{\"auths\":{\"https://index.docker.io/v1/\":{\"auth\":\"" U1 "\"}}}", "docker.io",
		"library/a", 0, "one", NULL, NULL },
	{ "the same without https", "{\"auths\":{\"index.docker.io/v1/\":{\"auth\":\"" U1 "\"}}}",
		"docker.io", "library/a", 0, "one", NULL, NULL },
	{ "an identity token", "{\"auths\":{\"h\":{\"auth\":\"" U1 "\",\"identitytoken\":\"id\"}}}",
		"h", "a", 0, "one", "id", NULL },
	{ "an identity token as a password", "{\"auths\":{\"h\":{\"auth\":\"" TOKEN_USER "\"}}}",
		"h", "a", 0, "id", "id", NULL },
	{ "an empty entry", "{\"auths\":{\"h\":{}}}", "h", "a", 0, NULL, NULL, NULL },
	{ "a helper for the host", "{\"credHelpers\":{\"h\":\"one\"},\"credsStore\":\"two\"}", "h",
		"a", 0, NULL, NULL, "one" },
	{ "a helper for another host", "{\"credHelpers\":{\"h:1\":\"one\"}}", "h", "a", 0, NULL,
		NULL, NULL },
	{ "a store, and an entry",
		"{\"credHelpers\":{\"i\":\"one\"},\"credsStore\":\"two\","
		"\"auths\":{\"h\":{\"auth\":\"" U1 "\"}}}",
		"h", "a", 0, "one", NULL, "two" },
	{ "a helper for Docker Hub", "{\"credHelpers\":{\"https://index.docker.io/v1/\":\"one\"}}",
		"docker.io", "library/a", 0, NULL, NULL, "one" },
	{ "a store without a name", "{\"credsStore\":\"\"}", "h", "a", 0, NULL, NULL, NULL },
	{ "a helper's path", "{\"credsStore\":\"../one\"}", "h", "a", -EIO, NULL, NULL, NULL },
	{ "a helper with a line break", "{\"credsStore\":\"a\\nb\"}", "h", "a", -EIO, NULL, NULL,
		NULL },
	{ "a helper that is no name", "{\"credHelpers\":{\"h\":7}}", "h", "a", -EIO, NULL, NULL,
		NULL },
	{ "nulls", "{\"auths\":null,\"credHelpers\":null,\"credsStore\":null}", "h", "a", 0, NULL,
		NULL, NULL },
	{ "a key twice", "{\"auths\":{\"h\":{},\"h\":{}}}", "h", "a", -EIO, NULL, NULL, NULL },
	{ "escapes", "{\"auths\":{\"\\u0068\":{\"auth\":\"dXNlc\\u006apvbmU=\"}}}", "h", "a", 0,
		"one", NULL, NULL },
	{ "no auths", "{}", "h", "a", 0, NULL, NULL, NULL },
	{ "bad base64 of another host", "{\"auths\":{\"i\":{\"auth\":\"*\"}}}", "h", "a", 0, NULL,
		NULL, NULL },
	{ "bad base64", "{\"auths\":{\"h\":{\"auth\":\"*\"}}}", "h", "a", -EIO, NULL, NULL, NULL },
	{ "no colon", "{\"auths\":{\"h\":{\"auth\":\"Zm9v\"}}}", "h", "a", -EIO, NULL, NULL, NULL },
	{ "no JSON", "auths: {}", "h", "a", -EIO, NULL, NULL, NULL },
	{ "no object", "[]", "h", "a", -EIO, NULL, NULL, NULL },
};

static void finds_credentials(void **state)
{
	const struct credential_case *c = *state;
	struct credentials credentials = { .items = NULL };
	const struct credential *found;
	struct error err;

	assert_int_equal(
		credentials_parse(&credentials, 0, c->host, c->text, strlen(c->text), &err), c->rc);
	found = credentials_find(&credentials, 0, c->host, c->repository);
	assert_int_equal(found != NULL, c->password != NULL);
	if (found) {
		assert_string_equal(found->password, c->password);
		equal_or_null(found->identity_token, c->identity_token);
	}
	equal_or_null(credentials.helpers[0], c->helper);
	credentials_release(&credentials);
}

/* ---- helpers ------------------------------------------------------------------------------ */

static const struct helper_answer_case {
	const char *text;
	int rc;
	const char *user, *password, *identity_token;
} helper_answer_cases[] = {
	{ "{\"ServerURL\":\"h\",\"Username\":\"u\",\"Secret\":\"p\"}\n", 0, "u", "p", NULL },
	{ "{\"ServerURL\":\"h\",\"Username\":\"<token>\",\"Secret\":\"id\"}", 0, "<token>", "id",
		"id" },
	{ "{\"Username\":\"u\",\"Secret\":\"a:b\\\"\\/\",\"Future\":[1]}", 0, "u", "a:b\"/", NULL },
	{ "{\"ServerURL\":\"h\",\"Username\":\"\",\"Secret\":\"\"}", 0, NULL, NULL, NULL },
	{ "{}", 0, NULL, NULL, NULL },
	{ "{\"Username\":\"a:b\",\"Secret\":\"p\"}", -EIO, NULL, NULL, NULL },
	{ "{\"Secret\":\"p\"}", -EIO, NULL, NULL, NULL },
	{ "{\"Username\":\"u\",\"Secret\":[]}", -EIO, NULL, NULL, NULL },
	{ "{\"Username\":\"u\",\"Secret\":\"a\\u0000b\"}", -EIO, NULL, NULL, NULL },
	{ "{\"Username\":\"u\",\"Username\":\"v\",\"Secret\":\"p\"}", -EIO, NULL, NULL, NULL },
	{ "[]", -EIO, NULL, NULL, NULL },
	{ "", -EIO, NULL, NULL, NULL },
};

static void reads_helper_answer(void **state)
{
	const struct helper_answer_case *c = *state;
	struct credential credential = { .key = NULL };
	struct error err;

	assert_int_equal(helper_answer_parse(&credential, c->text, strlen(c->text), &err), c->rc);
	equal_or_null(credential.user, c->user);
	equal_or_null(credential.password, c->password);
	equal_or_null(credential.identity_token, c->identity_token);
	credential_release(&credential);
}

static struct fault_server server;
static struct test_observer observer;

/* A program of that name, first in $PATH, of which $0 is the path. */
static void write_helper(const char *name, const char *script)
{
	char path[256], text[1024];

	(void)snprintf(text, sizeof text, "#!/bin/sh\n%s\n", script);
	(void)snprintf(path, sizeof path, "bin/docker-credential-%s", name);
	write_file(server.dir, path, text, strlen(text));
	(void)snprintf(path, sizeof path, "%s/bin/docker-credential-%s", server.dir, name);
	assert_int_equal(chmod(path, 0700), 0);
}

#define GIVES(password) "echo '{\"Username\":\"u\",\"Secret\":\"" password "\"}'"

static const struct helper_case {
	const char *name, *script; /* NULL: there is no such program */
	uint64_t timeout_ms;
	int rc;
	const char *password, *error;
} helper_cases[] = {
	{ "gives what it has", "read -r s; test \"$1 $s\" = 'get h:5000' && " GIVES("p"), 30000, 0,
		"p", NULL },
	{ "does not read", GIVES("p"), 30000, 0, "p", NULL },
	{ "has none", "echo credentials not found in native keychain; exit 1", 30000, 0, NULL,
		NULL },
	{ "has none, and does not fail", "echo credentials not found in native keychain", 30000, 0,
		NULL, NULL },
	{ "fails", "echo hunter2; echo hunter2 >&2; exit 3", 30000, -EIO, NULL, "exit status 3" },
	{ "is killed", "kill -9 $$", 30000, -EIO, NULL, "signal 9" },
	{ "says nonsense", "echo hunter2", 30000, -EIO, NULL, "malformed JSON" },
	{ "says nothing", "", 30000, -EIO, NULL, "malformed JSON" },
	{ "is missing", NULL, 30000, -ENOENT, NULL, "no such program" },
	{ "hangs", "trap '' TERM; sleep 1000", 200, -ETIMEDOUT, NULL, "in time" },
	{ "closes its output and hangs", "exec >&-; sleep 1000", 200, -ETIMEDOUT, NULL, "in time" },
	{ "writes too much", "while :; do echo hunter2hunter2; done", 30000, -EFBIG, NULL,
		"too much" },
	{ "leaves somebody behind", "sleep 1000 & " GIVES("p"), 30000, 0, "p", NULL },
	{ "has three descriptors and no terminal", /* and ls one more */
		"test \"$(echo $(ls /proc/self/fd))\" = '0 1 2 3' && "
		"test $(readlink /proc/$$/fd/2) = /dev/null && test $(ps -o sid= -p $$) = $$ && " GIVES(
			"p"),
		30000, 0, "p", NULL },
	{ "has no signal ignored or blocked", /* but for two of glibc's own */
		"grep -q 'SigIgn:.0000000[01][08]0000000' /proc/self/status && "
		"grep -q 'SigBlk:.0000000000000000' /proc/self/status && " GIVES("p"),
		30000, 0, "p", NULL },
};

static void asks_helper(void **state)
{
	const struct helper_case *c = *state;
	struct credential credential = { .key = NULL };
	struct error err = { "" };
	int inherited = open("/", O_RDONLY), rc;

	if (c->script)
		write_helper("case", c->script);
	rc = helper_get(
		&credential, c->script ? "case" : "missing", "h:5000", c->timeout_ms, NULL, &err);
	if (rc != c->rc)
		print_error("%s\n", err.text);
	assert_int_equal(rc, c->rc);
	equal_or_null(credential.password, c->password);
	if (c->error)
		assert_non_null(strstr(err.text, c->error));
	assert_null(strstr(err.text, "hunter2"));
	credential_release(&credential);
	(void)close(inherited);
}

static void *cancel_soon(void *context)
{
	char path[128];

	(void)snprintf(path, sizeof path, "%s/started", server.dir);
	while (access(path, F_OK))
		usleep(1000);
	cancel_set(context);
	return NULL;
}

static void interrupts_helper(void **state)
{
	struct credential credential = { .key = NULL };
	struct cancel cancel;
	struct error err;
	pthread_t thread;
	char script[256];

	(void)state;
	(void)snprintf(script, sizeof script, "touch %s/started; sleep 1000", server.dir);
	write_helper("case", script);
	cancel_init(&cancel);
	assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &cancel), 0);
	assert_int_equal(helper_get(&credential, "case", "h", 30000, &cancel, &err), -EINTR);
	(void)pthread_join(thread, NULL);
	cancel_release(&cancel);
}

/* ---- what is known changes ------------------------------------------------------------------ */

static struct wallet *open_wallet(const char *text)
{
	const struct auth_config config = { .host = "h", .authfile = "auth.json" };
	struct wallet *wallet;
	struct error err;

	test_observer_init(&observer);
	assert_int_equal(chdir(server.dir), 0);
	write_file(server.dir, "auth.json", text, strlen(text));
	assert_int_equal(wallet_new(&wallet, &config, &observer.base, &err), 0);
	return wallet;
}

/* password NULL: there is none.  Returns the version. */
static uint64_t expect(struct wallet *wallet, uint64_t refused, const char *password)
{
	struct credential credential = { .key = NULL };
	uint64_t version = 0;
	struct error err;

	assert_int_equal(wallet_find(wallet, "a", refused, &credential, &version, NULL, &err), 0);
	equal_or_null(credential.password, password);
	credential_release(&credential);
	return version;
}

static void rereads_files(void **state)
{
	static const char one[] = "{\"auths\":{\"h\":{\"auth\":\"" U1 "\"}}}";
	static const char two[] = "{\"auths\":{\"h\":{\"auth\":\"" U2 "\"}}}";
	struct wallet *wallet = open_wallet(one);
	uint64_t version = expect(wallet, 0, "one");

	(void)state;
	assert_int_equal(expect(wallet, version, "one"), version); /* refused, and nothing better */
	write_file(server.dir, "auth.json", two, sizeof two - 1);
	assert_int_equal(expect(wallet, 0, "one"), version); /* nobody was refused: no hurry */
	assert_int_not_equal(expect(wallet, version, "two::"), version);
	version = expect(wallet, 0, "two::");
	write_file(server.dir, "auth.json", "{", 1); /* half written */
	assert_int_equal(expect(wallet, version, "two::"), version);
	assert_non_null(strstr(observer.lines, "going on with the credentials that are known"));
	write_file(server.dir, "auth.json", "{}", 2); /* logged out */
	assert_int_not_equal(expect(wallet, version, NULL), version);
	wallet_free(wallet);
}

static long helper_runs(void)
{
	char path[128];
	struct stat st;

	(void)snprintf(path, sizeof path, "%s/runs", server.dir);
	return stat(path, &st) ? 0 : (long)st.st_size;
}

static void write_counting_helper(const char *script)
{
	char text[512];

	(void)snprintf(text, sizeof text, "printf . >>%s/runs; %s", server.dir, script);
	write_helper("count", text);
}

static void asks_again(void **state)
{
	struct wallet *wallet = open_wallet("{\"credsStore\":\"count\"}");
	long before = helper_runs();
	uint64_t version, newer;

	(void)state;
	assert_int_equal(helper_runs(), before); /* nobody needed it */
	write_counting_helper(GIVES("p"));
	version = expect(wallet, 0, "p");
	assert_int_equal(expect(wallet, 0, "p"), version);
	assert_int_equal(helper_runs() - before, 1);
	write_counting_helper(GIVES("q"));
	newer = expect(wallet, version, "q");
	assert_int_not_equal(newer, version);
	assert_int_equal(
		expect(wallet, version, "q"), newer); /* refused before that: it is there */
	assert_int_equal(helper_runs() - before, 2);
	assert_int_equal(expect(wallet, newer, "q"), newer); /* nothing better: */
	assert_int_equal(expect(wallet, newer, "q"), newer); /* not asked for a while */
	assert_int_equal(helper_runs() - before, 3);
	wallet_free(wallet);
}

static void leaves_failure_alone(void **state)
{
	struct wallet *wallet =
		open_wallet("{\"credsStore\":\"count\",\"auths\":{\"h\":{\"auth\":\"" U1 "\"}}}");
	CLEANUP(buf_release) struct buf text = { .max = 4096 };
	long before = helper_runs();
	uint64_t version;
	char *told;

	(void)state;
	write_counting_helper("echo hunter2; exit 1");
	version = expect(wallet, 0, "one"); /* what the file itself has */
	assert_int_equal(expect(wallet, version, "one"), version);
	assert_int_equal(helper_runs() - before, 1);
	told = strstr(observer.lines, "docker-credential-count': exit status 1");
	assert_non_null(told);
	assert_null(strstr(told + 1, "docker-credential-count"));
	assert_null(strstr(observer.lines, "hunter2"));
	wallet_describe(wallet, &text);
	assert_non_null(strstr(text.data, "exit status 1"));
	wallet_free(wallet);
}

static void *find_one(void *context)
{
	(void)expect(context, 0, "p");
	return NULL;
}

static void asks_once_for_all(void **state)
{
	enum { COUNT = 8 };
	struct wallet *wallet = open_wallet("{\"credsStore\":\"count\"}");
	long before = helper_runs();
	pthread_t threads[COUNT];

	(void)state;
	write_counting_helper("sleep 0.2; " GIVES("p"));
	for (size_t i = 0; i < COUNT; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, find_one, wallet), 0);
	for (size_t i = 0; i < COUNT; i++)
		(void)pthread_join(threads[i], NULL);
	assert_int_equal(helper_runs() - before, 1);
	wallet_free(wallet);
}

/* ---- realms ------------------------------------------------------------------------------- */

/* Asked not at all, without credentials, or with them. */
enum rule { REFUSED, UNTRUSTED, TRUSTED };

static const struct realm_case {
	const char *realm, *host;
	enum rule rule;
	enum http_zone zone; /* of the registry */
	bool is_http;
	const char *permitted;
} realm_cases[] = {
#define PUBLIC  HTTP_ZONE_PUBLIC
#define PRIVATE HTTP_ZONE_PRIVATE
#define LINK    HTTP_ZONE_LINK
#define HOST    HTTP_ZONE_HOST
	/* What public registries name, as seen in their answers to GET /v2/. */
	{ "https://auth.docker.io/token", "docker.io", TRUSTED, PUBLIC, false, NULL },
	{ "https://gitlab.com/jwt/auth", "registry.gitlab.com", TRUSTED, PUBLIC, false, NULL },
	{ "https://quay.io/v2/auth", "quay.io", TRUSTED, PUBLIC, false, NULL },
	{ "https://ghcr.io/token", "ghcr.io", TRUSTED, PUBLIC, false, NULL },
	{ "https://gcr.io/v2/token", "gcr.io", TRUSTED, PUBLIC, false, NULL },
	{ "https://eu.gcr.io/v2/token", "eu.gcr.io", TRUSTED, PUBLIC, false, NULL },
	{ "https://us-docker.pkg.dev/v2/token", "us-docker.pkg.dev", TRUSTED, PUBLIC, false, NULL },
	{ "https://public.ecr.aws/token/", "public.ecr.aws", TRUSTED, PUBLIC, false, NULL },
	{ "https://api.digitalocean.com/v2/registry/auth", "registry.digitalocean.com", TRUSTED,
		PUBLIC, false, NULL },
	{ "https://team.azurecr.io/oauth2/token", "team.azurecr.io", TRUSTED, PUBLIC, false, NULL },
	{ "https://core.harbor.example.org/service/token", "core.harbor.example.org", TRUSTED,
		PUBLIC, false, NULL },

	/* Whose is what: registrable domains are the Public Suffix List's. */
	{ "https://auth.example.com:8443/token?x=y", "R.Example.com:5000", TRUSTED, PUBLIC, false,
		NULL },
	{ "https://example.com/token", "r.example.com", TRUSTED, PUBLIC, false, NULL },
	{ "https://auth.example.com./token", "r.example.com", TRUSTED, PUBLIC, false, NULL },
	{ "https://auth.example.net/token", "r.example.com", UNTRUSTED, PUBLIC, false, NULL },
	{ "https://example.com.evil.net/token", "r.example.com", UNTRUSTED, PUBLIC, false, NULL },
	{ "https://evilexample.com/token", "example.com", UNTRUSTED, PUBLIC, false, NULL },
	{ "https://evil.co.uk/token", "registry.co.uk", UNTRUSTED, PUBLIC, false, NULL },
	{ "https://evil.github.io/token", "registry.github.io", UNTRUSTED, PUBLIC, false, NULL },
	{ "https://com/token", "example.com", UNTRUSTED, PUBLIC, false, NULL },
	{ "https://auth/token", "registry", UNTRUSTED, PUBLIC, false, NULL },
	{ "https://r.example.com@evil.net/token", "r.example.com", UNTRUSTED, PUBLIC, false, NULL },
	{ "https://evil.net#r.example.com", "r.example.com", UNTRUSTED, PUBLIC, false, NULL },
	{ "https://evil.net\\@r.example.com/", "r.example.com", TRUSTED, PUBLIC, false, NULL },
	{ "https://8.8.4.4/token", "8.8.8.4", UNTRUSTED, PUBLIC, false, NULL },
	{ "https://8.8.8.8/token", "8.8.8.8:5000", TRUSTED, PUBLIC, false, NULL },
	{ "https://sub.8.8.8.8/token", "8.8.8.8", UNTRUSTED, PUBLIC, false, NULL },
	{ "https://auth.example.net/token", "r.example.com", TRUSTED, PUBLIC, false,
		"auth.example.net" },
	{ "https://auth.example.net/token", "r.example.com", TRUSTED, PUBLIC, false,
		"Auth.Example.NET:443" },
	{ "https://auth.example.net:444/", "r.example.com", UNTRUSTED, PUBLIC, false,
		"auth.example.net:443" },
	{ "https://auth.example.net/token", "r.example.com", UNTRUSTED, PUBLIC, false,
		"example.net" },

	/* The scheme is never worse. */
	{ "http://auth.example.com/token", "r.example.com", REFUSED, PUBLIC, false, NULL },
	{ "http://auth.example.com/token", "r.example.com", REFUSED, PUBLIC, false,
		"auth.example.com" },
	{ "http://auth.example.com/token", "r.example.com", TRUSTED, PUBLIC, true, NULL },
	{ "https://auth.example.com/token", "r.example.com", TRUSTED, PUBLIC, true, NULL },
	{ "/token", "r.example.com", REFUSED, PUBLIC, false, NULL },
	{ "file:///etc/passwd", "r.example.com", REFUSED, PUBLIC, false, NULL },
	{ "gopher://r.example.com/", "r.example.com", REFUSED, PUBLIC, false, NULL },
	{ "", "r.example.com", REFUSED, PUBLIC, false, NULL },

	/* No further inside than the registry is. */
	{ "https://169.254.169.254/latest", "r.example.com", REFUSED, PUBLIC, false, NULL },
	{ "https://127.0.0.1/token", "r.example.com", REFUSED, PUBLIC, false, NULL },
	{ "https://2130706433/token", "r.example.com", REFUSED, PUBLIC, false, NULL },
	{ "https://[::1]/token", "r.example.com", REFUSED, PUBLIC, false, NULL },
	{ "https://[::ffff:10.0.0.1]/token", "r.example.com", REFUSED, PUBLIC, false, NULL },
	{ "https://localhost/token", "r.example.com", REFUSED, PUBLIC, false, NULL },
	{ "https://10.0.0.2/token", "r.example.com", UNTRUSTED, PRIVATE, false, NULL },
	{ "https://10.0.0.2/token", "10.0.0.1", UNTRUSTED, PRIVATE, false, NULL },
	{ "https://10.0.0.1/token", "10.0.0.1:5000", TRUSTED, PRIVATE, false, NULL },
	{ "https://169.254.169.254/latest", "10.0.0.1", REFUSED, PRIVATE, false, NULL },
	{ "https://127.0.0.1/token", "10.0.0.1", REFUSED, PRIVATE, false, NULL },
	{ "https://127.0.0.1/token", "fe80.example.com", REFUSED, LINK, false, NULL },
	{ "http://127.0.0.1:5001/token", "127.0.0.1:5000", TRUSTED, HOST, true, NULL },
	{ "http://localhost:5001/token", "127.0.0.1:5000", TRUSTED, HOST, true, NULL },
	{ "https://10.0.0.2/token", "r.example.com", TRUSTED, PUBLIC, false, "10.0.0.2" },
#undef PUBLIC
#undef PRIVATE
#undef LINK
#undef HOST
};

static void checks_realm(void **state)
{
	const struct realm_case *c = *state;
	const struct realm_rules rules = { c->host, c->permitted, !c->is_http };
	const struct http_response answer = { .zone = c->zone,
		.final_url = (char *)"https://r:1/v2/" };
	struct realm realm = { .url = NULL };
	struct error err;
	int rc = realm_init(&realm, c->realm, &rules, &answer, &err);

	assert_int_equal(rc, c->rule == REFUSED ? -EACCES : 0);
	assert_int_equal(realm.is_trusted, c->rule == TRUSTED);
	assert_false(realm.is_registry);
	realm_release(&realm);
}

/* ---- token answers ------------------------------------------------------------------------ */

static const struct answer_case {
	const char *text, *token; /* NULL: refused */
	uint64_t lifetime_s;
	const char *refresh_token;
} answer_cases[] = {
	{ "{\"token\":\"a\",\"expires_in\":300}", "a", 300, NULL },
	{ "{\"access_token\":\"b\"}", "b", 60, NULL },
	{ "{\"token\":\"a\",\"access_token\":\"b\",\"refresh_token\":\"r\"}", "a", 60, "r" },
	{ "{\"token\":\"a\",\"expires_in\":0}", "a", 60, NULL },
	{ "{\"token\":\"a\",\"expires_in\":-5}", "a", 60, NULL },
	{ "{\"token\":\"a\",\"expires_in\":1e9}", "a", 60, NULL },
	{ "{\"token\":\"a\",\"expires_in\":999999999999}", "a", 3600, NULL },
	{ "{\"token\":\"a\",\"issued_at\":\"2099-01-01T00:00:00Z\"}", "a", 60, NULL },
	{ "{\"token\":\"a\\r\\nX-Evil: 1\"}", NULL, 0, NULL },
	{ "{\"token\":\"\"}", NULL, 0, NULL },
	{ "{\"token\":7}", NULL, 0, NULL },
	{ "{}", NULL, 0, NULL },
	{ "<html>", NULL, 0, NULL },
};

static void reads_answer(void **state)
{
	const struct answer_case *c = *state;
	struct token_answer answer;
	struct error err;
	int rc = token_answer_parse(&answer, c->text, strlen(c->text), &err);

	assert_int_equal(rc, c->token ? 0 : -EIO);
	if (!c->token)
		return;
	assert_string_equal(answer.token, c->token);
	assert_int_equal(answer.lifetime_s, c->lifetime_s);
	equal_or_null(answer.refresh_token, c->refresh_token);
	secret_free(answer.token);
	secret_free(answer.refresh_token);
}

/* ---- against a token server --------------------------------------------------------------- */

struct dance {
	struct http *http;
	struct auth *auth;
	char host[32], challenge[256], url[64];
	char *challenges[2];
	struct http_response answer; /* with the challenges */
};

#define SCOPE "repository:app:pull"

/* entry: of the host in the auth file, or NULL: anonymous. */
static void dance_init(struct dance *dance, const char *entry)
{
	const struct http_config config = { .connect_timeout_ms = 5000,
		.stall_timeout_ms = 5000,
		.retries = 1,
		.max_connections = 4 };
	char path[128], text[256];
	struct error err;

	test_observer_init(&observer);
	fault_rules(&server, "[]");
	(void)snprintf(dance->host, sizeof dance->host, "127.0.0.1:%d", server.port);
	(void)snprintf(dance->url, sizeof dance->url, "http://%s/v2/", dance->host);
	(void)snprintf(dance->challenge, sizeof dance->challenge,
		"Bearer realm=\"http://%s/token\",service=\"faultregistry\",scope=\"" SCOPE "\"",
		dance->host);
	dance->challenges[0] = dance->challenge;
	dance->challenges[1] = NULL;
	dance->answer = (struct http_response){ .status = 401,
		.challenges = dance->challenges,
		.final_url = dance->url,
		.zone = HTTP_ZONE_HOST };
	(void)snprintf(path, sizeof path, "%s/auth.json", server.dir);
	(void)snprintf(
		text, sizeof text, "{\"auths\":{\"%s\":%s}}", dance->host, entry ? entry : "{}");
	write_file(server.dir, "auth.json", text, strlen(text));
	assert_int_equal(http_new(&dance->http, &config, &observer.base, &err), 0);
	const struct auth_config auth = { .host = dance->host, .authfile = path };
	assert_int_equal(auth_new(&dance->auth, &auth, dance->http, &observer.base, &err), 0);
}

static void dance_release(struct dance *dance)
{
	auth_free(dance->auth);
	http_free(dance->http);
}

static int header(struct dance *dance, char **ret)
{
	struct error err;

	return auth_header(dance->auth, "app", SCOPE, ret, NULL, &err);
}

static int challenged(struct dance *dance, const char *used, struct error *err)
{
	return auth_challenge(dance->auth, "app", SCOPE, used, false, &dance->answer, NULL, err);
}

static const char *described(struct dance *dance, char text[static 1024])
{
	CLEANUP(buf_release) struct buf buf = { .max = 1023 };

	auth_describe(dance->auth, &buf);
	(void)snprintf(text, 1024, "%s", buf.data);
	return text;
}

#define GOOD "{\"auth\":\"dTpw\"}" /* u:p */
#define BAD  "{\"auth\":\"dTpx\"}" /* u:q */

static void learns_and_renews(void **state)
{
	struct dance dance;
	CLEANUP(freep) char *nothing = NULL;
	CLEANUP(freep) char *first = NULL;
	CLEANUP(freep) char *again = NULL;
	CLEANUP(freep) char *second = NULL;
	struct error err;

	(void)state;
	dance_init(&dance, GOOD);
	assert_int_equal(header(&dance, &nothing), 0);
	assert_string_equal(nothing, "");
	assert_int_equal(challenged(&dance, "", &err), 0);
	assert_int_equal(header(&dance, &first), 0);
	assert_memory_equal(first, "Authorization: Bearer ", 22);
	assert_int_equal(header(&dance, &again), 0);
	assert_string_equal(first, again);
	assert_int_equal(fault_stat(&server, "token_requests"), 1);

	/* Refused: a new one.  Refused once more by somebody slower: the new one will do. */
	assert_int_equal(challenged(&dance, first, &err), 0);
	assert_int_equal(header(&dance, &second), 0);
	assert_string_not_equal(first, second);
	assert_int_equal(challenged(&dance, first, &err), 0);
	assert_int_equal(fault_stat(&server, "token_requests"), 2);
	assert_int_equal(observer.base.counters.auth_tokens, 2);
	assert_null(strstr(observer.lines, "dTpw"));
	dance_release(&dance);
}

static const struct dance_case {
	const char *name, *entry, *challenge; /* NULL: the token server's own */
	int rc;
	long token_requests, basic;
} dance_cases[] = {
	{ "with a password", GOOD, NULL, 0, 1, 1 },
	{ "anonymous", NULL, NULL, 0, 1, 0 },
	{ "with an identity token", "{\"identitytoken\":\"u:p\"}", NULL, 0, 1, 0 },
	{ "with a wrong password", BAD, NULL, -EACCES, 1, 1 },
	{ "with a wrong identity token", "{\"identitytoken\":\"u:q\"}", NULL, -EACCES, 1, 0 },
	{ "Basic with a password", GOOD, "Basic realm=x", 0, 0, 0 },
	{ "Basic without one", NULL, "Basic realm=x", -EACCES, 0, 0 },
	{ "a realm elsewhere", GOOD, "Bearer realm=\"file:///etc/passwd\"", -EACCES, 0, 0 },
	{ "an unknown scheme", GOOD, "Digest realm=x", -EACCES, 0, 0 },
	{ "no challenge", GOOD, "", -EACCES, 0, 0 },
};

static void dances(void **state)
{
	const struct dance_case *c = *state;
	struct dance dance;
	struct error err = { "" };

	dance_init(&dance, c->entry);
	if (c->challenge)
		dance.challenges[0] = (char *)c->challenge;
	assert_int_equal(challenged(&dance, "", &err), c->rc);
	assert_int_equal(fault_stat(&server, "token_requests"), c->token_requests);
	assert_int_equal(fault_stat(&server, "basic"), c->basic);
	assert_null(strstr(err.text, "dTp"));
	dance_release(&dance);
}

/* A token server of another site: asked without credentials, and the message says so. */
static void withholds_credentials(void **state)
{
	const char *permitted = *state;
	struct dance dance;
	char text[1024];
	struct error err = { "" };

	/* The registry is called by a name that is not the token server's, which is at an address.
	 */
	dance_init(&dance, GOOD);
	(void)snprintf(dance.url, sizeof dance.url, "http://r.example.com/v2/");
	auth_free(dance.auth);
	write_file(server.dir, "auth.json", "{\"auths\":{\"r.example.com\":" GOOD "}}",
		strlen("{\"auths\":{\"r.example.com\":" GOOD "}}"));
	(void)snprintf(text, sizeof text, "%s/auth.json", server.dir);
	const struct auth_config config = {
		.host = "r.example.com", .authfile = text, .realm = permitted
	};
	assert_int_equal(auth_new(&dance.auth, &config, dance.http, &observer.base, &err), 0);
	assert_int_equal(challenged(&dance, "", &err), 0);
	assert_int_equal(challenged(&dance, "", &err), 0);
	assert_int_equal(fault_stat(&server, "token_requests"), 1);
	assert_int_equal(fault_stat(&server, "basic"), permitted ? 1 : 0);
	assert_int_equal(strstr(observer.lines, "option realm=127.0.0.1:") != NULL, !permitted);
	assert_int_equal(
		strstr(described(&dance, text), "option realm=127.0.0.1:") != NULL, !permitted);
	dance_release(&dance);
}

/* Somewhere out there a registry sends us to this machine: nothing is asked, and it is told once.
 */
static void stays_out(void **state)
{
	struct dance dance;
	struct error err = { "" };
	char *told;

	(void)state;
	dance_init(&dance, GOOD);
	dance.answer.zone = HTTP_ZONE_LINK;
	assert_int_equal(challenged(&dance, "", &err), -EACCES);
	assert_int_equal(challenged(&dance, "", &err), -EACCES);
	assert_non_null(strstr(err.text, "an internal address"));
	told = strstr(observer.lines, "refused token realm");
	assert_non_null(told);
	assert_null(strstr(told + 1, "refused token realm"));
	assert_int_equal(fault_stat(&server, "requests"), 0);
	dance_release(&dance);
}

static void write_auth(const char *text)
{
	write_file(server.dir, "auth.json", text, strlen(text));
}

/* Another password while the mount lives: tried when the old one is refused, by either scheme. */
static void follows_rotation(void **state)
{
	const char *challenge = *state;
	CLEANUP(freep) char *line = NULL;
	CLEANUP(freep) char *newer = NULL;
	struct dance dance;
	struct error err = { "" };
	char text[256];

	dance_init(&dance, BAD);
	if (challenge)
		dance.challenges[0] = (char *)challenge;
	(void)snprintf(text, sizeof text, "{\"auths\":{\"%s\":" GOOD "}}", dance.host);
	if (challenge) { /* a first answer that the registry refuses */
		assert_int_equal(challenged(&dance, "", &err), 0);
		assert_int_equal(header(&dance, &line), 0);
		assert_int_equal(challenged(&dance, line, &err), -EACCES);
		write_auth(text);
		assert_int_equal(challenged(&dance, line, &err), 0);
		assert_int_equal(header(&dance, &newer), 0);
		assert_string_equal(newer, "Authorization: Basic dTpw");
	} else {
		assert_int_equal(challenged(&dance, "", &err), -EACCES);
		assert_int_equal(fault_stat(&server, "token_requests"), 1);
		write_auth(text);
		assert_int_equal(challenged(&dance, "", &err), 0);
		assert_int_equal(fault_stat(&server, "token_requests"), 3);
	}
	dance_release(&dance);
}

/* A token that was fetched for this request, and refused: only other credentials help. */
static void looks_for_others(void **state)
{
	CLEANUP(freep) char *line = NULL;
	struct dance dance;
	struct error err = { "" };
	char text[256];

	(void)state;
	dance_init(&dance, NULL);
	assert_int_equal(challenged(&dance, "", &err), 0);
	assert_int_equal(header(&dance, &line), 0);
	assert_int_equal(
		auth_challenge(dance.auth, "app", SCOPE, line, true, &dance.answer, NULL, &err),
		-EACCES);
	assert_int_equal(fault_stat(&server, "token_requests"), 1);
	(void)snprintf(text, sizeof text, "{\"auths\":{\"%s\":" GOOD "}}", dance.host);
	write_auth(text);
	assert_int_equal(
		auth_challenge(dance.auth, "app", SCOPE, line, true, &dance.answer, NULL, &err), 0);
	assert_int_equal(fault_stat(&server, "token_requests"), 2);
	assert_int_equal(fault_stat(&server, "basic"), 1);
	dance_release(&dance);
}

/* What a server gives for an identity token is used from then on; and GET where POST is not known.
 */
static void rotates_refresh_token(void **state)
{
	struct dance dance;
	struct error err = { "" };

	(void)state;
	dance_init(&dance, "{\"identitytoken\":\"u:p\"}");
	fault_rules(&server,
		"[{\"match\":{\"method\":\"POST\"},\"times\":1,\"do\":{\"status\":200,\"body\":"
		"\"{\\\"access_token\\\":\\\"a\\\",\\\"refresh_token\\\":\\\"u:newer\\\"}\"}}]");
	assert_int_equal(challenged(&dance, "", &err), 0);
	/* The server does not know "u:newer"; it knew what the file has. */
	assert_int_equal(challenged(&dance, "Authorization: Bearer a", &err), -EACCES);
	assert_int_equal(fault_stat(&server, "denied"), 1);
	dance_release(&dance);
}

static void falls_back_to_get(void **state)
{
	struct dance dance;
	struct error err = { "" };

	(void)state;
	dance_init(&dance, "{\"auth\":\"dTpw\",\"identitytoken\":\"u:q\"}");
	fault_rules(&server, "[{\"match\":{\"method\":\"POST\"},\"do\":{\"status\":405}}]");
	assert_int_equal(challenged(&dance, "", &err), 0);
	assert_int_equal(fault_stat(&server, "basic"), 1);
	dance_release(&dance);
}

static void refuses_basic_once(void **state)
{
	struct dance dance;
	CLEANUP(freep) char *line = NULL;
	struct error err;

	(void)state;
	dance_init(&dance, GOOD);
	dance.challenges[0] = (char *)"Basic realm=x";
	assert_int_equal(challenged(&dance, "", &err), 0);
	assert_int_equal(header(&dance, &line), 0);
	assert_string_equal(line, "Authorization: Basic dTpw");
	assert_int_equal(challenged(&dance, line, &err), -EACCES);
	dance_release(&dance);
}

struct asker {
	struct dance *dance;
	struct cancel *cancel;
	int rc;
};

static void *ask(void *context)
{
	struct asker *asker = context;
	struct error err;

	asker->rc = auth_challenge(asker->dance->auth, "app", SCOPE, "", false,
		&asker->dance->answer, asker->cancel, &err);
	return NULL;
}

static void fetches_once_for_all(void **state)
{
	enum { COUNT = 8 };
	struct dance dance;
	struct asker askers[COUNT];
	pthread_t threads[COUNT];

	(void)state;
	dance_init(&dance, GOOD);
	fault_rules(&server, "[{\"do\":{\"delay\":0.2}}]");
	for (size_t i = 0; i < COUNT; i++) {
		askers[i] = (struct asker){ .dance = &dance };
		assert_int_equal(pthread_create(&threads[i], NULL, ask, &askers[i]), 0);
	}
	for (size_t i = 0; i < COUNT; i++) {
		(void)pthread_join(threads[i], NULL);
		assert_int_equal(askers[i].rc, 0);
	}
	assert_int_equal(fault_stat(&server, "token_requests"), 1);
	dance_release(&dance);
}

/* The one who fetches gives up; another who waits takes over, and is not told of it. */
static void passes_on_the_fetch(void **state)
{
	struct cancel cancel;
	struct dance dance;
	struct asker first = { .dance = &dance, .cancel = &cancel }, second = { .dance = &dance };
	pthread_t threads[2];

	(void)state;
	cancel_init(&cancel);
	dance_init(&dance, GOOD);
	fault_rules(&server, "[{\"times\":1,\"do\":{\"hang\":true}}]");
	assert_int_equal(pthread_create(&threads[0], NULL, ask, &first), 0);
	while (fault_stat_now(&server, "active") < 1)
		usleep(1000);
	assert_int_equal(pthread_create(&threads[1], NULL, ask, &second), 0);
	cancel_set(&cancel);
	(void)pthread_join(threads[0], NULL);
	(void)pthread_join(threads[1], NULL);
	assert_int_equal(first.rc, -EINTR);
	assert_int_equal(second.rc, 0);
	cancel_release(&cancel);
	dance_release(&dance);
}

static void tells_identities_apart(void **state)
{
	struct dance dance;
	char text[1024];
	CLEANUP(freep) char *good = NULL;

	(void)state;
	dance_init(&dance, NULL);
	assert_string_equal(auth_identity(dance.auth), "anonymous");
	dance_release(&dance);
	dance_init(&dance, GOOD);
	good = strdup(auth_identity(dance.auth));
	assert_non_null(strstr(described(&dance, text), "auth.json (found)"));
	dance_release(&dance);
	dance_init(&dance, GOOD);
	assert_string_equal(auth_identity(dance.auth), good);
	dance_release(&dance);
	dance_init(&dance, BAD);
	assert_string_not_equal(auth_identity(dance.auth), good);
	dance_release(&dance);
}

static void misses_named_file(void **state)
{
	const struct auth_config config = { .host = "h", .authfile = "/nonexistent/auth.json" };
	struct auth *auth = NULL;
	struct error err;

	(void)state;
	assert_int_equal(auth_new(&auth, &config, NULL, &observer.base, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/auth.json"));
}

/* The usual places, in their order; one that is malformed is passed over with a warning. */
static void searches_usual_places(void **state)
{
	static const char one[] = "{\"auths\":{\"h\":{\"auth\":\"" U1 "\"}}}";
	static const char two[] = "{\"auths\":{\"h/a\":{\"auth\":\"" U2 "\"}}}";
	static const char *const directories[] = { "containers", ".docker", ".config",
		".config/containers" };
	const struct auth_config config = { .host = "h" };
	struct wallet *wallet;
	char path[128];

	(void)state;
	test_observer_init(&observer);
	(void)unsetenv("REGISTRY_AUTH_FILE");
	(void)setenv("HOME", server.dir, 1);
	(void)setenv("XDG_RUNTIME_DIR", server.dir, 1);
	(void)unsetenv("XDG_CONFIG_HOME");
	(void)unsetenv("DOCKER_CONFIG");
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
		(void)snprintf(path, sizeof path, "%s/%s", server.dir, directories[i]);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	write_file(server.dir, ".docker/config.json", one, sizeof one - 1);
	write_file(server.dir, "containers/auth.json", "{", 1);
	assert_int_equal(wallet_new(&wallet, &config, &observer.base, NULL), 0);
	(void)expect(wallet, 0, "one");
	assert_non_null(strstr(observer.lines, "containers/auth.json"));
	wallet_free(wallet);

	/* An earlier file wins, whatever the length of its keys. */
	write_file(server.dir, ".docker/config.json", two, sizeof two - 1);
	write_file(server.dir, ".config/containers/auth.json", one, sizeof one - 1);
	assert_int_equal(wallet_new(&wallet, &config, &observer.base, NULL), 0);
	(void)expect(wallet, 0, "one");
	wallet_free(wallet);

	(void)snprintf(path, sizeof path, "%s/elsewhere", server.dir);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)setenv("DOCKER_CONFIG", path, 1);
	(void)setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
	write_file(server.dir, "elsewhere/config.json", two, sizeof two - 1);
	assert_int_equal(wallet_new(&wallet, &config, &observer.base, NULL), 0);
	(void)expect(wallet, 0, "two::");
	wallet_free(wallet);

	(void)snprintf(path, sizeof path, "%s/.config/containers/auth.json", server.dir);
	(void)setenv("REGISTRY_AUTH_FILE", path, 1);
	assert_int_equal(wallet_new(&wallet, &config, &observer.base, NULL), 0);
	(void)expect(wallet, 0, "one");
	wallet_free(wallet);

	const struct auth_config nobody = { .host = "h", .no_credentials = true };
	assert_int_equal(wallet_new(&wallet, &nobody, &observer.base, NULL), 0);
	(void)expect(wallet, 0, NULL);
	assert_true(wallet_is_empty(wallet));
	wallet_free(wallet);
}

static int start_server(void **state)
{
	static const char *const args[] = { "--auth", "token", "--user", "u:p", NULL };

	char path[1024];

	sigset_t set;

	(void)state;
	fault_server_start(&server, args);
	(void)signal(SIGPIPE, SIG_IGN); /* as in the program */
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	(void)snprintf(path, sizeof path, "%s/bin", server.dir);
	if (mkdir(path, 0700))
		return -1;
	(void)snprintf(path, sizeof path, "%s/bin:/usr/bin:/bin", server.dir);
	return setenv("PATH", path, 1);
}

static int stop_server(void **state)
{
	(void)state;
	fault_server_stop(&server);
	return 0;
}

int main(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(challenge_cases); i++)
		add(challenge_cases[i].name, reads_challenge, &challenge_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(credential_cases); i++)
		add(credential_cases[i].name, finds_credentials, &credential_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(realm_cases); i++)
		add(realm_cases[i].realm, checks_realm, &realm_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(answer_cases); i++)
		add(answer_cases[i].text, reads_answer, &answer_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(dance_cases); i++)
		add(dance_cases[i].name, dances, &dance_cases[i]);
	add("a token is learned, kept and renewed", learns_and_renews, NULL);
	add("a token server of another site", withholds_credentials, NULL);
	add("one that is permitted", withholds_credentials, "127.0.0.1");
	add("a token server inside", stays_out, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(helper_answer_cases); i++)
		add(helper_answer_cases[i].text, reads_helper_answer, &helper_answer_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(helper_cases); i++)
		add(helper_cases[i].name, asks_helper, &helper_cases[i]);
	add("a helper is interrupted", interrupts_helper, NULL);
	add("files are read again", rereads_files, NULL);
	add("a helper is asked again", asks_again, NULL);
	add("a helper that fails is left alone", leaves_failure_alone, NULL);
	add("a helper is asked once for all", asks_once_for_all, NULL);
	add("another password, for tokens", follows_rotation, NULL);
	add("another password, for Basic", follows_rotation, "Basic realm=x");
	add("another token for other credentials", looks_for_others, NULL);
	add("another refresh token", rotates_refresh_token, NULL);
	add("GET in place of POST", falls_back_to_get, NULL);
	add("Basic is tried once", refuses_basic_once, NULL);
	add("one fetch for all who wait", fetches_once_for_all, NULL);
	add("a cancelled fetch is taken over", passes_on_the_fetch, NULL);
	add("identities", tells_identities_apart, NULL);
	add("a named file that is missing", misses_named_file, NULL);
	add("the usual places", searches_usual_places, NULL);
	return _cmocka_run_group_tests("auth", tests, test_count, start_server, stop_server);
}
