/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What conversions expect was made by skopeo 1.9.3 of the same input, here
 * and in the recorded documents (IMGFS_FIXTURES).  We differ from it on purpose in
 * two things: layers get the type they really have, where skopeo calls all of
 * them gzip, and the config's bytes stay what they are in OCI, where skopeo
 * prints them again without what only Docker knows, so that its digest, which
 * is the image's id, changes.
 *
 * JSON is written with single quotes and gets double ones.
 */
#include "model/image.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "model/cleanup.h"
#include "model/error.h"
#include "model/json.h"
#include "tests/unit/fixture.h"
#include "tests/unit/quoted.h"

#define X8(digit) digit digit digit digit digit digit digit digit
#define ID(digit) X8(X8(digit))

#define BLOB_1 "sha256:d928b90c15c9be23b37c9d19c88bd00d88319c201f17d8e6289dd98e31e41e54"
#define BLOB_2 "sha256:ea1f6a34bfbc88fac990e2b2e98f15b45c1bfd56f3db11a9d3ce0f6d0bbe2fc3"
#define DIFF_1 "sha256:521aa91ed2ce86ab3335ae42cd81d7c58ed96b7b5396135d20828edc039a8dbf"
#define DIFF_2 "sha256:d47c035e9849f8ca2ee2a6dad7e97dd16b4a5f9b5d877ae6e2c8a8bf94214338"
#define EMPTY  "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"

#define L(digest) "{'blobSum':'" digest "'}"
/* The JSON of an entry, and a base that most images below stand on. */
#define E(digit, parent, more) "{'id':'" ID(digit) "','parent':'" parent "'" more "}"
#define BASE                                                                                       \
	"{'id':'" ID("1") "','created':'2014-12-31T22:57:59.178729048Z',"                          \
			  "'container_config':{'Cmd':['/bin/sh','-c','one']}}"

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
	{ "another digest by case", "{'blobSum':'" BLOB_1 "','BlobSum':'" BLOB_2 "'}", { BASE },
		-EIO, "'BlobSum' for 'blobSum'", 0, 0 },
	{ "a throwaway by case", L(EMPTY) "," L(BLOB_1),
		{ E("2", ID("1"), ",'Throwaway':true"), BASE }, -EIO, "'Throwaway' for", 0, 0 },
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

/* Go takes the last one. */
static void refuses_another_entry_by_case(void **state)
{
	static const char text[] = "{\"schemaVersion\":1,\"fsLayers\":[{\"blobSum\":\"" BLOB_1
				   "\"}],\"history\":[{\"v1Compatibility\":\"{\\\"id\\\":\\\"" ID(
					   "1") "\\\"}\",\"V1Compatibility\":\"{}\"}]}";
	CLEANUP(image_release) struct image image = { 0 };
	struct error err = { "" };

	(void)state;
	assert_int_equal(image_parse(&image, DOCUMENT_SCHEMA1, text, sizeof text - 1, &err), -EIO);
	assert_non_null(strstr(err.text, "'V1Compatibility' for"));
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

#define ROOTFS "'rootfs':{'type':'layers','diff_ids':['" DIFF_1 "','" DIFF_2 "']}"
#define ZERO_CONFIG                                                                                \
	"{'Hostname':'','Domainname':'','User':'','AttachStdin':false,'AttachStdout':false,"       \
	"'AttachStderr':false,'Tty':false,'OpenStdin':false,'StdinOnce':false,'Env':null,"         \
	"'Cmd':null,'Image':'','Volumes':null,'WorkingDir':'','Entrypoint':null,"                  \
	"'OnBuild':null,'Labels':null}"

/* A layer on BASE: what its JSON holds beside id and parent, and the config that skopeo wrote. */
static const struct upgrade_case {
	const char *name, *more, *config;
} upgrade_cases[] = {
	{ "no version", ",'config':{'Memory':0},'architecture':'amd64'",
		"{'architecture':'amd64','config':{'Memory':0},'history':[{'created':'2014-12-31"
		"T22:57:59.178729048Z','created_by':'/bin/sh -c one'},{'created':'0001-01-01T00:"
		"00:00Z'}]," ROOTFS "}" },
	{ "an old version",
		"\n,'docker_version':'1.7.1-dev','comment':'c<&>','variant':'v7','os':'linux',"
		"'architecture':'arm','Size':5,'author':'\xc3\xa9','container':'x','created':'20"
		"15-01-02T03:04:05.5+02:00','config':{'ExposedPorts':{'9/tcp':{},'80/udp':{"
		"'x':1}},'Labels':{'b':'2','a':'<'},'StopTimeout':0,'StopSignal':'9','Shell':['s"
		"'],'NetworkDisabled':true,'MacAddress':'m','ArgsEscaped':true,'Entrypoint':['e'"
		"],'OnBuild':['o'],'Volumes':{'/b':{},'/a':{}},'Memory':5,'Tty':true,'Env':[]},"
		"'extra':1",
		"{'architecture':'arm','author':'\xc3\xa9','comment':'c\\u003c\\u0026\\u003e',"
		"'config':{'Hostname':'','Domainname':'','User':'','AttachStdin':false,'AttachSt"
		"dout':false,'AttachStderr':false,'ExposedPorts':{'80/udp':{},'9/tcp':{}},"
		"'Tty':true,'OpenStdin':false,'StdinOnce':false,'Env':[],'Cmd':null,'ArgsEscaped"
		"':true,'Image':'','Volumes':{'/a':{},'/b':{}},'WorkingDir':'','Entrypoint':['e'"
		"],'NetworkDisabled':true,'MacAddress':'m','OnBuild':['o'],'Labels':{'a':'\\u003"
		"c','b':'2'},'StopSignal':'9','StopTimeout':0,'Shell':['s']},'container':'x',"
		"'container_config':" ZERO_CONFIG
		",'created':'2015-01-02T03:04:05.5+02:00','docker_versi"
		"on':'1.7.1-dev','history':[{'created':'2014-12-31T22:57:59.178729048Z','created"
		"_by':'/bin/sh -c one'},{'created':'2015-01-02T03:04:05.5+02:00','author':'\xc3\xa9"
		"','comment':'c\\u003c\\u0026\\u003e'}],'os':'linux'," ROOTFS ",'variant':'v7'}" },
	{ "an old version and nothing else",
		",'docker_version':'1.8','created':'2015-01-02T03:04:05.678900000+00:00'",
		"{'container_config':" ZERO_CONFIG
		",'created':'2015-01-02T03:04:05.6789Z','docker_versio"
		"n':'1.8','history':[{'created':'2014-12-31T22:57:59.178729048Z','created_by':'/"
		"bin/sh -c one'},{'created':'2015-01-02T03:04:05.6789Z'}]," ROOTFS "}" },
	{ "falsehoods of old",
		",'docker_version':'1.8.2.9','config':{'NetworkDisabled':false,'MacAddress':'',"
		"'Healthcheck':{'Retries':0},'Shell':[],'StopSignal':null,'Cmd':null}",
		"{'config':{'Hostname':'','Domainname':'','User':'','AttachStdin':false,'AttachS"
		"tdout':false,'AttachStderr':false,'Tty':false,'OpenStdin':false,'StdinOnce':fal"
		"se,'Env':null,'Cmd':null,'Healthcheck':{},'Image':'','Volumes':null,'WorkingDir"
		"':'','Entrypoint':null,'OnBuild':null,'Labels':null},'container_config':" ZERO_CONFIG
		","
		"'created':'0001-01-01T00:00:00Z','docker_version':'1.8.2.9','history':[{'create"
		"d':'2014-12-31T22:57:59.178729048Z','created_by':'/bin/sh -c one'},{'created':'"
		"0001-01-01T00:00:00Z'}]," ROOTFS "}" },
	{ "the first new version",
		",'docker_version':'1.8.3', 'z' : [ 1.0 , 1e5, 'a\\/b<&>\\u00e9\xc3\xa9\xe2\x80\xa8"
		"' ] ,'big':12345678901234567890123,'created':'2015-01-02T03:04:05.500Z','layer_"
		"id':'x','parent_id':'y','Size':7",
		"{'big':12345678901234567890123,'created':'2015-01-02T03:04:05.500Z','docker_ver"
		"sion':'1.8.3','history':[{'created':'2014-12-31T22:57:59.178729048Z','created_b"
		"y':'/bin/sh -c one'},{'created':'2015-01-02T03:04:05.5Z'}]," ROOTFS ",'z':[1.0,"
		"1e5,'a\\/b\\u003c\\u0026\\u003e\\u00e9\xc3\xa9\\u2028']}" },
	{ "a version of two digits", ",'docker_version':'1.10.0','a':{'Size':1}",
		"{'a':{'Size':1},'docker_version':'1.10.0','history':[{'created':'2014-12-31T22:"
		"57:59.178729048Z','created_by':'/bin/sh -c one'},{'created':'0001-01-01T00:00:0"
		"0Z'}]," ROOTFS "}" },
	{ "a throwaway top",
		",'docker_version':'1.9','throwaway':true,'container_config':{'Cmd':['#(nop) ',"
		"'CMD']},'comment':'c','author':'a'",
		"{'author':'a','comment':'c','container_config':{'Cmd':['#(nop) ','CMD']},"
		"'docker_version':'1.9','history':[{'created':'2014-12-31T22:57:59.178729048Z',"
		"'created_by':'/bin/sh -c one'},{'created':'0001-01-01T00:00:00Z','author':'a',"
		"'created_by':'#(nop)  CMD','comment':'c','empty_layer':true}],'rootfs':{'type':"
		"'layers','diff_ids':['sha256:521aa91ed2ce86ab3335ae42cd81d7c58ed96b7b5396135d20"
		"828edc039a8dbf']}}" },
};

static void fill_facts(struct layer_facts facts[2])
{
	static const char *const digests[2][2] = { { BLOB_1, DIFF_1 }, { BLOB_2, DIFF_2 } };

	for (int i = 0; i < 2; i++) {
		assert_int_equal(digest_parse(&facts[i].digest, digests[i][0], NULL), 0);
		assert_int_equal(digest_parse(&facts[i].diff_id, digests[i][1], NULL), 0);
		facts[i].coding = CODING_GZIP;
		facts[i].size = i ? 107 : 190;
	}
}

static void upgrades(void **state)
{
	const struct upgrade_case *c = *state;
	CLEANUP(image_release) struct image from = { 0 };
	CLEANUP(image_release) struct image image = { 0 };
	CLEANUP(buf_release) struct buf config = { .max = DOCUMENT_MAX };
	CLEANUP(freep) char *wanted = quoted(c->config);
	struct layer_facts facts[2];
	struct digest digest;
	char top[4096];

	(void)snprintf(top, sizeof top, "{'id':'" ID("2") "','parent':'" ID("1") "'%s}", c->more);
	parse_entries(&from, L(BLOB_2) "," L(BLOB_1), (const char *[ENTRIES]){ top, BASE });
	fill_facts(facts);
	assert_int_equal(image_upgrade(&image, &from, facts, &config, NULL), 0);
	assert_string_equal(config.data, wanted);

	assert_int_equal(image.kind, DOCUMENT_SCHEMA2);
	assert_int_equal(digest_of(&digest, DIGEST_SHA256, config.data, config.len, NULL), 0);
	assert_true(digest_equal(&image.config.digest, &digest));
	assert_int_equal(image.config.size, config.len);
	assert_int_equal(image.parsed.diff_id_count, image.layer_count);
	assert_int_equal(image.parsed.history_count, 2);
}

/* Go leaves out a list of nothing. */
static void upgrades_throwaways_alone(void **state)
{
	static const char *const entries[ENTRIES] = { E(
		"1", "", ",'architecture':'amd64','os':'linux','throwaway':true") };
	CLEANUP(image_release) struct image from = { 0 };
	CLEANUP(image_release) struct image image = { 0 };
	CLEANUP(buf_release) struct buf config = { .max = DOCUMENT_MAX };
	CLEANUP(freep)
	char *wanted =
		quoted("{'architecture':'amd64','history':[{'created':'0001-01-01T00:00:00Z',"
		       "'empty_layer':true}],'os':'linux','rootfs':{'type':'layers'}}");

	(void)state;
	parse_entries(&from, L(EMPTY), entries);
	assert_int_equal(image_upgrade(&image, &from, NULL, &config, NULL), 0);
	assert_string_equal(config.data, wanted);
	assert_int_equal(image.layer_count, 0);
}

static void refuses_times_that_are_none(void **state)
{
	static const char *const entries[ENTRIES] = { E("1", "", ",'created':'yesterday'") };
	CLEANUP(image_release) struct image from = { 0 };
	CLEANUP(image_release) struct image image = { 0 };
	CLEANUP(buf_release) struct buf config = { .max = DOCUMENT_MAX };
	struct layer_facts facts[2];
	struct error err = { "" };

	(void)state;
	parse_entries(&from, L(BLOB_1), entries);
	fill_facts(facts);
	assert_int_equal(image_upgrade(&image, &from, facts, &config, &err), -EIO);
	assert_non_null(strstr(err.text, "history entry 1 of 1: 'yesterday' is not a time"));
}

/* Schema 2 has no word for xz and bzip2: Docker calls those gzip as well. */
static const struct coding_case {
	const char *name;
	enum media_coding coding;
	const char *docker, *oci;
} coding_cases[] = {
	{ "a plain layer", CODING_PLAIN, "rootfs.diff.tar\"", "layer.v1.tar\"" },
	{ "a gzip layer", CODING_GZIP, "rootfs.diff.tar.gzip\"", "layer.v1.tar+gzip\"" },
	{ "a zstd layer", CODING_ZSTD, "rootfs.diff.tar.zstd\"", "layer.v1.tar+zstd\"" },
	{ "an xz layer", CODING_XZ, "rootfs.diff.tar.gzip\"", "layer.v1.tar+gzip\"" },
	{ "a bzip2 layer", CODING_BZIP2, "rootfs.diff.tar.gzip\"", "layer.v1.tar+gzip\"" },
	{ "a layer of whatever", CODING_UNKNOWN, "rootfs.diff.tar.gzip\"", "layer.v1.tar+gzip\"" },
};

static void types_layers(void **state)
{
	static const char *const entries[ENTRIES] = { BASE };
	const struct coding_case *c = *state;
	CLEANUP(image_release) struct image from = { 0 };
	CLEANUP(image_release) struct image image = { 0 };
	CLEANUP(buf_release) struct buf config = { .max = DOCUMENT_MAX };
	CLEANUP(buf_release) struct buf docker = { .max = DOCUMENT_MAX };
	CLEANUP(buf_release) struct buf oci = { .max = DOCUMENT_MAX };
	struct layer_facts facts[2];

	parse_entries(&from, L(BLOB_1), entries);
	fill_facts(facts);
	facts[0].coding = c->coding;
	assert_int_equal(image_upgrade(&image, &from, facts, &config, NULL), 0);
	assert_int_equal(image_write(&image, FAMILY_DOCKER, &docker, NULL, NULL), 0);
	assert_int_equal(image_write(&image, FAMILY_OCI, &oci, NULL, NULL), 0);
	assert_non_null(strstr(docker.data, c->docker));
	assert_non_null(strstr(oci.data, c->oci));
}

static void read_image(struct image *image, enum document_kind kind, const char *name)
{
	size_t len = 0;
	CLEANUP(freep) char *text = fixture(name, &len);

	assert_int_equal(image_parse(image, kind, text, len, NULL), 0);
}

/* What skopeo found in the layers stands in the manifest and config that it wrote. */
static struct layer_facts *recorded_facts(const struct image *image)
{
	struct layer_facts *facts = calloc(image->layer_count, sizeof *facts);

	assert_non_null(facts);
	for (size_t i = 0; i < image->layer_count; i++)
		facts[i] = (struct layer_facts){ .digest = image->layers[i].digest,
			.size = image->layers[i].size,
			.diff_id = image->parsed.diff_ids[i],
			.coding = CODING_GZIP };
	return facts;
}

static const struct recorded_case {
	const char *name, *from, *to, *config;
	enum document_kind kind; /* of to */
	bool is_config_ours;     /* byte for byte, and named in the manifest */
} recorded_cases[] = {
	{ "skopeo's to schema 2", "conversions/basic.from-oci.v2s1.manifest.json",
		"conversions/basic.from-v2s1.v2s2.manifest.json",
		"conversions/basic.from-v2s1.v2s2.config.json", DOCUMENT_SCHEMA2, true },
	{ "the registry's to schema 2", "conversions/basic.registry-rewrite.v2s1.manifest.json",
		"conversions/basic.from-v2s1.v2s2.manifest.json",
		"conversions/basic.from-v2s1.v2s2.config.json", DOCUMENT_SCHEMA2, true },
	{ "throwaway to schema 2", "conversions/schema1-legacy/src/throwaway/manifest.json",
		"conversions/schema1-legacy/out/throwaway.v2s2/manifest.json",
		"conversions/schema1-legacy/out/throwaway.v2s2/config.json", DOCUMENT_SCHEMA2,
		true },
	/* skopeo's OCI config is printed anew; ours are the bytes above. */
	{ "throwaway to OCI", "conversions/schema1-legacy/src/throwaway/manifest.json",
		"conversions/schema1-legacy/out/throwaway.oci/manifest.json",
		"conversions/schema1-legacy/out/throwaway.oci/config.json", DOCUMENT_OCI_MANIFEST,
		false },
};

static void upgrades_recorded(void **state)
{
	const struct recorded_case *c = *state;
	enum media_family family = c->kind == DOCUMENT_SCHEMA2 ? FAMILY_DOCKER : FAMILY_OCI;
	CLEANUP(image_release) struct image from = { 0 };
	CLEANUP(image_release) struct image to = { 0 };
	CLEANUP(image_release) struct image image = { 0 };
	CLEANUP(buf_release) struct buf config = { .max = DOCUMENT_MAX };
	CLEANUP(buf_release) struct buf ours = { .max = DOCUMENT_MAX };
	CLEANUP(buf_release) struct buf theirs = { .max = DOCUMENT_MAX };
	CLEANUP(freep) struct layer_facts *facts = NULL;
	size_t len = 0;
	CLEANUP(freep) char *config_text = fixture(c->config, &len);

	read_image(&from, DOCUMENT_SCHEMA1, c->from);
	read_image(&to, c->kind, c->to);
	assert_int_equal(image_parse_config(&to, config_text, len, NULL), 0);
	facts = recorded_facts(&to);
	assert_int_equal(image_upgrade(&image, &from, facts, &config, NULL), 0);
	if (c->is_config_ours) {
		assert_string_equal(config.data, config_text);
		assert_true(digest_equal(&image.config.digest, &to.config.digest));
	}
	to.config.digest = image.config.digest;
	to.config.size = image.config.size;
	assert_int_equal(image_write(&image, family, &ours, NULL, NULL), 0);
	assert_int_equal(image_write(&to, family, &theirs, NULL, NULL), 0);
	assert_string_equal(ours.data, theirs.data);
}

/* Recorded indented, with its members in another order and without a digest. */
static void upgrades_alike(void **state)
{
	static const char recorded[] = "containers-image/schema1-to-schema2-config.json";
	CLEANUP(image_release) struct image from = { 0 };
	CLEANUP(image_release) struct image to = { .kind = DOCUMENT_SCHEMA2 };
	CLEANUP(image_release) struct image image = { 0 };
	CLEANUP(buf_release) struct buf config = { .max = DOCUMENT_MAX };
	CLEANUP(json_putp) struct json_object *ours = NULL;
	CLEANUP(json_putp) struct json_object *theirs = NULL;
	CLEANUP(freep) struct layer_facts *facts = NULL;
	size_t len = 0;
	CLEANUP(freep) char *text = fixture(recorded, &len);

	(void)state;
	read_image(&from, DOCUMENT_SCHEMA1, "containers-image/schema1.json");
	assert_int_equal(image_parse_config(&to, text, len, NULL), 0);
	facts = calloc(from.layer_count, sizeof *facts);
	assert_non_null(facts);
	assert_int_equal(from.layer_count, to.parsed.diff_id_count);
	for (size_t i = 0; i < from.layer_count; i++)
		facts[i] = (struct layer_facts){ .digest = from.layers[i].digest,
			.diff_id = to.parsed.diff_ids[i],
			.coding = CODING_GZIP };
	assert_int_equal(image_upgrade(&image, &from, facts, &config, NULL), 0);
	assert_int_equal(json_parse(&ours, config.data, config.len, NULL), 0);
	assert_int_equal(json_parse(&theirs, text, len, NULL), 0);
	assert_true(json_object_equal(ours, theirs));
}

/* That test's expectation has a size of -1 for the config: it is compared by its layers. */
static const struct layers_case {
	const char *file;
	enum media_family family;
} layers_cases[] = {
	{ "containers-image/schema1-to-schema2.json", FAMILY_DOCKER },
	{ "containers-image/schema1-to-oci1.json", FAMILY_OCI },
};

static void upgrades_layers_alike(void **state)
{
	const struct layers_case *c = *state;
	CLEANUP(image_release) struct image from = { 0 };
	CLEANUP(image_release) struct image image = { 0 };
	CLEANUP(buf_release) struct buf config = { .max = DOCUMENT_MAX };
	CLEANUP(buf_release) struct buf manifest = { .max = DOCUMENT_MAX };
	CLEANUP(json_putp) struct json_object *ours = NULL;
	CLEANUP(json_putp) struct json_object *theirs = NULL;
	struct json_object *our_layers = NULL, *layers = NULL;
	struct layer_facts facts[6] = { 0 };
	size_t len = 0;
	CLEANUP(freep) char *text = fixture(c->file, &len);

	assert_int_equal(json_parse(&theirs, text, len, NULL), 0);
	assert_int_equal(json_get_array(theirs, "layers", &layers, NULL), 0);
	read_image(&from, DOCUMENT_SCHEMA1, "containers-image/schema1.json");
	assert_int_equal(from.layer_count, ARRAY_SIZE(facts));
	for (size_t i = 0; i < from.layer_count; i++) {
		facts[i].digest = facts[i].diff_id = from.layers[i].digest;
		facts[i].coding = CODING_GZIP;
		assert_int_equal(json_get_size(json_object_array_get_idx(layers, i), "size",
					 &facts[i].size, NULL),
			0);
	}
	assert_int_equal(image_upgrade(&image, &from, facts, &config, NULL), 0);
	assert_int_equal(image_write(&image, c->family, &manifest, NULL, NULL), 0);
	assert_int_equal(json_parse(&ours, manifest.data, manifest.len, NULL), 0);
	assert_int_equal(json_get_array(ours, "layers", &our_layers, NULL), 0);
	assert_true(json_object_equal(our_layers, layers));
}

/* Configs of the first one or both of the layers, and the manifest that skopeo signed. */
#define ONE_ROOTFS "'rootfs':{'type':'layers','diff_ids':['" DIFF_1 "']}"
static const struct write_case {
	const char *name, *config, *entries[ENTRIES];
	const char *digest; /* of the whole */
} write_cases[] = {
	{ "two layers and an empty one",
		"{'os':'linux', 'architecture':'arm','variant':'v7','x':[1, 2.0,'<']," ROOTFS ","
		"'history':[{'created':'2020-01-01T00:00:00.50Z','created_by':'a && b',"
		"'author':'me','comment':'c'},{'created_by':'env','empty_layer':true},"
		"{'created':'2020-01-01T00:00:01Z','created_by':'top','comment':'lost'}]}",
		{ "{'architecture':'arm',"
		  "'id':'9d48cc14e90f65591bdf947e1f3a99a3dd8debad658b4a49dc2419584ec3421b',"
		  "'os':'linux',"
		  "'parent':'8381a06b867ab0c9804d524ca145827ae420f9d9eff40829aa145c73ae8dabab',"
		  "'variant':'v7','x':[1,2.0,'\\u003c']}",
			"{'id':'"
			"8381a06b867ab0c9804d524ca145827ae420f9d9eff40829aa145c73ae8dabab',"
			"'parent':'"
			"7f267389f927b45d763e7603b236545166a38062916e608b60abf221d464610d',"
			"'created':'0001-01-01T00:00:00Z','container_config':{'Cmd':['env']},"
			"'throwaway':true}",
			"{'id':'"
			"7f267389f927b45d763e7603b236545166a38062916e608b60abf221d464610d',"
			"'comment':'c','created':'2020-01-01T00:00:00.5Z',"
			"'container_config':{'Cmd':['a \\u0026\\u0026 b']},'author':'me'}" },
		"sha256:a0b002f96d2249ccc7a03c2fe116767f8fe0a193749f40f96d79734dc626bcf6" },
	{ "one layer, and members of old",
		"{'architecture':'amd64','created':'2020-01-01T00:00:00Z','id':'x'," ONE_ROOTFS ","
		"'history':[{}]}",
		{ "{'architecture':'amd64','created':'2020-01-01T00:00:00Z',"
		  "'id':'21fb3494ca801b63488d06ae12abdb358b0ce3e403045ebccfb52a0acb71b8fd'}" },
		"sha256:ca0800ef89f4bda3af711d55f97938f5dd157c086e302443527733b00a0390ef" },
	{ "an empty layer on top",
		"{'architecture':'amd64'," ONE_ROOTFS ","
		"'history':[{'created':'2020-01-01T00:00:00+01:00'},{'empty_layer':true}]}",
		{ "{'architecture':'amd64',"
		  "'id':'4fdc6efeffd32b26bdaf22a65a909d0d5bf19e2fba164be47935daddde406b0e',"
		  "'parent':'7f267389f927b45d763e7603b236545166a38062916e608b60abf221d464610d',"
		  "'throwaway':true}",
			"{'id':'"
			"7f267389f927b45d763e7603b236545166a38062916e608b60abf221d464610d',"
			"'created':'2020-01-01T00:00:00+01:00',"
			"'container_config':{'Cmd':['']}}" },
		"sha256:3ff7b27d53d9cdfbf335e1d85d32725b9d197d7526f0a1736a5accb62798e8f2" },
};

/* A schema 2 image of the config and of as many of the layers as it has diff_ids. */
static void make_image(struct image *image, const char *config)
{
	static const char *const blobs[] = { BLOB_1, BLOB_2 };

	image->kind = DOCUMENT_SCHEMA2;
	assert_int_equal(image_parse_config(image, config, strlen(config), NULL), 0);
	image->layer_count = image->parsed.diff_id_count;
	image->layers = calloc(ARRAY_SIZE(blobs), sizeof *image->layers);
	assert_non_null(image->layers);
	for (size_t i = 0; i < image->layer_count; i++) {
		image->layers[i].media_type = strdup(media_type_layer(CODING_GZIP, FAMILY_DOCKER));
		assert_int_equal(digest_parse(&image->layers[i].digest, blobs[i], NULL), 0);
	}
}

static void writes(void **state)
{
	const struct write_case *c = *state;
	CLEANUP(freep) char *config = quoted(c->config);
	CLEANUP(buf_release) struct buf out = { .max = DOCUMENT_MAX };
	CLEANUP(image_release) struct image image = { 0 };
	CLEANUP(image_release) struct image again = { 0 };
	struct digest digest;
	char text[DIGEST_TEXT_MAX];

	make_image(&image, config);
	assert_int_equal(schema1_write(&image, config, strlen(config), "", "", &out, NULL), 0);
	assert_int_equal(image_parse(&again, DOCUMENT_SCHEMA1, out.data, out.len, NULL), 0);
	assert_int_equal(again.layer_count, image.layer_count);
	for (size_t i = 0; i < again.v1_count; i++) {
		CLEANUP(freep) char *wanted = quoted(c->entries[again.v1_count - 1 - i]);

		assert_string_equal(again.v1[i].json, wanted);
	}
	assert_int_equal(digest_of(&digest, DIGEST_SHA256, out.data, out.len, NULL), 0);
	assert_string_equal(digest_format(&digest, text), c->digest);
}

static const struct refusal_case {
	const char *name, *config, *layer_type;
	int rc;
	const char *error;
} refusal_cases[] = {
	{ "no history", "{" ONE_ROOTFS "}", NULL, -EOPNOTSUPP, "needs a history" },
	{ "a history of more layers", "{" ONE_ROOTFS ",'history':[{},{}]}", NULL, -EOPNOTSUPP,
		"speaks of 2 layers" },
	{ "a history of fewer layers", "{" ONE_ROOTFS ",'history':[{'empty_layer':true}]}", NULL,
		-EOPNOTSUPP, "speaks of 0 layers" },
	{ "an encrypted layer", "{" ONE_ROOTFS ",'history':[{}]}",
		"application/vnd.oci.image.layer.v1.tar+encrypted", -EOPNOTSUPP, "does not exist" },
	{ "an unknown layer", "{" ONE_ROOTFS ",'history':[{}]}", "a/b", -EOPNOTSUPP,
		"does not exist" },
	{ "a time that is none",
		"{" ONE_ROOTFS ",'history':[{'created':'now'},{'empty_layer':true}]}", NULL, -EIO,
		"not a time" },
};

static void refuses(void **state)
{
	const struct refusal_case *c = *state;
	CLEANUP(freep) char *config = quoted(c->config);
	CLEANUP(buf_release) struct buf out = { .max = DOCUMENT_MAX };
	CLEANUP(image_release) struct image image = { 0 };
	struct error err = { "" };

	make_image(&image, config);
	if (c->layer_type) {
		free(image.layers[0].media_type);
		image.layers[0].media_type = strdup(c->layer_type);
	}
	assert_int_equal(schema1_write(&image, config, strlen(config), "", "", &out, &err), c->rc);
	if (!strstr(err.text, c->error))
		fail_msg("'%s' does not hold '%s'", err.text, c->error);
	image.is_artifact = true;
	assert_int_equal(
		schema1_write(&image, config, strlen(config), "", "", &out, NULL), -EOPNOTSUPP);
}

/* Compact and unsigned, it is the payload that skopeo signed. */
static void writes_what_skopeo_signed(void **state)
{
	static const char recorded[] = "conversions/basic.from-oci.v2s1.manifest.json";
	CLEANUP(image_release) struct image image = { 0 };
	CLEANUP(buf_release) struct buf out = { .max = DOCUMENT_MAX };
	struct digest ours, theirs;
	size_t len = 0, config_len = 0;
	CLEANUP(freep) char *signed_text = fixture(recorded, &len);
	CLEANUP(freep)
	char *config = fixture("conversions/basic.from-oci.oci.config.json", &config_len);

	(void)state;
	read_image(&image, DOCUMENT_OCI_MANIFEST, "conversions/basic.from-oci.oci.manifest.json");
	assert_int_equal(image_parse_config(&image, config, config_len, NULL), 0);
	assert_int_equal(
		schema1_write(&image, config, config_len, "basic", "from-oci-v2s1", &out, NULL), 0);
	assert_memory_equal(out.data, signed_text, out.len - 1);
	assert_int_equal(document_digest(&ours, DIGEST_SHA256, out.data, out.len, NULL), 0);
	assert_int_equal(document_digest(&theirs, DIGEST_SHA256, signed_text, len, NULL), 0);
	assert_true(digest_equal(&ours, &theirs));
}

/* The registry's is indented: the entries and layers are the same. */
static void writes_the_registrys_entries(void **state)
{
	CLEANUP(image_release) struct image image = { 0 };
	CLEANUP(image_release) struct image ours = { 0 };
	CLEANUP(image_release) struct image theirs = { 0 };
	CLEANUP(buf_release) struct buf out = { .max = DOCUMENT_MAX };
	size_t config_len = 0;
	CLEANUP(freep)
	char *config = fixture("conversions/basic.from-oci.v2s2.config.json", &config_len);

	(void)state;
	read_image(&image, DOCUMENT_SCHEMA2, "conversions/basic.from-oci.v2s2.manifest.json");
	read_image(
		&theirs, DOCUMENT_SCHEMA1, "conversions/basic.registry-rewrite.v2s1.manifest.json");
	assert_int_equal(image_parse_config(&image, config, config_len, NULL), 0);
	assert_int_equal(schema1_write(&image, config, config_len, "", "", &out, NULL), 0);
	assert_int_equal(image_parse(&ours, DOCUMENT_SCHEMA1, out.data, out.len, NULL), 0);
	assert_int_equal(ours.v1_count, theirs.v1_count);
	for (size_t i = 0; i < ours.v1_count; i++)
		assert_string_equal(ours.v1[i].json, theirs.v1[i].json);
	assert_int_equal(ours.layer_count, theirs.layer_count);
	for (size_t i = 0; i < ours.layer_count; i++)
		assert_true(digest_equal(&ours.layers[i].digest, &theirs.layers[i].digest));
}

static void has_an_empty_layer(void **state)
{
	struct digest named, found;
	char text[DIGEST_TEXT_MAX];
	const void *bytes;
	size_t len;

	(void)state;
	bytes = schema1_empty_layer(&len, &named);
	assert_int_equal(len, 32);
	assert_int_equal(digest_of(&found, DIGEST_SHA256, bytes, len, NULL), 0);
	assert_true(digest_equal(&named, &found));
	assert_string_equal(digest_format(&found, text), EMPTY);
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
		cmocka_unit_test(refuses_another_entry_by_case),
		cmocka_unit_test(distrusts_odd_signatures),
		cmocka_unit_test(bounds_layers),
		cmocka_unit_test(upgrades_throwaways_alone),
		cmocka_unit_test(refuses_times_that_are_none),
		cmocka_unit_test(upgrades_alike),
		cmocka_unit_test(writes_what_skopeo_signed),
		cmocka_unit_test(writes_the_registrys_entries),
		cmocka_unit_test(has_an_empty_layer),
		cmocka_unit_test(reads_the_payload_alone),
	};
	struct CMUnitTest tests[ARRAY_SIZE(parse_cases) + ARRAY_SIZE(upgrade_cases) +
				ARRAY_SIZE(coding_cases) + ARRAY_SIZE(recorded_cases) +
				ARRAY_SIZE(layers_cases) + ARRAY_SIZE(write_cases) +
				ARRAY_SIZE(refusal_cases) + ARRAY_SIZE(others)];
	size_t n = 0;

	ADD(parse_cases, parses);
	ADD(upgrade_cases, upgrades);
	ADD(coding_cases, types_layers);
	ADD(recorded_cases, upgrades_recorded);
	ADD(layers_cases, upgrades_layers_alike);
	ADD(write_cases, writes);
	ADD(refusal_cases, refuses);
	memcpy(tests + n, others, sizeof others);
	return cmocka_run_group_tests_name("schema1", tests, NULL, NULL);
}
