/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hashes come from sha256sum and sha512sum; the "abc" ones also stand in
 * FIPS 180-4's examples.
 */
#include "model/digest.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/cleanup.h"
#include "model/error.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC   "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define ABC_512                                                                                    \
	"ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"                         \
	"2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
#define MILLION_A "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"

static const struct parse_case {
	const char *name, *text;
	int rc;
	const char *error; /* what the message must hold */
} parse_cases[] = {
	{ "sha256", "sha256:" EMPTY, 0, NULL },
	{ "sha512", "sha512:" ABC_512, 0, NULL },
	{ "nothing", "", -EINVAL, "not ALGORITHM:HEX" },
	{ "no colon", "sha256" EMPTY, -EINVAL, "not ALGORITHM:HEX" },
	{ "no algorithm", ":" EMPTY, -EINVAL, "not ALGORITHM:HEX" },
	{ "no hash", "sha256:", -EINVAL, "not ALGORITHM:HEX" },
	{ "63 digits", "sha256:3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		-EINVAL, "64 hex digits" },
	{ "65 digits", "sha256:0" EMPTY, -EINVAL, "64 hex digits" },
	{ "a sha256 hash called sha512", "sha512:" EMPTY, -EINVAL, "128 hex digits" },
	{ "a capital digit",
		"sha256:E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", -EINVAL,
		"lower-case" },
	{ "a letter that is no digit",
		"sha256:g3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", -EINVAL,
		"lower-case" },
	{ "a capital algorithm", "SHA256:" EMPTY, -EINVAL, "not ALGORITHM:HEX" },
	{ "a path for a hash", "sha256:../../etc/passwd", -EINVAL, "not ALGORITHM:HEX" },
	{ "a path for an algorithm", "../sha256:" EMPTY, -EINVAL, "not ALGORITHM:HEX" },
	{ "a trailing line feed", "sha256:" EMPTY "\n", -EINVAL, "not ALGORITHM:HEX" },
	{ "a leading blank", " sha256:" EMPTY, -EINVAL, "not ALGORITHM:HEX" },
	{ "a second colon", "sha256:" EMPTY ":", -EINVAL, "not ALGORITHM:HEX" },
	{ "an algorithm ending in a separator", "sha256+:" EMPTY, -EINVAL, "not ALGORITHM:HEX" },
	{ "an algorithm with two separators", "a+-b:" EMPTY, -EINVAL, "not ALGORITHM:HEX" },
	{ "an unknown algorithm", "md5:d41d8cd98f00b204e9800998ecf8427e", -EOPNOTSUPP, "md5" },
	{ "an unknown algorithm of two parts",
		"multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9", -EOPNOTSUPP,
		"multihash+base58" },
};

static void parses(void **state)
{
	const struct parse_case *c = *state;
	struct digest digest = { .algorithm = DIGEST_NONE };
	struct error err = { "" };
	char text[DIGEST_TEXT_MAX];

	assert_int_equal(digest_parse(&digest, c->text, &err), c->rc);
	assert_int_equal(digest_parse(&digest, c->text, NULL), c->rc);
	if (c->rc) {
		assert_non_null(strstr(err.text, c->error));
		assert_false(digest_is_set(&digest));
	} else {
		assert_true(digest_is_set(&digest));
		assert_string_equal(digest_format(&digest, text), c->text);
	}
}

static void parses_parts(void **state)
{
	struct digest whole, parts;
	char hex[DIGEST_HEX_MAX];

	(void)state;
	assert_int_equal(digest_parse(&whole, "sha256:" ABC, NULL), 0);
	assert_int_equal(digest_parse_parts(&parts, "sha256", ABC, NULL), 0);
	assert_true(digest_equal(&whole, &parts));
	assert_string_equal(digest_hex(&parts, hex), ABC);
	assert_int_equal(digest_parse_parts(&parts, "sha256", "sha256:" ABC, NULL), -EINVAL);
	assert_int_equal(digest_parse_parts(&parts, "sha256:" ABC, ABC, NULL), -EINVAL);
	assert_int_equal(digest_parse_parts(&parts, "", ABC, NULL), -EINVAL);
	assert_true(digest_equal(&whole, &parts));
}

static const struct hash_case {
	const char *name;
	enum digest_algorithm algorithm;
	const char *bytes;
	size_t times; /* the bytes are repeated */
	const char *digest;
} hash_cases[] = {
	{ "nothing", DIGEST_SHA256, "", 1, "sha256:" EMPTY },
	{ "abc", DIGEST_SHA256, "abc", 1, "sha256:" ABC },
	{ "abc by sha512", DIGEST_SHA512, "abc", 1, "sha512:" ABC_512 },
	{ "a million times a", DIGEST_SHA256, "a", 1000000, "sha256:" MILLION_A },
};

static void hashes_pieces(void **state)
{
	const struct hash_case *c = *state;
	struct hasher *hasher;
	struct digest digest;
	char text[DIGEST_TEXT_MAX];

	assert_int_equal(hasher_new(&hasher, c->algorithm, NULL), 0);
	for (size_t i = 0; i < c->times; i++)
		assert_int_equal(hasher_update(hasher, c->bytes, strlen(c->bytes), NULL), 0);
	assert_int_equal(hasher_final(hasher, &digest, NULL), 0);
	hasher_free(hasher);
	assert_string_equal(digest_format(&digest, text), c->digest);
}

static void hashes_at_once(void **state)
{
	struct digest digest, parsed;

	(void)state;
	assert_int_equal(digest_of(&digest, DIGEST_SHA256, "abc", 3, NULL), 0);
	assert_int_equal(digest_parse(&parsed, "sha256:" ABC, NULL), 0);
	assert_true(digest_equal(&digest, &parsed));
	assert_true(digest_hash(&digest) == digest_hash(&parsed));
	assert_int_equal(digest_compare(&digest, &parsed), 0);
	assert_int_equal(digest_of(&digest, DIGEST_SHA256, NULL, 0, NULL), 0);
	assert_false(digest_equal(&digest, &parsed));
	/* "e3..." is behind "ba..."; the algorithm goes before */
	assert_true(digest_compare(&digest, &parsed) > 0);
	assert_true(digest_compare(&parsed, &digest) < 0);
	parsed.algorithm = DIGEST_SHA512;
	assert_true(digest_compare(&digest, &parsed) < 0);
	hasher_free(NULL);
}

static void names_algorithms(void **state)
{
	struct digest none = { .algorithm = DIGEST_NONE }, other = none;
	char text[DIGEST_TEXT_MAX];

	(void)state;
	assert_string_equal(digest_algorithm_name(DIGEST_SHA256), "sha256");
	assert_string_equal(digest_algorithm_name(DIGEST_SHA512), "sha512");
	assert_int_equal(digest_size(DIGEST_SHA256), 32);
	assert_int_equal(digest_size(DIGEST_SHA512), 64);
	assert_int_equal(digest_size(DIGEST_NONE), 0);
	assert_true(digest_equal(&none, &other));
	assert_string_equal(digest_format(&none, text), "none:");
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(parse_cases) + ARRAY_SIZE(hash_cases) + 3];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(parse_cases); i++)
		tests[n++] = (struct CMUnitTest){ .name = parse_cases[i].name,
			.test_func = parses,
			.initial_state = (void *)&parse_cases[i] };
	for (size_t i = 0; i < ARRAY_SIZE(hash_cases); i++)
		tests[n++] = (struct CMUnitTest){ .name = hash_cases[i].name,
			.test_func = hashes_pieces,
			.initial_state = (void *)&hash_cases[i] };
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(parses_parts);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(hashes_at_once);
	tests[n++] = (struct CMUnitTest)cmocka_unit_test(names_algorithms);
	return cmocka_run_group_tests_name("digest", tests, NULL, NULL);
}
