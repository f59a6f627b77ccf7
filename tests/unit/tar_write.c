/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is written is read back by the parser, and by bsdtar, which knows nothing of us; a header
 * field by field is what POSIX.1-2017 pax says.
 */
#include "model/tar/write.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/cleanup.h"
#include "model/error.h"
#include "model/tar/tar.h"

CLEANUP_POINTER(tar_parser_freep, struct tar_parser, tar_parser_free)

enum { ARCHIVE_MAX = 64 << 10 };

#define TEN     "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static const struct write_case {
	const char *name, *path;
	uint64_t size;   /* of a file; of a directory 0 */
	size_t len;      /* of the headers */
	bool has_no_pax; /* ends at the header's own limits */
} write_cases[] = {
	{ "a file", "blobs/sha256/abc", 1234, 512, true },
	{ "an empty file", "oci-layout", 0, 512, true },
	{ "a directory", "blobs/", 0, 512, true },
	{ "a name of 100 bytes", HUNDRED, 1, 512, true },
	{ "a name of 101 bytes", HUNDRED "x", 1, 3 * 512, false },
	{ "a long name in a directory", "blobs/sha512/" HUNDRED, 1, 3 * 512, false },
	/* 1 + 2 digits, then 3: "NNN path=...\n" counts its own length. */
	{ "a record of 99 bytes less one digit", HUNDRED "yy", 1, 3 * 512, false },
	{ "a name of 600 bytes", HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED, 1, 4 * 512,
		false },
	{ "a long name of a directory", HUNDRED HUNDRED "/", 0, 3 * 512, false },
	{ "a size of 8 GiB less one", "layer.tar", (UINT64_C(8) << 30) - 1, 512, true },
	{ "a size of 8 GiB", "layer.tar", UINT64_C(8) << 30, 3 * 512, false },
	{ "a size near the greatest", "layer.tar", INT64_MAX - 8192, 3 * 512, false },
	{ "both", HUNDRED HUNDRED, UINT64_C(9) << 30, 3 * 512, false },
};

static bool is_directory(const struct write_case *c)
{
	return c->path[strlen(c->path) - 1] == '/';
}

static void write_it(struct buf *ret, const struct write_case *c)
{
	if (is_directory(c))
		assert_int_equal(tar_write_directory(ret, c->path), 0);
	else
		assert_int_equal(tar_write_file(ret, c->path, c->size), 0);
}

static int check_entry(void *context, const struct tar_entry *entry, struct error *err)
{
	const struct write_case *c = context;

	(void)err;
	assert_string_equal(entry->path, c->path);
	assert_int_equal(entry->type, is_directory(c) ? TAR_DIRECTORY : TAR_REGULAR);
	assert_int_equal(entry->mode, is_directory(c) ? 0755 : 0644);
	assert_int_equal(entry->uid, 0);
	assert_int_equal(entry->gid, 0);
	assert_int_equal(entry->mtime, 0);
	assert_int_equal(entry->mtime_nsec, 0);
	assert_int_equal(entry->size, c->size);
	assert_int_equal(entry->data_offset, c->len);
	assert_int_equal(entry->xattr_count, 0);
	return -ECANCELED; /* seen: the content need not follow */
}

static void parser_reads(void **state)
{
	const struct write_case *c = *state;
	CLEANUP(tar_parser_freep) struct tar_parser *parser = NULL;
	CLEANUP(buf_release) struct buf archive;
	struct error err = { 0 };

	buf_init(&archive, ARCHIVE_MAX);
	write_it(&archive, c);
	assert_int_equal(archive.len, c->len);
	assert_int_equal(archive.data[156], c->has_no_pax ? (is_directory(c) ? '5' : '0') : 'x');
	assert_int_equal(tar_parser_new(&parser, check_entry, (void *)c, &err), 0);
	assert_int_equal(tar_parser_feed(parser, archive.data, archive.len, &err), -ECANCELED);
}

/* --- by hand --- */

/* Offsets and spellings of POSIX.1-2017 pax, Table 4-14 and what follows it. */
static void a_header_field_by_field(void **state)
{
	CLEANUP(buf_release) struct buf archive;
	unsigned long sum = 0;
	const char *header;

	(void)state;
	buf_init(&archive, ARCHIVE_MAX);
	assert_int_equal(tar_write_file(&archive, "VERSION", 01234567), 0);
	header = archive.data;
	assert_memory_equal(header, "VERSION\0", 8);
	assert_memory_equal(header + 100, "0000644\0", 8);
	assert_memory_equal(header + 108, "0000000\0", 8);
	assert_memory_equal(header + 116, "0000000\0", 8);
	assert_memory_equal(header + 124, "00001234567\0", 12);
	assert_memory_equal(header + 136, "00000000000\0", 12);
	assert_int_equal(header[156], '0');
	assert_memory_equal(header + 257, "ustar\00000", 8);
	for (size_t i = 0; i < 512; i++)
		sum += i >= 148 && i < 156 ? ' ' : (unsigned char)header[i];
	assert_int_equal(strtoul(header + 148, NULL, 8), sum);
	assert_memory_equal(header + 154, "\0 ", 2);
}

static void padding(void **state)
{
	static const struct {
		uint64_t size;
		size_t len;
	} cases[] = { { 0, 0 }, { 1, 511 }, { 511, 1 }, { 512, 0 }, { 513, 511 },
		{ (UINT64_C(9) << 30) + 5, 507 } };
	CLEANUP(buf_release) struct buf archive;

	(void)state;
	buf_init(&archive, ARCHIVE_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		buf_clear(&archive);
		assert_int_equal(tar_write_padding(&archive, cases[i].size), 0);
		assert_int_equal(archive.len, cases[i].len);
		for (size_t k = 0; k < archive.len; k++)
			assert_int_equal(archive.data[k], 0);
	}
}

static void a_ceiling_is_a_failure(void **state)
{
	CLEANUP(buf_release) struct buf archive;

	(void)state;
	buf_init(&archive, 600);
	assert_int_equal(tar_write_file(&archive, "a", 1), 0);
	assert_int_equal(tar_write_file(&archive, HUNDRED HUNDRED, 1), -EFBIG);
	assert_int_equal(tar_write_end(&archive), -EFBIG);
	assert_int_equal(buf_status(&archive), -EFBIG);
}

static void run_bsdtar(const struct buf *archive, struct buf *text)
{
	char path[] = "/tmp/tar_write.XXXXXX";
	int fd = mkstemp(path);
	char command[128], piece[4096];
	FILE *pipe;
	size_t n;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, archive->data, archive->len), archive->len);
	close(fd);
	(void)snprintf(command, sizeof command, "TZ=UTC bsdtar -tvnf %s 2>&1", path);
	pipe = popen(command, "r");
	assert_non_null(pipe);
	while ((n = fread(piece, 1, sizeof piece, pipe)) > 0)
		buf_append(text, piece, n);
	n = (size_t)pclose(pipe);
	unlink(path);
	assert_int_equal(n, 0);
}

/* The members that fit into a small archive, one after the other. */
static void bsdtar_reads(void **state)
{
	CLEANUP(buf_release) struct buf archive, text;
	static const char filler[2048];

	(void)state;
	if (system("command -v bsdtar >/dev/null 2>&1"))
		skip();
	buf_init(&archive, ARCHIVE_MAX);
	buf_init(&text, ARCHIVE_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(write_cases); i++) {
		const struct write_case *c = &write_cases[i];

		if (c->size > sizeof filler)
			continue;
		write_it(&archive, c);
		buf_append(&archive, filler, (size_t)c->size);
		tar_write_padding(&archive, c->size);
	}
	assert_int_equal(tar_write_end(&archive), 0);
	run_bsdtar(&archive, &text);
	for (size_t i = 0; i < ARRAY_SIZE(write_cases); i++) {
		const struct write_case *c = &write_cases[i];
		CLEANUP(freep) char *line = NULL;

		if (c->size > sizeof filler)
			continue;
		assert_true(
			asprintf(&line, " %" PRIu64 " Jan  1  1970 %s\n", c->size, c->path) > 0);
		if (!strstr(text.data, line))
			fail_msg("no line '%s' in\n%s", line, text.data);
	}
}

static const struct CMUnitTest by_hand[] = {
	cmocka_unit_test(a_header_field_by_field),
	cmocka_unit_test(padding),
	cmocka_unit_test(a_ceiling_is_a_failure),
	cmocka_unit_test(bsdtar_reads),
};

int main(void)
{
	static struct CMUnitTest tests[ARRAY_SIZE(write_cases) + ARRAY_SIZE(by_hand)];
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(write_cases); i++)
		tests[count++] = (struct CMUnitTest){ .name = write_cases[i].name,
			.test_func = parser_reads,
			.initial_state = (void *)&write_cases[i] };
	for (size_t i = 0; i < ARRAY_SIZE(by_hand); i++)
		tests[count++] = by_hand[i];
	return _cmocka_run_group_tests("tar_write", tests, count, NULL, NULL);
}
