/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three witnesses say what a document is: the announced type, its own
 * "mediaType", and its shape, that is which kind's own members it holds.  Any
 * may be silent; two that speak must agree, since a digest covers the bytes
 * and not the Content-Type they came with (CVE-2021-41190).
 *
 * Go matches member names without regard to case.  A member that differs
 * from ours in case alone means one thing to Go tools and nothing to us, so
 * it is refused rather than passed over.
 *
 * Of a signed schema 1 manifest the payload is the document: what stands
 * behind it is covered by neither its signatures nor its digest.
 */
#include "model/internal.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <json-c/json.h>

#include "model/cleanup.h"
#include "model/error.h"
#include "model/json.h"
#include "model/jws.h"

enum shape { SHAPE_NONE, SHAPE_MANIFEST, SHAPE_INDEX, SHAPE_SCHEMA1 };

static const struct {
	enum media_role role;
	enum media_family family;
	enum shape shape;
	uint64_t schema_version;
} kinds[] = {
	[DOCUMENT_UNKNOWN] = { ROLE_UNKNOWN, FAMILY_OTHER, SHAPE_NONE, 0 },
	[DOCUMENT_OCI_INDEX] = { ROLE_INDEX, FAMILY_OCI, SHAPE_INDEX, 2 },
	[DOCUMENT_DOCKER_LIST] = { ROLE_INDEX, FAMILY_DOCKER, SHAPE_INDEX, 2 },
	[DOCUMENT_OCI_MANIFEST] = { ROLE_MANIFEST, FAMILY_OCI, SHAPE_MANIFEST, 2 },
	[DOCUMENT_SCHEMA2] = { ROLE_MANIFEST, FAMILY_DOCKER, SHAPE_MANIFEST, 2 },
	[DOCUMENT_SCHEMA1] = { ROLE_SCHEMA1, FAMILY_DOCKER, SHAPE_SCHEMA1, 1 },
	[DOCUMENT_V1] = { ROLE_V1, FAMILY_OTHER, SHAPE_SCHEMA1, 1 },
};

#define VERSION_ABSENT UINT64_MAX

/* The members that make a shape; the first two belong to all. */
static const struct {
	const char *name;
	enum shape shape;
} own_members[] = {
	{ "schemaVersion", SHAPE_NONE },
	{ "mediaType", SHAPE_NONE },
	{ "config", SHAPE_MANIFEST },
	{ "layers", SHAPE_MANIFEST },
	{ "manifests", SHAPE_INDEX },
	{ "fsLayers", SHAPE_SCHEMA1 },
	{ "history", SHAPE_SCHEMA1 },
};

const char *document_media_type(enum document_kind kind)
{
	return media_type_name(kinds[kind].role, kinds[kind].family);
}

int document_check_size(size_t len, struct error *err)
{
	if (len > DOCUMENT_MAX)
		return error_set(
			err, EFBIG, "document of %zu bytes: more than %d", len, DOCUMENT_MAX);
	return 0;
}

/* Null members are absent ones to every reader. */
static int find_shape(enum shape *ret, struct json_object *object, struct error *err)
{
	enum shape shape = SHAPE_NONE;

	for (size_t i = 0; i < ARRAY_SIZE(own_members); i++) {
		const char *name = own_members[i].name;
		struct json_object *value = NULL;
		int rc = json_check_spelling(object, name, err);

		if (rc)
			return error_prefix(err, rc, "document");
		(void)json_object_object_get_ex(object, name, &value);
		if (!value || own_members[i].shape == SHAPE_NONE)
			continue;
		if (shape != SHAPE_NONE && shape != own_members[i].shape)
			return error_set(err, EIO,
				"ambiguous document: '%s' beside another kind's members", name);
		shape = own_members[i].shape;
	}
	*ret = shape;
	return 0;
}

/* What a media type says the document is: DOCUMENT_UNKNOWN when it says nothing. */
static int kind_of_type(enum document_kind *ret, const char *text, struct error *err)
{
	const struct media_type *type = media_type_find(text);

	if (type->role == ROLE_ARTIFACT_MANIFEST)
		return error_set(err, EOPNOTSUPP,
			"artifact manifest of an OCI release candidate: nobody reads it any more");
	for (size_t i = DOCUMENT_UNKNOWN + 1; i < ARRAY_SIZE(kinds); i++)
		if (kinds[i].role == type->role && kinds[i].family == type->family) {
			*ret = (enum document_kind)i;
			return 0;
		}
	if (type->role != ROLE_UNKNOWN)
		return error_set(
			err, EIO, "'%s' is not the type of a manifest or index", type->name);
	*ret = DOCUMENT_UNKNOWN;
	return 0;
}

/* OCI 1.0 documents have no mediaType.  Lists and schema 2 must have one; a
 * schema 2 that lost it is known by its config's type. */
static int kind_of_shape(
	enum document_kind *ret, struct json_object *object, enum shape shape, struct error *err)
{
	static const enum document_kind by_shape[] = {
		[SHAPE_NONE] = DOCUMENT_UNKNOWN,
		[SHAPE_MANIFEST] = DOCUMENT_OCI_MANIFEST,
		[SHAPE_INDEX] = DOCUMENT_OCI_INDEX,
		[SHAPE_SCHEMA1] = DOCUMENT_SCHEMA1,
	};
	CLEANUP(freep) char *type = NULL;
	struct json_object *config = NULL;
	int rc;

	*ret = by_shape[shape];
	if (shape != SHAPE_MANIFEST)
		return 0;
	rc = json_get_object(object, "config", &config, err);
	if (!rc)
		rc = json_get_string(config, "mediaType", &type, err);
	if (!rc && media_type_find(type)->role == ROLE_CONFIG &&
		media_type_find(type)->family == FAMILY_DOCKER)
		*ret = DOCUMENT_SCHEMA2;
	return rc;
}

/* Do the version and the members fit a document of this type? */
static int check_kind(
	enum document_kind kind, uint64_t version, enum shape shape, struct error *err)
{
	if (version != VERSION_ABSENT && kinds[kind].schema_version != version)
		return error_set(err, EIO, "schema version %" PRIu64 " in a document of type '%s'",
			version, document_media_type(kind));
	if (shape != SHAPE_NONE && kinds[kind].shape != shape)
		return error_set(err, EIO,
			"ambiguous document: type '%s' over another kind's members",
			document_media_type(kind));
	return 0;
}

/* What all three witnesses agree on. */
static int find_kind(enum document_kind *ret, struct json_object *object,
	const char *announced_type, struct error *err)
{
	enum document_kind announced, kind;
	uint64_t version = VERSION_ABSENT;
	CLEANUP(freep) char *type = NULL;
	enum shape shape = SHAPE_NONE;
	int rc;

	rc = find_shape(&shape, object, err);
	if (!rc)
		rc = json_get_size(object, "schemaVersion", &version, err);
	if (!rc)
		rc = json_get_string(object, "mediaType", &type, err);
	if (!rc)
		rc = kind_of_type(&kind, type, err);
	if (!rc)
		rc = kind_of_type(&announced, announced_type, err);
	if (rc)
		return rc;

	if (kind == DOCUMENT_UNKNOWN)
		kind = announced;
	else if (announced != DOCUMENT_UNKNOWN && announced != kind)
		return error_set(err, EIO, "announced as '%s', calls itself '%s'",
			document_media_type(announced), document_media_type(kind));
	if (kind != DOCUMENT_UNKNOWN) {
		rc = check_kind(kind, version, shape, err);
	} else {
		rc = kind_of_shape(&kind, object, shape, err);
		/* Without any type the version must vouch for the shape. */
		if (kinds[kind].schema_version != version)
			kind = DOCUMENT_UNKNOWN;
	}
	if (!rc)
		*ret = kind;
	return rc;
}

int document_parse(struct json_object **ret, enum document_kind *ret_kind,
	const char *announced_type, const char *bytes, size_t len, struct error *err)
{
	CLEANUP(json_putp) struct json_object *object = NULL;
	CLEANUP(jws_release) struct jws jws = { 0 };
	enum document_kind kind = DOCUMENT_UNKNOWN;
	int rc;

	rc = document_check_size(len, err);
	if (!rc)
		rc = jws_open(&jws, bytes, len, err);
	if (!rc && jws.payload)
		rc = json_parse(&object, jws.payload, jws.payload_len, err);
	else if (!rc)
		rc = json_parse(&object, bytes, len, err);
	if (rc)
		return rc;
	if (!json_object_is_type(object, json_type_object))
		return error_set(err, EIO, "document is not a JSON object");
	rc = find_kind(&kind, object, announced_type, err);
	if (rc)
		return rc;
	*ret = TAKE(object);
	*ret_kind = kind;
	return 0;
}

int document_parse_as(struct json_object **ret, enum document_kind kind, const char *bytes,
	size_t len, struct error *err)
{
	enum document_kind found;

	assert(kind != DOCUMENT_UNKNOWN);
	return document_parse(ret, &found, document_media_type(kind), bytes, len, err);
}

int document_kind(enum document_kind *ret, const char *announced_type, const char *bytes,
	size_t len, struct error *err)
{
	CLEANUP(json_putp) struct json_object *object = NULL;

	return document_parse(&object, ret, announced_type, bytes, len, err);
}

int document_digest(struct digest *ret, enum digest_algorithm algorithm, const char *bytes,
	size_t len, struct error *err)
{
	CLEANUP(jws_release) struct jws jws = { 0 };
	int rc;

	rc = jws_open(&jws, bytes, len, err);
	if (rc)
		return rc;
	if (jws.payload)
		return digest_of(ret, algorithm, jws.payload, jws.payload_len, err);
	return digest_of(ret, algorithm, bytes, len, err);
}
