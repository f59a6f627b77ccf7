/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The string area while it is built: append only, and each distinct content
 * once, so that an offset stands for its text.  (An icon theme repeats its
 * file names a hundred times.)
 *
 * Two kinds never share an offset, or a text could have two: texts, which end
 * in a NUL, and records, which are aligned to 8.  The lowest bit of
 * a slot's hash tells them apart.
 */
#include "model/tree/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS_MIN = 1024, AREA_MIN = 4096, ALIGNMENT = 8 };

int strings_init(struct strings *strings)
{
	*strings = (struct strings){ .key = hash_key_make() };
	strings->bytes = calloc(1, AREA_MIN);
	strings->slots = calloc(SLOTS_MIN, sizeof *strings->slots);
	if (!strings->bytes || !strings->slots) {
		strings_release(strings);
		return -ENOMEM;
	}
	strings->capacity = AREA_MIN;
	strings->slot_count = SLOTS_MIN;
	strings->len = ALIGNMENT; /* offset 0 is nobody's */
	return 0;
}

void strings_release(struct strings *strings)
{
	free(strings->bytes);
	free(strings->slots);
	*strings = (struct strings){ 0 };
}

static uint32_t hash_of(
	const struct strings *strings, enum strings_kind kind, const void *bytes, size_t len)
{
	uint64_t hash = hash_bytes(&strings->key, kind, bytes, len);

	return ((uint32_t)hash & ~1u) | (kind == STRINGS_RECORD);
}

static bool holds(const struct strings *strings, uint32_t offset, enum strings_kind kind,
	const void *bytes, size_t len)
{
	size_t size = len + (kind == STRINGS_TEXT);

	return size <= strings->len - offset && !memcmp(strings->bytes + offset, bytes, len) &&
	       (kind == STRINGS_RECORD || !strings->bytes[offset + len]);
}

/* The slot that holds the bytes, or the empty one they belong in. */
static struct strings_slot *slot_of(const struct strings *strings, uint32_t hash,
	enum strings_kind kind, const void *bytes, size_t len)
{
	uint32_t mask = strings->slot_count - 1;

	for (uint32_t i = hash >> 1 & mask;; i = (i + 1) & mask) {
		struct strings_slot *slot = &strings->slots[i];

		if (!slot->offset ||
			(slot->hash == hash && holds(strings, slot->offset, kind, bytes, len)))
			return slot;
	}
}

static int grow_slots(struct strings *strings)
{
	uint32_t count = strings->slot_count * 2;
	struct strings_slot *slots = calloc(count, sizeof *slots);

	if (!slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < strings->slot_count; i++) {
		struct strings_slot slot = strings->slots[i];
		uint32_t at = slot.hash >> 1 & (count - 1);

		if (!slot.offset)
			continue;
		while (slots[at].offset)
			at = (at + 1) & (count - 1);
		slots[at] = slot;
	}
	free(strings->slots);
	strings->slots = slots;
	strings->slot_count = count;
	return 0;
}

/* Makes room for size more bytes at an offset of the given alignment. */
static int reserve(struct strings *strings, size_t size, size_t alignment, uint32_t *ret_offset)
{
	size_t offset = (strings->len + alignment - 1) & ~(alignment - 1);
	size_t capacity = strings->capacity;
	char *bytes;

	if (size > TREE_STRINGS_MAX || offset > TREE_STRINGS_MAX - size)
		return -EFBIG;
	while (capacity < offset + size)
		capacity *= 2;
	if (capacity > strings->capacity) {
		bytes = realloc(strings->bytes, capacity);
		if (!bytes)
			return -ENOMEM;
		strings->bytes = bytes;
		strings->capacity = capacity;
	}
	memset(strings->bytes + strings->len, 0, offset - strings->len);
	*ret_offset = (uint32_t)offset;
	return 0;
}

int strings_add(struct strings *strings, enum strings_kind kind, const void *bytes, size_t len,
	uint32_t *ret_offset)
{
	bool is_text = kind == STRINGS_TEXT;
	uint32_t hash = hash_of(strings, kind, bytes, len);
	struct strings_slot *slot;
	uint32_t offset;
	int rc;

	if (strings->used >= strings->slot_count / 4 * 3) {
		rc = grow_slots(strings);
		if (rc)
			return rc;
	}
	slot = slot_of(strings, hash, kind, bytes, len);
	if (!slot->offset) {
		rc = reserve(strings, len + is_text, is_text ? 1 : ALIGNMENT, &offset);
		if (rc)
			return rc;
		if (len)
			memcpy(strings->bytes + offset, bytes, len);
		if (is_text)
			strings->bytes[offset + len] = '\0';
		strings->len = offset + (uint32_t)len + is_text;
		strings->used++;
		*slot = (struct strings_slot){ hash, offset };
	}
	*ret_offset = slot->offset;
	return 0;
}

uint32_t strings_find(const struct strings *strings, const char *text, size_t len)
{
	uint32_t hash = hash_of(strings, STRINGS_TEXT, text, len);
	const struct strings_slot *slot = slot_of(strings, hash, STRINGS_TEXT, text, len);

	return slot->offset ? slot->offset : TREE_NONE;
}
