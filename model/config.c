/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OCI and Docker configs share their shape.  What the field leaves out (a
 * platform, history) is left out here as well; only what would mislead is
 * refused.
 */
#include "model/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "model/cleanup.h"
#include "model/error.h"
#include "model/json.h"

static int parse_rootfs(struct image_config *config, struct json_object *object, struct error *err)
{
	struct json_object *rootfs = NULL, *array = NULL;
	CLEANUP(freep) char *type = NULL;
	size_t count;
	int rc;

	rc = json_get_object(object, "rootfs", &rootfs, err);
	if (!rc)
		rc = json_get_string(rootfs, "type", &type, err);
	if (rc)
		return rc;
	/* config.md: implementations must refuse a type they do not know. */
	if (type && *type && strcmp(type, "layers"))
		return error_set(err, EOPNOTSUPP, "rootfs of type '%.64s'", type);
	rc = parse_list(&array, (void **)&config->diff_ids, sizeof *config->diff_ids, rootfs,
		"diff_ids", IMAGE_LAYERS_MAX, err);
	if (rc || !array)
		return rc;

	count = json_object_array_length(array);
	for (size_t i = 0; i < count; i++) {
		struct json_object *text = json_object_array_get_idx(array, i);

		if (!json_object_is_type(text, json_type_string))
			return error_set(
				err, EIO, "diff_id %zu of %zu is not a string", i + 1, count);
		rc = digest_parse(&config->diff_ids[i], json_object_get_string(text), err);
		if (rc)
			return error_prefix(
				err, rc == -EINVAL ? -EIO : rc, "diff_id %zu of %zu", i + 1, count);
	}
	config->diff_id_count = count;
	return 0;
}

/* A null entry (object is NULL) is one without members, as for Go. */
static int parse_history_entry(
	struct history_entry *entry, struct json_object *object, struct error *err)
{
	int rc;

	if (object && !json_object_is_type(object, json_type_object))
		return error_set(err, EIO, "not an object");
	rc = parse_text(&entry->created, object, "created", err);
	if (!rc)
		rc = parse_text(&entry->created_by, object, "created_by", err);
	if (!rc)
		rc = parse_text(&entry->author, object, "author", err);
	if (!rc)
		rc = parse_text(&entry->comment, object, "comment", err);
	if (!rc)
		rc = json_get_bool(object, "empty_layer", &entry->is_empty_layer, err);
	return rc;
}

static int parse_history(struct image_config *config, struct json_object *object, struct error *err)
{
	struct json_object *array = NULL;
	int rc;

	rc = parse_list(&array, (void **)&config->history, sizeof *config->history, object,
		"history", IMAGE_HISTORY_MAX, err);
	if (rc || !array)
		return rc;
	/* Counted at once: what a failure leaves half made is then released. */
	config->history_count = json_object_array_length(array);
	for (size_t i = 0; i < config->history_count; i++) {
		rc = parse_history_entry(
			&config->history[i], json_object_array_get_idx(array, i), err);
		if (rc)
			return error_prefix(
				err, rc, "history entry %zu of %zu", i + 1, config->history_count);
	}
	return 0;
}

static int parse(struct image_config *config, const char *bytes, size_t len, struct error *err)
{
	CLEANUP(json_putp) struct json_object *object = NULL;
	int rc;

	rc = document_check_size(len, err);
	if (!rc)
		rc = json_parse(&object, bytes, len, err);
	if (rc)
		return rc;
	if (!json_object_is_type(object, json_type_object))
		return error_set(err, EIO, "not a JSON object");
	rc = parse_platform(&config->platform, object, err);
	if (!rc)
		rc = parse_text(&config->created, object, "created", err);
	if (!rc)
		rc = parse_text(&config->author, object, "author", err);
	if (!rc)
		rc = parse_rootfs(config, object, err);
	if (!rc)
		rc = parse_history(config, object, err);
	return rc;
}

int image_parse_config(struct image *image, const char *bytes, size_t len, struct error *err)
{
	CLEANUP(image_config_release) struct image_config config = { 0 };
	int rc;

	if (image->is_artifact)
		return error_set(err, EOPNOTSUPP, "config: an artifact has no image config");
	rc = parse(&config, bytes, len, err);
	if (rc)
		return error_prefix(err, rc, "config");
	image_config_release(&image->parsed);
	image->parsed = config;
	image->has_config = true;
	config = (struct image_config){ 0 };
	return 0;
}

void image_config_release(struct image_config *config)
{
	platform_release(&config->platform);
	free(config->created);
	free(config->author);
	free(config->diff_ids);
	for (size_t i = 0; i < config->history_count; i++) {
		free(config->history[i].created);
		free(config->history[i].created_by);
		free(config->history[i].author);
		free(config->history[i].comment);
	}
	free(config->history);
	*config = (struct image_config){ 0 };
}
