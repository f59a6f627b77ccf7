/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is expected was made by Docker 20.10.24 of the same input: configs by docker load
 * of archives in the old form, the JSON of layers by docker save; times by
 * Go.  Recorded inputs (IMGFS_FIXTURES) come from Docker's own tests.
 *
 * JSON is written with single quotes and gets double ones.
 */
#include "model/v1.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/cleanup.h"
#include "model/error.h"
#include "model/gojson.h"
#include "model/image.h"
#include "model/json.h"
#include "tests/unit/fixture.h"
#include "tests/unit/quoted.h"

#define X8(digit) digit digit digit digit digit digit digit digit
#define ID(digit) X8(X8(digit))

#define DIFF_1 "sha256:f7333dba604a5beb7922f3e8a2b61867fa52e305ae5ca9bafbf3993267815536"
#define DIFF_2 "sha256:b855aa0e7d74395e43116faa2784b9727d5e87c6870349c793978dbdf8823e8b"
#define ZERO_CONFIG                                                                                \
	"{'Hostname':'','Domainname':'','User':'','AttachStdin':false,'AttachStdout':false,"       \
	"'AttachStderr':false,'Tty':false,'OpenStdin':false,'StdinOnce':false,'Env':null,"         \
	"'Cmd':null,'Image':'','Volumes':null,'WorkingDir':'','Entrypoint':null,"                  \
	"'OnBuild':null,'Labels':null}"

#define BASE                                                                                       \
	"{'id':'" ID("1") "','created':'2014-01-01T00:00:00.500Z',"                                \
			  "'container_config':{'Cmd':['/bin/sh','-c','one']},'os':'linux','Size':" \
			  "3}"

enum { ENTRIES = 4 };

/* The document of these entries, base first. */
static void write_document(struct buf *ret, const char *const *texts)
{
	struct v1_entry *entries = calloc(ENTRIES, sizeof *entries);
	size_t count = 0;

	assert_non_null(entries);
	for (; count < ENTRIES && texts[count]; count++) {
		entries[count].json = quoted(texts[count]);
		entries[count].json_len = strlen(texts[count]);
	}
	buf_init(ret, DOCUMENT_MAX);
	assert_int_equal(v1_document_write(entries, count, ret, NULL), 0);
	v1_entries_free(entries, count);
}

static const struct parse_case {
	const char *name, *entries[ENTRIES];
	int rc;
	const char *error;
	size_t count;
} parse_cases[] = {
	{ "one layer", { BASE }, 0, NULL, 1 },
	{ "two layers", { BASE, "{'id':'" ID("2") "','parent':'" ID("1") "'}" }, 0, NULL, 2 },
	{ "a layer that says throwaway",
		{ BASE, "{'id':'" ID("2") "','parent':'" ID("1") "','throwaway':true}" }, 0, NULL,
		2 },
	{ "lines and tabs", { "{\r\n\t'id' :\t'" ID("2") "'\r\n}\r\n" }, 0, NULL, 1 },

	{ "no layer", { NULL }, -EIO, "'history' is empty", 0 },
	{ "a layer twice", { BASE, BASE }, -EIO, "several places", 0 },
	{ "a loop",
		{ "{'id':'" ID("1") "','parent':'" ID("2") "'}",
			"{'id':'" ID("2") "','parent':'" ID("1") "'}" },
		-EIO, "has a parent", 0 },
	{ "another's parent", { BASE, "{'id':'" ID("2") "','parent':'" ID("3") "'}" }, -EIO,
		"parent of layer id", 0 },
	{ "no id", { "{}" }, -EIO, "'id'", 0 },
	{ "no JSON", { "" }, -EIO, "malformed JSON at line 1, byte 0", 0 },
};

static void parses(void **state)
{
	const struct parse_case *c = *state;
	CLEANUP(buf_release) struct buf text = { 0 };
	CLEANUP(image_release) struct image image = { 0 };
	enum document_kind kind = DOCUMENT_UNKNOWN;
	struct error err = { "" };

	write_document(&text, c->entries);
	assert_int_equal(document_kind(&kind, NULL, text.data, text.len, NULL), 0);
	assert_int_equal(kind, DOCUMENT_V1);
	assert_int_equal(image_parse(&image, DOCUMENT_V1, text.data, text.len, &err), c->rc);
	if (c->rc && !strstr(err.text, c->error))
		fail_msg("'%s' does not hold '%s'", err.text, c->error);
	assert_int_equal(image.layer_count, c->count);
	assert_int_equal(image.v1_count, c->count);
	assert_int_equal(image.signature, SIGNATURE_NONE);
	for (size_t i = 0; i < c->count; i++) {
		assert_string_equal(image.layers[i].layer_id, image.v1[i].id);
		assert_false(digest_is_set(&image.layers[i].digest));
		assert_false(image.parsed.history[i].is_empty_layer);
	}
}

static void refuses_layers_in_the_document(void **state)
{
	static const char text[] =
		"{\"schemaVersion\":1,\"mediaType\":"
		"\"application/vnd.imgfs.v1.image+json\",\"fsLayers\":[],"
		"\"history\":[{\"v1Compatibility\":\"{\\\"id\\\":\\\"" ID("1") "\\\"}\"}]}";
	CLEANUP(image_release) struct image image = { 0 };

	(void)state;
	assert_int_equal(image_parse(&image, DOCUMENT_V1, text, sizeof text - 1, NULL), -EIO);
}

/* The newest layer's JSON on BASE, and what docker load makes of both. */
static const struct upgrade_case {
	const char *name, *top, *config;
} upgrade_cases[] = {
	{ "no version",
		"{'id':'" ID("2") "','parent':'" ID(
			"1") "','created':'2014-01-01T00:00:01Z',"
			     "'author':'<me>','config':{'Cmd':['/x'],'Memory':5},'extra':1,'os':'linux',"
			     "'architecture':'amd64','container_config':{'Cmd':['two']},'Size':4,"
			     "'throwaway':true}",
		"{'architecture':'amd64','author':'\\u003cme\\u003e','config':{'Hostname':'',"
		"'Domainname':'','User':'','AttachStdin':false,'AttachStdout':false,'AttachStderr':fal"
		"se,'Tty':false,'OpenStdin':false,'StdinOnce':false,'Env':null,'Cmd':['/x'],"
		"'Image':'','Volumes':null,'WorkingDir':'','Entrypoint':null,'OnBuild':null,"
		"'Labels':null},'container_config':{'Hostname':'','Domainname':'','User':'',"
		"'AttachStdin':false,'AttachStdout':false,'AttachStderr':false,'Tty':false,"
		"'OpenStdin':false,'StdinOnce':false,'Env':null,'Cmd':['two'],'Image':'',"
		"'Volumes':null,'WorkingDir':'','Entrypoint':null,'OnBuild':null,'Labels':null},"
		"'created':'2014-01-01T00:00:01Z','history':[{'created':'2014-01-01T00:00:00.5Z',"
		"'created_by':'/bin/sh -c one'},{'created':'2014-01-01T00:00:01Z','author':'\\u003cme\\u"
		"003e','created_by':'two'}],'os':'linux','rootfs':{'type':'layers','diff_ids':['" DIFF_1
		"',"
		"'" DIFF_2 "']}}" },
	{ "a version after 1.8.3",
		"{'id':'" ID("2") "','parent':'" ID(
			"1") "','created':'2014-01-01T00:00:01.500Z',"
			     "'docker_version':'1.9.1','config':{'Cmd':['/x'],'Memory':5},'extra':1, "
			     "'os':'linux','architecture':'amd64','container_config':{'Cmd':'two words'}, "
			     "'Size':4}",
		"{'architecture':'amd64','config':{'Cmd':['/x'],'Memory':5},'container_config':{"
		"'Cmd':'two words'},'created':'2014-01-01T00:00:01.500Z','docker_version':'1.9.1',"
		"'extra':1,'history':[{'created':'2014-01-01T00:00:00.5Z','created_by':'/bin/sh -c one"
		"'},{'created':'2014-01-01T00:00:01.5Z','created_by':'two words'}],'os':'linux',"
		"'rootfs':{'type':'layers','diff_ids':['" DIFF_1 "','" DIFF_2 "']}}" },
};

static void upgrades(void **state)
{
	const struct upgrade_case *c = *state;
	CLEANUP(buf_release) struct buf text = { 0 };
	CLEANUP(buf_release) struct buf config = { .max = DOCUMENT_MAX };
	CLEANUP(image_release) struct image from = { 0 };
	CLEANUP(image_release) struct image image = { 0 };
	CLEANUP(freep) char *wanted = quoted(c->config);
	struct layer_facts facts[2] = { { .coding = CODING_PLAIN }, { .coding = CODING_PLAIN } };

	write_document(&text, (const char *[ENTRIES]){ BASE, c->top });
	assert_int_equal(image_parse(&from, DOCUMENT_V1, text.data, text.len, NULL), 0);
	assert_int_equal(digest_parse(&facts[0].diff_id, DIFF_1, NULL), 0);
	assert_int_equal(digest_parse(&facts[1].diff_id, DIFF_2, NULL), 0);
	facts[0].digest = facts[0].diff_id;
	facts[1].digest = facts[1].diff_id;
	assert_int_equal(image_upgrade(&image, &from, facts, &config, NULL), 0);
	assert_string_equal(config.data, wanted);
	assert_int_equal(image.layer_count, 2);
	assert_true(digest_equal(&image.layers[1].digest, &facts[1].digest));
}

static void saves_as_docker_does(void **state)
{
	static const char config_text[] =
		"{'architecture':'arm','variant':'v7','os':'linux','author':'A <a>','comment':'c&',"
		"'container':'x','docker_version':'20.10','created':'2020-01-02T03:04:05.120Z',"
		"'os.version':'9','config':{'Env':['A=b'],'Cmd':['/x'],'Healthcheck':{"
		"'Test':['CMD','t'],'Interval':5,'Timeout':6,'StartPeriod':7,'Retries':2},"
		"'Labels':{'b':'1','a':'<'},'ExposedPorts':{'80/tcp':{}},'StopTimeout':3,"
		"'unknown':1},'container_config':{'Hostname':'h','Tty':true},'extra':[1],"
		"'rootfs':{'type':'layers','diff_ids':['" DIFF_1 "','" DIFF_2
		"']},'history':[{'created':'2020-01-01"
		"T00:00:00Z','created_by':'one'},{'created':'2020-01-01T00:00:01Z','created_by':'e',"
		"'empty_layer':true},{'created':'2020-01-01T00:00:02Z','created_by':'two'}]}";
	static const char *const wanted[] = {
		"{'id':'ac518eb288fd0dc1f953aa96d0d411650dd72d6e5b56853205d28faf5f9bee83',"
		"'created':'1970-01-01T00:00:00Z','container_config':" ZERO_CONFIG ",'os':'linux'}",
		"{'id':'4d7cd955a45166654b8841bde4e87323ecf2fdd954512923ee1eb16840bd304a',"
		"'parent':'ac518eb288fd0dc1f953aa96d0d411650dd72d6e5b56853205d28faf5f9bee83',"
		"'comment':'c\\u0026','created':'2020-01-02T03:04:05.12Z','container':'x',"
		"'container_config':{'Hostname':'h','Domainname':'','User':'','AttachStdin':false,"
		"'AttachStdout':false,'AttachStderr':false,'Tty':true,'OpenStdin':false,"
		"'StdinOnce':false,'Env':null,'Cmd':null,'Image':'','Volumes':null,'WorkingDir':'',"
		"'Entrypoint':null,'OnBuild':null,'Labels':null},'docker_version':'20.10',"
		"'author':'A \\u003ca\\u003e','config':{'Hostname':'','Domainname':'',"
		"'User':'','AttachStdin':false,'AttachStdout':false,'AttachStderr':false,"
		"'ExposedPorts':{'80/tcp':{}},'Tty':false,'OpenStdin':false,'StdinOnce':false,"
		"'Env':['A=b'],'Cmd':['/x'],'Healthcheck':{'Test':['CMD','t'],'Interval':5,"
		"'Timeout':6,'StartPeriod':7,'Retries':2},'Image':'','Volumes':null,'WorkingDir':'',"
		"'Entrypoint':null,'OnBuild':null,'Labels':{'a':'\\u003c','b':'1'},'StopTimeout':3},"
		"'architecture':'arm','variant':'v7','os':'linux'}",
	};
	CLEANUP(image_release) struct image image = { .kind = DOCUMENT_SCHEMA2 };
	CLEANUP(freep) char *config = quoted(config_text);
	struct v1_entry *entries = NULL;

	(void)state;
	assert_int_equal(image_parse_config(&image, config, strlen(config), NULL), 0);
	image.layers = calloc(2, sizeof *image.layers);
	image.layer_count = 2;
	assert_int_equal(v1_entries_make(&entries, &image, config, strlen(config), NULL), 0);
	assert_string_equal(
		entries[0].id, "ac518eb288fd0dc1f953aa96d0d411650dd72d6e5b56853205d28faf5f9bee83");
	assert_string_equal(
		entries[1].id, "4d7cd955a45166654b8841bde4e87323ecf2fdd954512923ee1eb16840bd304a");
	for (int i = 0; i < 2; i++) {
		CLEANUP(freep) char *json = quoted(wanted[i]);

		assert_string_equal(entries[i].json, json);
		assert_int_equal(entries[i].json_len, strlen(json));
	}
	v1_entries_free(entries, 2);

	image.layer_count = 1; /* one layer, and two diff_ids */
	assert_int_equal(
		v1_entries_make(&entries, &image, config, strlen(config), NULL), -EOPNOTSUPP);
}

/* What the config of an image of two layers holds beside them, and what docker save writes of
 * the newest. */
#define CONTAINER_CONFIG "'container_config':" ZERO_CONFIG ","
static const struct save_case {
	const char *name, *more, *id, *json;
} save_cases[] = {
	{ "names in another case",
		"'Config':{'cmd':['a'],'ENV':['B=c'],'hostName':'h'},'Author':'me',"
		"'CREATED':'2020-01-02T00:00:00Z'",
		"b4844929982ed1d2facf55f04fdf537a9e866f268d8eca051eacd3600c4bab6d",
		"'created':'2020-01-02T00:00:00Z'," CONTAINER_CONFIG
		"'author':'me','config':{'Hostname':'h','Domainname':'','User':'','AttachStd"
		"in':false,'AttachStdout':false,'AttachStderr':false,'Tty':false,'OpenStdin'"
		":false,'StdinOnce':false,'Env':['B=c'],'Cmd':['a'],'Image':'','Volumes':nul"
		"l,'WorkingDir':'','Entrypoint':null,'OnBuild':null,'Labels':null},'architec"
		"ture':'amd64','os':'linux'}" },
	{ "names in two cases", "'config':{'Cmd':['a'],'cmd':['b']},'author':'one','Author':'two'",
		"de7c27b78931bb8ff196a24d51274284f068c5cbc8673b35291ae0fb5f279666",
		"'created':'0001-01-01T00:00:00Z'," CONTAINER_CONFIG
		"'author':'two','config':{'Hostname':'','Domainname':'','User':'','AttachStd"
		"in':false,'AttachStdout':false,'AttachStderr':false,'Tty':false,'OpenStdin'"
		":false,'StdinOnce':false,'Env':null,'Cmd':['b'],'Image':'','Volumes':null,'"
		"WorkingDir':'','Entrypoint':null,'OnBuild':null,'Labels':null},'architectur"
		"e':'amd64','os':'linux'}" },
	{ "a size", "'Size':5", "2388e800a60c3a027ca394e4e56950fcf0c79b55beff728af2592e057cc870a6",
		"'created':'0001-01-01T00:00:00Z'," CONTAINER_CONFIG
		"'architecture':'amd64','os':'linux','Size':5}" },
	{ "a size in lower case", "'size':7",
		"dcabc7ee50966de1a1a00fb9b63b2170bca872b380ec7140d8bdf44257fdd6ae",
		"'created':'0001-01-01T00:00:00Z'," CONTAINER_CONFIG
		"'architecture':'amd64','os':'linux','Size':7}" },
};

static void saves(void **state)
{
	const struct save_case *c = *state;
	CLEANUP(image_release) struct image image = { .kind = DOCUMENT_SCHEMA2 };
	CLEANUP(freep) char *json = quoted(c->json);
	CLEANUP(freep) char *config = NULL;
	struct v1_entry *entries = NULL;
	char text[2048];

	(void)snprintf(text, sizeof text,
		"{'architecture':'amd64','os':'linux','rootfs':{'type':'layers','diff_ids':['" DIFF_1
		"','" DIFF_2 "']},%s}",
		c->more);
	config = quoted(text);
	assert_int_equal(image_parse_config(&image, config, strlen(config), NULL), 0);
	image.layers = calloc(2, sizeof *image.layers);
	image.layer_count = 2;
	assert_int_equal(v1_entries_make(&entries, &image, config, strlen(config), NULL), 0);
	assert_string_equal(entries[1].id, c->id);
	(void)snprintf(text, sizeof text, "{\"id\":\"%s\",\"parent\":\"%s\",%s", c->id,
		entries[0].id, json);
	assert_string_equal(entries[1].json, text);
	v1_entries_free(entries, 2);
}

static void set_quoted(struct json_members *members, const char *name, const char *text,
	char quotes[static DIGEST_TEXT_MAX + 2])
{
	int len = snprintf(quotes, DIGEST_TEXT_MAX + 2, "\"%s\"", text);

	assert_int_equal(json_members_set(members, name, quotes, (size_t)len, NULL), 0);
}

/* What Docker 1.9 made of an image's JSON to name it: nobody asks for such an id any more, but the
 * text is printed by what prints ours, and was written down by Docker. */
static void prints_what_docker_1_9_hashed(void **state)
{
	static const char dir[] = "moby-v1-strongid/post1.9/";
	static const char *const names[] = { "v1compatibility", "layer_id", "parent_id",
		"expected_config", "expected_computed_id" };
	CLEANUP(buf_release) struct buf sorted = { .max = DOCUMENT_MAX };
	CLEANUP(json_members_release) struct json_members members = { 0 };
	char *texts[ARRAY_SIZE(names)], found[DIGEST_TEXT_MAX];
	char layer[DIGEST_TEXT_MAX + 2], parent[DIGEST_TEXT_MAX + 2];
	struct digest id;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char path[128];

		(void)snprintf(path, sizeof path, "%s%s", dir, names[i]);
		texts[i] = fixture(path, NULL);
		texts[i][strcspn(texts[i], "\n")] = '\0';
	}
	assert_int_equal(json_members_parse(&members, texts[0], strlen(texts[0]), NULL), 0);
	json_members_remove(&members, "id");
	json_members_remove(&members, "parent");
	json_members_remove(&members, "Size");
	set_quoted(&members, "layer_id", texts[1], layer);
	set_quoted(&members, "parent_id", texts[2], parent);
	assert_int_equal(go_write_members(&sorted, &members, NULL), 0);
	assert_string_equal(sorted.data, texts[3]);
	assert_int_equal(digest_of(&id, DIGEST_SHA256, sorted.data, sorted.len, NULL), 0);
	assert_string_equal(digest_format(&id, found), texts[4]);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		free(texts[i]);
}

/* What a V1 registry serves; it has tabs, and a zone of its own. */
static void reads_a_registrys_image(void **state)
{
	static const char name[] =
		"v1-registry/v1/images/"
		"77dbf71da1d00e3fbddc480176eac8994025630c6590d11cfc8fe1209c2a1d20/json";
	CLEANUP(buf_release) struct buf text = { .max = DOCUMENT_MAX };
	CLEANUP(buf_release) struct buf config = { .max = DOCUMENT_MAX };
	CLEANUP(image_release) struct image from = { 0 };
	CLEANUP(image_release) struct image image = { 0 };
	struct layer_facts facts = { .coding = CODING_GZIP };
	struct v1_entry entry = { 0 };

	(void)state;
	entry.json = fixture(name, &entry.json_len);
	assert_int_equal(v1_document_write(&entry, 1, &text, NULL), 0);
	assert_int_equal(image_parse(&from, DOCUMENT_V1, text.data, text.len, NULL), 0);
	assert_string_equal(from.v1[0].json, entry.json);
	assert_string_equal(from.parsed.history[0].comment, "test base image");
	assert_string_equal(from.parsed.history[0].created_by, "");
	assert_int_equal(digest_parse(&facts.diff_id, DIFF_1, NULL), 0);
	facts.digest = facts.diff_id;
	assert_int_equal(image_upgrade(&image, &from, &facts, &config, NULL), 0);
	assert_non_null(strstr(config.data, "\"created\":\"2013-03-23T12:53:11.10432-07:00\""));
	free(entry.json);
}

/* Go's time.Time, read and printed. */
static const struct time_case {
	const char *name, *text, *written; /* written NULL: no time */
} time_cases[] = {
	{ "a time", "2015-01-02T03:04:05Z", "\"2015-01-02T03:04:05Z\"" },
	{ "no time", "", "\"0001-01-01T00:00:00Z\"" },
	{ "nanoseconds", "2015-01-02T03:04:05.123456789Z", "\"2015-01-02T03:04:05.123456789Z\"" },
	{ "finer than that", "2015-01-02T03:04:05.1234567891Z",
		"\"2015-01-02T03:04:05.123456789Z\"" },
	{ "zeroes at the end", "2015-01-02T03:04:05.100Z", "\"2015-01-02T03:04:05.1Z\"" },
	{ "nothing but zeroes", "2015-01-02T03:04:05.000Z", "\"2015-01-02T03:04:05Z\"" },
	{ "a zone", "2015-01-02T03:04:05.50-07:30", "\"2015-01-02T03:04:05.5-07:30\"" },
	{ "a zone of zero", "2015-01-02T03:04:05+00:00", "\"2015-01-02T03:04:05Z\"" },
	{ "a leap day", "2016-02-29T03:04:05Z", "\"2016-02-29T03:04:05Z\"" },
	{ "no leap day", "2015-02-29T03:04:05Z", NULL },
	{ "no leap day in 1900", "1900-02-29T03:04:05Z", NULL },
	{ "month 13", "2015-13-01T03:04:05Z", NULL },
	{ "hour 24", "2015-01-02T24:00:00Z", NULL },
	{ "second 60", "2015-01-02T03:04:60Z", NULL },
	{ "a point without digits", "2015-01-02T03:04:05.Z", NULL },
	{ "no zone", "2015-01-02T03:04:05", NULL },
	{ "a blank for the T", "2015-01-02 03:04:05Z", NULL },
	{ "more behind it", "2015-01-02T03:04:05Zx", NULL },
	{ "a date", "2015-01-02", NULL },
	{ "a zone cut short", "2015-01-02T03:04:05+07", NULL },
	{ "a word", "yesterday", NULL },
};

static void writes_times(void **state)
{
	const struct time_case *c = *state;
	CLEANUP(buf_release) struct buf out = { .max = 100 };

	assert_int_equal(go_write_time(&out, c->text, NULL), c->written ? 0 : -EIO);
	if (c->written)
		assert_string_equal(out.data, c->written);
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
		cmocka_unit_test(refuses_layers_in_the_document),
		cmocka_unit_test(saves_as_docker_does),
		cmocka_unit_test(prints_what_docker_1_9_hashed),
		cmocka_unit_test(reads_a_registrys_image),
	};
	struct CMUnitTest tests[ARRAY_SIZE(parse_cases) + ARRAY_SIZE(upgrade_cases) +
				ARRAY_SIZE(save_cases) + ARRAY_SIZE(time_cases) +
				ARRAY_SIZE(others)];
	size_t n = 0;

	ADD(parse_cases, parses);
	ADD(upgrade_cases, upgrades);
	ADD(save_cases, saves);
	ADD(time_cases, writes_times);
	memcpy(tests + n, others, sizeof others);
	return cmocka_run_group_tests_name("v1", tests, NULL, NULL);
}
