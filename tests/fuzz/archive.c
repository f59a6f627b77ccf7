/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts as the files of an archive, in a tar made here: whatever they say, every list can be
 * had and every image in it resolved or refused, what was resolved is found by its digest, and
 * as the same bytes.  The texts are separated by NULs; an empty one is no file.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/archive/archive.h"
#include "fetch/dir/dir.h"
#include "fetch/observer.h"
#include "model/buf.h"
#include "model/cleanup.h"
#include "model/image.h"

enum { BLOCK = 512, TAR_MAX = 8 << 20 };

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static const char *const names[] = {
	"manifest.json",
	"repositories",
	"c.json",
	"l.tar",
	A "/json",
	A "/layer.tar",
	B "/json",
	B "/layer.tar",
	"oci-layout",
	"index.json",
	"version",
};

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void no_log(struct observer *observer, enum log_level level, const char *text)
{
	(void)observer;
	(void)level;
	(void)text;
}

static struct observer observer = { .log = no_log };

/* --- the tar --- */

static void add_file(struct buf *tar, const char *name, const char *bytes, size_t len)
{
	static const char zeroes[BLOCK];
	char header[BLOCK] = "";
	unsigned sum = 0;

	(void)snprintf(header, 100, "%s", name);
	memcpy(header + 100, "0000644", 8);
	(void)snprintf(header + 124, 12, "%011zo", len);
	memset(header + 148, ' ', 8);
	header[156] = '0';
	memcpy(header + 257, "ustar\00000", 8);
	for (int i = 0; i < BLOCK; i++)
		sum += (unsigned char)header[i];
	(void)snprintf(header + 148, 8, "%06o", sum);
	(void)buf_append(tar, header, BLOCK); /* sticks: looked at by the caller */
	(void)buf_append(tar, bytes, len);
	(void)buf_append(tar, zeroes, -len % BLOCK);
}

static int make_tar(struct buf *tar, const char *bytes, size_t len)
{
	static const char end[2 * BLOCK];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		size_t used = strnlen(bytes, len);

		if (used)
			add_file(tar, names[i], bytes, used);
		bytes += used + (used < len);
		len -= used + (used < len);
	}
	return buf_append(tar, end, sizeof end);
}

struct memory {
	struct reader base;
	const char *bytes;
};

static int memory_read(
	struct reader *base, void *bytes, size_t len, uint64_t offset, struct error *err)
{
	(void)err;
	memcpy(bytes, container_of(base, struct memory, base)->bytes + offset, len);
	return 0;
}

static int memory_stat(struct reader *base, struct stat *ret, struct error *err)
{
	(void)base;
	(void)err;
	*ret = (struct stat){ .st_ino = 1 };
	return 0;
}

static void memory_free(struct reader *base)
{
	free(container_of(base, struct memory, base));
}

static const struct reader_ops memory_ops = { memory_read, memory_stat, memory_free };

static struct bundle *open_bundle(const struct buf *tar)
{
	struct memory *memory = calloc(1, sizeof *memory);
	struct bundle *bundle;

	must(memory);
	reader_init(&memory->base, &memory_ops, tar->len);
	memory->bytes = tar->data;
	must(!bundle_open_reader(&bundle, &memory->base, "tar", &observer, NULL, NULL));
	reader_unref(&memory->base);
	return bundle;
}

/* --- what is asked --- */

static void check_manifest(struct source *source, const struct digest *digest, bool is_of_bytes)
{
	struct digest found;
	struct buf body;

	buf_init(&body, DOCUMENT_MAX);
	must(!source->ops->manifest(source, "", digest, &body, NULL, NULL, NULL));
	must(!digest_of(&found, digest->algorithm, body.data, body.len, NULL));
	must(!is_of_bytes || digest_equal(digest, &found));
	buf_release(&body);
}

static void check_tag(struct source *source, const char *repository, const char *tag)
{
	struct descriptor found = { 0 };

	if (source->ops->resolve(source, repository, tag, &found, NULL, NULL))
		return;
	check_manifest(source, &found.digest, true);
	descriptor_release(&found);
}

static void check_repository(struct source *source, const char *repository)
{
	struct name_list list = { NULL, 0 };
	struct digest digest;

	must(!source->ops->tags(source, repository, &list, NULL, NULL));
	for (size_t i = 0; i < list.count; i++)
		check_tag(source, repository, list.names[i]);
	name_list_release(&list);
	must(!source->ops->untagged(source, repository, &list, NULL, NULL));
	for (size_t i = 0; i < list.count; i++) {
		must(!digest_parse(&digest, list.names[i], NULL));
		check_manifest(source, &digest, true);
	}
	name_list_release(&list);
}

static void check_layer(struct source *source, const char *id)
{
	struct blob_stream *stream;
	char piece[100];
	ssize_t n;

	if (source->ops->open_layer(source, "", id, &stream, NULL, NULL))
		return;
	while ((n = stream->ops->read(stream, piece, sizeof piece, NULL)) > 0)
		;
	must(!n);
	stream->ops->free(stream);
}

static void check_archive(const struct buf *tar)
{
	struct bundle *bundle = open_bundle(tar);
	struct name_list list = { NULL, 0 };
	struct source *source;

	(void)docker_archive_is(bundle);
	(void)docker_archive_prefers_layout(bundle);
	if (docker_archive_open(&source, bundle, &observer, NULL, NULL))
		return;
	must(!source->ops->repositories(source, &list, NULL, NULL));
	for (size_t i = 0; i < list.count; i++)
		check_repository(source, list.names[i]);
	name_list_release(&list);
	check_layer(source, A);
	check_layer(source, B);
	source_free(source);
}

static void check_dir(const struct buf *tar)
{
	struct bundle *bundle = open_bundle(tar);
	struct descriptor found = { 0 };
	struct source *source;

	(void)dir_is(bundle);
	if (dir_open(&source, bundle, &observer, NULL))
		return;
	must(!source->ops->resolve(source, "", "", &found, NULL, NULL));
	check_manifest(source, &found.digest, false); /* signed: of the payload */
	descriptor_release(&found);
	source_free(source);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct buf tar;

	buf_init(&tar, TAR_MAX);
	if (!make_tar(&tar, (const char *)bytes, len)) {
		check_archive(&tar);
		check_dir(&tar);
	}
	buf_release(&tar);
	return 0;
}
