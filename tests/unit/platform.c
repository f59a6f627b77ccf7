/* SPDX-License-Identifier: Apache-2.0 */
/* Normal forms and match order are those of containerd's platforms package. */
#include "model/platform.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/cleanup.h"
#include "model/error.h"

#define HUNDRED                                                                                    \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"                                       \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct normal_case {
	const char *os, *architecture, *variant;
	const char *text, *name;
} normal_cases[] = {
	{ "linux", "amd64", "", "linux/amd64", "linux_amd64" },
	{ "linux", "amd64", "v1", "linux/amd64", "linux_amd64" },
	{ "linux", "amd64", "v3", "linux/amd64/v3", "linux_amd64_v3" },
	{ "Linux", "x86_64", "", "linux/amd64", "linux_amd64" },
	{ "linux", "X86-64", "V1", "linux/amd64", "linux_amd64" },
	{ "linux", "i386", "v2", "linux/386", "linux_386" },
	{ "linux", "386", "", "linux/386", "linux_386" },
	{ "linux", "arm", "", "linux/arm/v7", "linux_arm_v7" },
	{ "linux", "arm", "6", "linux/arm/v6", "linux_arm_v6" },
	{ "linux", "arm", "v5", "linux/arm/v5", "linux_arm_v5" },
	{ "linux", "armhf", "", "linux/arm/v7", "linux_arm_v7" },
	{ "linux", "armel", "v7", "linux/arm/v6", "linux_arm_v6" },
	{ "linux", "aarch64", "8", "linux/arm64", "linux_arm64" },
	{ "linux", "arm64", "v8", "linux/arm64", "linux_arm64" },
	{ "linux", "arm64", "v8.0", "linux/arm64", "linux_arm64" },
	{ "linux", "arm64", "v8.2", "linux/arm64/v8.2", "linux_arm64_v8.2" },
	{ "linux", "arm64", "9.0", "linux/arm64/v9", "linux_arm64_v9" },
	{ "macOS", "arm64", "", "darwin/arm64", "darwin_arm64" },
	{ "windows", "amd64", "", "windows/amd64", "windows_amd64" },
	{ "", "", "", "unknown/unknown", "unknown_unknown" },
	{ "", "s390x", "", "unknown/s390x", "unknown_s390x" },
	/* Hostile names. */
	{ "../x", "y", "", "../x/y", "..%2Fx_y" },
	{ "..", "..", "..", "../../..", ".._.._.." },
	{ "a\nb", "\xc3\xa9", "%", "a\nb/\xc3\xa9/%", "a%0Ab_%C3%A9_%25" },
	{ "a b:c@d=e", "x", "", "a b:c@d=e/x", "a%20b%3Ac%40d%3De_x" },
};

static void normalizes(void **state)
{
	const struct normal_case *c = *state;
	CLEANUP(platform_release) struct platform platform = { 0 };
	char text[PLATFORM_NAME_MAX];

	assert_int_equal(
		platform_init(&platform, c->os, c->architecture, c->variant, NULL, NULL), 0);
	assert_string_equal(platform.os, c->os); /* kept as written */
	assert_string_equal(platform_format(&platform, text), c->text);
	assert_string_equal(platform_directory_name(&platform, text), c->name);
	for (int again = 0; again < 2; again++) { /* the normal form is its own */
		assert_int_equal(platform_normalize(&platform, NULL), 0);
		assert_string_equal(platform_format(&platform, text), c->text);
		assert_string_equal(platform_directory_name(&platform, text), c->name);
	}
}

static void cuts_long_names(void **state)
{
	CLEANUP(platform_release) struct platform platform = { 0 };
	char text[PLATFORM_NAME_MAX];

	(void)state;
	assert_int_equal(
		platform_init(&platform, HUNDRED HUNDRED HUNDRED, HUNDRED, "v", "", NULL), 0);
	assert_true(strlen(platform_directory_name(&platform, text)) < PLATFORM_NAME_MAX);
	assert_true(strlen(platform_format(&platform, text)) < PLATFORM_NAME_MAX);
	platform_release(&platform);

	/* 66 escapes fill 198 of 200 bytes; the next is not cut in two. */
	memset(text, '/', 100);
	text[100] = '\0';
	assert_int_equal(platform_init(&platform, text, "x", "", "", NULL), 0);
	platform_directory_name(&platform, text);
	assert_true(strlen(text) <= 200);
	for (size_t i = 0; i < 198; i++)
		assert_int_equal(text[i], "%2F"[i % 3]);
	assert_null(strchr(text + 198, '%'));
}

static const struct parse_case {
	const char *text;
	int rc;
	const char *normal;
} parse_cases[] = {
	{ "linux/amd64", 0, "linux/amd64" },
	{ "linux/arm/v6", 0, "linux/arm/v6" },
	{ "Linux/AArch64/v8", 0, "linux/arm64" },
	{ "freebsd/riscv64", 0, "freebsd/riscv64" },
	{ "", -EINVAL, NULL },
	{ "linux", -EINVAL, NULL },
	{ "linux/", -EINVAL, NULL },
	{ "/amd64", -EINVAL, NULL },
	{ "linux/arm/", -EINVAL, NULL },
	{ "linux/arm/v7/x", -EINVAL, NULL },
	{ "linux/amd 64", -EINVAL, NULL },
	{ "linux/*", -EINVAL, NULL },
	{ "all", -EINVAL, NULL },
};

static void parses(void **state)
{
	const struct parse_case *c = *state;
	CLEANUP(platform_release) struct platform platform = { 0 };
	struct error err = { "" };
	char text[PLATFORM_NAME_MAX];

	assert_int_equal(platform_parse(&platform, c->text, &err), c->rc);
	if (c->rc) {
		assert_non_null(strstr(err.text, "OS/ARCH"));
		assert_null(platform.os);
	} else {
		assert_string_equal(platform_format(&platform, text), c->normal);
	}
}

static void knows_this_machine(void **state)
{
	CLEANUP(platform_release) struct platform platform = { 0 };

	(void)state;
	assert_int_equal(platform_parse(&platform, "native", NULL), 0);
	assert_string_equal(platform.os, "linux");
	assert_string_not_equal(platform.architecture, "unknown");
}

static void copies(void **state)
{
	CLEANUP(platform_release) struct platform platform = { 0 };
	CLEANUP(platform_release) struct platform copy = { 0 };

	(void)state;
	assert_int_equal(platform_init(&platform, "Windows", "amd64", NULL, "10.0.1", NULL), 0);
	platform.os_features = calloc(2, sizeof *platform.os_features);
	platform.os_features[0] = strdup("win32k");
	assert_int_equal(platform_copy(&copy, &platform, NULL), 0);
	assert_string_equal(copy.os, "Windows");
	assert_string_equal(copy.variant, "");
	assert_string_equal(copy.os_version, "10.0.1");
	assert_string_equal(copy.os_features[0], "win32k");
	assert_null(copy.os_features[1]);
	assert_null(copy.features);
}

/* For each wish: what serves it, best first. */
static const struct match_case {
	const char *want;
	const char *order[12];
	const char *refused[8];
} match_cases[] = {
	{ "linux/arm/v7", { "linux/arm/v7", "linux/arm/v6", "linux/arm/v5" },
		{ "linux/arm/v8", "linux/arm64", "linux/amd64", "windows/arm/v7" } },
	{ "linux/arm/v5", { "linux/arm/v5" }, { "linux/arm/v6", "linux/arm/v7" } },
	{ "linux/arm64",
		{ "linux/arm64", "linux/arm/v8", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5" },
		{ "linux/arm64/v8.1", "linux/arm64/v9", "linux/amd64" } },
	{ "linux/arm64/v8.2",
		{ "linux/arm64/v8.2", "linux/arm64/v8.1", "linux/arm64", "linux/arm/v8",
			"linux/arm/v7" },
		{ "linux/arm64/v8.3", "linux/arm64/v9" } },
	{ "linux/arm64/v9.1",
		{ "linux/arm64/v9.1", "linux/arm64/v9", "linux/arm64/v8.6", "linux/arm64/v8.5",
			"linux/arm64/v8.1", "linux/arm64/v8", "linux/arm/v8" },
		{ "linux/arm64/v9.2", "linux/arm64/v8.7" } },
	{ "linux/amd64", { "linux/amd64", "linux/386" },
		{ "linux/amd64/v2", "linux/arm64", "windows/amd64", "linux/unknown" } },
	{ "linux/amd64/v3", { "linux/amd64/v3", "linux/amd64/v2", "linux/amd64", "linux/386" },
		{ "linux/amd64/v4" } },
	{ "linux/386", { "linux/386" }, { "linux/amd64" } },
	{ "linux/riscv64", { "linux/riscv64" }, { "linux/riscv64/rva22", "linux/mips64le" } },
	{ "linux/mips64le/softfloat", { "linux/mips64le/softfloat" }, { "linux/mips64le" } },
};

static unsigned match(const char *want, const char *have)
{
	CLEANUP(platform_release) struct platform w = { 0 };
	CLEANUP(platform_release) struct platform h = { 0 };

	assert_int_equal(platform_parse(&w, want, NULL), 0);
	assert_int_equal(platform_parse(&h, have, NULL), 0);
	return platform_match(&w, &h);
}

static void matches_in_order(void **state)
{
	const struct match_case *c = *state;
	unsigned previous = (unsigned)-1;

	for (size_t i = 0; c->order[i]; i++) {
		unsigned score = match(c->want, c->order[i]);

		assert_true(score > 0);
		assert_true(score < previous);
		previous = score;
	}
	for (size_t i = 0; c->refused[i]; i++)
		assert_int_equal(match(c->want, c->refused[i]), 0);
}

static void matches_as_written(void **state)
{
	CLEANUP(platform_release) struct platform want = { 0 };
	CLEANUP(platform_release) struct platform have = { 0 };

	(void)state;
	assert_int_equal(platform_init(&want, "linux", "arm64", "", "", NULL), 0);
	assert_int_equal(platform_init(&have, "Linux", "AARCH64", "V8", "", NULL), 0);
	assert_int_equal(platform_match(&want, &have), platform_match(&want, &want));
}

static void weighs_versions_and_features(void **state)
{
	char *features[] = { (char *)"lazy.v1", NULL };
	struct platform plain = { .os = (char *)"windows",
		.architecture = (char *)"amd64",
		.variant = (char *)"",
		.os_version = (char *)"10.0.20348.2227" };
	struct platform want = plain, other = plain, lazy = plain;

	(void)state;
	want.os_version = (char *)"10.0.20348";
	other.os_version = (char *)"10.0.203489";
	assert_true(platform_match(&want, &plain) > 0);
	assert_int_equal(platform_match(&want, &other), 0);
	want.os_version = (char *)"";
	assert_true(platform_match(&want, &other) > 0);

	lazy.os_features = features;
	assert_true(platform_match(&want, &lazy) > 0);
	assert_true(platform_match(&want, &lazy) < platform_match(&want, &plain));
	want.os_features = features;
	assert_int_equal(platform_match(&want, &lazy), platform_match(&want, &plain));
}

int main(void)
{
	static const struct CMUnitTest others[] = {
		cmocka_unit_test(cuts_long_names),
		cmocka_unit_test(knows_this_machine),
		cmocka_unit_test(copies),
		cmocka_unit_test(matches_as_written),
		cmocka_unit_test(weighs_versions_and_features),
	};
	struct CMUnitTest tests[ARRAY_SIZE(normal_cases) + ARRAY_SIZE(parse_cases) +
				ARRAY_SIZE(match_cases) + ARRAY_SIZE(others)];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(normal_cases); i++)
		tests[n++] = (struct CMUnitTest){ .name = normal_cases[i].name,
			.test_func = normalizes,
			.initial_state = (void *)&normal_cases[i] };
	for (size_t i = 0; i < ARRAY_SIZE(parse_cases); i++)
		tests[n++] = (struct CMUnitTest){ .name = *parse_cases[i].text ? parse_cases[i].text
									       : "no text",
			.test_func = parses,
			.initial_state = (void *)&parse_cases[i] };
	for (size_t i = 0; i < ARRAY_SIZE(match_cases); i++)
		tests[n++] = (struct CMUnitTest){ .name = match_cases[i].want,
			.test_func = matches_in_order,
			.initial_state = (void *)&match_cases[i] };
	memcpy(tests + n, others, sizeof others);
	return cmocka_run_group_tests_name("platform", tests, NULL, NULL);
}
