/* SPDX-License-Identifier: Apache-2.0 */
#include "model/reference.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/cleanup.h"
#include "model/error.h"

#define HEX    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SHA256 "sha256:" HEX
#define FIFTY  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LONG   FIFTY FIFTY FIFTY FIFTY FIFTY

static const struct parse_case {
	const char *text;
	int rc;
	const char *host, *repository; /* on failure host is what the message must hold */
	const char *tag, *digest;      /* NULL: absent */
	bool is_directory;
} parse_cases[] = {
	{ "debian", 0, "docker.io", "library/debian", NULL, NULL, false },
	{ "debian:12", 0, "docker.io", "library/debian", "12", NULL, false },
	{ "team/app", 0, "docker.io", "team/app", NULL, NULL, false },
	{ "docker.io/debian:12", 0, "docker.io", "library/debian", "12", NULL, false },
	{ "index.docker.io/debian", 0, "docker.io", "library/debian", NULL, NULL, false },
	{ "docker.io/team/app", 0, "docker.io", "team/app", NULL, NULL, false },
	{ "quay.io/app", 0, "quay.io", "app", NULL, NULL, false },
	{ "quay.io/a/b/c:v1.0", 0, "quay.io", "a/b/c", "v1.0", NULL, false },
	{ "localhost/app", 0, "localhost", "app", NULL, NULL, false },
	{ "localhost:5000/app:1", 0, "localhost:5000", "app", "1", NULL, false },
	{ "127.0.0.1:5000/app", 0, "127.0.0.1:5000", "app", NULL, NULL, false },
	{ "[::1]:5000/app:1", 0, "[::1]:5000", "app", "1", NULL, false },
	{ "[fe80::1]/app", 0, "[fe80::1]", "app", NULL, NULL, false },
	{ "Quay.IO/app", 0, "quay.io", "app", NULL, NULL, false },
	{ "debian@" SHA256, 0, "docker.io", "library/debian", NULL, SHA256, false },
	{ "quay.io/app:1@" SHA256, 0, "quay.io", "app", "1", SHA256, false },
	{ "quay.io/", 0, "quay.io", "", NULL, NULL, true },
	{ "quay.io", 0, "quay.io", "", NULL, NULL, true },
	{ "localhost", 0, "localhost", "", NULL, NULL, true },
	{ "localhost:5000", 0, "localhost:5000", "", NULL, NULL, true },
	{ "127.0.0.1:5000/", 0, "127.0.0.1:5000", "", NULL, NULL, true },
	{ "[::1]:5000", 0, "[::1]:5000", "", NULL, NULL, true },
	{ "quay.io/team/", 0, "quay.io", "team", NULL, NULL, true },
	{ "team/", 0, "docker.io", "team", NULL, NULL, true },
	{ "docker.io/library/", 0, "docker.io", "library", NULL, NULL, true },
	{ "docker.io/", 0, "docker.io", "", NULL, NULL, true },
	{ "a.b-c/d__e-f", 0, "a.b-c", "d__e-f", NULL, NULL, false },

	{ "", -EINVAL, "missing", NULL, NULL, NULL, false },
	{ "/", -EINVAL, "missing", NULL, NULL, NULL, false },
	{ "/app", -EINVAL, "missing", NULL, NULL, NULL, false },
	{ ":12", -EINVAL, "not a repository name", NULL, NULL, NULL, false },
	{ "debian:", -EINVAL, "not a tag", NULL, NULL, NULL, false },
	{ "debian:.12", -EINVAL, "not a tag", NULL, NULL, NULL, false },
	{ "debian:a/b", -EINVAL, "not a host", NULL, NULL, NULL, false },
	{ "quay.io/Team/app", -EINVAL, "lower case", NULL, NULL, NULL, false },
	{ "quay.io//app", -EINVAL, "not a repository name", NULL, NULL, NULL, false },
	{ "quay.io/app//", -EINVAL, "not a repository name", NULL, NULL, NULL, false },
	{ "quay.io//", -EINVAL, "not a repository name", NULL, NULL, NULL, false },
	{ "quay.io/../app", -EINVAL, "not a repository name", NULL, NULL, NULL, false },
	{ "quay.io/app:1/", -EINVAL, "not a repository name", NULL, NULL, NULL, false },
	{ "quay.io/app%2f", -EINVAL, "not a repository name", NULL, NULL, NULL, false },
	{ "quay.io/" LONG "aaaaaa", -EINVAL, "longer", NULL, NULL, NULL, false },
	{ LONG "/aaaa", 0, "docker.io", LONG "/aaaa", NULL, NULL, false },
	{ LONG, -EINVAL, "'library/aaaa", NULL, NULL, NULL, false },
	{ "quay..io/app", -EINVAL, "not a host", NULL, NULL, NULL, false },
	{ "-quay.io/app", -EINVAL, "not a host", NULL, NULL, NULL, false },
	{ "quay.io:0/app", -EINVAL, "not a host", NULL, NULL, NULL, false },
	{ "quay.io:65536/app", -EINVAL, "not a host", NULL, NULL, NULL, false },
	{ "quay.io:http/app", -EINVAL, "not a host", NULL, NULL, NULL, false },
	{ "[::1/app", -EINVAL, "not a host", NULL, NULL, NULL, false },
	{ "a.b__c/app", -EINVAL, "not a host", NULL, NULL, NULL, false },
	{ "quay.io?x=1/app", -EINVAL, "not a host", NULL, NULL, NULL, false },
	{ "debian@sha256:12", -EINVAL, "64 hex digits", NULL, NULL, NULL, false },
	{ "debian@sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709", -EINVAL, "sha1", NULL, NULL, NULL,
		false },
	{ "debian@latest", -EINVAL, "no digest", NULL, NULL, NULL, false },
	{ "debian@", -EINVAL, "no digest", NULL, NULL, NULL, false },
	{ "me:SECRET@quay.io/app", -EINVAL, "password", NULL, NULL, NULL, false },
	{ "me:SECRET@quay.io", -EINVAL, "password", NULL, NULL, NULL, false },
	{ "me:SECRET@localhost:5000/app:1@" SHA256, -EINVAL, "password", NULL, NULL, NULL, false },
	{ "me:SEC/RET@localhost:5000", -EINVAL, "password", NULL, NULL, NULL, false },
	{ "me:SEC@RET@host/app", -EINVAL, "password", NULL, NULL, NULL, false },
	{ "https://quay.io/app", -EINVAL, "leave out 'https://'", NULL, NULL, NULL, false },
};

static void assert_text(const char *got, const char *wanted)
{
	if (wanted && got)
		assert_string_equal(got, wanted);
	else
		assert_true(!wanted && !got);
}

static void parses(void **state)
{
	const struct parse_case *c = *state;
	CLEANUP(reference_release) struct reference reference = { 0 };
	struct error err = { "" };
	char digest[DIGEST_TEXT_MAX];

	assert_int_equal(reference_parse(&reference, c->text, &err), c->rc);
	if (c->rc) {
		if (!strstr(err.text, c->host))
			fail_msg("'%s' does not hold '%s'", err.text, c->host);
		assert_null(strstr(err.text, "SEC"));
		assert_null(reference.host);
		return;
	}
	assert_string_equal(reference.host, c->host);
	assert_string_equal(reference.repository, c->repository);
	assert_text(reference.tag, c->tag);
	assert_int_equal(digest_is_set(&reference.digest), c->digest != NULL);
	if (c->digest)
		assert_string_equal(digest_format(&reference.digest, digest), c->digest);
	assert_int_equal(reference.is_directory, c->is_directory);
}

static const struct name_case {
	const char *text;
	bool is_repository, is_tag;
} name_cases[] = {
	{ "debian", true, true }, { "a", true, true }, { "0", true, true }, { "a.b", true, true },
	{ "a_b", true, true }, { "a__b", true, true }, { "a___b", false, true },
	{ "a---b", true, true }, { "a..b", false, true }, { "a._b", false, true },
	{ "a-", false, true }, { "_a", false, true }, { "A", false, true }, { "a/b", true, false },
	{ "a/", false, false }, { "/a", false, false }, { "a//b", false, false },
	{ "", false, false }, { ".git", false, false }, { "-a", false, false },
	{ "..", false, false }, { "a b", false, false }, { "a:b", false, false },
	{ "a+b", false, false }, { "\xc3\xa9", false, false }, { "a\tb", false, false },
	{ FIFTY FIFTY "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", true, true },   /* 128 bytes */
	{ FIFTY FIFTY "aaaaaaaaaaaaaaaaaaaaaaaaaaaaa", true, false }, /* 129 */
	{ LONG "aaaaa", true, false },                                /* 255 */
	{ LONG "aaaaaa", false, false },                              /* 256 */
};

static void judges_names(void **state)
{
	const struct name_case *c = *state;

	assert_int_equal(repository_is_valid(c->text), c->is_repository);
	assert_int_equal(tag_is_valid(c->text), c->is_tag);
	assert_int_equal(repository_component_is_valid(c->text, strlen(c->text)),
		c->is_repository && !strchr(c->text, '/'));
}

static void judges_parts_of_text(void **state)
{
	(void)state;
	assert_true(repository_component_is_valid("ab/cd", 2));
	assert_false(repository_component_is_valid("ab/cd", 3));
	assert_false(repository_component_is_valid("a-b", 2));
	assert_false(repository_component_is_valid("a", 0));
	assert_true(reference_is_host("localhost/x", 9));
	assert_false(reference_is_host("localhost/x", 8));
	assert_true(reference_is_host("a.b", 3));
	assert_true(reference_is_host("a:1", 3));
	assert_false(reference_is_host("a.b", 1));
	assert_false(reference_is_host("", 0));
}

static void a_familiar_name(void **state)
{
	static const struct {
		const char *host, *repository, *name;
	} cases[] = {
		{ "docker.io", "library/debian", "debian" },
		{ "docker.io", "team/app", "team/app" },
		{ "docker.io", "library/a/b", "library/a/b" },
		{ "docker.io", "library", "library" },
		{ "docker.io", "libraryx/a", "libraryx/a" },
		{ "quay.io", "library/app", "quay.io/library/app" },
		{ "localhost:5000", "app", "localhost:5000/app" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(freep) char *name = reference_familiar(cases[i].host, cases[i].repository);

		assert_string_equal(name, cases[i].name);
	}
}

static void a_file_as_a_repository(void **state)
{
	static const struct {
		const char *file, *name;
	} cases[] = {
		{ "app", "app" },
		{ "App.TAR", "app.tar" },
		{ "my image (2).tar", "my-image-2-tar" },
		{ "a__b--c..d", "a_b-c.d" },
		{ ".hidden_", "hidden" },
		{ "\xc3\xa9t\xc3\xa9", "t" },
		{ "...", "" },
		{ "", "" },
	};
	char long_name[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(freep) char *name = repository_from_file_name(cases[i].file);

		assert_string_equal(name, cases[i].name);
		assert_true(!*name || repository_is_valid(name));
	}
	for (size_t i = 0; i < sizeof long_name - 1; i++)
		long_name[i] = i % 2 ? '-' : 'x';
	long_name[sizeof long_name - 1] = '\0';
	for (size_t i = 0; i < 2; i++) {
		CLEANUP(freep) char *name = repository_from_file_name(long_name + i);

		assert_true(repository_is_valid(name));
	}
}

static void a_name_in_two(void **state)
{
	static const struct {
		const char *name, *repository, *tag; /* NULL: none */
		bool has_components;
	} cases[] = {
		{ "a", "a", NULL, true },
		{ "a:1", "a", "1", true },
		{ "a/b:1", "a/b", "1", true },
		{ "host:5000/a", "host:5000/a", NULL, true },
		{ "host:5000/a:1", "host:5000/a", "1", true },
		{ "a:b:1", "a:b", "1", true },
		{ "a:", "a", "", true },
		{ "", "", NULL, false },
		{ ":1", "", "1", false },
		{ "/a", "/a", NULL, false },
		{ "a/:1", "a/", "1", false },
		{ "a//b:1", "a//b", "1", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *name = cases[i].name, *tag;
		size_t len = name_split(name, strlen(name), &tag);

		assert_int_equal(len, strlen(cases[i].repository));
		assert_true(!tag == !cases[i].tag);
		if (tag)
			assert_string_equal(tag, cases[i].tag);
		assert_int_equal(name_has_components(name, len), cases[i].has_components);
	}
	/* Of which only a part is one. */
	const char *tag;
	assert_int_equal(name_split("a/b:1", 3, &tag), 3);
	assert_null(tag);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(parse_cases) + ARRAY_SIZE(name_cases) + 4];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(parse_cases); i++)
		tests[n++] = (struct CMUnitTest){ .name = *parse_cases[i].text ? parse_cases[i].text
									       : "no text",
			.test_func = parses,
			.initial_state = (void *)&parse_cases[i] };
	for (size_t i = 0; i < ARRAY_SIZE(name_cases); i++)
		tests[n++] = (struct CMUnitTest){ .name = *name_cases[i].text ? name_cases[i].text
									      : "no name",
			.test_func = judges_names,
			.initial_state = (void *)&name_cases[i] };
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(judges_parts_of_text);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(a_familiar_name);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(a_file_as_a_repository);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(a_name_in_two);
	return cmocka_run_group_tests_name("reference", tests, NULL, NULL);
}
