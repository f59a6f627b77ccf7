/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schema 1 of newer images, as docker-registry and skopeo both make it, so
 * that ids agree.  Ids are made from the layers up to them:
 *
 *	id = sha256(hex of the blob's digest " " id of the parent, "" for none)
 *
 * and the newest one, which stands for the whole image, from the config's
 * bytes as well.  Compact, members in skopeo's order, unsigned: a signature by
 * a key made for the purpose would tell nobody anything.
 *
 * Sources: distribution, manifest/schema1/config_builder.go; containers/image,
 * internal/image/docker_schema2.go.
 */
#include "model/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "model/cleanup.h"
#include "model/error.h"
#include "model/gojson.h"
#include "model/json.h"

/* gzip of 1024 zero bytes: what docker, distribution and skopeo all write for an empty layer. */
static const uint8_t empty_layer[] = { 0x1f, 0x8b, 0x08, 0x00, 0x00, 0x09, 0x6e, 0x88, 0x00, 0xff,
	0x62, 0x18, 0x05, 0xa3, 0x60, 0x14, 0x8c, 0x58, 0x00, 0x08, 0x00, 0x00, 0xff, 0xff, 0x2e,
	0xaf, 0xb5, 0xef, 0x00, 0x04, 0x00, 0x00 };
#define EMPTY_LAYER "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"

const void *schema1_empty_layer(size_t *ret_len, struct digest *ret_digest)
{
	*ret_len = sizeof empty_layer;
	(void)digest_parse(ret_digest, EMPTY_LAYER, NULL); /* a digest, as anybody can see */
	return empty_layer;
}

/* What is being written: one entry after the other, base first, into lists that are newest first.
 */
struct writer {
	const struct image *image;
	const char *config;
	size_t config_len;
	size_t layer;                   /* next one */
	char (*blobs)[DIGEST_TEXT_MAX]; /* one for each entry */
	struct buf *entries;            /* the V1 JSON of each */
	char parent[DIGEST_HEX_MAX];    /* id of the last entry; "" at first */
};

static int check_expressible(const struct image *image, struct error *err)
{
	size_t layers = 0;

	if (image->is_artifact || !image->has_config)
		return error_set(err, EOPNOTSUPP, "schema 1 is for images alone");
	if (!image->parsed.history_count)
		return error_set(err, EOPNOTSUPP, "schema 1 needs a history, and there is none");
	for (size_t i = 0; i < image->parsed.history_count; i++)
		layers += !image->parsed.history[i].is_empty_layer;
	if (layers != image->layer_count)
		return error_set(err, EOPNOTSUPP,
			"the history speaks of %zu layers, and there are %zu", layers,
			image->layer_count);
	for (size_t i = 0; i < image->layer_count; i++)
		if (media_type_find(image->layers[i].media_type)->role != ROLE_LAYER)
			return error_set(err, EOPNOTSUPP,
				"layer %zu of %zu: type '%.200s' does not exist in schema 1", i + 1,
				image->layer_count,
				image->layers[i].media_type ? image->layers[i].media_type : "");
	return 0;
}

/* id of an entry: the config counts for the newest one. */
static int make_id(char id[static DIGEST_HEX_MAX], const struct writer *w,
	const struct digest *blob, bool is_newest, struct error *err)
{
	CLEANUP(buf_release) struct buf text = { .max = DOCUMENT_MAX + 2 * DIGEST_HEX_MAX };
	struct digest digest;
	char hex[DIGEST_HEX_MAX];
	int rc;

	rc = buf_printf(&text, "%s %s", digest_hex(blob, hex), w->parent);
	if (!rc && is_newest) {
		(void)buf_append_text(&text, " ");
		rc = buf_append(&text, w->config, w->config_len);
	}
	if (rc)
		return error_set(err, -rc, "layer id: %s", strerror(-rc));
	rc = digest_of(&digest, DIGEST_SHA256, text.data, text.len, err);
	if (!rc)
		digest_hex(&digest, id);
	return rc;
}

static int write_entry(struct buf *ret, const struct writer *w, const struct history_entry *entry,
	const char *id, struct error *err)
{
	int rc;

	(void)buf_printf(ret, "{\"id\":\"%s\"", id);
	go_write_optional(ret, "parent", w->parent);
	go_write_optional(ret, "comment", entry->comment);
	(void)buf_append_text(ret, ",\"created\":");
	rc = go_write_time(ret, entry->created, err);
	(void)buf_append_text(ret, ",\"container_config\":{\"Cmd\":[");
	(void)json_write_string(ret, entry->created_by, strlen(entry->created_by));
	(void)buf_append_text(ret, "]}");
	go_write_optional(ret, "author", entry->author);
	(void)buf_append_text(ret, entry->is_empty_layer ? ",\"throwaway\":true}" : "}");
	return rc;
}

/* A hex id in quotes needs no escapes. */
static int set_id(struct json_members *members, const char *name, char quoted[DIGEST_HEX_MAX + 2],
	const char *id, struct error *err)
{
	int len = snprintf(quoted, DIGEST_HEX_MAX + 2, "\"%s\"", id);

	return json_members_set(members, name, quoted, (size_t)len, err);
}

/* The config without what schema 1 keeps elsewhere. */
static int write_newest(
	struct buf *ret, const struct writer *w, bool is_empty, const char *id, struct error *err)
{
	static const char *const dropped[] = { "rootfs", "history", "parent", "throwaway" };
	CLEANUP(json_members_release) struct json_members members = { 0 };
	char quoted[DIGEST_HEX_MAX + 2], parent[DIGEST_HEX_MAX + 2];
	int rc;

	rc = json_members_parse(&members, w->config, w->config_len, err);
	if (rc)
		return error_prefix(err, rc, "config");
	for (size_t i = 0; i < ARRAY_SIZE(dropped); i++)
		json_members_remove(&members, dropped[i]);
	rc = set_id(&members, "id", quoted, id, err);
	if (!rc && *w->parent)
		rc = set_id(&members, "parent", parent, w->parent, err);
	if (!rc && is_empty)
		rc = json_members_set(&members, "throwaway", "true", 4, err);
	return rc ? rc : go_write_members(ret, &members, err);
}

static int add_entry(struct writer *w, size_t i, struct error *err)
{
	const struct image_config *config = &w->image->parsed;
	const struct history_entry *entry = &config->history[i];
	size_t place = config->history_count - 1 - i;
	bool is_newest = place == 0;
	char id[DIGEST_HEX_MAX];
	struct digest blob;
	size_t len;
	int rc;

	if (entry->is_empty_layer)
		(void)schema1_empty_layer(&len, &blob);
	else
		blob = w->image->layers[w->layer++].digest;
	digest_format(&blob, w->blobs[place]);
	buf_init(&w->entries[place], DOCUMENT_MAX);
	rc = make_id(id, w, &blob, is_newest, err);
	if (!rc)
		rc = is_newest ? write_newest(&w->entries[place], w, entry->is_empty_layer, id, err)
			       : write_entry(&w->entries[place], w, entry, id, err);
	if (!rc)
		rc = buf_status(&w->entries[place]);
	strcpy(w->parent, id);
	return rc;
}

static void write_manifest(
	struct buf *ret, const struct writer *w, const char *name, const char *tag)
{
	const char *architecture = w->image->parsed.platform.architecture;
	size_t count = w->image->parsed.history_count;

	(void)buf_append_text(ret, "{\"name\":");
	(void)json_write_string(ret, name, strlen(name));
	(void)buf_append_text(ret, ",\"tag\":");
	(void)json_write_string(ret, tag, strlen(tag));
	(void)buf_append_text(ret, ",\"architecture\":");
	(void)json_write_string(ret, architecture, strlen(architecture));
	(void)buf_append_text(ret, ",\"fsLayers\":[");
	for (size_t i = 0; i < count; i++)
		(void)buf_printf(ret, "%s{\"blobSum\":\"%s\"}", i ? "," : "", w->blobs[i]);
	(void)buf_append_text(ret, "],\"history\":[");
	for (size_t i = 0; i < count; i++) {
		(void)buf_append_text(ret, i ? ",{\"v1Compatibility\":" : "{\"v1Compatibility\":");
		(void)json_write_string(ret, w->entries[i].data, w->entries[i].len);
		(void)buf_append_text(ret, "}");
	}
	(void)buf_append_text(ret, "],\"schemaVersion\":1}");
}

static void writer_release(struct writer *w)
{
	for (size_t i = 0; w->entries && i < w->image->parsed.history_count; i++)
		buf_release(&w->entries[i]);
	free(w->entries);
	free(w->blobs);
}

int schema1_write(const struct image *image, const char *config, size_t config_len,
	const char *name, const char *tag, struct buf *ret, struct error *err)
{
	CLEANUP(writer_release)
	struct writer w = { .image = image, .config = config, .config_len = config_len };
	size_t count = image->parsed.history_count;
	int rc;

	rc = check_expressible(image, err);
	if (rc)
		return error_prefix(err, rc, "conversion to schema 1");
	w.entries = calloc(count, sizeof *w.entries);
	w.blobs = calloc(count, sizeof *w.blobs);
	if (!w.entries || !w.blobs)
		return error_set(err, ENOMEM, "conversion to schema 1: out of memory");
	for (size_t i = 0; i < count && !rc; i++)
		rc = add_entry(&w, i, err);
	if (!rc) {
		write_manifest(ret, &w, name, tag);
		rc = buf_status(ret);
	}
	if (rc == -EFBIG || rc == -ENOMEM)
		return error_set(err, -rc, "conversion to schema 1: %s", strerror(-rc));
	return rc ? error_prefix(err, rc, "conversion to schema 1") : 0;
}
