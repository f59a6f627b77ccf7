/* SPDX-License-Identifier: Apache-2.0 */
/* The source's operations against a loopback registry, with and without a login, TLS and faults. */
#include "fetch/registry/registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fetch/cancel.h"
#include "fetch/referrers.h"
#include "fetch/registry/internal.h"
#include "model/cleanup.h"
#include "model/image.h"
#include "tests/unit/cases.h"
#include "tests/unit/faultserver.h"

/* One server per way to log in, and one that speaks TLS. */
enum mode { MODE_OPEN, MODE_TOKEN, MODE_BASIC, MODE_TLS, MODE_COUNT };

static struct fault_server servers[MODE_COUNT];
static char tls_dir[64];
static bool has_tls;
static struct test_observer observer;

#define GOOD "{\"auth\":\"dTpw\"}" /* u:p */
#define BAD  "{\"auth\":\"dTpx\"}" /* u:q */

struct opening {
	enum mode mode;
	const char *entry; /* of the host in the auth file, or NULL: anonymous */
	const char *cert_dir;
	bool skip_verify;
};

static struct source *open_source(struct opening opening)
{
	struct fault_server *server = &servers[opening.mode];
	char host[32], path[128], text[256];
	struct source *source = NULL;
	struct error err;

	test_observer_init(&observer);
	(void)snprintf(host, sizeof host, "127.0.0.1:%d", server->port);
	(void)snprintf(path, sizeof path, "%s/auth.json", server->dir);
	(void)snprintf(text, sizeof text, "{\"auths\":{\"%s\":%s}}", host,
		opening.entry ? opening.entry : "{}");
	write_file(server->dir, "auth.json", text, strlen(text));
	const struct registry_config config = { .host = host,
		.authfile = path,
		.cert_dir = opening.cert_dir,
		.http = { .user_agent = "imgfs-test",
			.verify_tls = !opening.skip_verify,
			.connect_timeout_ms = 5000,
			.stall_timeout_ms = 5000,
			.retries = 1,
			.max_connections = 4 } };
	assert_int_equal(registry_open(&source, &config, &observer.base, &err), 0);
	return source;
}

static struct source *open_plain(const char *rules)
{
	fault_rules(&servers[MODE_OPEN], rules);
	return open_source((struct opening){ .mode = MODE_OPEN });
}

static struct digest digest_from(const char *text)
{
	struct digest digest;

	assert_int_equal(digest_parse(&digest, text, NULL), 0);
	return digest;
}

/* ---- lists -------------------------------------------------------------------------------- */

static const struct list_case {
	const char *name, *rules;
	bool is_catalog;
	const char *repository;
	int rc;
	const char *names;  /* joined by blanks */
	long requests;      /* 0: not counted */
	const char *logged; /* or NULL */
} list_cases[] = {
	{ "tags, over several pages", "[]", false, "app", 0,
		"t000000 t000001 t000002 t000003 t000004 v1", 3, NULL },
	{ "the catalog", "[]", true, NULL, 0,
		"app extra/r000000 extra/r000001 extra/r000002 extra/r000003", 3, NULL },
	{ "an unknown repository", "[]", false, "nobody", -ENOENT, NULL, 1, NULL },
	{ "a name that no repository has", "[]", false, "../_catalog", -ENOENT, NULL, 0, NULL },
	{ "null", "[{\"do\":{\"status\":200,\"body\":\"{\\\"tags\\\":null}\"}}]", false, "app", 0,
		"", 1, NULL },
	{ "unsorted, twice, impossible",
		"[{\"do\":{\"status\":200,"
		"\"body\":\"{\\\"tags\\\":"
		"[\\\"b\\\",\\\"a\\\",\\\"b\\\",\\\"../x\\\",\\\"\\\"]}\"}}]",
		false, "app", 0, "a b", 1, "2 impossible names" },
	{ "a page that names itself",
		"[{\"do\":{\"headers\":{\"Link\":\"</v2/app/tags/list?n=1000>; rel=next\"}}}]",
		false, "app", 0, "t000000 t000001", 2, "circle" },
	{ "pages in a circle", "[{\"do\":{\"headers\":{\"Link\":\"<?n=9>; rel=\\\"next\\\"\"}}}]",
		false, "app", 0, "t000000 t000001", 2, "circle" },
	{ "a next page elsewhere",
		"[{\"do\":{\"headers\":{\"Link\":\"<http://127.0.0.1:1/v2/x>; rel=next\"}}}]",
		false, "app", -EPROTO, NULL, 1, NULL },
	{ "not JSON", "[{\"do\":{\"status\":200,\"body\":\"<html>\"}}]", false, "app", -EIO, NULL,
		1, NULL },
	{ "tags that are no list", "[{\"do\":{\"status\":200,\"body\":\"{\\\"tags\\\":{}}\"}}]",
		false, "app", -EIO, NULL, 1, NULL },
	{ "JSON of somebody else", "[{\"do\":{\"status\":200,\"body\":\"{\\\"login\\\":1}\"}}]",
		false, "app", -EIO, NULL, 1, NULL },
	{ "a catalog that is forbidden", "[{\"do\":{\"status\":403}}]", true, NULL, -EACCES, NULL,
		1, NULL },
	{ "a catalog that does not exist", "[{\"do\":{\"status\":404}}]", true, NULL, -ENOENT, NULL,
		1, NULL },
	{ "a catalog not supported", "[{\"do\":{\"status\":405}}]", true, NULL, -EOPNOTSUPP, NULL,
		1, NULL },
};

static void lists(void **state)
{
	const struct list_case *c = *state;
	struct source *source = open_plain(c->rules);
	struct name_list list = { NULL, 0 };
	char joined[512] = "";
	struct error err;
	int rc = c->is_catalog ? source->ops->repositories(source, &list, NULL, &err)
			       : source->ops->tags(source, c->repository, &list, NULL, &err);

	if (rc != c->rc)
		print_error("%s\n", err.text);
	assert_int_equal(rc, c->rc);
	for (size_t i = 0; i < list.count; i++) {
		(void)strcat(joined, i ? " " : "");
		(void)strcat(joined, list.names[i]);
	}
	if (c->names)
		assert_string_equal(joined, c->names);
	if (c->requests)
		assert_int_equal(fault_stat(&servers[MODE_OPEN], "requests"), c->requests);
	if (c->logged)
		assert_non_null(strstr(observer.lines, c->logged));
	name_list_release(&list);
	source_free(source);
}

/* ---- referrers ---------------------------------------------------------------------------- */

/* Digests of one repeated digit, and JSON inside the JSON of a rule. */
#define X16(d)          d d d d d d d d d d d d d d d d
#define HEX(d)          X16(d) X16(d) X16(d) X16(d)
#define Q               "\\\""
#define PAIR(key, text) Q key Q ":" Q text Q
#define REFERRER(d, more)                                                                          \
	"{" PAIR("mediaType", "application/vnd.oci.image.manifest.v1+json") "," PAIR(              \
		"digest", "sha256:" HEX(d)) "," Q "size" Q ":2" more "}"
#define TYPE(text)    "," PAIR("artifactType", text)
#define NOTE          "," Q "annotations" Q ":{" PAIR("k", "v") "}"
#define PAGE(entries) "{" Q "schemaVersion" Q ":2," Q "manifests" Q ":[" entries "]}"
#define ANSWER(path, match, body, more)                                                            \
	"{\"match\":{\"path\":\"" path "\"" match "},\"do\":{\"status\":200,\"body\":\"" body      \
	"\"" more "}}"
#define STATUS(path, status) "{\"match\":{\"path\":\"" path "\"},\"do\":{\"status\":" status "}}"
#define API                  "/v2/app/referrers/sha256:" HEX("0") "$"
#define TAG                  "/v2/app/manifests/sha256-" HEX("0") "$"
#define LINK(t)              ",\"headers\":{\"Link\":\"<" t ">; rel=next\"}"
#define FIRST                ",\"query\":\"^$\""
#define SECOND               ",\"query\":\"^p=2$\""

static const struct referrers_case {
	const char *name, *rules;
	int rc;
	const char *found; /* the digit and the artifact type of each */
	long requests;
} referrers_cases[] = {
	{ "referrers: none", "[" ANSWER(API, "", PAGE(""), "") "]", 0, "", 1 },
	{ "referrers: with and without a type",
		"[" ANSWER(API, "", PAGE(REFERRER("2", TYPE("a/b") NOTE) "," REFERRER("1", "")),
			"") "]",
		0, "1 - 2 a/b ", 1 },
	{ "referrers: twice, and the subject itself",
		"[" ANSWER(API, "",
			PAGE(REFERRER("1", "") "," REFERRER("0", TYPE("x")) "," REFERRER(
				"1", TYPE("x"))),
			"") "]",
		0, "1 x ", 1 },
	{ "referrers: two pages",
		"[" ANSWER(API, FIRST, PAGE(REFERRER("1", "")), LINK("?p=2")) "," ANSWER(
			API, SECOND, PAGE(REFERRER("2", "")), "") "]",
		0, "1 - 2 - ", 2 },
	{ "referrers: a page elsewhere",
		"[" ANSWER(API, "", PAGE(REFERRER("1", "")), LINK("http://127.0.0.1:1/x")) "]",
		-EPROTO, NULL, 1 },
	{ "referrers: a page that is none",
		"[" ANSWER(API, FIRST, PAGE(REFERRER("1", "")), LINK("?p=2")) "," ANSWER(
			API, SECOND, "no", "") "]",
		-EIO, NULL, 2 },
	{ "referrers: a page that names itself",
		"[" ANSWER(API, "", PAGE(REFERRER("1", "")), LINK("?p=2")) "]", -EFBIG, NULL,
		1000 },
	{ "referrers: an entry without a digest", "[" ANSWER(API, "", PAGE("{}"), "") "]", -EIO,
		NULL, 1 },
	{ "referrers: 404, then the tag",
		"[" STATUS(API, "404") "," ANSWER(TAG, "", PAGE(REFERRER("1", TYPE("t"))), "") "]",
		0, "1 t ", 2 },
	{ "referrers: 400, then the tag",
		"[" STATUS(API, "400") "," ANSWER(TAG, "", PAGE(REFERRER("1", "")), "") "]", 0,
		"1 - ", 2 },
	{ "referrers: 405, then the tag",
		"[" STATUS(API, "405") "," ANSWER(TAG, "", PAGE(REFERRER("1", "")), "") "]", 0,
		"1 - ", 2 },
	{ "referrers: 406, then the tag",
		"[" STATUS(API, "406") "," ANSWER(TAG, "", PAGE(REFERRER("1", "")), "") "]", 0,
		"1 - ", 2 },
	{ "referrers: a page for people, then the tag",
		"[" ANSWER(API, "", "<html>", "") "," ANSWER(
			TAG, "", PAGE(REFERRER("1", "")), "") "]",
		0, "1 - ", 2 },
	{ "referrers: pages for people",
		"[" ANSWER(API, "", "<html>", "") "," ANSWER(TAG, "", "<html>", "") "]", -EIO, NULL,
		2 },
	{ "referrers: neither API nor tag", "[" STATUS(API, "404") "," STATUS(TAG, "404") "]", 0,
		"", 2 },
	{ "referrers: the tag is an image",
		"[" STATUS(API, "404") "," ANSWER(TAG, "",
			"{" Q "schemaVersion" Q ":2," Q "config" Q ":{}," Q "layers" Q ":[]}",
			"") "]",
		0, "", 2 },
	{ "referrers: forbidden", "[" STATUS(API, "403") "]", -EACCES, NULL, 1 },
	{ "referrers: a failure is not tried again", "[" STATUS(API, "503") "]", -EIO, NULL, 1 },
	{ "referrers: too many requests", "[" STATUS(API, "429") "]", -EDQUOT, NULL, 1 },
};

/* Of all paths: the counter at the top of the statistics. */
static long all_requests(struct fault_server *server)
{
	static const char key[] = "\n \"requests\": ";
	char *answer, *at;
	long count;

	fault_settle(server);
	answer = fault_control(server, "GET", "/__stats", "");
	at = strstr(answer, key);
	count = at ? strtol(at + strlen(key), NULL, 10) : -1;
	free(answer);
	return count;
}

static void lists_referrers(void **state)
{
	const struct referrers_case *c = *state;
	struct source *source = open_plain("[]");
	struct digest subject = digest_from("sha256:" HEX("0"));
	struct descriptor *found = NULL;
	struct name_list names = { NULL, 0 };
	char joined[256] = "", hex[DIGEST_HEX_MAX];
	size_t count = 0;
	struct error err;
	int rc;

	assert_int_equal(source->ops->tags(source, "app", &names, NULL, &err), 0);
	name_list_release(&names); /* the scheme is known: what is counted now is ours */
	fault_rules(&servers[MODE_OPEN], c->rules);
	rc = source->ops->referrers(source, "app", &subject, &found, &count, NULL, &err);
	if (rc != c->rc)
		print_error("%s\n", err.text);
	assert_int_equal(rc, c->rc);
	for (size_t i = 0; i < count; i++) {
		const struct annotations *notes = &found[i].annotations;
		size_t used = strlen(joined);

		(void)snprintf(joined + used, sizeof joined - used, "%c %s ",
			digest_hex(&found[i].digest, hex)[0],
			found[i].artifact_type ? found[i].artifact_type : "-");
		if (notes->count)
			assert_string_equal(annotations_get(notes, "k"), "v");
	}
	if (c->found)
		assert_string_equal(joined, c->found);
	assert_int_equal(all_requests(&servers[MODE_OPEN]), c->requests);
	descriptors_free(found, count);
	source_free(source);
}

/* The API of the test registry itself, and a name that no repository has. */
static void asks_for_referrers(void **state)
{
	struct source *source = open_plain("[]");
	struct digest subject = digest_from(servers[MODE_OPEN].manifest_digest);
	struct descriptor *found = NULL;
	size_t count = 1;
	struct error err;

	(void)state;
	assert_int_equal(
		source->ops->referrers(source, "app", &subject, &found, &count, NULL, &err), 0);
	assert_int_equal(count, 0);
	assert_int_equal(
		source->ops->referrers(source, "../x", &subject, &found, &count, NULL, &err),
		-ENOENT);
	source_free(source);
}

/* distribution-spec, "Referrers Tag Schema": the encoded part is cut to 64 characters. */
static void names_fallback_tag(void **state)
{
	struct digest sha256 = digest_from("sha256:" HEX("a"));
	struct digest sha512 = digest_from("sha512:" HEX("b") HEX("c"));
	char text[REFERRERS_TAG_MAX];

	(void)state;
	assert_string_equal(referrers_tag(&sha256, text), "sha256-" HEX("a"));
	assert_string_equal(referrers_tag(&sha512, text), "sha512-" HEX("b"));
}

/* ---- manifests ---------------------------------------------------------------------------- */

#define HEADS "[{\"match\":{\"method\":\"HEAD\"},\"do\":"
/* Who answers 200 to everything. */
#define PORTAL(type, body)                                                                         \
	"[{\"do\":{\"status\":200,\"content_type\":\"" type "\",\"body\":\"" body "\"}}]"

static const struct resolve_case {
	const char *name, *rules, *tag;
	int rc;
	long requests;
	bool lacks_size;
	bool is_other; /* than the manifest of the test image */
	const char *error;
} resolve_cases[] = {
	{ .name = "by HEAD", .rules = "[]", .tag = "v1", .requests = 1 },
	{ .name = "HEAD not allowed",
		.rules = HEADS "{\"status\":405}}]",
		.tag = "v1",
		.requests = 2 },
	{ .name = "HEAD not found",
		.rules = HEADS "{\"status\":404}}]",
		.tag = "v1",
		.requests = 2 },
	{ .name = "no digest",
		.rules = "[{\"do\":{\"docker_content_digest\":null}}]",
		.tag = "v1",
		.requests = 2 },
	{ .name = "a digest that is none",
		.rules = HEADS "{\"docker_content_digest\":\"x\"}}]",
		.tag = "v1",
		.requests = 2 },
	{ .name = "no length",
		.rules = HEADS "{\"content_length\":null}}]",
		.tag = "v1",
		.requests = 1,
		.lacks_size = true },
	{ .name = "an unknown tag",
		.rules = "[]",
		.tag = "v2",
		.rc = -ENOENT,
		.requests = 2,
		.error = "MANIFEST_UNKNOWN" },
	{ .name = "no type of a manifest",
		.rules = HEADS "{\"content_type\":\"text/plain\"}}]",
		.tag = "v1",
		.requests = 2 },
	{ .name = "another digest than it has",
		.rules = "[{\"match\":{\"method\":\"HEAD\"},\"do\":{\"status\":405}},"
			 "{\"do\":{\"docker_content_digest\":\"sha256:" HEX("0") "\"}}]",
		.tag = "v1",
		.requests = 2 },
	{ .name = "a page to log in",
		.rules = PORTAL("text/html", "<html>log in</html>"),
		.tag = "v1",
		.rc = -EIO,
		.requests = 2,
		.error = "instead of a manifest came 19 bytes of 'text/html'" },
	{ .name = "a page with a digest",
		.rules = "[{\"do\":{\"status\":200,\"content_type\":\"text/html\","
			 "\"docker_content_digest\":\"sha256:" HEX("0") "\",\"body\":\"<html>\"}}]",
		.tag = "v1",
		.rc = -EIO,
		.requests = 2,
		.error = "text/html" },
	{ .name = "JSON that is no manifest",
		.rules = PORTAL("application/json", "{\\\"login\\\":1}"),
		.tag = "v1",
		.rc = -EIO,
		.requests = 2,
		.error = "JSON of another kind" },
	{ .name = "a manifest announced as an index",
		.rules = HEADS "{\"status\":405}},{\"do\":{\"content_type\":"
			       "\"application/vnd.oci.image.index.v1+json\"}}]",
		.tag = "v1",
		.rc = -EIO,
		.requests = 2,
		.error = "index.v1+json" },
	{ .name = "an artifact of a release candidate",
		.rules = PORTAL("application/vnd.oci.artifact.manifest.v1+json", "{}"),
		.tag = "v1",
		.requests = 2,
		.is_other = true },
	{ .name = "nothing at all",
		.rules = PORTAL("text/html", ""),
		.tag = "v1",
		.rc = -EIO,
		.requests = 2,
		.error = "0 bytes" },
	{ .name = "a name that no tag has", .rules = "[]", .tag = ".git", .rc = -ENOENT },
	{ .name = "forbidden",
		.rules = "[{\"do\":{\"status\":403}}]",
		.tag = "v1",
		.rc = -EACCES,
		.requests = 1 },
	{ .name = "rate limited",
		.rules = "[{\"do\":{\"status\":429,\"retry_after\":0}}]",
		.tag = "v1",
		.rc = -EDQUOT,
		.requests = 2 },
	{ .name = "the server fails",
		.rules = "[{\"do\":{\"status\":500}}]",
		.tag = "v1",
		.rc = -EIO,
		.requests = 2 },
	{ .name = "hostile words",
		.rules = "[{\"do\":{\"status\":403,\"body\":"
			 "\"{\\\"errors\\\":[{\\\"code\\\":\\\"A\\\\u001b[1m\\\"}]}\"}}]",
		.tag = "v1",
		.rc = -EACCES,
		.requests = 1 },
};

static void resolves(void **state)
{
	const struct resolve_case *c = *state;
	struct source *source = open_plain(c->rules);
	struct descriptor found = { .media_type = NULL };
	struct error err = { "" };
	int rc = source->ops->resolve(source, "app", c->tag, &found, NULL, &err);
	struct digest wanted = digest_from(servers[MODE_OPEN].manifest_digest);

	assert_int_equal(rc, c->rc);
	assert_int_equal(fault_stat(&servers[MODE_OPEN], "requests"), c->requests);
	if (c->error)
		assert_non_null(strstr(err.text, c->error));
	assert_null(strchr(err.text, '\033'));
	assert_int_equal(digest_equal(&found.digest, &wanted), !rc && !c->is_other);
	if (!rc && !c->is_other) {
		assert_true(found.size == (c->lacks_size ? DESCRIPTOR_SIZE_UNKNOWN
							 : strlen(servers[MODE_OPEN].manifest)));
		assert_string_equal(found.media_type, "application/vnd.oci.image.manifest.v1+json");
	}
	descriptor_release(&found);
	source_free(source);
}

static const struct read_case {
	const char *name, *rules, *tag;
	size_t ceiling;
	int rc;
} read_cases[] = {
	{ "to read", "[]", "v1", DOCUMENT_MAX, 0 },
	{ "to read: cut off", "[{\"times\":1,\"do\":{\"disconnect_after\":100}}]", "v1",
		DOCUMENT_MAX, 0 },
	{ "to read: no digest announced", "[{\"do\":{\"docker_content_digest\":null}}]", "v1",
		DOCUMENT_MAX, 0 },
	{ "to read: not found", "[]", "v9", DOCUMENT_MAX, -ENOENT },
	{ "to read: no tag", "[]", "../v1", DOCUMENT_MAX, -ENOENT },
	{ "to read: over the ceiling", "[]", "v1", 100, -EFBIG },
	{ "to read: a page to log in", PORTAL("text/html", "<html>log in</html>"), "v1",
		DOCUMENT_MAX, -EIO },
};

static void resolves_to_read(void **state)
{
	const struct read_case *c = *state;
	struct source *source = open_plain(c->rules);
	struct digest wanted = digest_from(servers[MODE_OPEN].manifest_digest);
	CLEANUP(buf_release) struct buf body = { .max = c->ceiling };
	struct descriptor found = { .media_type = NULL };
	struct error err = { "" };

	assert_int_equal(
		source->ops->resolve_to_read(source, "app", c->tag, &found, &body, NULL, &err),
		c->rc);
	if (!c->rc) {
		assert_string_equal(body.data, servers[MODE_OPEN].manifest);
		assert_true(digest_equal(&found.digest, &wanted));
		assert_int_equal(found.size, body.len);
		assert_string_equal(found.media_type, "application/vnd.oci.image.manifest.v1+json");
	}
	descriptor_release(&found);
	source_free(source);
}

static int get_manifest(
	struct source *source, const char *digest, size_t ceiling, struct buf *body, char **type)
{
	struct digest wanted = digest_from(digest);
	struct error err;

	buf_init(body, ceiling);
	return source->ops->manifest(source, "app", &wanted, body, type, NULL, &err);
}

static void gets_manifest(void **state)
{
	struct source *source = open_plain("[{\"times\":1,\"do\":{\"disconnect_after\":100}}]");
	CLEANUP(freep) char *type = NULL;
	struct buf body;

	(void)state;
	assert_int_equal(
		get_manifest(source, servers[MODE_OPEN].manifest_digest, 4096, &body, &type), 0);
	assert_string_equal(body.data, servers[MODE_OPEN].manifest);
	assert_string_equal(type, "application/vnd.oci.image.manifest.v1+json");
	buf_release(&body);
	source_free(source);
}

static void bounds_manifest(void **state)
{
	struct source *source = open_plain("[]");
	struct buf body;

	(void)state;
	assert_int_equal(
		get_manifest(source, servers[MODE_OPEN].manifest_digest, 100, &body, NULL), -EFBIG);
	buf_release(&body);
	assert_int_equal(
		get_manifest(source, servers[MODE_OPEN].small_digest, 4096, &body, NULL), -ENOENT);
	buf_release(&body);
	source_free(source);
}

/* ---- blobs -------------------------------------------------------------------------------- */

#define BLOBS "[{\"match\":{\"path\":\"/blobs/\"},"

static const struct blob_case {
	const char *name, *rules;
	enum mode mode;
	uint64_t offset, starts_at;
	bool is_big;
	int rc;
	long challenges; /* as the server counts them; -1: any number */
} blob_cases[] = {
	{ .name = "whole", .rules = "[]" },
	{ .name = "from an offset", .rules = "[]", .offset = 5000, .starts_at = 5000 },
	{ .name = "range ignored",
		.rules = BLOBS "\"do\":{\"ignore_range\":true}}]",
		.offset = 5000 },
	{ .name = "not there", .rules = BLOBS "\"do\":{\"status\":404}}]", .rc = -ENOENT },
	{ .name = "past the end", .rules = "[]", .offset = SMALL_LEN, .rc = -ERANGE },
	{ .name = "with a token", .rules = "[]", .mode = MODE_TOKEN, .challenges = 1 },
	{ .name = "with a token, to a CDN from an offset",
		.rules = "[]",
		.mode = MODE_TOKEN,
		.offset = 77,
		.starts_at = 77,
		.challenges = 1 },
	{ .name = "with a password", .rules = "[]", .mode = MODE_BASIC, .challenges = 1 },
	/* The second request carries on where the first broke off, and is turned away. */
	{ .name = "the token runs out on the way",
		.rules = "[{\"match\":{\"port\":\"cdn\"},\"times\":1,"
			 "\"do\":{\"disconnect_after\":50000}},"
			 "{\"match\":{\"port\":\"main\",\"path\":\"/blobs/\",\"auth\":true},"
			 "\"skip\":1,\"times\":1,\"do\":{\"expire_token\":true}}]",
		.mode = MODE_TOKEN,
		.challenges = -1 },
	{ .name = "the token runs out before",
		.mode = MODE_TOKEN,
		.rules = "[{\"match\":{\"path\":\"/blobs/\",\"auth\":true},\"times\":1,"
			 "\"do\":{\"expire_token\":true}}]",
		.challenges = 2 },
	{ .name = "tokens run out at once",
		.mode = MODE_TOKEN,
		.rules = "[{\"match\":{\"path\":\"/blobs/\",\"auth\":true},"
			 "\"do\":{\"expire_token\":true}}]",
		/* 401 without a token, with one, and with another: all that one request may cost.
		 */
		.rc = -EACCES,
		.challenges = 3 },
};

static size_t read_stream(
	struct blob_stream *stream, unsigned char *bytes, size_t room, int *ret_rc)
{
	struct error err;
	size_t len = 0;
	ssize_t n;

	while ((n = stream->ops->read(stream, bytes + len, room - len, &err)) > 0)
		len += (size_t)n;
	if (n < 0)
		print_error("%s\n", err.text);
	*ret_rc = (int)n;
	return len;
}

static void opens_blob(void **state)
{
	const struct blob_case *c = *state;
	struct fault_server *server = &servers[c->mode];
	struct descriptor blob = { .digest = digest_from(server->small_digest), .size = SMALL_LEN };
	static unsigned char bytes[SMALL_LEN + 1];
	struct blob_stream *stream = NULL;
	uint64_t offset = 99;
	struct source *source;
	struct error err = { "" };
	int rc;

	fault_rules(server, c->rules);
	source = open_source((struct opening){ .mode = c->mode, .entry = GOOD });
	rc = source->ops->open_blob(source, "app", &blob, c->offset, &stream, &offset, NULL, &err);
	if (rc != c->rc)
		print_error("%s\n", err.text);
	assert_int_equal(rc, c->rc);
	if (!rc) {
		size_t len = read_stream(stream, bytes, sizeof bytes, &rc);

		assert_int_equal(rc, 0);
		assert_true(offset == c->starts_at);
		assert_int_equal(len, SMALL_LEN - offset);
		assert_memory_equal(bytes, server->small + offset, len);
		stream->ops->free(stream);
	}
	if (c->challenges >= 0)
		assert_int_equal(fault_stat(server, "challenges"), c->challenges);
	assert_int_equal(fault_stat(server, "cdn_with_authorization"), 0);
	source_free(source);
}

#define RANGES(text) "[{\"match\":{\"path\":\"/blobs/\",\"range\":true}," text "}]"

static const struct range_case {
	const char *name, *rules;
	enum mode mode;
	uint64_t offset, len;
	int rc, read_rc;
	size_t sent; /* bytes of the blob at most, with what was on its way when it was refused */
} range_cases[] = {
	{ "a range", "[]", MODE_OPEN, 5000, 7000, 0, 0, 7000 },
	{ "a range from the first byte on", "[]", MODE_OPEN, 0, 1, 0, 0, 1 },
	{ "a range up to the last byte", "[]", MODE_OPEN, SMALL_LEN - 10, 10, 0, 0, 10 },
	{ "a range, with a token, from a CDN", "[]", MODE_TOKEN, 77, 5000, 0, 0, 5000 },
	{ "a range, cut off once", RANGES("\"times\":1,\"do\":{\"disconnect_after\":1000}"),
		MODE_OPEN, 5000, 7000, 0, 0, 7000 },
	{ "a range, always cut off", RANGES("\"do\":{\"disconnect_after\":0}"), MODE_OPEN, 5000,
		7000, 0, -EIO, 7000 },
	{ "a range, given in pieces", RANGES("\"times\":1,\"do\":{\"range_short\":1000}"),
		MODE_OPEN, 5000, 90000, 0, 0, 90000 },
	{ "a range, and more", RANGES("\"do\":{\"range_long\":100}"), MODE_OPEN, 5000, 7000, 0, 0,
		7100 },
	{ "the token runs out within a range",
		"[{\"match\":{\"port\":\"cdn\"},\"times\":1,\"do\":{\"disconnect_after\":50000}},"
		"{\"match\":{\"port\":\"main\",\"path\":\"/blobs/\",\"auth\":true},"
		"\"skip\":1,\"times\":1,\"do\":{\"expire_token\":true}}]",
		MODE_TOKEN, 1000, 90000, 0, 0, 90000 },
	{ "no ranges", RANGES("\"do\":{\"ignore_range\":true}"), MODE_OPEN, 5000, 7000, -EOPNOTSUPP,
		0, SMALL_LEN },
	{ "no ranges, from the first byte on", RANGES("\"do\":{\"no_ranges\":true}"), MODE_OPEN, 0,
		7000, -EOPNOTSUPP, 0, SMALL_LEN },
	{ "another range", RANGES("\"do\":{\"content_range_shift\":1}"), MODE_OPEN, 5000, 7000,
		-EOPNOTSUPP, 0, SMALL_LEN + 7000 },
	{ "no word of which range", RANGES("\"do\":{\"content_range\":null}"), MODE_OPEN, 5000,
		7000, -EOPNOTSUPP, 0, SMALL_LEN + 7000 },
	{ "a range past the end", "[]", MODE_OPEN, SMALL_LEN, 10, -ERANGE, 0, 0 },
	{ "a range of nothing there", RANGES("\"do\":{\"status\":404}"), MODE_OPEN, 5000, 7000,
		-ENOENT, 0, 0 },
	{ "a range of what is forbidden", RANGES("\"do\":{\"status\":403}"), MODE_OPEN, 5000, 7000,
		-EACCES, 0, 0 },
};

static void opens_range(void **state)
{
	const struct range_case *c = *state;
	struct fault_server *server = &servers[c->mode];
	struct descriptor blob = { .digest = digest_from(server->small_digest), .size = SMALL_LEN };
	static unsigned char bytes[SMALL_LEN + 1];
	struct blob_stream *stream = NULL;
	struct source *source;
	struct error err = { "" };
	int rc;

	fault_rules(server, c->rules);
	source = open_source((struct opening){ .mode = c->mode, .entry = GOOD });
	rc = source->ops->open_range(source, "app", &blob, c->offset, c->len, &stream, NULL, &err);
	if (rc != c->rc)
		print_error("%s\n", err.text);
	assert_int_equal(rc, c->rc);
	if (rc) {
		assert_true(*err.text);
	} else {
		size_t len = read_stream(stream, bytes, sizeof bytes, &rc);

		assert_int_equal(rc, c->read_rc);
		if (!rc) {
			assert_int_equal(len, c->len);
			assert_memory_equal(bytes, server->small + c->offset, len);
		}
		stream->ops->free(stream);
	}
	/* Tokens and what is said of errors are bodies as well. */
	assert_in_range(fault_stat(server, "bytes"), 0, c->sent + 4000);
	source_free(source);
}

static const struct prove_case {
	const char *name, *rules;
	enum mode mode;
	const char *entry;
	int rc;
} prove_cases[] = {
	{ "allowed", "[]", MODE_OPEN, NULL, 0 },
	{ "HEAD not allowed", HEADS "{\"status\":405}}]", MODE_OPEN, NULL, 0 },
	{ "HEAD redirected", "[]", MODE_TOKEN, GOOD, 0 },
	{ "gone", "[{\"do\":{\"status\":404}}]", MODE_OPEN, NULL, -ENOENT },
	{ "forbidden", "[{\"do\":{\"status\":403}}]", MODE_OPEN, NULL, -EACCES },
	{ "HEAD not allowed, and gone",
		HEADS "{\"status\":405}},{\"match\":{\"method\":\"GET\"},\"do\":{\"status\":404}}]",
		MODE_OPEN, NULL, -ENOENT },
	{ "a wrong password", "[]", MODE_BASIC, BAD, -EACCES },
	{ "HEAD about something else", HEADS "{\"content_length\":\"7\"}}]", MODE_OPEN, NULL, 0 },
	{ "a page that knows no blobs", PORTAL("text/html", "<html>"), MODE_OPEN, NULL, -EPROTO },
	{ "a range of something else",
		HEADS "{\"status\":405}},{\"do\":{\"content_range_total\":7}}]", MODE_OPEN, NULL,
		-EPROTO },
};

static void proves(void **state)
{
	const struct prove_case *c = *state;
	const struct descriptor blob = { .digest = digest_from(servers[c->mode].small_digest),
		.size = SMALL_LEN };
	struct source *source;
	struct error err;

	fault_rules(&servers[c->mode], c->rules);
	source = open_source((struct opening){ .mode = c->mode, .entry = c->entry });
	assert_int_equal(source->ops->prove(source, "app", &blob, NULL, &err), c->rc);
	source_free(source);
}

static const struct probe_case {
	const char *name, *rules, *repository;
	int rc;
} probe_cases[] = {
	{ "probe: a repository", "[]", "app", 0 },
	{ "probe: the root", "[]", NULL, 0 },
	{ "probe: a root that says yes", PORTAL("text/html", "true"), NULL, 0 },
	{ "probe: a root that says nothing", PORTAL("text/html", ""), NULL, 0 },
	{ "probe: a page in place of the root", PORTAL("text/html", "\\n<html>"), NULL, -EIO },
	{ "probe: a page in place of a list", PORTAL("text/html", "<html>"), "app", -EIO },
	{ "probe: somebody else's JSON", PORTAL("application/json", "{}"), "app", -EIO },
	{ "probe: a list of none", PORTAL("application/json", "{\\\"tags\\\":null}"), "app", 0 },
};

static void probes(void **state)
{
	const struct probe_case *c = *state;
	struct source *source = open_plain(c->rules);
	struct error err = { "" };

	assert_int_equal(source->ops->probe(source, c->repository, NULL, &err), c->rc);
	if (c->rc)
		assert_non_null(strstr(err.text, "instead of"));
	source_free(source);
}

/* ---- logging in --------------------------------------------------------------------------- */

static const struct login_case {
	const char *name;
	enum mode mode;
	const char *entry, *repository;
	int rc;
	long challenges, token_requests;
} login_cases[] = {
	{ "no login", MODE_OPEN, NULL, "app", 0, 0, 0 },
	{ "no login, the registry", MODE_OPEN, NULL, NULL, 0, 0, 0 },
	{ "no login, unknown repository", MODE_OPEN, NULL, "nobody", -ENOENT, 0, 0 },
	{ "a token", MODE_TOKEN, GOOD, "app", 0, 1, 1 },
	{ "a token, the registry", MODE_TOKEN, GOOD, NULL, 0, 1, 1 },
	{ "a token by an identity token", MODE_TOKEN, "{\"identitytoken\":\"u:p\"}", "app", 0, 1,
		1 },
	{ "a token that allows nothing", MODE_TOKEN, NULL, "app", -EACCES, 2, 1 },
	{ "a token, wrong password", MODE_TOKEN, BAD, "app", -EACCES, 1, 1 },
	{ "Basic", MODE_BASIC, GOOD, "app", 0, 1, 0 },
	{ "Basic, wrong password", MODE_BASIC, BAD, "app", -EACCES, 2, 0 },
	{ "Basic, no password", MODE_BASIC, NULL, "app", -EACCES, 1, 0 },
	{ "Basic, no password, the registry", MODE_BASIC, NULL, NULL, -EACCES, 1, 0 },
};

static void logs_in(void **state)
{
	const struct login_case *c = *state;
	struct fault_server *server = &servers[c->mode];
	struct source *source;
	struct error err = { "" };
	int rc;

	fault_rules(server, "[]");
	source = open_source((struct opening){ .mode = c->mode, .entry = c->entry });
	rc = source->ops->probe(source, c->repository, NULL, &err);
	if (rc != c->rc)
		print_error("%s\n", err.text);
	assert_int_equal(rc, c->rc);
	assert_int_equal(fault_stat(server, "challenges"), c->challenges);
	assert_int_equal(fault_stat(server, "token_requests"), c->token_requests);
	if (rc == -EACCES)
		assert_non_null(strstr(err.text, "auth.json"));
	assert_null(strstr(err.text, "dTp"));
	assert_null(strstr(observer.lines, "dTp"));
	source_free(source);
}

/* A token is kept for the repository, revoked tokens are replaced without anybody noticing. */
static void survives_revocation(void **state)
{
	struct fault_server *server = &servers[MODE_TOKEN];
	struct source *source;
	struct descriptor found = { .media_type = NULL };

	(void)state;
	fault_rules(server, "[]");
	source = open_source((struct opening){ .mode = MODE_TOKEN, .entry = GOOD });
	for (int round = 0; round < 3; round++) {
		assert_int_equal(source->ops->resolve(source, "app", "v1", &found, NULL, NULL), 0);
		descriptor_release(&found);
		found = (struct descriptor){ .media_type = NULL };
	}
	assert_int_equal(fault_stat(server, "token_requests"), 1);
	free(fault_control(server, "POST", "/__revoke", ""));
	assert_int_equal(source->ops->resolve(source, "app", "v1", &found, NULL, NULL), 0);
	descriptor_release(&found);
	assert_int_equal(fault_stat(server, "token_requests"), 2);
	source_free(source);
}

/* Where a redirect led, somebody says 401 and names a realm: nobody asks there. */
static void ignores_foreign_challenge(void **state)
{
	struct fault_server *server = &servers[MODE_TOKEN];
	struct descriptor blob = { .digest = digest_from(server->small_digest), .size = SMALL_LEN };
	struct blob_stream *stream = NULL;
	struct source *source;
	char rules[512];
	uint64_t offset;

	(void)state;
	(void)snprintf(rules, sizeof rules,
		"[{\"match\":{\"port\":\"cdn\"},\"do\":{\"status\":401,\"www_authenticate\":"
		"\"Bearer realm=\\\"http://127.0.0.1:%d/evil\\\"\"}}]",
		server->cdn_port);
	fault_rules(server, rules);
	source = open_source((struct opening){ .mode = MODE_TOKEN, .entry = GOOD });
	assert_int_equal(
		source->ops->open_blob(source, "app", &blob, 0, &stream, &offset, NULL, NULL),
		-EACCES);
	assert_int_equal(fault_stat(server, "token_requests"), 1);
	assert_int_equal(fault_stat(server, "cdn_with_authorization"), 0);
	source_free(source);
}

/* The digest of a signed manifest is that of its payload, whoever has to find it out. */
static void resolves_signed(void **state)
{
	static const char *const args[] = { "--schema1", NULL };
	struct descriptor by_head = { 0 }, by_get = { 0 };
	struct fault_server *server = &servers[MODE_OPEN], open = *server;
	struct source *source;

	(void)state;
	if (!has_tls) /* no openssl: nothing is signed */
		skip();
	fault_server_start(server, args);
	source = open_plain("[]");
	assert_int_equal(source->ops->resolve(source, "app", "v1.v1", &by_head, NULL, NULL), 0);
	fault_rules(server, "[{\"do\":{\"docker_content_digest\":null}}]");
	assert_int_equal(source->ops->resolve(source, "app", "v1.v1", &by_get, NULL, NULL), 0);
	assert_true(digest_equal(&by_head.digest, &by_get.digest));
	descriptor_release(&by_head);
	descriptor_release(&by_get);
	source_free(source);
	fault_server_stop(server);
	*server = open;
}

static void names_identity(void **state)
{
	struct source *source;
	char host[32];

	(void)state;
	(void)snprintf(host, sizeof host, "127.0.0.1:%d anonymous", servers[MODE_OPEN].port);
	source = open_plain("[]");
	assert_string_equal(source->ops->identity(source), host);
	source_free(source);
	source = open_source((struct opening){ .mode = MODE_OPEN, .entry = GOOD });
	assert_string_not_equal(source->ops->identity(source), host);
	source_free(source);
}

/* ---- schemes ------------------------------------------------------------------------------ */

static const struct tls_case {
	const char *name;
	bool with_ca, skip_verify;
	int rc;
} tls_cases[] = {
	{ "a certificate nobody knows", false, false, -EPROTO },
	{ "a certificate from certs.d", true, false, 0 },
	{ "any certificate", false, true, 0 },
};

/* A server with a certificate that does not verify is never asked by http instead. */
static void speaks_tls(void **state)
{
	const struct tls_case *c = *state;
	struct source *source;
	struct error err;

	if (!has_tls)
		skip(); /* no openssl command */
	source = open_source((struct opening){ .mode = MODE_TLS,
		.cert_dir = c->with_ca ? tls_dir : NULL,
		.skip_verify = c->skip_verify });
	assert_int_equal(source->ops->probe(source, "app", NULL, &err), c->rc);
	assert_null(strstr(observer.lines, "speaks http"));
	source_free(source);
}

static void nobody_is_there(void **state)
{
	struct source *source = NULL;
	struct error err = { "" };
	const struct registry_config config = { .host = "127.0.0.1:1",
		.no_credentials = true,
		.http = { .verify_tls = true,
			.connect_timeout_ms = 1000,
			.stall_timeout_ms = 1000,
			.max_connections = 1 } };

	(void)state;
	test_observer_init(&observer);
	assert_int_equal(registry_open(&source, &config, &observer.base, &err), 0);
	assert_int_equal(source->ops->probe(source, NULL, NULL, &err), -EHOSTUNREACH);
	assert_non_null(strstr(err.text, "127.0.0.1:1"));
	source_free(source);
}

static void refuses_host(void **state)
{
	static const char *const hosts[] = { "", "..", "a/b", "u:p@h", "h?x", "h#x", "h\n" };
	struct source *source = NULL;
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		const struct registry_config config = { .host = hosts[i] };

		assert_int_equal(registry_open(&source, &config, &observer.base, &err), -EINVAL);
	}
}

static void is_interrupted(void **state)
{
	struct source *source = open_plain("[{\"do\":{\"hang\":true}}]");
	struct name_list list = { NULL, 0 };
	struct cancel cancel;
	struct error err;

	(void)state;
	cancel_init(&cancel);
	cancel_set(&cancel);
	assert_int_equal(source->ops->tags(source, "app", &list, &cancel, &err), -EINTR);
	cancel_release(&cancel);
	source_free(source);
}

/* ---- links: RFC 8288 and what registries send -------------------------------------------- */

static const struct link_case {
	const char *value, *next; /* NULL: none */
} link_cases[] = {
	{ "</v2/_catalog?last=basic&n=2>; rel=\"next\"", "/v2/_catalog?last=basic&n=2" },
	{ "<https://h/x>;rel=next", "https://h/x" },
	{ "<a>; rel=\"prev\", <b>; title=\"x, <c>; rel=next\"; rel=\"next\"", "b" },
	{ "<a>; rel=\"first next\"", "a" },
	{ "<a>; rel=prev; rel=next", NULL },
	{ "<a>; REL=NEXT", "a" },
	{ "<a> ; rel = next", "a" },
	{ "<a>; title=\"\\\"; rel=next\"", NULL },
	{ "<a>; rel=nextish", NULL },
	{ "<a>", NULL },
	{ "<a; rel=next", NULL },
	{ "a; rel=next", NULL },
	{ "<a>; rel=\"next", NULL },
	{ "", NULL },
};

static void reads_link(void **state)
{
	const struct link_case *c = *state;
	CLEANUP(freep) char *next = NULL;

	assert_int_equal(link_next(&next, c->value), 0);
	if (c->next)
		assert_string_equal(next ? next : "(none)", c->next);
	else
		assert_null(next);
}

/* ---- certs.d ------------------------------------------------------------------------------ */

/* containers-certs.d(5): *.crt are authorities, and a pair has one name. */
static const struct certs_case {
	const char *name;
	const char *files; /* each holds its own name */
	int rc;
	const char *ca, *pair; /* the authorities; the name of the pair, or NULL */
	const char *error;     /* in the message */
} certs_cases[] = {
	{ "nothing", "readme", 0, NULL, NULL, NULL },
	{ "the manual's example", "ca.crt client.cert client.key", 0, "ca.crt\n", "client", NULL },
	{ "all authorities", "b.crt a.crt c.pem", 0, "a.crt\nb.crt\n", NULL, NULL },
	{ "the first pair", "y.cert y.key x.key x.cert", 0, NULL, "x", NULL },
	{ "no key", "a.crt x.cert", -EINVAL, NULL, NULL, "x.key" },
	{ "another's key", "x.cert y.key", -EINVAL, NULL, NULL, "x.key" },
	{ "no certificate", "x.key", -EINVAL, NULL, NULL, "x.cert" },
};

static void check_path(const char *path, const char *dir, const char *name, const char *suffix)
{
	char expected[256];

	if (!name) {
		assert_null(path);
		return;
	}
	(void)snprintf(expected, sizeof expected, "%s/%s%s", dir, name, suffix);
	assert_string_equal(path, expected);
}

static void finds_certs(void **state)
{
	const struct certs_case *c = *state;
	CLEANUP(certs_release) struct certs certs = { .ca = NULL };
	CLEANUP(freep) char *names = strdup(c->files);
	char dir[] = "/tmp/imgfs-unit-XXXXXX", command[64], *rest = NULL;
	struct error err = { "" };

	assert_non_null(names);
	assert_non_null(mkdtemp(dir));
	for (char *name = strtok_r(names, " ", &rest); name; name = strtok_r(NULL, " ", &rest))
		write_file(dir, name, name, strlen(name));
	assert_int_equal(certs_find(&certs, dir, "h", &err), c->rc);
	(void)snprintf(command, sizeof command, "rm -r %s", dir);
	assert_int_equal(system(command), 0);
	if (c->rc) {
		assert_non_null(strstr(err.text, c->error));
		return;
	}
	if (c->ca)
		assert_string_equal(certs.ca, c->ca);
	else
		assert_null(certs.ca);
	check_path(certs.cert, dir, c->pair, ".cert");
	check_path(certs.key, dir, c->pair, ".key");
}

static void misses_cert_dir(void **state)
{
	struct certs certs;
	struct error err;

	(void)state;
	assert_int_equal(certs_find(&certs, "/nonexistent", "h", &err), -ENOENT);
}

/* ---- set-up ------------------------------------------------------------------------------- */

static int start_servers(void **state)
{
	static const char *const open_args[] = { "--page-size", "2", "--extra-tags", "5",
		"--extra-repos", "4", "--strict-accept", NULL };
	static const char *const token_args[] = { "--auth", "token", "--user", "u:p",
		"--blob-redirect", NULL };
	static const char *const basic_args[] = { "--auth", "basic", "--user", "u:p", NULL };
	char pem[128], key[128];
	const char *const tls_args[] = { "--tls-cert", pem, "--tls-key", key, NULL };

	(void)state;
	fault_server_start(&servers[MODE_OPEN], open_args);
	fault_server_start(&servers[MODE_TOKEN], token_args);
	fault_server_start(&servers[MODE_BASIC], basic_args);
	has_tls = make_certificate(tls_dir, pem, key);
	if (has_tls)
		fault_server_start(&servers[MODE_TLS], tls_args);
	return 0;
}

static int stop_servers(void **state)
{
	char command[128];

	(void)state;
	for (size_t i = 0; i < MODE_COUNT; i++)
		if (i != MODE_TLS || has_tls)
			fault_server_stop(&servers[i]);
	(void)snprintf(command, sizeof command, "rm -rf %s", tls_dir);
	return system(command);
}

int main(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(link_cases); i++)
		add(link_cases[i].value, reads_link, &link_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(list_cases); i++)
		add(list_cases[i].name, lists, &list_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(referrers_cases); i++)
		add(referrers_cases[i].name, lists_referrers, &referrers_cases[i]);
	add("referrers: the API", asks_for_referrers, NULL);
	add("referrers: the fallback tag's name", names_fallback_tag, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(resolve_cases); i++)
		add(resolve_cases[i].name, resolves, &resolve_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(read_cases); i++)
		add(read_cases[i].name, resolves_to_read, &read_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(blob_cases); i++)
		add(blob_cases[i].name, opens_blob, &blob_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(range_cases); i++)
		add(range_cases[i].name, opens_range, &range_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(prove_cases); i++)
		add(prove_cases[i].name, proves, &prove_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(probe_cases); i++)
		add(probe_cases[i].name, probes, &probe_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(login_cases); i++)
		add(login_cases[i].name, logs_in, &login_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(tls_cases); i++)
		add(tls_cases[i].name, speaks_tls, &tls_cases[i]);
	add("a manifest", gets_manifest, NULL);
	add("manifests over the ceiling, and blobs", bounds_manifest, NULL);
	add("revoked tokens", survives_revocation, NULL);
	add("a challenge from elsewhere", ignores_foreign_challenge, NULL);
	add("identities", names_identity, NULL);
	add("a signed manifest", resolves_signed, NULL);
	add("nobody is there", nobody_is_there, NULL);
	add("hosts that are none", refuses_host, NULL);
	add("interrupted", is_interrupted, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(certs_cases); i++)
		add(certs_cases[i].name, finds_certs, &certs_cases[i]);
	add("no cert_dir", misses_cert_dir, NULL);
	return _cmocka_run_group_tests("registry", tests, test_count, start_servers, stop_servers);
}
