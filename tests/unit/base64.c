/* SPDX-License-Identifier: Apache-2.0 */
#include "model/base64.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/cleanup.h"
#include "model/error.h"

/* RFC 4648 section 10, and what is none. */
static const struct base64_case {
	const char *text, *bytes; /* NULL: refused */
} base64_cases[] = {
	{ "", "" },
	{ "Zg==", "f" },
	{ "Zm8=", "fo" },
	{ "Zm9v", "foo" },
	{ "Zm9vYg==", "foob" },
	{ "Zm9vYmE=", "fooba" },
	{ "Zm9vYmFy", "foobar" },
	{ "Zg", NULL },
	{ "Z===", NULL },
	{ "Zg==Zg==", NULL },
	{ "Zm9v\n", NULL },
	{ "Zm_v", NULL },
	{ "====", NULL },
};

static void decodes_base64(void **state)
{
	const struct base64_case *c = *state;
	CLEANUP(freep) char *bytes = NULL;
	struct error err;
	size_t len = 0;
	int rc = base64_decode(&bytes, &len, c->text, &err);

	assert_int_equal(rc, c->bytes ? 0 : -EIO);
	if (!c->bytes)
		return;
	assert_int_equal(len, strlen(c->bytes));
	assert_string_equal(bytes, c->bytes);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(base64_cases)];

	for (size_t i = 0; i < ARRAY_SIZE(base64_cases); i++)
		tests[i] = (struct CMUnitTest){ .name = base64_cases[i].text,
			.test_func = decodes_base64,
			.initial_state = (void *)&base64_cases[i] };
	return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}
