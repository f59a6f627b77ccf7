/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pieces that manifests, indexes and configs are made of.  A member of
 * the wrong type, or a digest that is none, makes the document malformed
 * (-EIO); members nobody asked for are passed over.
 */
#include "model/internal.h"

#include <errno.h>
#include <stdlib.h>

#include <json-c/json.h>

#include "model/cleanup.h"
#include "model/error.h"
#include "model/json.h"

int parse_digest(
	struct digest *ret, struct json_object *object, const char *name, struct error *err)
{
	CLEANUP(freep) char *text = NULL;
	int rc;

	rc = json_get_string(object, name, &text, err);
	if (rc)
		return rc;
	if (!text)
		return error_set(err, EIO, "'%s' is missing", name);
	rc = digest_parse(ret, text, err);
	return rc == -EINVAL ? -EIO : rc;
}

int parse_text(char **ret, struct json_object *object, const char *name, struct error *err)
{
	int rc = json_get_string(object, name, ret, err);

	if (rc || *ret)
		return rc;
	*ret = calloc(1, 1);
	return *ret ? 0 : error_set(err, ENOMEM, "'%s': out of memory", name);
}

int parse_list(struct json_object **ret_array, void **ret, size_t size, struct json_object *object,
	const char *name, size_t max, struct error *err)
{
	struct json_object *array = NULL;
	size_t count;
	int rc;

	rc = json_get_array(object, name, &array, err);
	if (rc || !array)
		return rc;
	count = json_object_array_length(array);
	if (count > max)
		return error_set(err, EFBIG, "'%s' has more than %zu entries", name, max);
	*ret = calloc(count ? count : 1, size);
	if (!*ret)
		return error_set(err, ENOMEM, "'%s': out of memory", name);
	*ret_array = array;
	return 0;
}

int parse_platform(struct platform *ret, struct json_object *object, struct error *err)
{
	CLEANUP(platform_release) struct platform platform = { 0 };
	int rc;

	rc = parse_text(&platform.os, object, "os", err);
	if (!rc)
		rc = parse_text(&platform.architecture, object, "architecture", err);
	if (!rc)
		rc = parse_text(&platform.variant, object, "variant", err);
	if (!rc)
		rc = parse_text(&platform.os_version, object, "os.version", err);
	if (!rc)
		rc = json_get_strings(
			object, "os.features", &platform.os_features, PLATFORM_FEATURES_MAX, err);
	if (!rc)
		rc = json_get_strings(
			object, "features", &platform.features, PLATFORM_FEATURES_MAX, err);
	if (rc)
		return rc;
	*ret = platform;
	platform = (struct platform){ 0 };
	return 0;
}

int parse_annotations(struct annotations *ret, struct json_object *object, struct error *err)
{
	CLEANUP(annotations_release) struct annotations annotations = { 0 };
	struct json_object *map = NULL;
	int rc;

	rc = json_get_object(object, "annotations", &map, err);
	if (rc || !map)
		return rc;
	json_object_object_foreach(map, key, value)
	{
		CLEANUP(freep) char *text = NULL;

		(void)value;
		/* Go reads null as an empty string here. */
		rc = parse_text(&text, map, key, err);
		if (!rc)
			rc = annotations_add(&annotations, key, text, err);
		if (rc)
			return error_prefix(err, rc, "annotations");
	}
	*ret = annotations;
	annotations = (struct annotations){ 0 };
	return 0;
}

/* "platform" is told from absent, unlike the other members. */
static int get_platform(
	struct descriptor *descriptor, struct json_object *object, struct error *err)
{
	struct json_object *platform = NULL;
	int rc;

	rc = json_get_object(object, "platform", &platform, err);
	if (rc || !platform)
		return rc;
	rc = parse_platform(&descriptor->platform, platform, err);
	if (rc)
		return error_prefix(err, rc, "platform");
	descriptor->has_platform = true;
	return 0;
}

int parse_descriptor(struct descriptor *ret, struct json_object *object, struct error *err)
{
	static const char *const names[] = { "mediaType", "digest", "size" };
	CLEANUP(descriptor_release) struct descriptor d = { .size = DESCRIPTOR_SIZE_UNKNOWN };
	int rc = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names) && !rc; i++)
		rc = json_check_spelling(object, names[i], err);
	if (!rc)
		rc = json_get_string(object, "mediaType", &d.media_type, err);
	if (!rc)
		rc = parse_digest(&d.digest, object, "digest", err);
	if (!rc)
		rc = json_get_size(object, "size", &d.size, err);
	if (!rc && d.size == DESCRIPTOR_SIZE_UNKNOWN)
		rc = error_set(err, EIO, "'size' is missing");
	if (!rc)
		rc = json_get_strings(object, "urls", &d.urls, DESCRIPTOR_URLS_MAX, err);
	if (!rc)
		rc = json_get_string(object, "data", &d.data, err);
	if (!rc)
		rc = json_get_string(object, "artifactType", &d.artifact_type, err);
	if (!rc)
		rc = get_platform(&d, object, err);
	if (!rc)
		rc = parse_annotations(&d.annotations, object, err);
	if (rc)
		return rc;
	*ret = d;
	d = (struct descriptor){ 0 };
	return 0;
}

int parse_subject(
	struct descriptor *ret, bool *ret_has, struct json_object *object, struct error *err)
{
	struct json_object *subject = NULL;
	int rc;

	rc = json_get_object(object, "subject", &subject, err);
	if (rc || !subject)
		return rc;
	rc = parse_descriptor(ret, subject, err);
	if (rc)
		return error_prefix(err, rc, "subject");
	*ret_has = true;
	return 0;
}

int parse_descriptors(struct descriptor **ret, size_t *ret_count, struct json_object *object,
	const char *name, size_t max, struct error *err)
{
	struct json_object *array = NULL;
	struct descriptor *descriptors = NULL;
	size_t count;
	int rc;

	rc = parse_list(&array, (void **)&descriptors, sizeof *descriptors, object, name, max, err);
	if (rc || !array)
		return rc;
	count = json_object_array_length(array);
	for (size_t i = 0; i < count; i++) {
		struct json_object *entry = json_object_array_get_idx(array, i);

		rc = json_object_is_type(entry, json_type_object)
			     ? parse_descriptor(&descriptors[i], entry, err)
			     : error_set(err, EIO, "not an object");
		if (rc) {
			descriptors_free(descriptors, count);
			return error_prefix(err, rc, "'%s', entry %zu of %zu", name, i + 1, count);
		}
	}
	*ret = descriptors;
	*ret_count = count;
	return 0;
}

void descriptors_free(struct descriptor *descriptors, size_t count)
{
	for (size_t i = 0; i < count; i++)
		descriptor_release(&descriptors[i]);
	free(descriptors);
}
