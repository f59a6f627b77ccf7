/* SPDX-License-Identifier: Apache-2.0 */
/* Readers: files, sections of them, streams over both. */
#include "fetch/reader.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "fetch/cancel.h"
#include "fetch/source.h"
#include "model/buf.h"
#include "model/cleanup.h"

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz";

/* Of the alphabet; *ret_fd is borrowed. */
static struct reader *alphabet_reader(int *ret_fd)
{
	int fd = memfd_create("reader", MFD_CLOEXEC);
	struct reader *reader = NULL;

	assert_int_equal(write(fd, alphabet, 26), 26);
	assert_int_equal(reader_of_fd(&reader, fd, NULL), 0);
	*ret_fd = fd;
	return reader;
}

static const struct read_case {
	const char *name;
	uint64_t offset;
	size_t len;
	const char *text;
} read_cases[] = {
	{ "all of it", 0, 26, alphabet },
	{ "the middle", 2, 3, "cde" },
	{ "more than there is", 24, 100, "yz" },
	{ "the end", 26, 1, "" },
	{ "behind the end", 1000, 1, "" },
	{ "far behind the end", UINT64_MAX, 1, "" },
	{ "nothing", 3, 0, "" },
};

static void read_row(void **state)
{
	const struct read_case *c = *state;
	CLEANUP(readerp) struct reader *reader = NULL;
	char bytes[128];
	int fd;

	reader = alphabet_reader(&fd);
	assert_int_equal(reader->size, 26);
	assert_int_equal(reader_read(reader, bytes, c->len, c->offset, NULL), strlen(c->text));
	assert_memory_equal(bytes, c->text, strlen(c->text));
}

static const struct section_case {
	const char *name;
	uint64_t offset, len;
	int rc;
	const char *text;
} section_cases[] = {
	{ "a section", 2, 3, 0, "cde" },
	{ "a section of everything", 0, 26, 0, alphabet },
	{ "an empty section at the end", 26, 0, 0, "" },
	{ "a section that is too long", 20, 7, -EIO, NULL },
	{ "a section behind the end", 27, 0, -EIO, NULL },
	{ "a section that wraps around", 2, UINT64_MAX, -EIO, NULL },
};

/* It holds what it is a section of. */
static void section_row(void **state)
{
	const struct section_case *c = *state;
	CLEANUP(readerp) struct reader *section = NULL;
	CLEANUP(buf_release) struct buf text = { .max = 26 };
	struct stat of_section, of_file;
	struct reader *whole;
	int fd;

	whole = alphabet_reader(&fd);
	assert_int_equal(reader_section(&section, whole, c->offset, c->len, NULL), c->rc);
	reader_unref(whole);
	if (c->rc)
		return;
	assert_int_equal(section->size, c->len);
	assert_int_equal(reader_append_to(section, &text, NULL), 0);
	assert_string_equal(text.len ? text.data : "", c->text);
	assert_int_equal(fstat(fd, &of_file), 0);
	assert_int_equal(reader_stat(section, &of_section, NULL), 0);
	assert_true(stat_is_same(&of_section, &of_file));
}

static void sections_nest(void **state)
{
	CLEANUP(readerp) struct reader *inner = NULL;
	struct reader *whole, *outer;
	char bytes[8];
	int fd;

	(void)state;
	whole = alphabet_reader(&fd);
	assert_int_equal(reader_section(&outer, whole, 10, 10, NULL), 0);
	assert_int_equal(reader_section(&inner, outer, 3, 4, NULL), 0);
	reader_unref(whole);
	reader_unref(outer);
	assert_int_equal(reader_read(inner, bytes, sizeof bytes, 1, NULL), 3);
	assert_memory_equal(bytes, "opq", 3);
}

static const struct bytes_case {
	const char *name;
	uint64_t offset;
	size_t len;
	int rc; /* or how many bytes */
	const char *text;
} bytes_cases[] = {
	{ "all that is in memory", 1010, 5, 5, "klmno" },
	{ "some of it", 1012, 2, 2, "mn" },
	{ "one byte before", 1009, 2, -EIO, NULL },
	{ "one byte behind", 1010, 6, -EIO, NULL },
	{ "far before", 0, 1, -EIO, NULL },
	{ "far behind", 1900, 1, -EIO, NULL },
	{ "behind what it is a part of", 2000, 1, 0, "" },
};

static void bytes_row(void **state)
{
	const struct bytes_case *c = *state;
	CLEANUP(readerp) struct reader *reader = NULL;
	char bytes[16];

	assert_int_equal(
		reader_of_bytes(&reader, strndup(alphabet + 10, 5), 5, 1010, 2000, NULL), 0);
	assert_int_equal(reader->size, 2000);
	assert_int_equal(reader_read(reader, bytes, c->len, c->offset, NULL), c->rc);
	if (c->text)
		assert_memory_equal(bytes, c->text, strlen(c->text));
}

static void a_ceiling_is_kept(void **state)
{
	CLEANUP(buf_release) struct buf text = { .max = 51 };
	CLEANUP(readerp) struct reader *reader = NULL;
	int fd;

	(void)state;
	reader = alphabet_reader(&fd);
	assert_int_equal(reader_append_to(reader, &text, NULL), 0);
	assert_int_equal(reader_append_to(reader, &text, NULL), -EFBIG);
	assert_int_equal(text.len, 26);
}

static void a_file_cut_short_is_a_fault(void **state)
{
	CLEANUP(buf_release) struct buf text = { .max = 26 };
	CLEANUP(readerp) struct reader *reader = NULL;
	struct stat before, after;
	char bytes[26];
	int fd;

	(void)state;
	reader = alphabet_reader(&fd);
	assert_int_equal(reader_stat(reader, &before, NULL), 0);
	assert_int_equal(ftruncate(fd, 5), 0);
	assert_true(reader_read(reader, bytes, 26, 0, NULL) < 0);
	assert_true(reader_append_to(reader, &text, NULL) < 0);
	assert_int_equal(reader_read(reader, bytes, 5, 0, NULL), 5);
	assert_int_equal(reader_stat(reader, &after, NULL), 0);
	assert_false(stat_is_same(&before, &after));
}

static void streams_start_anywhere(void **state)
{
	struct blob_stream *stream;
	struct reader *reader;
	struct cancel cancel;
	char bytes[8];
	int fd;

	(void)state;
	reader = alphabet_reader(&fd);
	cancel_init(&cancel);
	assert_int_equal(reader_stream(&stream, reader, 20, &cancel, NULL), 0);
	reader_unref(reader);
	assert_int_equal(stream->ops->read(stream, bytes, 4, NULL), 4);
	assert_memory_equal(bytes, "uvwx", 4);
	assert_int_equal(stream->ops->read(stream, bytes, 4, NULL), 2);
	assert_memory_equal(bytes, "yz", 2);
	assert_int_equal(stream->ops->read(stream, bytes, 4, NULL), 0);
	cancel_set(&cancel);
	assert_int_equal(stream->ops->read(stream, bytes, 4, NULL), -EINTR);
	stream->ops->free(stream);
	cancel_release(&cancel);
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
		cmocka_unit_test(sections_nest),
		cmocka_unit_test(a_ceiling_is_kept),
		cmocka_unit_test(a_file_cut_short_is_a_fault),
		cmocka_unit_test(streams_start_anywhere),
	};
	struct CMUnitTest tests[ARRAY_SIZE(single) + ARRAY_SIZE(read_cases) +
				ARRAY_SIZE(section_cases) + ARRAY_SIZE(bytes_cases)];
	size_t n = ARRAY_SIZE(single);

	memcpy(tests, single, sizeof single);
	ROWS(read_cases, read_row);
	ROWS(section_cases, section_row);
	ROWS(bytes_cases, bytes_row);
	return cmocka_run_group_tests_name("reader", tests, NULL, NULL);
}
