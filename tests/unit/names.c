/* SPDX-License-Identifier: Apache-2.0 */
/* Names from outside as file names. */
#include "fs/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/cleanup.h"

static const struct name_case {
	const char *name, *outside, *file;
} name_cases[] = {
	{ "a plain tag", "1.28.0", "1.28.0" },
	{ "a slash", "a/b", "a%2Fb" },
	{ "our own name", "_untagged", "%5Funtagged" },
	{ "a dot", ".", "%2E" },
	{ "two dots", "..", "%2E." },
	{ "the control directory", ".imgfs", "%2Eimgfs" },
	{ "a percent sign", "100%2F", "100%252F" },
	{ "a line break", "a\nb", "a%0Ab" },
	{ "bytes that are not UTF-8 stay", "\xff\xfe", "\xff\xfe" },
	{ "an underscore inside", "a_b", "a_b" },
};

static void goes_both_ways(void **state)
{
	const struct name_case *c = *state;
	char file[ESCAPED_NAME_MAX], outside[ESCAPED_NAME_MAX];

	assert_non_null(name_escape(file, c->outside));
	assert_string_equal(file, c->file);
	assert_non_null(name_unescape(outside, file));
	assert_string_equal(outside, c->outside);
}

/* Else one name would have two files. */
static void other_spellings_are_no_names(void **state)
{
	static const char *const spellings[] = { "%41", "a%2fb", "%", "a%2", "%zz", ".x", "_x" };
	char name[ESCAPED_NAME_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(spellings); i++)
		assert_null(name_unescape(name, spellings[i]));
}

static void too_long_is_none(void **state)
{
	char name[300], text[ESCAPED_NAME_MAX];

	(void)state;
	memset(name, 'a', sizeof name);
	name[255] = '\0';
	assert_non_null(name_escape(text, name));
	name[255] = 'a';
	name[256] = '\0';
	assert_null(name_escape(text, name));
	assert_null(name_unescape(text, name));
	(void)memset(name, '/', 86); /* escaped, 3 bytes each */
	name[85] = '\0';
	assert_non_null(name_escape(text, name));
	name[85] = '/';
	name[86] = '\0';
	assert_null(name_escape(text, name));
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(name_cases) + 2] = {
		cmocka_unit_test(other_spellings_are_no_names),
		cmocka_unit_test(too_long_is_none),
	};

	for (size_t i = 0; i < ARRAY_SIZE(name_cases); i++)
		tests[i + 2] = (struct CMUnitTest){ .name = name_cases[i].name,
			.test_func = goes_both_ways,
			.initial_state = (void *)&name_cases[i] };
	return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
