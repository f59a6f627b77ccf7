/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/listing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/cleanup.h"

enum { TEXT_BLOCK = 64 << 10 };

struct text_block {
	struct text_block *next;
	size_t used, room;
	char text[];
};

static char *keep_text(struct listing *listing, const char *text)
{
	size_t len = strlen(text) + 1;
	struct text_block *block = listing->text;
	char *copy;

	if (!block || block->room - block->used < len) {
		size_t room = len > TEXT_BLOCK ? len : TEXT_BLOCK;

		block = malloc(sizeof *block + room);
		if (!block)
			return NULL;
		*block = (struct text_block){ .next = listing->text, .room = room };
		listing->text = block;
		listing->bytes += sizeof *block + room;
	}
	copy = block->text + block->used;
	memcpy(copy, text, len);
	block->used += len;
	return copy;
}

int listing_add(struct listing *listing, const char *name, mode_t mode, uint64_t ino)
{
	struct listing_entry *entries = listing->entries;
	const char *copy = keep_text(listing, name);

	if (!copy)
		return -ENOMEM;
	if ((listing->count & (listing->count - 1)) == 0) {
		entries = realloc(
			entries, (listing->count ? 2 * listing->count : 1) * sizeof *entries);
		if (!entries)
			return -ENOMEM;
		listing->entries = entries;
		listing->bytes += (listing->count ? listing->count : 1) * sizeof *entries;
	}
	entries[listing->count++] = (struct listing_entry){ copy, mode & S_IFMT, ino, 0 };
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct listing_entry *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int by_place(const void *a, const void *b)
{
	const struct listing_entry *x = a, *y = b;

	return (x->place > y->place) - (x->place < y->place);
}

int listing_place(struct listing *listing, const struct listing *old)
{
	size_t old_count = old ? old->count : 0;
	CLEANUP(freep) struct listing_entry *known = calloc(old_count + 1, sizeof *known);

	if (!known)
		return -ENOMEM;
	if (old_count)
		memcpy(known, old->entries, old_count * sizeof *known);
	qsort(known, old_count, sizeof *known, by_name);
	listing->last_place = old ? old->last_place : 0;
	for (size_t i = 0; i < listing->count; i++) {
		struct listing_entry *entry = &listing->entries[i];
		const struct listing_entry *found =
			bsearch(entry, known, old_count, sizeof *known, by_name);

		entry->place = found ? found->place : ++listing->last_place;
	}
	if (listing->count)
		qsort(listing->entries, listing->count, sizeof *listing->entries, by_place);
	return 0;
}

size_t listing_behind(const struct listing *listing, uint64_t place)
{
	size_t low = 0, high = listing->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (listing->entries[middle].place <= place)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void listing_free(struct listing *listing)
{
	if (!listing)
		return;
	while (listing->text) {
		struct text_block *block = listing->text;

		listing->text = block->next;
		free(block);
	}
	free(listing->entries);
	free(listing);
}
