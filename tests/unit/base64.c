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

/* The other alphabet, and no padding: RFC 4648 section 5, RFC 7515 appendix C. */
static void decodes_base64url(void **state)
{
	static const uint8_t bytes[] = { 3, 236, 255, 224, 193 };
	char out[16];
	size_t len;

	(void)state;
	assert_true(base64_decode_to(out, &len, "A-z_4ME", 7, BASE64_URL));
	assert_int_equal(len, sizeof bytes);
	assert_memory_equal(out, bytes, sizeof bytes);
	assert_true(base64_decode_to(out, &len, "A-z_4ME=", 8, BASE64_URL));
	assert_int_equal(len, sizeof bytes);
	assert_false(base64_decode_to(out, &len, "A-z_4ME", 7, BASE64_STANDARD));
	assert_false(base64_decode_to(out, &len, "A+z/4ME", 7, BASE64_URL));
	assert_false(base64_decode_to(out, &len, "A-z_4", 5, BASE64_URL));
	assert_false(base64_decode_to(out, &len, "A=z_", 4, BASE64_URL));
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(base64_cases) + 1];

	for (size_t i = 0; i < ARRAY_SIZE(base64_cases); i++)
		tests[i] = (struct CMUnitTest){ .name = base64_cases[i].text,
			.test_func = decodes_base64,
			.initial_state = (void *)&base64_cases[i] };
	tests[ARRAY_SIZE(base64_cases)] = (struct CMUnitTest)cmocka_unit_test(decodes_base64url);
	return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}
