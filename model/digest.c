/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A digest's text is ALGORITHM ":" ENCODED.  Text that fits the grammar but
 * names an algorithm missing from the table below is told from nonsense, as
 * the specification lets new algorithms come.
 *
 * libcrypto picks the processor's SHA instructions by itself; nothing is
 * buffered here, so large updates run at its speed.
 */
#include "model/digest.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "model/cleanup.h"
#include "model/error.h"

static const struct algorithm {
	const char *name;
	size_t size; /* of the hash, in bytes */
	const EVP_MD *(*md)(void);
} algorithms[] = {
	[DIGEST_SHA256] = { "sha256", 32, EVP_sha256 },
	[DIGEST_SHA512] = { "sha512", 64, EVP_sha512 },
};

static bool is_lower_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* algorithm = component *( ("+" / "." / "_" / "-") component ); component = 1*[a-z0-9] */
static bool is_algorithm(const char *text, size_t len)
{
	bool expects_component = true;

	for (size_t i = 0; i < len; i++) {
		if (is_lower_or_digit(text[i]))
			expects_component = false;
		else if (strchr("+._-", text[i]) && text[i] && !expects_component)
			expects_component = true;
		else
			return false;
	}
	return !expects_component;
}

static bool is_encoded(const char *text)
{
	size_t len =
		strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789=_-");

	return len > 0 && text[len] == '\0';
}

/* Value of a lower-case hex digit, or -1: capital hex is not canonical. */
static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static int parse_hex(
	struct digest *digest, enum digest_algorithm algorithm, const char *hex, struct error *err)
{
	const struct algorithm *a = &algorithms[algorithm];
	struct digest parsed = { .algorithm = algorithm };

	if (strlen(hex) != a->size * 2)
		return error_set(err, EINVAL, "digest '%s:%.140s': expected %zu hex digits",
			a->name, hex, a->size * 2);
	for (size_t i = 0; i < a->size; i++) {
		int high = hex_value(hex[2 * i]), low = hex_value(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return error_set(err, EINVAL, "digest '%s:%s': not lower-case hex digits",
				a->name, hex);
		parsed.bytes[i] = (uint8_t)(high << 4 | low);
	}
	*digest = parsed;
	return 0;
}

static int parse(struct digest *digest, const char *algorithm, size_t algorithm_len,
	const char *encoded, struct error *err)
{
	if (!is_algorithm(algorithm, algorithm_len) || !is_encoded(encoded))
		return error_set(err, EINVAL, "digest '%.*s:%.140s': not ALGORITHM:HEX",
			(int)(algorithm_len > 40 ? 40 : algorithm_len), algorithm, encoded);
	for (size_t i = DIGEST_NONE + 1; i < ARRAY_SIZE(algorithms); i++) {
		if (strlen(algorithms[i].name) == algorithm_len &&
			!memcmp(algorithms[i].name, algorithm, algorithm_len))
			return parse_hex(digest, (enum digest_algorithm)i, encoded, err);
	}
	return error_set(err, EOPNOTSUPP, "digest algorithm '%.*s' is not known here",
		(int)(algorithm_len > 40 ? 40 : algorithm_len), algorithm);
}

int digest_parse(struct digest *digest, const char *text, struct error *err)
{
	const char *colon = strchr(text, ':');

	if (!colon)
		return error_set(err, EINVAL, "digest '%.140s': not ALGORITHM:HEX", text);
	return parse(digest, text, (size_t)(colon - text), colon + 1, err);
}

int digest_parse_parts(
	struct digest *digest, const char *algorithm, const char *hex, struct error *err)
{
	return parse(digest, algorithm, strlen(algorithm), hex, err);
}

char *digest_hex(const struct digest *digest, char text[static DIGEST_HEX_MAX])
{
	static const char digits[] = "0123456789abcdef";
	size_t size = digest_size(digest->algorithm);

	for (size_t i = 0; i < size; i++) {
		text[2 * i] = digits[digest->bytes[i] >> 4];
		text[2 * i + 1] = digits[digest->bytes[i] & 15];
	}
	text[2 * size] = '\0';
	return text;
}

char *digest_format(const struct digest *digest, char text[static DIGEST_TEXT_MAX])
{
	const char *name = digest_algorithm_name(digest->algorithm);
	size_t len = strlen(name);
	char hex[DIGEST_HEX_MAX];

	memcpy(text, name, len);
	text[len] = ':';
	strcpy(text + len + 1, digest_hex(digest, hex));
	return text;
}

const char *digest_algorithm_name(enum digest_algorithm algorithm)
{
	return algorithm == DIGEST_NONE ? "none" : algorithms[algorithm].name;
}

size_t digest_size(enum digest_algorithm algorithm)
{
	return algorithms[algorithm].size;
}

bool digest_is_set(const struct digest *digest)
{
	return digest->algorithm != DIGEST_NONE;
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
	return a->algorithm == b->algorithm &&
	       !memcmp(a->bytes, b->bytes, digest_size(a->algorithm));
}

int digest_compare(const struct digest *a, const struct digest *b)
{
	int order = (a->algorithm > b->algorithm) - (a->algorithm < b->algorithm);

	return order ? order : memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

/* The bytes of a hash are mixed already; the product (2^64 / golden ratio)
 * spreads the algorithm and guards tables that use the low bits alone. */
uint64_t digest_hash(const struct digest *digest)
{
	uint64_t word;

	memcpy(&word, digest->bytes, sizeof word);
	word = (word ^ (uint64_t)digest->algorithm) * UINT64_C(0x9e3779b97f4a7c15);
	return word ^ word >> 32;
}

struct hasher {
	EVP_MD_CTX *context;
	enum digest_algorithm algorithm;
};

CLEANUP_POINTER(hasher_freep, struct hasher, hasher_free)

int hasher_new(struct hasher **ret, enum digest_algorithm algorithm, struct error *err)
{
	CLEANUP(hasher_freep) struct hasher *hasher = NULL;

	assert(algorithm != DIGEST_NONE);
	hasher = calloc(1, sizeof *hasher);
	if (hasher)
		hasher->context = EVP_MD_CTX_new();
	if (!hasher || !hasher->context)
		return error_set(err, ENOMEM, "hash: out of memory");

	hasher->algorithm = algorithm;
	if (!EVP_DigestInit_ex(hasher->context, algorithms[algorithm].md(), NULL))
		return error_set(err, EOPNOTSUPP, "hash: libcrypto has no %s here",
			algorithms[algorithm].name);
	*ret = TAKE(hasher);
	return 0;
}

void hasher_free(struct hasher *hasher)
{
	if (!hasher)
		return;
	EVP_MD_CTX_free(hasher->context);
	free(hasher);
}

int hasher_update(struct hasher *hasher, const void *bytes, size_t len, struct error *err)
{
	if (len && !EVP_DigestUpdate(hasher->context, bytes, len))
		return error_set(err, EIO, "hash: libcrypto failed");
	return 0;
}

int hasher_final(struct hasher *hasher, struct digest *ret, struct error *err)
{
	struct digest digest = { .algorithm = hasher->algorithm };

	static_assert(DIGEST_BYTES_MAX >= EVP_MAX_MD_SIZE, "libcrypto writes up to this many");
	if (!EVP_DigestFinal_ex(hasher->context, digest.bytes, NULL))
		return error_set(err, EIO, "hash: libcrypto failed");
	*ret = digest;
	return 0;
}

int digest_of(struct digest *ret, enum digest_algorithm algorithm, const void *bytes, size_t len,
	struct error *err)
{
	CLEANUP(hasher_freep) struct hasher *hasher = NULL;
	int rc;

	rc = hasher_new(&hasher, algorithm, err);
	if (!rc)
		rc = hasher_update(hasher, bytes, len, err);
	if (!rc)
		rc = hasher_final(hasher, ret, err);
	return rc;
}
