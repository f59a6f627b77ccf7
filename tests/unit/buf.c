/* SPDX-License-Identifier: Apache-2.0 */
#include "model/buf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void grows_and_stays_text(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, 1 << 20);
	for (int i = 0; i < 10000; i++) {
		assert_int_equal(buf_append(&buf, "abcd", 4), 0);
		assert_int_equal(buf.data[buf.len], '\0');
	}
	assert_int_equal(buf.len, 40000);
	assert_int_equal(buf_append_text(&buf, "tail"), 0);
	assert_int_equal(buf_printf(&buf, "-%d", 7), 0);
	assert_string_equal(buf.data + 40000, "tail-7");
	buf_release(&buf);
	assert_null(buf.data);
	assert_int_equal(buf_append_text(&buf, "again"), 0);
	assert_string_equal(buf.data, "again");
	buf_release(&buf);
}

static const struct ceiling_case {
	const char *name;
	size_t max, len;
	int rc;
} ceiling_cases[] = {
	{ "up to the ceiling", 10, 10, 0 },
	{ "one byte over the ceiling", 10, 11, -EFBIG },
	{ "a ceiling of nothing takes nothing", 0, 0, 0 },
	{ "a ceiling of nothing refuses a byte", 0, 1, -EFBIG },
};

static void keeps_its_ceiling(void **state)
{
	const struct ceiling_case *c = *state;
	struct buf buf;

	buf_init(&buf, c->max);
	assert_int_equal(buf_append(&buf, "0123456789abcdef", c->len), c->rc);
	assert_int_equal(buf_status(&buf), c->rc);
	assert_int_equal(buf.len, c->rc ? 0 : c->len);
	buf_release(&buf);
}

/* What stays in memory of a secret: nothing where it was cleared, and all of it where it grew. */
static void wipes_secrets(void **state)
{
	static const char zeros[64];
	struct buf buf;

	(void)state;
	buf_init_secret(&buf, 1 << 20);
	assert_int_equal(buf_append_text(&buf, "a secret"), 0);
	buf_clear(&buf);
	assert_memory_equal(buf.data, zeros, 9);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(buf_append(&buf, "abcd", 4), 0);
	assert_int_equal(buf.len, 4000);
	for (int i = 0; i < 1000; i++)
		assert_memory_equal(buf.data + 4 * i, "abcd", 4);
	assert_int_equal(buf.data[4000], '\0');
	buf_release(&buf);
	assert_true(buf.is_secret);
}

static void first_failure_sticks(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, 4);
	assert_int_equal(buf_append_text(&buf, "abc"), 0);
	assert_int_equal(buf_append_text(&buf, "de"), -EFBIG);
	assert_int_equal(buf_append_text(&buf, "f"), -EFBIG);
	assert_int_equal(buf_printf(&buf, "f"), -EFBIG);
	assert_string_equal(buf.data, "abc");
	buf_clear(&buf);
	assert_int_equal(buf_status(&buf), 0);
	assert_int_equal(buf_append_text(&buf, "defg"), 0);
	assert_string_equal(buf.data, "defg");
	buf_release(&buf);
}

static void holds_any_bytes(void **state)
{
	struct buf buf;

	(void)state;
	buf_init(&buf, SIZE_MAX / 2);
	assert_int_equal(buf_append(&buf, "a\0b", 3), 0);
	assert_int_equal(buf_append(&buf, NULL, 0), 0);
	assert_memory_equal(buf.data, "a\0b", 4);
	buf_release(&buf);
}

static void takes(void **state)
{
	struct buf buf;
	size_t len = 99;
	char *bytes;

	(void)state;
	buf_init(&buf, 100);
	assert_int_equal(buf_append_text(&buf, "mine"), 0);
	bytes = buf_take(&buf, &len);
	assert_string_equal(bytes, "mine");
	assert_int_equal(len, 4);
	assert_null(buf.data);
	free(bytes);

	bytes = buf_take(&buf, NULL); /* of an empty one: "" */
	assert_string_equal(bytes, "");
	free(bytes);
	buf_release(&buf);
}

int main(void)
{
	enum { CEILINGS = sizeof ceiling_cases / sizeof *ceiling_cases };
	struct CMUnitTest tests[CEILINGS + 5] = {
		cmocka_unit_test(grows_and_stays_text),
		cmocka_unit_test(first_failure_sticks),
		cmocka_unit_test(holds_any_bytes),
		cmocka_unit_test(takes),
		cmocka_unit_test(wipes_secrets),
	};

	for (size_t i = 0; i < CEILINGS; i++)
		tests[5 + i] = (struct CMUnitTest){ .name = ceiling_cases[i].name,
			.test_func = keeps_its_ceiling,
			.initial_state = (void *)&ceiling_cases[i] };
	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
