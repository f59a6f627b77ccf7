/* SPDX-License-Identifier: Apache-2.0 */
/*
 * digest -- names a blob by its content: an algorithm and a hash.
 *
 * A plain value: copy it with =, compare it with digest_equal(), nothing to
 * free.  Parsing takes only the canonical spelling (lower-case hex, exact
 * length), so equal digests have equal text, and only a parsed digest may
 * ever become part of a path or a URL.
 *
 * Source: OCI image-spec descriptor.md, "Digests".
 */
#ifndef MODEL_DIGEST_H
#define MODEL_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

enum digest_algorithm { DIGEST_NONE, DIGEST_SHA256, DIGEST_SHA512 };

enum {
	DIGEST_BYTES_MAX = 64,
	DIGEST_TEXT_MAX = 7 + 128 + 1, /* "sha512:", hex, NUL */
	DIGEST_HEX_MAX = 128 + 1,
	DIGEST_SHORT = 12, /* hex digits that name a layer in directory names */
};

struct digest {
	enum digest_algorithm algorithm;
	uint8_t bytes[DIGEST_BYTES_MAX]; /* the first digest_size() are used, the rest are 0 */
};

/* -EINVAL: not a digest; -EOPNOTSUPP: well-formed, of an algorithm that
 * cannot be verified here. */
int digest_parse(struct digest *digest, const char *text, struct error *err);
/* "sha256" and a bare hex string, as in blobs/sha256/HEX. */
int digest_parse_parts(
	struct digest *digest, const char *algorithm, const char *hex, struct error *err);

/* Writes "sha256:..." and its NUL; returns text. */
char *digest_format(const struct digest *digest, char text[static DIGEST_TEXT_MAX]);
/* Writes the hex digits alone; returns text. */
char *digest_hex(const struct digest *digest, char text[static DIGEST_HEX_MAX]);
const char *digest_algorithm_name(enum digest_algorithm algorithm); /* "sha256" */
size_t digest_size(enum digest_algorithm algorithm);                /* in bytes */

bool digest_is_set(const struct digest *digest);
bool digest_equal(const struct digest *a, const struct digest *b);
/* An order of all digests, as qsort() wants it. */
int digest_compare(const struct digest *a, const struct digest *b);
/* A well-mixed hash for tables; not a digest. */
uint64_t digest_hash(const struct digest *digest);

/* The digest of len bytes. */
int digest_of(struct digest *ret, enum digest_algorithm algorithm, const void *bytes, size_t len,
	struct error *err);

/* A digest of bytes that arrive in pieces. */
struct hasher;
int hasher_new(struct hasher **ret, enum digest_algorithm algorithm, struct error *err);
void hasher_free(struct hasher *hasher);
int hasher_update(struct hasher *hasher, const void *bytes, size_t len, struct error *err);
/* Gives the digest of all bytes so far; the hasher can only be freed after. */
int hasher_final(struct hasher *hasher, struct digest *ret, struct error *err);

#endif
