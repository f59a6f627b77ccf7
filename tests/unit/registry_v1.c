/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The V1 protocol against a registry that is one by itself, one behind an index, and a tree of
 * plain files.  What goes where is told by the server's counters.
 */
#include "fetch/registry_v1/registry_v1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fetch/cancel.h"
#include "model/cleanup.h"
#include "model/image.h"
#include "tests/unit/cases.h"
#include "tests/unit/faultserver.h"

enum mode { MODE_OPEN, MODE_BASIC, MODE_INDEX, MODE_TREE, MODE_COUNT };

/* Of fixtures/manifests/v1-registry. */
#define FIXTURE_ID "77dbf71da1d00e3fbddc480176eac8994025630c6590d11cfc8fe1209c2a1d20"
#define TREE_ID    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static struct fault_server servers[MODE_COUNT];
static struct test_observer observer;
/* The ids the server makes up for the two layers of "app:v1": what is hashed is in its v1_chain().
 */
static char base_id[80], top_id[80];

static struct source *open_mode(enum mode mode, const char *entry)
{
	struct fault_server *server = &servers[mode];
	char host[32], path[128], text[256];
	struct source *source = NULL;
	struct error err;

	test_observer_init(&observer);
	(void)snprintf(host, sizeof host, "127.0.0.1:%d", server->port);
	(void)snprintf(path, sizeof path, "%s/auth.json", server->dir);
	(void)snprintf(text, sizeof text, "{\"auths\":{\"%s\":%s}}", host, entry ? entry : "{}");
	write_file(server->dir, "auth.json", text, strlen(text));
	const struct registry_config config = { .host = host,
		.authfile = path,
		.http = { .verify_tls = true,
			.connect_timeout_ms = 5000,
			.stall_timeout_ms = 5000,
			.retries = 2,
			.max_connections = 4 } };
	if (registry_v1_open(&source, &config, &observer.base, &err))
		fail_msg("%s", err.text);
	return source;
}

/* In rules, @b and @t are the ids, @d is the server's directory, @c the second port. */
static void set_rules(enum mode mode, const char *rules)
{
	struct buf text;

	buf_init(&text, 1 << 20);
	for (; *rules; rules++) {
		const char *word = NULL;

		if (*rules == '@' && (rules[1] == 'b' || rules[1] == 't'))
			word = rules[1] == 'b' ? base_id : top_id;
		else if (*rules == '@' && rules[1] == 'd')
			word = servers[mode].dir;
		if (word)
			(void)buf_append_text(&text, word);
		else if (*rules == '@' && rules[1] == 'c')
			(void)buf_printf(&text, "%d", servers[mode].cdn_port);
		else
			(void)buf_append(&text, rules, 1);
		rules += *rules == '@';
	}
	assert_int_equal(buf_status(&text), 0);
	fault_rules(&servers[mode], text.data ? text.data : "[]");
	buf_release(&text);
}

#define GOOD "{\"auth\":\"dTpw\"}" /* u:p */
#define BAD  "{\"auth\":\"dTpx\"}" /* u:q */

#define ANSWER(path, body)                                                                         \
	"{\"match\":{\"path\":\"" path "\"},\"do\":{\"status\":200,\"body\":\"" body "\"}}"
#define FAIL(path, status) "{\"match\":{\"path\":\"" path "\"},\"do\":{\"status\":" status "}}"

/* ---- tags --------------------------------------------------------------------------------- */

static const struct tags_case {
	const char *name, *rules, *repository;
	int rc;
	const char *tags, *logged;
} tags_cases[] = {
	{ "an object", "[]", "app", 0, "v1", NULL },
	{ "an array",
		"[" ANSWER("/tags$", "[{\\\"layer\\\":\\\"@b\\\",\\\"name\\\":\\\"b\\\"},"
				     "{\\\"layer\\\":\\\"@t\\\",\\\"name\\\":\\\"a\\\"}]") "]",
		"app", 0, "a b", NULL },
	{ "none", "[" ANSWER("/tags$", "{}") "]", "app", 0, "", NULL },
	{ "what is no tag or no id",
		"[" ANSWER("/tags$", "{\\\"../x\\\":\\\"@b\\\",\\\"short\\\":\\\"12\\\","
				     "\\\"number\\\":1,\\\"good\\\":\\\"@b\\\"}") "]",
		"app", 0, "good", "3 impossible" },
	{ "an array of anything", "[" ANSWER("/tags$", "[1,[],{},null]") "]", "app", 0, "",
		"4 impossible" },
	{ "an unknown repository", "[]", "no/body", -ENOENT, NULL, NULL },
	{ "an unknown single name", "[]", "nobody", -ENOENT, NULL, NULL },
	{ "a single name of the library",
		"[" ANSWER("^/v1/repositories/library/solo/tags$", "{\\\"x\\\":\\\"@b\\\"}") "]",
		"solo", 0, "x", NULL },
	{ "a name that no repository has", "[]", "../images", -ENOENT, NULL, NULL },
	{ "not JSON", "[" ANSWER("/tags$", "<html>") "]", "app", -EIO, NULL, NULL },
	{ "forbidden", "[" FAIL("/tags$", "403") "]", "app", -EACCES, NULL, NULL },
	{ "rate limited", "[{\"do\":{\"status\":429,\"retry_after\":0}}]", "app", -EDQUOT, NULL,
		NULL },
	{ "no _ping", "[" FAIL("_ping", "404") "]", "app", 0, "v1", NULL },
	{ "no _ping, no images", "[" FAIL("_ping", "404") "," FAIL("/images$", "404") "]", "app", 0,
		"v1", NULL },
	{ "a cookie is kept",
		"[{\"match\":{\"path\":\"_ping\"},\"do\":{\"headers\":{\"Set-Cookie\":"
		"\"session=1\"}}},{\"match\":{\"path\":\"tags\",\"header\":{\"Cookie\":\"^$\"}},"
		"\"do\":{\"status\":403}}]",
		"app", 0, "v1", NULL },
};

static void lists_tags(void **state)
{
	const struct tags_case *c = *state;
	struct source *source;
	struct name_list list = { NULL, 0 };
	char joined[256] = "";
	struct error err = { "" };
	int rc;

	set_rules(MODE_OPEN, c->rules);
	source = open_mode(MODE_OPEN, NULL);
	rc = source->ops->tags(source, c->repository, &list, NULL, &err);
	if (rc != c->rc)
		fail_msg("%d: %s", rc, err.text);
	for (size_t i = 0; i < list.count; i++) {
		(void)strcat(joined, i ? " " : "");
		(void)strcat(joined, list.names[i]);
	}
	if (c->tags)
		assert_string_equal(joined, c->tags);
	if (c->logged)
		assert_non_null(strstr(observer.lines, c->logged));
	name_list_release(&list);
	source_free(source);
}

/* ---- images ------------------------------------------------------------------------------- */

#define ANCESTRY(body) "[" ANSWER("@t/ancestry", body) "]"
#define JSON(body)     "[" ANSWER("@t/json", body) "]"
#define Q(text)        "\\\"" text "\\\""

static const struct image_case {
	const char *name, *rules, *tag;
	int rc;
	const char *error;
} image_cases[] = {
	{ "an image", "[]", "v1", 0, NULL },
	{ "its json at the third attempt",
		"[{\"match\":{\"path\":\"@t/json\"},\"times\":2,\"do\":{\"status\":503,"
		"\"retry_after\":0}}]",
		"v1", 0, NULL },
	{ "its json cut, at first",
		"[{\"match\":{\"path\":\"@t/json\"},\"times\":1,\"do\":{\"disconnect_after\":20}}]",
		"v1", 0, NULL },
	{ "blanks and new lines in its json",
		JSON("\\t{ " Q("id") ":" Q("@t") ",\\n\\t" Q("parent") ":\\r\\n" Q("@b") "}\\n"),
		"v1", 0, NULL },
	{ "a tag from the list", "[" FAIL("/tags/", "405") "]", "v1", 0, NULL },
	{ "an unknown tag", "[]", "v2", -ENOENT, "v2" },
	{ "a name that no tag has", "[]", "..", -ENOENT, NULL },
	{ "a tag that is forbidden", "[" FAIL("/tags/", "403") "]", "v1", -EACCES, NULL },
	{ "a tag that fails", "[" FAIL("/tags/", "500") "]", "v1", -EIO, NULL },
	{ "a tag of nonsense", "[" ANSWER("/tags/", "<html>") "]", "v1", -EIO, "no image id" },
	{ "a tag of a hostile id", "[" ANSWER("/tags/", Q("../../@t/x")) "]", "v1", -EIO,
		"no image id" },
	{ "an ancestry of another image", ANCESTRY("[" Q("@b") "]"), "v1", -EIO, "begin" },
	{ "an empty ancestry", ANCESTRY("[]"), "v1", -EIO, "begin" },
	{ "an ancestry that is no list", ANCESTRY("{}"), "v1", -EIO, "no list" },
	{ "an ancestry in a circle", ANCESTRY("[" Q("@t") "," Q("@b") "," Q("@t") "]"), "v1", -EIO,
		"its own ancestor" },
	{ "an ancestry of hostile ids", ANCESTRY("[" Q("@t") "," Q("../../x") "]"), "v1", -EIO,
		"entry 1" },
	{ "an ancestry of numbers", ANCESTRY("[1]"), "v1", -EIO, "entry 0" },
	{ "an ancestry that is not there", "[" FAIL("ancestry", "404") "]", "v1", -EIO, NULL },
	{ "too many layers",
		"[{\"match\":{\"path\":\"ancestry\"},\"do\":{\"serve_file\":\"@d/many\"}}]", "v1",
		-EFBIG, NULL },
	{ "an ancestry that leaves the parent out", ANCESTRY("[" Q("@t") "]"), "v1", -EIO,
		"contradicts" },
	{ "json that names no parent", JSON("{" Q("id") ":" Q("@t") "}"), "v1", -EIO,
		"contradicts" },
	{ "json of another image", JSON("{" Q("id") ":" Q("@b") "}"), "v1", -EIO, "another image" },
	{ "json without an id", JSON("{}"), "v1", -EIO, "another image" },
	{ "json that is none", JSON("{" Q("id") ":"), "v1", -EIO, NULL },
	{ "json that is a list", JSON("[]"), "v1", -EIO, "no object" },
	{ "json that is not there", "[" FAIL("@t/json", "404") "]", "v1", -EIO, NULL },
	{ "json that is too large",
		"[{\"match\":{\"path\":\"@b/json\"},\"do\":{\"serve_file\":\"@d/large\"}}]", "v1",
		-EFBIG, NULL },
};

static void check_image(struct source *source, const char *repository,
	const struct descriptor *found, const char *const *ids, size_t count)
{
	struct image image = { .layers = NULL };
	CLEANUP(freep) char *type = NULL;
	struct digest digest;
	struct error err;
	struct buf body;

	buf_init(&body, DOCUMENT_MAX);
	assert_int_equal(
		source->ops->manifest(source, repository, &found->digest, &body, &type, NULL, &err),
		0);
	assert_string_equal(type, found->media_type);
	assert_int_equal(body.len, found->size);
	assert_int_equal(digest_of(&digest, DIGEST_SHA256, body.data, body.len, NULL), 0);
	assert_true(digest_equal(&digest, &found->digest));
	if (image_parse(&image, DOCUMENT_V1, body.data, body.len, &err))
		fail_msg("%s", err.text);
	assert_int_equal(image.layer_count, count);
	for (size_t i = 0; i < count; i++)
		assert_string_equal(image.layers[i].layer_id, ids[i]);
	image_release(&image);
	buf_release(&body);
}

static void resolves(void **state)
{
	const struct image_case *c = *state;
	const char *const ids[] = { base_id, top_id };
	struct descriptor found = { .media_type = NULL };
	struct source *source;
	struct error err = { "" };
	int rc;

	set_rules(MODE_OPEN, c->rules);
	source = open_mode(MODE_OPEN, NULL);
	rc = source->ops->resolve(source, "app", c->tag, &found, NULL, &err);
	if (rc != c->rc)
		fail_msg("%d: %s", rc, err.text);
	if (c->error && !strstr(err.text, c->error))
		fail_msg("'%s' lacks '%s'", err.text, c->error);
	if (!rc)
		check_image(source, "app", &found, ids, ARRAY_SIZE(ids));
	descriptor_release(&found);
	source_free(source);
}

/* Nothing is asked for twice but the tag; and not everybody may have what was made up. */
static void remembers(void **state)
{
	struct descriptor first = { .media_type = NULL }, second = { .media_type = NULL };
	struct source *source;
	struct buf body;
	uint64_t requests;

	(void)state;
	set_rules(MODE_OPEN, "[]");
	source = open_mode(MODE_OPEN, NULL);
	buf_init(&body, DOCUMENT_MAX);
	assert_int_equal(source->ops->resolve(source, "app", "v1", &first, NULL, NULL), 0);
	requests = observer.base.counters.http_requests;
	assert_int_equal(source->ops->resolve(source, "app", "v1", &second, NULL, NULL), 0);
	assert_int_equal(observer.base.counters.http_requests, requests + 1);
	assert_true(digest_equal(&first.digest, &second.digest));
	assert_int_equal(
		source->ops->manifest(source, "other", &first.digest, &body, NULL, NULL, NULL),
		-ENOENT);
	first.digest.bytes[0] ^= 1;
	assert_int_equal(
		source->ops->manifest(source, "app", &first.digest, &body, NULL, NULL, NULL),
		-ENOENT);
	descriptor_release(&first);
	descriptor_release(&second);
	buf_release(&body);
	source_free(source);
}

static void has_no_catalogue(void **state)
{
	struct source *source = open_mode(MODE_OPEN, NULL);
	struct name_list list = { NULL, 0 };

	(void)state;
	assert_int_equal(source->ops->repositories(source, &list, NULL, NULL), -EOPNOTSUPP);
	source_free(source);
}

/* ---- layers ------------------------------------------------------------------------------- */

#define LAYERS "[{\"match\":{\"path\":\"/layer$\",\"port\":\"main\"},"

static const struct layer_case {
	const char *name, *rules;
	enum mode mode;
	uint64_t offset, starts_at;
	int rc;
	long tokens; /* given by the index */
} layer_cases[] = {
	{ .name = "whole", .rules = "[]" },
	{ .name = "from an offset", .rules = "[]", .offset = 5000, .starts_at = 5000 },
	{ .name = "past the end", .rules = "[]", .offset = SMALL_LEN, .rc = -ERANGE },
	{ .name = "ranges not known",
		.rules = LAYERS "\"do\":{\"no_ranges\":true}}]",
		.offset = 5 },
	{ .name = "cut", .rules = LAYERS "\"times\":1,\"do\":{\"disconnect_after\":50000}}]" },
	{ .name = "cut, ranges not known",
		.rules = LAYERS "\"times\":1,\"do\":{\"disconnect_after\":50000,"
				"\"no_ranges\":true}},{\"do\":{\"no_ranges\":true}}]" },
	{ .name = "not there", .rules = LAYERS "\"do\":{\"status\":404}}]", .rc = -ENOENT },
	{ .name = "by a redirect", .rules = LAYERS "\"do\":{\"redirect\":\"cdn\"}}]" },
	{ .name = "with a password", .rules = "[]", .mode = MODE_BASIC },
	{ .name = "with a password, by a redirect",
		.rules = LAYERS "\"do\":{\"redirect\":\"cdn\"}}]",
		.mode = MODE_BASIC },
	{ .name = "with a password, by a redirect to the same host",
		.rules = LAYERS "\"times\":1,\"do\":{\"redirect\":\"self\"}}]",
		.mode = MODE_BASIC,
		.rc = -EACCES },
	{ .name = "by an index", .rules = "[]", .mode = MODE_INDEX, .tokens = 1 },
	{ .name = "by an index that names a dead host first",
		.rules = "[{\"match\":{\"path\":\"/images$\"},\"do\":{\"headers\":"
			 "{\"X-Docker-Endpoints\":\"127.0.0.1:1, 127.0.0.1:@c\"}}}]",
		.mode = MODE_INDEX,
		.tokens = 1 },
	{ .name = "by an index that names hosts that are none",
		.rules = "[{\"match\":{\"path\":\"/images$\"},\"do\":{\"headers\":"
			 "{\"X-Docker-Endpoints\":\"u:p@h/x, ..\"}}}]",
		.mode = MODE_INDEX,
		.rc = -EPROTO,
		.tokens = 1 },
	{ .name = "the token is refused once",
		.rules = "[{\"match\":{\"path\":\"/layer$\"},\"times\":1,"
			 "\"do\":{\"expire_token\":true}}]",
		.mode = MODE_INDEX,
		.tokens = 2 },
	{ .name = "the token is refused for ever",
		.rules = "[{\"match\":{\"path\":\"/layer$\"},\"do\":{\"expire_token\":true}}]",
		.mode = MODE_INDEX,
		.rc = -EACCES,
		.tokens = 2 },
	{ .name = "the token runs out on the way",
		.rules = "[{\"match\":{\"path\":\"/layer$\"},\"times\":1,"
			 "\"do\":{\"disconnect_after\":50000}},"
			 "{\"match\":{\"path\":\"/layer$\"},\"skip\":1,\"times\":1,"
			 "\"do\":{\"expire_token\":true}}]",
		.mode = MODE_INDEX,
		.tokens = 2 },
};

static size_t read_stream(
	struct blob_stream *stream, unsigned char *bytes, size_t room, struct error *err)
{
	size_t len = 0;
	ssize_t n;

	while ((n = stream->ops->read(stream, bytes + len, room - len, err)) > 0)
		len += (size_t)n;
	if (n < 0)
		fail_msg("%s", err->text);
	return len;
}

static void opens_layer(void **state)
{
	const struct layer_case *c = *state;
	struct fault_server *server = &servers[c->mode];
	struct descriptor blob = { .layer_id = base_id };
	static unsigned char bytes[SMALL_LEN + 1];
	struct blob_stream *stream = NULL;
	uint64_t offset = 99;
	struct source *source;
	struct error err = { "" };
	int rc;

	set_rules(c->mode, c->rules);
	source = open_mode(c->mode, GOOD);
	rc = source->ops->open_blob(source, "app", &blob, c->offset, &stream, &offset, NULL, &err);
	if (rc != c->rc)
		fail_msg("%d: %s\n%s", rc, err.text, observer.lines);
	if (!rc) {
		size_t len = read_stream(stream, bytes, sizeof bytes, &err);

		assert_true(offset == c->starts_at);
		assert_int_equal(len, SMALL_LEN - offset);
		assert_memory_equal(bytes, server->small + offset, len);
		stream->ops->free(stream);
	}
	assert_int_equal(fault_stat(server, "v1_tokens"), c->tokens);
	assert_int_equal(fault_stat(server, "cdn_basic"), 0);
	if (c->mode != MODE_INDEX)
		assert_int_equal(fault_stat(server, "cdn_with_authorization"), 0);
	assert_int_equal(fault_stat(server, "cdn_with_cookie"), 0);
	assert_null(strstr(observer.lines, "signature"));
	assert_null(strstr(err.text, "signature"));
	source_free(source);
}

static void refuses_layer_ids(void **state)
{
	static const char *const ids[] = { "", "..", "../../_ping", FIXTURE_ID "0",
		FIXTURE_ID "/..",
		"77DBF71DA1D00E3FBDDC480176EAC8994025630C6590D11CFC8FE1209C2A1D20" };
	struct source *source;
	struct blob_stream *stream = NULL;

	(void)state;
	set_rules(MODE_OPEN, "[]");
	source = open_mode(MODE_OPEN, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		assert_int_equal(
			source->ops->open_layer(source, "app", ids[i], &stream, NULL, NULL),
			-ENOENT);
	assert_int_equal(observer.base.counters.http_requests, 0);
	source_free(source);
}

/* ---- who may ------------------------------------------------------------------------------ */

static const struct login_case {
	const char *name;
	enum mode mode;
	const char *rules, *entry, *repository;
	int rc;
} login_cases[] = {
	{ "no login", MODE_OPEN, "[]", NULL, "app", 0 },
	{ "no login, the registry", MODE_OPEN, "[]", NULL, NULL, 0 },
	{ "no login, unknown repository", MODE_OPEN, "[]", NULL, "no/body", -ENOENT },
	{ "no _ping", MODE_OPEN, "[" FAIL("_ping", "404") "]", NULL, NULL, 0 },
	{ "_ping fails", MODE_OPEN, "[" FAIL("_ping", "500") "]", NULL, NULL, -EIO },
	{ "a password", MODE_BASIC, "[]", GOOD, "app", 0 },
	{ "a wrong password", MODE_BASIC, "[]", BAD, "app", -EACCES },
	{ "no password", MODE_BASIC, "[]", NULL, "app", -EACCES },
	{ "an index", MODE_INDEX, "[]", GOOD, "app", 0 },
	{ "an index, a wrong password", MODE_INDEX, "[]", BAD, "app", -EACCES },
	{ "an index, unknown repository", MODE_INDEX, "[]", GOOD, "no/body", -ENOENT },
	{ "an index, unknown single name", MODE_INDEX, "[]", GOOD, "nobody", -ENOENT },
};

static void logs_in(void **state)
{
	const struct login_case *c = *state;
	struct source *source;
	struct error err = { "" };
	int rc;

	set_rules(c->mode, c->rules);
	source = open_mode(c->mode, c->entry);
	rc = source->ops->probe(source, c->repository, NULL, &err);
	if (rc != c->rc)
		fail_msg("%d: %s", rc, err.text);
	assert_int_equal(fault_stat(&servers[c->mode], "cdn_basic"), 0);
	assert_null(strstr(err.text, "dTp"));
	assert_null(strstr(observer.lines, "dTp"));
	source_free(source);
}

/* Within a minute one answer does for all. */
static void proves(void **state)
{
	const struct descriptor layer = { .digest = { .algorithm = DIGEST_SHA256 },
		.layer_id = (char[]){ "an id" } };
	const struct descriptor nameless = { .digest = layer.digest };
	struct source *source;
	uint64_t requests;

	(void)state;
	set_rules(MODE_OPEN, "[]");
	source = open_mode(MODE_OPEN, NULL);
	assert_int_equal(source->ops->prove(source, "app", &layer, NULL, NULL), 0);
	requests = observer.base.counters.http_requests;
	assert_int_equal(source->ops->prove(source, "app", &layer, NULL, NULL), 0);
	assert_int_equal(observer.base.counters.http_requests, requests);
	/* What the cache has of others is not everybody's who may list a repository. */
	assert_int_equal(source->ops->prove(source, "app", &nameless, NULL, NULL), -ENOENT);
	assert_int_equal(source->ops->prove(source, "no/body", &layer, NULL, NULL), -ENOENT);
	source_free(source);
}

static void is_interrupted(void **state)
{
	struct descriptor found = { .media_type = NULL };
	struct source *source;
	struct cancel cancel;

	(void)state;
	set_rules(MODE_OPEN, "[{\"do\":{\"hang\":true}}]");
	source = open_mode(MODE_OPEN, NULL);
	cancel_init(&cancel);
	cancel_set(&cancel);
	assert_int_equal(source->ops->resolve(source, "app", "v1", &found, &cancel, NULL), -EINTR);
	cancel_release(&cancel);
	source_free(source);
}

/* ---- trees of files ----------------------------------------------------------------------- */

static void serves_tree(struct source *source, const char *repository, const char *id,
	const void *layer, size_t layer_len)
{
	struct descriptor found = { .media_type = NULL };
	struct blob_stream *stream = NULL;
	unsigned char bytes[4096];
	struct error err = { "" };

	if (source->ops->resolve(source, repository, "latest", &found, NULL, &err))
		fail_msg("%s", err.text);
	check_image(source, repository, &found, &id, 1);
	assert_int_equal(source->ops->open_layer(source, repository, id, &stream, NULL, &err), 0);
	assert_int_equal(read_stream(stream, bytes, sizeof bytes, &err), layer_len);
	assert_memory_equal(bytes, layer, layer_len);
	stream->ops->free(stream);
	descriptor_release(&found);
}

static void reads_tree(void **state)
{
	struct source *source = open_mode(MODE_TREE, NULL);

	(void)state;
	set_rules(MODE_TREE, "[]");
	assert_int_equal(source->ops->probe(source, NULL, NULL, NULL), 0);
	serves_tree(source, "base", TREE_ID, "layer", 5);
	source_free(source);
}

static void reads_fixture(void **state)
{
	const char *fixtures = getenv("IMGFS_FIXTURES");
	char path[512], command[1024];
	unsigned char bytes[4096];
	struct source *source;
	FILE *file;
	size_t len;

	(void)state;
	if (!fixtures)
		skip();
	(void)snprintf(path, sizeof path, "%s/manifests/v1-registry/v1/images/" FIXTURE_ID "/layer",
		fixtures);
	file = fopen(path, "r");
	assert_non_null(file);
	len = fread(bytes, 1, sizeof bytes, file);
	(void)fclose(file);
	(void)snprintf(command, sizeof command, "ln -sfn %.*s %s/tree/v1/images/" FIXTURE_ID,
		(int)(strlen(path) - strlen("/layer")), path, servers[MODE_TREE].dir);
	assert_int_equal(system(command), 0);
	source = open_mode(MODE_TREE, NULL);
	serves_tree(source, "team/fixture", FIXTURE_ID, bytes, len);
	source_free(source);
}

/* ---- set-up ------------------------------------------------------------------------------- */

static void make_ids(void)
{
	char text[160];

	sha256_text(text, servers[MODE_OPEN].small_digest, strlen(servers[MODE_OPEN].small_digest));
	memcpy(base_id, text + strlen("sha256:"), 65);
	(void)snprintf(text, sizeof text, "%s%s", base_id, servers[MODE_OPEN].big_digest);
	sha256_text(top_id, text, strlen(text));
	memmove(top_id, top_id + strlen("sha256:"), 65);
}

static void make_large_files(const char *dir)
{
	struct buf text;

	buf_init(&text, 8 << 20);
	(void)buf_printf(&text, "[\"%s\"", top_id);
	for (unsigned i = 0; i < IMAGE_LAYERS_MAX; i++)
		(void)buf_printf(&text, ",\"%064x\"", i);
	(void)buf_append_text(&text, "]");
	write_file(dir, "many", text.data, text.len);
	buf_clear(&text);
	(void)buf_printf(&text, "{\"id\":\"%s\",\"x\":\"%*s\"}", base_id, DOCUMENT_MAX, "");
	write_file(dir, "large", text.data, text.len);
	assert_int_equal(buf_status(&text), 0);
	buf_release(&text);
}

static void make_tree(char dir[static 64])
{
	char command[1024];

	(void)snprintf(dir, 64, "/tmp/imgfs-unit-XXXXXX");
	if (!mkdtemp(dir))
		fault_die("mkdtemp");
	(void)snprintf(command, sizeof command,
		"cd %s && mkdir -p v1/repositories/library/base v1/repositories/team/fixture "
		"v1/images/" TREE_ID " && "
		"echo '{\"latest\":\"" TREE_ID "\"}' >v1/repositories/library/base/tags && "
		"echo '{\"latest\":\"" FIXTURE_ID "\"}' >v1/repositories/team/fixture/tags && "
		"cd v1/images/" TREE_ID " && echo '[\"" TREE_ID "\"]' >ancestry && "
		"echo '{\"id\":\"" TREE_ID "\"}' >json && printf layer >layer",
		dir);
	if (system(command))
		fault_die("make a tree");
}

static int start_servers(void **state)
{
	static const char *const open_args[] = { "--v1", NULL };
	static const char *const basic_args[] = { "--v1", "--auth", "basic", "--user", "u:p",
		NULL };
	static const char *const index_args[] = { "--v1", "--v1-index", "--auth", "basic", "--user",
		"u:p", NULL };
	char tree[64], command[256];
	const char *const tree_args[] = { "--v1", "--v1-tree", tree, NULL };

	(void)state;
	make_tree(tree);
	fault_server_start(&servers[MODE_OPEN], open_args);
	fault_server_start(&servers[MODE_BASIC], basic_args);
	fault_server_start(&servers[MODE_INDEX], index_args);
	fault_server_start(&servers[MODE_TREE], tree_args);
	(void)snprintf(command, sizeof command, "ln -s %s %s/tree", tree, servers[MODE_TREE].dir);
	make_ids();
	make_large_files(servers[MODE_OPEN].dir);
	return system(command);
}

static int stop_servers(void **state)
{
	char command[128];

	(void)state;
	(void)snprintf(
		command, sizeof command, "rm -rf $(readlink %s/tree)", servers[MODE_TREE].dir);
	if (system(command))
		fault_die(command);
	for (size_t i = 0; i < MODE_COUNT; i++)
		fault_server_stop(&servers[i]);
	return 0;
}

int main(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(tags_cases); i++)
		add(tags_cases[i].name, lists_tags, &tags_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(image_cases); i++)
		add(image_cases[i].name, resolves, &image_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(layer_cases); i++)
		add(layer_cases[i].name, opens_layer, &layer_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(login_cases); i++)
		add(login_cases[i].name, logs_in, &login_cases[i]);
	add("what was made up is kept", remembers, NULL);
	add("no catalogue", has_no_catalogue, NULL);
	add("ids that are none", refuses_layer_ids, NULL);
	add("proof", proves, NULL);
	add("interrupted", is_interrupted, NULL);
	add("a tree of files", reads_tree, NULL);
	add("a tree of files, the fixture", reads_fixture, NULL);
	return _cmocka_run_group_tests(
		"registry_v1", tests, test_count, start_servers, stop_servers);
}
