/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "dir:" as containers-transports(5) has it: one image without a name.  Digests are
 * sha256sum's; that of a signed schema 1 manifest is of its payload.
 */
#include "fetch/dir/dir.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "fetch/cancel.h"
#include "fetch/observer.h"
#include "model/cleanup.h"
#include "model/image.h"
#include "tests/unit/fixture.h"
#include "tests/unit/places.h"

static void no_log(struct observer *observer, enum log_level level, const char *text)
{
	(void)observer;
	(void)level;
	(void)text;
}

static struct observer observer = { .log = no_log };

#define VERSION "Directory Transport Version: 1.1\n"

/* printf hello | sha256sum; the same of "world", and of nothing */
#define HELLO_HEX "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define WORLD_HEX "486ea46224d1bb4fb680f34f7c9ad96a8f24ec88be73ea8e5a6c65260e9cb8a7"
#define EMPTY_HEX "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static struct source *open_dir(struct bundle *bundle)
{
	struct error err = { "" };
	struct source *source;

	if (dir_open(&source, bundle, &observer, &err))
		fail_msg("%s", err.text);
	assert_true(source->is_local);
	assert_true(source->is_single_repository);
	assert_true(source->is_single_image);
	assert_null(source->makes_manifests_from);
	return source;
}

static struct digest digest_hex_of(const char *hex)
{
	struct digest digest;

	assert_int_equal(digest_parse_parts(&digest, "sha256", hex, NULL), 0);
	return digest;
}

static void check_resolves(struct source *source, const char *hex, size_t size)
{
	CLEANUP(descriptor_release) struct descriptor found = { 0 };
	struct error err = { "" };
	char text[DIGEST_HEX_MAX];

	if (source->ops->resolve(source, "", "", &found, NULL, &err))
		fail_msg("%s", err.text);
	assert_string_equal(digest_hex(&found.digest, text), hex);
	assert_int_equal(found.size, size);
	assert_null(found.media_type);
}

/* The manifest of a digest, or the error's name. */
static char *manifest_text(struct source *source, const char *hex)
{
	struct digest digest = digest_hex_of(hex);
	char *type = NULL;
	struct buf body;
	int rc;

	buf_init(&body, DOCUMENT_MAX);
	rc = source->ops->manifest(source, "", &digest, &body, &type, NULL, NULL);
	assert_null(type);
	if (rc) {
		buf_clear(&body);
		assert_int_equal(buf_append_text(&body, strerrorname_np(-rc)), 0);
	}
	return buf_take(&body, NULL);
}

static void check_manifest(struct source *source, const char *hex, const char *text)
{
	CLEANUP(freep) char *found = manifest_text(source, hex);

	assert_string_equal(found, text);
}

static void check_blob(struct source *source, const char *hex, const char *text)
{
	struct descriptor blob = { .digest = digest_hex_of(hex), .size = strlen(text) };
	CLEANUP(readerp) struct reader *reader = NULL;
	struct blob_stream *stream;
	char bytes[16] = "";
	uint64_t start;

	assert_int_equal(source->ops->open_reader(source, &blob.digest, &reader, NULL, NULL), 0);
	assert_int_equal(reader->size, blob.size);
	assert_int_equal(
		source->ops->open_blob(source, "", &blob, 1, &stream, &start, NULL, NULL), 0);
	assert_int_equal(start, 1);
	assert_int_equal(
		stream->ops->read(stream, bytes, sizeof bytes, NULL), (int)strlen(text) - 1);
	assert_string_equal(bytes, text + 1);
	stream->ops->free(stream);
}

/* --- manifest.json of any kind --- */

static const struct document_case {
	const char *name, *text;
	const char *hex; /* printf '%s' TEXT | sha256sum */
} document_cases[] = {
	{ "an OCI manifest",
		"{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/"
		"vnd.oci.image.config.v1+json\",\"digest\":\"sha256:" HELLO_HEX
		"\",\"size\":5},\"layers\":[]}",
		"2f8d69f5b92313803875e99e93822831775fb9cd07da05754725b1679e802873" },
	{ "an index", "{\"schemaVersion\":2,\"manifests\":[]}",
		"bc5857ac9458293d5111ab85c952172cd7f56bceb4e3014ddc4cafac8927b313" },
	{ "an unsigned schema 1", "{\"schemaVersion\":1,\"fsLayers\":[],\"history\":[]}",
		"5b41321bd508a125702d2d43cdba2bd2df5bda46524f14b54dd712a32d56eead" },
	/* the payload: printf '{\n"schemaVersion":1,"fsLayers":[]\n}' | sha256sum */
	{ "a signed schema 1",
		"{\n\"schemaVersion\":1,\"fsLayers\":[],\n\"signatures\":[{\"header\":{\"jwk\":{},\"alg\":\"ES256\"},\"signature\":\"AAAA\",\"protected\":\"eyJmb3JtYXRMZW5ndGgiOjMzLCJmb3JtYXRUYWlsIjoiQ24wIn0\"}]\n}",
		"8387aee7f08f44427af01e0e1c28e5c51a32dfd96e56d4de426501d9c375659f" },
	{ "broken JSON", "{\"schemaVersion\":2,",
		"f7b7d809e2fdd88cae2869cd8242fd75911f7cb4d2c94befd7fa5bff0a523002" },
	{ "no JSON", "hello", HELLO_HEX },
	{ "nothing", "", EMPTY_HEX },
};

static void reads_documents(void **state)
{
	const struct document_case *c = *state;
	struct source *source;
	struct place place;

	place_make(&place);
	place_put_text(&place, "version", VERSION);
	place_put_text(&place, "manifest.json", c->text);
	for (int as_tar = 0; as_tar < 2; as_tar++) {
		struct bundle *bundle = place_open(&place, as_tar, &observer);

		assert_true(dir_is(bundle));
		source = open_dir(bundle);
		check_resolves(source, c->hex, strlen(c->text));
		check_manifest(source, c->hex, c->text);
		source_free(source);
	}
	place_drop(&place);
}

/* --- files --- */

static void put_all(const struct place *place)
{
	place_put_text(place, "version", VERSION);
	place_put_text(place, "manifest.json", "{}");
	place_put_text(place, HELLO_HEX, "hello");
	place_put_text(place, WORLD_HEX ".tar", "world");
	place_put_text(place, WORLD_HEX ".manifest.json", "a child");
}

static void finds_files(void **state)
{
	struct digest none = digest_hex_of(EMPTY_HEX);
	CLEANUP(readerp) struct reader *reader = NULL;
	struct source *source;
	struct place place;

	(void)state;
	place_make(&place);
	put_all(&place);
	for (int as_tar = 0; as_tar < 2; as_tar++) {
		source = open_dir(place_open(&place, as_tar, &observer));
		check_blob(source, HELLO_HEX, "hello");
		check_blob(source, WORLD_HEX, "world");
		check_manifest(source, WORLD_HEX, "a child");
		check_manifest(source, HELLO_HEX, "hello");
		check_manifest(source, EMPTY_HEX, "ENOENT");
		assert_int_equal(
			source->ops->open_reader(source, &none, &reader, NULL, NULL), -ENOENT);
		source_free(source);
	}
	place_drop(&place);
}

static void has_no_names(void **state)
{
	CLEANUP(descriptor_release) struct descriptor found = { 0 };
	struct name_list list = { NULL, 0 };
	struct source *source;
	struct place place;

	(void)state;
	place_make(&place);
	put_all(&place);
	source = open_dir(place_open(&place, false, &observer));
	assert_int_equal(source->ops->repositories(source, &list, NULL, NULL), 0);
	assert_int_equal(list.count, 1);
	assert_string_equal(list.names[0], "");
	name_list_release(&list);
	assert_int_equal(source->ops->tags(source, "", &list, NULL, NULL), 0);
	assert_int_equal(list.count, 0);
	assert_int_equal(source->ops->tags(source, "a", &list, NULL, NULL), -ENOENT);
	assert_int_equal(source->ops->resolve(source, "", "a", &found, NULL, NULL), -ENOENT);
	assert_int_equal(source->ops->resolve(source, "a", "", &found, NULL, NULL), -ENOENT);
	assert_int_equal(source->ops->probe(source, "a", NULL, NULL), -ENOENT);
	assert_int_equal(source->ops->probe(source, NULL, NULL, NULL), 0);
	assert_string_equal(source->ops->identity(source), "");
	source_free(source);
	place_drop(&place);
}

/* As `skopeo copy` into it does. */
static void sees_changes(void **state)
{
	CLEANUP(descriptor_release) struct descriptor found = { 0 };
	struct source *source;
	struct place place;
	char from[1024];

	(void)state;
	place_make(&place);
	put_all(&place);
	place_put_text(&place, "manifest.json", "hello");
	source = open_dir(place_open(&place, false, &observer));
	check_resolves(source, HELLO_HEX, 5);
	place_put_text(&place, "new", "world");
	strcpy(from, place_path(&place, "new"));
	assert_int_equal(rename(from, place_path(&place, "manifest.json")), 0);
	check_resolves(source, WORLD_HEX, 5);
	check_manifest(source, WORLD_HEX, "world");
	assert_int_equal(unlink(place_path(&place, "manifest.json")), 0);
	assert_int_equal(source->ops->resolve(source, "", "", &found, NULL, NULL), -ENOENT);
	assert_int_equal(source->ops->probe(source, NULL, NULL, NULL), -ENOENT);
	source_free(source);
	place_drop(&place);
}

static void can_be_cancelled(void **state)
{
	CLEANUP(descriptor_release) struct descriptor found = { 0 };
	struct source *source;
	struct cancel cancel;
	struct place place;

	(void)state;
	place_make(&place);
	put_all(&place);
	source = open_dir(place_open(&place, false, &observer));
	cancel_init(&cancel);
	cancel_set(&cancel);
	assert_int_equal(source->ops->resolve(source, "", "", &found, &cancel, NULL), -EINTR);
	cancel_release(&cancel);
	source_free(source);
	place_drop(&place);
}

/* --- opening --- */

static const struct open_case {
	const char *name, *version, *manifest; /* NULL: no such file */
	bool is;
	int rc;
} open_cases[] = {
	{ "1.0", "Directory Transport Version: 1.0\n", "{}", true, 0 },
	{ "without an end of line", "Directory Transport Version: 1.1", "{}", true, 0 },
	{ "no version", NULL, "{}", false, 0 },
	{ "2.0", "Directory Transport Version: 2.0\n", "{}", true, -EOPNOTSUPP },
	{ "another version file", "3.14\n", "{}", false, -EOPNOTSUPP },
	{ "an empty version file", "", "{}", false, -EOPNOTSUPP },
	{ "no manifest", VERSION, NULL, false, -ENOENT },
	{ "nothing", NULL, NULL, false, -ENOENT },
};

static void opens(void **state)
{
	const struct open_case *c = *state;
	struct source *source = NULL;
	struct error err = { "" };
	struct bundle *bundle;
	struct place place;

	place_make(&place);
	if (c->version)
		place_put_text(&place, "version", c->version);
	if (c->manifest)
		place_put_text(&place, "manifest.json", c->manifest);
	bundle = place_open(&place, false, &observer);
	assert_int_equal(dir_is(bundle), c->is);
	assert_int_equal(dir_open(&source, bundle, &observer, &err), c->rc);
	assert_true(!c->rc || *err.text);
	source_free(source);
	place_drop(&place);
}

/* --- a recorded one --- */

static void reads_fixture(void **state)
{
	const char *root = getenv("IMGFS_FIXTURES");
	CLEANUP(readerp) struct reader *reader = NULL;
	struct error err = { "" };
	struct bundle *bundle;
	struct source *source;
	struct digest layer =
		digest_hex_of("d928b90c15c9be23b37c9d19c88bd00d88319c201f17d8e6289dd98e31e41e54");
	char path[512];

	(void)state;
	if (!root) {
		print_message("IMGFS_FIXTURES is not set\n");
		skip();
	}
	(void)snprintf(
		path, sizeof path, "%s/manifests/conversions/schema1-legacy/src/throwaway", root);
	if (bundle_open(&bundle, path, NULL, &observer, NULL, &err))
		fail_msg("%s", err.text);
	assert_true(dir_is(bundle));
	source = open_dir(bundle);
	/* sha256sum and wc -c of manifest.json, which is not signed */
	check_resolves(
		source, "60d33094384076b03e86bbe8ecf533844f86339dc3c5030501ae4c91d271de8b", 5092);
	assert_int_equal(source->ops->open_reader(source, &layer, &reader, NULL, NULL), 0);
	assert_int_equal(reader->size, 190);
	source_free(source);
}

/* The payload's digest, as an independent verifier recorded it. */
static void names_a_signed_fixture(void **state)
{
	size_t len;
	CLEANUP(freep) char *text = fixture("containers-image/schema1.json", &len);
	struct source *source;
	struct place place;

	(void)state;
	place_make(&place);
	place_put_text(&place, "version", VERSION);
	place_put(&place, "manifest.json", text, len);
	source = open_dir(place_open(&place, false, &observer));
	check_resolves(
		source, "5a26403ca5f91c7f04300e397efc83960afbfe2d2b34314383a53e267a604455", len);
	source_free(source);
	place_drop(&place);
}

int main(void)
{
	static const struct CMUnitTest singles[] = {
		cmocka_unit_test(finds_files),
		cmocka_unit_test(has_no_names),
		cmocka_unit_test(sees_changes),
		cmocka_unit_test(can_be_cancelled),
		cmocka_unit_test(reads_fixture),
		cmocka_unit_test(names_a_signed_fixture),
	};
	struct CMUnitTest
		tests[ARRAY_SIZE(singles) + ARRAY_SIZE(document_cases) + ARRAY_SIZE(open_cases)];
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(document_cases); i++)
		tests[count++] = (struct CMUnitTest){ .name = document_cases[i].name,
			.test_func = reads_documents,
			.initial_state = (void *)&document_cases[i] };
	for (size_t i = 0; i < ARRAY_SIZE(open_cases); i++)
		tests[count++] = (struct CMUnitTest){ .name = open_cases[i].name,
			.test_func = opens,
			.initial_state = (void *)&open_cases[i] };
	for (size_t i = 0; i < ARRAY_SIZE(singles); i++)
		tests[count++] = singles[i];
	return cmocka_run_group_tests_name("dir", tests, NULL, NULL);
}
