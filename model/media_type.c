/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Types come with parameters, blanks and capitals (RFC 6838, 4.2: names are
 * compared without regard to case); the lookup takes the bare name out first.
 *
 * What a type says of its compression is often false, so whoever reads a
 * blob sniffs it.
 */
#include "model/media_type.h"

#include <string.h>
#include <strings.h>

#include "model/cleanup.h"

#define OCI      "application/vnd.oci.image."
#define OCI_ND   OCI "layer.nondistributable.v1."
#define DOCKER   "application/vnd.docker."
#define MANIFEST DOCKER "distribution.manifest."
#define ROOTFS   DOCKER "image.rootfs."

static const struct media_type media_types[] = {
	{ OCI "index.v1+json", ROLE_INDEX, CODING_UNKNOWN, FAMILY_OCI, false,
		MANIFEST "list.v2+json" },
	{ OCI "manifest.v1+json", ROLE_MANIFEST, CODING_UNKNOWN, FAMILY_OCI, false,
		MANIFEST "v2+json" },
	{ OCI "config.v1+json", ROLE_CONFIG, CODING_UNKNOWN, FAMILY_OCI, false,
		DOCKER "container.image.v1+json" },
	{ OCI "layer.v1.tar", ROLE_LAYER, CODING_PLAIN, FAMILY_OCI, false, ROOTFS "diff.tar" },
	{ OCI "layer.v1.tar+gzip", ROLE_LAYER, CODING_GZIP, FAMILY_OCI, false,
		ROOTFS "diff.tar.gzip" },
	{ OCI "layer.v1.tar+zstd", ROLE_LAYER, CODING_ZSTD, FAMILY_OCI, false,
		ROOTFS "diff.tar.zstd" },
	/* Deprecated since image-spec 1.1, still to be read. */
	{ OCI_ND "tar", ROLE_LAYER, CODING_PLAIN, FAMILY_OCI, true, ROOTFS "foreign.diff.tar" },
	{ OCI_ND "tar+gzip", ROLE_LAYER, CODING_GZIP, FAMILY_OCI, true,
		ROOTFS "foreign.diff.tar.gzip" },
	{ OCI_ND "tar+zstd", ROLE_LAYER, CODING_ZSTD, FAMILY_OCI, true, NULL },
	/* ocicrypt's extension: the bytes are of no use without a key. */
	{ OCI "layer.v1.tar+encrypted", ROLE_ENCRYPTED_LAYER, CODING_UNKNOWN, FAMILY_OCI, false,
		NULL },
	{ OCI "layer.v1.tar+gzip+encrypted", ROLE_ENCRYPTED_LAYER, CODING_UNKNOWN, FAMILY_OCI,
		false, NULL },
	{ OCI "layer.v1.tar+zstd+encrypted", ROLE_ENCRYPTED_LAYER, CODING_UNKNOWN, FAMILY_OCI,
		false, NULL },
	{ OCI_ND "tar+encrypted", ROLE_ENCRYPTED_LAYER, CODING_UNKNOWN, FAMILY_OCI, true, NULL },
	{ OCI_ND "tar+gzip+encrypted", ROLE_ENCRYPTED_LAYER, CODING_UNKNOWN, FAMILY_OCI, true,
		NULL },
	{ OCI_ND "tar+zstd+encrypted", ROLE_ENCRYPTED_LAYER, CODING_UNKNOWN, FAMILY_OCI, true,
		NULL },
	{ "application/vnd.oci.empty.v1+json", ROLE_EMPTY, CODING_UNKNOWN, FAMILY_OCI, false,
		NULL },
	/* Of the 1.1 release candidates, withdrawn, still met. */
	{ "application/vnd.oci.artifact.manifest.v1+json", ROLE_ARTIFACT_MANIFEST, CODING_UNKNOWN,
		FAMILY_OCI, false, NULL },

	{ MANIFEST "list.v2+json", ROLE_INDEX, CODING_UNKNOWN, FAMILY_DOCKER, false,
		OCI "index.v1+json" },
	{ MANIFEST "v2+json", ROLE_MANIFEST, CODING_UNKNOWN, FAMILY_DOCKER, false,
		OCI "manifest.v1+json" },
	{ MANIFEST "v1+prettyjws", ROLE_SCHEMA1, CODING_UNKNOWN, FAMILY_DOCKER, false, NULL },
	{ MANIFEST "v1+json", ROLE_SCHEMA1, CODING_UNKNOWN, FAMILY_DOCKER, false, NULL },
	{ DOCKER "container.image.v1+json", ROLE_CONFIG, CODING_UNKNOWN, FAMILY_DOCKER, false,
		OCI "config.v1+json" },
	/* The plain and the zstd type are in no specification, but everywhere. */
	{ ROOTFS "diff.tar", ROLE_LAYER, CODING_PLAIN, FAMILY_DOCKER, false, OCI "layer.v1.tar" },
	{ ROOTFS "diff.tar.gzip", ROLE_LAYER, CODING_GZIP, FAMILY_DOCKER, false,
		OCI "layer.v1.tar+gzip" },
	{ ROOTFS "diff.tar.zstd", ROLE_LAYER, CODING_ZSTD, FAMILY_DOCKER, false,
		OCI "layer.v1.tar+zstd" },
	{ ROOTFS "foreign.diff.tar", ROLE_LAYER, CODING_PLAIN, FAMILY_DOCKER, true, OCI_ND "tar" },
	{ ROOTFS "foreign.diff.tar.gzip", ROLE_LAYER, CODING_GZIP, FAMILY_DOCKER, true,
		OCI_ND "tar+gzip" },
	/* The old registry's name for layers of schema 1, compressed or not. */
	{ DOCKER "container.image.rootfs.diff+x-gtar", ROLE_LAYER, CODING_UNKNOWN, FAMILY_DOCKER,
		false, NULL },

	{ "application/vnd.imgfs.v1.image+json", ROLE_V1, CODING_UNKNOWN, FAMILY_OTHER, false,
		NULL },
	{ "application/vnd.in-toto+json", ROLE_ATTESTATION, CODING_UNKNOWN, FAMILY_OTHER, false,
		NULL },
	{ DOCKER "attestation.manifest.v1+json", ROLE_ATTESTATION, CODING_UNKNOWN, FAMILY_OTHER,
		false, NULL },
	/* cosign, specs/SIGNATURE_SPEC.md; its attestations are DSSE envelopes. */
	{ "application/vnd.dev.cosign.simplesigning.v1+json", ROLE_SIGNATURE, CODING_UNKNOWN,
		FAMILY_OTHER, false, NULL },
	{ "application/vnd.dsse.envelope.v1+json", ROLE_SIGNATURE, CODING_UNKNOWN, FAMILY_OTHER,
		false, NULL },
};

/* Spellings that are read and never written. */
static const struct {
	const char *name, *canonical;
} aliases[] = {
	{ ROOTFS "diff.tar.zst", ROOTFS "diff.tar.zstd" },
};

static const struct media_type unknown_type = { .name = "" };

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool same(const char *name, const char *text, size_t len)
{
	return strlen(name) == len && !strncasecmp(name, text, len);
}

const struct media_type *media_type_find(const char *text)
{
	size_t len;

	if (!text)
		return &unknown_type;
	while (is_blank(*text))
		text++;
	len = strcspn(text, ";");
	while (len && is_blank(text[len - 1]))
		len--;

	for (size_t i = 0; i < ARRAY_SIZE(aliases); i++)
		if (same(aliases[i].name, text, len)) {
			text = aliases[i].canonical;
			len = strlen(text);
		}
	for (size_t i = 0; i < ARRAY_SIZE(media_types); i++)
		if (same(media_types[i].name, text, len))
			return &media_types[i];
	return &unknown_type;
}

const char *media_type_name(enum media_role role, enum media_family family)
{
	for (size_t i = 0; i < ARRAY_SIZE(media_types); i++)
		if (media_types[i].role == role && media_types[i].family == family)
			return media_types[i].name;
	return "";
}

const char *media_type_layer(enum media_coding coding, enum media_family family)
{
	for (size_t i = 0; i < ARRAY_SIZE(media_types); i++)
		if (media_types[i].role == ROLE_LAYER && media_types[i].family == family &&
			media_types[i].coding == coding && !media_types[i].is_foreign)
			return media_types[i].name;
	return "";
}

const char *media_type_in(const struct media_type *type, enum media_family family)
{
	if (type->role == ROLE_UNKNOWN)
		return NULL;
	if (type->family == family)
		return type->name;
	/* A counterpart is of the other one of the two families. */
	return family == FAMILY_OTHER ? NULL : type->counterpart;
}

const char *media_type_accept(void)
{
	return OCI "index.v1+json, " OCI "manifest.v1+json, " MANIFEST "list.v2+json, " MANIFEST
		   "v2+json, " MANIFEST "v1+prettyjws, " MANIFEST "v1+json";
}

enum {
	TAR_BLOCK = 512,
	TAR_CHECKSUM = 148, /* offset of the field; eight bytes */
	TAR_MAGIC = 257,
};

/* The sum of the header's bytes, its own field taken as blanks.  Old tars summed signed bytes. */
static bool has_tar_checksum(const uint8_t *block)
{
	long stored = 0, sum = 0, signed_sum = 0;
	size_t i = TAR_CHECKSUM;

	while (i < TAR_CHECKSUM + 8 && block[i] == ' ')
		i++;
	if (i == TAR_CHECKSUM + 8 || block[i] < '0' || block[i] > '7')
		return false;
	for (; i < TAR_CHECKSUM + 8 && block[i] >= '0' && block[i] <= '7'; i++)
		stored = stored * 8 + (block[i] - '0');

	for (i = 0; i < TAR_BLOCK; i++) {
		bool in_field = i >= TAR_CHECKSUM && i < TAR_CHECKSUM + 8;

		sum += in_field ? ' ' : block[i];
		signed_sum += in_field ? ' ' : (int8_t)block[i];
	}
	return stored == sum || stored == signed_sum;
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
	return !len || (!bytes[0] && !memcmp(bytes, bytes + 1, len - 1));
}

static bool is_tar(const uint8_t *bytes, size_t len)
{
	if (is_zero(bytes, len < TAR_BLOCK ? len : TAR_BLOCK))
		return true;
	if (len >= TAR_MAGIC + 5 && !memcmp(bytes + TAR_MAGIC, "ustar", 5))
		return true;
	return len >= TAR_BLOCK && has_tar_checksum(bytes);
}

enum media_coding media_coding_sniff(const void *bytes, size_t len)
{
	static const struct {
		const char *magic;
		size_t len;
		enum media_coding coding;
	} magics[] = {
		{ "\x1f\x8b", 2, CODING_GZIP },
		{ "\x28\xb5\x2f\xfd", 4, CODING_ZSTD },
		{ "\xfd"
		  "7zXZ",
			6, CODING_XZ }, /* its NUL is the sixth byte */
		{ "BZh", 3, CODING_BZIP2 },
	};
	const uint8_t *b = bytes;

	for (size_t i = 0; i < ARRAY_SIZE(magics); i++) {
		/* A tar may begin with any of them, as the name of its first entry. */
		if (len >= magics[i].len && !memcmp(b, magics[i].magic, magics[i].len))
			return len >= TAR_BLOCK && has_tar_checksum(b) ? CODING_PLAIN
								       : magics[i].coding;
	}
	/* A skippable frame, RFC 8878 3.1.2: magic 0x184d2a50 to 0x184d2a5f, little endian. */
	if (len >= 4 && (b[0] & 0xf0) == 0x50 && !memcmp(b + 1, "\x2a\x4d\x18", 3))
		return CODING_ZSTD;
	return is_tar(b, len) ? CODING_PLAIN : CODING_UNKNOWN;
}

static const struct {
	const char *name, *suffix;
} codings[] = {
	[CODING_UNKNOWN] = { "unknown", "" },
	[CODING_PLAIN] = { "plain", ".tar" },
	[CODING_GZIP] = { "gzip", ".tar.gz" },
	[CODING_ZSTD] = { "zstd", ".tar.zst" },
	[CODING_XZ] = { "xz", ".tar.xz" },
	[CODING_BZIP2] = { "bzip2", ".tar.bz2" },
};

const char *media_coding_suffix(enum media_coding coding)
{
	return codings[coding].suffix;
}

const char *media_coding_name(enum media_coding coding)
{
	return codings[coding].name;
}
