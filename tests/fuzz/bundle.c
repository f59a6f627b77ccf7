/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes as an archive: whatever they are, it opens or is refused; every name that a list gives
 * is a file, a directory or a link to be refused; and what a file holds lies in the archive.
 *
 * A block with the magic of a header gets a right checksum first: mutation
 * would hardly ever come past a wrong one.
 */
#include "fetch/bundle/bundle.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fetch/observer.h"
#include "model/buf.h"
#include "model/cleanup.h"
#include "model/media_type.h"
#include "model/tar/tar.h"

enum {
	LEN_MAX = 1 << 20,
	NAMES_MAX = 300, /* looked at: lists of lists would take for ever */
	READ_MAX = 64 << 10,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void ignore(struct observer *observer, enum log_level level, const char *text)
{
	(void)observer;
	(void)level;
	(void)text;
}

static struct observer observer = { .log = ignore };

static bool is_error(int rc)
{
	return rc == -EIO || rc == -ENOENT || rc == -EFBIG || rc == -EOPNOTSUPP || rc == -EBADMSG;
}

/* What is in a plain archive is there in the bytes. */
static void read_all(struct reader *reader, const uint8_t *tar, size_t tar_len, bool is_plain)
{
	char bytes[4096];
	uint64_t offset = 0;
	ssize_t n;

	must(!is_plain || reader->size <= tar_len);
	while (offset < READ_MAX &&
		(n = reader_read(reader, bytes, sizeof bytes, offset, NULL)) > 0) {
		must(!is_plain || memmem(tar, tar_len, bytes, (size_t)n));
		offset += (uint64_t)n;
	}
	must(offset >= READ_MAX || offset == reader->size || !is_plain);
}

struct look {
	struct bundle *bundle;
	const uint8_t *tar;
	size_t tar_len;
	bool is_plain;
	unsigned names;
};

static void look_at(struct look *look, const char *path);

static void look_into(struct look *look, const char *directory)
{
	struct name_list list = { NULL, 0 };
	int rc = bundle_list(look->bundle, directory, &list, NULL);

	must(!rc || is_error(rc));
	for (size_t i = 0; i < list.count && look->names < NAMES_MAX; i++) {
		CLEANUP(freep) char *path = NULL;

		must(*list.names[i] && !strchr(list.names[i], '/'));
		must(i == 0 || strcmp(list.names[i - 1], list.names[i]) < 0);
		must(asprintf(&path, "%s%s%s", directory, *directory ? "/" : "", list.names[i]) >
			0);
		look_at(look, path);
	}
	name_list_release(&list);
}

static void look_at(struct look *look, const char *path)
{
	CLEANUP(readerp) struct reader *reader = NULL;
	int rc;

	look->names++;
	rc = bundle_file(look->bundle, path, &reader, NULL);
	must(!rc || rc == -EIO); /* it was listed */
	if (rc)
		look_into(look, path);
	else
		read_all(reader, look->tar, look->tar_len, look->is_plain);
}

/* POSIX.1-2017 pax: magic at 257, checksum at 148, summed as blanks. */
static void put_checksum(uint8_t block[TAR_BLOCK])
{
	char text[8];
	unsigned sum = 0;

	memset(block + 148, ' ', sizeof text);
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += block[i];
	(void)snprintf(text, sizeof text, "%06o", sum);
	memcpy(block + 148, text, sizeof text - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(bundlep) struct bundle *bundle = NULL;
	CLEANUP(readerp) struct reader *archive = NULL;
	CLEANUP(freep) uint8_t *tar = malloc(size + 1);
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	struct look look = { .tar = tar, .tar_len = size };
	int rc;

	must(tar && fd >= 0);
	if (size > LEN_MAX)
		size = LEN_MAX;
	memcpy(tar, data, size);
	for (size_t at = 0; size - at >= TAR_BLOCK; at += TAR_BLOCK)
		if (memcmp(tar + at + 257, "ustar", 5) == 0)
			put_checksum(tar + at);
	must(write(fd, tar, size) == (ssize_t)size);
	must(reader_of_fd(&archive, fd, NULL) == 0);
	rc = bundle_open_reader(&bundle, archive, "fuzz", &observer, NULL, NULL);
	must(!rc || is_error(rc));
	if (rc)
		return 0;
	look.bundle = bundle;
	look.is_plain =
		media_coding_sniff(tar, size < TAR_BLOCK ? size : TAR_BLOCK) == CODING_PLAIN;
	look_into(&look, "");
	return 0;
}
