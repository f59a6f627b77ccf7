/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The map of a sparse file.
 *
 * It is checked while it grows: segments ascend and do not overlap, so a
 * reader can search them.  Empty segments are counted but not kept (writers
 * put one at the end to mark the size), and one that touches the segment
 * before is added to it: stored data has no gaps.
 *
 * Both ceilings answer the unbounded maps of CVE-2025-58183 (Go) and its kin.
 */
#include "model/tar/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "model/error.h"

static int append(struct sparse_map *map, uint64_t offset, uint64_t size, struct error *err)
{
	if (map->count == map->capacity) {
		size_t capacity = map->capacity ? map->capacity * 2 : 16;
		struct tar_segment *segments =
			reallocarray(map->segments, capacity, sizeof *segments);

		if (!segments)
			return error_set(err, ENOMEM, "out of memory");
		map->segments = segments;
		map->capacity = capacity;
	}
	map->segments[map->count++] = (struct tar_segment){ offset, size };
	return 0;
}

int sparse_add(struct sparse_map *map, uint64_t offset, uint64_t size, struct error *err)
{
	struct tar_segment *last = map->count ? &map->segments[map->count - 1] : NULL;
	int rc = 0;

	if (map->written == TAR_SPARSE_MAX)
		return error_set(
			err, EFBIG, "sparse map of more than %d segments", (int)TAR_SPARSE_MAX);
	if (offset < map->end)
		return error_set(err, EIO,
			"sparse map: segment at %" PRIu64
			" begins before the end of the last, %" PRIu64,
			offset, map->end);
	if (offset > INT64_MAX || size > INT64_MAX - offset)
		return error_set(err, EIO, "sparse map: segment at %" PRIu64 " has no end", offset);
	if (last && last->offset + last->size == offset)
		last->size += size;
	else if (size)
		rc = append(map, offset, size, err);
	if (rc)
		return rc;
	map->written++;
	map->end = offset + size;
	map->stored += size; /* below 2^63: segments do not overlap */
	return 0;
}

int sparse_check(
	const struct sparse_map *map, uint64_t real_size, uint64_t stored_size, struct error *err)
{
	if (map->end > real_size)
		return error_set(err, EIO, "sparse map: ends at %" PRIu64 ", the file at %" PRIu64,
			map->end, real_size);
	if (map->stored != stored_size)
		return error_set(err, EIO, "sparse map: of %" PRIu64 " bytes, stored are %" PRIu64,
			map->stored, stored_size);
	return 0;
}

void sparse_reset(struct sparse_map *map)
{
	*map = (struct sparse_map){ .segments = map->segments, .capacity = map->capacity };
}

void sparse_release(struct sparse_map *map)
{
	free(map->segments);
	*map = (struct sparse_map){ 0 };
}

/*
 * The list ends at the first entry left blank.  Whether another block follows
 * is said by is_extended alone, even behind the end of the list: libarchive,
 * Go and Python read that block.  GNU tar does not, so entries in it would be
 * a map to some and content to others: refused.
 */
int sparse_add_gnu(
	struct sparse_map *map, const struct gnu_sparse *entries, size_t count, struct error *err)
{
	for (size_t i = 0; i < count; i++) {
		const struct gnu_sparse *entry = &entries[i];
		uint64_t offset, size;
		int rc;

		if (entry->offset[0] == '\0' && entry->size[0] == '\0') {
			map->is_closed = true;
			break;
		}
		if (map->is_closed)
			return error_set(err, EIO, "sparse map: goes on behind its end");
		rc = header_number(&offset, entry->offset, sizeof entry->offset, INT64_MAX,
			"sparse offset", err);
		if (!rc)
			rc = header_number(&size, entry->size, sizeof entry->size, INT64_MAX,
				"sparse size", err);
		if (!rc)
			rc = sparse_add(map, offset, size, err);
		if (rc)
			return rc;
	}
	return 0;
}

/* One line of the map is complete: the count, then offset and size in turn. */
static int take_number(
	struct sparse_map *map, struct sparse_text *text, uint64_t number, struct error *err)
{
	if (!text->has_count) {
		text->has_count = true;
		text->count = number;
		if (number > TAR_SPARSE_MAX)
			return error_set(err, EFBIG, "sparse map of %" PRIu64 " segments", number);
		return 0;
	}
	if (!text->has_offset) {
		text->has_offset = true;
		text->offset = number;
		return 0;
	}
	text->has_offset = false;
	text->count--;
	return sparse_add(map, text->offset, number, err);
}

int sparse_add_text(struct sparse_map *map, struct sparse_text *text,
	const char block[static TAR_BLOCK], bool *ret_done, struct error *err)
{
	if (text->bytes + TAR_BLOCK > TAR_SPARSE_BYTES_MAX)
		return error_set(
			err, EFBIG, "sparse map of more than %d bytes", (int)TAR_SPARSE_BYTES_MAX);
	text->bytes += TAR_BLOCK;
	for (size_t i = 0; i < TAR_BLOCK; i++) {
		bool is_digit = block[i] >= '0' && block[i] <= '9';
		int rc;

		if (is_digit) {
			if (!decimal_push(&text->number, block[i]))
				return error_set(err, EIO, "sparse map: number too large");
			text->has_digits = true;
			continue;
		}
		if (block[i] != '\n' || !text->has_digits)
			return error_set(err, EIO, "sparse map: not a list of numbers");
		rc = take_number(map, text, text->number, err);
		if (rc)
			return rc;
		text->number = 0;
		text->has_digits = false;
		if (text->count == 0)
			break;
	}
	*ret_done = text->has_count && text->count == 0 && !text->has_digits;
	return 0;
}
