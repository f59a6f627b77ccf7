/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON is written with single quotes and gets double ones.
 */
#include "model/image.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/cleanup.h"
#include "model/error.h"
#include "tests/unit/fixture.h"

#define X8(digit) digit digit digit digit digit digit digit digit
#define ID(digit) X8(X8(digit))

#define BLOB_1 "sha256:d928b90c15c9be23b37c9d19c88bd00d88319c201f17d8e6289dd98e31e41e54"
#define BLOB_2 "sha256:ea1f6a34bfbc88fac990e2b2e98f15b45c1bfd56f3db11a9d3ce0f6d0bbe2fc3"
#define EMPTY  "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"

#define L(digest) "{'blobSum':'" digest "'}"
/* The JSON of an entry, and a base that most images below stand on. */
#define E(digit, parent, more) "{'id':'" ID(digit) "','parent':'" parent "'" more "}"
#define BASE                                                                                       \
	"{'id':'" ID("1") "','created':'2014-12-31T22:57:59.178729048Z',"                          \
			  "'container_config':{'Cmd':['/bin/sh','-c','one']}}"

static char *quoted(const char *text)
{
	char *copy = strdup(text);

	assert_non_null(copy);
	for (char *p = copy; *p; p++)
		if (*p == '\'')
			*p = '"';
	return copy;
}

enum { ENTRIES = 4 };

/* A manifest of these layers and entries, newest first. */
static void write_manifest(struct buf *ret, const char *layers, const char *const *entries)
{
	CLEANUP(freep) char *head = quoted(layers);

	buf_init(ret, DOCUMENT_MAX);
	(void)buf_printf(ret,
		"{\"schemaVersion\":1,\"name\":\"n\",\"tag\":\"t\",\"architecture\":\"amd64\","
		"\"fsLayers\":[%s],\"history\":[",
		head);
	for (int i = 0; i < ENTRIES && entries[i]; i++) {
		CLEANUP(freep) char *entry = quoted(entries[i]);

		(void)buf_append_text(ret, i ? ",{\"v1Compatibility\":" : "{\"v1Compatibility\":");
		(void)json_write_string(ret, entry, strlen(entry));
		(void)buf_append_text(ret, "}");
	}
	assert_int_equal(buf_append_text(ret, "]}"), 0);
}

static const struct parse_case {
	const char *name, *layers, *entries[ENTRIES];
	int rc;
	const char *error;
	size_t layer_count, entry_count;
} parse_cases[] = {
	{ "one layer", L(BLOB_1), { BASE }, 0, NULL, 1, 1 },
	{ "two layers", L(BLOB_2) "," L(BLOB_1), { E("2", ID("1"), ""), BASE }, 0, NULL, 2, 2 },
	{ "a layer twice", L(BLOB_1) "," L(BLOB_1), { E("2", ID("1"), ""), BASE }, 0, NULL, 2, 2 },
	{ "a throwaway", L(EMPTY) "," L(BLOB_1), { E("2", ID("1"), ",'throwaway':true"), BASE }, 0,
		NULL, 1, 2 },
	{ "an empty layer that does not say so", L(EMPTY) "," L(BLOB_1),
		{ E("2", ID("1"), ",'Size':0"), BASE }, 0, NULL, 2, 2 },
	{ "throwaways alone", L(EMPTY), { E("1", "", ",'throwaway':true") }, 0, NULL, 0, 1 },
	{ "a repeated neighbour", L(BLOB_2) "," L(EMPTY) "," L(BLOB_1),
		{ E("2", ID("1"), ""), E("2", ID("1"), ""), BASE }, 0, NULL, 2, 2 },
	{ "a base thrice", L(BLOB_2) "," L(BLOB_2) "," L(BLOB_1), { BASE, BASE, BASE }, 0, NULL, 1,
		1 },
	{ "Windows' base", L(BLOB_1), { E("2", ID("1"), ",'os':'windows'") }, 0, NULL, 1, 1 },
	{ "nulls", L(BLOB_1),
		{ "{'id':'" ID("1") "','parent':null,'created':null,'container_config':null,"
				    "'config':null,'throwaway':null,'os':null}" },
		0, NULL, 1, 1 },

	{ "no layers", "", { NULL }, -EIO, "'history' is empty", 0, 0 },
	{ "more layers than entries", L(BLOB_1) "," L(BLOB_1), { BASE }, -EIO,
		"2 fsLayers and 1 history", 0, 0 },
	{ "more entries than layers", L(BLOB_1), { E("2", ID("1"), ""), BASE }, -EIO,
		"1 fsLayers and 2 history", 0, 0 },
	{ "a repetition elsewhere", L(BLOB_1) "," L(BLOB_2) "," L(BLOB_1),
		{ E("1", ID("2"), ""), E("2", ID("1"), ""), BASE }, -EIO, "several places", 0, 0 },
	{ "a broken chain", L(BLOB_2) "," L(BLOB_1), { E("2", ID("3"), ""), BASE }, -EIO,
		"parent of layer id", 0, 0 },
	{ "a chain without a parent", L(BLOB_2) "," L(BLOB_1), { E("2", "", ""), BASE }, -EIO,
		"parent of layer id", 0, 0 },
	{ "a base with a parent", L(BLOB_1), { E("2", ID("1"), "") }, -EIO, "has a parent", 0, 0 },
	{ "its own parent", L(BLOB_1), { E("1", ID("1"), "") }, -EIO, "has a parent", 0, 0 },
	{ "no id", L(BLOB_1), { "{}" }, -EIO, "entry 1 of 1: 'id'", 0, 0 },
	{ "a short id", L(BLOB_1), { "{'id':'1234'}" }, -EIO, "'id' is not 64", 0, 0 },
	{ "an id that is a path", L(BLOB_1),
		{ "{'id':'../../../../../../../../../../../../../../../../../../../../etc/"
		  "x'}" },
		-EIO, "'id' is not 64", 0, 0 },
	{ "an id in capitals", L(BLOB_1), { "{'id':'" ID("A") "'}" }, -EIO, "'id' is not 64", 0,
		0 },
	{ "an entry that is no JSON", L(BLOB_2) "," L(BLOB_1), { E("2", ID("1"), ""), "{'id':}" },
		-EIO, "history entry 2 of 2: malformed JSON at line 1, byte 6", 0, 0 },
	{ "an entry that is a list", L(BLOB_1), { "[]" }, -EIO, "not a JSON object", 0, 0 },
	{ "an entry with a name twice", L(BLOB_1), { "{'id':'1','id':'2'}" }, -EIO, "twice", 0, 0 },
	{ "a command that is a number", L(BLOB_1), { E("1", "", ",'container_config':{'Cmd':1}") },
		-EIO, "'Cmd'", 0, 0 },
	{ "a layer that is no digest", L("sha256:../x"), { BASE }, -EIO, "digest", 0, 0 },
	{ "a layer by an unknown algorithm", L("blake3:" ID("1")), { BASE }, -EOPNOTSUPP, "blake3",
		0, 0 },
	{ "a layer without a digest", "{}", { BASE }, -EIO, "'fsLayers', entry 1 of 1", 0, 0 },
	{ "a layer that is text", "'x'", { BASE }, -EIO, "not an object", 0, 0 },
};

static void parses(void **state)
{
	const struct parse_case *c = *state;
	CLEANUP(image_release) struct image image = { 0 };
	CLEANUP(buf_release) struct buf text = { 0 };
	struct error err = { "" };

	write_manifest(&text, c->layers, c->entries);
	assert_int_equal(image_parse(&image, DOCUMENT_SCHEMA1, text.data, text.len, &err), c->rc);
	if (c->rc && !strstr(err.text, c->error))
		fail_msg("'%s' does not hold '%s'", err.text, c->error);
	assert_int_equal(image.layer_count, c->layer_count);
	assert_int_equal(image.v1_count, c->entry_count);
	assert_int_equal(image.parsed.history_count, c->entry_count);
	if (!c->rc)
		assert_int_equal(image.signature, SIGNATURE_UNSIGNED);
}

static void parse_entries(struct image *image, const char *layers, const char *const *entries)
{
	CLEANUP(buf_release) struct buf text = { 0 };
	struct error err = { "" };

	write_manifest(&text, layers, entries);
	if (image_parse(image, DOCUMENT_SCHEMA1, text.data, text.len, &err))
		fail_msg("%s", err.text);
}

static void fills_the_image(void **state)
{
	static const char *const entries[ENTRIES] = {
		E("3", ID("2"),
			",'throwaway':true,'created':'c3','author':'a3','variant':'v8',"
			"'container_config':{'Cmd':'one word'}"),
		E("2", ID("1"), ",'os':'freebsd','comment':'m2','variant':'v7'"),
		E("1", "", ",'architecture':'arm64','container_config':{'Cmd':['a','','b c']}"),
	};
	CLEANUP(image_release) struct image image = { 0 };
	CLEANUP(freep) char *base = quoted(entries[2]);
	char digest[DIGEST_TEXT_MAX];

	(void)state;
	parse_entries(&image, L(EMPTY) "," L(BLOB_2) "," L(BLOB_1), entries);
	assert_int_equal(image.kind, DOCUMENT_SCHEMA1);
	assert_true(image.has_config);
	assert_false(image.is_artifact);
	assert_false(digest_is_set(&image.config.digest));
	assert_int_equal(image.parsed.diff_id_count, 0);

	assert_string_equal(image.parsed.platform.os, "freebsd");
	assert_string_equal(image.parsed.platform.architecture, "arm64");
	assert_string_equal(image.parsed.platform.variant, "v8");
	assert_string_equal(image.parsed.created, "c3");
	assert_string_equal(image.parsed.author, "a3");

	assert_string_equal(image.v1[0].id, ID("1"));
	assert_string_equal(image.v1[0].json, base);
	assert_int_equal(image.v1[0].json_len, strlen(base));
	assert_true(image.v1[2].is_throwaway);
	assert_string_equal(image.parsed.history[0].created_by, "a  b c");
	assert_string_equal(image.parsed.history[1].comment, "m2");
	assert_string_equal(image.parsed.history[2].created_by, "one word");
	assert_true(image.parsed.history[2].is_empty_layer);

	assert_int_equal(image.layer_count, 2);
	assert_string_equal(digest_format(&image.layers[0].digest, digest), BLOB_1);
	assert_string_equal(image.layers[1].layer_id, ID("2"));
	assert_string_equal(image.layers[1].media_type,
		"application/vnd.docker.container.image.rootfs.diff+x-gtar");
	assert_true(image.layers[1].size == DESCRIPTOR_SIZE_UNKNOWN);
	assert_string_equal(image_layer_history(&image, 1)->comment, "m2");
	assert_int_equal(image_chain_id(&image.config.digest, &image, 0, NULL), -EINVAL);
}

static void falls_back_to_the_manifests_platform(void **state)
{
	static const char *const entries[ENTRIES] = { BASE };
	CLEANUP(image_release) struct image image = { 0 };

	(void)state;
	parse_entries(&image, L(BLOB_1), entries);
	assert_string_equal(image.parsed.platform.os, "linux");
	assert_string_equal(image.parsed.platform.architecture, "amd64");
}

/* Signatures in a spelling that nobody writes do not pass for none. */
static void distrusts_odd_signatures(void **state)
{
	static const char *const entries[ENTRIES] = { BASE };
	CLEANUP(image_release) struct image image = { 0 };
	CLEANUP(buf_release) struct buf text = { 0 };

	(void)state;
	write_manifest(&text, L(BLOB_1), entries);
	text.len--;
	assert_int_equal(buf_append_text(&text, ",\"signature\\u0073\":[{}]}"), 0);
	assert_int_equal(image_parse(&image, DOCUMENT_SCHEMA1, text.data, text.len, NULL), 0);
	assert_int_equal(image.signature, SIGNATURE_MALFORMED);
}

static void bounds_layers(void **state)
{
	CLEANUP(buf_release) struct buf text = { .max = DOCUMENT_MAX };
	CLEANUP(image_release) struct image image = { 0 };
	enum { COUNT = IMAGE_LAYERS_MAX + 1 };

	(void)state;
	(void)buf_printf(&text, "{\"schemaVersion\":1,\"fsLayers\":[");
	for (int i = 0; i < COUNT; i++)
		(void)buf_printf(&text, "%s{\"blobSum\":\"" BLOB_1 "\"}", i ? "," : "");
	(void)buf_printf(&text, "],\"history\":[");
	for (int i = COUNT; i-- > 0;) {
		(void)buf_printf(&text, "{\"v1Compatibility\":\"{\\\"id\\\":\\\"%064x\\\"", i);
		if (i)
			(void)buf_printf(&text, ",\\\"parent\\\":\\\"%064x\\\"}\"},", i - 1);
	}
	assert_int_equal(buf_printf(&text, "}\"}]}"), 0);
	assert_int_equal(image_parse(&image, DOCUMENT_SCHEMA1, text.data, text.len, NULL), -EFBIG);
}

static void read_image(struct image *image, enum document_kind kind, const char *name)
{
	size_t len = 0;
	CLEANUP(freep) char *text = fixture(name, &len);

	assert_int_equal(image_parse(image, kind, text, len, NULL), 0);
}

/* Members that are not covered by the signature are not read. */
static void reads_the_payload_alone(void **state)
{
	CLEANUP(image_release) struct image image = { 0 };
	char digest[DIGEST_TEXT_MAX];

	(void)state;
	read_image(&image, DOCUMENT_SCHEMA1, "schema1/moby_extra_data_manifest.json");
	assert_int_equal(image.signature, SIGNATURE_VALID);
	assert_string_equal(image.signature_key_id,
		"OIH7:HQFS:44FK:45VB:3B53:OIAG:TPL4:ATF5:6PNE:MGHN:NHQX:2GE4");
	assert_int_equal(image.layer_count, 2);
	assert_string_equal(digest_format(&image.layers[0].digest, digest),
		"sha256:03f4658f8b782e12230c1783426bd3bacce651ce582a4ffb6fbbfa2079428ecb");
	assert_string_equal(digest_format(&image.layers[1].digest, digest), EMPTY);
}

#define ADD(cases, function)                                                                       \
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)                                             \
		tests[n++] = (struct CMUnitTest)                                                   \
		{                                                                                  \
			.name = *(const char *const *)&cases[i], .test_func = function,            \
			.initial_state = (void *)&cases[i]                                         \
		}

int main(void)
{
	static const struct CMUnitTest others[] = {
		cmocka_unit_test(fills_the_image),
		cmocka_unit_test(falls_back_to_the_manifests_platform),
		cmocka_unit_test(distrusts_odd_signatures),
		cmocka_unit_test(bounds_layers),
		cmocka_unit_test(reads_the_payload_alone),
	};
	struct CMUnitTest tests[ARRAY_SIZE(parse_cases) + ARRAY_SIZE(others)];
	size_t n = 0;

	ADD(parse_cases, parses);
	memcpy(tests + n, others, sizeof others);
	return cmocka_run_group_tests_name("schema1", tests, NULL, NULL);
}
