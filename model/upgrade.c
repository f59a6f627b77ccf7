/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The config is the newest entry's own JSON, member by member as it stands,
 * without what only a V1 image has, with "rootfs" and "history" made from the
 * layers and entries, and its members sorted.
 *
 * Docker before 1.8.3 wrote entries that Docker since reads into its struct
 * and prints again before it takes them apart.  When an entry does not say which Docker wrote it,
 * docker load counts it among the old ones and skopeo does not; the former
 * alone reads V1 images and the latter is who still reads schema 1, so each is
 * followed where it is used.
 *
 * Sources: moby, image/v1/imagev1.go; containers/image, manifest/docker_schema1.go.
 */
#include "model/internal.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "model/cleanup.h"
#include "model/error.h"
#include "model/gojson.h"
#include "model/json.h"
#include "model/v1.h"

static const char *const v1_members[] = {
	"id",
	"parent",
	"parent_id",
	"layer_id",
	"throwaway",
	"Size",
};

/* A part of a version, as strconv.Atoi reads it: 0 for what is no number. */
static long version_part(const char *from, size_t len)
{
	long value = 0;

	for (size_t i = 0; i < len; i++) {
		if (from[i] < '0' || from[i] > '9')
			return 0;
		if (value < INT_MAX / 10)
			value = value * 10 + (from[i] - '0');
	}
	return value;
}

/* moby, api/types/versions. */
static bool is_version_less(const char *a, const char *b)
{
	while (*a || *b) {
		size_t a_len = strcspn(a, "."), b_len = strcspn(b, ".");
		long x = version_part(a, a_len), y = version_part(b, b_len);

		if (x != y)
			return x < y;
		a += a_len + (a[a_len] == '.');
		b += b_len + (b[b_len] == '.');
	}
	return false;
}

/* The newest entry's JSON goes to text when it has to be printed anew. */
static int print_old(
	struct buf *text, const struct image *from, const struct v1_entry *top, struct error *err)
{
	CLEANUP(json_putp) struct json_object *object = NULL;
	CLEANUP(freep) char *version = NULL;
	int rc;

	rc = json_parse(&object, top->json, top->json_len, err);
	if (!rc)
		rc = json_get_string(object, "docker_version", &version, err);
	if (rc)
		return rc;
	if (version && *version ? !is_version_less(version, "1.8.3") : from->kind != DOCUMENT_V1)
		return 0;
	rc = v1_json_write(text, object, err);
	return rc ? rc : buf_status(text);
}

static void write_rootfs(struct buf *ret, const struct layer_facts *facts, size_t count)
{
	char digest[DIGEST_TEXT_MAX];

	(void)buf_append_text(ret, "{\"type\":\"layers\"");
	for (size_t i = 0; i < count; i++)
		(void)buf_printf(ret, "%s\"%s\"", i ? "," : ",\"diff_ids\":[",
			digest_format(&facts[i].diff_id, digest));
	(void)buf_append_text(ret, count ? "]}" : "}");
}

static int write_history(struct buf *ret, const struct image_config *config, struct error *err)
{
	(void)buf_append_text(ret, "[");
	for (size_t i = 0; i < config->history_count; i++) {
		const struct history_entry *entry = &config->history[i];
		int rc;

		(void)buf_append_text(ret, i ? ",{\"created\":" : "{\"created\":");
		rc = go_write_time(ret, entry->created, err);
		if (rc)
			return error_prefix(
				err, rc, "history entry %zu of %zu", i + 1, config->history_count);
		go_write_optional(ret, "author", entry->author);
		go_write_optional(ret, "created_by", entry->created_by);
		go_write_optional(ret, "comment", entry->comment);
		(void)buf_append_text(ret, entry->is_empty_layer ? ",\"empty_layer\":true}" : "}");
	}
	(void)buf_append_text(ret, "]");
	return 0;
}

/* Swaps what belongs to a layer for what belongs to an image. */
static int swap_members(struct json_members *members, const struct buf *rootfs,
	const struct buf *history, struct error *err)
{
	int rc;

	for (size_t i = 0; i < ARRAY_SIZE(v1_members); i++)
		json_members_remove(members, v1_members[i]);
	rc = json_members_set(members, "rootfs", rootfs->data, rootfs->len, err);
	if (!rc)
		rc = json_members_set(members, "history", history->data, history->len, err);
	return rc;
}

static int write_config(struct buf *ret, const struct image *from, const struct layer_facts *facts,
	struct error *err)
{
	CLEANUP(buf_release) struct buf rootfs = { .max = DOCUMENT_MAX };
	CLEANUP(buf_release) struct buf history = { .max = DOCUMENT_MAX };
	CLEANUP(buf_release) struct buf old = { .max = DOCUMENT_MAX };
	CLEANUP(json_members_release) struct json_members members = { 0 };
	const struct v1_entry *top = &from->v1[from->v1_count - 1];
	int rc;

	rc = print_old(&old, from, top, err);
	if (!rc)
		rc = old.len ? json_members_parse(&members, old.data, old.len, err)
			     : json_members_parse(&members, top->json, top->json_len, err);
	if (rc)
		return rc;
	write_rootfs(&rootfs, facts, from->layer_count);
	rc = write_history(&history, &from->parsed, err);
	if (!rc)
		rc = buf_status(&rootfs) ? buf_status(&rootfs) : buf_status(&history);
	if (!rc)
		rc = swap_members(&members, &rootfs, &history, err);
	if (!rc)
		rc = go_write_members(ret, &members, err);
	return rc ? rc : buf_status(ret);
}

/*
 * Schema 2 has words for plain tars, gzip and zstd.  All else is called gzip, as Docker calls
 * everything: readers look at the bytes anyway, and no type at all would be
 * refused.
 */
static const char *layer_type(enum media_coding coding)
{
	bool is_known = coding == CODING_PLAIN || coding == CODING_ZSTD;

	return media_type_layer(is_known ? coding : CODING_GZIP, FAMILY_DOCKER);
}

static int make_layers(
	struct image *image, const struct layer_facts *facts, size_t count, struct error *err)
{
	image->layers = calloc(count ? count : 1, sizeof *image->layers);
	if (!image->layers)
		return error_set(err, ENOMEM, "layers: out of memory");
	image->layer_count = count;
	for (size_t i = 0; i < count; i++) {
		image->layers[i].digest = facts[i].digest;
		image->layers[i].size = facts[i].size;
		image->layers[i].media_type = strdup(layer_type(facts[i].coding));
		if (!image->layers[i].media_type)
			return error_set(err, ENOMEM, "layers: out of memory");
	}
	return 0;
}

static int describe_config(struct descriptor *ret, const struct buf *config, struct error *err)
{
	ret->media_type = strdup(media_type_name(ROLE_CONFIG, FAMILY_DOCKER));
	if (!ret->media_type)
		return error_set(err, ENOMEM, "config: out of memory");
	ret->size = config->len;
	return digest_of(&ret->digest, DIGEST_SHA256, config->data, config->len, err);
}

int image_upgrade(struct image *ret, const struct image *from, const struct layer_facts *facts,
	struct buf *config, struct error *err)
{
	CLEANUP(image_release) struct image image = { .kind = DOCUMENT_SCHEMA2 };
	int rc;

	assert(from->kind == DOCUMENT_SCHEMA1 || from->kind == DOCUMENT_V1);
	rc = write_config(config, from, facts, err);
	if (rc == -EFBIG || rc == -ENOMEM)
		return error_set(err, -rc, "write a config: %s", strerror(-rc));
	if (!rc)
		rc = describe_config(&image.config, config, err);
	if (!rc)
		rc = make_layers(&image, facts, from->layer_count, err);
	if (!rc)
		rc = image_parse_config(&image, config->data, config->len, err);
	if (rc)
		return error_prefix(err, rc, "conversion to schema 2");
	*ret = image;
	image = (struct image){ 0 };
	return 0;
}
