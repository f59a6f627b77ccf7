/* SPDX-License-Identifier: Apache-2.0 */
/*
 * V1 images: the struct that Docker reads their JSON into, what docker save
 * makes up for them, and the document that stands for one here.
 *
 * docker save (1.10 and later) names the directory of layer n by
 *
 *	id = sha256 of { "created": the epoch, "container_config": all zero,
 *	                 "layer_id": chain id n, "parent": "sha256:" id of n - 1 }
 *
 * with members sorted; of the newest layer, by all of the image's own struct
 * beside these two.
 *
 * Sources: docker image/spec/v1.md; moby, image/image.go, image/v1/imagev1.go
 * (CreateID), image/tarexport/save.go.
 */
#include "model/v1.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "model/cleanup.h"
#include "model/error.h"
#include "model/gojson.h"
#include "model/internal.h"
#include "model/json.h"

#define EPOCH "{\"created\":\"1970-01-01T00:00:00Z\"}"

/* container.HealthConfig */
static const struct go_field health_fields[] = {
	{ "Test", GO_STRINGS, true, NULL },
	{ "Interval", GO_INT, true, NULL },
	{ "Timeout", GO_INT, true, NULL },
	{ "StartPeriod", GO_INT, true, NULL },
	{ "Retries", GO_INT, true, NULL },
	{ 0 },
};

/* container.Config */
static const struct go_field config_fields[] = {
	{ "Hostname", GO_STRING, false, NULL },
	{ "Domainname", GO_STRING, false, NULL },
	{ "User", GO_STRING, false, NULL },
	{ "AttachStdin", GO_BOOL, false, NULL },
	{ "AttachStdout", GO_BOOL, false, NULL },
	{ "AttachStderr", GO_BOOL, false, NULL },
	{ "ExposedPorts", GO_SET, true, NULL },
	{ "Tty", GO_BOOL, false, NULL },
	{ "OpenStdin", GO_BOOL, false, NULL },
	{ "StdinOnce", GO_BOOL, false, NULL },
	{ "Env", GO_STRINGS, false, NULL },
	{ "Cmd", GO_STRINGS, false, NULL },
	{ "Healthcheck", GO_STRUCT_POINTER, true, health_fields },
	{ "ArgsEscaped", GO_BOOL, true, NULL },
	{ "Image", GO_STRING, false, NULL },
	{ "Volumes", GO_SET, false, NULL },
	{ "WorkingDir", GO_STRING, false, NULL },
	{ "Entrypoint", GO_STRINGS, false, NULL },
	{ "NetworkDisabled", GO_BOOL, true, NULL },
	{ "MacAddress", GO_STRING, true, NULL },
	{ "OnBuild", GO_STRINGS, false, NULL },
	{ "Labels", GO_MAP, false, NULL },
	{ "StopSignal", GO_STRING, true, NULL },
	{ "StopTimeout", GO_INT_POINTER, true, NULL },
	{ "Shell", GO_STRINGS, true, NULL },
	{ 0 },
};

/* image.V1Image */
static const struct go_field image_fields[] = {
	{ "id", GO_STRING, true, NULL },
	{ "parent", GO_STRING, true, NULL },
	{ "comment", GO_STRING, true, NULL },
	{ "created", GO_TIME, false, NULL },
	{ "container", GO_STRING, true, NULL },
	{ "container_config", GO_STRUCT, true, config_fields },
	{ "docker_version", GO_STRING, true, NULL },
	{ "author", GO_STRING, true, NULL },
	{ "config", GO_STRUCT_POINTER, true, config_fields },
	{ "architecture", GO_STRING, true, NULL },
	{ "variant", GO_STRING, true, NULL },
	{ "os", GO_STRING, true, NULL },
	{ "Size", GO_INT, true, NULL },
	{ 0 },
};

int v1_json_write(struct buf *ret, struct json_object *object, struct error *err)
{
	return go_write_struct(ret, image_fields, object, err);
}

enum { QUOTED_MAX = DIGEST_TEXT_MAX + 2 };

/* A digest in quotes needs no escapes. */
static int set_digest(struct json_members *members, const char *name, char quoted[QUOTED_MAX],
	const struct digest *digest, struct error *err)
{
	char text[DIGEST_TEXT_MAX];
	int len = snprintf(quoted, QUOTED_MAX, "\"%s\"", digest_format(digest, text));

	return json_members_set(members, name, quoted, (size_t)len, err);
}

/* The digest of what Docker knows of the layer (nothing, but of the newest one), of its chain id
 * and of its parent. */
static int make_id(struct digest *ret, struct json_object *object, const struct digest *chain,
	const struct digest *parent, struct error *err)
{
	CLEANUP(json_members_release) struct json_members members = { 0 };
	CLEANUP(buf_release) struct buf json = { .max = DOCUMENT_MAX };
	CLEANUP(buf_release) struct buf sorted = { .max = DOCUMENT_MAX };
	char layer_text[QUOTED_MAX], parent_text[QUOTED_MAX];
	int rc;

	rc = v1_json_write(&json, object, err);
	if (!rc)
		rc = buf_status(&json);
	if (!rc)
		rc = json_members_parse(&members, json.data, json.len, err);
	json_members_remove(&members, "id");
	json_members_remove(&members, "parent");
	if (!rc)
		rc = set_digest(&members, "layer_id", layer_text, chain, err);
	if (!rc && parent)
		rc = set_digest(&members, "parent", parent_text, parent, err);
	if (!rc)
		rc = go_write_members(&sorted, &members, err);
	if (!rc)
		rc = buf_status(&sorted);
	return rc ? rc : digest_of(ret, DIGEST_SHA256, sorted.data, sorted.len, err);
}

/* In place of what goes by that name: the last one counts. */
static int set_text(
	struct json_object *object, const char *name, const char *text, struct error *err)
{
	struct json_object *value = json_object_new_string(text);

	json_object_object_del(object, name);
	if (value && !json_object_object_add(object, name, value))
		return 0;
	json_object_put(value);
	return error_set(err, ENOMEM, "V1 image: out of memory");
}

static int make_json(struct v1_entry *entry, struct json_object *object, const char *parent,
	const char *os, struct error *err)
{
	CLEANUP(buf_release) struct buf json = { .max = DOCUMENT_MAX };
	int rc;

	rc = set_text(object, "id", entry->id, err);
	if (!rc)
		rc = set_text(object, "parent", parent, err);
	if (!rc)
		rc = set_text(object, "os", os, err);
	if (!rc)
		rc = v1_json_write(&json, object, err);
	if (!rc)
		rc = buf_status(&json);
	if (rc)
		return rc;
	entry->json = buf_take(&json, &entry->json_len);
	return entry->json ? 0 : error_set(err, ENOMEM, "V1 image: out of memory");
}

/* text is the config for the newest layer.  *id is the parent's at first (not set for none). */
static int make_entry(struct v1_entry *entry, struct digest *id, const char *text, size_t len,
	const struct digest *chain, const char *os, struct error *err)
{
	CLEANUP(json_putp) struct json_object *object = NULL;
	char hex[DIGEST_HEX_MAX], parent[DIGEST_HEX_MAX] = "";
	int rc;

	if (digest_is_set(id))
		digest_hex(id, parent);
	rc = json_parse(&object, text, len, err);
	if (rc)
		return rc;
	rc = make_id(id, object, chain, digest_is_set(id) ? id : NULL, err);
	if (rc)
		return rc;
	entry->id = strdup(digest_hex(id, hex));
	if (!entry->id)
		return error_set(err, ENOMEM, "V1 image: out of memory");
	return make_json(entry, object, parent, os, err);
}

static int make_entries(struct v1_entry *entries, const struct image *image, const char *config,
	size_t config_len, struct error *err)
{
	const struct image_config *parsed = &image->parsed;
	struct digest id = { 0 }, chain = { 0 };

	for (size_t i = 0; i < image->layer_count; i++) {
		bool is_newest = i + 1 == image->layer_count;
		int rc = 0;

		if (i)
			rc = chain_id_extend(&chain, &parsed->diff_ids[i], err);
		else
			chain = parsed->diff_ids[0];
		if (!rc)
			rc = make_entry(&entries[i], &id, is_newest ? config : EPOCH,
				is_newest ? config_len : strlen(EPOCH), &chain, parsed->platform.os,
				err);
		if (rc == -EFBIG)
			return error_set(err, EFBIG, "V1 image: its JSON is too large");
		if (rc)
			return error_prefix(
				err, rc, "V1 image, layer %zu of %zu", i + 1, image->layer_count);
	}
	return 0;
}

int v1_entries_make(struct v1_entry **ret, const struct image *image, const char *config,
	size_t config_len, struct error *err)
{
	size_t count = image->layer_count;
	struct v1_entry *entries;
	int rc;

	if (image->is_artifact || !count || image->parsed.diff_id_count != count)
		return error_set(err, EOPNOTSUPP,
			"V1 image: needs layers and as many diff_ids; there are %zu and %zu", count,
			image->parsed.diff_id_count);
	entries = calloc(count, sizeof *entries);
	if (!entries)
		return error_set(err, ENOMEM, "V1 image: out of memory");
	rc = make_entries(entries, image, config, config_len, err);
	if (rc) {
		v1_entries_free(entries, count);
		return rc;
	}
	*ret = entries;
	return 0;
}

void v1_entries_free(struct v1_entry *entries, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(entries[i].id);
		free(entries[i].json);
	}
	free(entries);
}

int v1_document_write(
	const struct v1_entry *entries, size_t count, struct buf *ret, struct error *err)
{
	int rc;

	(void)buf_printf(ret, "{\"schemaVersion\":1,\"mediaType\":\"%s\",\"history\":[",
		document_media_type(DOCUMENT_V1));
	for (size_t i = count; i-- > 0;) {
		(void)buf_append_text(ret, "{\"v1Compatibility\":");
		(void)json_write_string(ret, entries[i].json, entries[i].json_len);
		(void)buf_append_text(ret, i ? "}," : "}");
	}
	rc = buf_append_text(ret, "]}");
	return rc ? error_set(err, -rc, "V1 image: %s", strerror(-rc)) : 0;
}
