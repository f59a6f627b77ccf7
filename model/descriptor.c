/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists without a capacity member: they grow at each power of two, which the
 * count alone tells.
 */
#include "model/descriptor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/cleanup.h"
#include "model/error.h"
#include "model/internal.h"
#include "model/json.h"

const char *annotations_get(const struct annotations *annotations, const char *key)
{
	for (size_t i = 0; i < annotations->count; i++)
		if (!strcmp(annotations->items[i].key, key))
			return annotations->items[i].value;
	return NULL;
}

static int reserve_one(struct annotations *annotations)
{
	size_t count = annotations->count;
	struct annotation *items;

	if (count & (count - 1)) /* not a power of two: there is room */
		return 0;
	items = reallocarray(annotations->items, count ? count * 2 : 1, sizeof *items);
	if (!items)
		return -ENOMEM;
	annotations->items = items;
	return 0;
}

int annotations_add(
	struct annotations *annotations, const char *key, const char *value, struct error *err)
{
	CLEANUP(freep) char *key_copy = NULL;
	CLEANUP(freep) char *value_copy = NULL;

	if (annotations->count >= ANNOTATIONS_MAX)
		return error_set(err, EFBIG, "more than %d annotations", ANNOTATIONS_MAX);
	key_copy = strdup(key);
	value_copy = strdup(value);
	if (!key_copy || !value_copy || reserve_one(annotations))
		return error_set(err, ENOMEM, "annotations: out of memory");
	annotations->items[annotations->count++] =
		(struct annotation){ TAKE(key_copy), TAKE(value_copy) };
	return 0;
}

int annotations_copy(struct annotations *ret, const struct annotations *from, struct error *err)
{
	struct annotations copy = { 0 };

	for (size_t i = 0; i < from->count; i++) {
		int rc = annotations_add(&copy, from->items[i].key, from->items[i].value, err);

		if (rc) {
			annotations_release(&copy);
			return rc;
		}
	}
	*ret = copy;
	return 0;
}

void annotations_release(struct annotations *annotations)
{
	for (size_t i = 0; i < annotations->count; i++) {
		free(annotations->items[i].key);
		free(annotations->items[i].value);
	}
	free(annotations->items);
	*annotations = (struct annotations){ 0 };
}

static int copy_text(char **ret, const char *from, struct error *err)
{
	if (!from)
		return 0;
	*ret = strdup(from);
	return *ret ? 0 : error_set(err, ENOMEM, "descriptor: out of memory");
}

int descriptor_copy(struct descriptor *ret, const struct descriptor *from, struct error *err)
{
	CLEANUP(descriptor_release)
	struct descriptor copy = {
		.digest = from->digest,
		.size = from->size,
		.has_platform = from->has_platform,
	};
	int rc;

	rc = copy_text(&copy.media_type, from->media_type, err);
	if (!rc)
		rc = copy_text(&copy.artifact_type, from->artifact_type, err);
	if (!rc)
		rc = copy_text(&copy.data, from->data, err);
	if (!rc)
		rc = copy_text(&copy.layer_id, from->layer_id, err);
	if (!rc && from->has_platform)
		rc = platform_copy(&copy.platform, &from->platform, err);
	if (!rc)
		rc = annotations_copy(&copy.annotations, &from->annotations, err);
	if (!rc)
		rc = strings_copy(&copy.urls, from->urls, err);
	if (rc)
		return rc;
	*ret = copy;
	copy = (struct descriptor){ 0 };
	return 0;
}

void descriptor_release(struct descriptor *descriptor)
{
	free(descriptor->media_type);
	free(descriptor->artifact_type);
	free(descriptor->data);
	free(descriptor->layer_id);
	platform_release(&descriptor->platform);
	annotations_release(&descriptor->annotations);
	strings_free(descriptor->urls);
	*descriptor = (struct descriptor){ 0 };
}
