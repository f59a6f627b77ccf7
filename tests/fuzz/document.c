/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents as a registry may send them.  The first byte picks how the rest
 * is read.  Beyond not crashing: what is written can be read again, and
 * writing that gives the same bytes.
 */
#include "model/image.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Announced types by the first byte; NULL announces nothing. */
static const char *const announced[] = {
	NULL,
	"application/vnd.oci.image.manifest.v1+json",
	"application/vnd.oci.image.index.v1+json",
	"application/vnd.docker.distribution.manifest.v2+json",
	"application/vnd.docker.distribution.manifest.list.v2+json",
	"application/vnd.docker.distribution.manifest.v1+prettyjws",
	"text/plain",
};

static void check(bool is_true)
{
	if (!is_true)
		abort();
}

static void write_image(const struct image *image, enum media_family family)
{
	enum document_kind kind = family == FAMILY_OCI ? DOCUMENT_OCI_MANIFEST : DOCUMENT_SCHEMA2;
	CLEANUP(buf_release) struct buf first = { .max = 4 * DOCUMENT_MAX };
	CLEANUP(buf_release) struct buf second = { .max = 4 * DOCUMENT_MAX };
	CLEANUP(buf_release) struct buf dropped = { .max = 4096 };
	CLEANUP(image_release) struct image again = { 0 };

	if (image_write(image, family, &first, &dropped, NULL))
		return;
	check(!image_parse(&again, kind, first.data, first.len, NULL));
	check(again.layer_count == image->layer_count);
	check(!image_write(&again, family, &second, NULL, NULL));
	check(first.len == second.len && !memcmp(first.data, second.data, first.len));
}

static void write_index(const struct image_index *idx, enum media_family family)
{
	enum document_kind kind = family == FAMILY_OCI ? DOCUMENT_OCI_INDEX : DOCUMENT_DOCKER_LIST;
	CLEANUP(buf_release) struct buf first = { .max = 4 * DOCUMENT_MAX };
	CLEANUP(buf_release) struct buf second = { .max = 4 * DOCUMENT_MAX };
	CLEANUP(buf_release) struct buf dropped = { .max = 4096 };
	CLEANUP(image_index_release) struct image_index again = { 0 };

	check(!image_index_write(
		idx, family, idx->entries, idx->entry_count, &first, &dropped, NULL));
	check(!image_index_parse(&again, kind, first.data, first.len, NULL));
	check(again.entry_count == idx->entry_count);
	check(!image_index_write(
		&again, family, again.entries, again.entry_count, &second, NULL, NULL));
	check(first.len == second.len && !memcmp(first.data, second.data, first.len));
}

static void read_image(enum document_kind kind, const char *bytes, size_t len)
{
	CLEANUP(image_release) struct image image = { 0 };

	if (image_parse(&image, kind, bytes, len, NULL))
		return;
	write_image(&image, FAMILY_OCI);
	write_image(&image, FAMILY_DOCKER);
}

static void read_index(enum document_kind kind, const char *bytes, size_t len)
{
	CLEANUP(image_index_release) struct image_index idx = { 0 };
	char name[PLATFORM_NAME_MAX];
	struct digest subject;

	if (image_index_parse(&idx, kind, bytes, len, NULL))
		return;
	for (size_t i = 0; i < idx.entry_count; i++) {
		const struct descriptor *entry = &idx.entries[i];

		(void)image_index_entry_is_attestation(entry, &subject);
		if (!entry->has_platform)
			continue;
		platform_directory_name(&entry->platform, name);
		check(*name && !strchr(name, '/') && strcmp(name, ".") && strcmp(name, ".."));
		check(platform_match(&entry->platform, &entry->platform) > 0);
	}
	write_index(&idx, FAMILY_OCI);
	write_index(&idx, FAMILY_DOCKER);
}

static void read_config(const char *bytes, size_t len)
{
	struct descriptor layers[4] = { 0 };
	struct image image = { .kind = DOCUMENT_OCI_MANIFEST };
	struct digest chain;

	if (!image_parse_config(&image, bytes, len, NULL)) {
		image.layers = layers;
		image.layer_count = ARRAY_SIZE(layers);
		for (size_t i = 0; i < ARRAY_SIZE(layers); i++) {
			(void)image_layer_history(&image, i);
			(void)image_chain_id(&chain, &image, i, NULL);
		}
		image.layers = NULL;
		image.layer_count = 0;
	}
	image_release(&image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum document_kind kind = DOCUMENT_UNKNOWN;
	const char *bytes;
	size_t len;

	if (!size)
		return 0;
	bytes = (const char *)data + 1;
	len = size - 1;
	if (data[0] >= ARRAY_SIZE(announced)) {
		read_config(bytes, len);
		return 0;
	}
	if (!document_kind(&kind, announced[data[0]], bytes, len, NULL)) {
		read_image(kind, bytes, len);
		read_index(kind, bytes, len);
	}
	return 0;
}
