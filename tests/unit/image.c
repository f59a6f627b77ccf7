/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents in tables say what is judged how; recorded ones (IMGFS_FIXTURES)
 * hold what skopeo 1.9.3 and docker-registry 2.8.2 made of the same images.
 */
#include "model/image.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/cleanup.h"
#include "model/error.h"
#include "tests/unit/fixture.h"

#define OCI      "application/vnd.oci.image."
#define DOCKER   "application/vnd.docker."
#define MANIFEST DOCKER "distribution.manifest."
#define ROOTFS   DOCKER "image.rootfs."
#define HEX      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define DIGEST   "sha256:" HEX
#define DIGEST2  "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"

/* Short descriptors. */
#define D(type, more) "{\"mediaType\":\"" type "\",\"digest\":\"" DIGEST "\",\"size\":3" more "}"
#define CONFIG        D(OCI "config.v1+json", "")
#define OCI_LAYERS    "\"config\":" CONFIG ",\"layers\":[" D(OCI "layer.v1.tar+gzip", "") "]"
#define DOCKER_LAYERS                                                                              \
	"\"config\":" D(DOCKER "container.image.v1+json", "") ",\"layers\":[" D(                   \
		ROOTFS "diff.tar.gzip", "") "]"
#define CHILDREN "\"manifests\":[" D(OCI "manifest.v1+json", "") "]"
#define SCHEMA1  "\"fsLayers\":[],\"history\":[]"
#define V2       "{\"schemaVersion\":2,"
#define TYPE(t)  "\"mediaType\":\"" t "\","

static const struct kind_case {
	const char *name, *announced, *text;
	int rc;
	enum document_kind kind;
	const char *error;
} kind_cases[] = {
	{ "an OCI manifest", OCI "manifest.v1+json", V2 TYPE(OCI "manifest.v1+json") OCI_LAYERS "}",
		0, DOCUMENT_OCI_MANIFEST, NULL },
	{ "an OCI manifest by its own type", NULL, V2 TYPE(OCI "manifest.v1+json") OCI_LAYERS "}",
		0, DOCUMENT_OCI_MANIFEST, NULL },
	{ "an OCI 1.0 manifest without a type", NULL, V2 OCI_LAYERS "}", 0, DOCUMENT_OCI_MANIFEST,
		NULL },
	{ "an OCI 1.0 manifest, announced", OCI "manifest.v1+json; charset=utf-8",
		V2 OCI_LAYERS "}", 0, DOCUMENT_OCI_MANIFEST, NULL },
	{ "a schema 2 manifest", MANIFEST "v2+json", V2 TYPE(MANIFEST "v2+json") DOCKER_LAYERS "}",
		0, DOCUMENT_SCHEMA2, NULL },
	{ "a schema 2 manifest that lost its type", NULL, V2 DOCKER_LAYERS "}", 0, DOCUMENT_SCHEMA2,
		NULL },
	{ "an OCI index", OCI "index.v1+json", V2 TYPE(OCI "index.v1+json") CHILDREN "}", 0,
		DOCUMENT_OCI_INDEX, NULL },
	{ "an OCI 1.0 index without a type", NULL, V2 CHILDREN "}", 0, DOCUMENT_OCI_INDEX, NULL },
	{ "an index of null", NULL, V2 TYPE(OCI "index.v1+json") "\"manifests\":null}", 0,
		DOCUMENT_OCI_INDEX, NULL },
	{ "a manifest list", NULL, V2 TYPE(MANIFEST "list.v2+json") CHILDREN "}", 0,
		DOCUMENT_DOCKER_LIST, NULL },
	{ "a list without a type, announced", MANIFEST "list.v2+json", V2 CHILDREN "}", 0,
		DOCUMENT_DOCKER_LIST, NULL },
	{ "schema 1", MANIFEST "v1+json", "{" SCHEMA1 ",\"schemaVersion\":1}", 0, DOCUMENT_SCHEMA1,
		NULL },
	{ "schema 1 as text/plain", "text/plain", "{" SCHEMA1 ",\"schemaVersion\":1}", 0,
		DOCUMENT_SCHEMA1, NULL },
	{ "application/json says nothing", "application/json", V2 OCI_LAYERS "}", 0,
		DOCUMENT_OCI_MANIFEST, NULL },
	{ "application/octet-stream says nothing", "application/octet-stream", V2 CHILDREN "}", 0,
		DOCUMENT_OCI_INDEX, NULL },
	{ "an empty type says nothing", "", V2 CHILDREN "}", 0, DOCUMENT_OCI_INDEX, NULL },
	{ "an unknown own type says nothing", NULL, V2 TYPE("application/x") CHILDREN "}", 0,
		DOCUMENT_OCI_INDEX, NULL },
	{ "own members that are null", NULL, V2 "\"manifests\":null," OCI_LAYERS "}", 0,
		DOCUMENT_OCI_MANIFEST, NULL },

	{ "an object of nothing known", NULL, "{\"a\":1}", 0, DOCUMENT_UNKNOWN, NULL },
	{ "a version of the future", NULL, "{\"schemaVersion\":3," CHILDREN "}", 0,
		DOCUMENT_UNKNOWN, NULL },
	{ "no version and no type", NULL, "{" CHILDREN "}", 0, DOCUMENT_UNKNOWN, NULL },

	{ "an index with layers", NULL, V2 CHILDREN "," OCI_LAYERS "}", -EIO, 0, "ambiguous" },
	{ "an index type over layers", NULL, V2 TYPE(OCI "index.v1+json") OCI_LAYERS "}", -EIO, 0,
		"ambiguous" },
	{ "a manifest type over children", NULL, V2 TYPE(OCI "manifest.v1+json") CHILDREN "}", -EIO,
		0, "ambiguous" },
	{ "announced as a manifest, an index by shape", OCI "manifest.v1+json", V2 CHILDREN "}",
		-EIO, 0, "ambiguous" },
	{ "a manifest with fsLayers", NULL, V2 OCI_LAYERS ",\"fsLayers\":[]}", -EIO, 0,
		"ambiguous" },
	{ "a manifest with history", NULL, V2 OCI_LAYERS ",\"history\":[]}", -EIO, 0, "ambiguous" },
	{ "an index with capital Layers", NULL, V2 CHILDREN ",\"Layers\":[]}", -EIO, 0,
		"ambiguous" },
	{ "an index with a long s in layers", NULL, V2 CHILDREN ",\"layer\xc5\xbf\":[]}", -EIO, 0,
		"ambiguous" },
	{ "an index with CONFIG", NULL, V2 CHILDREN ",\"CONFIG\":{}}", -EIO, 0, "ambiguous" },
	{ "a manifest with LAYERS beside layers", NULL, V2 OCI_LAYERS ",\"LAYERS\":[]}", -EIO, 0,
		"ambiguous" },
	{ "two media types by case", NULL,
		V2 TYPE(OCI "index.v1+json") CHILDREN ",\"mediatype\":\"x\"}", -EIO, 0,
		"ambiguous" },
	{ "announced as an index, calls itself a manifest", OCI "index.v1+json",
		V2 TYPE(OCI "manifest.v1+json") "\"config\":null}", -EIO, 0, "announced" },
	{ "announced as schema 2, calls itself OCI", MANIFEST "v2+json",
		V2 TYPE(OCI "manifest.v1+json") OCI_LAYERS "}", -EIO, 0, "announced" },
	{ "announced as a layer", OCI "layer.v1.tar", V2 OCI_LAYERS "}", -EIO, 0, "not the type" },
	{ "calls itself a config", NULL, V2 TYPE(OCI "config.v1+json") OCI_LAYERS "}", -EIO, 0,
		"not the type" },
	{ "schema 1 with version 2", MANIFEST "v1+json", V2 SCHEMA1 "}", -EIO, 0,
		"schema version" },
	{ "schema 2 with version 1", MANIFEST "v2+json", "{\"schemaVersion\":1," DOCKER_LAYERS "}",
		-EIO, 0, "schema version" },
	{ "a type that is a number", NULL, V2 "\"mediaType\":7," CHILDREN "}", -EIO, 0,
		"mediaType" },
	{ "a version that is text", NULL, "{\"schemaVersion\":\"2\"," CHILDREN "}", -EIO, 0,
		"schemaVersion" },
	{ "a version with a fraction", NULL, "{\"schemaVersion\":2.0," CHILDREN "}", -EIO, 0,
		"schemaVersion" },
	{ "an artifact manifest", "application/vnd.oci.artifact.manifest.v1+json", "{\"blobs\":[]}",
		-EOPNOTSUPP, 0, "artifact" },
	{ "an artifact manifest by its own type", NULL,
		"{\"mediaType\":\"application/vnd.oci.artifact.manifest.v1+json\"}", -EOPNOTSUPP, 0,
		"artifact" },
	{ "an array", NULL, "[]", -EIO, 0, "not a JSON object" },
	{ "no JSON", NULL, "<html>", -EIO, 0, "malformed" },
	{ "a name that stands twice", NULL, V2 "\"layers\":[]," OCI_LAYERS "}", -EIO, 0, "twice" },
};

static void finds_kind(void **state)
{
	const struct kind_case *c = *state;
	enum document_kind kind = DOCUMENT_UNKNOWN;
	struct error err = { "" };

	assert_int_equal(document_kind(&kind, c->announced, c->text, strlen(c->text), &err), c->rc);
	assert_int_equal(kind, c->kind);
	if (c->rc && !strstr(err.text, c->error))
		fail_msg("'%s' does not hold '%s'", err.text, c->error);
}

#define MANIFEST_OF(config, layers, more) V2 "\"config\":" config ",\"layers\":" layers more "}"

static const struct manifest_case {
	const char *name;
	enum document_kind kind;
	const char *text;
	int rc;
	const char *error;
	size_t layers;
	bool is_artifact;
} manifest_cases[] = {
	{ "an image", DOCUMENT_OCI_MANIFEST, V2 OCI_LAYERS "}", 0, NULL, 1, false },
	{ "a Docker image", DOCUMENT_SCHEMA2, V2 DOCKER_LAYERS "}", 0, NULL, 1, false },
	{ "no layers", DOCUMENT_OCI_MANIFEST, MANIFEST_OF(CONFIG, "[]", ""), 0, NULL, 0, false },
	{ "layers of null", DOCUMENT_OCI_MANIFEST, MANIFEST_OF(CONFIG, "null", ""), 0, NULL, 0,
		false },
	{ "optional members of null", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(CONFIG, "[]",
			",\"annotations\":null,\"subject\":null,\"artifactType\":null,\"x\":{}"),
		0, NULL, 0, false },
	{ "an artifact by its config", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(D("application/vnd.example", ""), "[]", ""), 0, NULL, 0, true },
	{ "an artifact by the empty config", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(D("application/vnd.oci.empty.v1+json", ""), "[]",
			",\"artifactType\":\"application/x\""),
		0, NULL, 0, true },
	{ "a Docker plugin", DOCUMENT_SCHEMA2,
		MANIFEST_OF(D(DOCKER "plugin.v1+json", ""), "[]",
			",\"mediaType\":\"" MANIFEST "v2+json\""),
		0, NULL, 0, true },
	{ "an old Docker config type", DOCUMENT_SCHEMA2,
		MANIFEST_OF(D("application/octet-stream", ""), "[]",
			",\"mediaType\":\"" MANIFEST "v2+json\""),
		0, NULL, 0, false },
	{ "an attestation over an image config", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(CONFIG,
			"[" D("application/vnd.in-toto+json", "") "," D(
				"application/vnd.in-toto+json", "") "]",
			""),
		0, NULL, 2, true },
	{ "a signature over an image config", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(CONFIG,
			"[" D("application/vnd.dev.cosign.simplesigning.v1+json", "") "]", ""),
		0, NULL, 1, true },
	{ "an attestation among layers", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(CONFIG,
			"[" D("application/vnd.in-toto+json", "") "," D(OCI "layer.v1.tar", "") "]",
			""),
		0, NULL, 2, false },
	{ "a layer of a type nobody knows", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(CONFIG, "[" D("application/vnd.example.unknown", "") "]", ""), 0, NULL,
		1, false },
	{ "an encrypted layer", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(CONFIG, "[" D(OCI "layer.v1.tar+encrypted", "") "]", ""), 0, NULL, 1,
		false },
	{ "octet-stream in OCI", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(D("application/octet-stream", ""), "[]", ""), 0, NULL, 0, true },
	{ "the largest size", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(
			CONFIG, "[{\"digest\":\"" DIGEST "\",\"size\":9223372036854775807}]", ""),
		0, NULL, 1, false },

	{ "an index", DOCUMENT_OCI_MANIFEST, V2 CHILDREN "}", -EIO, "ambiguous", 0, false },
	{ "told the wrong flavour", DOCUMENT_SCHEMA2,
		V2 TYPE(OCI "manifest.v1+json") OCI_LAYERS "}", -EIO, "announced", 0, false },
	{ "schema 1 for OCI", DOCUMENT_OCI_MANIFEST, "{" SCHEMA1 ",\"schemaVersion\":1}", -EIO,
		"schema version", 0, false },
	{ "no config", DOCUMENT_OCI_MANIFEST, V2 "\"layers\":[]}", -EIO, "'config' is missing", 0,
		false },
	{ "config of null", DOCUMENT_OCI_MANIFEST, MANIFEST_OF("null", "[]", ""), -EIO,
		"'config' is missing", 0, false },
	{ "config an array", DOCUMENT_OCI_MANIFEST, MANIFEST_OF("[]", "[]", ""), -EIO, "'config'",
		0, false },
	{ "layers an object", DOCUMENT_OCI_MANIFEST, MANIFEST_OF(CONFIG, "{}", ""), -EIO,
		"'layers'", 0, false },
	{ "a layer of null", DOCUMENT_OCI_MANIFEST, MANIFEST_OF(CONFIG, "[null]", ""), -EIO,
		"entry 1 of 1", 0, false },
	{ "a layer without a digest", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(CONFIG, "[" CONFIG ",{\"size\":1}]", ""), -EIO,
		"entry 2 of 2: 'digest'", 0, false },
	{ "another digest by case", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(
			CONFIG, "[" D(OCI "layer.v1.tar", ",\"Digest\":\"" DIGEST "\"") "]", ""),
		-EIO, "entry 1 of 1: ambiguous: 'Digest'", 0, false },
	{ "another digest by a long s", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(CONFIG,
			"[" D(OCI "layer.v1.tar", ",\"dige\xc5\xbft\":\"" DIGEST "\"") "]", ""),
		-EIO, "for 'digest'", 0, false },
	{ "another size by case", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(CONFIG, "[" D(OCI "layer.v1.tar", ",\"SIZE\":4") "]", ""), -EIO,
		"for 'size'", 0, false },
	{ "another name that looks alike", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(CONFIG, "[" D(OCI "layer.v1.tar", ",\"sizes\":4,\"siz\":4") "]", ""), 0,
		NULL, 1, false },
	{ "an empty digest", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(CONFIG, "[{\"digest\":\"\",\"size\":1}]", ""), -EIO, "digest", 0,
		false },
	{ "a digest that is a path", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(CONFIG, "[{\"digest\":\"sha256:../../x\",\"size\":1}]", ""), -EIO,
		"digest", 0, false },
	{ "a digest nobody can verify", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(CONFIG, "[{\"digest\":\"blake3:" HEX "\",\"size\":1}]", ""),
		-EOPNOTSUPP, "blake3", 0, false },
	{ "a digest with a NUL", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(CONFIG, "[{\"digest\":\"" DIGEST "\\u0000\",\"size\":1}]", ""), -EIO,
		"NUL", 0, false },
	{ "no size", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(CONFIG, "[{\"digest\":\"" DIGEST "\"}]", ""), -EIO, "'size' is missing",
		0, false },
	{ "a negative size", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(CONFIG, "[{\"digest\":\"" DIGEST "\",\"size\":-1}]", ""), -EIO,
		"'size'", 0, false },
	{ "a size beyond 63 bits", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(
			CONFIG, "[{\"digest\":\"" DIGEST "\",\"size\":9223372036854775808}]", ""),
		-EIO, "'size'", 0, false },
	{ "a size beyond 64 bits", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(
			CONFIG, "[{\"digest\":\"" DIGEST "\",\"size\":18446744073709551620}]", ""),
		-EIO, "'size'", 0, false },
	{ "a size with an exponent", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(CONFIG, "[{\"digest\":\"" DIGEST "\",\"size\":1e3}]", ""), -EIO,
		"'size'", 0, false },
	{ "a size that is text", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(CONFIG, "[{\"digest\":\"" DIGEST "\",\"size\":\"3\"}]", ""), -EIO,
		"'size'", 0, false },
	{ "annotations that are no text", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(CONFIG, "[]", ",\"annotations\":{\"a\":1}"), -EIO, "annotations", 0,
		false },
	{ "a subject without a digest", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(CONFIG, "[]", ",\"subject\":{}"), -EIO, "subject", 0, false },
	{ "urls that are no list", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(CONFIG, "[" D("x", ",\"urls\":\"http://a\"") "]", ""), -EIO, "urls", 0,
		false },
};

static void parses_manifests(void **state)
{
	const struct manifest_case *c = *state;
	CLEANUP(image_release) struct image image = { 0 };
	struct error err = { "" };

	assert_int_equal(image_parse(&image, c->kind, c->text, strlen(c->text), &err), c->rc);
	if (c->rc) {
		if (!strstr(err.text, c->error))
			fail_msg("'%s' does not hold '%s'", err.text, c->error);
		assert_null(image.layers);
		return;
	}
	assert_int_equal(image.layer_count, c->layers);
	assert_int_equal(image.is_artifact, c->is_artifact);
}

static void reads_all_members(void **state)
{
	static const char text[] = V2 TYPE(OCI
		"manifest.v1+json") "\"artifactType\":\"application/a\",\"config\":" CONFIG ",\"layers\":[" D(OCI
		"layer.v1.tar",
		",\"urls\":[\"http://a\",\"http://b\"],\"data\":\"AAAA\","
		"\"annotations\":{\"k\":\"v\",\"n\":null},\"artifactType\":\"t/t\"") "],\"subject\":{\"mediaType\":\"x/y\",\"digest\":\"" DIGEST2
										     "\",\"size\":2},"
										     "\"annotations\":{\"b\":\"2\",\"a\":\"1\"}}";
	CLEANUP(image_release) struct image image = { 0 };
	CLEANUP(descriptor_release) struct descriptor copy = { 0 };
	char digest[DIGEST_TEXT_MAX];

	(void)state;
	assert_int_equal(
		image_parse(&image, DOCUMENT_OCI_MANIFEST, text, sizeof text - 1, NULL), 0);
	assert_string_equal(image.artifact_type, "application/a");
	assert_true(image.has_subject);
	assert_string_equal(digest_format(&image.subject.digest, digest), DIGEST2);
	assert_int_equal(image.subject.size, 2);
	assert_string_equal(image.annotations.items[0].key, "b"); /* the document's order */
	assert_string_equal(annotations_get(&image.annotations, "a"), "1");
	assert_null(annotations_get(&image.annotations, "c"));

	assert_int_equal(descriptor_copy(&copy, &image.layers[0], NULL), 0);
	assert_string_equal(copy.urls[1], "http://b");
	assert_null(copy.urls[2]);
	assert_string_equal(copy.data, "AAAA");
	assert_string_equal(copy.artifact_type, "t/t");
	assert_string_equal(annotations_get(&copy.annotations, "n"), "");
	assert_false(copy.has_platform);
}

static const struct index_case {
	const char *name;
	enum document_kind kind;
	const char *text;
	int rc;
	size_t count;
} index_cases[] = {
	{ "an index", DOCUMENT_OCI_INDEX, V2 CHILDREN "}", 0, 1 },
	{ "an index of null", DOCUMENT_OCI_INDEX, V2 "\"manifests\":null}", 0, 0 },
	{ "an empty index", DOCUMENT_OCI_INDEX, V2 "\"manifests\":[]}", 0, 0 },
	{ "a platform of null", DOCUMENT_OCI_INDEX,
		V2 "\"manifests\":[" D("x/y", ",\"platform\":null") "]}", 0, 1 },
	{ "a platform of nothing", DOCUMENT_OCI_INDEX,
		V2 "\"manifests\":[" D("x/y", ",\"platform\":{}") "]}", 0, 1 },
	{ "a manifest for an index", DOCUMENT_OCI_INDEX, V2 OCI_LAYERS "}", -EIO, 0 },
	{ "asked for a manifest", DOCUMENT_OCI_MANIFEST, V2 CHILDREN "}", -EOPNOTSUPP, 0 },
	{ "a platform that is text", DOCUMENT_OCI_INDEX,
		V2 "\"manifests\":[" D("x/y", ",\"platform\":\"linux\"") "]}", -EIO, 0 },
	{ "an os that is a number", DOCUMENT_OCI_INDEX,
		V2 "\"manifests\":[" D("x/y", ",\"platform\":{\"os\":1}") "]}", -EIO, 0 },
	{ "entries that are an object", DOCUMENT_OCI_INDEX, V2 "\"manifests\":{}}", -EIO, 0 },
};

static void parses_indexes(void **state)
{
	const struct index_case *c = *state;
	CLEANUP(image_index_release) struct image_index idx = { 0 };

	assert_int_equal(image_index_parse(&idx, c->kind, c->text, strlen(c->text), NULL), c->rc);
	assert_int_equal(idx.entry_count, c->count);
}

static const struct attestation_case {
	const char *name, *more;
	bool is_attestation, has_subject;
} attestation_cases[] = {
	{ "BuildKit's marks",
		",\"annotations\":{\"vnd.docker.reference.digest\":\"" DIGEST2 "\","
		"\"vnd.docker.reference.type\":\"attestation-manifest\"},"
		"\"platform\":{\"architecture\":\"unknown\",\"os\":\"unknown\"}",
		true, true },
	{ "the annotation alone",
		",\"annotations\":{\"vnd.docker.reference.type\":\"attestation-manifest\"}", true,
		false },
	{ "the platform alone", ",\"platform\":{\"architecture\":\"unknown\",\"os\":\"unknown\"}",
		true, false },
	{ "the artifact type", ",\"artifactType\":\"" DOCKER "attestation.manifest.v1+json\"", true,
		false },
	{ "a subject that is no digest",
		",\"annotations\":{\"vnd.docker.reference.digest\":\"../x\","
		"\"vnd.docker.reference.type\":\"attestation-manifest\"}",
		true, false },
	{ "a platform", ",\"platform\":{\"architecture\":\"amd64\",\"os\":\"linux\"}", false,
		false },
	{ "an unknown architecture",
		",\"platform\":{\"architecture\":\"unknown\",\"os\":\"linux\"}", false, false },
	{ "no marks", "", false, false },
};

static void finds_attestations(void **state)
{
	CLEANUP(image_index_release) struct image_index idx = { 0 };
	const struct attestation_case *c = *state;
	struct digest subject = { 0 };
	char text[1024];

	(void)snprintf(text, sizeof text,
		V2 "\"manifests\":[{\"digest\":\"" DIGEST "\",\"size\":1%s}]}", c->more);
	assert_int_equal(image_index_parse(&idx, DOCUMENT_OCI_INDEX, text, strlen(text), NULL), 0);
	assert_int_equal(
		image_index_entry_is_attestation(&idx.entries[0], &subject), c->is_attestation);
	assert_int_equal(digest_is_set(&subject), c->has_subject);
	assert_int_equal(
		image_index_entry_is_attestation(&idx.entries[0], NULL), c->is_attestation);
}

static const struct config_case {
	const char *name, *text;
	int rc;
	const char *error;
} config_cases[] = {
	{ "nothing", "{}", 0, NULL },
	{ "all of null",
		"{\"os\":null,\"architecture\":null,\"variant\":null,\"os.version\":null,"
		"\"os.features\":null,\"created\":null,\"author\":null,\"config\":null,"
		"\"rootfs\":null,\"history\":null}",
		0, NULL },
	{ "lists of null",
		"{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":null},\"history\":[null]}", 0,
		NULL },
	{ "members of others", "{\"config\":[1],\"container\":{},\"docker_version\":7,\"x\":null}",
		0, NULL },
	{ "no JSON", "#!/bin/sh", -EIO, "malformed" },
	{ "an array", "[]", -EIO, "not a JSON object" },
	{ "an os that is a number", "{\"os\":1}", -EIO, "'os'" },
	{ "an unknown rootfs", "{\"rootfs\":{\"type\":\"layers+base\"}}", -EOPNOTSUPP,
		"layers+base" },
	{ "a diff_id that is a number", "{\"rootfs\":{\"diff_ids\":[1]}}", -EIO, "diff_id 1 of 1" },
	{ "a diff_id of null", "{\"rootfs\":{\"diff_ids\":[null]}}", -EIO, "diff_id 1 of 1" },
	{ "a diff_id that is none", "{\"rootfs\":{\"diff_ids\":[\"" DIGEST "\",\"sha256:12\"]}}",
		-EIO, "diff_id 2 of 2" },
	{ "history that is text", "{\"history\":\"none\"}", -EIO, "'history'" },
	{ "a history entry that is text", "{\"history\":[{},\"x\"]}", -EIO,
		"history entry 2 of 2" },
	{ "an empty_layer that is text", "{\"history\":[{\"empty_layer\":\"true\"}]}", -EIO,
		"empty_layer" },
};

static void parses_configs(void **state)
{
	const struct config_case *c = *state;
	CLEANUP(image_release) struct image image = { .kind = DOCUMENT_OCI_MANIFEST };
	struct error err = { "" };

	assert_int_equal(image_parse_config(&image, c->text, strlen(c->text), &err), c->rc);
	assert_int_equal(image.has_config, c->rc == 0);
	if (c->rc && !strstr(err.text, c->error))
		fail_msg("'%s' does not hold '%s'", err.text, c->error);
	if (!c->rc) { /* a second config takes the place of the first */
		assert_int_equal(image_parse_config(&image, c->text, strlen(c->text), NULL), 0);
		assert_string_equal(image.parsed.platform.os, "");
		assert_string_equal(image.parsed.author, "");
	}
}

/* The chain ids are printf '%s' "$above $diff_id" | sha256sum. */
static void follows_layers(void **state)
{
	static const char config[] =
		"{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v7\",\"os.version\":\"1\","
		"\"os.features\":[\"f\"],\"created\":\"c\",\"author\":\"a\","
		"\"rootfs\":{\"diff_ids\":[\"" DIGEST "\",\"" DIGEST2 "\",\"" DIGEST "\"]},"
		"\"history\":[{\"created_by\":\"first\"},{\"created_by\":\"env\",\"empty_layer\":true},"
		"{\"created_by\":\"second\",\"comment\":\"x\"}]}";
	struct descriptor layers[4] = { 0 };
	struct image image = { .kind = DOCUMENT_OCI_MANIFEST, .layers = layers, .layer_count = 4 };
	struct digest chain = { 0 };
	char text[DIGEST_TEXT_MAX];

	(void)state;
	assert_null(image_layer_history(&image, 0)); /* before there is a config */
	assert_int_equal(image_chain_id(&chain, &image, 0, NULL), -EINVAL);
	assert_int_equal(image_parse_config(&image, config, sizeof config - 1, NULL), 0);
	assert_string_equal(image.parsed.platform.os_version, "1");
	assert_string_equal(image.parsed.platform.os_features[0], "f");
	assert_string_equal(image.parsed.created, "c");

	assert_string_equal(image_layer_history(&image, 0)->created_by, "first");
	assert_string_equal(image_layer_history(&image, 1)->created_by, "second");
	assert_null(image_layer_history(&image, 2)); /* history is shorter */
	assert_null(image_layer_history(&image, 4));

	assert_int_equal(image_chain_id(&chain, &image, 0, NULL), 0);
	assert_string_equal(digest_format(&chain, text), DIGEST);
	assert_int_equal(image_chain_id(&chain, &image, 1, NULL), 0);
	assert_string_equal(digest_format(&chain, text),
		"sha256:bbe77469c2dd8e4d3f718b17b53294c69d86cde9a8635a04e1fbec0b635564e1");
	assert_int_equal(image_chain_id(&chain, &image, 2, NULL), 0);
	assert_string_equal(digest_format(&chain, text),
		"sha256:fda4bfdb2f843d72a95e47649e41125a1d4ad1d7375ef32fafd35e395e03192d");
	assert_int_equal(image_chain_id(&chain, &image, 3, NULL), -EINVAL);

	image.layers = NULL;
	image.layer_count = 0;
	image_release(&image);
}

static const struct write_case {
	const char *name;
	enum document_kind kind;
	const char *text;
	enum media_family family;
	int rc;
	const char *written, *dropped;
} write_cases[] = {
	{ "OCI as it is", DOCUMENT_OCI_MANIFEST,
		V2 "\"annotations\":{\"b\":\"<&>\",\"a\":\"\xe2\x80\xa8\"},\"subject\":" CONFIG
		   ",\"layers\":[" D("x/y",
			   ",\"data\":\"AA==\",\"annotations\":{\"k\":\"v\"},\"urls\":[\"u\"]"
			   ",\"artifactType\":\"t/t\"") "],\"config\":" D("application/vnd.example",
			   "") ",\"artifactType\":\"a/b\",\"extra\":1}",
		FAMILY_OCI, 0,
		V2 TYPE(OCI "manifest.v1+json") "\"artifactType\":\"a/b\",\"config\":" D(
			"application/vnd.example", "") ",\"layers\":[" D("x/y",
			",\"urls\":[\"u\"],\"annotations\":{\"k\":\"v\"},\"data\":\"AA==\","
			"\"artifactType\":\"t/t\"") "],\"subject\":" CONFIG
						    ",\"annotations\":{\"a\":\"\\u2028\",\"b\":\"\\u003c\\u0026\\u003e\"}}",
		"" },
	{ "what Docker cannot say", DOCUMENT_OCI_MANIFEST,
		V2
		"\"annotations\":{\"b\":\"2\"},\"subject\":" CONFIG ",\"config\":" CONFIG
		",\"layers\":[" D(OCI "layer.v1.tar+zstd",
			",\"data\":\"AA==\",\"urls\":[\"u\"],"
			"\"annotations\":{\"k\":\"v\"},\"artifactType\":\"t/t\"") "],\"artifactType\":\"a/b\"}",
		FAMILY_DOCKER, 0,
		V2 TYPE(MANIFEST
			"v2+json") "\"config\":{\"mediaType\":\"" DOCKER
				   "container.image.v1+json\",\"size\":3,"
				   "\"digest\":\"" DIGEST "\"},\"layers\":[{\"mediaType\":\"" ROOTFS
				   "diff.tar.zstd\","
				   "\"size\":3,\"digest\":\"" DIGEST "\",\"urls\":[\"u\"]}]}",
		"artifactType,subject,annotations,descriptor.annotations,descriptor.data,"
		"descriptor.artifactType" },
	{ "foreign layers to OCI", DOCUMENT_SCHEMA2,
		V2 "\"config\":" D(DOCKER "container.image.v1+json", "") ",\"layers\":[" D(
			ROOTFS "foreign.diff.tar.gzip", ",\"urls\":[\"https://a\"]") "," D(ROOTFS
			"diff.tar.zst",
			"") "," D(ROOTFS "diff.tar", "") "]}",
		FAMILY_OCI, 0,
		V2 TYPE(OCI "manifest.v1+json") "\"config\":" CONFIG ",\"layers\":[" D(OCI
			"layer.nondistributable.v1.tar+gzip",
			",\"urls\":[\"https://a\"]") "," D(OCI "layer.v1.tar+zstd",
			"") "," D(OCI "layer.v1.tar", "") "]}",
		"" },
	{ "no layers", DOCUMENT_OCI_MANIFEST, MANIFEST_OF(CONFIG, "null", ""), FAMILY_OCI, 0,
		V2 TYPE(OCI "manifest.v1+json") "\"config\":" CONFIG ",\"layers\":[]}", "" },
	{ "an artifact to Docker", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(D("application/vnd.example", ""), "[]", ""), FAMILY_DOCKER, -EOPNOTSUPP,
		NULL, NULL },
	{ "an encrypted layer to Docker", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(CONFIG, "[" D(OCI "layer.v1.tar+gzip+encrypted", "") "]", ""),
		FAMILY_DOCKER, -EOPNOTSUPP, NULL, NULL },
	{ "an attestation to Docker", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(CONFIG, "[" D("application/vnd.in-toto+json", "") "]", ""),
		FAMILY_DOCKER, -EOPNOTSUPP, NULL, NULL },
	{ "nondistributable zstd to Docker", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(CONFIG, "[" D(OCI "layer.nondistributable.v1.tar+zstd", "") "]", ""),
		FAMILY_DOCKER, -EOPNOTSUPP, NULL, NULL },
	{ "a config for a layer", DOCUMENT_OCI_MANIFEST, MANIFEST_OF(CONFIG, "[" CONFIG "]", ""),
		FAMILY_DOCKER, -EOPNOTSUPP, NULL, NULL },
	{ "a layer without a type to Docker", DOCUMENT_OCI_MANIFEST,
		MANIFEST_OF(CONFIG, "[{\"digest\":\"" DIGEST "\",\"size\":1}]", ""), FAMILY_DOCKER,
		-EOPNOTSUPP, NULL, NULL },
	{ "no family", DOCUMENT_OCI_MANIFEST, MANIFEST_OF(CONFIG, "[]", ""), FAMILY_OTHER,
		-EOPNOTSUPP, NULL, NULL },
};

static void writes_manifests(void **state)
{
	const struct write_case *c = *state;
	CLEANUP(image_release) struct image image = { 0 };
	CLEANUP(buf_release) struct buf out = { .max = DOCUMENT_MAX }, dropped = { .max = 1024 };

	assert_int_equal(image_parse(&image, c->kind, c->text, strlen(c->text), NULL), 0);
	assert_int_equal(image_write(&image, c->family, &out, &dropped, NULL), c->rc);
	if (c->rc)
		return;
	assert_string_equal(out.data, c->written);
	assert_string_equal(dropped.data ? dropped.data : "", c->dropped);
	buf_clear(&out);
	assert_int_equal(image_write(&image, c->family, &out, NULL, NULL), 0);
	assert_string_equal(out.data, c->written);
}

static void writes_indexes(void **state)
{
	static const char text[] =
		V2 "\"artifactType\":\"a/b\",\"annotations\":{\"k\":\"v\"},\"manifests\":[" D("x/y",
			",\"annotations\":{\"k\":\"v\"},\"platform\":{\"os\":\"linux\",\"architecture\":"
			"\"arm\",\"variant\":\"v7\",\"os.version\":\"1\",\"os.features\":[\"f\",\"g\"],"
			"\"features\":[\"sse4\"]},\"artifactType\":\"t/t\"") "," D("x/z", "") "]}";
	static const char oci[] =
		V2 TYPE(OCI "index.v1+json") "\"artifactType\":\"a/b\",\"manifests\":[" D("x/y",
			",\"annotations\":{\"k\":\"v\"},\"platform\":{\"architecture\":\"arm\","
			"\"os\":\"linux\",\"os.version\":\"1\",\"os.features\":[\"f\",\"g\"],"
			"\"variant\":\"v7\"},\"artifactType\":\"t/t\"") "," D("x/z",
			"") "],\"annotations\":{\"k\":\"v\"}}";
	static const char docker[] = V2 TYPE(MANIFEST
		"list.v2+json") "\"manifests\":["
				"{\"mediaType\":\"x/y\",\"size\":3,\"digest\":\"" DIGEST
				"\",\"platform\":"
				"{\"architecture\":\"arm\",\"os\":\"linux\",\"os.version\":\"1\","
				"\"os.features\":[\"f\",\"g\"],\"variant\":\"v7\",\"features\":[\"sse4\"]}},"
				"{\"mediaType\":\"x/z\",\"size\":3,\"digest\":\"" DIGEST
				"\",\"platform\":"
				"{\"architecture\":\"unknown\",\"os\":\"unknown\"}}]}";
	CLEANUP(image_index_release) struct image_index idx = { 0 };
	CLEANUP(buf_release) struct buf out = { .max = DOCUMENT_MAX };
	CLEANUP(buf_release) struct buf dropped = { .max = 1024 };

	(void)state;
	assert_int_equal(
		image_index_parse(&idx, DOCUMENT_OCI_INDEX, text, sizeof text - 1, NULL), 0);
	assert_int_equal(image_index_write(&idx, FAMILY_OCI, idx.entries, idx.entry_count, &out,
				 &dropped, NULL),
		0);
	assert_string_equal(out.data, oci);
	assert_string_equal(dropped.data, "platform.features");

	buf_release(&out);
	buf_release(&dropped);
	assert_int_equal(image_index_write(&idx, FAMILY_DOCKER, idx.entries, idx.entry_count, &out,
				 &dropped, NULL),
		0);
	assert_string_equal(out.data, docker);
	assert_string_equal(dropped.data,
		"artifactType,annotations,descriptor.annotations,descriptor.artifactType");

	buf_release(&out);
	idx.entries[0].size = DESCRIPTOR_SIZE_UNKNOWN;
	assert_int_equal(
		image_index_write(&idx, FAMILY_OCI, idx.entries, 1, &out, NULL, NULL), -EINVAL);
}

static void writes_layout_indexes(void **state)
{
	CLEANUP(descriptor_release) struct descriptor entry = { .size = 3 };
	CLEANUP(buf_release) struct buf out = { .max = DOCUMENT_MAX };

	(void)state;
	entry.media_type = strdup(OCI "manifest.v1+json");
	assert_int_equal(digest_parse(&entry.digest, DIGEST, NULL), 0);
	assert_int_equal(annotations_add(&entry.annotations, "org.opencontainers.image.ref.name",
				 "old", NULL),
		0);
	assert_int_equal(annotations_add(&entry.annotations, "a", "b", NULL), 0);

	assert_int_equal(layout_index_write(&entry, "1.28", &out, NULL), 0);
	assert_string_equal(
		out.data, V2 TYPE(OCI "index.v1+json") "\"manifests\":[" D(OCI "manifest.v1+json",
				  ",\"annotations\":{\"a\":\"b\","
				  "\"org.opencontainers.image.ref.name\":\"1.28\"}") "]}");
	buf_release(&out);
	assert_int_equal(layout_index_write(&entry, NULL, &out, NULL), 0);
	assert_string_equal(
		out.data, V2 TYPE(OCI "index.v1+json") "\"manifests\":[" D(
				  OCI "manifest.v1+json", ",\"annotations\":{\"a\":\"b\"}") "]}");
	assert_string_equal(
		annotations_get(&entry.annotations, "org.opencontainers.image.ref.name"), "old");
}

static void obeys_buffer_ceilings(void **state)
{
	static const char text[] = V2 OCI_LAYERS "}";
	CLEANUP(image_release) struct image image = { 0 };
	CLEANUP(buf_release) struct buf out = { .max = 100 };

	(void)state;
	assert_int_equal(
		image_parse(&image, DOCUMENT_OCI_MANIFEST, text, sizeof text - 1, NULL), 0);
	assert_int_equal(image_write(&image, FAMILY_DOCKER, &out, NULL, NULL), -EFBIG);
}

/* Expected values are what Go's json.Marshal prints. */
static const struct string_case {
	const char *text;
	size_t len;
	const char *written;
} string_cases[] = {
	{ "", 0, "\"\"" },
	{ "plain/text", 10, "\"plain/text\"" },
	{ "\"\\\n\r\t", 5, "\"\\\"\\\\\\n\\r\\t\"" },
	{ "a<b>&c", 6, "\"a\\u003cb\\u003e\\u0026c\"" },
	{ "\x01\x1f\x7f", 3, "\"\\u0001\\u001f\x7f\"" },
	{ "a\0b", 3, "\"a\\u0000b\"" },
	{ "h\xc3\xa9", 3, "\"h\xc3\xa9\"" },
	{ "\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa", 9, "\"\\u2028\\u2029\xe2\x80\xaa\"" },
	{ "\xf0\x9f\x98\x80", 4, "\"\xf0\x9f\x98\x80\"" },
	{ "\xff", 1, "\"\\ufffd\"" },
	{ "a\xe2\x80z", 4, "\"a\\ufffd\\ufffdz\"" },
	{ "\xed\xa0\x80", 3, "\"\\ufffd\\ufffd\\ufffd\"" },
	{ "\xef\xbf\xbd", 3, "\"\xef\xbf\xbd\"" },
};

static void writes_strings(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(string_cases); i++) {
		CLEANUP(buf_release) struct buf out = { .max = 100 };

		assert_int_equal(
			json_write_string(&out, string_cases[i].text, string_cases[i].len), 0);
		assert_string_equal(out.data, string_cases[i].written);
	}
}

/* before, count times piece joined by commas, after */
static char *many(const char *before, const char *piece, size_t count, const char *after)
{
	size_t len = strlen(piece);
	char *text = malloc(strlen(before) + (len + 1) * count + strlen(after) + 1);
	char *to = stpcpy(text, before);

	for (size_t i = 0; i < count; i++) {
		if (i)
			*to++ = ',';
		to = mempcpy(to, piece, len);
	}
	strcpy(to, after);
	return text;
}

static int parse_many(enum document_kind kind, const char *before, const char *piece, size_t count,
	const char *after)
{
	CLEANUP(image_index_release) struct image_index idx = { 0 };
	CLEANUP(image_release) struct image image = { 0 };
	CLEANUP(freep) char *text = many(before, piece, count, after);

	if (kind == DOCUMENT_OCI_INDEX)
		return image_index_parse(&idx, kind, text, strlen(text), NULL);
	if (kind == DOCUMENT_OCI_MANIFEST)
		return image_parse(&image, kind, text, strlen(text), NULL);
	return image_parse_config(&image, text, strlen(text), NULL);
}

static void has_ceilings(void **state)
{
	static const char layers[] = V2 "\"config\":" CONFIG ",\"layers\":[";
	static const char diff_ids[] = "{\"rootfs\":{\"diff_ids\":[";

	(void)state;
	assert_int_equal(parse_many(DOCUMENT_OCI_MANIFEST, layers, CONFIG, 1000, "]}"), 0);
	assert_int_equal(
		parse_many(DOCUMENT_OCI_MANIFEST, layers, CONFIG, IMAGE_LAYERS_MAX, "]}"), 0);
	assert_int_equal(
		parse_many(DOCUMENT_OCI_MANIFEST, layers, CONFIG, IMAGE_LAYERS_MAX + 1, "]}"),
		-EFBIG);
	assert_int_equal(parse_many(DOCUMENT_OCI_MANIFEST, layers, CONFIG, 100000, "]}"), -EFBIG);
	assert_int_equal(parse_many(DOCUMENT_OCI_INDEX, V2 "\"manifests\":[", D("x/y", ""),
				 INDEX_ENTRIES_MAX, "]}"),
		0);
	assert_int_equal(parse_many(DOCUMENT_OCI_INDEX, V2 "\"manifests\":[", D("x/y", ""),
				 INDEX_ENTRIES_MAX + 1, "]}"),
		-EFBIG);
	assert_int_equal(
		parse_many(DOCUMENT_UNKNOWN, diff_ids, "\"" DIGEST "\"", IMAGE_LAYERS_MAX, "]}}"),
		0);
	assert_int_equal(parse_many(DOCUMENT_UNKNOWN, diff_ids, "\"" DIGEST "\"",
				 IMAGE_LAYERS_MAX + 1, "]}}"),
		-EFBIG);
	assert_int_equal(
		parse_many(DOCUMENT_UNKNOWN, "{\"history\":[", "{}", IMAGE_HISTORY_MAX, "]}"), 0);
	assert_int_equal(
		parse_many(DOCUMENT_UNKNOWN, "{\"history\":[", "{}", IMAGE_HISTORY_MAX + 1, "]}"),
		-EFBIG);
	/* Blanks count as well: 4 MiB is 4 MiB. */
	assert_int_equal(
		parse_many(DOCUMENT_UNKNOWN, "{\"a\":[", "1", DOCUMENT_MAX / 2, "]}"), -EFBIG);
}

static void bounds_annotations(void **state)
{
	struct annotations annotations = { 0 };
	char key[16];

	(void)state;
	for (int i = 0; i < ANNOTATIONS_MAX; i++) {
		(void)snprintf(key, sizeof key, "%d", i);
		assert_int_equal(annotations_add(&annotations, key, "", NULL), 0);
	}
	assert_int_equal(annotations_add(&annotations, "more", "", NULL), -EFBIG);
	annotations_release(&annotations);
}

static const struct fixture_case {
	const char *file;
	int rc; /* of telling its kind, else of parsing it */
	enum document_kind kind;
	size_t count; /* layers, or entries */
} fixture_cases[] = {
	{ "seed/01-schema1-hello-world.invalid-json.json", -EIO, 0, 0 },
	{ "seed/02-manifest-list.invalid-json.json", -EIO, 0, 0 },
	{ "seed/03-schema2-manifest.json", 0, DOCUMENT_SCHEMA2, 3 },
	{ "seed/04-oci-index-no-mediatype.json", 0, DOCUMENT_OCI_INDEX, 2 },
	{ "seed/05-oci-manifest-no-mediatype.json", 0, DOCUMENT_OCI_MANIFEST, 3 },
	{ "image-spec-examples/descriptor-01.json", -EIO, DOCUMENT_OCI_MANIFEST, 0 },
	{ "image-spec-examples/descriptor-02.json", -EIO, DOCUMENT_OCI_MANIFEST, 0 },
	{ "image-spec-examples/descriptor-03.json", -EIO, DOCUMENT_OCI_MANIFEST, 0 },
	{ "image-spec-examples/index-01.json", 0, DOCUMENT_OCI_INDEX, 2 },
	{ "image-spec-examples/index-02.json", 0, DOCUMENT_OCI_INDEX, 2 },
	{ "image-spec-examples/layout-02.json", 0, DOCUMENT_OCI_INDEX, 3 },
	{ "image-spec-examples/manifest-01.json", 0, DOCUMENT_OCI_MANIFEST, 3 },
	{ "image-spec-examples/manifest-03.json", 0, DOCUMENT_OCI_MANIFEST, 1 },
	{ "image-spec-examples/manifest-04.json", 0, DOCUMENT_OCI_MANIFEST, 1 },
	{ "image-spec-examples/manifest-05.json", 0, DOCUMENT_OCI_MANIFEST, 1 },
	{ "image-spec-examples/layout-01.json", 0, DOCUMENT_UNKNOWN, 0 },
	{ "containers-image/detect/non-json.manifest.json", -EIO, 0, 0 },
	{ "containers-image/detect/ociv1.artifact.json", -EIO, DOCUMENT_OCI_MANIFEST, 0 },
	{ "containers-image/detect/ociv1.image.index.json", 0, DOCUMENT_OCI_INDEX, 2 },
	{ "containers-image/detect/ociv1nomime.image.index.json", 0, DOCUMENT_OCI_INDEX, 2 },
	{ "containers-image/detect/ociv1nomime.manifest.json", 0, DOCUMENT_OCI_MANIFEST, 3 },
	{ "containers-image/detect/unknown-version.manifest.json", 0, DOCUMENT_UNKNOWN, 0 },
	{ "containers-image/detect/v2list.manifest.json", 0, DOCUMENT_DOCKER_LIST, 5 },
	{ "containers-image/detect/v2s1-invalid-signatures.manifest.json", -EIO, DOCUMENT_SCHEMA1,
		0 }, /* without layers */
	{ "containers-image/detect/v2s1-unsigned.manifest.json", 0, DOCUMENT_SCHEMA1, 3 },
	{ "containers-image/detect/v2s1.manifest.json", 0, DOCUMENT_SCHEMA1, 3 },
	{ "containers-image/oci1-to-schema2.json", 0, DOCUMENT_SCHEMA2, 5 },
	{ "containers-image/oci1.json", 0, DOCUMENT_OCI_MANIFEST, 5 },
	{ "containers-image/schema1.json", 0, DOCUMENT_SCHEMA1, 6 },
	{ "containers-image/schema2-to-oci1.json", 0, DOCUMENT_OCI_MANIFEST, 5 },
	{ "containers-image/schema2.json", 0, DOCUMENT_SCHEMA2, 5 },
	{ "conversions/basic.from-oci.v2s1.manifest.json", 0, DOCUMENT_SCHEMA1, 3 },
	{ "conversions/basic.registry-rewrite.v2s1.manifest.json", 0, DOCUMENT_SCHEMA1, 3 },
	{ "conversions/multi.multi-noatt.reg.v2s2.index.json", 0, DOCUMENT_DOCKER_LIST, 3 },
	{ "conversions/schema1-legacy/src/throwaway/manifest.json", 0, DOCUMENT_SCHEMA1, 2 },
	{ "conversions/schema1-legacy/out/throwaway.oci/manifest.json", 0, DOCUMENT_OCI_MANIFEST,
		2 },
	{ "conversions/schema1-legacy/out/throwaway.v2s2/manifest.json", 0, DOCUMENT_SCHEMA2, 2 },
	{ "image-spec-examples/manifest-02.json", -EIO, 0, 0 },       /* a descriptor */
	{ "schema1/moby_bad_manifest.json", 0, DOCUMENT_UNKNOWN, 0 }, /* version 2 */
	{ "schema1/moby_good_manifest.json", 0, DOCUMENT_SCHEMA1, 2 },
	{ "schema1/moby_extra_data_manifest.json", 0, DOCUMENT_SCHEMA1, 2 }, /* not the unsigned */
	{ "layouts/ggcr_test_index/index.json", 0, DOCUMENT_OCI_INDEX, 4 },
	{ "layouts/multi/index.json", 0, DOCUMENT_OCI_INDEX, 2 },
	{ "layouts/names/index.json", 0, DOCUMENT_OCI_INDEX, 8 },
};

static void reads_fixtures(void **state)
{
	const struct fixture_case *c = *state;
	CLEANUP(image_index_release) struct image_index idx = { 0 };
	CLEANUP(image_release) struct image image = { 0 };
	enum document_kind kind = DOCUMENT_UNKNOWN;
	size_t len = 0;
	CLEANUP(freep) char *text = fixture(c->file, &len);
	int rc;

	rc = document_kind(&kind, NULL, text, len, NULL);
	assert_int_equal(kind, c->kind);
	if (!rc && (kind == DOCUMENT_OCI_MANIFEST || kind == DOCUMENT_SCHEMA2 ||
			   kind == DOCUMENT_SCHEMA1))
		rc = image_parse(&image, kind, text, len, NULL);
	else if (!rc && (kind == DOCUMENT_OCI_INDEX || kind == DOCUMENT_DOCKER_LIST))
		rc = image_index_parse(&idx, kind, text, len, NULL);
	assert_int_equal(rc, c->rc);
	assert_int_equal(image.layer_count + idx.entry_count, c->count);
}

static const struct fixture_config_case {
	const char *file;
	size_t diff_ids, history;
} fixture_config_cases[] = {
	{ "containers-image/oci1-config.json", 5, 15 },
	{ "containers-image/schema1-to-oci1-config.json", 6, 6 },
	{ "containers-image/schema1-to-schema2-config.json", 6, 6 },
	{ "containers-image/schema2-config.json", 5, 15 },
	{ "containers-image/schema2-to-oci1-config.json", 5, 15 },
	{ "conversions/basic.from-oci.oci.config.json", 3, 5 },
	{ "conversions/basic.from-oci.v2s2.config.json", 3, 5 },
	{ "conversions/basic.from-v2s1.v2s2.config.json", 3, 5 },
	{ "conversions/basic.from-v2s2.oci.config.json", 3, 5 },
	{ "conversions/schema1-legacy/out/throwaway.oci/config.json", 2, 3 },
	{ "conversions/schema1-legacy/out/throwaway.v2s2/config.json", 2, 3 },
	{ "image-spec-examples/config-01.json", 2, 3 },
};

static void reads_fixture_configs(void **state)
{
	const struct fixture_config_case *c = *state;
	CLEANUP(image_release) struct image image = { .kind = DOCUMENT_SCHEMA2 };
	size_t len = 0;
	CLEANUP(freep) char *text = fixture(c->file, &len);

	assert_int_equal(image_parse_config(&image, text, len, NULL), 0);
	assert_int_equal(image.parsed.diff_id_count, c->diff_ids);
	assert_int_equal(image.parsed.history_count, c->history);
}

static void read_manifest(struct image *image, const char *name, enum document_kind kind)
{
	size_t len = 0;
	CLEANUP(freep) char *text = fixture(name, &len);

	assert_int_equal(image_parse(image, kind, text, len, NULL), 0);
}

static const struct conversion_case {
	const char *from;
	enum document_kind kind;
	enum media_family family;
	const char *to;
} conversion_cases[] = {
	{ "conversions/basic.from-oci.oci.manifest.json", DOCUMENT_OCI_MANIFEST, FAMILY_DOCKER,
		"conversions/basic.from-oci.v2s2.manifest.json" },
	{ "conversions/basic.from-oci.v2s2.manifest.json", DOCUMENT_SCHEMA2, FAMILY_OCI,
		"conversions/basic.from-oci.oci.manifest.json" },
	{ "conversions/basic.from-v2s2.oci.manifest.json", DOCUMENT_OCI_MANIFEST, FAMILY_OCI,
		"conversions/basic.from-v2s2.oci.manifest.json" },
	{ "conversions/basic.from-v2s1.v2s2.manifest.json", DOCUMENT_SCHEMA2, FAMILY_DOCKER,
		"conversions/basic.from-v2s1.v2s2.manifest.json" },
};

static void converts_byte_for_byte(void **state)
{
	const struct conversion_case *c = *state;
	CLEANUP(image_release) struct image image = { 0 };
	CLEANUP(buf_release) struct buf out = { .max = DOCUMENT_MAX };
	size_t len = 0;
	CLEANUP(freep) char *wanted = fixture(c->to, &len);

	read_manifest(&image, c->from, c->kind);
	assert_int_equal(image_write(&image, c->family, &out, NULL, NULL), 0);
	assert_string_equal(out.data, wanted);
	assert_int_equal(out.len, len);
}

/* These were recorded indented, or with a config that skopeo wrote anew: all
 * but the config's digest and size must agree. */
static const struct conversion_case equal_cases[] = {
	{ "containers-image/oci1.json", DOCUMENT_OCI_MANIFEST, FAMILY_DOCKER,
		"containers-image/oci1-to-schema2.json" },
	{ "containers-image/schema2.json", DOCUMENT_SCHEMA2, FAMILY_OCI,
		"containers-image/schema2-to-oci1.json" },
	{ "conversions/basic.from-oci.v2s2.manifest.json", DOCUMENT_SCHEMA2, FAMILY_OCI,
		"conversions/basic.from-v2s2.oci.manifest.json" },
};

static void converts_alike(void **state)
{
	const struct conversion_case *c = *state;
	enum document_kind kind =
		c->family == FAMILY_OCI ? DOCUMENT_OCI_MANIFEST : DOCUMENT_SCHEMA2;
	CLEANUP(image_release) struct image image = { 0 };
	CLEANUP(image_release) struct image recorded = { 0 };
	CLEANUP(buf_release) struct buf ours = { .max = DOCUMENT_MAX };
	CLEANUP(buf_release) struct buf theirs = { .max = DOCUMENT_MAX };

	read_manifest(&image, c->from, c->kind);
	read_manifest(&recorded, c->to, kind);
	recorded.config.digest = image.config.digest;
	recorded.config.size = image.config.size;
	assert_int_equal(image_write(&image, c->family, &ours, NULL, NULL), 0);
	assert_int_equal(image_write(&recorded, c->family, &theirs, NULL, NULL), 0);
	assert_string_equal(ours.data, theirs.data);
}

/* Bottom up, as a whole image is converted: each child by its bytes, then the index over them. */
static void converts_an_index(void **state)
{
	static const char layout[] = "layouts/multi/blobs/sha256/";
	CLEANUP(image_index_release) struct image_index idx = { 0 };
	CLEANUP(buf_release) struct buf out = { .max = DOCUMENT_MAX };
	size_t len = 0, wanted_len = 0;
	CLEANUP(freep)
	char *wanted = fixture("conversions/multi.multi-noatt.reg.v2s2.index.json", &wanted_len);
	CLEANUP(freep)
	char *text = fixture("layouts/multi/blobs/sha256/"
			     "da89cff1740167ef04c8557ac82835a1bc64ae7d83eeef27e8c6c7debe196a98",
		&len);

	(void)state;
	assert_int_equal(image_index_parse(&idx, DOCUMENT_OCI_INDEX, text, len, NULL), 0);
	for (size_t i = 0; i < idx.entry_count; i++) {
		CLEANUP(image_release) struct image image = { 0 };
		CLEANUP(buf_release) struct buf child = { .max = DOCUMENT_MAX };
		struct descriptor *entry = &idx.entries[i];
		char path[sizeof layout + DIGEST_HEX_MAX], hex[DIGEST_HEX_MAX];

		(void)snprintf(path, sizeof path, "%s%s", layout, digest_hex(&entry->digest, hex));
		read_manifest(&image, path, DOCUMENT_OCI_MANIFEST);
		assert_int_equal(image_write(&image, FAMILY_DOCKER, &child, NULL, NULL), 0);
		free(entry->media_type);
		entry->media_type = strdup(document_media_type(DOCUMENT_SCHEMA2));
		entry->size = child.len;
		assert_int_equal(
			digest_of(&entry->digest, DIGEST_SHA256, child.data, child.len, NULL), 0);
	}
	assert_int_equal(image_index_write(&idx, FAMILY_DOCKER, idx.entries, idx.entry_count, &out,
				 NULL, NULL),
		0);
	assert_string_equal(out.data, wanted);
	assert_int_equal(out.len, wanted_len);
}

static void reads_the_specifications_config(void **state)
{
	CLEANUP(image_release) struct image image = { .kind = DOCUMENT_OCI_MANIFEST };
	size_t len = 0;
	CLEANUP(freep) char *text = fixture("image-spec-examples/config-01.json", &len);

	(void)state;
	assert_int_equal(image_parse_config(&image, text, len, NULL), 0);
	assert_string_equal(image.parsed.platform.architecture, "amd64");
	assert_string_equal(image.parsed.author, "Alyssa P. Hacker <alyspdev@example.com>");
	assert_int_equal(image.parsed.diff_id_count, 2);
	assert_int_equal(image.parsed.history_count, 3);
	assert_true(image.parsed.history[1].is_empty_layer);
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
		cmocka_unit_test(reads_all_members),
		cmocka_unit_test(follows_layers),
		cmocka_unit_test(writes_indexes),
		cmocka_unit_test(writes_layout_indexes),
		cmocka_unit_test(obeys_buffer_ceilings),
		cmocka_unit_test(writes_strings),
		cmocka_unit_test(has_ceilings),
		cmocka_unit_test(bounds_annotations),
		cmocka_unit_test(converts_an_index),
		cmocka_unit_test(reads_the_specifications_config),
	};
	struct CMUnitTest tests[ARRAY_SIZE(kind_cases) + ARRAY_SIZE(manifest_cases) +
				ARRAY_SIZE(index_cases) + ARRAY_SIZE(attestation_cases) +
				ARRAY_SIZE(config_cases) + ARRAY_SIZE(write_cases) +
				ARRAY_SIZE(fixture_cases) + ARRAY_SIZE(fixture_config_cases) +
				ARRAY_SIZE(conversion_cases) + ARRAY_SIZE(equal_cases) +
				ARRAY_SIZE(others)];
	size_t n = 0;

	ADD(kind_cases, finds_kind);
	ADD(manifest_cases, parses_manifests);
	ADD(index_cases, parses_indexes);
	ADD(attestation_cases, finds_attestations);
	ADD(config_cases, parses_configs);
	ADD(write_cases, writes_manifests);
	ADD(fixture_cases, reads_fixtures);
	ADD(fixture_config_cases, reads_fixture_configs);
	ADD(conversion_cases, converts_byte_for_byte);
	ADD(equal_cases, converts_alike);
	memcpy(tests + n, others, sizeof others);
	return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
