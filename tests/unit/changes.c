/* SPDX-License-Identifier: Apache-2.0 */
/* changes.txt: what a layer did to those below, as `docker diff` has it. */
#include "fs/changes.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "layers.h"
#include "model/cleanup.h"

enum { LAYERS_MAX = 4 };

static const struct changes_case {
	const char *name;
	const char *layers[LAYERS_MAX]; /* the last one is looked at */
	const char *expected;
} changes_cases[] = {
	{ "the base adds everything", { "d a\nf a/x\nf b" }, "A /a\nA /a/x\nA /b\n" },
	{ "an added file", { "d a\nf a/x", "f a/y" }, "A /a/y\n" },
	{ "a changed file", { "d a\nf a/x", "f a/x" }, "M /a/x\n" },
	{ "a deleted file", { "f a\nf b", "f .wh.a" }, "D /a\n" },
	{ "a deleted file deep down", { "d a\nd a/b\nf a/b/c", "f a/b/.wh.c" }, "D /a/b/c\n" },
	{ "a whiteout of nothing", { "f a", "f .wh.b" }, "" },
	{ "a directory's mode", { "d a 0755\nf a/x", "d a 0700" }, "M /a\n" },
	{ "a directory as it was", { "d a\nf a/x", "d a\nf a/y" }, "A /a/y\n" },
	{ "opaque", { "d a\nf a/1\nf a/2", "d a\nf a/.wh..wh..opq\nf a/2\nf a/3" },
		"D /a/1\nA /a/2\nA /a/3\n" },
	{ "a file replaced by a directory", { "f a", "d a\nf a/x" }, "M /a\nA /a/x\n" },
	{ "a directory replaced by another", { "d a\nf a/old", "f .wh.a\nd a\nf a/new" },
		"A /a/new\n" },
	{ "deleted below, added again", { "f a", "f .wh.a", "f a" }, "A /a\n" },
	{ "in the order of names", { "f b\nf d", "f a\nf .wh.b\nf c\nf .wh.d" },
		"A /a\nD /b\nA /c\nD /d\n" },
	{ "a backslash", { "f a\\b" }, "A /a\\134b\n" },
	{ "nothing", { "f a", "" }, "" },
};

static void writes(void **state)
{
	const struct changes_case *c = *state;
	struct test_layer layers[LAYERS_MAX];
	const struct tree *trees[LAYERS_MAX];
	uint32_t count = 0;
	struct buf text;

	buf_init(&text, CHANGES_MAX);
	for (; count < LAYERS_MAX && c->layers[count]; count++) {
		assert_int_equal(layer_make(&layers[count], c->layers[count]), 0);
		trees[count] = &layers[count].tree;
	}
	assert_int_equal(changes_write(trees, count, &text, NULL, NULL), 0);
	assert_string_equal(text.data ? text.data : "", c->expected);
	buf_release(&text);
	while (count--)
		free(layers[count].image);
}

static void is_bounded(void **state)
{
	struct test_layer layer;
	const struct tree *tree = &layer.tree;
	struct error err = { "" };
	struct buf text;

	(void)state;
	buf_init(&text, 10);
	assert_int_equal(layer_make(&layer, "f a\nf b\nf c"), 0);
	assert_int_equal(changes_write(&tree, 1, &text, NULL, &err), -EFBIG);
	buf_release(&text);
	free(layer.image);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(changes_cases) + 1] = { cmocka_unit_test(is_bounded) };

	for (size_t i = 0; i < ARRAY_SIZE(changes_cases); i++)
		tests[i + 1] = (struct CMUnitTest){ .name = changes_cases[i].name,
			.test_func = writes,
			.initial_state = (void *)&changes_cases[i] };
	return cmocka_run_group_tests_name("changes", tests, NULL, NULL);
}
