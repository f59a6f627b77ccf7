/* SPDX-License-Identifier: Apache-2.0 */
/* OCI layouts, in directories and archives: names, strange files, changes behind our back. */
#include "fetch/layout/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "fetch/bundle/bundle.h"
#include "fetch/cancel.h"
#include "fetch/observer.h"
#include "fetch/reader.h"
#include "model/cleanup.h"
#include "model/image.h"
#include "tests/unit/names_text.h"

/* printf hello | sha256sum, and sha512sum; the empty one */
#define HELLO_HEX "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
#define HELLO_512_HEX                                                                              \
	"9b71d224bd62f3785d96d46ad3ea3d73319bfbc2890caadae2dff72519673ca7"                         \
	"2323c3d99ba5c11d7c7acc6e14b8c5da0c4663475c2e5c3adef46f73bcdec043"
#define EMPTY_HEX "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define HELLO     "sha256:" HELLO_HEX
#define EMPTY     "sha256:" EMPTY_HEX

static _Atomic unsigned warnings;

static void count_warning(struct observer *observer, enum log_level level, const char *text)
{
	(void)observer;
	(void)text;
	warnings += level <= LOG_LEVEL_WARNING;
}

static struct observer observer = { .log = count_warning };

/* --- layouts made here --- */

#define ENTRY(digest, annotations)                                                                 \
	"{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"" digest       \
	"\",\"size\":5,\"annotations\":{" annotations "}}"
#define REF(name)      "\"org.opencontainers.image.ref.name\":\"" name "\""
#define IMAGE(name)    "\"io.containerd.image.name\":\"" name "\""
#define INDEX(entries) "{\"schemaVersion\":2,\"manifests\":[" entries "]}"
#define VERSION        "{\"imageLayoutVersion\":\"1.0.0\"}"

struct place {
	char dir[64];
};

static void write_file(const struct place *place, const char *name, const char *text)
{
	char path[512];
	FILE *file;

	(void)snprintf(path, sizeof path, "%s/%s", place->dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	(void)fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static const char *in_place(const struct place *place, const char *name)
{
	static char path[512];

	(void)snprintf(path, sizeof path, "%s/%s", place->dir, name);
	return path;
}

static void make(struct place *place, const char *idx)
{
	strcpy(place->dir, "/tmp/imgfs-layout-XXXXXX");
	assert_non_null(mkdtemp(place->dir));
	assert_int_equal(mkdir(in_place(place, "blobs"), 0755), 0);
	assert_int_equal(mkdir(in_place(place, "blobs/sha256"), 0755), 0);
	assert_int_equal(mkdir(in_place(place, "blobs/sha512"), 0755), 0);
	write_file(place, "oci-layout", VERSION);
	write_file(place, "index.json", idx);
	write_file(place, "blobs/sha256/" HELLO_HEX, "hello");
	write_file(place, "blobs/sha512/" HELLO_512_HEX, "hello");
}

/* The layout in a tar, beside it. */
static const char *archive(const struct place *place)
{
	char command[512];

	(void)snprintf(command, sizeof command,
		"cd %s && tar -cf archive.tar ./oci-layout ./blobs ./index.json", place->dir);
	assert_int_equal(system(command), 0);
	return in_place(place, "archive.tar");
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static void drop(struct place *place)
{
	(void)nftw(place->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int try_layout(struct source **ret, const char *path, struct error *err)
{
	struct bundle *bundle;
	int rc = bundle_open(&bundle, path, NULL, &observer, NULL, err);

	return rc ? rc : layout_open(ret, bundle, &observer, err);
}

static bool is_layout(const char *path)
{
	CLEANUP(bundlep) struct bundle *bundle = NULL;

	return !bundle_open(&bundle, path, NULL, &observer, NULL, NULL) && layout_is(bundle);
}

static struct source *open_layout(const char *path)
{
	struct error err = { "" };
	struct source *source;

	if (try_layout(&source, path, &err))
		fail_msg("%s", err.text);
	assert_true(source->is_local);
	return source;
}

static struct digest digest_text(const char *text)
{
	struct digest digest;

	assert_int_equal(digest_parse(&digest, text, NULL), 0);
	return digest;
}

static const char *untagged(struct source *source, const char *repository)
{
	struct name_list list = { NULL, 0 };

	return joined(source->ops->untagged(source, repository, &list, NULL, NULL), &list);
}

/* --- names --- */

static const struct names_case {
	const char *name, *idx;
	const char *repositories, *repository, *tags, *untagged;
	bool is_single;
} names_cases[] = {
	{ "a plain tag", INDEX(ENTRY(HELLO, REF("latest"))), "|", "", "latest|", "", true },
	{ "no entry", INDEX(""), "", "", "", "", true },
	{ "a null list", "{\"schemaVersion\":2,\"manifests\":null}", "", "", "", "", true },
	{ "a repository and a tag", INDEX(ENTRY(HELLO, REF("app:1.0"))), "app|", "app", "1.0|", "",
		false },
	{ "a host stays in front", INDEX(ENTRY(HELLO, REF("registry.example:5000/a/b:1"))),
		"registry.example:5000/a/b|", "registry.example:5000/a/b", "1|", "", false },
	{ "a digest behind a tag", INDEX(ENTRY(HELLO, REF("a/b:1@" HELLO))), "a/b|", "a/b", "1|",
		"", false },
	{ "no tag", INDEX(ENTRY(HELLO, REF("a/b"))), "a/b|", "a/b", "latest|", "", false },
	{ "containerd's name goes before", INDEX(ENTRY(HELLO, REF("1") "," IMAGE("docker.io/x:2"))),
		"docker.io/x|", "docker.io/x", "2|", "", false },
	{ "containerd's name without a tag", INDEX(ENTRY(HELLO, REF("1") "," IMAGE("docker.io/x"))),
		"docker.io/x|", "docker.io/x", "1|", "", false },
	{ "no name", INDEX(ENTRY(HELLO, "")), "|", "", "", HELLO "|", true },
	{ "an empty name is none", INDEX(ENTRY(HELLO, REF(""))), "|", "", "", HELLO "|", true },
	{ "a NUL in a name is none", INDEX(ENTRY(HELLO, REF("a\\u0000b"))), "|", "", "", HELLO "|",
		true },
	{ "names that could not be files are listed as they are",
		INDEX(ENTRY(HELLO, REF("..")) "," ENTRY(HELLO, REF("a\\nb"))), "|", "", "..|a\nb|",
		"", true },
	{ "no repository in front of a colon", INDEX(ENTRY(HELLO, REF(":1"))), "|", "", ":1|", "",
		true },
	{ "no tag behind a colon", INDEX(ENTRY(HELLO, REF("a:"))), "|", "", "a:|", "", true },
	{ "empty components make no repository", INDEX(ENTRY(HELLO, REF("/a//b:1"))), "|", "",
		"/a//b:1|", "", true },
	{ "of one name the first wins", INDEX(ENTRY(HELLO, REF("a")) "," ENTRY(EMPTY, REF("a"))),
		"|", "", "a|", EMPTY "|", true },
	{ "the same twice is one", INDEX(ENTRY(HELLO, REF("a")) "," ENTRY(HELLO, REF("a"))), "|",
		"", "a|", "", true },
	{ "sha512", INDEX(ENTRY("sha512:" HELLO_512_HEX, REF("a"))), "|", "", "a|", "", true },
	{ "a bad digest takes no other with it",
		INDEX(ENTRY("sha256:XX/../..", REF("bad")) "," ENTRY(HELLO, REF("good"))), "|", "",
		"good|", "", true },
	{ "an unknown algorithm takes no other with it",
		INDEX(ENTRY("blake3:" HELLO_HEX, REF("bad")) "," ENTRY(HELLO, REF("good"))), "|",
		"", "good|", "", true },
	{ "an entry that is none takes no other with it", INDEX("7," ENTRY(HELLO, REF("good"))),
		"|", "", "good|", "", true },
	{ "an unknown repository", INDEX(ENTRY(HELLO, REF("a/b:1"))), "a/b|", "a", "ENOENT",
		"ENOENT", false },
};

static void names_row(void **state)
{
	const struct names_case *c = *state;
	struct place place;

	make(&place, c->idx);
	for (int i = 0; i < 2; i++) {
		struct source *source = open_layout(i ? archive(&place) : place.dir);

		assert_int_equal(source->is_single_repository, c->is_single);
		assert_string_equal(repositories(source), c->repositories);
		assert_string_equal(tags(source, c->repository), c->tags);
		assert_string_equal(untagged(source, c->repository), c->untagged);
		source_free(source);
	}
	drop(&place);
}

/* --- what is no layout --- */

static const struct broken_case {
	const char *name, *version, *idx;
	int rc;
} broken_cases[] = {
	{ "a version to come", "{\"imageLayoutVersion\":\"2.0.0\"}", INDEX(""), -EOPNOTSUPP },
	{ "a version 10", "{\"imageLayoutVersion\":\"10.0\"}", INDEX(""), -EOPNOTSUPP },
	{ "a later minor version", "{\"imageLayoutVersion\":\"1.1.0\",\"x\":1}", INDEX(""), 0 },
	{ "no version", "{}", INDEX(""), -EIO },
	{ "a version that is a number", "{\"imageLayoutVersion\":1}", INDEX(""), -EIO },
	{ "an array for a version", "[]", INDEX(""), -EIO },
	{ "an empty oci-layout", "", INDEX(""), -EIO },
	{ "an empty index", VERSION, "", -EIO },
	{ "an index cut off", VERSION, "{\"schemaVersion\":2,\"manifests\":[", -EIO },
	{ "an index of nothing", VERSION, "{}", -EIO },
	{ "a manifest for an index", VERSION, "{\"schemaVersion\":2,\"config\":{},\"layers\":[]}",
		-EIO },
	{ "an index that is a manifest as well", VERSION,
		"{\"schemaVersion\":2,\"manifests\":[],\"layers\":[]}", -EIO },
	{ "a list that is none", VERSION, "{\"schemaVersion\":2,\"manifests\":{}}", -EIO },
};

static void broken_row(void **state)
{
	const struct broken_case *c = *state;
	struct place place;

	make(&place, c->idx);
	write_file(&place, "oci-layout", c->version);
	for (int i = 0; i < 2; i++) {
		const char *path = i ? archive(&place) : place.dir;
		struct source *source = NULL;
		struct error err = { "" };

		assert_true(is_layout(path));
		assert_int_equal(try_layout(&source, path, &err), c->rc);
		if (c->rc && !strstr(err.text, path))
			fail_msg("'%s' does not name the layout", err.text);
		source_free(source);
	}
	drop(&place);
}

static void fifo(const char *path)
{
	assert_int_equal(mkfifo(path, 0600), 0);
}
static void directory(const char *path)
{
	assert_int_equal(mkdir(path, 0700), 0);
}
static void escaping_link(const char *path)
{
	assert_int_equal(symlink("/etc/passwd", path), 0);
}
static void dangling_link(const char *path)
{
	assert_int_equal(symlink("nowhere", path), 0);
}
static void nothing(const char *path)
{
	(void)path;
}
static void huge(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY, 0600);

	assert_int_equal(ftruncate(fd, 2 * DOCUMENT_MAX + 1), 0);
	(void)close(fd);
}

/* What may lie in the place of index.json, of oci-layout, of a blob. */
static const struct file_case {
	const char *name;
	void (*put)(const char *path);
	int idx_rc, version_rc, blob_rc;
} file_cases[] = {
	{ "a FIFO does not block", fifo, -EIO, -EIO, -EIO },
	{ "a directory", directory, -EIO, -EIO, -EIO },
	{ "a link out of the layout", escaping_link, -EIO, -EIO, -EIO },
	{ "a dangling link", dangling_link, -EIO, -EIO, -EIO },
	{ "nothing", nothing, -EIO, -ENOENT, -ENOENT },
	{ "too many bytes for a document", huge, -EFBIG, -EFBIG, -EFBIG },
};

static int read_manifest(struct source *source, const char *digest, char **ret_type)
{
	CLEANUP(buf_release) struct buf body = { .max = DOCUMENT_MAX };
	struct digest parsed = digest_text(digest);
	int rc = source->ops->manifest(source, "", &parsed, &body, ret_type, NULL, NULL);

	if (!rc)
		assert_string_equal(body.data, "hello");
	return rc;
}

static void file_row(void **state)
{
	const struct file_case *c = *state;
	const struct {
		const char *path;
		int rc;
	} documents[] = { { "index.json", c->idx_rc }, { "oci-layout", c->version_rc } };
	struct source *source = NULL;
	struct place place;

	for (size_t i = 0; i < ARRAY_SIZE(documents); i++) {
		make(&place, INDEX(ENTRY(HELLO, REF("a"))));
		assert_int_equal(unlink(in_place(&place, documents[i].path)), 0);
		c->put(in_place(&place, documents[i].path));
		assert_int_equal(try_layout(&source, place.dir, NULL), documents[i].rc);
		drop(&place);
	}
	make(&place, INDEX(ENTRY(HELLO, REF("a"))));
	source = open_layout(place.dir);
	assert_int_equal(read_manifest(source, HELLO, NULL), 0);
	assert_int_equal(unlink(in_place(&place, "blobs/sha256/" HELLO_HEX)), 0);
	c->put(in_place(&place, "blobs/sha256/" HELLO_HEX));
	assert_int_equal(read_manifest(source, HELLO, NULL), c->blob_rc);
	if (c->blob_rc != -EFBIG) { /* a layer may be as large as it likes */
		struct digest digest = digest_text(HELLO);
		struct reader *blob = NULL;

		assert_int_equal(
			source->ops->open_reader(source, &digest, &blob, NULL, NULL), c->blob_rc);
		reader_unref(blob);
	}
	source_free(source);
	drop(&place);
}

/* A directory of the layout is "moved", and a link in its place. */
static const struct link_case {
	const char *name, *directory, *target;
	int rc;
} link_cases[] = {
	{ "an absolute link for blobs", "blobs", "/tmp", -EIO },
	{ "an absolute link for an algorithm", "blobs/sha256", "/tmp", -EIO },
	{ "a link that leads out and back", "blobs", "../../tmp/moved", -EIO },
	{ "a dangling link for blobs", "blobs", "nowhere", -EIO },
	{ "a link inside the layout for blobs", "blobs", "moved", 0 },
	{ "a link inside the layout for an algorithm", "blobs/sha256", "../moved", 0 },
};

static void link_row(void **state)
{
	const struct link_case *c = *state;
	struct digest digest = digest_text(HELLO);
	CLEANUP(readerp) struct reader *blob = NULL;
	struct source *source;
	struct place place;
	char moved[512];

	make(&place, INDEX(""));
	(void)snprintf(moved, sizeof moved, "%s/moved", place.dir);
	assert_int_equal(rename(in_place(&place, c->directory), moved), 0);
	assert_int_equal(symlink(c->target, in_place(&place, c->directory)), 0);
	source = open_layout(place.dir);
	assert_int_equal(source->ops->open_reader(source, &digest, &blob, NULL, NULL), c->rc);
	source_free(source);
	drop(&place);
}

static void what_is_a_layout(void **state)
{
	struct place place;

	(void)state;
	make(&place, INDEX(""));
	assert_true(is_layout(place.dir));
	assert_true(is_layout(archive(&place)));
	assert_false(is_layout(in_place(&place, "blobs")));
	assert_false(is_layout(in_place(&place, "index.json")));
	assert_false(is_layout(in_place(&place, "nothing")));
	drop(&place);
}

/* --- reading --- */

static void a_changed_index_is_read_again(void **state)
{
	struct source *source;
	struct place place;
	struct error err = { "" };
	struct name_list list = { NULL, 0 };

	(void)state;
	make(&place, INDEX(ENTRY(HELLO, REF("a"))));
	source = open_layout(place.dir);
	assert_string_equal(tags(source, ""), "a|");
	write_file(&place, "index.json", INDEX(ENTRY(HELLO, REF("b"))));
	assert_string_equal(tags(source, ""), "b|");
	/* It stays what it was mounted as: full names are then plain ones. */
	write_file(
		&place, "index.json", INDEX(ENTRY(HELLO, REF("b")) "," ENTRY(HELLO, REF("c/d:1"))));
	assert_true(source->is_single_repository);
	assert_string_equal(tags(source, ""), "b|c/d:1|");
	/* A writer at work is no empty layout. */
	assert_int_equal(unlink(in_place(&place, "index.json")), 0);
	assert_int_equal(source->ops->tags(source, "", &list, NULL, &err), -EIO);
	write_file(&place, "index.json", INDEX(ENTRY(HELLO, REF("e"))));
	assert_string_equal(tags(source, ""), "e|");
	source_free(source);
	drop(&place);
}

static void tags_are_resolved(void **state)
{
	CLEANUP(descriptor_release) struct descriptor found = { 0 };
	CLEANUP(freep) char *type = NULL;
	struct source *source;
	struct place place;
	struct digest want = digest_text(HELLO);

	(void)state;
	make(&place, INDEX(ENTRY(HELLO, REF("a")) "," ENTRY(EMPTY, REF("a"))));
	source = open_layout(place.dir);
	assert_int_equal(source->ops->resolve(source, "", "a", &found, NULL, NULL), 0);
	assert_true(digest_equal(&found.digest, &want));
	assert_int_equal(found.size, 5);
	assert_string_equal(found.media_type, "application/vnd.oci.image.manifest.v1+json");
	assert_int_equal(source->ops->resolve(source, "", "b", &found, NULL, NULL), -ENOENT);
	assert_int_equal(source->ops->resolve(source, "x", "a", &found, NULL, NULL), -ENOENT);
	assert_int_equal(read_manifest(source, HELLO, &type), 0);
	assert_string_equal(type, "application/vnd.oci.image.manifest.v1+json");
	free(type);
	type = (char *)"untouched";
	assert_int_equal(read_manifest(source, "sha512:" HELLO_512_HEX, &type), 0);
	assert_null(type); /* not listed: nothing is said of it */
	assert_int_equal(read_manifest(source, EMPTY, NULL), -ENOENT);
	assert_int_equal(source->ops->probe(source, NULL, NULL, NULL), 0);
	assert_int_equal(source->ops->probe(source, "", NULL, NULL), 0);
	assert_int_equal(source->ops->probe(source, "x", NULL, NULL), -ENOENT);
	assert_string_equal(source->ops->identity(source), "");
	source_free(source);
	drop(&place);
}

static void blobs_are_streamed(void **state)
{
	struct descriptor blob = { .digest = digest_text(HELLO), .size = 5 };
	struct blob_stream *stream;
	struct cancel cancel;
	struct source *source;
	struct place place;
	uint64_t offset = 0;
	char bytes[8];

	(void)state;
	make(&place, INDEX(""));
	source = open_layout(place.dir);
	cancel_init(&cancel);
	assert_int_equal(
		source->ops->open_blob(source, "", &blob, 2, &stream, &offset, &cancel, NULL), 0);
	assert_int_equal(offset, 2);
	assert_int_equal(stream->ops->read(stream, bytes, sizeof bytes, NULL), 3);
	assert_memory_equal(bytes, "llo", 3);
	assert_int_equal(stream->ops->read(stream, bytes, sizeof bytes, NULL), 0);
	cancel_set(&cancel);
	assert_int_equal(stream->ops->read(stream, bytes, sizeof bytes, NULL), -EINTR);
	stream->ops->free(stream);
	cancel_release(&cancel);
	source_free(source);
	drop(&place);
}

static void an_archive_is_read_in_place(void **state)
{
	CLEANUP(readerp) struct reader *blob = NULL;
	struct digest digest = digest_text(HELLO);
	struct stat of_blob, of_archive;
	struct source *source;
	struct place place;
	const char *path;
	char bytes[8];

	(void)state;
	make(&place, INDEX(ENTRY(HELLO, REF("a"))));
	path = archive(&place);
	source = open_layout(path);
	assert_int_equal(read_manifest(source, HELLO, NULL), 0);
	assert_int_equal(read_manifest(source, EMPTY, NULL), -ENOENT);
	assert_int_equal(source->ops->open_reader(source, &digest, &blob, NULL, NULL), 0);
	assert_int_equal(reader_read(blob, bytes, sizeof bytes, 1, NULL), 4);
	assert_memory_equal(bytes, "ello", 4);
	assert_int_equal(reader_stat(blob, &of_blob, NULL), 0);
	assert_int_equal(stat(path, &of_archive), 0);
	assert_true(stat_is_same(&of_blob, &of_archive));
	source_free(source);
	drop(&place);
}

static void a_relative_path_stays_where_it_was(void **state)
{
	CLEANUP(closep) int before = open(".", O_RDONLY | O_DIRECTORY);
	struct source *source;
	struct place place;

	(void)state;
	make(&place, INDEX(ENTRY(HELLO, REF("a"))));
	assert_int_equal(chdir(place.dir), 0);
	source = open_layout(".");
	assert_int_equal(chdir("/"), 0);
	assert_string_equal(tags(source, ""), "a|");
	assert_int_equal(read_manifest(source, HELLO, NULL), 0);
	assert_int_equal(fchdir(before), 0);
	source_free(source);
	drop(&place);
}

/* --- fixtures --- */

#define NAMES_HEX "d82987ff5a1b38d753732fbf50a5ee3209bd523be68facd0c93ceeb38ecdb4e6"

static const struct fixture_case {
	const char *name, *layout;
	const char *repositories, *repository, *tags, *untagged;
	bool is_single;
} fixture_cases[] = {
	{ "fixture: plain names", "multi", "|", "", "multi|multi-noatt|", "", true },
	{ "fixture: all kinds of names", "names",
		"|a/b/c|docker.io/library/busybox|docker.io/library/names|example.com/other|", "",
		"nested|v1.0--rc+1_x@y|v2|", "sha256:" NAMES_HEX "|", false },
	{ "fixture: a full name", "names",
		"|a/b/c|docker.io/library/busybox|docker.io/library/names|example.com/other|",
		"docker.io/library/busybox", "1.36|", "", false },
	{ "fixture: a full name without a tag", "names",
		"|a/b/c|docker.io/library/busybox|docker.io/library/names|example.com/other|",
		"a/b/c", "latest|", "", false },
	{ "fixture: referrers by tag", "referrers", "|", "",
		"base|sha256-" NAMES_HEX "|standalone|", "", true },
	{ "fixture: strange types", "ggcr_test_index", "|", "", "1|2|3|4|", "", true },
};

static void fixture_row(void **state)
{
	const struct fixture_case *c = *state;
	const char *fixtures = getenv("IMGFS_FIXTURES");
	struct source *source;
	char path[1024];

	if (!fixtures) {
		print_message("# IMGFS_FIXTURES is not set\n");
		skip();
	}
	(void)snprintf(path, sizeof path, "%s/manifests/layouts/%s", fixtures, c->layout);
	source = open_layout(path);
	assert_int_equal(source->is_single_repository, c->is_single);
	assert_string_equal(repositories(source), c->repositories);
	assert_string_equal(tags(source, c->repository), c->tags);
	assert_string_equal(untagged(source, c->repository), c->untagged);
	source_free(source);
}

/* --- referrers --- */

#define X16(d)  d d d d d d d d d d d d d d d d
#define HEX(d)  X16(d) X16(d) X16(d) X16(d)
#define OCI(t)  "\"mediaType\":\"application/vnd.oci.image." t ".v1+json\""
#define TO(hex) ",\"subject\":{" OCI("manifest") ",\"digest\":\"sha256:" hex "\",\"size\":5}"
#define MANIFEST(more)                                                                             \
	"{\"schemaVersion\":2," OCI("manifest") ",\"config\":{\"mediaType\":\"config/type\","      \
						"\"digest\":\"" EMPTY                              \
						"\",\"size\":0},\"layers\":["                      \
						"]" more "}"
#define NESTED(entries, more)                                                                      \
	"{\"schemaVersion\":2," OCI("index") ",\"manifests\":[" entries "]" more "}"
#define CHILD(d, more)   "{" OCI("manifest") ",\"digest\":\"sha256:" HEX(d) "\",\"size\":5" more "}"
#define TYPE(text)       ",\"artifactType\":\"" text "\""
#define UNTYPED(d, name) "{\"digest\":\"sha256:" HEX(d) "\",\"size\":5,\"annotations\":{" name "}}"
#define SUBJECT          HEX("0")

/* Blobs are called by one digit each; whether that is their digest does not matter here. */
static const struct referrers_case {
	const char *name, *idx;
	const char *a, *b, *c; /* blobs */
	const char *found;     /* the digit and the artifact type of each */
} referrers_cases[] = {
	{ "referrers: none", INDEX(UNTYPED("a", REF("x"))), MANIFEST(""), NULL, NULL, "" },
	{ "referrers: of another one", INDEX(UNTYPED("a", REF("x"))), MANIFEST(TO(HEX("1"))), NULL,
		NULL, "" },
	{ "referrers: with and without a name", INDEX(UNTYPED("a", REF("x")) "," UNTYPED("b", "")),
		MANIFEST(TYPE("t/a") TO(SUBJECT)), MANIFEST(TO(SUBJECT)), NULL,
		"a t/a b config/type " },
	{ "referrers: in another repository",
		INDEX(UNTYPED("a", REF("h/x:1")) "," UNTYPED("b", REF("h/y:1"))),
		MANIFEST(TO(SUBJECT)), MANIFEST(""), NULL, "a config/type " },
	{ "referrers: an index, and in an index", INDEX(UNTYPED("a", REF("x"))),
		NESTED(CHILD("b", "") "," CHILD("c", ""), TYPE("t/i") TO(SUBJECT)),
		MANIFEST(TO(SUBJECT)), MANIFEST(""), "a t/i b config/type " },
	{ "referrers: an index that holds itself", INDEX(UNTYPED("a", REF("x"))),
		NESTED(CHILD("a", "") "," CHILD("b", ""), ""), MANIFEST(TO(SUBJECT)), NULL,
		"b config/type " },
	{ "referrers: by the fallback tag", INDEX(UNTYPED("a", REF("sha256-" SUBJECT))),
		NESTED(CHILD("b", TYPE("t/b")) "," CHILD("c", ""), ""), MANIFEST(""), NULL,
		"b t/b c - " },
	{ "referrers: the tag of another one", INDEX(UNTYPED("a", REF("sha256-" HEX("1")))),
		NESTED(CHILD("b", TYPE("t/b")), ""), MANIFEST(""), NULL, "" },
	{ "referrers: by the fallback tag of what another index holds, too",
		INDEX(UNTYPED("b", REF("x")) "," UNTYPED("a", REF("sha256-" SUBJECT))),
		NESTED(CHILD("c", TYPE("t/c")), ""), NESTED(CHILD("a", ""), ""), MANIFEST(""),
		"c t/c " },
	{ "referrers: named again by a wrong type",
		INDEX("{" OCI("index") ",\"digest\":\"sha256:" HEX("a") "\",\"size\":5}," UNTYPED(
			"a", REF("x"))),
		MANIFEST(TO(SUBJECT)), NULL, NULL, "a config/type " },
	{ "referrers: malformed ones take no other with them",
		INDEX(UNTYPED("a", "") "," UNTYPED("b", "") "," UNTYPED("c", "")),
		"{\"schemaVersion\":2," OCI("manifest") TO(SUBJECT) "}", "", MANIFEST(TO(SUBJECT)),
		"c config/type " },
	{ "referrers: the subject is none of its own", INDEX(UNTYPED("0", "")), NULL, NULL, NULL,
		"" },
};

/* What refers to the digest, as "DIGIT TYPE " for each. */
static const char *referrers_to(
	struct source *source, const struct digest *subject, struct cancel *cancel)
{
	static char text[1024];
	char found_hex[DIGEST_HEX_MAX];
	struct descriptor *found = NULL;
	struct error err = { "" };
	size_t count = 0, used = 0;
	int rc = source->ops->referrers(source, "", subject, &found, &count, cancel, &err);

	(void)snprintf(text, sizeof text, "%s", rc ? strerrorname_np(-rc) : "");
	for (size_t i = 0; i < count; i++)
		used += (size_t)snprintf(text + used, sizeof text - used, "%c %s ",
			digest_hex(&found[i].digest, found_hex)[0],
			found[i].artifact_type ? found[i].artifact_type : "-");
	descriptors_free(found, count);
	return text;
}

static const char *referrers(struct source *source, const char *hex)
{
	struct digest subject;

	assert_int_equal(digest_parse_parts(&subject, "sha256", hex, NULL), 0);
	return referrers_to(source, &subject, NULL);
}

static void referrers_row(void **state)
{
	const struct referrers_case *c = *state;
	struct source *source;
	struct place place;

	make(&place, c->idx);
	write_file(&place, "blobs/sha256/" SUBJECT, MANIFEST(TO(SUBJECT)));
	if (c->a)
		write_file(&place, "blobs/sha256/" HEX("a"), c->a);
	if (c->b)
		write_file(&place, "blobs/sha256/" HEX("b"), c->b);
	if (c->c)
		write_file(&place, "blobs/sha256/" HEX("c"), c->c);
	source = open_layout(place.dir);
	assert_string_equal(referrers(source, SUBJECT), c->found);
	source_free(source);
	drop(&place);
}

/* The tag has half the digits of such a subject. */
static void a_long_subject_by_the_fallback_tag(void **state)
{
	struct digest subject = digest_text("sha512:" HELLO_512_HEX);
	struct source *source;
	struct place place;

	(void)state;
	make(&place, INDEX(UNTYPED("a", REF("sha512-9b71d224bd62f3785d96d46ad3ea3d73"
					    "319bfbc2890caadae2dff72519673ca7"))));
	write_file(&place, "blobs/sha256/" HEX("a"), NESTED(CHILD("b", TYPE("t/b")), ""));
	source = open_layout(place.dir);
	assert_string_equal(referrers_to(source, &subject, NULL), "b t/b ");
	source_free(source);
	drop(&place);
}

/* Digests are numbers here. */
static const char *numbered(unsigned n)
{
	static char hex[64 + 1];

	(void)snprintf(hex, sizeof hex, "%064x", n);
	return hex;
}

static const char *numbered_blob(const struct place *place, unsigned n)
{
	char name[128];

	(void)snprintf(name, sizeof name, "blobs/sha256/%s", numbered(n));
	return in_place(place, name);
}

/* An index.json of the digests 0, 1, ... */
static void write_numbered_index(const struct place *place, unsigned count)
{
	FILE *file = fopen(in_place(place, "index.json"), "w");

	assert_non_null(file);
	(void)fputs("{\"schemaVersion\":2,\"manifests\":[", file);
	for (unsigned n = 0; n < count; n++)
		(void)fprintf(
			file, "%s{\"digest\":\"sha256:%s\",\"size\":5}", n ? "," : "", numbered(n));
	(void)fputs("]}", file);
	assert_int_equal(fclose(file), 0);
}

/* A manifest whose subject is another number; its type tells which. */
static void write_numbered(const struct place *place, unsigned n, unsigned subject)
{
	FILE *file = fopen(numbered_blob(place, n), "w");

	assert_non_null(file);
	(void)fprintf(file,
		"{\"schemaVersion\":2," OCI(
			"manifest") ",\"artifactType\":\"t/%u\","
				    "\"config\":{\"mediaType\":\"config/type\",\"digest\":\"" EMPTY
				    "\",\"size\":0},"
				    "\"layers\":[],\"subject\":{" OCI(
					    "manifest") ",\"digest\":\"sha256:%s\","
							"\"size\":5}}",
		n, numbered(subject));
	assert_int_equal(fclose(file), 0);
}

enum { IMAGES = 200 };

/* Nothing is left to be read after the first question, until index.json changes. */
static void manifests_are_read_once(void **state)
{
	struct digest subject = digest_text("sha256:" HEX("0"));
	struct cancel cancel;
	struct source *source;
	struct place place;
	char want[32];

	(void)state;
	make(&place, INDEX(""));
	write_numbered_index(&place, IMAGES);
	for (unsigned n = 0; n < IMAGES; n++)
		write_numbered(&place, n, (n + 1) % IMAGES);
	source = open_layout(place.dir);
	cancel_init(&cancel);
	cancel_set(&cancel);
	assert_string_equal(referrers_to(source, &subject, &cancel), "EINTR");
	cancel_release(&cancel);
	assert_string_equal(referrers(source, numbered(0)), "0 t/199 ");
	for (unsigned n = 0; n < IMAGES; n++)
		assert_int_equal(unlink(numbered_blob(&place, n)), 0);
	for (unsigned n = 0; n < IMAGES; n++) {
		(void)snprintf(want, sizeof want, "0 t/%u ", (n + IMAGES - 1) % IMAGES);
		assert_string_equal(referrers(source, numbered(n)), want);
	}
	write_numbered_index(&place, IMAGES + 1);
	assert_string_equal(referrers(source, numbered(0)), "");
	source_free(source);
	drop(&place);
}

enum { LARGE = 65 }; /* documents of 4 MiB: one more than 256 MiB */

/* What was found before the ceiling counts; it is told once. */
static void bytes_read_are_bounded(void **state)
{
	struct source *source;
	struct place place;
	char first[512];

	(void)state;
	make(&place, INDEX(""));
	write_numbered_index(&place, LARGE + 2);
	write_numbered(&place, 0, 1000);
	(void)snprintf(first, sizeof first, "%s", numbered_blob(&place, 1));
	write_file(&place, "blobs/sha256/" HEX("f"), "");
	assert_int_equal(truncate(in_place(&place, "blobs/sha256/" HEX("f")), DOCUMENT_MAX), 0);
	assert_int_equal(rename(in_place(&place, "blobs/sha256/" HEX("f")), first), 0);
	for (unsigned n = 2; n <= LARGE; n++)
		assert_int_equal(link(first, numbered_blob(&place, n)), 0);
	write_numbered(&place, LARGE + 1, 1000);
	source = open_layout(place.dir);
	warnings = 0;
	for (int i = 0; i < 2; i++)
		assert_string_equal(referrers(source, numbered(1000)), "0 t/0 ");
	assert_int_equal(warnings, 1);
	source_free(source);
	drop(&place);
}

/* Written by other tools: one index by the fallback tag. */
static void fixture_referrers(void **state)
{
	const char *fixtures = getenv("IMGFS_FIXTURES");
	struct source *source;
	char path[1024];

	(void)state;
	if (!fixtures) {
		print_message("# IMGFS_FIXTURES is not set\n");
		skip();
	}
	(void)snprintf(path, sizeof path, "%s/manifests/layouts/referrers", fixtures);
	source = open_layout(path);
	assert_string_equal(referrers(source, NAMES_HEX),
		"0 application/vnd.example.nolayers 3 application/vnd.example.sbom.v1 "
		"c application/vnd.example.sig.v1 ");
	source_free(source);
}

#define ROWS(table, fn)                                                                            \
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)                                             \
		tests[n++] = (struct CMUnitTest)                                                   \
		{                                                                                  \
			.name = table[i].name, .test_func = fn, .initial_state = (void *)&table[i] \
		}

int main(void)
{
	static const struct CMUnitTest single[] = {
		cmocka_unit_test(what_is_a_layout),
		cmocka_unit_test(a_changed_index_is_read_again),
		cmocka_unit_test(tags_are_resolved),
		cmocka_unit_test(blobs_are_streamed),
		cmocka_unit_test(an_archive_is_read_in_place),
		cmocka_unit_test(a_relative_path_stays_where_it_was),
		cmocka_unit_test(a_long_subject_by_the_fallback_tag),
		cmocka_unit_test(manifests_are_read_once),
		cmocka_unit_test(bytes_read_are_bounded),
		cmocka_unit_test(fixture_referrers),
	};
	struct CMUnitTest tests[ARRAY_SIZE(single) + ARRAY_SIZE(names_cases) +
				ARRAY_SIZE(broken_cases) + ARRAY_SIZE(file_cases) +
				ARRAY_SIZE(link_cases) + ARRAY_SIZE(fixture_cases) +
				ARRAY_SIZE(referrers_cases)];
	size_t n = ARRAY_SIZE(single);

	memcpy(tests, single, sizeof single);
	ROWS(names_cases, names_row);
	ROWS(broken_cases, broken_row);
	ROWS(file_cases, file_row);
	ROWS(link_cases, link_row);
	ROWS(fixture_cases, fixture_row);
	ROWS(referrers_cases, referrers_row);
	return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
