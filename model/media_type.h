/* SPDX-License-Identifier: Apache-2.0 */
/*
 * media_type -- the one place that spells media types; all other code asks
 * for the role, the coding and the other family's name.
 *
 * Comparison is without regard to case; anything after ';' and blanks around
 * are dropped.  An unknown type is never an error: its role is ROLE_UNKNOWN and
 * its blob can still be shown as it is.
 *
 * Sources: OCI image-spec media-types.md; distribution manifest-v2-1.md and
 * manifest-v2-2.md.
 */
#ifndef MODEL_MEDIA_TYPE_H
#define MODEL_MEDIA_TYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum media_role {
	ROLE_UNKNOWN,
	ROLE_INDEX,    /* OCI index, manifest list */
	ROLE_MANIFEST, /* OCI manifest, schema 2 */
	ROLE_SCHEMA1,  /* schema 1, signed or not */
	ROLE_V1,       /* ours: what stands for a V1 image, which has no manifest */
	ROLE_CONFIG,   /* image config */
	ROLE_LAYER,    /* a layer of an image: tar, perhaps compressed */
	ROLE_ENCRYPTED_LAYER,
	ROLE_EMPTY,       /* application/vnd.oci.empty.v1+json */
	ROLE_ATTESTATION, /* in-toto, and the artifactType of BuildKit's attestation manifests */
	ROLE_SIGNATURE,   /* what cosign stores as a layer */
	ROLE_ARTIFACT_MANIFEST, /* of the OCI 1.1 release candidates; nobody here reads it */
};

/* How the bytes of a blob are wrapped, by its type or by what it really is. */
enum media_coding {
	CODING_UNKNOWN,
	CODING_PLAIN,
	CODING_GZIP,
	CODING_ZSTD,
	CODING_XZ,
	CODING_BZIP2
};

enum media_family { FAMILY_OTHER, FAMILY_OCI, FAMILY_DOCKER };

struct media_type {
	const char *name;
	enum media_role role;
	enum media_coding coding; /* of layers */
	enum media_family family;
	bool is_foreign;         /* may not be distributed: foreign, nondistributable */
	const char *counterpart; /* the same thing in the other family, or NULL */
};

/* Never NULL: unknown and NULL text give an entry with ROLE_UNKNOWN and name "". */
const struct media_type *media_type_find(const char *text);

/* The one type of a role that a family writes ("" when there is none): of
 * indexes, manifests, configs; the signed type of schema 1. */
const char *media_type_name(enum media_role role, enum media_family family);

/* The type of an ordinary layer: CODING_UNKNOWN is the old registry's for all codings, "" when the
 * family has no word for it. */
const char *media_type_layer(enum media_coding coding, enum media_family family);

/* The name of this type in a family; NULL when it has none there.  A type
 * that already is of the family comes back in canonical spelling. */
const char *media_type_in(const struct media_type *type, enum media_family family);

/* Accept header value that names all six manifest types. */
const char *media_type_accept(void);

/* What a blob really is, by its first bytes (512 are enough).  CODING_PLAIN
 * needs a ustar magic, a valid header checksum, or nothing but zeroes;
 * len 0 is CODING_PLAIN (an empty layer). */
enum media_coding media_coding_sniff(const void *bytes, size_t len);

/* ".tar", ".tar.gz", ".tar.zst", ".tar.xz", ".tar.bz2"; CODING_UNKNOWN: "". */
const char *media_coding_suffix(enum media_coding coding);
const char *media_coding_name(enum media_coding coding); /* "plain", "gzip", ... */

#endif
