/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The OCI manifest and schema 2 differ in their types and in the members
 * that only OCI has; a Docker manifest that bears those keeps them (some
 * tools write them), so one parser reads both.
 */
#include "model/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include <json-c/json.h>

#include "model/cleanup.h"
#include "model/error.h"
#include "model/json.h"

/* BuildKit's attestations and cosign's signatures lie in layers over an image config.  A type that
 * nobody knows is another matter: that may be a layer of tomorrow. */
static bool has_statements_only(const struct image *image)
{
	for (size_t i = 0; i < image->layer_count; i++) {
		enum media_role role = media_type_find(image->layers[i].media_type)->role;

		if (role != ROLE_ATTESTATION && role != ROLE_SIGNATURE)
			return false;
	}
	return image->layer_count;
}

/*
 * Everything but an image config makes an artifact; artifactType over the
 * empty config is the new way to say so.  Schema 2 knows no artifacts, and its
 * early writers called the config's type application/octet-stream or nothing,
 * which Docker still takes for an image.
 *
 * An image config over statements about another image makes none either.
 */
static bool is_artifact(const struct image *image)
{
	const char *type = image->config.media_type;

	if (has_statements_only(image))
		return true;
	if (media_type_find(type)->role == ROLE_CONFIG)
		return false;
	if (image->kind == DOCUMENT_SCHEMA2)
		return type && *type && strcasecmp(type, "application/octet-stream");
	return true;
}

static int parse(struct image *image, struct json_object *object, struct error *err)
{
	struct json_object *config = NULL;
	int rc;

	rc = json_get_object(object, "config", &config, err);
	if (rc)
		return rc;
	if (!config)
		return error_set(err, EIO, "'config' is missing");
	rc = parse_descriptor(&image->config, config, err);
	if (rc)
		return error_prefix(err, rc, "config");

	rc = parse_descriptors(
		&image->layers, &image->layer_count, object, "layers", IMAGE_LAYERS_MAX, err);
	if (!rc)
		rc = json_get_string(object, "artifactType", &image->artifact_type, err);
	if (!rc)
		rc = parse_subject(&image->subject, &image->has_subject, object, err);
	if (!rc)
		rc = parse_annotations(&image->annotations, object, err);
	return rc;
}

int image_parse(struct image *ret, enum document_kind kind, const char *bytes, size_t len,
	struct error *err)
{
	CLEANUP(json_putp) struct json_object *object = NULL;
	CLEANUP(image_release) struct image image = { .kind = kind };
	int rc;

	if (kind == DOCUMENT_SCHEMA1 || kind == DOCUMENT_V1)
		return schema1_parse(ret, kind, bytes, len, err);
	if (kind != DOCUMENT_OCI_MANIFEST && kind != DOCUMENT_SCHEMA2)
		return error_set(err, EOPNOTSUPP, "'%s' cannot be read as an image",
			document_media_type(kind));
	rc = document_parse_as(&object, kind, bytes, len, err);
	if (!rc)
		rc = parse(&image, object, err);
	if (rc)
		return error_prefix(err, rc, "manifest");
	image.is_artifact = is_artifact(&image);
	*ret = image;
	image = (struct image){ 0 };
	return 0;
}
