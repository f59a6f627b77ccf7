/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tar parser on any bytes.
 *
 * The first byte chooses the size of the pieces.  The rest is read whole, in
 * pieces, and in pieces without what may be skipped: all must see the same
 * entries and end the same way.  Each entry
 * must keep what tar.h says of it.
 *
 * A block with the magic of a header gets a right checksum first: mutation
 * would hardly ever come past a wrong one.
 */
#include "model/tar/tar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/cleanup.h"
#include "model/error.h"

CLEANUP_POINTER(tar_parser_freep, struct tar_parser, tar_parser_free)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was seen, as one number. */
struct summary {
	uint64_t hash;
	size_t entries;
};

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void mix(struct summary *summary, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < len; i++) /* FNV-1a */
		summary->hash = (summary->hash ^ at[i]) * UINT64_C(1099511628211);
}

static void mix_number(struct summary *summary, uint64_t number)
{
	mix(summary, &number, sizeof number);
}

static void check_segments(struct summary *summary, const struct tar_entry *entry)
{
	uint64_t end = 0, stored = 0;

	require(entry->segment_count <= TAR_SPARSE_MAX);
	for (size_t i = 0; i < entry->segment_count; i++) {
		const struct tar_segment *segment = &entry->segments[i];

		require(segment->size > 0 && segment->offset >= end);
		require(segment->offset <= entry->size &&
			segment->size <= entry->size - segment->offset);
		end = segment->offset + segment->size;
		stored += segment->size;
		mix_number(summary, segment->offset);
		mix_number(summary, segment->size);
	}
	require(stored == entry->data_size);
}

static int check_entry(void *context, const struct tar_entry *entry, struct error *err)
{
	struct summary *summary = context;

	(void)err;
	summary->entries++;
	require(entry->path && strlen(entry->path) == entry->path_len);
	require(entry->link && strlen(entry->link) == entry->link_len);
	require((entry->mode & ~(uint32_t)07777) == 0 && entry->mtime_nsec < 1000000000);
	require(entry->data_size <= INT64_MAX &&
		entry->data_offset <= INT64_MAX - entry->data_size);
	require(entry->type == TAR_REGULAR || (!entry->size && !entry->data_size));
	require(entry->is_sparse || entry->size == entry->data_size);
	if (entry->is_sparse)
		check_segments(summary, entry);
	require(entry->xattr_count <= TAR_XATTRS_MAX);
	for (size_t i = 0; i < entry->xattr_count; i++) {
		const struct tar_xattr *xattr = &entry->xattrs[i];

		require(i == 0 || strcmp(entry->xattrs[i - 1].name, xattr->name) < 0);
		mix(summary, xattr->name, strlen(xattr->name));
		mix(summary, xattr->value, xattr->value_len);
	}
	mix(summary, entry->path, entry->path_len);
	mix(summary, entry->link, entry->link_len);
	mix_number(summary, (uint64_t)entry->type << 32 | entry->mode);
	mix_number(summary, (uint64_t)entry->uid << 32 | entry->gid);
	mix_number(summary, (uint64_t)entry->mtime);
	mix_number(summary, (uint64_t)entry->mtime_nsec << 32 | entry->dev_minor);
	mix_number(summary, entry->data_offset);
	mix_number(summary, entry->data_size);
	mix_number(summary, entry->size);
	return 0;
}

static size_t skip(struct tar_parser *parser, size_t left)
{
	uint64_t len = tar_parser_skippable(parser);

	if (len > left)
		len = left;
	tar_parser_skip(parser, len);
	return (size_t)len;
}

static int read_in_pieces(
	struct summary *summary, const uint8_t *data, size_t size, size_t piece, bool is_skipping)
{
	CLEANUP(tar_parser_freep) struct tar_parser *parser = NULL;
	struct error err = { 0 };
	int rc = tar_parser_new(&parser, check_entry, summary, &err);

	while (!rc && size) {
		size_t part = piece < size ? piece : size;

		rc = tar_parser_feed(parser, data, part, &err);
		data += part;
		size -= part;
		part = is_skipping ? skip(parser, size) : 0;
		data += part;
		size -= part;
	}
	if (!rc)
		rc = tar_parser_finish(parser, &err);
	require((rc == 0) == (err.text[0] == '\0'));
	mix(summary, err.text, strlen(err.text));
	return rc;
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
	CLEANUP(freep) uint8_t *tar = NULL;
	struct summary whole = { 0 }, pieces = { 0 }, headers = { 0 };
	size_t piece;
	int rc;

	if (size-- == 0)
		return 0;
	piece = (size_t)*data++ * 4 + 1;
	tar = malloc(size + 1);
	require(tar);
	memcpy(tar, data, size);
	for (size_t at = 0; size - at >= TAR_BLOCK; at += TAR_BLOCK)
		if (memcmp(tar + at + 257, "ustar", 5) == 0)
			put_checksum(tar + at);
	rc = read_in_pieces(&whole, tar, size, SIZE_MAX, false);
	require(read_in_pieces(&pieces, tar, size, piece, false) == rc);
	require(whole.entries == pieces.entries && whole.hash == pieces.hash);
	require(read_in_pieces(&headers, tar, size, piece, true) == rc);
	require(whole.entries == headers.entries && whole.hash == headers.hash);
	return 0;
}
