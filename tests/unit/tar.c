/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archives made by hand, member by member, and what the formats' papers say
 * about them; then the collected archives, and what bsdtar made of those.
 *
 * Each archive is read in pieces of several sizes and must be the same each
 * time.  What was read is written as one line an entry:
 *
 *	file NAME mode=... uid=... gid=... mtime=... size=N data=N@OFFSET
 *
 * where mode 644, owner 0, time 0 and size 0 are left out.
 */
#include "model/tar/tar.h"

#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "model/buf.h"
#include "model/cleanup.h"
#include "model/digest.h"
#include "model/error.h"

CLEANUP_POINTER(tar_parser_freep, struct tar_parser, tar_parser_free)

static const char *const type_names[] = {
	[TAR_REGULAR] = "file",
	[TAR_HARDLINK] = "hardlink",
	[TAR_SYMLINK] = "link",
	[TAR_CHAR] = "char",
	[TAR_BLOCKDEV] = "block",
	[TAR_DIRECTORY] = "dir",
	[TAR_FIFO] = "fifo",
};

/* ---- reading ---- */

struct seen {
	struct tar_entry entry; /* all it points to is ours */
};

struct listing {
	struct seen *seen;
	size_t count;
	struct buf text;
	size_t stop_at; /* the callback fails at this entry; 0: never */
};

static void listing_release(struct listing *listing)
{
	for (size_t i = 0; i < listing->count; i++) {
		free((void *)listing->seen[i].entry.path);
		free((void *)listing->seen[i].entry.link);
		free((void *)listing->seen[i].entry.segments);
	}
	free(listing->seen);
	buf_release(&listing->text);
}

static void print_bytes(struct buf *text, const void *bytes, size_t len)
{
	const unsigned char *at = bytes;

	for (size_t i = 0; i < len; i++)
		if (at[i] > ' ' && at[i] < 0x7f)
			buf_printf(text, "%c", at[i]);
		else
			buf_printf(text, "\\%03o", at[i]);
}

static void print_entry(struct buf *text, const struct tar_entry *e)
{
	buf_printf(text, "%s ", type_names[e->type]);
	print_bytes(text, e->path, e->path_len);
	if (e->type == TAR_HARDLINK || e->type == TAR_SYMLINK) {
		buf_printf(text, " -> ");
		print_bytes(text, e->link, e->link_len);
	}
	if (e->mode != 0644)
		buf_printf(text, " mode=%" PRIo32, e->mode);
	if (e->uid)
		buf_printf(text, " uid=%" PRIu32, e->uid);
	if (e->gid)
		buf_printf(text, " gid=%" PRIu32, e->gid);
	if (e->mtime || e->mtime_nsec)
		buf_printf(text, " mtime=%" PRId64, e->mtime);
	if (e->mtime_nsec)
		buf_printf(text, ".%09" PRIu32, e->mtime_nsec);
	if (e->type == TAR_CHAR || e->type == TAR_BLOCKDEV)
		buf_printf(text, " dev=%" PRIu32 ":%" PRIu32, e->dev_major, e->dev_minor);
	if (e->size)
		buf_printf(text, " size=%" PRIu64, e->size);
	if (e->data_size)
		buf_printf(text, " data=%" PRIu64 "@%" PRIu64, e->data_size, e->data_offset);
	if (e->is_sparse) {
		buf_printf(text, " sparse");
		for (size_t i = 0; i < e->segment_count; i++)
			buf_printf(text, " %" PRIu64 "+%" PRIu64, e->segments[i].offset,
				e->segments[i].size);
	}
	for (size_t i = 0; i < e->xattr_count; i++) {
		buf_printf(text, " %s=", e->xattrs[i].name);
		print_bytes(text, e->xattrs[i].value, e->xattrs[i].value_len);
	}
	buf_printf(text, "\n");
}

static void *copy(const void *bytes, size_t len)
{
	char *fresh = malloc(len + 1);

	assert_non_null(fresh);
	if (len)
		memcpy(fresh, bytes, len);
	fresh[len] = '\0';
	return fresh;
}

static int record(void *context, const struct tar_entry *entry, struct error *err)
{
	struct listing *listing = context;
	struct tar_entry *kept;

	assert_int_equal(strlen(entry->path), entry->path_len);
	assert_int_equal(strlen(entry->link), entry->link_len);
	if (listing->stop_at && listing->count + 1 == listing->stop_at)
		return error_set(err, ENOSPC, "enough");
	listing->seen = reallocarray(listing->seen, listing->count + 1, sizeof *listing->seen);
	assert_non_null(listing->seen);
	kept = &listing->seen[listing->count++].entry;
	*kept = *entry;
	kept->path = copy(entry->path, entry->path_len);
	kept->link = copy(entry->link, entry->link_len);
	kept->segments = copy(entry->segments, entry->segment_count * sizeof *entry->segments);
	print_entry(&listing->text, entry);
	return 0;
}

static void listing_init(struct listing *listing)
{
	*listing = (struct listing){ 0 };
	buf_init(&listing->text, 16 << 20);
	buf_append_text(&listing->text, "");
}

/* Reads bytes in pieces of chunk, each at the end of its own memory, so that a
 * read past it is seen. */
static int read_tar(
	struct listing *listing, const char *bytes, size_t len, size_t chunk, struct error *err)
{
	CLEANUP(tar_parser_freep) struct tar_parser *parser = NULL;
	size_t room = chunk < len ? chunk : len;
	CLEANUP(freep) char *piece = malloc(room + !room);
	int rc = tar_parser_new(&parser, record, listing, err);

	assert_int_equal(rc, 0);
	assert_non_null(piece);
	for (size_t at = 0; at < len && !rc; at += room) {
		size_t part = len - at < room ? len - at : room;
		char *start = piece + room - part;

		memcpy(start, bytes + at, part);
		rc = tar_parser_feed(parser, start, part, err);
	}
	if (rc) { /* it stays as it is */
		struct error again = { 0 };

		assert_int_equal(tar_parser_feed(parser, bytes, len, &again), rc);
		assert_string_equal(again.text, err->text);
		assert_int_equal(tar_parser_finish(parser, NULL), rc);
		return rc;
	}
	return tar_parser_finish(parser, err);
}

/* ---- writing ---- */

struct bytes {
	const char *at;
	size_t len;
};
#define B(literal)                                                                                 \
	{                                                                                          \
		literal, sizeof(literal) - 1                                                       \
	}

static const char ustar[] = "ustar\00000";
static const char gnu[] = "ustar  ";

/* One header and its content; what is not given is as a plain ustar file has it. */
struct part {
	char type; /* or: */
	int zeros; /* so many zero blocks instead */
	const char *name, *link, *prefix;
	struct bytes data;   /* behind the header, padded */
	const char *records; /* instead: pax records, each ends in NUL, the last one empty */
	size_t fill;         /* instead: so many bytes 'x' */
	const char *magic;   /* 8 bytes; default ustar */
	struct bytes mode, uid, gid, size, mtime, major, minor, checksum;
	struct bytes tail; /* from byte 345 on */
	bool is_signed;    /* the checksum sums signed bytes */
	bool is_unpadded;
};

static void put(char *block, size_t at, size_t width, struct bytes field, const char *usual)
{
	if (field.at)
		memcpy(block + at, field.at, field.len < width ? field.len : width);
	else
		memcpy(block + at, usual, strlen(usual));
}

static void put_checksum(char block[TAR_BLOCK], const struct part *part)
{
	char text[8];
	int sum = 0;

	memset(block + 148, ' ', 8);
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += part->is_signed ? (signed char)block[i] : (unsigned char)block[i];
	(void)snprintf(text, sizeof text, "%06o", (unsigned)sum);
	memcpy(block + 148, text, 7);
	if (part->checksum.at)
		memcpy(block + 148, part->checksum.at, 8);
}

/* Each record with its length in front, which counts itself. */
static void put_records(struct buf *data, const char *records)
{
	while (*records) {
		size_t len = strlen(records) + 2, digits = 1, total;
		char text[32];

		do
			total = len + digits;
		while ((size_t)snprintf(text, sizeof text, "%zu", total) != digits++);
		buf_printf(data, "%zu %s\n", total, records);
		records += strlen(records) + 1;
	}
}

static void put_padding(struct buf *tar)
{
	static const char zeros[TAR_BLOCK];

	buf_append(tar, zeros, -tar->len % TAR_BLOCK);
}

static void put_part(struct buf *tar, const struct part *part)
{
	CLEANUP(buf_release) struct buf data;
	char block[TAR_BLOCK] = { 0 }, size[13];

	buf_init(&data, 64 << 20);
	if (part->zeros) {
		for (int i = 0; i < part->zeros; i++)
			buf_append(tar, block, sizeof block);
		return;
	}
	if (part->records)
		put_records(&data, part->records);
	for (size_t i = 0; i < part->fill; i++)
		buf_append(&data, "x", 1);
	if (part->data.len)
		buf_append(&data, part->data.at, part->data.len);

	strncpy(block, part->name ? part->name : "a", 100);
	put(block, 100, 8, part->mode, "0000644");
	put(block, 108, 8, part->uid, "0000000");
	put(block, 116, 8, part->gid, "0000000");
	(void)snprintf(size, sizeof size, "%011zo", data.len);
	put(block, 124, 12, part->size, size);
	put(block, 136, 12, part->mtime, "00000000000");
	block[156] = part->type;
	if (part->link)
		strncpy(block + 157, part->link, 100);
	memcpy(block + 257, part->magic ? part->magic : ustar, 8);
	put(block, 329, 8, part->major, "0000000");
	put(block, 337, 8, part->minor, "0000000");
	if (part->prefix)
		strncpy(block + 345, part->prefix, 155);
	put(block, 345, 167, part->tail, "");
	put_checksum(block, part);
	buf_append(tar, block, sizeof block);
	if (data.len)
		buf_append(tar, data.data, data.len);
	if (!part->is_unpadded)
		put_padding(tar);
	assert_int_equal(buf_status(tar), 0);
}

/* ---- archives by hand ---- */

#define TEN     "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
#define V7      "\0\0\0\0\0\0\0\0"

/* Old GNU: 41 bytes that are not ours, then the map. */
#define GNU_TIMES                                                                                  \
	"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define NONE24             "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define PAIR(offset, size) offset "\0" size "\0"
#define X21(p)             p p p p p p p p p p p p p p p p p p p p p
#define X10                "xxxxxxxxxx"
#define X100               X10 X10 X10 X10 X10 X10 X10 X10 X10 X10
#define X500               X100 X100 X100 X100 X100

_Static_assert(sizeof GNU_TIMES NONE24 == 41 + 24 + 1, "where the map is");

static const struct tar_case {
	const char *name;
	struct part parts[5];
	bool is_open; /* no end mark */
	int rc;
	const char *error; /* what the message must hold, on failure */
	const char *listing;
} tar_cases[] = {
	{ "one file", { { .type = '0', .data = B("hello") } },
		.listing = "file a size=5 data=5@512\n" },
	{ "all types",
		{ { .type = '5', .name = "d/", .mode = B("0041755") },
			{ .type = '2', .name = "s", .link = "to" },
			{ .type = '3', .name = "c", .major = B("0000001"), .minor = B("0000003") },
			{ .type = '4', .name = "b", .major = B("\x80\0\0\0\xff\xff\xff\xff") },
			{ .type = '6', .name = "p", .mode = B("0007777") } },
		.listing = "dir d/ mode=1755\nlink s -> to\nchar c dev=1:3\n"
			   "block b dev=4294967295:0\nfifo p mode=7777\n" },
	{ "contiguous and unassigned types are files",
		{ { .type = '7' }, { .type = '9', .data = B("x") } },
		.listing = "file a\nfile a size=1 data=1@1024\n" },
	{ "vendor types are passed over with their content",
		{ { .type = 'V', .name = "volume", .data = B("ustar") },
			{ .type = 'Z', .fill = 513 }, { .type = '0', .name = "b" } },
		.listing = "file b\n" },
	{ "a path in every byte of the name field", { { .type = '0', .name = HUNDRED } },
		.listing = "file " HUNDRED "\n" },
	{ "ustar joins the prefix", { { .type = '0', .name = "n", .prefix = "p/q" } },
		.listing = "file p/q/n\n" },
	{ "ustar, prefix and name full",
		{ { .type = '0', .name = HUNDRED, .prefix = HUNDRED TEN TEN TEN TEN TEN "01234" } },
		.listing = "file " HUNDRED TEN TEN TEN TEN TEN "01234/" HUNDRED "\n" },
	{ "GNU has other things there", { { .type = '0', .magic = gnu, .prefix = "00000000000" } },
		.listing = "file a\n" },
	{ "star has times behind 131 bytes",
		{ { .type = '0',
			.tail = B(HUNDRED TEN TEN TEN
				"0"
				"00000000000 00000000000 \0\0\0\0\0\0\0\0tar\0") } },
		.listing = "file " HUNDRED TEN TEN TEN "0/a\n" },
	{ "v7",
		{ { .type = '\0',
			.magic = V7,
			.prefix = "junk",
			.size = B("         5 "),
			.data = B("hello"),
			.mode = B("   600 ") } },
		.listing = "file a mode=600 size=5 data=5@512\n" },
	{ "v7, a directory by its slash", { { .type = '\0', .name = "d/", .magic = V7 } },
		.listing = "dir d/\n" },
	{ "a type of '0' is a file, slash or not", { { .type = '0', .name = "d/" } },
		.listing = "file d/\n" },

	/* POSIX: no content behind these, whatever their size says */
	{ "size of a directory", { { .type = '5', .size = B("00000001000") }, { .type = '0' } },
		.listing = "dir a\nfile a\n" },
	{ "size of a symlink, no number",
		{ { .type = '2', .link = "b", .size = B("zzz") }, { .type = '0' } },
		.listing = "link a -> b\nfile a\n" },
	{ "size of a device", { { .type = '3', .size = B("00000001000") }, { .type = '0' } },
		.listing = "char a dev=0:0\nfile a\n" },
	{ "size of a hard link, ustar",
		{ { .type = '1', .link = "t", .size = B("00000001000") }, { .type = '0' } },
		.listing = "hardlink a -> t\nfile a\n" },
	{ "content of a hard link, pax",
		{ { .type = 'x', .records = "mtime=1\0" },
			{ .type = '1', .link = "t", .fill = 600 }, { .type = '0', .name = "b" } },
		.listing = "hardlink a -> t mtime=1\nfile b\n" },

	/* the end */
	{ "nothing at all", { { 0 } }, .is_open = true, .listing = "" },
	{ "only an end mark", { { 0 } }, .listing = "" },
	{ "one zero block ends", { { .type = '0' }, { .zeros = 1 }, { .type = '0', .name = "b" } },
		.listing = "file a\n" },
	{ "what follows the end is ignored",
		{ { .type = '0' }, { .zeros = 2 },
			{ .type = '0', .name = "b", .checksum = B("garbage!") } },
		.listing = "file a\n" },
	{ "no end mark", { { .type = '0', .data = B("x") } }, .is_open = true,
		.listing = "file a size=1 data=1@512\n" },
	{ "no padding either", { { .type = '0', .data = B("x"), .is_unpadded = true } },
		.is_open = true, .listing = "file a size=1 data=1@512\n" },
	{ "content cut short", { { .type = '0', .data = B("x"), .size = B("00000001001") } },
		.is_open = true, .rc = -EIO,
		.error = "offset 0: archive ends at 1024, inside the content",
		.listing = "file a size=513 data=513@512\n" },
	{ "an extension without an entry", { { .type = 'x', .records = "path=b\0" } }, .rc = -EIO,
		.error = "offset 1024: extended header without an entry", .listing = "" },
	{ "an extension at the end of the file", { { .type = 'L', .data = B("b") } },
		.is_open = true, .rc = -EIO, .error = "before its entry", .listing = "" },
	{ "an extension cut short", { { .type = 'x', .size = B("00000001000") } }, .is_open = true,
		.rc = -EIO, .error = "inside an extended header", .listing = "" },
	{ "no tar", { { .type = '0', .checksum = B("0000000\0") } }, .rc = -EIO,
		.error = "not a tar archive", .listing = "" },
	{ "a checksum that is no number", { { .type = '0', .checksum = B("checksum") } },
		.rc = -EIO, .error = "not a tar archive", .listing = "" },
	{ "a bad header later on", { { .type = '0' }, { .type = '0', .checksum = B("0000000\0") } },
		.rc = -EIO, .error = "offset 512: wrong header checksum", .listing = "file a\n" },
	{ "a checksum of signed bytes", { { .type = '0', .name = "\xe4", .is_signed = true } },
		.listing = "file \\344\n" },

	/* numbers */
	{ "blanks and NULs around octal",
		{ { .type = '0',
			.uid = B("  12 \0\0"),
			.gid = B("7\0junk!"),
			.mtime = B("            ") } },
		.listing = "file a uid=10 gid=7\n" },
	{ "octal without an end",
		{ { .type = '0', .uid = B("77777777"), .mtime = B("777777777777") } },
		.listing = "file a uid=16777215 mtime=68719476735\n" },
	{ "not octal", { { .type = '0', .uid = B("0000008") } }, .rc = -EIO,
		.error = "offset 0: uid is no number", .listing = "" },
	{ "octal and then more", { { .type = '0', .uid = B("12 34") } }, .rc = -EIO, .error = "uid",
		.listing = "" },
	{ "octal with a sign", { { .type = '0', .mtime = B("-0000000001") } }, .rc = -EIO,
		.error = "mtime", .listing = "" },
	{ "a size that hides behind a NUL",
		{ { .type = '0',
			.size = B("\0"
				  "0000001000") } },
		.rc = -EIO, .error = "size", .listing = "" },
	{ "base-256",
		{ { .type = '0',
			.uid = B("\x80\0\0\0\xff\xff\xff\xff"),
			.mtime = B("\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff") } },
		.listing = "file a uid=4294967295 mtime=9223372036854775807\n" },
	{ "base-256, negative time",
		{ { .type = '0', .mtime = B("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe") } },
		.listing = "file a mtime=-2\n" },
	{ "base-256, the first time of all",
		{ { .type = '0', .mtime = B("\xff\xff\xff\xff\x80\0\0\0\0\0\0\0") } },
		.listing = "file a mtime=-9223372036854775808\n" },
	{ "base-256, beyond 63 bits",
		{ { .type = '0', .mtime = B("\x80\0\0\0\x80\0\0\0\0\0\0\0") } }, .rc = -EIO,
		.error = "mtime", .listing = "" },
	{ "base-256, negative size",
		{ { .type = '0', .size = B("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff") } },
		.rc = -EIO, .error = "size -1 is out of range", .listing = "" },
	{ "base-256, a size that ends beyond 2^63",
		{ { .type = '0', .size = B("\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff") } },
		.rc = -EIO, .error = "ends beyond", .listing = "" },
	{ "base-256, uid of 33 bits", { { .type = '0', .uid = B("\x80\0\0\x01\0\0\0\0") } },
		.rc = -EIO, .error = "uid 4294967296 is out of range", .listing = "" },
	{ "base-256, negative uid",
		{ { .type = '0', .uid = B("\xff\xff\xff\xff\xff\xff\xff\xfe") } }, .rc = -EIO,
		.error = "uid -2", .listing = "" },

	/* GNU long names */
	{ "long name and link",
		{ { .type = 'L', .magic = gnu, .data = B(HUNDRED TEN "\0") },
			{ .type = 'K', .magic = gnu, .data = B("link" HUNDRED "\0\0\0") },
			{ .type = '2', .name = "cut", .link = "cut", .magic = gnu },
			{ .type = '0', .name = "b" } },
		.listing = "link " HUNDRED TEN " -> link" HUNDRED "\nfile b\n" },
	{ "long name without a NUL, over several blocks, the last of two",
		{ { .type = 'L', .data = B("first") }, { .type = 'L', .fill = 1500 },
			{ .type = '0' } },
		.listing = "file " X500 X500 X500 "\n" },
	{ "long name with a NUL inside", { { .type = 'L', .data = B("a\0b") }, { .type = '0' } },
		.rc = -EIO, .error = "NUL inside", .listing = "" },
	{ "empty long name", { { .type = 'K' }, { .type = '2' } }, .rc = -EIO, .error = "empty",
		.listing = "" },
	{ "long name over the ceiling", { { .type = 'L', .size = B("00004000001") } }, .rc = -EFBIG,
		.error = "1048577", .listing = "" },

	/* pax */
	{ "pax overrides",
		{ { .type = 'x',
			  .records = "path=p\0linkpath=l\0uid=4294967295\0gid=70000\0"
				     "mtime=1.5\0unknown=x\0comment=\0" },
			{ .type = '2', .uid = B("garbage"), .link = "h" }, { .type = '0' } },
		.listing = "link p -> l uid=4294967295 gid=70000 mtime=1.500000000\nfile a\n" },
	{ "pax beats GNU, which beats ustar",
		{ { .type = 'x', .records = "path=pax\0" }, { .type = 'L', .data = B("gnu") },
			{ .type = 'K', .data = B("gnulink") },
			{ .type = '2', .name = "ustar", .prefix = "p", .link = "l" } },
		.listing = "link pax -> gnulink\n" },
	{ "pax of Solaris", { { .type = 'X', .records = "path=p\0" }, { .type = '0' } },
		.listing = "file p\n" },
	{ "pax size rules content and skip",
		{ { .type = 'x', .records = "size=600\0" },
			{ .type = '0', .size = B("00000000000"), .fill = 600 },
			{ .type = '0', .name = "b" } },
		.listing = "file a size=600 data=600@1536\nfile b\n" },
	{ "pax size smaller than the header's",
		{ { .type = 'x', .records = "size=0\0" }, { .type = '0', .size = B("00000001000") },
			{ .type = '0', .name = "b" } },
		.listing = "file a\nfile b\n" },
	{ "pax size does not speak of other extensions",
		{ { .type = 'x', .records = "size=3\0" }, { .type = 'L', .fill = 600 },
			{ .type = '0', .data = B("abc") }, { .type = 'x', .records = "path=c\0" },
			{ .type = '0' } },
		.listing = "file " X500 X100 " size=3 data=3@3072\nfile c\n" },
	{ "pax size of a vendor type",
		{ { .type = 'x', .records = "size=600\0path=lost\0" },
			{ .type = 'V', .size = B("00000000000"), .fill = 600 }, { .type = '0' } },
		.listing = "file a\n" },
	{ "empty value deletes what came before it",
		{ { .type = 'x', .records = "path=p\0path=\0uid=7\0uid=8\0" }, { .type = '0' } },
		.listing = "file a uid=8\n" },
	{ "global records, overridden and deleted for one entry",
		{ { .type = 'g', .records = "uid=1\0gid=2\0mtime=3\0" },
			{ .type = 'x', .records = "uid=5\0gid=\0" },
			{ .type = '0', .gid = B("0000006") }, { .type = '0' } },
		.listing = "file a uid=5 gid=6 mtime=3\nfile a uid=1 gid=2 mtime=3\n" },
	{ "global records add up, and can be deleted",
		{ { .type = 'g', .records = "uid=1\0gid=2\0path=g\0SCHILY.xattr.user.a=1\0" },
			{ .type = 'g', .records = "uid=\0mtime=3\0path=\0" }, { .type = '0' } },
		.listing = "file a gid=2 mtime=3 user.a=1\n" },
	{ "values go by their length",
		{ { .type = 'x', .data = B("16 path=a\nb=c\nd\n28 SCHILY.xattr.user.x=\n=\0\n\n") },
			{ .type = '0' } },
		.listing = "file a\\012b=c\\012d user.x=\\012=\\000\\012\n" },
	{ "pax of no records", { { .type = 'x' }, { .type = '0' } }, .listing = "file a\n" },
	{ "a NUL that nobody counted",
		{ { .type = 'x', .data = B("11 path=ab\0\n") }, { .type = '0' } }, .rc = -EIO,
		.error = "wrong length", .listing = "" },
	{ "a NUL behind the path",
		{ { .type = 'x', .data = B("12 path=ab\0\n") }, { .type = '0' } },
		.listing = "file ab\n" },
	{ "a NUL inside the path",
		{ { .type = 'x', .data = B("12 path=a\0b\n") }, { .type = '0' } }, .rc = -EIO,
		.error = "'path': NUL inside", .listing = "" },
	{ "a path of NUL", { { .type = 'x', .data = B("10 path=\0\n") }, { .type = '0' } },
		.rc = -EIO, .error = "'path': NUL", .listing = "" },
	{ "a NUL inside the link",
		{ { .type = 'x', .data = B("16 linkpath=a\0b\n") }, { .type = '2' } }, .rc = -EIO,
		.error = "'linkpath'", .listing = "" },
	{ "a NUL inside a keyword",
		{ { .type = 'x', .data = B("12 path\0x=y\n") }, { .type = '0' } }, .rc = -EIO,
		.error = "no keyword", .listing = "" },
	{ "no newline", { { .type = 'x', .data = B("13 path=name") }, { .type = '0' } }, .rc = -EIO,
		.error = "wrong length", .listing = "" },
	{ "a length that cuts the value",
		{ { .type = 'x', .data = B("9 path=abc\n") }, { .type = '0' } }, .rc = -EIO,
		.error = "byte 0: wrong length", .listing = "" },
	{ "a length that covers less than itself",
		{ { .type = 'x', .data = B("2 path=a\n") }, { .type = '0' } }, .rc = -EIO,
		.error = "wrong length", .listing = "" },
	{ "a length beyond all numbers",
		{ { .type = 'x', .data = B("99999999999999999999 path=a\n") }, { .type = '0' } },
		.rc = -EIO, .error = "wrong length", .listing = "" },
	{ "a length with a sign", { { .type = 'x', .data = B("+9 path=a\n") }, { .type = '0' } },
		.rc = -EIO, .error = "wrong length", .listing = "" },
	{ "no equals sign", { { .type = 'x', .data = B("8 patha\n") }, { .type = '0' } },
		.rc = -EIO, .error = "no keyword", .listing = "" },
	{ "no keyword", { { .type = 'x', .data = B("5 =a\n") }, { .type = '0' } }, .rc = -EIO,
		.error = "no keyword", .listing = "" },
	{ "a second record that is malformed",
		{ { .type = 'x', .data = B("10 path=b\nx") }, { .type = '0' } }, .rc = -EIO,
		.error = "byte 10: wrong length", .listing = "" },
	{ "two pax headers for one entry",
		{ { .type = 'x', .records = "path=b\0" }, { .type = 'x', .records = "path=c\0" },
			{ .type = '0' } },
		.rc = -EIO, .error = "two pax headers", .listing = "" },
	{ "pax size, negative", { { .type = 'x', .records = "size=-1\0" }, { .type = '0' } },
		.rc = -EIO, .error = "'size'", .listing = "" },
	{ "pax size beyond 63 bits",
		{ { .type = 'x', .records = "size=9223372036854775808\0" }, { .type = '0' } },
		.rc = -EIO, .error = "'size'", .listing = "" },
	{ "pax uid beyond 32 bits",
		{ { .type = 'x', .records = "uid=4294967296\0" }, { .type = '0' } }, .rc = -EIO,
		.error = "'uid'", .listing = "" },
	{ "pax number with something behind",
		{ { .type = 'x', .records = "gid=1 \0" }, { .type = '0' } }, .rc = -EIO,
		.error = "'gid'", .listing = "" },
	{ "pax header over the ceiling", { { .type = 'x', .size = B("77777777777") } },
		.rc = -EFBIG, .error = "at most 1048576", .listing = "" },

	/* times */
	{ "time: -1.5", { { .type = 'x', .records = "mtime=-1.5\0" }, { .type = '0' } },
		.listing = "file a mtime=-2.500000000\n" },
	{ "time: -0.25", { { .type = 'x', .records = "mtime=-0.25\0" }, { .type = '0' } },
		.listing = "file a mtime=-1.750000000\n" },
	{ "time: -7", { { .type = 'x', .records = "mtime=-7\0" }, { .type = '0' } },
		.listing = "file a mtime=-7\n" },
	{ "time: a dot alone", { { .type = 'x', .records = "mtime=7.\0" }, { .type = '0' } },
		.listing = "file a mtime=7\n" },
	{ "time: nine digits",
		{ { .type = 'x', .records = "mtime=1.000000001\0" }, { .type = '0' } },
		.listing = "file a mtime=1.000000001\n" },
	{ "time: finer than ns rounds down",
		{ { .type = 'x', .records = "mtime=1.9999999999\0" }, { .type = '0' } },
		.listing = "file a mtime=1.999999999\n" },
	{ "time: finer than ns rounds down, negative",
		{ { .type = 'x', .records = "mtime=-1.0000000001\0" }, { .type = '0' } },
		.listing = "file a mtime=-2.999999999\n" },
	{ "time: down to a whole second",
		{ { .type = 'x', .records = "mtime=-1.9999999999\0" }, { .type = '0' } },
		.listing = "file a mtime=-2\n" },
	{ "time: no digits", { { .type = 'x', .records = "mtime=.5\0" }, { .type = '0' } },
		.rc = -EIO, .error = "'mtime'", .listing = "" },
	{ "time: two dots", { { .type = 'x', .records = "mtime=1.5.5\0" }, { .type = '0' } },
		.rc = -EIO, .error = "'mtime'", .listing = "" },
	{ "time: too large",
		{ { .type = 'x', .records = "mtime=9223372036854775808\0" }, { .type = '0' } },
		.rc = -EIO, .error = "'mtime'", .listing = "" },

	/* extended attributes */
	{ "attributes are sorted, the last of a name counts",
		{ { .type = 'x',
			  .records = "SCHILY.xattr.user.b=2\0SCHILY.xattr.user.a=1\0"
				     "SCHILY.xattr.user.b=3\0SCHILY.xattr.user.empty=\0" },
			{ .type = '5' } },
		.listing = "dir a user.a=1 user.b=3 user.empty=\n" },
	{ "capabilities are bytes",
		{ { .type = 'x',
			  .data = B("44 SCHILY.xattr.security.capability=\1\0\0\2\xc0\0\n\n") },
			{ .type = '0' } },
		.listing = "file a security.capability=\\001\\000\\000\\002\\300\\000\\012\n" },
	{ "libarchive: percent and base64, padded or not",
		{ { .type = 'x',
			  .records = "LIBARCHIVE.xattr.user.a%3db=AQID\0"
				     "LIBARCHIVE.xattr.user.c=AQI\0"
				     "LIBARCHIVE.xattr.user.d%2=AQ==\0"
				     "LIBARCHIVE.xattr.user.e=\0" },
			{ .type = '0' } },
		.listing =
			"file a user.a=b=\\001\\002\\003 user.c=\\001\\002 user.d%2=\\001 user.e=\n" },
	{ "libarchive: no base64",
		{ { .type = 'x', .records = "LIBARCHIVE.xattr.user.a=A_==\0" }, { .type = '0' } },
		.rc = -EIO, .error = "base64", .listing = "" },
	{ "libarchive: NUL in a name",
		{ { .type = 'x', .records = "LIBARCHIVE.xattr.a%00b=AQ==\0" }, { .type = '0' } },
		.rc = -EIO, .error = "proper name", .listing = "" },
	{ "an attribute of no name",
		{ { .type = 'x', .records = "SCHILY.xattr.=1\0" }, { .type = '0' } }, .rc = -EIO,
		.error = "proper name", .listing = "" },
	{ "SELinux label",
		{ { .type = 'x', .records = "RHT.security.selinux=u:r:t\0" }, { .type = '0' } },
		.listing = "file a security.selinux=u:r:t\n" },
	{ "attributes for all and for one",
		{ { .type = 'g', .records = "SCHILY.xattr.user.b=1\0SCHILY.xattr.user.c=1\0" },
			{ .type = 'x',
				.records = "SCHILY.xattr.user.a=2\0SCHILY.xattr.user.b=2\0" },
			{ .type = '0' }, { .type = '0' } },
		.listing = "file a user.a=2 user.b=2 user.c=1\nfile a user.b=1 user.c=1\n" },

	/* sparse, old GNU */
	{ "GNU sparse",
		{ { .type = 'S',
			  .magic = gnu,
			  .fill = 8,
			  .tail = B(GNU_TIMES PAIR("00000000002", "00000000003") PAIR(
				  "00000000012", "00000000005") PAIR("00000000144", "00000000000")
					  NONE24 "\0"
						 "00000000144") },
			{ .type = '0', .name = "b" } },
		.listing = "file a size=100 data=8@512 sparse 2+3 10+5\nfile b\n" },
	{ "GNU sparse, all hole",
		{ { .type = 'S',
			.magic = gnu,
			.tail = B(GNU_TIMES NONE24 NONE24 NONE24 NONE24 "\0"
									"00000001750") } },
		.listing = "file a size=1000 sparse\n" },
	{ "GNU sparse, extended, more stored than mapped",
		{ { .type = 'S',
			  .magic = gnu,
			  .size = B("00000000001"),
			  .tail = B(GNU_TIMES PAIR("00000000000", "00000000000") PAIR(
				  "00000000001", "00000000000") PAIR("00000000002", "00000000000")
					  PAIR("00000000003", "00000000000") "\1"
									     "00000000144"),
			  .data = B(X21(PAIR("00000000077", "00000000000")) "\0\0\0\0\0\0\0\0x") },
			{ .type = '0', .name = "b" } },
		.rc = -EIO, .error = "of 0 bytes, stored are 1", .listing = "" },
	{ "GNU sparse, extended twice",
		{ { .type = 'S',
			  .magic = gnu,
			  .size = B("00000000002"),
			  .tail = B(GNU_TIMES PAIR("00000000000", "00000000000") PAIR(
				  "00000000001", "00000000000") PAIR("00000000002", "00000000000")
					  PAIR("00000000003", "00000000000") "\1"
									     "00000000144"),
			  .data = B(X21(PAIR("00000000077", "00000000000")) "\1\0\0\0\0\0\0\0" PAIR(
				  "00000000100", "00000000001") PAIR("00000000110", "00000000001")
					  X21("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0") "\0\0"
											      "xx") },
			{ .type = '0', .name = "b" } },
		.listing = "file a size=100 data=2@1536 sparse 64+1 72+1\nfile b\n" },
	{ "GNU sparse, a map behind its end",
		{ { .type = 'S',
			.magic = gnu,
			.size = B("00000000001"),
			.tail = B(GNU_TIMES NONE24 NONE24 NONE24 NONE24 "\1"
									"00000000144"),
			.data = B(PAIR("00000000077", "00000000001")) } },
		.rc = -EIO, .error = "goes on behind its end", .listing = "" },
	{ "GNU sparse, overlap",
		{ { .type = 'S',
			.magic = gnu,
			.fill = 8,
			.tail = B(GNU_TIMES PAIR("00000000012", "00000000005") PAIR(
				"00000000013", "00000000003") NONE24 NONE24 "\0"
									    "00000000144") } },
		.rc = -EIO, .error = "begins before the end", .listing = "" },
	{ "GNU sparse, a segment without an end",
		{ { .type = 'S',
			.magic = gnu,
			.fill = 1,
			.tail = B(GNU_TIMES "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"
					    "00000000001\0" NONE24 NONE24 NONE24 "\0"
					    "00000000144") } },
		.rc = -EIO, .error = "has no end", .listing = "" },
	{ "GNU sparse, beyond the file",
		{ { .type = 'S',
			.magic = gnu,
			.fill = 5,
			.tail = B(GNU_TIMES PAIR("00000000137", "00000000005") NONE24 NONE24 NONE24
				"\0"
				"00000000143") } },
		.rc = -EIO, .error = "ends at 100, the file at 99", .listing = "" },
	{ "GNU sparse without GNU", { { .type = 'S' } }, .rc = -EIO, .error = "GNU format",
		.listing = "" },

	/* sparse, pax */
	{ "sparse 0.0",
		{ { .type = 'x',
			  .records = "GNU.sparse.size=100\0GNU.sparse.numblocks=2\0"
				     "GNU.sparse.offset=2\0GNU.sparse.numbytes=3\0"
				     "GNU.sparse.offset=100\0GNU.sparse.numbytes=0\0" },
			{ .type = '0', .data = B("abc") }, { .type = '0', .data = B("d") } },
		.listing = "file a size=100 data=3@1536 sparse 2+3\nfile a size=1 data=1@2560\n" },
	{ "sparse 0.1",
		{ { .type = 'x',
			  .records = "GNU.sparse.size=100\0GNU.sparse.numblocks=2\0"
				     "GNU.sparse.name=n\0path=p\0GNU.sparse.map=2,3,10,5\0" },
			{ .type = '0', .fill = 8 } },
		.listing = "file n size=100 data=8@1536 sparse 2+3 10+5\n" },
	{ "sparse 1.0",
		{ { .type = 'x',
			  .records = "GNU.sparse.major=1\0GNU.sparse.minor=0\0"
				     "GNU.sparse.name=n\0GNU.sparse.realsize=100\0" },
			{ .type = '0', .size = B("00000001010"), .data = B("2\n2\n3\n10\n5\n") },
			{ .zeros = 1 } },
		.listing = "file n size=100 data=8@2048 sparse 2+3 10+5\n" },
	{ "sparse 1.0, size from pax, no segments",
		{ { .type = 'x',
			  .records = "GNU.sparse.major=1\0GNU.sparse.minor=0\0size=512\0"
				     "GNU.sparse.realsize=100\0" },
			{ .type = '0', .size = B("00000000000"), .data = B("0\n") },
			{ .type = '0', .name = "b" } },
		.listing = "file a size=100 sparse\nfile b\n" },
	{ "sparse 1.0, no room for the map",
		{ { .type = 'x',
			  .records = "GNU.sparse.major=1\0GNU.sparse.minor=0\0"
				     "GNU.sparse.realsize=100\0" },
			{ .type = '0', .data = B("0\n") } },
		.rc = -EIO, .error = "goes on behind the content", .listing = "" },
	{ "sparse 1.0, no numbers",
		{ { .type = 'x',
			  .records = "GNU.sparse.major=1\0GNU.sparse.minor=0\0"
				     "GNU.sparse.realsize=100\0" },
			{ .type = '0', .size = B("00000001000"), .data = B("1\n\n") } },
		.rc = -EIO, .error = "not a list of numbers", .listing = "" },
	{ "sparse 1.0, a number beyond 63 bits",
		{ { .type = 'x',
			  .records = "GNU.sparse.major=1\0GNU.sparse.minor=0\0"
				     "GNU.sparse.realsize=100\0" },
			{ .type = '0',
				.size = B("00000001000"),
				.data = B("1\n9223372036854775808\n0\n") } },
		.rc = -EIO, .error = "too large", .listing = "" },
	{ "sparse 1.0, too many segments",
		{ { .type = 'x',
			  .records = "GNU.sparse.major=1\0GNU.sparse.minor=0\0"
				     "GNU.sparse.realsize=100\0" },
			{ .type = '0', .size = B("00000001000"), .data = B("65537\n") } },
		.rc = -EFBIG, .error = "65537", .listing = "" },
	{ "sparse 1.0, cut short",
		{ { .type = 'x',
			  .records = "GNU.sparse.major=1\0GNU.sparse.minor=0\0"
				     "GNU.sparse.realsize=100\0" },
			{ .type = '0', .size = B("00000001000") } },
		.is_open = true, .rc = -EIO, .error = "inside a sparse map", .listing = "" },
	{ "segments that touch are one",
		{ { .type = 'x',
			  .records = "GNU.sparse.size=10\0GNU.sparse.map=0,2,2,3,7,0,7,1\0" },
			{ .type = '0', .fill = 6 } },
		.listing = "file a size=10 data=6@1536 sparse 0+5 7+1\n" },
	{ "sparse of an unknown version",
		{ { .type = 'x',
			  .records = "GNU.sparse.major=2\0GNU.sparse.minor=0\0"
				     "GNU.sparse.realsize=100\0" },
			{ .type = '0' } },
		.rc = -EIO, .error = "version 2.0", .listing = "" },
	{ "sparse without a size",
		{ { .type = 'x', .records = "GNU.sparse.map=0,0\0" }, { .type = '0' } }, .rc = -EIO,
		.error = "incomplete", .listing = "" },
	{ "sparse, an offset without its size",
		{ { .type = 'x', .records = "GNU.sparse.size=9\0GNU.sparse.offset=1\0" },
			{ .type = '0' } },
		.rc = -EIO, .error = "incomplete", .listing = "" },
	{ "sparse, a size without its offset",
		{ { .type = 'x', .records = "GNU.sparse.size=9\0GNU.sparse.numbytes=1\0" },
			{ .type = '0', .fill = 1 } },
		.rc = -EIO, .error = "'GNU.sparse.numbytes'", .listing = "" },
	{ "sparse, fewer segments than announced",
		{ { .type = 'x',
			  .records = "GNU.sparse.size=9\0GNU.sparse.numblocks=2\0"
				     "GNU.sparse.map=0,1\0" },
			{ .type = '0', .fill = 1 } },
		.rc = -EIO, .error = "announced were 2", .listing = "" },
	{ "sparse, two maps",
		{ { .type = 'x',
			  .records = "GNU.sparse.size=9\0GNU.sparse.offset=0\0"
				     "GNU.sparse.numbytes=1\0GNU.sparse.map=2,1\0" },
			{ .type = '0', .fill = 2 } },
		.rc = -EIO, .error = "'GNU.sparse.map'", .listing = "" },
	{ "sparse, a map of other things",
		{ { .type = 'x', .records = "GNU.sparse.size=9\0GNU.sparse.map=0;1\0" },
			{ .type = '0', .fill = 1 } },
		.rc = -EIO, .error = "'GNU.sparse.map'", .listing = "" },
	{ "sparse, two offsets in a row",
		{ { .type = 'x', .records = "GNU.sparse.offset=0\0GNU.sparse.offset=1\0" },
			{ .type = '0', .fill = 1 } },
		.rc = -EIO, .error = "'GNU.sparse.offset'", .listing = "" },
	{ "sparse, an empty map",
		{ { .type = 'x', .records = "GNU.sparse.size=9\0GNU.sparse.map=\0" },
			{ .type = '0' } },
		.rc = -EIO, .error = "'GNU.sparse.map'", .listing = "" },
	{ "sparse, odd map",
		{ { .type = 'x', .records = "GNU.sparse.size=9\0GNU.sparse.map=0,1,2\0" },
			{ .type = '0', .fill = 1 } },
		.rc = -EIO, .error = "'GNU.sparse.map'", .listing = "" },
	{ "sparse, more content than the map says",
		{ { .type = 'x', .records = "GNU.sparse.size=9\0GNU.sparse.map=0,1\0" },
			{ .type = '0', .fill = 2 } },
		.rc = -EIO, .error = "of 1 bytes, stored are 2", .listing = "" },
	{ "sparse directory",
		{ { .type = 'x', .records = "GNU.sparse.size=9\0GNU.sparse.map=0,0\0" },
			{ .type = '5' } },
		.rc = -EIO, .error = "no file", .listing = "" },
	{ "sparse for all", { { .type = 'g', .records = "GNU.sparse.size=9\0" } }, .rc = -EIO,
		.error = "global", .listing = "" },
};

static void build(struct buf *tar, const struct tar_case *c)
{
	buf_init(tar, 64 << 20);
	for (size_t i = 0; i < ARRAY_SIZE(c->parts); i++)
		if (c->parts[i].type || c->parts[i].zeros || c->parts[i].magic)
			put_part(tar, &c->parts[i]);
	if (!c->is_open)
		put_part(tar, &(struct part){ .zeros = 2 });
}

/* The same with what may be skipped skipped: headers alone are fed, a block at a time. */
static int read_headers(struct listing *listing, const char *bytes, size_t len, struct error *err)
{
	CLEANUP(tar_parser_freep) struct tar_parser *parser = NULL;
	int rc = tar_parser_new(&parser, record, listing, err);
	size_t at = 0;

	assert_int_equal(rc, 0);
	while (!rc && at < len) {
		size_t part = len - at < TAR_BLOCK ? len - at : TAR_BLOCK;
		uint64_t skip;

		rc = tar_parser_feed(parser, bytes + at, part, err);
		at += part;
		skip = tar_parser_skippable(parser);
		if (rc)
			assert_int_equal(skip, 0);
		if (skip > len - at)
			skip = len - at;
		tar_parser_skip(parser, skip);
		at += skip;
	}
	return rc ? rc : tar_parser_finish(parser, err);
}

static const size_t chunks[] = { SIZE_MAX / 2, 1, 7, 511, 512, 513, 1024 };

/* Skipped or fed, content makes no difference. */
static void assert_skips(const struct tar_case *c, const struct buf *tar)
{
	CLEANUP(listing_release) struct listing listing;
	struct error err = { 0 };

	listing_init(&listing);
	assert_int_equal(read_headers(&listing, tar->data, tar->len, &err), c->rc);
	assert_string_equal(listing.text.data, c->listing);
	if (c->error && !strstr(err.text, c->error))
		fail_msg("'%s' does not hold '%s'", err.text, c->error);
}

static void reads(void **state)
{
	const struct tar_case *c = *state;
	CLEANUP(buf_release) struct buf tar;

	build(&tar, c);
	for (size_t i = 0; i < ARRAY_SIZE(chunks); i++) {
		CLEANUP(listing_release) struct listing listing;
		struct error err = { 0 };
		int rc;

		listing_init(&listing);
		rc = read_tar(&listing, tar.data, tar.len, chunks[i], &err);
		if (rc == 0)
			assert_string_equal(err.text, "");
		assert_string_equal(listing.text.data, c->listing);
		assert_int_equal(rc, c->rc);
		if (c->error && !strstr(err.text, c->error))
			fail_msg("'%s' does not hold '%s'", err.text, c->error);
	}
	assert_skips(c, &tar);
}

/* ---- what a table cannot say ---- */

static void content_need_not_be_fed(void **state)
{
	CLEANUP(listing_release) struct listing listing;
	CLEANUP(tar_parser_freep) struct tar_parser *parser = NULL;
	CLEANUP(buf_release) struct buf tar;
	struct error err = { 0 };

	(void)state;
	listing_init(&listing);
	buf_init(&tar, 4096);
	/* 10 GiB, in octal, and a header of as many again that the stream ends in */
	put_part(&tar, &(struct part){ .type = '0', .size = B("120000000000") });
	assert_int_equal(tar_parser_new(&parser, record, &listing, &err), 0);
	assert_int_equal(tar_parser_skippable(parser), 0);
	assert_int_equal(tar_parser_feed(parser, tar.data, tar.len, &err), 0);
	assert_int_equal(tar_parser_skippable(parser), UINT64_C(10) << 30);
	tar_parser_skip(parser, 1);
	assert_int_equal(tar_parser_skippable(parser), (UINT64_C(10) << 30) - 1);
	tar_parser_skip(parser, (UINT64_C(10) << 30) - 1);
	assert_int_equal(tar_parser_skippable(parser), 0);
	assert_int_equal(tar_parser_feed(parser, tar.data, tar.len, &err), 0);
	tar_parser_skip(parser, 512);
	assert_int_equal(tar_parser_finish(parser, &err), -EIO);
	assert_string_equal(err.text,
		"offset 10737418752: archive ends at 10737419776, inside the content of an entry");
	assert_int_equal(tar_parser_skippable(parser), 0);
	assert_string_equal(listing.text.data, "file a size=10737418240 data=10737418240@512\n"
					       "file a size=10737418240 "
					       "data=10737418240@10737419264\n");
}

static void behind_the_end_all_may_be_skipped(void **state)
{
	static const struct tar_case one = { .parts = { { .type = '0' } } };
	CLEANUP(listing_release) struct listing listing;
	CLEANUP(tar_parser_freep) struct tar_parser *parser = NULL;
	CLEANUP(buf_release) struct buf tar;
	struct error err = { 0 };

	(void)state;
	listing_init(&listing);
	build(&tar, &one);
	assert_int_equal(tar_parser_new(&parser, record, &listing, &err), 0);
	assert_int_equal(tar_parser_feed(parser, tar.data, tar.len, &err), 0);
	assert_int_equal(tar_parser_skippable(parser), UINT64_MAX);
	tar_parser_skip(parser, UINT64_MAX);
	assert_int_equal(tar_parser_finish(parser, &err), 0);
}

/* Memory that nobody may read stands for the content. */
static void content_is_not_looked_at(void **state)
{
	const size_t len = 1 << 20;
	CLEANUP(listing_release) struct listing listing;
	CLEANUP(tar_parser_freep) struct tar_parser *parser = NULL;
	CLEANUP(buf_release) struct buf tar;
	void *content = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct error err = { 0 };
	int rc;

	(void)state;
	assert_ptr_not_equal(content, MAP_FAILED);
	listing_init(&listing);
	buf_init(&tar, 4096);
	/* 3 MiB, in octal */
	put_part(&tar, &(struct part){ .type = '0', .size = B("00014000000") });
	rc = tar_parser_new(&parser, record, &listing, &err);
	assert_int_equal(rc, 0);
	rc = tar_parser_feed(parser, tar.data, tar.len, &err);
	for (int i = 0; i < 3 && !rc; i++)
		rc = tar_parser_feed(parser, content, len, &err);
	assert_int_equal(rc, 0);
	rc = tar_parser_feed(parser, tar.data, tar.len, &err);
	assert_int_equal(rc, 0);
	assert_string_equal(listing.text.data, "file a size=3145728 data=3145728@512\n"
					       "file a size=3145728 data=3145728@3146752\n");
	(void)munmap(content, len);
}

static void the_callback_can_stop_it(void **state)
{
	static const struct tar_case two = { .parts = { { .type = '0' }, { .type = '5' } } };
	CLEANUP(listing_release) struct listing listing;
	CLEANUP(buf_release) struct buf tar;
	struct error err = { 0 };

	(void)state;
	listing_init(&listing);
	listing.stop_at = 2;
	build(&tar, &two);
	assert_int_equal(read_tar(&listing, tar.data, tar.len, SIZE_MAX / 2, &err), -ENOSPC);
	assert_string_equal(err.text, "offset 512: enough");
	assert_string_equal(listing.text.data, "file a\n");
}

/* Less than a block is no header; nothing but zeroes is an end mark cut short. */
static void a_piece_of_a_block(void **state)
{
	static const struct {
		size_t at, len;
		int rc;
		const char *error;
	} rows[] = {
		{ 0, 1, -EIO, "not a tar archive" },
		{ 0, 511, -EIO, "not a tar archive" },
		{ 512, 100, 0, "" },
		{ 0, 512 + 100, 0, "" },
	};
	static const struct tar_case one = { .parts = { { .type = '0' } } };
	CLEANUP(buf_release) struct buf tar;

	(void)state;
	build(&tar, &one);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(listing_release) struct listing listing;
		struct error err = { 0 };

		listing_init(&listing);
		assert_int_equal(read_tar(&listing, tar.data + rows[i].at, rows[i].len, 7, &err),
			rows[i].rc);
		assert_non_null(strstr(err.text, rows[i].error));
	}
}

/* Reads tar; it must fail so. */
static void assert_refused(const struct buf *tar, int rc, const char *text)
{
	CLEANUP(listing_release) struct listing listing;
	struct error err = { 0 };

	listing_init(&listing);
	assert_int_equal(read_tar(&listing, tar->data, tar->len, SIZE_MAX / 2, &err), rc);
	assert_non_null(strstr(err.text, text));
}

/* A header of type with count attributes from number first on. */
static void put_xattrs(struct buf *tar, char type, unsigned first, unsigned count)
{
	CLEANUP(buf_release) struct buf records;

	buf_init(&records, 1 << 20);
	/* Falling, so that each goes to the front of the list. */
	for (unsigned i = first + count; i > first; i--) {
		buf_printf(&records, "SCHILY.xattr.user.%05u=%u", i, i);
		buf_append(&records, "", 1);
	}
	buf_append(&records, "", 1);
	put_part(tar, &(struct part){ .type = type, .records = records.data });
}

static void attributes_have_a_ceiling(void **state)
{
	static const struct {
		unsigned global, local;
		int rc;
	} rows[] = {
		{ 0, TAR_XATTRS_MAX, 0 },
		{ 0, TAR_XATTRS_MAX + 1, -EFBIG },
		{ TAR_XATTRS_MAX, 0, 0 },
		{ TAR_XATTRS_MAX / 2, TAR_XATTRS_MAX / 2, 0 },
		{ TAR_XATTRS_MAX / 2, TAR_XATTRS_MAX / 2 + 1, -EFBIG },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(listing_release) struct listing listing;
		CLEANUP(buf_release) struct buf tar;
		struct error err = { 0 };
		int rc;

		listing_init(&listing);
		buf_init(&tar, 4 << 20);
		put_xattrs(&tar, 'g', 0, rows[i].global);
		put_xattrs(&tar, 'x', rows[i].global, rows[i].local);
		put_part(&tar, &(struct part){ .type = '0' });
		rc = read_tar(&listing, tar.data, tar.len, SIZE_MAX / 2, &err);
		assert_int_equal(rc, rows[i].rc);
		if (rc)
			assert_non_null(strstr(err.text, "1024 extended attributes"));
		else
			assert_int_equal(listing.seen[0].entry.xattr_count, TAR_XATTRS_MAX);
	}
}

/* One value of size bytes under an own name, for all entries. */
static void put_global(struct buf *tar, const char *name, size_t size)
{
	CLEANUP(buf_release) struct buf record;

	buf_init(&record, 2 << 20);
	buf_printf(&record, "SCHILY.xattr.%s=%0*d", name, (int)size, 0);
	buf_append(&record, "\0", 2);
	put_part(tar, &(struct part){ .type = 'g', .records = record.data });
}

static void global_records_have_a_ceiling(void **state)
{
	CLEANUP(buf_release) struct buf tar;

	(void)state;
	buf_init(&tar, 16 << 20);
	/* The same name again takes the place of the first. */
	for (int i = 0; i < 4; i++)
		put_global(&tar, "user.a", TAR_GLOBAL_MAX / 2);
	put_global(&tar, "user.b", TAR_GLOBAL_MAX / 2);
	assert_refused(&tar, -EFBIG, "global pax records of more than 1048576 bytes");
}

/* CVE-2026-32288: extension blocks that go on for ever, with nothing in them. */
static void gnu_maps_have_a_ceiling(void **state)
{
	char extension[TAR_BLOCK] = { [504] = 1 };
	CLEANUP(buf_release) struct buf tar;

	(void)state;
	buf_init(&tar, 16 << 20);
	put_part(&tar, &(struct part){ .type = 'S',
			       .magic = gnu,
			       .tail = B(GNU_TIMES NONE24 NONE24 NONE24 NONE24 "\1"
									       "00000000000") });
	for (int i = 0; i < TAR_SPARSE_BYTES_MAX / TAR_BLOCK + 1; i++)
		buf_append(&tar, extension, sizeof extension);
	assert_refused(&tar, -EFBIG, "sparse map of more than 1048576 bytes");
}

static void pax_maps_have_a_ceiling(void **state)
{
	CLEANUP(buf_release) struct buf tar, record;

	(void)state;
	buf_init(&tar, 16 << 20);
	buf_init(&record, 1 << 20);
	buf_printf(&record, "GNU.sparse.size=0%cGNU.sparse.map=0,0", 0);
	for (int i = 0; i < TAR_SPARSE_MAX; i++)
		buf_printf(&record, ",0,0");
	buf_append(&record, "\0", 2);
	put_part(&tar, &(struct part){ .type = 'x', .records = record.data });
	put_part(&tar, &(struct part){ .type = '0' });
	assert_refused(&tar, -EFBIG, "sparse map of more than 65536 segments");
}

/* The number of a map may be as long as it likes, the map may not. */
static void text_maps_have_a_ceiling(void **state)
{
	CLEANUP(buf_release) struct buf tar;
	char zeros[TAR_BLOCK];

	(void)state;
	memset(zeros, '0', sizeof zeros);
	buf_init(&tar, 16 << 20);
	put_part(&tar, &(struct part){ .type = 'x',
			       .records = "GNU.sparse.major=1\0GNU.sparse.minor=0\0"
					  "GNU.sparse.realsize=0\0" });
	put_part(&tar, &(struct part){ .type = '0', .size = B("00077777777") });
	for (int i = 0; i < TAR_SPARSE_BYTES_MAX / TAR_BLOCK + 1; i++)
		buf_append(&tar, zeros, sizeof zeros);
	assert_refused(&tar, -EFBIG, "sparse map of more than 1048576 bytes");
}

/* ---- collected archives ---- */

struct fixture {
	char *path, *name;
	const char *verdict; /* of INDEX.json */
};

static const char *fixtures_dir(void)
{
	const char *dir = getenv("IMGFS_FIXTURES");

	return dir && *dir ? dir : NULL;
}

static void read_file(struct buf *buf, const char *path)
{
	FILE *file = fopen(path, "re");
	char block[4096];
	size_t len;

	buf_init(buf, 16 << 20);
	if (!file)
		fail_msg("%s: %s", path, strerror(errno));
	while ((len = fread(block, 1, sizeof block, file)))
		buf_append(buf, block, len);
	(void)fclose(file);
	assert_int_equal(buf_append(buf, "", 0), 0);
}

/*
 * Where bsdtar stands alone.  It passes over global records, which POSIX wants
 * applied; and takes what an old writer left behind the header's fields for the
 * size of the file, which GNU tar and Python do not.
 */
static const struct {
	const char *name, *listing;
} own_listings[] = {
	{ "go--pax-global-records.tar",
		"file global1 mode=0 mtime=1500000000\nfile file2 mode=0 mtime=1500000000\n"
		"file file3 mode=0 mtime=1500000000\nfile file4 mode=0 mtime=1400000000\n" },
	{ "go--nil-uid.tar",
		"file P1050238.JPG.log mode=664 mtime=1365454838 size=14 data=14@512\n" },
};

/* bsdtar's mtree has other digests for sparse files; these are of what bsdtar
 * -xO and Python's tarfile extract. */
static const struct {
	const char *path, *hex;
} sparse_digests[] = {
	{ "sparse", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
	{ "sparse.db", "541b3e9daa09b20bf85fa273e5cbd3e80185aa4ec298e765db87742b70138a53" },
	{ "sparse6", "ac2b29d2460864f7c90fbe49b924d82882938a55efc33b8227efac62294853dc" },
	{ "sparsefile", "8a7df8cd6876e760e34f87c5c3376b64ab2cddaf0b877551e5f8d5993c74d897" },
	{ "sparse-gnu", "ed7c086b492e5f08afd6f20f81d445bcc007c24c5f6aad6d30f9d7e5a9ae34d9" },
	{ "sparse-posix-0.0", "ed7c086b492e5f08afd6f20f81d445bcc007c24c5f6aad6d30f9d7e5a9ae34d9" },
	{ "sparse-posix-0.1", "ed7c086b492e5f08afd6f20f81d445bcc007c24c5f6aad6d30f9d7e5a9ae34d9" },
	{ "sparse-posix-1.0", "ed7c086b492e5f08afd6f20f81d445bcc007c24c5f6aad6d30f9d7e5a9ae34d9" },
};

static const char *sparse_digest(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(sparse_digests); i++)
		if (strcmp(sparse_digests[i].path, path) == 0)
			return sparse_digests[i].hex;
	return "a digest for this file";
}

/* Without "./" or "/" in front and "/" behind. */
static size_t trim_path(const char **path, size_t len)
{
	while (len > 1 && ((*path)[0] == '/' || ((*path)[0] == '.' && (*path)[1] == '/'))) {
		size_t skip = (*path)[0] == '/' ? 1 : 2;

		*path += skip;
		len -= skip;
	}
	while (len && (*path)[len - 1] == '/')
		len--;
	return len;
}

/* The last entry of a name is the one that stays. */
static const struct tar_entry *find_entry(const struct listing *listing, const char *path)
{
	size_t len = trim_path(&path, strlen(path));

	for (size_t i = listing->count; i-- > 0;) {
		const struct tar_entry *entry = &listing->seen[i].entry;
		const char *own = entry->path;

		if (trim_path(&own, entry->path_len) == len && memcmp(own, path, len) == 0)
			return entry;
	}
	return NULL;
}

static void assert_content(const struct tar_entry *entry, const struct buf *tar, const char *hex)
{
	const struct tar_segment whole = { 0, entry->size };
	const struct tar_segment *segments = entry->is_sparse ? entry->segments : &whole;
	size_t count = entry->is_sparse ? entry->segment_count : 1;
	CLEANUP(freep) char *content = calloc(1, entry->size + 1);
	const char *stored = tar->data + entry->data_offset;
	struct digest digest;
	char own[DIGEST_HEX_MAX];

	assert_non_null(content);
	assert_true(entry->data_offset + entry->data_size <= tar->len);
	for (size_t i = 0; i < count; i++) {
		assert_true(segments[i].offset + segments[i].size <= entry->size);
		memcpy(content + segments[i].offset, stored, segments[i].size);
		stored += segments[i].size;
	}
	assert_int_equal(stored - (tar->data + entry->data_offset), entry->data_size);
	assert_int_equal(digest_of(&digest, DIGEST_SHA256, content, entry->size, NULL), 0);
	assert_string_equal(digest_hex(&digest, own), hex);
}

/* mtree writes bytes as \ooo; in place. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++) {
		if (*text == '\\') {
			*to++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 |
				       (text[3] - '0'));
			text += 3;
		} else {
			*to++ = *text;
		}
	}
	*to = '\0';
}

static void assert_type(const struct tar_entry *entry, const char *type)
{
	if (entry->type == TAR_HARDLINK) /* mtree knows no hard links */
		assert_string_equal(type, "file");
	else
		assert_string_equal(type, type_names[entry->type]);
}

/* One keyword=value of an mtree line. */
static void assert_keyword(
	const struct tar_entry *entry, const struct buf *tar, const char *key, char *value)
{
	if (strcmp(key, "time") == 0) {
		/* seconds, a dot, and nanoseconds without leading zeroes */
		assert_int_equal(entry->mtime, strtoll(value, &value, 10));
		assert_int_equal(entry->mtime_nsec, strtoll(value + 1, NULL, 10));
	} else if (strcmp(key, "mode") == 0) {
		assert_int_equal(entry->mode, strtol(value, NULL, 8));
	} else if (strcmp(key, "uid") == 0) {
		assert_int_equal(entry->uid, strtoll(value, NULL, 10));
	} else if (strcmp(key, "gid") == 0) {
		assert_int_equal(entry->gid, strtoll(value, NULL, 10));
	} else if (strcmp(key, "type") == 0) {
		assert_type(entry, value);
	} else if (strcmp(key, "link") == 0) {
		unescape(value);
		assert_string_equal(entry->link, value);
	} else if (strcmp(key, "size") == 0 && entry->type == TAR_REGULAR) {
		assert_int_equal(entry->size, strtoll(value, NULL, 10));
	} else if (strcmp(key, "sha256digest") == 0 && entry->type == TAR_REGULAR) {
		assert_content(entry, tar, entry->is_sparse ? sparse_digest(entry->path) : value);
	}
}

/* Each line of the mtree has its entry, each path its line. */
static void assert_mtree(const struct listing *listing, const struct buf *tar, char *mtree)
{
	size_t lines = 0, paths = 0;
	char *next_line, *next_word;

	for (char *line = strtok_r(mtree, "\n", &next_line); line;
		line = strtok_r(NULL, "\n", &next_line)) {
		char *path = strtok_r(line, " ", &next_word), *word;
		const struct tar_entry *entry;

		if (*path == '#')
			continue;
		lines++;
		unescape(path);
		entry = find_entry(listing, path);
		if (!entry)
			fail_msg("no entry '%s'", path);
		while ((word = strtok_r(NULL, " ", &next_word))) {
			char *value = strchr(word, '=');

			assert_non_null(value);
			*value++ = '\0';
			assert_keyword(entry, tar, word, value);
		}
	}
	for (size_t i = 0; i < listing->count; i++)
		paths +=
			find_entry(listing, listing->seen[i].entry.path) == &listing->seen[i].entry;
	assert_int_equal(lines, paths);
}

static void assert_valid(
	const struct fixture *fixture, const struct listing *listing, const struct buf *tar)
{
	CLEANUP(buf_release) struct buf mtree;
	char path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(own_listings); i++) {
		if (strcmp(own_listings[i].name, fixture->name) == 0) {
			assert_string_equal(listing->text.data, own_listings[i].listing);
			return;
		}
	}
	(void)snprintf(
		path, sizeof path, "%s/archives/EXPECT/%s.mtree", fixtures_dir(), fixture->name);
	read_file(&mtree, path);
	assert_mtree(listing, tar, mtree.data);
}

static void collected(void **state)
{
	const struct fixture *fixture = *state;
	CLEANUP(listing_release) struct listing whole;
	CLEANUP(buf_release) struct buf tar;
	struct error err = { 0 };
	int rc;

	read_file(&tar, fixture->path);
	listing_init(&whole);
	rc = read_tar(&whole, tar.data, tar.len, SIZE_MAX / 2, &err);
	for (size_t i = 1; i < ARRAY_SIZE(chunks); i++) {
		CLEANUP(listing_release) struct listing pieces;
		struct error again = { 0 };

		listing_init(&pieces);
		assert_int_equal(read_tar(&pieces, tar.data, tar.len, chunks[i], &again), rc);
		assert_string_equal(pieces.text.data, whole.text.data);
		assert_string_equal(again.text, err.text);
	}
	if (strcmp(fixture->verdict, "valid") == 0) {
		if (rc)
			fail_msg("%s", err.text);
		assert_valid(fixture, &whole, &tar);
	} else if (strcmp(fixture->verdict, "invalid") == 0) {
		assert_int_equal(rc, -EIO);
	}
}

static void no_fixtures(void **state)
{
	(void)state;
	print_message("IMGFS_FIXTURES is not set\n");
	skip();
}

/* The verdict of an archive in INDEX.json, which prints keys in order, each on
 * its line: the first "verdict" behind the name is its own. */
static const char *verdict_of(const char *idx, const char *name)
{
	static const char *const verdicts[] = { "valid", "invalid", "disputed" };
	char key[256];
	const char *at;

	(void)snprintf(key, sizeof key, "\"%s\": {", name);
	at = strstr(idx, key);
	at = at ? strstr(at, "\"verdict\": \"") : NULL;
	for (size_t i = 0; at && i < ARRAY_SIZE(verdicts); i++)
		if (strncmp(at + strlen("\"verdict\": \""), verdicts[i], strlen(verdicts[i])) == 0)
			return verdicts[i];
	return "disputed";
}

static const struct CMUnitTest by_hand[] = {
	cmocka_unit_test(content_is_not_looked_at),
	cmocka_unit_test(content_need_not_be_fed),
	cmocka_unit_test(behind_the_end_all_may_be_skipped),
	cmocka_unit_test(the_callback_can_stop_it),
	cmocka_unit_test(a_piece_of_a_block),
	cmocka_unit_test(attributes_have_a_ceiling),
	cmocka_unit_test(global_records_have_a_ceiling),
	cmocka_unit_test(gnu_maps_have_a_ceiling),
	cmocka_unit_test(pax_maps_have_a_ceiling),
	cmocka_unit_test(text_maps_have_a_ceiling),
};

enum { FIXTURES_MAX = 256 };

/* One test for each archive; returns how many. */
static size_t find_fixtures(struct CMUnitTest *tests, struct fixture *fixtures, glob_t *found)
{
	CLEANUP(buf_release) struct buf idx;
	char pattern[PATH_MAX];
	size_t count = 0;

	buf_init(&idx, 0);
	if (!fixtures_dir()) {
		tests[0] = (struct CMUnitTest)cmocka_unit_test(no_fixtures);
		return 1;
	}
	(void)snprintf(pattern, sizeof pattern, "%s/archives/EXPECT/INDEX.json", fixtures_dir());
	read_file(&idx, pattern);
	(void)snprintf(pattern, sizeof pattern, "%s/archives/*.tar", fixtures_dir());
	if (glob(pattern, 0, NULL, found))
		return 0;
	for (; count < found->gl_pathc && count < FIXTURES_MAX; count++) {
		struct fixture *fixture = &fixtures[count];

		fixture->path = found->gl_pathv[count];
		fixture->name = strrchr(fixture->path, '/') + 1;
		fixture->verdict = verdict_of(idx.data, fixture->name);
		tests[count] = (struct CMUnitTest){
			.name = fixture->name, .test_func = collected, .initial_state = fixture
		};
	}
	return count;
}

int main(void)
{
	static struct CMUnitTest tests[ARRAY_SIZE(tar_cases) + ARRAY_SIZE(by_hand) + FIXTURES_MAX];
	static struct fixture fixtures[FIXTURES_MAX];
	glob_t found = { 0 };
	size_t count = 0;
	int rc;

	for (size_t i = 0; i < ARRAY_SIZE(tar_cases); i++)
		tests[count++] = (struct CMUnitTest){ .name = tar_cases[i].name,
			.test_func = reads,
			.initial_state = (void *)&tar_cases[i] };
	for (size_t i = 0; i < ARRAY_SIZE(by_hand); i++)
		tests[count++] = by_hand[i];
	count += find_fixtures(tests + count, fixtures, &found);
	rc = _cmocka_run_group_tests("tar", tests, count, NULL, NULL);
	globfree(&found);
	return rc;
}
