/* SPDX-License-Identifier: Apache-2.0 */
/*
 * V1 images: the JSON of one layer a line, base first.  They go the whole way, to the
 * document that stands for them, to schema 2, and to what docker save would
 * make of that, which is a V1 image again.
 */
#include "model/image.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ENTRIES_MAX = 64 };

static void check(bool is_true)
{
	if (!is_true)
		abort();
}

/* The lines are borrowed. */
static size_t split(struct v1_entry *entries, const uint8_t *data, size_t size)
{
	size_t count = 0;

	while (size && count < ENTRIES_MAX) {
		const uint8_t *end = memchr(data, '\n', size);
		size_t len = end ? (size_t)(end - data) : size;

		entries[count++] =
			(struct v1_entry){ .json = (char *)(uintptr_t)data, .json_len = len };
		len += end != NULL;
		data += len;
		size -= len;
	}
	return count;
}

static void parse_again(const struct v1_entry *entries, size_t count)
{
	CLEANUP(buf_release) struct buf text = { .max = DOCUMENT_MAX };
	CLEANUP(image_release) struct image image = { 0 };

	if (v1_document_write(entries, count, &text, NULL))
		return;
	check(!image_parse(&image, DOCUMENT_V1, text.data, text.len, NULL));
	check(image.layer_count == count);
	for (size_t i = 0; i < count; i++)
		check(!strcmp(image.layers[i].layer_id, entries[i].id));
}

static void save(const struct image *image, const struct buf *config)
{
	struct v1_entry *entries = NULL;

	if (v1_entries_make(&entries, image, config->data, config->len, NULL))
		return;
	parse_again(entries, image->layer_count);
	v1_entries_free(entries, image->layer_count);
}

static void upgrade(const struct image *from)
{
	struct layer_facts facts[ENTRIES_MAX] = { 0 };
	CLEANUP(buf_release) struct buf config = { .max = DOCUMENT_MAX };
	CLEANUP(image_release) struct image image = { 0 };

	for (size_t i = 0; i < from->layer_count; i++) {
		facts[i].diff_id = (struct digest){ .algorithm = DIGEST_SHA256, .bytes = { 1 } };
		facts[i].digest = facts[i].diff_id;
		facts[i].coding = CODING_PLAIN;
	}
	if (image_upgrade(&image, from, facts, &config, NULL))
		return;
	check(image.layer_count == from->layer_count);
	check(image.parsed.history_count == from->layer_count);
	save(&image, &config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(buf_release) struct buf text = { .max = DOCUMENT_MAX };
	CLEANUP(image_release) struct image image = { 0 };
	struct v1_entry entries[ENTRIES_MAX];
	size_t count = split(entries, data, size);

	if (v1_document_write(entries, count, &text, NULL) ||
		image_parse(&image, DOCUMENT_V1, text.data, text.len, NULL))
		return 0;
	check(image.layer_count == count && image.v1_count == count);
	upgrade(&image);
	return 0;
}
