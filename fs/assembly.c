/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/assembly.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct assembly *assembly_new(void)
{
	struct assembly *assembly = calloc(1, sizeof *assembly);

	if (assembly)
		buf_init(&assembly->bytes, ASSEMBLY_BYTES_MAX);
	return assembly;
}

void assembly_free(struct assembly *assembly)
{
	if (!assembly)
		return;
	for (size_t i = 0; i < assembly->count; i++)
		descriptor_release(&assembly->parts[i].blob);
	free(assembly->parts);
	buf_release(&assembly->bytes);
	free(assembly);
}

/* Adds an empty part of that length behind the others. */
static int add_part(
	struct assembly *assembly, uint64_t length, struct part **ret, struct error *err)
{
	struct part *parts = assembly->parts;

	if (length > (uint64_t)INT64_MAX - assembly->size)
		return error_set(err, EFBIG, "longer than a file can be");
	if (!(assembly->count & (assembly->count - 1))) {
		parts = realloc(parts, (assembly->count ? 2 * assembly->count : 1) * sizeof *parts);
		if (!parts)
			return error_set(err, ENOMEM, "out of memory");
		assembly->parts = parts;
	}
	*ret = &parts[assembly->count++];
	**ret = (struct part){ .offset = assembly->size, .length = length };
	assembly->size += length;
	return 0;
}

/* What was appended to bytes since the last part is a part. */
static int close_bytes(struct assembly *assembly, struct error *err)
{
	struct part *part = NULL;
	int rc = buf_status(&assembly->bytes);

	if (rc)
		return error_set(err, -rc, "%s", strerror(-rc));
	if (assembly->bytes.len == assembly->bytes_used)
		return 0;
	rc = add_part(assembly, assembly->bytes.len - assembly->bytes_used, &part, err);
	if (rc)
		return rc;
	part->kind = PART_BYTES;
	part->at = assembly->bytes_used;
	assembly->bytes_used = assembly->bytes.len;
	return 0;
}

int assembly_add_blob(struct assembly *assembly, const struct descriptor *blob, struct error *err)
{
	struct part *part = NULL;
	int rc = close_bytes(assembly, err);

	if (rc || !blob->size)
		return rc;
	rc = add_part(assembly, blob->size, &part, err);
	if (rc)
		return rc;
	part->kind = PART_BLOB;
	return descriptor_copy(&part->blob, blob, err);
}

int assembly_add_plain(
	struct assembly *assembly, struct layer_object *layer, uint64_t length, struct error *err)
{
	struct part *part = NULL;
	int rc = close_bytes(assembly, err);

	if (rc || !length)
		return rc;
	rc = add_part(assembly, length, &part, err);
	if (rc)
		return rc;
	part->kind = PART_PLAIN;
	part->layer = layer;
	return 0;
}

int assembly_finish(struct assembly *assembly, struct error *err)
{
	return close_bytes(assembly, err);
}

/* The part that holds the byte at offset. */
static size_t find_part(const struct assembly *assembly, uint64_t offset)
{
	size_t low = 0, high = assembly->count;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (assembly->parts[middle].offset <= offset)
			low = middle;
		else
			high = middle;
	}
	return low;
}

int assembly_read(const struct assembly *assembly, uint64_t offset, struct answer *answer,
	assembly_part_fn *fn, void *context, struct error *err)
{
	int rc = 0;

	for (size_t i = find_part(assembly, offset + answer->done);
		!rc && answer->done < answer->len; i++) {
		const struct part *part = &assembly->parts[i];
		uint64_t skip = offset + answer->done - part->offset;
		size_t left = answer->len - answer->done;
		size_t piece = part->length - skip < left ? (size_t)(part->length - skip) : left;

		if (part->kind == PART_BYTES)
			rc = answer_add(
				answer, assembly->bytes.data + part->at + skip, piece, NULL, err);
		else
			rc = fn(context, assembly, i, skip, piece, answer);
	}
	return rc;
}
