/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which routes a configuration gives: the examples of containers-registries.conf(5), and its rules
 * one by one; and which files are read.
 */
#include "fetch/routes/routes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fetch/routes/internal.h"
#include "fetch/routes/toml.h"
#include "model/cleanup.h"
#include "tests/unit/cases.h"

static char dir[] = "/tmp/imgfs-unit-XXXXXX";

/* ---- names and routes --------------------------------------------------------------------- */

#define MANUAL                                                                                     \
	"unqualified-search-registries = [\"example.com\"]\n"                                      \
	"[[registry]]\n"                                                                           \
	"prefix = \"example.com/foo\"\n"                                                           \
	"insecure = false\n"                                                                       \
	"blocked = false\n"                                                                        \
	"location = \"internal-registry-for-example.com/bar\"\n"                                   \
	"[[registry.mirror]]\n"                                                                    \
	"location = \"example-mirror-0.local/mirror-for-foo\"\n"                                   \
	"[[registry.mirror]]\n"                                                                    \
	"location = \"example-mirror-1.local/mirrors/foo\"\n"                                      \
	"insecure = true\n"                                                                        \
	"[[registry]]\n"                                                                           \
	"location = \"registry.com\"\n"                                                            \
	"[[registry.mirror]]\n"                                                                    \
	"location = \"mirror.registry.com\"\n"

#define PREFIXES                                                                                   \
	"[[registry]]\nprefix='r.example'\nlocation='a'\n"                                         \
	"[[registry]]\nprefix='r.example/ns'\nlocation='b'\n"                                      \
	"[[registry]]\nprefix='r.example/ns/repo'\nlocation='c/d'\n"                               \
	"[[registry]]\nprefix='r.example/ns/repo:old'\nlocation='e/d'\n"                           \
	"[[registry]]\nprefix='r.example/ns/repo@sha256:00'\nlocation='f/d@sha256:00'\n"

#define WILDCARD                                                                                   \
	"[[registry]]\nprefix='*.example.com'\n[[registry.mirror]]\nlocation='m.net/x'\n"          \
	"[[registry]]\nprefix='*.moved.com'\nlocation='new.net'\n"                                 \
	"[[registry]]\nprefix='*.b.example.com'\nblocked=true\n"

#define USES                                                                                       \
	"[[registry]]\nlocation='r'\n"                                                             \
	"[[registry.mirror]]\nlocation='a'\npull-from-mirror='digest-only'\n"                      \
	"[[registry.mirror]]\nlocation='b'\npull-from-mirror='tag-only'\n"                         \
	"[[registry.mirror]]\nlocation='c'\npull-from-mirror='all'\n"                              \
	"[[registry.mirror]]\nlocation='d'\npull-from-mirror=''\n"

#define DIGESTS_ONLY                                                                               \
	"[[registry]]\nlocation='r'\nmirror-by-digest-only=true\n"                                 \
	"[[registry.mirror]]\nlocation='a'\n"

static const struct find_case {
	const char *name, *conf, *host, *repository, *reference;
	const char *routes; /* "HOST/REPOSITORY ...", in order; "blocked"; or NULL: no table */
} find_cases[] = {
	{ "the manual: mirrors in order, the origin last", MANUAL, "example.com", "foo/image",
		":latest",
		"example-mirror-0.local/mirror-for-foo/image "
		"example-mirror-1.local/mirrors/foo/image(insecure) "
		"internal-registry-for-example.com/bar/image" },
	{ "the manual: another table's mirrors", MANUAL, "registry.com", "image", ":latest",
		"mirror.registry.com/image registry.com/image" },
	{ "the manual: no table", MANUAL, "example.com", "bar/image", "", NULL },
	{ "the prefix is all of it", MANUAL, "example.com", "foo", "",
		"example-mirror-0.local/mirror-for-foo "
		"example-mirror-1.local/mirrors/foo(insecure) "
		"internal-registry-for-example.com/bar" },
	{ "the prefix ends in a component", MANUAL, "example.com", "foobar", "", NULL },
	{ "a port is another host", MANUAL, "registry.com:5000", "image", "", NULL },
	{ "a domain is another host", MANUAL, "registry.com.example", "image", "", NULL },
	{ "the manual: remapping",
		"[[registry]]\nprefix='example.com/foo'\n"
		"location='internal-registry-for-example.net/bar'\n",
		"example.com", "foo/myimage", ":latest",
		"internal-registry-for-example.net/bar/myimage" },
	{ "the host", PREFIXES, "r.example", "x", "", "a/x" },
	{ "the host alone", PREFIXES, "r.example", "", "", "a/" },
	{ "a namespace is longer", PREFIXES, "r.example", "ns/x", "", "b/x" },
	{ "a repository is longer", PREFIXES, "r.example", "ns/repo", ":new", "c/d" },
	{ "below a repository", PREFIXES, "r.example", "ns/repo/x", "", "c/d/x" },
	{ "a tag is longer", PREFIXES, "r.example", "ns/repo", ":old", "e/d" },
	{ "the beginning of a tag", PREFIXES, "r.example", "ns/repo", ":older", "c/d" },
	{ "a digest", PREFIXES, "r.example", "ns/repo", "@sha256:00", "f/d" },
	{ "the longest, whatever the order",
		"[[registry]]\nprefix='r/a/b'\nlocation='x'\n"
		"[[registry]]\nprefix='r'\nlocation='y'\n",
		"r", "a/b/c", "", "x/c" },
	{ "a wildcard: the name itself at last", WILDCARD, "blah.example.com", "foo/myimage",
		":latest", "m.net/x/foo/myimage blah.example.com/foo/myimage" },
	{ "a wildcard: many labels", WILDCARD, "foo.bar.example.com", "i", "",
		"m.net/x/i foo.bar.example.com/i" },
	{ "a wildcard: not the domain", WILDCARD, "example.com", "i", "", NULL },
	{ "a wildcard: not another's", WILDCARD, "badexample.com", "i", "", NULL },
	{ "a wildcard: any port", WILDCARD, "x.example.com:5000", "i", "",
		"m.net/x/i x.example.com:5000/i" },
	{ "a wildcard: another location", WILDCARD, "x.moved.com:5000", "a/b", "", "new.net/a/b" },
	{ "a wildcard: the longer one", WILDCARD, "a.b.example.com", "i", "", "blocked" },
	{ "blocked", "[[registry]]\nlocation='r'\nblocked=true\n", "r", "i", "", "blocked" },
	{ "a part that is not blocked",
		"[[registry]]\nlocation='r'\nblocked=true\n[[registry]]\nlocation='r/good'\n", "r",
		"good/i", "", "r/good/i" },
	{ "insecure", "[[registry]]\nlocation='r'\ninsecure=true\n", "r", "i", "",
		"r/i(insecure)" },
	{ "what mirrors are for", USES, "r", "i", "", "a/i(digests) b/i(tags) c/i d/i r/i" },
	{ "all mirrors for digests", DIGESTS_ONLY, "r", "i", "", "a/i(digests) r/i" },
	{ "slashes at the end", "[[registry]]\nprefix='r/a/'\nlocation='s/b//'\n", "r", "a/i", "",
		"s/b/i" },
	{ "a tag repeated in the location", "[[registry]]\nprefix='r/a:1'\nlocation='s/b:1'\n", "r",
		"a", ":1", "s/b" },
	{ "twice: the later one",
		"[[registry]]\nlocation='r'\nblocked=true\n[[registry]]\nprefix='r'\nlocation='s'\n",
		"r", "i", "", "s/i" },
	{ "keys nobody knows", "x=1\n[[registry]]\nlocation='r'\ny={z=[1]}\n", "r", "i", "",
		"r/i" },
	{ "short names mean nothing here", "[aliases]\n\"i\"='r/i'\n[[registry]]\nlocation='s'\n",
		"r", "i", "", NULL },
	{ "nothing", "", "r", "i", "", NULL },
};

static void describe(char *text, size_t size, const struct route_table *table, const char *host,
	const char *repository)
{
	static const char *const uses[] = { "", "(digests)", "(tags)" };
	size_t len = 0;

	text[0] = '\0';
	for (size_t i = 0; i < table->count; i++) {
		const struct route *route = &table->routes[i];
		char name[REPOSITORY_MAX + 1];

		assert_int_equal(route_repository(name, table, route, host, repository, NULL), 0);
		len += (size_t)snprintf(text + len, size - len, "%s%s/%s%s%s", i ? " " : "",
			*route->host ? route->host : host, name,
			route->is_insecure ? "(insecure)" : "", uses[route->use]);
	}
}

static void finds(void **state)
{
	const struct find_case *c = *state;
	struct routes routes = { .tables = NULL };
	const struct route_table *table;
	struct error err = { "" };
	char text[512];

	if (routes_parse(&routes, "f.conf", c->conf, strlen(c->conf), &err))
		fail_msg("%s", err.text);
	table = routes_find(&routes, c->host, c->repository, c->reference);
	if (!c->routes) {
		assert_null(table);
	} else {
		assert_non_null(table);
		assert_true(route_table_is_about(table, c->host));
		describe(text, sizeof text, table, c->host, c->repository);
		assert_string_equal(table->is_blocked ? "blocked" : text, c->routes);
		assert_string_equal(table->file, "f.conf");
	}
	routes_release(&routes);
}

/* ---- what is no configuration ------------------------------------------------------------- */

static const struct bad_case {
	const char *name, *conf;
	int rc;
	const char *error; /* in the message */
} bad_cases[] = {
	{ "not TOML", "[[registry]]\nlocation=\n", -EINVAL, "line 2" },
	{ "a registry that is no table", "registry=[1]\n", -EINVAL, "no table" },
	{ "a registry that is no array", "[registry]\nlocation='r'\n", -EINVAL, "registry" },
	{ "no location", "[[registry]]\nprefix='r'\n", -EINVAL, "'r'" },
	{ "neither", "[[registry]]\ninsecure=true\n", -EINVAL, "without location" },
	{ "a scheme", "[[registry]]\nlocation='https://r'\n", -EINVAL, "URI schemes" },
	{ "a scheme of a mirror",
		"[[registry]]\nlocation='r'\n[[registry.mirror]]\nlocation='http://m'\n", -EINVAL,
		"URI schemes" },
	{ "a mirror without location", "[[registry]]\nlocation='r'\n[[registry.mirror]]\n", -EINVAL,
		"without location" },
	{ "a number for a text", "[[registry]]\nlocation=1\n", -EINVAL, "location" },
	{ "a text for a boolean", "[[registry]]\nlocation='r'\nblocked='yes'\n", -EINVAL,
		"blocked" },
	{ "an unknown use",
		"[[registry]]\nlocation='r'\n[[registry.mirror]]\nlocation='m'\n"
		"pull-from-mirror='some'\n",
		-EINVAL, "'some'" },
	{ "two ways to say digests only",
		"[[registry]]\nlocation='r'\nmirror-by-digest-only=true\n[[registry.mirror]]\n"
		"location='m'\npull-from-mirror='all'\n",
		-EINVAL, "mirror-by-digest-only" },
	{ "the manual: example.*.com", "[[registry]]\nprefix='example.*.com'\nlocation='r'\n",
		-EINVAL, "wildcard" },
	{ "the manual: *.example.com/foo",
		"[[registry]]\nprefix='*.example.com/foo'\nlocation='r'\n", -EINVAL, "wildcard" },
	{ "the manual: *.example.com:5000/foo/bar:baz",
		"[[registry]]\nprefix='*.example.com:5000/foo/bar:baz'\nlocation='r'\n", -EINVAL,
		"wildcard" },
	{ "a tag of its own", "[[registry]]\nprefix='r/a'\nlocation='s/b:1'\n", -EINVAL,
		"of its own" },
	{ "a namespace that is none", "[[registry]]\nprefix='r'\nlocation='s/../x'\n", -EINVAL,
		"'s/../x'" },
	{ "version 1", "[registries.block]\nregistries=['r']\n", -EINVAL, "version 1" },
};

static void refuses(void **state)
{
	const struct bad_case *c = *state;
	struct routes routes = { .tables = NULL };
	struct error err = { "" };

	assert_int_equal(routes_parse(&routes, "f.conf", c->conf, strlen(c->conf), &err), c->rc);
	assert_non_null(strstr(err.text, "'f.conf'"));
	if (!strstr(err.text, c->error))
		fail_msg("'%s' is not in: %s", c->error, err.text);
	routes_release(&routes);
}

static char *repeated(const char *text, size_t times)
{
	size_t len = strlen(text);
	char *all = malloc(len * times + 1);

	assert_non_null(all);
	for (size_t i = 0; i < times; i++)
		memcpy(all + i * len, text, len);
	all[len * times] = '\0';
	return all;
}

static const struct bound_case {
	const char *name, *text; /* repeated, is over the bound; once less, is malformed or fine */
	size_t times;
	const char *error;
} bound_cases[] = {
	{ "a long text", "# 0123456789\n", TOML_BYTES_MAX / 13 + 1, "bytes" },
	{ "a long line", "0123456789", TOML_LINE_MAX / 10 + 1, "line 1" },
	{ "a deep key", "a.", TOML_DOTS_MAX + 1, "dots" },
	{ "many registries", "[[registry]]\nlocation='r'\n", 0, NULL }, /* one prefix: one table */
};

static void is_bounded(void **state)
{
	const struct bound_case *c = *state;
	CLEANUP(freep) char *text = repeated(c->text, c->times ? c->times : 5000);
	struct routes routes = { .tables = NULL };
	struct error err = { "" };
	int rc = routes_parse(&routes, "f", text, strlen(text), &err);

	if (c->error) {
		assert_int_equal(rc, -EFBIG);
		assert_non_null(strstr(err.text, c->error));
		text[strlen(text) - strlen(c->text)] = '\0';
		assert_int_not_equal(routes_parse(&routes, "f", text, strlen(text), &err), -EFBIG);
	} else {
		assert_int_equal(rc, 0);
		assert_int_equal(routes.count, 1);
	}
	routes_release(&routes);
}

/* The deepest text within the bounds neither needs much stack, nor is taken. */
static void nests_deeply(void **state)
{
	CLEANUP(freep) char *key = repeated("a.", TOML_DOTS_MAX);
	CLEANUP(buf_release) struct buf text = { .max = TOML_BYTES_MAX };
	struct routes routes = { .tables = NULL };
	struct error err = { "" };

	(void)state;
	for (int i = 0; i < 100; i++)
		(void)buf_printf(&text, "%sa=[\n{", key);
	(void)buf_printf(&text, "%sa=1", key);
	for (int i = 0; i < 100; i++)
		(void)buf_append_text(&text, "}\n]");
	assert_int_equal(buf_status(&text), 0);
	assert_int_equal(routes_parse(&routes, "f", text.data, text.len, &err), -EINVAL);
	assert_non_null(strstr(err.text, "nested"));
	routes_release(&routes);
}

/* ---- TOML --------------------------------------------------------------------------------- */

/* The strings of toml.io 1.0.0, "String", as RFC 8259 has them. */
static const struct toml_case {
	const char *name, *toml, *json; /* without blanks and line breaks between tokens */
} toml_cases[] = {
	{ "basic", "a=\"I'm a string. \\\"You can quote me\\\". Name\\tJos\\u00E9\\n\"",
		"{\"a\":\"I'm a string. \\\"You can quote me\\\". Name\\tJos\303\251\\n\"}" },
	{ "literal", "a='C:\\Users\\nodejs'", "{\"a\":\"C:\\\\Users\\\\nodejs\"}" },
	{ "multi-line", "a=\"\"\"\nRoses are red\nViolets\"\"\"",
		"{\"a\":\"Roses are red\\nViolets\"}" },
	{ "control", "a=\"\\u0001\\u001f\"", "{\"a\":\"\\u0001\\u001F\"}" },
	{ "empty", "a=''\n'b c'=[]\nd={}", "{\"a\":\"\",\"b c\":[],\"d\":{}}" },
	{ "numbers", "a=0xff\nb=-17\nc=true", "{\"a\":255,\"b\":-17,\"c\":true}" },
	{ "a date", "a=1979-05-27T07:32:00Z", "{\"a\":\"1979-05-27T07:32:00Z\"}" },
	{ "dotted", "a.b=1\n[c.d]\ne=2", "{\"a\":{\"b\":1},\"c\":{\"d\":{\"e\":2}}}" },
};

/* Outside strings. */
static void drop_blanks(char *text)
{
	bool is_string = false;
	char *to = text;

	for (const char *at = text; *at; at++) {
		if (*at == '"' && (at == text || at[-1] != '\\'))
			is_string = !is_string;
		if (is_string || (*at != ' ' && *at != '\n'))
			*to++ = *at;
	}
	*to = '\0';
}

static void converts(void **state)
{
	const struct toml_case *c = *state;
	CLEANUP(buf_release) struct buf json = { .max = TOML_JSON_MAX };
	struct error err;

	assert_int_equal(toml_to_json(&json, c->toml, strlen(c->toml), &err), 0);
	drop_blanks(json.data);
	assert_string_equal(json.data, c->json);
}

/* ---- files -------------------------------------------------------------------------------- */

static void put(const char *name, const char *text)
{
	char path[256];
	FILE *file;

	(void)snprintf(path, sizeof path, "%s/%s", dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fputs(text, file) < 0, 0);
	assert_int_equal(fclose(file), 0);
}

#define TO(location) "[[registry]]\nprefix='unit.invalid'\nlocation='" location "'\n"

static const char *location_of(const char *path)
{
	static char text[64];
	struct routes routes = { .tables = NULL };
	const struct route_table *table;
	struct error err = { "" };

	if (routes_load(&routes, path, &err))
		fail_msg("%s", err.text);
	table = routes_find(&routes, "unit.invalid", "i", "");
	(void)snprintf(text, sizeof text, "%s", table ? table->routes[0].host : "none");
	routes_release(&routes);
	return text;
}

/* In this order: each step adds what comes before the last one. */
static void reads_files(void **state)
{
	static const char own_dir[] = ".config/containers/registries.conf.d";
	struct routes routes = { .tables = NULL };
	struct error err = { "" };
	char path[256];

	(void)state;
	for (const char *at = own_dir; at; at = strchr(at + 1, '/')) {
		const char *end = strchr(at + 1, '/');

		(void)snprintf(path, sizeof path, "%s/%.*s", dir,
			end ? (int)(end - own_dir) : (int)strlen(own_dir), own_dir);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	assert_int_equal(setenv("HOME", dir, 1), 0);
	assert_int_equal(unsetenv("CONTAINERS_REGISTRIES_CONF"), 0);
	assert_string_equal(location_of(NULL), "none");

	put(".config/containers/registries.conf.d/20.conf", TO("drop-in-20"));
	assert_string_equal(location_of(NULL), "drop-in-20");
	put(".config/containers/registries.conf.d/10.conf", TO("drop-in-10"));
	put(".config/containers/registries.conf.d/30.conf.disabled", "not read");
	put(".config/containers/registries.conf", TO("own"));
	assert_string_equal(location_of(NULL), "drop-in-20");
	put(".config/containers/registries.conf.d/20.conf", "");
	assert_string_equal(location_of(NULL), "drop-in-10");
	put(".config/containers/registries.conf.d/10.conf", "");
	assert_string_equal(location_of(NULL), "own");
	put(".config/containers/registries.conf.d/10.conf", TO("drop-in-10"));

	put("named.conf", TO("named"));
	(void)snprintf(path, sizeof path, "%s/named.conf", dir);
	assert_int_equal(setenv("CONTAINERS_REGISTRIES_CONF", path, 1), 0);
	assert_string_equal(location_of(NULL), "named");
	put("given.conf", TO("given"));
	(void)snprintf(path, sizeof path, "%s/given.conf", dir);
	assert_string_equal(location_of(path), "given");

	assert_int_equal(routes_load(&routes, "/nonexistent", &err), -ENOENT);
	assert_non_null(strstr(err.text, "'/nonexistent'"));
	assert_int_equal(routes_load(&routes, dir, &err), -EINVAL);
	assert_int_equal(unsetenv("CONTAINERS_REGISTRIES_CONF"), 0);
	put(".config/containers/registries.conf.d/10.conf", "[[registry]]\n");
	assert_int_equal(routes_load(&routes, NULL, &err), -EINVAL);
	assert_non_null(strstr(err.text, "10.conf"));
}

static void refuses_long_name(void **state)
{
	const char conf[] = "[[registry]]\nprefix='r'\nlocation='s/team'\n";
	CLEANUP(freep) char *long_name = repeated("a", REPOSITORY_MAX);
	char name[REPOSITORY_MAX + 1];
	struct routes routes = { .tables = NULL };
	const struct route_table *table;
	struct error err;

	(void)state;
	assert_int_equal(routes_parse(&routes, "f", conf, strlen(conf), &err), 0);
	table = routes_find(&routes, "r", long_name, "");
	assert_non_null(table);
	assert_int_equal(route_repository(name, table, &table->routes[0], "r", long_name, &err),
		-ENAMETOOLONG);
	routes_release(&routes);
}

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char command[128];

	(void)state;
	(void)snprintf(command, sizeof command, "rm -rf %s", dir);
	return system(command);
}

int main(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(find_cases); i++)
		add(find_cases[i].name, finds, &find_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad_cases); i++)
		add(bad_cases[i].name, refuses, &bad_cases[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bound_cases); i++)
		add(bound_cases[i].name, is_bounded, &bound_cases[i]);
	add("the deepest text", nests_deeply, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(toml_cases); i++)
		add(toml_cases[i].name, converts, &toml_cases[i]);
	add("which files are read", reads_files, NULL);
	add("a name that grows too long", refuses_long_name, NULL);
	return _cmocka_run_group_tests("routes", tests, test_count, make_dir, remove_dir);
}
