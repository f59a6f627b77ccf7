/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two loopback registries with the same image, one as the mirror of the other: who is asked, in
 * which order, and what becomes of it when one of them fails.
 */
#include "fetch/mirrors/mirrors.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fetch/cancel.h"
#include "fetch/routes/internal.h"
#include "model/cleanup.h"
#include "tests/unit/cases.h"
#include "tests/unit/faultserver.h"

enum { BODY_MAX = 1 << 20 };

static struct fault_server mirror, origin, guarded; /* who wants a login */
static struct test_observer observer;

/* What is asked, of "team/app" at the origin's host, which is "app" at both. */
enum asked {
	ASK_TAG,
	ASK_TO_READ,
	ASK_MANIFEST,
	ASK_BLOB,
	ASK_TAIL,
	ASK_RANGE,
	ASK_PROOF,
	ASK_TAGS,
	ASK_PROBE
};

#define OK          "[]"
#define STATUS(n)   "[{\"do\":{\"status\":" #n "}}]"
#define CUT(n)      "[{\"match\":{\"path\":\"blobs\"},\"do\":{\"disconnect_after\":" #n "}}]"
#define HANG        "[{\"do\":{\"hang\":true}}]"
#define CORRUPT     "[{\"match\":{\"method\":\"GET\"},\"do\":{\"corrupt\":{\"at\":9,\"len\":1}}}]"
#define NO_RANGES   "[{\"do\":{\"no_ranges\":true}}]"
#define PAGE        "[{\"do\":{\"status\":200,\"content_type\":\"text/html\",\"body\":\"<html>\"}}]"
#define NOT_RUNNING NULL

static const struct ask_case {
	const char *name, *mirror_rules, *use; /* NULL: nobody listens there */
	const char *origin_rules;
	enum asked asked;
	int rc;
	long mirror_requests, origin_requests; /* -1: not counted */
	const char *logged;                    /* or NULL */
} ask_cases[] = {
	{ "a tag: the mirror first", OK, "all", OK, ASK_TAG, 0, 1, 0, "from mirror" },
	{ "a tag: not from a mirror for digests", OK, "digest-only", OK, ASK_TAG, 0, 0, 1,
		"from origin" },
	{ "a tag: from a mirror for tags", OK, "tag-only", OK, ASK_TAG, 0, 1, 0, "from mirror" },
	{ "a tag: unknown at the mirror", STATUS(404), "all", OK, ASK_TAG, 0, -1, 1,
		"from origin" },
	{ "a tag: unknown at both", STATUS(404), "all", STATUS(404), ASK_TAG, -ENOENT, -1, -1,
		NULL },
	{ "a tag: forbidden at the mirror", STATUS(403), "all", OK, ASK_TAG, 0, 1, 1, NULL },
	{ "a tag: the mirror fails", STATUS(503), "all", OK, ASK_TAG, 0, 1, 1, "passed over" },
	{ "a tag: too many for the mirror", STATUS(429), "all", OK, ASK_TAG, 0, 1, 1,
		"passed over" },
	{ "a tag to read: not at the mirror", PAGE, "all", OK, ASK_TO_READ, 0, 1, 1,
		"passed over" },
	{ "a tag to read: not from a mirror for digests", OK, "digest-only", OK, ASK_TO_READ, 0, 0,
		1, NULL },
	{ "a tag: the mirror hangs", HANG, "all", OK, ASK_TAG, 0, 1, 1, "passed over" },
	{ "a tag: the mirror is away", NOT_RUNNING, "all", OK, ASK_TAG, 0, -1, 1, "passed over" },
	{ "a tag: both fail, and the origin's answer counts", STATUS(404), "all", STATUS(403),
		ASK_TAG, -EACCES, -1, 1, NULL },
	{ "a manifest: the mirror first", OK, "all", OK, ASK_MANIFEST, 0, 1, 0, "from mirror" },
	{ "a manifest: from a mirror for digests", OK, "digest-only", OK, ASK_MANIFEST, 0, 1, 0,
		"from mirror" },
	{ "a manifest: a mirror for tags is spared", OK, "tag-only", OK, ASK_MANIFEST, 0, 0, 1,
		"from origin" },
	{ "a manifest: that only the mirror for tags has", OK, "tag-only", STATUS(404),
		ASK_MANIFEST, 0, 1, 1, "from mirror" },
	{ "a manifest: other bytes from the mirror", CORRUPT, "all", OK, ASK_MANIFEST, 0, 1, 1,
		"other bytes" },
	{ "a manifest: the origin is away", OK, "all", STATUS(503), ASK_MANIFEST, 0, 1, 0,
		"from mirror" },
	{ "a blob: the mirror first", OK, "all", OK, ASK_BLOB, 0, 1, 0, "from mirror" },
	{ "a blob: unknown at the mirror", STATUS(404), "all", OK, ASK_BLOB, 0, 1, 1,
		"from origin" },
	{ "a blob: breaks off, and goes on at the origin", CUT(70000), "all", OK, ASK_BLOB, 0, 1, 1,
		"passed over" },
	{ "a blob: breaks off, and the origin sends all of it", CUT(70000), "all", NO_RANGES,
		ASK_BLOB, 0, 1, 1, "passed over" },
	{ "a blob: breaks off, and nobody has the rest", CUT(70000), "all", STATUS(404), ASK_BLOB,
		-ENOENT, 1, 1, NULL },
	{ "the end of a blob: the mirror first", OK, "all", OK, ASK_TAIL, 0, 1, 0, "from mirror" },
	{ "the end of a blob: a mirror that sends all of it", NO_RANGES, "all", OK, ASK_TAIL, 0, 1,
		0, "from mirror" },
	{ "a part: the mirror first", OK, "all", OK, ASK_RANGE, 0, 1, 0, "from mirror" },
	{ "a part: breaks off", CUT(500), "all", OK, ASK_RANGE, 0, 1, 1, "passed over" },
	{ "a part: a mirror without parts", NO_RANGES, "all", OK, ASK_RANGE, 0, 1, 1,
		"from origin" },
	{ "a proof: the mirror first", OK, "all", OK, ASK_PROOF, 0, 1, 0, NULL },
	{ "a proof: forbidden at the mirror", STATUS(403), "all", OK, ASK_PROOF, 0, 1, 1, NULL },
	{ "tags: the origin first", OK, "all", OK, ASK_TAGS, 0, 0, 1, "from origin" },
	{ "tags: the origin is away", OK, "all", STATUS(503), ASK_TAGS, 0, 1, -1, "from mirror" },
	{ "tags: not from a mirror for digests", OK, "digest-only", STATUS(503), ASK_TAGS, -EIO, 0,
		-1, NULL },
	{ "is it there: the mirror will do", OK, "all", STATUS(503), ASK_PROBE, 0, 1, 0, NULL },
};

struct opening {
	const char *use;
	const char *mirror_location, *location; /* behind the host; NULL: there is no such line */
	int mirror_port;
	bool is_blocked;
	const char *auth; /* the text of the auth file, or NULL */
};

static struct source *open_mirrors(struct opening opening)
{
	char host[32], conf[512], authfile[128] = "";
	struct routes routes = { .tables = NULL };
	struct source *source = NULL;
	struct error err = { "" };

	test_observer_init(&observer);
	(void)snprintf(host, sizeof host, "127.0.0.1:%d", origin.port);
	(void)snprintf(conf, sizeof conf,
		"[[registry]]\nprefix='%s/team'\nlocation='%s%s'\nblocked=%s\n"
		"[[registry.mirror]]\nlocation='127.0.0.1:%d%s'\npull-from-mirror='%s'\n",
		host, host, opening.location ? opening.location : "",
		opening.is_blocked ? "true" : "false", opening.mirror_port,
		opening.mirror_location ? opening.mirror_location : "", opening.use);
	assert_int_equal(routes_parse(&routes, "test.conf", conf, strlen(conf), &err), 0);
	if (opening.auth) {
		(void)snprintf(authfile, sizeof authfile, "%s/auth.json", origin.dir);
		write_file(origin.dir, "auth.json", opening.auth, strlen(opening.auth));
	}
	const struct registry_config config = { .host = host,
		.authfile = opening.auth ? authfile : NULL,
		.no_credentials = !opening.auth,
		.http = { .user_agent = "imgfs-test",
			.verify_tls = true,
			.connect_timeout_ms = 5000,
			.stall_timeout_ms = 500,
			.retries = 0,
			.max_connections = 4 } };
	if (mirrors_open(&source, &config, &routes, &observer.base, &err))
		fail_msg("%s", err.text);
	assert_int_equal(source->kind, SOURCE_MIRRORS);
	assert_null(routes.tables);
	return source;
}

static struct digest digest_from(const char *text)
{
	struct digest digest;

	assert_int_equal(digest_parse(&digest, text, NULL), 0);
	return digest;
}

/* The end of the stream against the end of the blob, up to its byte before end. */
static int read_stream(struct blob_stream *stream, uint64_t offset, uint64_t end, struct error *err)
{
	unsigned char piece[4096];
	ssize_t n;

	while ((n = stream->ops->read(stream, piece, sizeof piece, err)) > 0) {
		assert_true((uint64_t)n <= end - offset);
		assert_memory_equal(piece, origin.small + offset, (size_t)n);
		offset += (uint64_t)n;
	}
	stream->ops->free(stream);
	if (!n)
		assert_int_equal(offset, end);
	return (int)n;
}

static int ask_blob(
	struct source *source, const struct descriptor *blob, uint64_t offset, struct error *err)
{
	struct blob_stream *stream = NULL;
	uint64_t start = 99;
	int rc = source->ops->open_blob(
		source, "team/app", blob, offset, &stream, &start, NULL, err);

	if (rc)
		return rc;
	assert_true(start == offset || start == 0);
	return read_stream(stream, start, SMALL_LEN, err);
}

static int ask_range(struct source *source, const struct descriptor *blob, struct error *err)
{
	struct blob_stream *stream = NULL;
	int rc = source->ops->open_range(source, "team/app", blob, 1000, 2000, &stream, NULL, err);

	return rc ? rc : read_stream(stream, 1000, 3000, err);
}

static int ask_manifest(struct source *source, struct error *err)
{
	const struct digest digest = digest_from(origin.manifest_digest);
	CLEANUP(buf_release) struct buf body = { .max = BODY_MAX };
	CLEANUP(freep) char *type = NULL;
	int rc = source->ops->manifest(source, "team/app", &digest, &body, &type, NULL, err);

	if (rc)
		return rc;
	assert_string_equal(body.data, origin.manifest);
	assert_string_equal(type, "application/vnd.oci.image.manifest.v1+json");
	return 0;
}

static int ask_tag(struct source *source, struct error *err)
{
	const struct digest digest = digest_from(origin.manifest_digest);
	struct descriptor found = { .media_type = NULL };
	int rc = source->ops->resolve(source, "team/app", "v1", &found, NULL, err);

	if (rc)
		return rc;
	assert_true(digest_equal(&found.digest, &digest));
	descriptor_release(&found);
	return 0;
}

static int ask_to_read(struct source *source, struct error *err)
{
	const struct digest digest = digest_from(origin.manifest_digest);
	CLEANUP(buf_release) struct buf body = { .max = 4096 };
	struct descriptor found = { .media_type = NULL };
	int rc = source->ops->resolve_to_read(source, "team/app", "v1", &found, &body, NULL, err);

	if (rc)
		return rc;
	assert_true(digest_equal(&found.digest, &digest));
	assert_string_equal(body.data, origin.manifest);
	descriptor_release(&found);
	return 0;
}

static int ask_tags(struct source *source, struct error *err)
{
	struct name_list tags = { NULL, 0 };
	int rc = source->ops->tags(source, "team/app", &tags, NULL, err);

	if (rc)
		return rc;
	assert_true(name_list_has(&tags, "v1"));
	name_list_release(&tags);
	return 0;
}

static int ask(struct source *source, enum asked asked, struct error *err)
{
	const struct descriptor blob = { .digest = digest_from(origin.small_digest),
		.size = SMALL_LEN };

	switch (asked) {
	case ASK_TAG:
		return ask_tag(source, err);
	case ASK_TO_READ:
		return ask_to_read(source, err);
	case ASK_MANIFEST:
		return ask_manifest(source, err);
	case ASK_BLOB:
		return ask_blob(source, &blob, 0, err);
	case ASK_TAIL:
		return ask_blob(source, &blob, 60000, err);
	case ASK_RANGE:
		return ask_range(source, &blob, err);
	case ASK_PROOF:
		return source->ops->prove(source, "team/app", &blob, NULL, err);
	case ASK_TAGS:
		return ask_tags(source, err);
	case ASK_PROBE:
		return source->ops->probe(source, "team/app", NULL, err);
	}
	return -EINVAL;
}

static void asks(void **state)
{
	const struct ask_case *c = *state;
	struct error err = { "" };
	struct source *source;
	int rc;

	fault_rules(&mirror, c->mirror_rules ? c->mirror_rules : OK);
	fault_rules(&origin, c->origin_rules);
	source = open_mirrors((struct opening){
		.use = c->use, .mirror_port = c->mirror_rules ? mirror.port : 1 });
	rc = ask(source, c->asked, &err);
	if (rc != c->rc)
		print_error("%s\n%s", err.text, observer.lines);
	assert_int_equal(rc, c->rc);
	if (c->mirror_requests >= 0)
		assert_int_equal(fault_stat(&mirror, "requests"), c->mirror_requests);
	if (c->origin_requests >= 0)
		assert_int_equal(fault_stat(&origin, "requests"), c->origin_requests);
	if (c->logged && !strstr(observer.lines, c->logged))
		fail_msg("'%s' is not in: %s", c->logged, observer.lines);
	source_free(source);
}

/* ---- what is remembered ------------------------------------------------------------------- */

static void passes_over(void **state)
{
	struct source *source;
	struct error err;

	(void)state;
	fault_rules(&mirror, STATUS(503));
	fault_rules(&origin, OK);
	source = open_mirrors((struct opening){ .use = "all", .mirror_port = mirror.port });
	for (int i = 0; i < 3; i++)
		assert_int_equal(ask(source, ASK_TAG, &err), 0);
	assert_int_equal(fault_stat(&mirror, "requests"), 1);
	assert_int_equal(fault_stat(&origin, "requests"), 3);

	/* Nobody else is left: so it is asked again, once the origin has been. */
	fault_rules(&mirror, OK);
	fault_rules(&origin, STATUS(503));
	assert_int_equal(ask(source, ASK_TAG, &err), 0);
	assert_int_equal(fault_stat(&mirror, "requests"), 1);
	/* Of what the origin says there is not, it is not asked. */
	fault_rules(&mirror, OK);
	fault_rules(&origin, STATUS(404));
	assert_int_equal(ask(source, ASK_TAG, &err), -ENOENT);
	assert_int_equal(fault_stat(&mirror, "requests"), 0);
	source_free(source);
}

static void goes_on_in_the_middle(void **state)
{
	struct source *source;
	struct error err;

	(void)state;
	fault_rules(&mirror, CUT(70000));
	fault_rules(&origin, OK);
	source = open_mirrors((struct opening){ .use = "all", .mirror_port = mirror.port });
	assert_int_equal(ask(source, ASK_BLOB, &err), 0);
	assert_int_equal(fault_stat(&origin, "bytes"), SMALL_LEN - 70000);
	source_free(source);
}

static void distrusts(void **state)
{
	const struct digest digest = digest_from(origin.small_digest);
	const struct digest other = digest_from(origin.big_digest);
	struct source *source;
	struct error err;

	(void)state;
	fault_rules(&mirror, OK);
	fault_rules(&origin, OK);
	source = open_mirrors((struct opening){ .use = "all", .mirror_port = mirror.port });
	assert_int_equal(ask(source, ASK_BLOB, &err), 0);
	source->ops->distrust(source, &other); /* never asked for */
	assert_int_equal(ask(source, ASK_BLOB, &err), 0);
	assert_int_equal(fault_stat(&origin, "requests"), 0);
	source->ops->distrust(source, &digest);
	assert_int_equal(ask(source, ASK_BLOB, &err), 0);
	assert_int_equal(fault_stat(&origin, "requests"), 1);
	source->ops->distrust(source, &digest); /* the origin's: there is nowhere else */
	assert_int_equal(ask(source, ASK_BLOB, &err), 0);
	assert_int_equal(fault_stat(&origin, "requests"), 2);
	source_free(source);
}

/* ---- who is who --------------------------------------------------------------------------- */

/* The mirror would let the origin's user in, if it heard of that one. */
static void keeps_credentials_apart(void **state)
{
	char auth[256];
	struct source *source;
	struct error err;

	(void)state;
	fault_rules(&guarded, OK);
	fault_rules(&origin, OK);
	(void)snprintf(auth, sizeof auth, "{\"auths\":{\"127.0.0.1:%d\":{\"auth\":\"dTpw\"}}}",
		origin.port);
	source = open_mirrors(
		(struct opening){ .use = "all", .mirror_port = guarded.port, .auth = auth });
	assert_int_equal(ask(source, ASK_BLOB, &err), 0);
	assert_int_equal(fault_stat(&origin, "requests"), 1);
	assert_true(fault_stat(&guarded, "challenges") > 0);
	source_free(source);

	fault_rules(&origin, OK);
	(void)snprintf(auth, sizeof auth, "{\"auths\":{\"127.0.0.1:%d/app\":{\"auth\":\"dTpw\"}}}",
		guarded.port);
	source = open_mirrors(
		(struct opening){ .use = "all", .mirror_port = guarded.port, .auth = auth });
	assert_int_equal(ask(source, ASK_BLOB, &err), 0);
	assert_int_equal(fault_stat(&origin, "requests"), 0);
	source_free(source);
}

static char *identity_of(struct opening opening)
{
	struct source *source = open_mirrors(opening);
	char *identity = strdup(source->ops->identity(source));

	assert_non_null(identity);
	source_free(source);
	return identity;
}

static void names_identity(void **state)
{
	CLEANUP(freep) char *one = identity_of((struct opening){ .use = "all", .mirror_port = 1 });
	CLEANUP(freep) char *same = identity_of((struct opening){ .use = "all", .mirror_port = 1 });
	CLEANUP(freep) char *port = identity_of((struct opening){ .use = "all", .mirror_port = 2 });
	CLEANUP(freep)
	char *blocked =
		identity_of((struct opening){ .use = "all", .mirror_port = 1, .is_blocked = true });

	(void)state;
	assert_string_equal(one, same);
	assert_string_not_equal(one, port);
	assert_string_not_equal(one, blocked);
}

static void blocks(void **state)
{
	struct name_list names = { NULL, 0 };
	struct source *source;
	struct error err;

	(void)state;
	fault_rules(&mirror, OK);
	fault_rules(&origin, OK);
	source = open_mirrors(
		(struct opening){ .use = "all", .mirror_port = mirror.port, .is_blocked = true });
	for (int asked = ASK_TAG; asked <= ASK_PROBE; asked++) {
		assert_int_equal(ask(source, (enum asked)asked, &err), -EACCES);
		assert_non_null(strstr(err.text, "blocked by 'test.conf'"));
	}
	assert_int_equal(fault_stat(&mirror, "requests"), 0);
	assert_int_equal(fault_stat(&origin, "requests"), 0);
	/* What no table is about is as ever. */
	assert_int_equal(source->ops->tags(source, "app", &names, NULL, &err), 0);
	name_list_release(&names);
	source_free(source);
}

static void strips_catalog(void **state)
{
	static const char conf[] =
		"[[registry]]\nprefix='r.invalid'\nlocation='127.0.0.1:%d/extra'\n";
	const struct registry_config config = { .host = "r.invalid",
		.no_credentials = true,
		.http = { .verify_tls = true,
			.connect_timeout_ms = 5000,
			.stall_timeout_ms = 5000,
			.max_connections = 4 } };
	struct routes routes = { .tables = NULL };
	struct name_list names = { NULL, 0 };
	struct source *source;
	struct error err;
	char text[128];

	(void)state;
	fault_rules(&origin, OK);
	test_observer_init(&observer);
	(void)snprintf(text, sizeof text, conf, origin.port);
	assert_int_equal(routes_parse(&routes, "f", text, strlen(text), &err), 0);
	assert_int_equal(mirrors_open(&source, &config, &routes, &observer.base, &err), 0);
	assert_int_equal(source->ops->repositories(source, &names, NULL, &err), 0);
	assert_int_equal(names.count, 2);
	assert_string_equal(names.names[0], "r000000");
	assert_string_equal(names.names[1], "r000001");
	name_list_release(&names);
	source_free(source);
}

/* Where no table is about the host, there is nothing between. */
static void stays_out_of_the_way(void **state)
{
	static const char conf[] = "[[registry]]\nlocation='other.invalid'\n";
	const struct registry_config config = { .host = "r.invalid", .no_credentials = true };
	struct routes routes = { .tables = NULL };
	struct source *source;
	struct error err;

	(void)state;
	assert_int_equal(routes_parse(&routes, "f", conf, sizeof conf - 1, &err), 0);
	assert_int_equal(mirrors_open(&source, &config, &routes, &observer.base, &err), 0);
	assert_int_equal(source->kind, SOURCE_REGISTRY);
	assert_null(routes.tables);
	source_free(source);
}

static void refuses_location(void **state)
{
	static const char conf[] = "[[registry]]\nprefix='r.invalid'\nlocation='u:p@h'\n";
	const struct registry_config config = { .host = "r.invalid", .no_credentials = true };
	struct routes routes = { .tables = NULL };
	struct source *source;
	struct error err = { "" };

	(void)state;
	assert_int_equal(routes_parse(&routes, "f.conf", conf, sizeof conf - 1, &err), 0);
	assert_int_equal(mirrors_open(&source, &config, &routes, &observer.base, &err), -EINVAL);
	assert_non_null(strstr(err.text, "'f.conf'"));
}

static void *cancel_soon(void *cancel)
{
	test_observer_wait(&observer, "");
	while (fault_stat_now(&mirror, "active") < 1)
		usleep(1000);
	cancel_set(cancel);
	return NULL;
}

/* Whoever gave up does not go on to the next. */
static void is_interrupted(void **state)
{
	struct descriptor found = { .media_type = NULL };
	struct source *source;
	struct cancel cancel;
	struct error err;
	pthread_t thread;

	(void)state;
	fault_rules(&mirror, HANG);
	fault_rules(&origin, OK);
	source = open_mirrors((struct opening){ .use = "all", .mirror_port = mirror.port });
	cancel_init(&cancel);
	assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &cancel), 0);
	assert_int_equal(
		source->ops->resolve(source, "team/app", "v1", &found, &cancel, &err), -EINTR);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(fault_stat(&origin, "requests"), 0);
	assert_null(strstr(observer.lines, "passed over"));
	cancel_release(&cancel);
	source_free(source);
}

/* ---- set-up ------------------------------------------------------------------------------- */

static int start_servers(void **state)
{
	static const char *const args[] = { "--extra-repos", "2", NULL };
	static const char *const guarded_args[] = { "--auth", "basic", "--user", "u:p", NULL };

	(void)state;
	fault_server_start(&mirror, NULL);
	fault_server_start(&origin, args);
	fault_server_start(&guarded, guarded_args);
	return 0;
}

static int stop_servers(void **state)
{
	(void)state;
	fault_server_stop(&mirror);
	fault_server_stop(&origin);
	fault_server_stop(&guarded);
	return 0;
}

int main(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(ask_cases); i++)
		add(ask_cases[i].name, asks, &ask_cases[i]);
	add("a mirror that failed is passed over", passes_over, NULL);
	add("no byte is fetched twice", goes_on_in_the_middle, NULL);
	add("distrust", distrusts, NULL);
	add("credentials", keeps_credentials_apart, NULL);
	add("identities", names_identity, NULL);
	add("blocked", blocks, NULL);
	add("the catalog of a namespace", strips_catalog, NULL);
	add("no table", stays_out_of_the_way, NULL);
	add("a location that is none", refuses_location, NULL);
	add("interrupted", is_interrupted, NULL);
	return _cmocka_run_group_tests("mirrors", tests, test_count, start_servers, stop_servers);
}
