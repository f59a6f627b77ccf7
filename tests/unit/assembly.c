/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file of parts is, at every offset and for every length, what its parts are one after the
 * other.  The parts that are not in memory are played by two alphabets.
 */
#include "fs/assembly.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "model/cleanup.h"

CLEANUP_POINTER(assembly_freep, struct assembly, assembly_free)

static const char blob_text[] = "abcdefghijklmnopqrstuvwxyz";
static const char layer_text[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
static struct layer_object *const some_layer = (struct layer_object *)blob_text; /* never used */

/* ".5" appends five dots, "b5" and "p5" add a blob and a plain layer of that size. */
static const struct build_case {
	const char *name, *recipe, *content;
	size_t parts;
} build_cases[] = {
	{ "nothing", "", "", 0 },
	{ "bytes alone", ".3", "...", 1 },
	{ "bytes after bytes are one part", ".3.2", ".....", 1 },
	{ "a blob alone", "b4", "abcd", 1 },
	{ "a plain layer alone", "p2", "AB", 1 },
	{ "bytes around", ".2b3.1p4.2", "..abc.ABCD..", 5 },
	{ "blobs side by side", "b2b3p1b4", "ababcAabcd", 4 },
	{ "empty ones are no parts", "b0.1b0p0.1b0", "..", 2 },
	{ "a long one", ".9b9.9p9.9b9.1p9.9",
		".........abcdefghi.........ABCDEFGHI.........abcdefghi.ABCDEFGHI.........", 9 },
};

static struct assembly *build(const char *recipe)
{
	struct assembly *assembly = assembly_new();
	struct error err = { 0 };
	int rc = 0;

	assert_non_null(assembly);
	for (const char *step = recipe; *step; step += 2) {
		uint64_t size = (uint64_t)(step[1] - '0');
		struct descriptor blob = { .size = size };

		if (*step == 'b')
			rc = assembly_add_blob(assembly, &blob, &err);
		else if (*step == 'p')
			rc = assembly_add_plain(assembly, some_layer, size, &err);
		else
			rc = buf_append(&assembly->bytes, ".........", (size_t)size);
		assert_int_equal(rc, 0);
	}
	assert_int_equal(assembly_finish(assembly, &err), 0);
	return assembly;
}

static int play(void *context, const struct assembly *assembly, size_t part, uint64_t offset,
	size_t len, struct answer *answer)
{
	const struct part *asked = &assembly->parts[part];
	const char *text = asked->kind == PART_BLOB ? blob_text : layer_text;

	(void)context;
	assert_int_not_equal(asked->kind, PART_BYTES);
	assert_true(len > 0 && offset + len <= asked->length);
	return answer_add(answer, text + offset, len, NULL, NULL);
}

static void reads(void **state)
{
	const struct build_case *c = *state;
	CLEANUP(assembly_freep) struct assembly *assembly = build(c->recipe);

	assert_int_equal(assembly->size, strlen(c->content));
	assert_int_equal(assembly->count, c->parts);
	for (size_t offset = 0; offset <= assembly->size; offset++) {
		for (size_t len = 0; len <= assembly->size - offset; len++) {
			struct answer answer = { .len = len };

			assert_int_equal(
				assembly_read(assembly, offset, &answer, play, NULL, NULL), 0);
			assert_int_equal(answer.done, len);
			if (len)
				assert_memory_equal(
					answer_bytes(&answer), c->content + offset, len);
			answer_release(&answer);
		}
	}
}

/* --- by hand --- */

static int refuse(void *context, const struct assembly *assembly, size_t part, uint64_t offset,
	size_t len, struct answer *answer)
{
	size_t *asked = context;

	(void)assembly;
	(void)part;
	(void)offset;
	(void)len;
	(void)answer;
	++*asked;
	return -EINPROGRESS;
}

static void only_what_is_read_is_asked_for(void **state)
{
	CLEANUP(assembly_freep) struct assembly *assembly = build(".4b4.4b4");
	struct answer first = { .len = 4 }, second = { .len = 4 }, all = { .len = 16 };
	size_t asked = 0;

	(void)state;
	assert_int_equal(assembly_read(assembly, 0, &first, refuse, &asked, NULL), 0);
	assert_int_equal(assembly_read(assembly, 8, &second, refuse, &asked, NULL), 0);
	assert_int_equal(asked, 0);
	assert_int_equal(assembly_read(assembly, 0, &all, refuse, &asked, NULL), -EINPROGRESS);
	assert_int_equal(asked, 1);
	/* What was found already is not asked for again. */
	assert_int_equal(assembly_read(assembly, 0, &all, play, NULL, NULL), 0);
	assert_memory_equal(answer_bytes(&all), "....abcd....abcd", 16);
	answer_release(&all);
}

static void a_file_has_a_ceiling(void **state)
{
	CLEANUP(assembly_freep) struct assembly *assembly = assembly_new();
	struct descriptor blob = { .size = INT64_MAX };
	struct error err = { 0 };

	(void)state;
	assert_non_null(assembly);
	assert_int_equal(assembly_add_blob(assembly, &blob, &err), 0);
	blob.size = 1;
	assert_int_equal(assembly_add_blob(assembly, &blob, &err), -EFBIG);
	blob.size = UINT64_MAX;
	assert_int_equal(assembly_add_blob(assembly, &blob, &err), -EFBIG);
	assert_int_equal(assembly_add_plain(assembly, some_layer, 1, &err), -EFBIG);
	assert_int_equal(buf_append(&assembly->bytes, ".", 1), 0);
	assert_int_equal(assembly_finish(assembly, &err), -EFBIG);
}

static void what_could_not_be_appended_is_a_failure(void **state)
{
	CLEANUP(assembly_freep) struct assembly *assembly = assembly_new();
	struct error err = { 0 };

	(void)state;
	assert_non_null(assembly);
	assembly->bytes.max = 3;
	(void)buf_append(&assembly->bytes, "....", 4);
	assert_int_equal(assembly_finish(assembly, &err), -EFBIG);
}

static const struct CMUnitTest by_hand[] = {
	cmocka_unit_test(only_what_is_read_is_asked_for),
	cmocka_unit_test(a_file_has_a_ceiling),
	cmocka_unit_test(what_could_not_be_appended_is_a_failure),
};

int main(void)
{
	static struct CMUnitTest tests[ARRAY_SIZE(build_cases) + ARRAY_SIZE(by_hand)];
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(build_cases); i++)
		tests[count++] = (struct CMUnitTest){ .name = build_cases[i].name,
			.test_func = reads,
			.initial_state = (void *)&build_cases[i] };
	for (size_t i = 0; i < ARRAY_SIZE(by_hand); i++)
		tests[count++] = by_hand[i];
	return _cmocka_run_group_tests("assembly", tests, count, NULL, NULL);
}
