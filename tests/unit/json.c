/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is well-formed is RFC 8259's; each refusal below is something json-c
 * alone lets pass, or a limit of ours.
 */
#include "model/json.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "model/cleanup.h"
#include "model/error.h"
#include "model/image.h"
#include "tests/unit/fixture.h"

#define BYTES(literal) literal, sizeof literal - 1

static const struct parse_case {
	const char *name, *text;
	size_t len;
	int rc;
	const char *error;
} parse_cases[] = {
	{ "an empty object", BYTES("{}"), 0, NULL },
	{ "an empty array", BYTES(" [ ] \n"), 0, NULL },
	{ "all kinds of values", BYTES("{\"a\":[1,-2.5e+3,0,-0,1E9,true,false,null,\"x\",{}]}"), 0,
		NULL },
	{ "blanks everywhere", BYTES("\t{ \"a\" : [ 1 , 2 ] ,\r\n\"b\" : { } } "), 0, NULL },
	{ "all escapes", BYTES("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\ude00\"]"), 0, NULL },
	{ "UTF-8 of all lengths", BYTES("[\"a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\x7f\"]"), 0,
		NULL },
	{ "a NUL in a string", BYTES("[\"a\\u0000b\"]"), 0, NULL },
	{ "one name in two objects", BYTES("[{\"a\":1},{\"a\":{\"a\":2}}]"), 0, NULL },
	{ "an empty name", BYTES("{\"\":1}"), 0, NULL },
	{ "large and fractional numbers", BYTES("[1e999999,123456789012345678901234567890,0.1e-7]"),
		0, NULL },

	{ "where in one line", BYTES("{\"a\":1,}"), -EIO, "at line 1, byte 7: " },
	{ "where in several", BYTES("{\r\n\"a\": 1,\n}\n"), -EIO, "at line 3, byte 11: " },
	{ "where the end is missing", BYTES("[\n"), -EIO, "at line 2, byte 2: " },
	{ "nothing", BYTES(""), -EIO, "expected an object" },
	{ "blanks alone", BYTES("  \n"), -EIO, "expected an object" },
	{ "a lone number", BYTES("1"), -EIO, "expected an object" },
	{ "a lone null", BYTES("null"), -EIO, "expected an object" },
	{ "a comma before '}'", BYTES("{\"a\":1,}"), -EIO, "expected a name" },
	{ "a comma before ']'", BYTES("[1,]"), -EIO, "not a value" },
	{ "a leading comma", BYTES("[,1]"), -EIO, "not a value" },
	{ "two commas", BYTES("[1,,2]"), -EIO, "not a value" },
	{ "no comma", BYTES("[1 2]"), -EIO, "expected ','" },
	{ "no colon", BYTES("{\"a\" 1}"), -EIO, "expected ':'" },
	{ "no value", BYTES("{\"a\":}"), -EIO, "not a value" },
	{ "text behind the end", BYTES("{} x"), -EIO, "behind its end" },
	{ "a second object", BYTES("{}{}"), -EIO, "behind its end" },
	{ "a NUL behind the end", BYTES("{}\0"), -EIO, "behind its end" },
	{ "a comment", BYTES("{/* */}"), -EIO, "expected a name" },
	{ "single quotes", BYTES("{'a':1}"), -EIO, "expected a name" },
	{ "a single-quoted value", BYTES("['a']"), -EIO, "not a value" },
	{ "a name without quotes", BYTES("{a:1}"), -EIO, "expected a name" },
	{ "NaN", BYTES("[NaN]"), -EIO, "not a value" },
	{ "Infinity", BYTES("[Infinity]"), -EIO, "not a value" },
	{ "-Infinity", BYTES("[-Infinity]"), -EIO, "not a value" },
	{ "TRUE", BYTES("[TRUE]"), -EIO, "not a value" },
	{ "Null", BYTES("[Null]"), -EIO, "not a value" },
	{ "a word that goes on", BYTES("[nullx]"), -EIO, "expected ','" },
	{ "a leading zero", BYTES("[01]"), -EIO, "not a value" },
	{ "a leading plus", BYTES("[+1]"), -EIO, "not a value" },
	{ "a lone minus", BYTES("[-]"), -EIO, "not a value" },
	{ "a point at the end", BYTES("[1.]"), -EIO, "not a number" },
	{ "a point at the start", BYTES("[.5]"), -EIO, "not a value" },
	{ "an empty exponent", BYTES("[1e+]"), -EIO, "not a number" },
	{ "a hexadecimal number", BYTES("[0x10]"), -EIO, "expected ','" },
	{ "a line feed in a string", BYTES("[\"a\nb\"]"), -EIO, "control character" },
	{ "a NUL byte in a string", BYTES("[\"a\0b\"]"), -EIO, "control character" },
	{ "an unknown escape", BYTES("[\"\\x41\"]"), -EIO, "escape" },
	{ "a short \\u", BYTES("[\"\\u12\"]"), -EIO, "escape" },
	{ "a cut \\u", BYTES("[\"\\u12"), -EIO, "escape" },
	{ "a NUL in a name", BYTES("{\"a\\u0000b\":1}"), -EIO, "NUL" },
	{ "a string without end", BYTES("[\"a"), -EIO, "without end" },
	{ "an array without end", BYTES("[1"), -EIO, "expected ','" },
	{ "an object cut in a name", BYTES("{\"a"), -EIO, "without end" },
	{ "the wrong closer", BYTES("[1}"), -EIO, "expected ','" },
	{ "a byte order mark", BYTES("\xef\xbb\xbf{}"), -EIO, "expected an object" },
	{ "UTF-16", BYTES("\xff\xfe{\0}\0"), -EIO, "expected an object" },
	{ "a byte that is not UTF-8", BYTES("[\"\xff\"]"), -EIO, "UTF-8" },
	{ "an overlong form", BYTES("[\"\xc0\xaf\"]"), -EIO, "UTF-8" },
	{ "a long overlong form", BYTES("[\"\xe0\x80\xaf\"]"), -EIO, "UTF-8" },
	{ "a surrogate in UTF-8", BYTES("[\"\xed\xa0\x80\"]"), -EIO, "UTF-8" },
	{ "beyond U+10FFFF", BYTES("[\"\xf4\x90\x80\x80\"]"), -EIO, "UTF-8" },
	{ "a cut sequence", BYTES("[\"\xe2\x82\"]"), -EIO, "UTF-8" },
	{ "a name that stands twice", BYTES("{\"a\":1,\"b\":2,\"a\":3}"), -EIO, "twice" },
	{ "a name twice, deep down", BYTES("{\"x\":[{\"a\":1,\"a\":1}]}"), -EIO, "twice" },
	{ "a name twice, once escaped", BYTES("{\"a\":1,\"\\u0061\":2}"), -EIO, "twice" },
};

static void parses(void **state)
{
	const struct parse_case *c = *state;
	CLEANUP(json_putp) struct json_object *object = NULL;
	struct error err = { "" };

	assert_int_equal(json_parse(&object, c->text, c->len, &err), c->rc);
	if (c->rc) {
		if (!strstr(err.text, c->error))
			fail_msg("'%s' does not hold '%s'", err.text, c->error);
		assert_null(object);
	} else {
		assert_non_null(object);
	}
}

static char *repeat(char *to, const char *text, size_t times)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < times; i++, to += len)
		memcpy(to, text, len);
	return to;
}

static int parse_repeated(const char *before, const char *middle, const char *after, size_t times)
{
	CLEANUP(json_putp) struct json_object *object = NULL;
	char *text = malloc((strlen(before) + strlen(after)) * times + strlen(middle) + 1);
	char *end;
	int rc;

	assert_non_null(text);
	end = repeat(text, before, times);
	end = repeat(end, middle, 1);
	end = repeat(end, after, times);
	rc = json_parse(&object, text, (size_t)(end - text), NULL);
	free(text);
	return rc;
}

static void bounds_depth(void **state)
{
	(void)state;
	assert_int_equal(parse_repeated("[", "1", "]", JSON_DEPTH_MAX), 0);
	assert_int_equal(parse_repeated("[", "1", "]", JSON_DEPTH_MAX + 1), -EIO);
	assert_int_equal(parse_repeated("{\"a\":", "1", "}", JSON_DEPTH_MAX), 0);
	assert_int_equal(parse_repeated("[", "", "", 100000), -EIO);
}

static void bounds_memory(void **state)
{
	(void)state;
	assert_int_equal(
		parse_repeated("", "[[]", ",[]", 60000), -EIO); /* no end: all was scanned */
	assert_int_equal(parse_repeated("", "[[]", ",{}", 70000), -EFBIG);
	assert_int_equal(parse_repeated("", "[1", ",2", 2000000), -EFBIG);
}

static const char members[] =
	"{\"text\":\"t\",\"empty\":\"\",\"null\":null,\"nul\":\"a\\u0000b\",\"number\":42,"
	"\"zero\":0,\"max\":9223372036854775807,\"over\":9223372036854775808,"
	"\"huge\":99999999999999999999999999,\"negative\":-1,\"fraction\":1.0,\"exponent\":1e3,"
	"\"true\":true,\"object\":{\"x\":1},\"array\":[\"a\",\"b\"],\"mixed\":[\"a\",1],"
	"\"nulls\":[null],\"none\":[],\"os.version\":\"dotted\"}";

static int setup(void **state)
{
	struct json_object *object = NULL;

	if (json_parse(&object, members, sizeof members - 1, NULL))
		return -1;
	*state = object;
	return 0;
}

static int teardown(void **state)
{
	json_object_put(*state);
	return 0;
}

static void gets_strings(void **state)
{
	static const struct {
		const char *name;
		int rc;
		const char *value; /* NULL: untouched */
	} cases[] = {
		{ "text", 0, "t" },
		{ "empty", 0, "" },
		{ "os.version", 0, "dotted" },
		{ "null", 0, NULL },
		{ "absent", 0, NULL },
		{ "Text", 0, NULL },
		{ "nul", -EIO, NULL },
		{ "number", -EIO, NULL },
		{ "object", -EIO, NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(freep) char *value = NULL;
		struct error err = { "" };

		assert_int_equal(json_get_string(*state, cases[i].name, &value, &err), cases[i].rc);
		if (cases[i].value)
			assert_string_equal(value, cases[i].value);
		else
			assert_null(value);
		if (cases[i].rc)
			assert_non_null(strstr(err.text, cases[i].name));
	}
}

static void gets_sizes(void **state)
{
	static const struct {
		const char *name;
		int rc;
		uint64_t value;
	} cases[] = {
		{ "number", 0, 42 },
		{ "zero", 0, 0 },
		{ "max", 0, INT64_MAX },
		{ "null", 0, 7 },
		{ "absent", 0, 7 },
		{ "over", -EIO, 7 },
		{ "huge", -EIO, 7 },
		{ "negative", -EIO, 7 },
		{ "fraction", -EIO, 7 },
		{ "exponent", -EIO, 7 },
		{ "text", -EIO, 7 },
		{ "true", -EIO, 7 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t value = 7;

		assert_int_equal(json_get_size(*state, cases[i].name, &value, NULL), cases[i].rc);
		assert_true(value == cases[i].value);
	}
}

static void gets_containers(void **state)
{
	struct json_object *object = NULL, *array = NULL, *same = NULL;
	bool is_true = false;

	assert_int_equal(json_get_object(*state, "object", &object, NULL), 0);
	assert_non_null(object);
	assert_int_equal(json_get_array(*state, "array", &array, NULL), 0);
	assert_non_null(array);
	assert_int_equal(json_get_object(*state, "array", &same, NULL), -EIO);
	assert_int_equal(json_get_array(*state, "object", &same, NULL), -EIO);
	assert_int_equal(json_get_object(*state, "null", &same, NULL), 0);
	assert_int_equal(json_get_array(*state, "absent", &same, NULL), 0);
	assert_null(same);
	assert_int_equal(json_get_bool(*state, "true", &is_true, NULL), 0);
	assert_true(is_true);
	assert_int_equal(json_get_bool(*state, "null", &is_true, NULL), 0);
	assert_true(is_true);
	assert_int_equal(json_get_bool(*state, "number", &is_true, NULL), -EIO);
	/* Members of nothing, as after an absent object. */
	assert_int_equal(json_get_object(NULL, "object", &same, NULL), 0);
	assert_null(same);
}

static void gets_lists(void **state)
{
	char **list = NULL;

	assert_int_equal(json_get_strings(*state, "array", &list, 2, NULL), 0);
	assert_string_equal(list[0], "a");
	assert_string_equal(list[1], "b");
	assert_null(list[2]);
	strings_free(list);
	list = NULL;
	assert_int_equal(json_get_strings(*state, "none", &list, 0, NULL), 0);
	assert_null(list[0]);
	strings_free(list);
	list = NULL;
	assert_int_equal(json_get_strings(*state, "null", &list, 2, NULL), 0);
	assert_int_equal(json_get_strings(*state, "array", &list, 1, NULL), -EFBIG);
	assert_int_equal(json_get_strings(*state, "mixed", &list, 9, NULL), -EIO);
	assert_int_equal(json_get_strings(*state, "nulls", &list, 9, NULL), -EIO);
	assert_int_equal(json_get_strings(*state, "text", &list, 9, NULL), -EIO);
	assert_null(list);
	strings_free(NULL);
}

/* The members of a text, as NAME=VALUE. */
static const struct members_case {
	const char *name, *text, *members; /* members NULL: refused */
} members_cases[] = {
	{ "no members", " { } ", "" },
	{ "values as they stand",
		"{\"b\" : [ 1 , {\"x\":1.0} ],\"a\":\"\\u00e9\\/\",\"c\":12345678901234567890,"
		"\"d\":null }",
		"b=[ 1 , {\"x\":1.0} ];a=\"\\u00e9\\/\";c=12345678901234567890;d=null;" },
	{ "escaped names", "{\"\\u0061\\n\":1,\"\\\"\":2}", "a\n=1;\"=2;" },
	{ "a member that stands twice", "{\"a\":1,\"a\":2}", "a=1;a=2;" },
	{ "an array of members", "[1]", NULL },
	{ "a member too few", "{\"a\":1,}", NULL },
	{ "a member without a value", "{\"a\":}", NULL },
	{ "members without a comma", "{\"a\":1 \"b\":2}", NULL },
	{ "members without an end", "{\"a\":1", NULL },
	{ "text behind members", "{} {}", NULL },
	{ "a broken value", "{\"a\":[1}", NULL },
	{ "a member's name with a NUL", "{\"\\u0000\":1}", NULL },
};

static void splits(void **state)
{
	const struct members_case *c = *state;
	CLEANUP(json_members_release) struct json_members split = { 0 };
	CLEANUP(buf_release) struct buf found = { .max = 1000 };
	int rc = json_members_parse(&split, c->text, strlen(c->text), NULL);

	assert_int_equal(rc, c->members ? 0 : -EIO);
	for (size_t i = 0; i < split.count; i++)
		(void)buf_printf(&found, "%s=%.*s;", split.items[i].name, (int)split.items[i].len,
			split.items[i].value);
	if (c->members)
		assert_string_equal(found.data ? found.data : "", c->members);
}

static void changes_members(void **state)
{
	static const char text[] = "{\"a\":1,\"b\":2,\"a\":3}";
	CLEANUP(json_members_release) struct json_members split = { 0 };

	(void)state;
	assert_int_equal(json_members_parse(&split, text, sizeof text - 1, NULL), 0);
	assert_null(json_members_find(&split, "c"));
	assert_int_equal(json_members_set(&split, "a", "true", 4, NULL), 0);
	assert_int_equal(split.count, 2);
	assert_memory_equal(json_members_find(&split, "a")->value, "true", 4);
	json_members_remove(&split, "b");
	json_members_remove(&split, "c");
	assert_int_equal(split.count, 1);
	assert_int_equal(json_members_set(&split, "c", "[]", 2, NULL), 0);
	assert_int_equal(split.count, 2);
}

static const struct member_string_case {
	const char *name, *text;
	int rc;
	const char *string; /* of "a"; NULL: none */
} member_string_cases[] = {
	{ "a string", "{\"a\":\"x y\"}", 0, "x y" },
	{ "an empty string", "{\"a\":\"\"}", 0, "" },
	{ "a string with escapes", "{\"a\":\"\\u00e9\\/\\\"\\n\\ud83d\\ude00\"}", 0,
		"\xc3\xa9/\"\n\xf0\x9f\x98\x80" },
	{ "a string with a NUL", "{\"a\":\"x\\u0000y\"}", -EIO, NULL },
	{ "no such member", "{\"b\":\"x\"}", 0, NULL },
	{ "null for a string", "{\"a\":null}", 0, NULL },
	{ "a number for a string", "{\"a\":1}", -EIO, NULL },
	{ "an object for a string", "{\"a\":{}}", -EIO, NULL },
};

static void gets_member_string(void **state)
{
	const struct member_string_case *c = *state;
	CLEANUP(json_members_release) struct json_members split = { 0 };
	CLEANUP(freep) char *string = NULL;

	assert_int_equal(json_members_parse(&split, c->text, strlen(c->text), NULL), 0);
	assert_int_equal(json_members_string(&split, "a", &string, NULL), c->rc);
	assert_int_equal(string != NULL, c->string != NULL);
	if (string)
		assert_string_equal(string, c->string);
}

static void gets_member_objects(void **state)
{
	static const char text[] = "{\"a\":{\"b\":1},\"c\":[],\"d\":null,\"e\":{\"f\":1,\"f\":2}}";
	CLEANUP(json_members_release) struct json_members split = { 0 };
	CLEANUP(json_members_release) struct json_members inner = { 0 };

	(void)state;
	assert_int_equal(json_members_parse(&split, text, sizeof text - 1, NULL), 0);
	assert_int_equal(json_members_check_unique(&split, NULL), 0);
	assert_int_equal(json_members_object(&split, "c", &inner, NULL), -EIO);
	assert_int_equal(json_members_object(&split, "d", &inner, NULL), 0);
	assert_int_equal(json_members_object(&split, "x", &inner, NULL), 0);
	assert_int_equal(inner.count, 0);
	assert_int_equal(json_members_object(&split, "a", &inner, NULL), 0);
	assert_string_equal(inner.items[0].name, "b");
	json_members_release(&inner);
	assert_int_equal(json_members_object(&split, "e", &inner, NULL), -EIO);
}

/* Where Python's json module finds the mistakes. */
static const struct recorded_case {
	const char *file, *where;
} recorded_cases[] = {
	{ "seed/01-schema1-hello-world.invalid-json.json", "malformed JSON at line 26, byte 3888" },
	{ "seed/02-manifest-list.invalid-json.json", "malformed JSON at line 12, byte 337" },
};

static void says_where(void **state)
{
	const struct recorded_case *c = *state;
	CLEANUP(json_putp) struct json_object *object = NULL;
	struct error err = { "" };
	size_t len = 0;
	CLEANUP(freep) char *text = fixture(c->file, &len);

	assert_int_equal(json_parse(&object, text, len, &err), -EIO);
	if (!strstr(err.text, c->where))
		fail_msg("'%s' does not hold '%s'", err.text, c->where);
}

#define ADD(cases, function)                                                                       \
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)                                             \
		tests[n++] = (struct CMUnitTest)                                                   \
		{                                                                                  \
			.name = *(const char *const *)&cases[i], .test_func = function,            \
			.initial_state = (void *)&cases[i]                                         \
		}

int main(void)
{
	static const struct CMUnitTest others[] = {
		cmocka_unit_test(bounds_depth),
		cmocka_unit_test(bounds_memory),
		cmocka_unit_test(changes_members),
		cmocka_unit_test(gets_member_objects),
		cmocka_unit_test_setup_teardown(gets_strings, setup, teardown),
		cmocka_unit_test_setup_teardown(gets_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(gets_containers, setup, teardown),
		cmocka_unit_test_setup_teardown(gets_lists, setup, teardown),
	};
	struct CMUnitTest tests[ARRAY_SIZE(parse_cases) + ARRAY_SIZE(members_cases) +
				ARRAY_SIZE(member_string_cases) + ARRAY_SIZE(recorded_cases) +
				ARRAY_SIZE(others)];
	size_t n = 0;

	ADD(parse_cases, parses);
	ADD(members_cases, splits);
	ADD(member_string_cases, gets_member_string);
	ADD(recorded_cases, says_where);
	memcpy(tests + n, others, sizeof others);
	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
