/* SPDX-License-Identifier: Apache-2.0 */
/* Names and mappings are those of image-spec's media-types.md and of what tools write. */
#include "model/media_type.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/cleanup.h"

#define OCI    "application/vnd.oci.image."
#define DOCKER "application/vnd.docker."
#define ROOTFS DOCKER "image.rootfs."

static const struct type_case {
	const char *text;
	enum media_role role;
	enum media_coding coding;
	bool is_foreign;
	const char *oci, *docker; /* its names there, or NULL */
} type_cases[] = {
	{ OCI "index.v1+json", ROLE_INDEX, CODING_UNKNOWN, false, OCI "index.v1+json",
		DOCKER "distribution.manifest.list.v2+json" },
	{ OCI "manifest.v1+json", ROLE_MANIFEST, CODING_UNKNOWN, false, OCI "manifest.v1+json",
		DOCKER "distribution.manifest.v2+json" },
	{ OCI "config.v1+json", ROLE_CONFIG, CODING_UNKNOWN, false, OCI "config.v1+json",
		DOCKER "container.image.v1+json" },
	{ OCI "layer.v1.tar", ROLE_LAYER, CODING_PLAIN, false, OCI "layer.v1.tar",
		ROOTFS "diff.tar" },
	{ OCI "layer.v1.tar+gzip", ROLE_LAYER, CODING_GZIP, false, OCI "layer.v1.tar+gzip",
		ROOTFS "diff.tar.gzip" },
	{ OCI "layer.v1.tar+zstd", ROLE_LAYER, CODING_ZSTD, false, OCI "layer.v1.tar+zstd",
		ROOTFS "diff.tar.zstd" },
	{ OCI "layer.nondistributable.v1.tar", ROLE_LAYER, CODING_PLAIN, true,
		OCI "layer.nondistributable.v1.tar", ROOTFS "foreign.diff.tar" },
	{ OCI "layer.nondistributable.v1.tar+gzip", ROLE_LAYER, CODING_GZIP, true,
		OCI "layer.nondistributable.v1.tar+gzip", ROOTFS "foreign.diff.tar.gzip" },
	{ OCI "layer.nondistributable.v1.tar+zstd", ROLE_LAYER, CODING_ZSTD, true,
		OCI "layer.nondistributable.v1.tar+zstd", NULL },
	{ OCI "layer.v1.tar+gzip+encrypted", ROLE_ENCRYPTED_LAYER, CODING_UNKNOWN, false,
		OCI "layer.v1.tar+gzip+encrypted", NULL },
	{ "application/vnd.oci.empty.v1+json", ROLE_EMPTY, CODING_UNKNOWN, false,
		"application/vnd.oci.empty.v1+json", NULL },
	{ "application/vnd.oci.artifact.manifest.v1+json", ROLE_ARTIFACT_MANIFEST, CODING_UNKNOWN,
		false, "application/vnd.oci.artifact.manifest.v1+json", NULL },

	{ DOCKER "distribution.manifest.list.v2+json", ROLE_INDEX, CODING_UNKNOWN, false,
		OCI "index.v1+json", DOCKER "distribution.manifest.list.v2+json" },
	{ DOCKER "distribution.manifest.v2+json", ROLE_MANIFEST, CODING_UNKNOWN, false,
		OCI "manifest.v1+json", DOCKER "distribution.manifest.v2+json" },
	{ DOCKER "distribution.manifest.v1+json", ROLE_SCHEMA1, CODING_UNKNOWN, false, NULL,
		DOCKER "distribution.manifest.v1+json" },
	{ DOCKER "distribution.manifest.v1+prettyjws", ROLE_SCHEMA1, CODING_UNKNOWN, false, NULL,
		DOCKER "distribution.manifest.v1+prettyjws" },
	{ DOCKER "container.image.v1+json", ROLE_CONFIG, CODING_UNKNOWN, false,
		OCI "config.v1+json", DOCKER "container.image.v1+json" },
	{ ROOTFS "diff.tar", ROLE_LAYER, CODING_PLAIN, false, OCI "layer.v1.tar",
		ROOTFS "diff.tar" },
	{ ROOTFS "diff.tar.gzip", ROLE_LAYER, CODING_GZIP, false, OCI "layer.v1.tar+gzip",
		ROOTFS "diff.tar.gzip" },
	{ ROOTFS "diff.tar.zstd", ROLE_LAYER, CODING_ZSTD, false, OCI "layer.v1.tar+zstd",
		ROOTFS "diff.tar.zstd" },
	{ ROOTFS "diff.tar.zst", ROLE_LAYER, CODING_ZSTD, false, OCI "layer.v1.tar+zstd",
		ROOTFS "diff.tar.zstd" },
	{ ROOTFS "foreign.diff.tar", ROLE_LAYER, CODING_PLAIN, true,
		OCI "layer.nondistributable.v1.tar", ROOTFS "foreign.diff.tar" },
	{ ROOTFS "foreign.diff.tar.gzip", ROLE_LAYER, CODING_GZIP, true,
		OCI "layer.nondistributable.v1.tar+gzip", ROOTFS "foreign.diff.tar.gzip" },
	{ "application/vnd.in-toto+json", ROLE_ATTESTATION, CODING_UNKNOWN, false, NULL, NULL },
	{ "application/vnd.dev.cosign.simplesigning.v1+json", ROLE_SIGNATURE, CODING_UNKNOWN, false,
		NULL, NULL },
	{ "application/vnd.dsse.envelope.v1+json", ROLE_SIGNATURE, CODING_UNKNOWN, false, NULL,
		NULL },

	/* The same by other spellings (RFC 6838, 4.2; RFC 9110, 8.3.1). */
	{ "APPLICATION/vnd.OCI.Image.Layer.V1.Tar+GZIP", ROLE_LAYER, CODING_GZIP, false,
		OCI "layer.v1.tar+gzip", ROOTFS "diff.tar.gzip" },
	{ OCI "index.v1+json; charset=utf-8", ROLE_INDEX, CODING_UNKNOWN, false,
		OCI "index.v1+json", DOCKER "distribution.manifest.list.v2+json" },
	{ " \t" OCI "manifest.v1+json \t;x", ROLE_MANIFEST, CODING_UNKNOWN, false,
		OCI "manifest.v1+json", DOCKER "distribution.manifest.v2+json" },

	{ "", ROLE_UNKNOWN, CODING_UNKNOWN, false, NULL, NULL },
	{ ";", ROLE_UNKNOWN, CODING_UNKNOWN, false, NULL, NULL },
	{ "   ", ROLE_UNKNOWN, CODING_UNKNOWN, false, NULL, NULL },
	{ "text/plain", ROLE_UNKNOWN, CODING_UNKNOWN, false, NULL, NULL },
	{ "application/json", ROLE_UNKNOWN, CODING_UNKNOWN, false, NULL, NULL },
	{ DOCKER "plugin.v1+json", ROLE_UNKNOWN, CODING_UNKNOWN, false, NULL, NULL },
	{ OCI "layer.v1.tar+gzip+", ROLE_UNKNOWN, CODING_UNKNOWN, false, NULL, NULL },
	{ OCI "layer.v1.ta", ROLE_UNKNOWN, CODING_UNKNOWN, false, NULL, NULL },
};

static void assert_text(const char *got, const char *wanted)
{
	if (wanted && got)
		assert_string_equal(got, wanted);
	else
		assert_true(!wanted && !got);
}

static void finds(void **state)
{
	const struct type_case *c = *state;
	const struct media_type *type = media_type_find(c->text);

	assert_non_null(type);
	assert_int_equal(type->role, c->role);
	assert_int_equal(type->coding, c->coding);
	assert_int_equal(type->is_foreign, c->is_foreign);
	assert_text(media_type_in(type, FAMILY_OCI), c->oci);
	assert_text(media_type_in(type, FAMILY_DOCKER), c->docker);
}

static void finds_nothing_in_null(void **state)
{
	(void)state;
	assert_int_equal(media_type_find(NULL)->role, ROLE_UNKNOWN);
	assert_string_equal(media_type_find(NULL)->name, "");
}

static void accepts_six_types(void **state)
{
	size_t count = 1;

	(void)state;
	for (const char *p = media_type_accept(); (p = strchr(p, ',')); p++)
		count++;
	assert_int_equal(count, 6);
	for (size_t i = 0; i < ARRAY_SIZE(type_cases); i++) {
		const struct media_type *type = media_type_find(type_cases[i].text);

		if (type->role == ROLE_INDEX || type->role == ROLE_MANIFEST ||
			type->role == ROLE_SCHEMA1)
			assert_non_null(strstr(media_type_accept(), type->name));
	}
}

static void names_by_role(void **state)
{
	(void)state;
	assert_string_equal(
		media_type_name(ROLE_CONFIG, FAMILY_DOCKER), DOCKER "container.image.v1+json");
	assert_string_equal(media_type_name(ROLE_INDEX, FAMILY_OCI), OCI "index.v1+json");
	assert_string_equal(media_type_name(ROLE_SCHEMA1, FAMILY_DOCKER),
		DOCKER "distribution.manifest.v1+prettyjws");
	assert_string_equal(media_type_name(ROLE_SCHEMA1, FAMILY_OCI), "");
}

static void names_layers(void **state)
{
	(void)state;
	assert_string_equal(
		media_type_layer(CODING_GZIP, FAMILY_DOCKER), DOCKER "image.rootfs.diff.tar.gzip");
	assert_string_equal(
		media_type_layer(CODING_PLAIN, FAMILY_DOCKER), DOCKER "image.rootfs.diff.tar");
	assert_string_equal(media_type_layer(CODING_ZSTD, FAMILY_OCI), OCI "layer.v1.tar+zstd");
	assert_string_equal(media_type_layer(CODING_UNKNOWN, FAMILY_DOCKER),
		DOCKER "container.image.rootfs.diff+x-gtar");
	assert_string_equal(media_type_layer(CODING_XZ, FAMILY_DOCKER), "");
	assert_string_equal(media_type_layer(CODING_UNKNOWN, FAMILY_OCI), "");
}

/* The first bytes of `tar cf - a`, by GNU tar's --format=v7: no magic, a checksum. */
static size_t make_v7_header(char *block, const char *name)
{
	static const char fields[] = "0000644\0"
				     "0000000\0"
				     "0000000\0"
				     "00000000000\0"
				     "00000000000\0";
	unsigned sum = 8 * ' ';

	memset(block, 0, 512);
	memcpy(block, name, strlen(name));
	memcpy(block + 100, fields, sizeof fields - 1);
	for (size_t i = 0; i < 512; i++)
		sum += (unsigned char)block[i];
	(void)snprintf(block + 148, 8, "%06o", sum);
	block[155] = ' ';
	return 512;
}

static const struct sniff_case {
	const char *name, *bytes;
	size_t len;
	enum media_coding coding;
} sniff_cases[] = {
	{ "nothing is an empty layer", "", 0, CODING_PLAIN },
	{ "gzip", "\x1f\x8b\x08", 3, CODING_GZIP },
	{ "zstd", "\x28\xb5\x2f\xfd\x04", 5, CODING_ZSTD },
	{ "a skippable zstd frame", "\x5e\x2a\x4d\x18\x04", 5, CODING_ZSTD },
	{ "xz", "\xfd\x37\x7a\x58\x5a\x00", 6, CODING_XZ },
	{ "bzip2", "\x42\x5a\x68\x39", 4, CODING_BZIP2 },
	{ "a cut gzip magic", "\x1f", 1, CODING_UNKNOWN },
	{ "text", "{\"a\":1}", 7, CODING_UNKNOWN },
	{ "zeroes", "\0\0\0\0", 4, CODING_PLAIN },
	{ "zeroes and then something", "\0\0\0x", 4, CODING_UNKNOWN },
};

static void sniffs(void **state)
{
	const struct sniff_case *c = *state;

	assert_int_equal(media_coding_sniff(c->bytes, c->len), c->coding);
}

static void sniffs_tar(void **state)
{
	char block[512];

	(void)state;
	assert_int_equal(make_v7_header(block, "etc/passwd"), 512);
	assert_int_equal(media_coding_sniff(block, 512), CODING_PLAIN);
	assert_int_equal(media_coding_sniff(block, 511), CODING_UNKNOWN);
	block[0] ^= 1;
	assert_int_equal(media_coding_sniff(block, 512), CODING_UNKNOWN);
	memcpy(block + 257, "ustar", 6);
	assert_int_equal(media_coding_sniff(block, 512), CODING_PLAIN);

	(void)make_v7_header(block, "BZh is a file name");
	assert_int_equal(media_coding_sniff(block, 512), CODING_PLAIN);

	memset(block, 0, sizeof block);
	assert_int_equal(media_coding_sniff(block, 512), CODING_PLAIN);
}

/* Sun's tar summed signed bytes. */
static void sniffs_signed_checksum(void **state)
{
	char block[512];
	int sum = 8 * ' ';

	(void)state;
	(void)make_v7_header(block, "\xc3\xa9t\xc3\xa9");
	memset(block + 148, 0, 8);
	for (size_t i = 0; i < 512; i++)
		sum += (signed char)block[i];
	(void)snprintf(block + 148, 8, "%6o", (unsigned)sum);
	assert_int_equal(media_coding_sniff(block, 512), CODING_PLAIN);
}

static void names_codings(void **state)
{
	(void)state;
	assert_string_equal(media_coding_suffix(CODING_GZIP), ".tar.gz");
	assert_string_equal(media_coding_suffix(CODING_PLAIN), ".tar");
	assert_string_equal(media_coding_suffix(CODING_UNKNOWN), "");
	assert_string_equal(media_coding_name(CODING_ZSTD), "zstd");
}

int main(void)
{
	static const struct CMUnitTest others[] = {
		cmocka_unit_test(finds_nothing_in_null),
		cmocka_unit_test(accepts_six_types),
		cmocka_unit_test(names_by_role),
		cmocka_unit_test(names_layers),
		cmocka_unit_test(sniffs_tar),
		cmocka_unit_test(sniffs_signed_checksum),
		cmocka_unit_test(names_codings),
	};
	struct CMUnitTest
		tests[ARRAY_SIZE(type_cases) + ARRAY_SIZE(sniff_cases) + ARRAY_SIZE(others)];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(type_cases); i++)
		tests[n++] = (struct CMUnitTest){ .name = *type_cases[i].text ? type_cases[i].text
									      : "no type",
			.test_func = finds,
			.initial_state = (void *)&type_cases[i] };
	for (size_t i = 0; i < ARRAY_SIZE(sniff_cases); i++)
		tests[n++] = (struct CMUnitTest){ .name = sniff_cases[i].name,
			.test_func = sniffs,
			.initial_state = (void *)&sniff_cases[i] };
	memcpy(tests + n, others, sizeof others);
	return cmocka_run_group_tests_name("media_type", tests, NULL, NULL);
}
