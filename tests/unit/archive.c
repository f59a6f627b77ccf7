/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `docker save` of any age writes.  Digests are sha256sum's of the same bytes;
 * manifests are put together here after distribution's manifest-v2-2.md, in
 * the order Go prints them.  The recorded archives' were printed by `skopeo inspect --raw`,
 * with the types that its reader gets wrong set right (it calls plain layers gzip, and takes a
 * symlink's size for its target's).
 */
#include "fetch/archive/archive.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "fetch/cancel.h"
#include "fetch/observer.h"
#include "model/cleanup.h"
#include "model/image.h"
#include "tests/unit/names_text.h"
#include "tests/unit/places.h"

static _Atomic unsigned warnings;

static void count_warning(struct observer *observer, enum log_level level, const char *text)
{
	(void)observer;
	(void)text;
	warnings += level <= LOG_LEVEL_WARNING;
}

static struct observer observer = { .log = count_warning };

/* --- bytes, and what sha256sum says of them --- */

/* The empty tar, 1024 zeroes; and what Docker and zstd(1) make of it. */
static const char empty_tar[1024];
static const unsigned char empty_gzip[] = { 0x1f, 0x8b, 8, 0, 0, 9, 0x6e, 0x88, 0, 0xff, 0x62, 0x18,
	5, 0xa3, 0x60, 0x14, 0x8c, 0x58, 0, 8, 0, 0, 0xff, 0xff, 0x2e, 0xaf, 0xb5, 0xef, 0, 4, 0,
	0 };
static const unsigned char empty_zstd[] = { 0x28, 0xb5, 0x2f, 0xfd, 4, 0x58, 0x4d, 0, 0, 0x10, 0, 0,
	1, 0, 0xfb, 0x2b, 0x80, 5, 0xcd, 0xac, 0x85, 0xf0 };
#define TAR_DIGEST   "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
#define GZIP_DIGEST  "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"
#define ZSTD_DIGEST  "sha256:798227851af38e42f1a2b1e5116c056d0f2a902868ca277411ec904729773525"
#define EMPTY_DIGEST "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

#define CONFIG(diff_ids)                                                                           \
	"{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\","            \
	"\"diff_ids\":[" diff_ids "]}}"
#define CONFIG_1 CONFIG("\"" TAR_DIGEST "\"")
#define CONFIG_2 CONFIG("\"" TAR_DIGEST "\",\"" TAR_DIGEST "\"")

#define DOCKER "application/vnd.docker."
#define MANIFEST(config_size, config_digest, layers)                                               \
	"{\"schemaVersion\":2,\"mediaType\":\"" DOCKER                                             \
	"distribution.manifest.v2+json\",\"config\":{\"mediaType\":\"" DOCKER                      \
	"container.image.v1+json\",\"size\":" config_size ",\"digest\":\"" config_digest           \
	"\"},\"layers\":[" layers "]}"
#define LAYER(type, size, digest)                                                                  \
	"{\"mediaType\":\"" DOCKER "image.rootfs." type "\",\"size\":" size                        \
	",\"digest\":\"" digest "\"}"
#define MANIFEST_1(layers)                                                                         \
	MANIFEST("151", "sha256:83656ea199d8d74b56ef7fe4a0bef9dd10aa412ec632f8ccdf3e0c903471c0a2", \
		layers)
#define MANIFEST_2(layers)                                                                         \
	MANIFEST("225", "sha256:ad7d556ad33af952e4fc2ccc1525debd9ca92d4b417a4612c22bfa9915c8baec", \
		layers)
#define PLAIN_LAYER LAYER("diff.tar", "1024", TAR_DIGEST)
#define GZIP_LAYER  LAYER("diff.tar.gzip", "32", GZIP_DIGEST)
#define ZSTD_LAYER  LAYER("diff.tar.zstd", "22", ZSTD_DIGEST)

/* --- opening and asking --- */

static struct source *open_archive(struct bundle *bundle)
{
	struct error err = { "" };
	struct source *source;

	assert_true(docker_archive_is(bundle));
	if (docker_archive_open(&source, bundle, &observer, NULL, &err))
		fail_msg("%s", err.text);
	assert_true(source->is_local);
	return source;
}

static size_t untagged_count(struct source *source, const char *repository)
{
	struct name_list list = { NULL, 0 };
	struct digest digest;
	size_t count;

	assert_int_equal(source->ops->untagged(source, repository, &list, NULL, NULL), 0);
	count = list.count;
	for (size_t i = 0; i < count; i++)
		assert_int_equal(digest_parse(&digest, list.names[i], NULL), 0);
	name_list_release(&list);
	return count;
}

static struct digest digest_text(const char *text)
{
	struct digest digest;

	assert_int_equal(digest_parse(&digest, text, NULL), 0);
	return digest;
}

/* The manifest of a digest, whose hash it must have. */
static char *manifest_of(struct source *source, const struct digest *digest, size_t *ret_len,
	enum document_kind *ret_kind)
{
	CLEANUP(freep) char *type = NULL;
	struct error err = { "" };
	struct digest found;
	struct buf body;

	buf_init(&body, DOCUMENT_MAX);
	if (source->ops->manifest(source, "", digest, &body, &type, NULL, &err))
		fail_msg("%s", err.text);
	assert_int_equal(digest_of(&found, DIGEST_SHA256, body.data, body.len, NULL), 0);
	assert_true(digest_equal(&found, digest));
	assert_int_equal(document_kind(ret_kind, type, body.data, body.len, &err), 0);
	return buf_take(&body, ret_len);
}

static char *resolved(struct source *source, const char *repository, const char *tag,
	size_t *ret_len, enum document_kind *ret_kind)
{
	CLEANUP(descriptor_release) struct descriptor found = { 0 };
	struct error err = { "" };
	char *text;

	if (source->ops->resolve(source, repository, tag, &found, NULL, &err))
		fail_msg("%s:%s: %s", repository, tag, err.text);
	text = manifest_of(source, &found.digest, ret_len, ret_kind);
	assert_int_equal(found.size, *ret_len);
	assert_string_equal(found.media_type, document_media_type(*ret_kind));
	return text;
}

/* The blob must be there, and be what its digest says. */
static void check_blob(struct source *source, const struct descriptor *blob)
{
	CLEANUP(readerp) struct reader *reader = NULL;
	struct blob_stream *stream;
	struct error err = { "" };
	struct digest digest;
	struct buf body;
	uint64_t start;
	char byte;

	if (source->ops->open_reader(source, &blob->digest, &reader, NULL, &err))
		fail_msg("%s", err.text);
	assert_int_equal(reader->size, blob->size);
	buf_init(&body, (size_t)1 << 20);
	assert_int_equal(reader_append_to(reader, &body, NULL), 0);
	assert_int_equal(digest_of(&digest, DIGEST_SHA256, body.data, body.len, NULL), 0);
	assert_true(digest_equal(&digest, &blob->digest));
	assert_int_equal(
		source->ops->open_blob(source, "", blob, 7, &stream, &start, NULL, NULL), 0);
	assert_int_equal(start, 7);
	assert_int_equal(stream->ops->read(stream, &byte, 1, NULL), 1);
	assert_int_equal(byte, body.data[7]);
	stream->ops->free(stream);
	buf_release(&body);
}

/* --- manifest.json --- */

#define IMAGE(more)  "{\"Config\":\"c1.json\",\"Layers\":[\"a.tar\"]," more "}"
#define TAGS(tags)   "\"RepoTags\":[" tags "]"
#define BROKEN(tags) "{\"Config\":\"none\",\"Layers\":[\"a.tar\"]," TAGS(tags) "}"
#define SECOND(tags) "{\"Config\":\"c2.json\",\"Layers\":[\"a.tar\",\"a.tar\"]," TAGS(tags) "}"

static void put_files(const struct place *place, const char *manifest_json)
{
	place_put_text(place, "c1.json", CONFIG_1);
	place_put_text(place, "c2.json", CONFIG_2);
	place_put(place, "a.tar", empty_tar, sizeof empty_tar);
	place_put(place, "a.tar.gz", empty_gzip, sizeof empty_gzip);
	place_put(place, "a.tar.zst", empty_zstd, sizeof empty_zstd);
	place_put_text(place, "junk", "neither a tar nor compressed");
	place_link(place, "x/layer.tar", "../a.tar");
	if (manifest_json)
		place_put_text(place, "manifest.json", manifest_json);
}

static const struct names_case {
	const char *name, *manifest_json;
	const char *repositories, *repository, *tags;
	size_t untagged;
	unsigned warnings;
} names_cases[] = {
	{ "a name", "[" IMAGE(TAGS("\"team/app:1.0\"")) "]", "team/app|", "team/app", "1.0|", 0,
		0 },
	{ "a short name", "[" IMAGE(TAGS("\"busybox\"")) "]", "busybox|", "busybox", "latest|", 0,
		0 },
	{ "a port", "[" IMAGE(TAGS("\"localhost:5000/a:1\"")) "]", "localhost:5000/a|",
		"localhost:5000/a", "1|", 0, 0 },
	{ "a port and no tag", "[" IMAGE(TAGS("\"localhost:5000/a\"")) "]", "localhost:5000/a|",
		"localhost:5000/a", "latest|", 0, 0 },
	{ "two names of one image", "[" IMAGE(TAGS("\"b:2\",\"a:1\"")) "]", "a|b|", "a", "1|", 0,
		0 },
	{ "one name twice", "[" IMAGE(TAGS("\"a:1\",\"a:1\"")) "]", "a|", "a", "1|", 0, 0 },
	{ "null names", "[" IMAGE("\"RepoTags\":null") "]", "|", "", "", 1, 0 },
	{ "no names", "[{\"Config\":\"c1.json\",\"Layers\":[\"a.tar\"]}]", "|", "", "", 1, 0 },
	{ "no images", "[]", "", "", "", 0, 0 },
	{ "null", " null\n", "", "", "", 0, 0 },
	{ "blanks in front", "\r\n\t [" IMAGE(TAGS("\"a:1\"")) "]\n", "a|", "a", "1|", 0, 0 },
	{ "one with a name, one without", "[" IMAGE(TAGS("\"a:1\"")) "," SECOND("") "]", "|a|", "",
		"", 1, 0 },
	{ "of one name the last wins", "[" IMAGE(TAGS("\"a:1\"")) "," SECOND("\"a:1\"") "]", "a|",
		"a", "1|", 1, 0 },
	{ "what can be no name",
		"[" IMAGE(TAGS("\":1\",\"a:\",\"\",\"/a:1\",\"a//b:1\",\"a/:1\"")) "]", "|", "", "",
		1, 6 },
	{ "hostile names are listed as they are", "[" IMAGE(TAGS("\"../..:..\"")) "]", "../..|",
		"../..", "..|", 0, 0 },
	{ "a malformed entry takes no other with it",
		"[7,null,{\"RepoTags\":7}," IMAGE(TAGS("\"a:1\"")) "]", "a|", "a", "1|", 0, 3 },
	{ "a broken image keeps its name", "[" BROKEN("\"b:1\"") "," IMAGE(TAGS("\"a:1\"")) "]",
		"a|b|", "b", "1|", 0, 0 },
	{ "a broken image without a name", "[" BROKEN("") "," IMAGE("\"Parent\":\"\"") "]", "|", "",
		"", 1, 1 },
};

static void lists_names(void **state)
{
	const struct names_case *c = *state;
	struct source *source;
	struct place place;

	place_make(&place);
	put_files(&place, c->manifest_json);
	for (int as_tar = 0; as_tar < 2; as_tar++) {
		warnings = 0;
		source = open_archive(place_open(&place, as_tar, &observer));
		assert_string_equal(repositories(source), c->repositories);
		assert_string_equal(tags(source, c->repository), c->tags);
		assert_int_equal(untagged_count(source, c->repository), c->untagged);
		assert_int_equal(source->is_single_repository,
			!*c->repositories || !strcmp(c->repositories, "|"));
		assert_string_equal(tags(source, "none"), "ENOENT");
		assert_int_equal(source->ops->probe(source, c->repository, NULL, NULL), 0);
		assert_int_equal(source->ops->probe(source, "none", NULL, NULL), -ENOENT);
		assert_string_equal(source->makes_manifests_from, "manifest.json of the archive");
		assert_int_equal(warnings, c->warnings);
		source_free(source);
	}
	place_drop(&place);
}

#define ONE(config, layers, more)                                                                  \
	"[{\"Config\":\"" config "\",\"RepoTags\":[\"a:1\"],\"Layers\":[" layers "]" more "}]"
#define FOREIGN(urls)                                                                              \
	",\"LayerSources\":{\"" TAR_DIGEST "\":{\"mediaType\":\"" DOCKER                           \
	"image.rootfs.foreign.diff.tar.gzip\",\"size\":32,\"digest\":\"" GZIP_DIGEST "\"" urls     \
	"}}"
#define URLS ",\"urls\":[\"https://example.com/l\"]"

static const struct manifest_case {
	const char *name, *manifest_json;
	const char *manifest; /* NULL: an error that holds ... */
	const char *error;    /* also: its blobs are not all here */
} manifest_cases[] = {
	{ "a plain layer has its diff_id", ONE("c1.json", "\"a.tar\"", ""), MANIFEST_1(PLAIN_LAYER),
		NULL },
	{ "a gzip layer is hashed", ONE("c1.json", "\"a.tar.gz\"", ""), MANIFEST_1(GZIP_LAYER),
		NULL },
	{ "a zstd layer is hashed", ONE("c1.json", "\"a.tar.zst\"", ""), MANIFEST_1(ZSTD_LAYER),
		NULL },
	{ "a symlink", ONE("c1.json", "\"x/layer.tar\"", ""), MANIFEST_1(PLAIN_LAYER), NULL },
	{ "names with ./", ONE("./c1.json", "\".//a.tar\"", ""), MANIFEST_1(PLAIN_LAYER), NULL },
	{ "one layer twice", ONE("c2.json", "\"a.tar\",\"a.tar\"", ""),
		MANIFEST_2(PLAIN_LAYER "," PLAIN_LAYER), NULL },
	{ "two codings of one layer", ONE("c2.json", "\"a.tar\",\"a.tar.gz\"", ""),
		MANIFEST_2(PLAIN_LAYER "," GZIP_LAYER), NULL },
	{ "a foreign layer that is here", ONE("c1.json", "\"a.tar\"", FOREIGN(URLS)),
		MANIFEST_1(PLAIN_LAYER), NULL },
	{ "a foreign layer that is not", ONE("c1.json", "\"none\"", FOREIGN(URLS)),
		MANIFEST_1(
			"{\"mediaType\":\"" DOCKER
			"image.rootfs.foreign.diff.tar.gzip\",\"size\":32,\"digest\":\"" GZIP_DIGEST
			"\",\"urls\":[\"https://example.com/l\"]}"),
		"elsewhere" },
	{ "a damaged tar claims its diff_id", ONE("c1.json", "\"junk\"", ""),
		MANIFEST_1(LAYER("diff.tar", "28", TAR_DIGEST)), "damaged" },
	{ "described, and from nowhere", ONE("c1.json", "\"none\"", FOREIGN("")), NULL,
		"layer 1 of 1: 'none' is not in the archive" },
	{ "no such layer", ONE("c1.json", "\"none\"", ""), NULL,
		"layer 1 of 1: 'none' is not in the archive" },
	{ "no such config", ONE("none", "\"a.tar\"", ""), NULL, "'none' is not in the archive" },
	{ "a directory for a layer", ONE("c1.json", "\"x\"", ""), NULL, "layer 1 of 1" },
	{ "more layers than diff_ids", ONE("c1.json", "\"a.tar\",\"a.tar\"", ""), NULL,
		"2 layers, the config has 1 diff_ids" },
	{ "fewer layers than diff_ids", ONE("c2.json", "\"a.tar\"", ""), NULL,
		"1 layers, the config has 2 diff_ids" },
	{ "a config that is none", ONE("a.tar", "\"a.tar\"", ""), NULL, "config" },
	{ "a layer outside", ONE("c1.json", "\"../a.tar\"", ""), NULL, "out of the archive" },
	{ "a config outside", ONE("x/../../c1.json", "\"a.tar\"", ""), NULL, "out of the archive" },
	{ "an empty name", ONE("c1.json", "\"\"", ""), NULL, "names no file" },
	{ "no config", "[{\"RepoTags\":[\"a:1\"],\"Layers\":[\"a.tar\"]}]", NULL, "no Config" },
	{ "layers of another type",
		"[{\"RepoTags\":[\"a:1\"],\"Config\":\"c1.json\",\"Layers\":{}}]", NULL,
		"'Layers'" },
	{ "a foreign layer without a digest",
		ONE("c1.json", "\"none\"",
			",\"LayerSources\":{\"" TAR_DIGEST "\":{\"urls\":[\"x\"],\"size\":1}}"),
		NULL, "LayerSources" },
	{ "a foreign layer for no diff_id",
		ONE("c1.json", "\"none\"", ",\"LayerSources\":{\"..\":{\"urls\":[\"x\"]}}"), NULL,
		"LayerSources" },
};

static void check_image(struct source *source, const char *text, size_t len)
{
	CLEANUP(image_release) struct image image = { 0 };

	assert_int_equal(image_parse(&image, DOCUMENT_SCHEMA2, text, len, NULL), 0);
	check_blob(source, &image.config);
	for (size_t i = 0; i < image.layer_count; i++)
		check_blob(source, &image.layers[i]);
}

static void check_failure(struct source *source, const char *error)
{
	CLEANUP(descriptor_release) struct descriptor found = { 0 };
	struct error err = { "" };

	assert_int_equal(source->ops->resolve(source, "a", "1", &found, NULL, &err), -EIO);
	if (!strstr(err.text, error))
		fail_msg("'%s' does not hold '%s'", err.text, error);
}

static void makes_manifests(void **state)
{
	const struct manifest_case *c = *state;
	struct source *source;
	struct place place;

	place_make(&place);
	put_files(&place, c->manifest_json);
	for (int as_tar = 0; as_tar < 2; as_tar++) {
		CLEANUP(freep) char *text = NULL;
		enum document_kind kind;
		size_t len;

		source = open_archive(place_open(&place, as_tar, &observer));
		if (c->manifest) {
			text = resolved(source, "a", "1", &len, &kind);
			assert_string_equal(text, c->manifest);
			assert_int_equal(kind, DOCUMENT_SCHEMA2);
		} else {
			check_failure(source, c->error);
		}
		if (!c->error)
			check_image(source, text, len);
		source_free(source);
	}
	place_drop(&place);
}

/* Nothing was resolved before: a remounted cache asks so. */
static void finds_by_digest(void **state)
{
	static const char second[] = MANIFEST_2(GZIP_LAYER "," PLAIN_LAYER);
	CLEANUP(freep) char *text = NULL;
	CLEANUP(readerp) struct reader *reader = NULL;
	struct digest digest = digest_text(GZIP_DIGEST), none = digest_text(EMPTY_DIGEST);
	struct source *source;
	enum document_kind kind;
	struct place place;
	struct buf body;
	size_t len;

	(void)state;
	place_make(&place);
	put_files(&place,
		"[" BROKEN("") "," IMAGE(TAGS(
			"\"a:1\"")) ",{\"Config\":\"c2.json\",\"Layers\":[\"a.tar.gz\",\"a.tar\"]}]");
	source = open_archive(place_open(&place, true, &observer));
	assert_int_equal(source->ops->open_reader(source, &digest, &reader, NULL, NULL), 0);
	assert_int_equal(reader->size, sizeof empty_gzip);
	source_free(source);

	source = open_archive(place_open(&place, false, &observer));
	assert_int_equal(digest_of(&digest, DIGEST_SHA256, second, strlen(second), NULL), 0);
	text = manifest_of(source, &digest, &len, &kind);
	assert_string_equal(text, second);
	buf_init(&body, DOCUMENT_MAX);
	assert_int_equal(
		source->ops->manifest(source, "", &none, &body, NULL, NULL, NULL), -ENOENT);
	assert_int_equal(source->ops->open_reader(source, &none, &reader, NULL, NULL), -ENOENT);
	buf_release(&body);
	source_free(source);
	place_drop(&place);
}

/* The name's winner is the later one. */
static void gives_the_last(void **state)
{
	CLEANUP(freep) char *text = NULL;
	struct source *source;
	enum document_kind kind;
	struct place place;
	size_t len;

	(void)state;
	place_make(&place);
	put_files(&place, "[" IMAGE(TAGS("\"a:1\"")) "," SECOND("\"a:1\"") "]");
	source = open_archive(place_open(&place, true, &observer));
	text = resolved(source, "a", "1", &len, &kind);
	assert_string_equal(text, MANIFEST_2(PLAIN_LAYER "," PLAIN_LAYER));
	source_free(source);
	place_drop(&place);
}

static void can_be_cancelled(void **state)
{
	CLEANUP(descriptor_release) struct descriptor found = { 0 };
	CLEANUP(readerp) struct reader *reader = NULL;
	struct digest digest = digest_text(GZIP_DIGEST);
	struct source *source;
	struct cancel cancel;
	struct place place;

	(void)state;
	place_make(&place);
	put_files(&place, ONE("c1.json", "\"a.tar.gz\"", ""));
	source = open_archive(place_open(&place, true, &observer));
	cancel_init(&cancel);
	cancel_set(&cancel);
	assert_int_equal(source->ops->resolve(source, "a", "1", &found, &cancel, NULL), -EINTR);
	assert_int_equal(source->ops->open_reader(source, &digest, &reader, &cancel, NULL), -EINTR);
	assert_int_equal(source->ops->resolve(source, "a", "1", &found, NULL, NULL), 0);
	cancel_release(&cancel);
	source_free(source);
	place_drop(&place);
}

static const struct refused_case {
	const char *name, *manifest_json;
	bool is; /* taken for an archive */
} refused_cases[] = {
	{ "an object", "{\"schemaVersion\":2}", false },
	{ "no JSON", "[", true },
	{ "a string", "\"null\"", false },
	{ "nearly null", "nullnull", true },
	{ "nothing", "", false },
};

static void refuses(void **state)
{
	const struct refused_case *c = *state;
	struct bundle *bundle;
	struct source *source;
	struct error err = { "" };
	struct place place;

	place_make(&place);
	put_files(&place, c->manifest_json);
	bundle = place_open(&place, true, &observer);
	assert_int_equal(docker_archive_is(bundle), c->is);
	assert_int_equal(docker_archive_open(&source, bundle, &observer, NULL, &err), -EIO);
	assert_non_null(strstr(err.text, "manifest.json"));
	place_drop(&place);
}

/* --- a layout beside it --- */

#define OCI "application/vnd.oci.image."
#define C1  "83656ea199d8d74b56ef7fe4a0bef9dd10aa412ec632f8ccdf3e0c903471c0a2"
#define ENTRY(digest, size)                                                                        \
	"{\"mediaType\":\"" OCI "manifest.v1+json\",\"digest\":\"" digest "\",\"size\":" size "}"
#define INDEX(entries)                                                                             \
	"{\"schemaVersion\":2,\"mediaType\":\"" OCI "index.v1+json\",\"manifests\":" entries "}"
#define OCI_MANIFEST(layers)                                                                       \
	"{\"schemaVersion\":2,\"mediaType\":\"" OCI "manifest.v1+json\",\"config\":{"              \
	"\"mediaType\":\"" OCI "config.v1+json\",\"digest\":\"sha256:" C1                          \
	"\",\"size\":151},\"layers\":[" layers "]}"
#define OCI_GZIP_LAYER                                                                             \
	"{\"mediaType\":\"" OCI "layer.v1.tar+gzip\",\"digest\":\"" GZIP_DIGEST "\",\"size\":32}"
#define OCI_LAYER(digest, size)                                                                    \
	"{\"mediaType\":\"" OCI "layer.v1.tar\",\"digest\":\"" digest "\",\"size\":" size "}"

static const struct layout_case {
	const char *name;
	const char *manifest; /* named by index.json, if idx is NULL */
	const char *idx;      /* index.json itself */
	bool is_nested;       /* an index lies between */
	bool has_no_version;  /* no oci-layout */
	bool prefers;
} layout_cases[] = {
	{ .name = "complete",
		.manifest = OCI_MANIFEST(OCI_LAYER(TAR_DIGEST, "1024")),
		.prefers = true },
	{ .name = "in an index beside an absent one",
		.is_nested = true,
		.manifest = OCI_MANIFEST(OCI_LAYER(TAR_DIGEST, "1024")),
		.prefers = true },
	{ .name = "without oci-layout",
		.has_no_version = true,
		.manifest = OCI_MANIFEST(OCI_LAYER(TAR_DIGEST, "1024")) },
	{ .name = "no layers", .manifest = OCI_MANIFEST("") },
	{ .name = "an absent layer", .manifest = OCI_MANIFEST(OCI_LAYER(EMPTY_DIGEST, "0")) },
	{ .name = "another plain layer", .manifest = OCI_MANIFEST(OCI_LAYER(GZIP_DIGEST, "32")) },
	{ .name = "a compressed layer", .manifest = OCI_MANIFEST(OCI_GZIP_LAYER), .prefers = true },
	{ .name = "a layer of another size", .manifest = OCI_MANIFEST(OCI_LAYER(TAR_DIGEST, "7")) },
	{ .name = "no JSON", .manifest = "{" },
	{ .name = "null manifests", .idx = INDEX("null") },
	{ .name = "no manifests", .idx = INDEX("[]") },
	{ .name = "an absent manifest", .idx = INDEX("[" ENTRY(EMPTY_DIGEST, "5") "]") },
	{ .name = "no index", .idx = "[]" },
};

static void put_blob(const struct place *place, const char *bytes, size_t len,
	char digest[static DIGEST_TEXT_MAX])
{
	char path[2 * DIGEST_TEXT_MAX], hex[DIGEST_HEX_MAX];
	struct digest found;

	assert_int_equal(digest_of(&found, DIGEST_SHA256, bytes, len, NULL), 0);
	(void)snprintf(path, sizeof path, "blobs/sha256/%s", digest_hex(&found, hex));
	place_put(place, path, bytes, len);
	(void)digest_format(&found, digest);
}

static void prefers_layouts(void **state)
{
	const struct layout_case *c = *state;
	char digest[DIGEST_TEXT_MAX], text[1024];
	struct bundle *bundle;
	struct place place;

	place_make(&place);
	put_files(&place, ONE("c1.json", "\"a.tar\"", ""));
	if (!c->has_no_version)
		place_put_text(&place, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
	put_blob(&place, CONFIG_1, strlen(CONFIG_1), digest);
	put_blob(&place, empty_tar, sizeof empty_tar, digest);
	put_blob(&place, (const char *)empty_gzip, sizeof empty_gzip, digest);
	if (c->manifest) {
		put_blob(&place, c->manifest, strlen(c->manifest), digest);
		(void)snprintf(text, sizeof text, INDEX("[" ENTRY("%s", "%zu") "%s]"), digest,
			strlen(c->manifest), c->is_nested ? "," ENTRY(EMPTY_DIGEST, "5") : "");
	}
	if (c->is_nested) {
		size_t len = strlen(text);

		put_blob(&place, text, len, digest);
		(void)snprintf(text, sizeof text,
			INDEX("[{\"mediaType\":\"" OCI
			      "index.v1+json\",\"digest\":\"%s\",\"size\":%zu}]"),
			digest, len);
	}
	place_put_text(&place, "index.json", c->idx ? c->idx : text);
	for (int as_tar = 0; as_tar < 2; as_tar++) {
		bundle = place_open(&place, as_tar, &observer);
		assert_int_equal(docker_archive_prefers_layout(bundle), c->prefers);
		bundle_free(bundle);
	}
	place_drop(&place);
}

/* --- without manifest.json --- */

enum { V1_PATH_MAX = 80 }; /* ID/layer.tar, and a NUL */

#define FOUR(digit)    digit digit digit digit
#define SIXTEEN(digit) FOUR(digit) FOUR(digit) FOUR(digit) FOUR(digit)
#define ID(digit)      SIXTEEN(digit) SIXTEEN(digit) SIXTEEN(digit) SIXTEEN(digit)
#define A              ID("a")
#define B              ID("b")
#define C              ID("c")
#define D              ID("d")

#define V1_BASE(id)          "{\"id\":\"" id "\",\"created\":\"1970-01-01T00:00:00Z\"}"
#define V1_CHILD(id, parent) "{\"id\":\"" id "\",\"parent\":\"" parent "\"}"

static const struct v1_case {
	const char *name;
	struct {
		const char *id, *json;
	} layers[4];
	const char *repositories_json;
	const char *repositories, *repository, *tags;
	size_t untagged;
	const char *tag, *ids; /* of its chain, base first: their first digits; or ... */
	int rc;
	const char *error;
} v1_cases[] = {
	{ "a chain", { { A, V1_BASE(A) }, { B, V1_CHILD(B, A) } }, "{\"app\":{\"1\":\"" B "\"}}",
		"app|", "app", "1|", 0, "1", "ab", 0, NULL },
	{ "a tag within a chain", { { A, V1_BASE(A) }, { B, V1_CHILD(B, A) } },
		"{\"app\":{\"1\":\"" A "\"}}", "|app|", "", "", 1, NULL, NULL, 0, NULL },
	{ "two tags of one image", { { A, V1_BASE(A) } },
		"{\"app\":{\"1\":\"" A "\",\"2\":\"" A "\"}}", "app|", "app", "1|2|", 0, "2", "a",
		0, NULL },
	{ "a port and a path", { { A, V1_BASE(A) } }, "{\"localhost:5000/a/b\":{\"1\":\"" A "\"}}",
		"localhost:5000/a/b|", "localhost:5000/a/b", "1|", 0, "1", "a", 0, NULL },
	{ "no repositories", { { A, V1_BASE(A) }, { B, V1_CHILD(B, A) }, { C, V1_BASE(C) } }, NULL,
		"|", "", "", 2, NULL, NULL, 0, NULL },
	{ "CR LF, tabs, a huge size",
		{ { A, "{\r\n\t\"id\":\t\"" A "\",\r\n\t\"Size\": 9223372036854775807,\r\n\t"
		       "\"parent\": \"\"\r\n}\r\n" } },
		"{\r\n\t\"app\":\t{\"1\":\"" A "\"}\r\n}\r\n", "app|", "app", "1|", 0, "1", "a", 0,
		NULL },
	{ "a loop leaves others alone",
		{ { A, V1_CHILD(A, B) }, { B, V1_CHILD(B, A) }, { C, V1_BASE(C) } },
		"{\"app\":{\"1\":\"" B "\"},\"b\":{\"1\":\"" C "\"}}", "app|b|", "app", "1|", 0,
		"1", NULL, -EIO, "loop" },
	{ "its own parent", { { A, V1_CHILD(A, A) } }, "{\"app\":{\"1\":\"" A "\"}}", "app|", "app",
		"1|", 0, "1", NULL, -EIO, "loop" },
	{ "into a loop", { { A, V1_CHILD(A, A) }, { B, V1_CHILD(B, A) } },
		"{\"app\":{\"1\":\"" B "\"}}", "app|", "app", "1|", 0, "1", NULL, -EIO, "loop" },
	{ "a missing parent", { { B, V1_CHILD(B, A) } }, "{\"app\":{\"1\":\"" B "\"}}", "app|",
		"app", "1|", 0, "1", NULL, -EIO, "aaaaaaaaaaaa is not in the archive" },
	{ "a missing parent leaves others alone", { { B, V1_CHILD(B, A) }, { C, V1_BASE(C) } },
		NULL, "|", "", "", 1, NULL, NULL, 0, NULL },
	{ "a tag of nothing", { { A, V1_BASE(A) } },
		"{\"app\":{\"1\":\"" A "\",\"2\":\"" B "\",\"3\":\"x\",\"4\":7}}", "app|", "app",
		"1|2|3|4|", 0, "2", NULL, -EIO, "is not in the archive" },
	{ "another id within", { { A, V1_BASE(B) } }, "{\"app\":{\"1\":\"" A "\"}}", "app|", "app",
		"1|", 0, "1", NULL, -EIO, "its id is" },
	{ "no id within", { { A, "{}" } }, "{\"app\":{\"1\":\"" A "\"}}", "app|", "app", "1|", 0,
		"1", NULL, -EIO, "its id is ''" },
	{ "a parent outside", { { A, V1_CHILD(A, "../../x") } }, "{\"app\":{\"1\":\"" A "\"}}",
		"app|", "app", "1|", 0, "1", NULL, -EIO, "its parent is" },
	{ "no JSON", { { A, "{" }, { B, V1_CHILD(B, A) } }, "{\"app\":{\"1\":\"" B "\"}}", "app|",
		"app", "1|", 0, "1", NULL, -EIO, "V1 image aaaaaaaaaaaa" },
	{ "a repository that is none", { { A, V1_BASE(A) } },
		"{\"b\":[],\"app\":{\"1\":\"" A "\"}}", "app|", "app", "1|", 0, "1", "a", 0, NULL },
};

static void put_v1(const struct place *place, const struct v1_case *c)
{
	char path[V1_PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(c->layers) && c->layers[i].id; i++) {
		(void)snprintf(path, sizeof path, "%s/json", c->layers[i].id);
		place_put_text(place, path, c->layers[i].json);
		(void)snprintf(path, sizeof path, "%s/layer.tar", c->layers[i].id);
		place_put(place, path, empty_tar, sizeof empty_tar);
		(void)snprintf(path, sizeof path, "%s/VERSION", c->layers[i].id);
		place_put_text(place, path, "1.0");
	}
	place_put_text(place, D "/README", "no image");
	if (c->repositories_json)
		place_put_text(place, "repositories", c->repositories_json);
}

static void check_chain(struct source *source, const struct v1_case *c)
{
	CLEANUP(freep) char *text = NULL;
	CLEANUP(image_release) struct image image = { 0 };
	enum document_kind kind;
	size_t len;

	text = resolved(source, c->repository, c->tag, &len, &kind);
	assert_int_equal(kind, DOCUMENT_V1);
	assert_int_equal(image_parse(&image, kind, text, len, NULL), 0);
	assert_int_equal(image.v1_count, strlen(c->ids));
	for (size_t i = 0; i < image.v1_count; i++)
		assert_int_equal(image.v1[i].id[0], c->ids[i]);
	assert_int_equal(image.layer_count, image.v1_count);
	assert_string_equal(image.layers[0].layer_id, image.v1[0].id);
}

static void reads_v1(void **state)
{
	const struct v1_case *c = *state;
	struct source *source;
	struct place place;

	place_make(&place);
	put_v1(&place, c);
	for (int as_tar = 0; as_tar < 2; as_tar++) {
		CLEANUP(descriptor_release) struct descriptor found = { 0 };
		struct error err = { "" };

		source = open_archive(place_open(&place, as_tar, &observer));
		assert_string_equal(source->makes_manifests_from, "V1 images of the archive");
		assert_string_equal(repositories(source), c->repositories);
		assert_string_equal(tags(source, c->repository), c->tags);
		assert_int_equal(untagged_count(source, c->repository), c->untagged);
		if (c->rc) {
			assert_int_equal(source->ops->resolve(
						 source, c->repository, c->tag, &found, NULL, &err),
				c->rc);
			if (!strstr(err.text, c->error))
				fail_msg("'%s' does not hold '%s'", err.text, c->error);
		} else if (c->ids) {
			check_chain(source, c);
		}
		source_free(source);
	}
	place_drop(&place);
}

/* --- ceilings --- */

static void put_chain(const struct place *place, size_t count, size_t padding)
{
	CLEANUP(freep) char *json = malloc(padding + 256);
	char path[V1_PATH_MAX];

	assert_non_null(json);
	for (size_t i = 0; i < count; i++) {
		int len = snprintf(json, 256, "{\"id\":\"%064zx\"", i);

		if (i)
			len += snprintf(
				json + len, 256 - (size_t)len, ",\"parent\":\"%064zx\"", i - 1);
		memset(json + len, ' ', padding);
		strcpy(json + (size_t)len + padding, "}");
		(void)snprintf(path, sizeof path, "%064zx/json", i);
		place_put_text(place, path, json);
	}
	(void)snprintf(json, 256, "{\"a\":{\"1\":\"%064zx\"}}", count - 1);
	place_put_text(place, "repositories", json);
}

static const struct ceiling_case {
	const char *name;
	size_t count, padding;
	const char *error;
} ceiling_cases[] = {
	{ "more layers than an image may have", IMAGE_LAYERS_MAX + 1, 0, "layers" },
	{ "more JSON than a document may hold", 5, (size_t)1 << 20, "json" },
};

static void minds_ceilings(void **state)
{
	const struct ceiling_case *c = *state;
	CLEANUP(descriptor_release) struct descriptor found = { 0 };
	struct error err = { "" };
	struct source *source;
	struct place place;

	place_make(&place);
	put_chain(&place, c->count, c->padding);
	source = open_archive(place_open(&place, false, &observer));
	assert_int_equal(source->ops->resolve(source, "a", "1", &found, NULL, &err), -EFBIG);
	assert_non_null(strstr(err.text, c->error));
	source_free(source);
	place_drop(&place);
}

static void minds_the_number_of_images(void **state)
{
	struct bundle *bundle;
	struct source *source;
	struct place place;
	struct buf text;

	(void)state;
	place_make(&place);
	buf_init(&text, DOCUMENT_MAX);
	for (int i = 0; i <= ARCHIVE_IMAGES_MAX; i++)
		assert_int_equal(buf_append_text(&text, i ? ",{}" : "[{}"), 0);
	assert_int_equal(buf_append_text(&text, "]"), 0);
	put_files(&place, text.data);
	buf_release(&text);
	bundle = place_open(&place, false, &observer);
	assert_int_equal(docker_archive_open(&source, bundle, &observer, NULL, NULL), -EFBIG);
	place_drop(&place);
}

/* --- V1 layers --- */

static const struct v1_layer_case {
	const char *name;
	size_t len; /* zeroes */
	const char *digest;
} v1_layer_cases[] = {
	{ "of 0 bytes", 0, EMPTY_DIGEST },
	/* head -c 512 /dev/zero | sha256sum */
	{ "of 512 bytes", 512,
		"sha256:076a27c79e5ace2a3d47f9dd2e83e4ff6ea8872b3c2218f66c92b89b55f36560" },
	{ "of 1024 bytes", 1024, TAR_DIGEST },
};

/* Until it was read to its end, nobody knows the digest. */
static void remembers_v1_layers(void **state)
{
	const struct v1_layer_case *c = *state;
	CLEANUP(readerp) struct reader *reader = NULL;
	struct digest digest = digest_text(c->digest);
	struct blob_stream *stream;
	struct source *source;
	struct place place;
	char bytes[300];
	size_t total = 0;
	ssize_t n;

	place_make(&place);
	place_put_text(&place, A "/json", V1_BASE(A));
	place_put_text(&place, B "/json", V1_CHILD(B, A));
	place_put(&place, A "/layer.tar", empty_tar, c->len);
	place_link(&place, B "/layer.tar", "../" A "/layer.tar");
	source = open_archive(place_open(&place, true, &observer));
	assert_int_equal(source->ops->open_reader(source, &digest, &reader, NULL, NULL), -ENOENT);
	assert_int_equal(source->ops->open_layer(source, "", B, &stream, NULL, NULL), 0);
	do {
		assert_int_equal(
			source->ops->open_reader(source, &digest, &reader, NULL, NULL), -ENOENT);
		n = stream->ops->read(stream, bytes, sizeof bytes, NULL);
		assert_true(n >= 0);
		total += (size_t)n;
	} while (n);
	assert_int_equal(stream->ops->read(stream, bytes, sizeof bytes, NULL), 0);
	stream->ops->free(stream);
	assert_int_equal(total, c->len);
	assert_int_equal(source->ops->open_reader(source, &digest, &reader, NULL, NULL), 0);
	assert_int_equal(reader->size, c->len);
	source_free(source);
	place_drop(&place);
}

static const struct no_layer_case {
	const char *name, *id;
	int rc;
} no_layer_cases[] = {
	{ "no layer.tar", A, -EIO },
	{ "no such image", B, -ENOENT },
	{ "no id", "../" A, -ENOENT },
	{ "nothing", "", -ENOENT },
};

static void has_no_layer(void **state)
{
	const struct no_layer_case *c = *state;
	struct blob_stream *stream;
	struct error err = { "" };
	struct source *source;
	struct place place;

	place_make(&place);
	place_put_text(&place, A "/json", V1_BASE(A));
	source = open_archive(place_open(&place, true, &observer));
	assert_int_equal(source->ops->open_layer(source, "", c->id, &stream, NULL, &err), c->rc);
	assert_true(*err.text);
	source_free(source);
	place_drop(&place);
}

static void knows_no_archive(void **state)
{
	struct bundle *bundle;
	struct place place;

	(void)state;
	place_make(&place);
	place_put_text(&place, "README", "nothing of the kind");
	place_put_text(&place, D "/README", "no image");
	bundle = place_open(&place, false, &observer);
	assert_false(docker_archive_is(bundle));
	assert_false(docker_archive_prefers_layout(bundle));
	bundle_free(bundle);
	place_drop(&place);
}

/* --- recorded archives --- */

#define TEST_IMAGE_1                                                                               \
	MANIFEST("330", "sha256:6e0b05049ed9c17d02e1a55e80d6599dbfcce7f4f4b022e3c673e685789c470e", \
		LAYER("diff.tar", "10240",                                                         \
			"sha256:8897395fd26dc44ad0e2a834335b33198cb41ac4d98dfddf58eced3853fa7b17"))

static const struct fixture_case {
	const char *file, *repositories, *repository, *tags;
	const char *manifest; /* of the last tag, or the only image; NULL: V1 */
} fixture_cases[] = {
	{ "basic.docker-archive.tar", "example.com/basic|", "example.com/basic", "1.0|",
		MANIFEST("1178",
			"sha256:9f2099cd2f40dd0bacc5b20d525c7964e99ee3935b7bcacd9db24e3b07954c77",
			LAYER("diff.tar", "10240",
				"sha256:"
				"4f9f4a31ed7bcbc321143ae321dd67cc5e9012cc8b943f0f725a82ae471ca605") "," LAYER("diff.tar",
				"10240",
				"sha256:"
				"a7a991656cbef869ad245f2ffeb227ac768bcfeddcf09406a4b870f0d2bd9c90") "," LAYER("diff.tar",
				"20480",
				"sha256:"
				"66eae4a9dcfdb00479f01b861bdf11a5ae21ec21684e6e1354216e94640d27f1")) },
	{ "test_image_1.tar", "bazel/v1/tarball|", "bazel/v1/tarball", "test_image_1|",
		TEST_IMAGE_1 },
	{ "test_link.tar", "bazel/v1/tarball|", "bazel/v1/tarball", "test_image_1|test_image_3|",
		MANIFEST("1475",
			"sha256:d4c9adacde69c3d92446e0484cea29493e9fd573cf0c8febfc700d80c46697a4",
			LAYER("diff.tar", "10240",
				"sha256:"
				"8897395fd26dc44ad0e2a834335b33198cb41ac4d98dfddf58eced3853fa7b17") "," LAYER("diff.tar",
				"2048",
				"sha256:"
				"6b617a2706576ed038acdc3aa668cac62010386a5a3d227d83aada32085c9f29")) },
	{ "hello-world-v25.tar", "|", "", "",
		MANIFEST("581",
			"sha256:ee301c921b8aadc002973b2e0c3da17d701dcd994b606769a7e6eaa100b81d44",
			LAYER("diff.tar", "10752",
				"sha256:"
				"12660636fe55438cc3ae7424da7ac56e845cdb52493ff9cf949c47a7f57f8b43")) },
	{ "legacy-no_manifest.tar", "bazel/v1/tarball|", "bazel/v1/tarball", "test_image|", NULL },
};

static struct bundle *open_fixture(const char *file)
{
	const char *root = getenv("IMGFS_FIXTURES");
	struct error err = { "" };
	struct bundle *bundle;
	char path[512];

	if (!root) {
		print_message("IMGFS_FIXTURES is not set\n");
		skip();
	}
	(void)snprintf(path, sizeof path, "%s/manifests/archives/%s", root, file);
	if (bundle_open(&bundle, path, NULL, &observer, NULL, &err))
		fail_msg("%s", err.text);
	return bundle;
}

static char *only_untagged(struct source *source, size_t *ret_len, enum document_kind *ret_kind)
{
	struct name_list list = { NULL, 0 };
	struct digest digest;

	assert_int_equal(source->ops->untagged(source, "", &list, NULL, NULL), 0);
	assert_int_equal(list.count, 1);
	digest = digest_text(list.names[0]);
	name_list_release(&list);
	return manifest_of(source, &digest, ret_len, ret_kind);
}

static void check_v1_layer(struct source *source)
{
	static const char id[] = "c47412cb682fcf4ae43f536a788069f78552f928a55eeb09ba1455e0f9a2306e";
	struct digest digest = digest_text(
		"sha256:fbec6100edacb7a6374f75545cfdfac2d83f74d0f5ed813645e4c3944c68c761");
	CLEANUP(readerp) struct reader *reader = NULL;
	struct blob_stream *stream;
	char bytes[4096];

	assert_int_equal(source->ops->open_layer(source, "", id, &stream, NULL, NULL), 0);
	while (stream->ops->read(stream, bytes, sizeof bytes, NULL) > 0)
		;
	stream->ops->free(stream);
	assert_int_equal(source->ops->open_reader(source, &digest, &reader, NULL, NULL), 0);
	assert_int_equal(reader->size, 10240);
}

static void reads_fixtures(void **state)
{
	const struct fixture_case *c = *state;
	CLEANUP(freep) char *text = NULL;
	struct bundle *bundle = open_fixture(c->file);
	struct source *source;
	enum document_kind kind;
	char tag[64] = "";
	size_t len;

	assert_false(docker_archive_prefers_layout(bundle));
	source = open_archive(bundle);
	assert_string_equal(repositories(source), c->repositories);
	assert_string_equal(tags(source, c->repository), c->tags);
	for (const char *p = c->tags; *p; p += strlen(tag) + 1)
		(void)snprintf(tag, sizeof tag, "%.*s", (int)strcspn(p, "|"), p);
	text = *tag ? resolved(source, c->repository, tag, &len, &kind)
		    : only_untagged(source, &len, &kind);
	if (c->manifest) {
		assert_string_equal(text, c->manifest);
		check_image(source, text, len);
	} else {
		assert_int_equal(kind, DOCUMENT_V1);
		check_v1_layer(source);
	}
	source_free(source);
}

int main(void)
{
	static const struct CMUnitTest singles[] = {
		cmocka_unit_test(finds_by_digest),
		cmocka_unit_test(gives_the_last),
		cmocka_unit_test(can_be_cancelled),
		cmocka_unit_test(knows_no_archive),
		cmocka_unit_test(minds_the_number_of_images),
	};
	struct CMUnitTest tests[ARRAY_SIZE(singles) + ARRAY_SIZE(names_cases) +
				ARRAY_SIZE(manifest_cases) + ARRAY_SIZE(refused_cases) +
				ARRAY_SIZE(layout_cases) + ARRAY_SIZE(v1_cases) +
				ARRAY_SIZE(v1_layer_cases) + ARRAY_SIZE(no_layer_cases) +
				ARRAY_SIZE(ceiling_cases) + ARRAY_SIZE(fixture_cases)];
	size_t count = 0;

#define ADD(cases, member, fn)                                                                     \
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)                                             \
	tests[count++] = (struct CMUnitTest){                                                      \
		.name = (cases)[i].member, .test_func = (fn), .initial_state = (void *)&(cases)[i] \
	}
	ADD(names_cases, name, lists_names);
	ADD(manifest_cases, name, makes_manifests);
	ADD(refused_cases, name, refuses);
	ADD(layout_cases, name, prefers_layouts);
	ADD(v1_cases, name, reads_v1);
	ADD(v1_layer_cases, name, remembers_v1_layers);
	ADD(no_layer_cases, name, has_no_layer);
	ADD(ceiling_cases, name, minds_ceilings);
	ADD(fixture_cases, file, reads_fixtures);
#undef ADD
	for (size_t i = 0; i < ARRAY_SIZE(singles); i++)
		tests[count++] = singles[i];
	return cmocka_run_group_tests_name("archive", tests, NULL, NULL);
}
