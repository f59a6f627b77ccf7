/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image: what a tag points at, and one platform of it.
 *
 * A tag on an index lists its platforms; a tag straight on a manifest has the
 * one platform its config names.  An artifact has none: its directory is the
 * platform's directory, without a root file system.
 */
#include "fs/views.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "fs/image_tar.h"
#include "fs/spaces.h"
#include "model/cleanup.h"

enum { HISTORY_TEXT_MAX = 64 << 20 }; /* bytes of one history.txt */

int place_image(struct fs *fs, struct node *node, const struct digest **ret, struct need *need)
{
	const struct descriptor *descriptor;
	int rc;

	if (!digest_is_set(&node->place.image)) {
		rc = ref_get(fs, node->place.repository, node->place.tag, &descriptor, need);
		if (rc)
			return rc;
		node->place.image = descriptor->digest;
	}
	*ret = &node->place.image;
	return 0;
}

static int choose_platform(
	struct fs *fs, struct node *node, const struct digest *image, struct need *need)
{
	const struct platform_entry *entries, *best = NULL;
	unsigned best_match = 0;
	size_t count;
	int rc = image_platforms(fs, node->place.repository, image, &entries, &count, need);

	if (rc)
		return rc;
	for (size_t i = 0; i < count; i++) {
		const struct descriptor *manifest = &entries[i].manifest;
		unsigned match = fs->options->has_platform && manifest->has_platform
					 ? platform_match(&fs->options->wanted, &manifest->platform)
					 : 0;

		if (match > best_match) {
			best = &entries[i];
			best_match = match;
		}
	}
	if (best)
		node->place.manifest = best->manifest.digest;
	else if (!count) /* an artifact */
		node->place.manifest = *image;
	else
		return error_set(
			&need->err, ENOENT, "no image for platform %s", fs->options->platform);
	return 0;
}

int place_manifest(struct fs *fs, struct node *node, const struct digest **ret, struct need *need)
{
	const struct digest *image;
	int rc;

	if (!digest_is_set(&node->place.manifest)) {
		rc = place_image(fs, node, &image, need);
		if (!rc)
			rc = choose_platform(fs, node, image, need);
		if (rc)
			return rc;
	}
	*ret = &node->place.manifest;
	return 0;
}

/* A tag's directory shows when its image was made, once that is known. */
static void take_time(struct node *node, const struct image *image)
{
	struct tm tm = { 0 };

	if (image->has_config && strptime(image->parsed.created, "%Y-%m-%dT%H:%M:%S", &tm))
		node->time = (struct timespec){ .tv_sec = timegm(&tm) };
}

/* --- history.txt --- */

static void put_size(struct buf *ret, uint64_t size)
{
	static const char units[] = "BKMGTPE";
	double value = (double)size;
	size_t unit = 0;

	while (value >= 1023.95 && unit + 2 < sizeof units) {
		value /= 1024;
		unit++;
	}
	if (size == DESCRIPTOR_SIZE_UNKNOWN)
		(void)buf_printf(ret, "%8s", "?");
	else if (unit)
		(void)buf_printf(ret, "%7.1f%c", value, units[unit]);
	else
		(void)buf_printf(ret, "%8u", (unsigned)size);
}

/* One line, whatever is in it. */
static void put_flat(struct buf *ret, const char *text)
{
	for (; *text; text++) {
		char c = (unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : *text;

		(void)buf_append(ret, &c, 1);
	}
}

static void put_history_line(struct buf *ret, const struct image *image, size_t layer,
	bool has_layer, const struct history_entry *history)
{
	char hex[DIGEST_HEX_MAX] = "-";

	if (has_layer) {
		const struct descriptor *blob = &image->layers[layer];

		(void)buf_printf(ret, "%02zu  %-12.12s  ", layer + 1,
			digest_is_set(&blob->digest) ? digest_hex(&blob->digest, hex)
			: blob->layer_id             ? blob->layer_id
						     : hex);
		put_size(ret, image->layers[layer].size);
	} else {
		(void)buf_printf(ret, "--  %-12s  %8s", hex, "-");
	}
	(void)buf_printf(
		ret, "  %-20.19s  ", history && *history->created ? history->created : "-");
	put_flat(ret, history && *history->created_by ? history->created_by : "-");
	(void)buf_append(ret, "\n", 1);
}

/* Entries and layers need not agree: every layer has a line, every entry too. */
static void write_history(const struct image *image, struct buf *ret)
{
	const struct image_config *config = &image->parsed;
	size_t layer = 0;

	for (size_t i = 0; i < config->history_count; i++) {
		bool has_layer = !config->history[i].is_empty_layer && layer < image->layer_count;

		put_history_line(ret, image, layer, has_layer, &config->history[i]);
		layer += has_layer;
	}
	for (; layer < image->layer_count; layer++)
		put_history_line(ret, image, layer, true, NULL);
}

/* --- one platform --- */

static int lookup_digest(struct fs *fs, struct node *dir, const struct digest *digest,
	struct fuse_entry_param *ret, struct need *need)
{
	char text[DIGEST_TEXT_MAX];
	struct buf content;

	buf_init(&content, DIGEST_TEXT_MAX + 1);
	(void)buf_printf(&content, "%s\n", digest_format(digest, text));
	return entry_file(fs, dir, "digest", &content, fs_ttl(fs), ret, need);
}

static int lookup_history(struct fs *fs, struct node *dir, const struct digest *manifest,
	struct fuse_entry_param *ret, struct need *need)
{
	const struct image *image;
	struct buf content;
	int rc = image_get(fs, dir->place.repository, manifest, &image, need);

	if (rc)
		return rc;
	if (image->is_artifact)
		return no_such_file(need, "history.txt");
	buf_init(&content, HISTORY_TEXT_MAX);
	write_history(image, &content);
	return entry_file(fs, dir, "history.txt", &content, CONTENT_TIMEOUT_S, ret, need);
}

/* As stored; schema 1 and V1 have none, their newest entry's own JSON stands for it. */
static int lookup_config(struct fs *fs, struct node *dir, const struct image *image,
	struct fuse_entry_param *ret, struct need *need)
{
	const struct v1_entry *own;
	struct buf content;

	if (!image->v1_count)
		return entry_blob(fs, dir->place.repository, &image->config, false, ret, need);
	own = &image->v1[image->v1_count - 1];
	buf_init(&content, DOCUMENT_MAX);
	(void)buf_append(&content, own->json, own->json_len);
	return entry_file(fs, dir, "config.json", &content, CONTENT_TIMEOUT_S, ret, need);
}

static int lookup_rootfs(struct fs *fs, struct node *dir, const struct image *image,
	const struct place *place, struct fuse_entry_param *ret, struct need *need)
{
	struct node *node;

	if (image->is_artifact)
		return no_such_file(need, "rootfs");
	node = node_make(fs, dir, "rootfs", &view_rootfs, place);
	return entry_alias(fs, node, ret, need);
}

static enum media_family family_named(const char *name)
{
	return !strcmp(name, "oci")      ? FAMILY_OCI
	       : !strcmp(name, "docker") ? FAMILY_DOCKER
					 : FAMILY_OTHER;
}

/* image may be NULL, for a whole index. */
static int lookup_flavour(struct fs *fs, struct node *dir, const char *name, struct place place,
	const struct image *image, struct fuse_entry_param *ret, struct need *need)
{
	enum media_family family = family_named(name);
	int rc = image ? flavour_check(image, family, need) : 0;

	if (rc)
		return rc;
	place.family = family;
	return entry_directory(fs, dir, name, family == FAMILY_DOCKER ? &view_docker : &view_oci,
		&place, CONTENT_TIMEOUT_S, ret);
}

static int lookup_schema1(struct fs *fs, struct node *dir, const struct place *place,
	const struct image *image, struct fuse_entry_param *ret, struct need *need)
{
	if (image->is_artifact)
		return error_set(&need->err, EOPNOTSUPP, "an artifact cannot be schema 1");
	return entry_directory(fs, dir, "schema1", &view_schema1, place, CONTENT_TIMEOUT_S, ret);
}

static int lookup_tar(struct fs *fs, struct node *dir, const char *name, struct place place,
	struct fuse_entry_param *ret, struct need *need)
{
	place.family = !strcmp(name, "docker.tar") ? FAMILY_DOCKER : FAMILY_OCI;
	return entry_image_tar(fs, dir, name, &place, ret, need);
}

static int platform_lookup(struct fs *fs, struct node *dir, const char *name,
	struct fuse_entry_param *ret, struct need *need)
{
	const struct digest *manifest;
	const struct image *image;
	struct place place;
	int rc = place_manifest(fs, dir, &manifest, need);

	if (rc)
		return rc;
	place = dir->place;
	if (!strcmp(name, "digest"))
		return lookup_digest(fs, dir, manifest, ret, need);
	if (!strcmp(name, "manifest.json"))
		return entry_manifest(fs, place.repository, manifest, ret, need);
	if (!strcmp(name, "history.txt"))
		return lookup_history(fs, dir, manifest, ret, need);
	if (!strcmp(name, ATTESTATIONS_NAME))
		return lookup_attestations(fs, dir, ret, need);
	if (!strcmp(name, REFERRERS_NAME))
		return lookup_referrers(fs, dir, manifest, ret, need);
	if (!strcmp(name, "oci.tar") || !strcmp(name, "docker.tar"))
		return lookup_tar(fs, dir, name, place, ret, need);
	rc = image_get(fs, place.repository, manifest, &image, need);
	if (rc == LOAD_PENDING && image && !strcmp(name, "rootfs"))
		return lookup_rootfs(fs, dir, image, &place, ret, need);
	if (rc)
		return rc;
	take_time(dir, image);
	if (!strcmp(name, "config.json"))
		return lookup_config(fs, dir, image, ret, need);
	if (!strcmp(name, "layers"))
		return entry_directory(fs, dir, name, &view_layers, &place, CONTENT_TIMEOUT_S, ret);
	if (!strcmp(name, "rootfs"))
		return lookup_rootfs(fs, dir, image, &place, ret, need);
	if (family_named(name))
		return lookup_flavour(fs, dir, name, place, image, ret, need);
	if (!strcmp(name, "schema1"))
		return lookup_schema1(fs, dir, &place, image, ret, need);
	return no_such_file(need, name);
}

/* What of manifest.json, by the option, and of the flavours can be, without a layer being read for
 * who only looks: a manifest made from schema 1 or V1 is listed once they all have been. */
static bool can_be(struct fs *fs, const struct node *dir, const struct image *image,
	const char *name, struct need *need)
{
	enum media_family family = family_named(name);
	struct need unused;

	if (!strcmp(name, "manifest.json")) {
		family = manifest_family(fs);
		if (family != FAMILY_OTHER && image->v1_count &&
			!layers_are_loaded(
				fs, dir->place.repository, image, 0, image->layer_count)) {
			need_again(need, 0);
			return false;
		}
	}
	return family == FAMILY_OTHER || !flavour_check(image, family, &unused);
}

static const struct {
	const char *name;
	mode_t type;
	bool is_for_artifacts;
} platform_names[] = {
	{ "config.json", S_IFREG, true },
	{ "digest", S_IFREG, true },
	{ "docker", S_IFDIR, false },
	{ "history.txt", S_IFREG, false },
	{ "layers", S_IFDIR, true },
	{ "manifest.json", S_IFREG, true },
	{ "oci", S_IFDIR, true },
	{ "rootfs", S_IFDIR, false },
};

/* The document is there and is at fault itself, or its config is: it will be tomorrow.  (Not so
 * while nobody could say which one it is: manifest is not set then.) */
static bool is_unreadable(struct fs *fs, const struct node *dir, const struct digest *manifest,
	int rc, struct need *need)
{
	const struct document *raw;
	struct need unused = *need;

	return (rc == -EIO || rc == -EOPNOTSUPP || rc == -EFBIG) && !need->is_unread &&
	       digest_is_set(manifest) &&
	       !manifest_raw_get(fs, dir->place.repository, manifest, &raw, &unused);
}

/* What cannot be read as a manifest can still be looked at. */
static int list_unreadable(struct listing *ret)
{
	int rc = listing_add(ret, "digest", S_IFREG, 0);

	return rc ? rc : listing_add(ret, "manifest.json", S_IFREG, 0);
}

static int platform_list(struct fs *fs, struct node *dir, struct listing *ret, struct need *need)
{
	const struct digest *manifest;
	const struct image *image;
	int rc = place_manifest(fs, dir, &manifest, need);

	if (rc)
		return rc;
	rc = image_get(fs, dir->place.repository, manifest, &image, need);
	if (is_unreadable(fs, dir, manifest, rc, need))
		return list_unreadable(ret);
	for (size_t i = 0; !rc && i < ARRAY_SIZE(platform_names); i++)
		if ((platform_names[i].is_for_artifacts || !image->is_artifact) &&
			can_be(fs, dir, image, platform_names[i].name, need))
			rc = listing_add(ret, platform_names[i].name, platform_names[i].type, 0);
	if (!rc)
		rc = list_attestations(fs, dir, ret, need);
	return rc ? rc : list_referrers(fs, dir, manifest, ret, need);
}

static int put_digest(struct buf *ret, const struct digest *digest)
{
	char text[DIGEST_TEXT_MAX];

	return buf_append_text(ret, digest_format(digest, text));
}

/* What a manifest or index says of itself; -ENODATA. */
static int document_xattr(const struct document *document, const char *name, struct buf *ret)
{
	const struct image *image = &document->image;
	const struct image_index *idx = &document->index;
	bool has_subject = document_is_index(document) ? idx->has_subject : image->has_subject;
	const char *artifact_type =
		document_is_index(document) ? idx->artifact_type : image->artifact_type;

	char signature[SIGNATURE_TEXT_MAX];

	if (!strcmp(name, "media_type"))
		return buf_append_text(ret, document_media_type(document->kind));
	if (!strcmp(name, "signature") && image->signature != SIGNATURE_NONE)
		return buf_append_text(ret, signature_format(image, signature));
	if (!strcmp(name, "artifact_type") && artifact_type)
		return buf_append_text(ret, artifact_type);
	if (!strcmp(name, "subject") && has_subject)
		return put_digest(ret, document_is_index(document) ? &idx->subject.digest
								   : &image->subject.digest);
	return -ENODATA;
}

static int platform_xattr(
	struct fs *fs, struct node *node, const char *name, struct buf *ret, struct need *need)
{
	char text[PLATFORM_NAME_MAX];
	const struct digest *manifest;
	const struct document *document;
	const struct image *image;
	int rc = place_manifest(fs, node, &manifest, need);

	if (rc)
		return rc;
	if (!strcmp(name, "digest"))
		return put_digest(ret, manifest);
	if (!strcmp(name, "platform")) {
		rc = image_get(fs, node->place.repository, manifest, &image, need);
		if (rc)
			return rc;
		return image->has_config ? buf_append_text(ret,
						   platform_format(&image->parsed.platform, text))
					 : -ENODATA;
	}
	rc = manifest_get(fs, node->place.repository, manifest, &document, need);
	return rc ? rc : document_xattr(document, name, ret);
}

const struct view view_platform = { .name = "platform",
	.type = S_IFDIR,
	.lookup = platform_lookup,
	.list = platform_list,
	.xattr = platform_xattr };

/* --- what a tag points at --- */

static enum media_family document_family(const struct document *document)
{
	return media_type_find(document_media_type(document->kind))->family;
}

/* The image's document; *ret_is_artifact: its directory is a platform's. */
static int top_document(struct fs *fs, struct node *dir, const struct document **ret,
	bool *ret_is_index, bool *ret_is_artifact, struct need *need)
{
	const struct digest *digest;
	int rc = place_image(fs, dir, &digest, need);

	if (!rc)
		rc = manifest_get(fs, dir->place.repository, digest, ret, need);
	if (rc)
		return rc;
	*ret_is_index = document_is_index(*ret);
	*ret_is_artifact = !*ret_is_index && (*ret)->image.is_artifact;
	return 0;
}

static int lookup_platform(struct fs *fs, struct node *dir, const char *name,
	struct fuse_entry_param *ret, struct need *need)
{
	const struct platform_entry *entries;
	struct place place = dir->place;
	size_t count;
	int rc = image_platforms(
		fs, dir->place.repository, &dir->place.image, &entries, &count, need);

	if (rc)
		return rc;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(entries[i].name, name))
			continue;
		place.manifest = entries[i].manifest.digest;
		place.platform = intern(fs, name);
		return entry_directory(
			fs, dir, name, &view_platform, &place, CONTENT_TIMEOUT_S, ret);
	}
	return no_such_file(need, name);
}

/* The flavours of the whole: an index has one if it has a platform. */
static int lookup_whole(struct fs *fs, struct node *dir, const char *name,
	const struct document *document, struct fuse_entry_param *ret, struct need *need)
{
	const struct platform_entry *entries;
	size_t count;
	int rc;

	if (!document_is_index(document))
		return lookup_flavour(fs, dir, name, dir->place, &document->image, ret, need);
	rc = image_platforms(fs, dir->place.repository, &dir->place.image, &entries, &count, need);
	if (!rc && !count && family_named(name) != document_family(document))
		rc = error_set(&need->err, EOPNOTSUPP, "nothing in this index is an image");
	return rc ? rc : lookup_flavour(fs, dir, name, dir->place, NULL, ret, need);
}

static int image_lookup(struct fs *fs, struct node *dir, const char *name,
	struct fuse_entry_param *ret, struct need *need)
{
	const struct digest *digest;
	const struct document *document;
	bool is_index, is_artifact;
	int rc = place_image(fs, dir, &digest, need);

	if (rc)
		return rc;
	if (!strcmp(name, "digest"))
		return lookup_digest(fs, dir, digest, ret, need);
	rc = top_document(fs, dir, &document, &is_index, &is_artifact, need);
	if (!strcmp(name, "manifest.json") && is_unreadable(fs, dir, digest, rc, need))
		return entry_raw_manifest(fs, dir->place.repository, digest, ret, need);
	if (rc)
		return rc;
	if (is_artifact)
		return platform_lookup(fs, dir, name, ret, need);
	if (is_index && !strcmp(name, "index.json")) {
		struct descriptor self = {
			.media_type = (char *)document_media_type(document->kind),
			.digest = *digest,
			.size = document->len,
		};

		return entry_blob(fs, dir->place.repository, &self, true, ret, need);
	}
	if (is_index && !strcmp(name, REFERRERS_NAME))
		return lookup_referrers(fs, dir, digest, ret, need);
	if (!is_index && !strcmp(name, "manifest.json"))
		return entry_manifest(fs, dir->place.repository, digest, ret, need);
	if (family_named(name))
		return lookup_whole(fs, dir, name, document, ret, need);
	if (!is_index && !strcmp(name, "schema1"))
		return lookup_schema1(fs, dir, &dir->place, &document->image, ret, need);
	return lookup_platform(fs, dir, name, ret, need);
}

static int image_list(struct fs *fs, struct node *dir, struct listing *ret, struct need *need)
{
	static const char *const flavours[] = { "docker", "oci" };
	const struct platform_entry *entries;
	const struct document *document;
	bool is_index, is_artifact;
	size_t count;
	int rc = top_document(fs, dir, &document, &is_index, &is_artifact, need);

	if (is_unreadable(fs, dir, &dir->place.image, rc, need))
		return list_unreadable(ret);
	if (rc)
		return rc;
	if (is_artifact)
		return platform_list(fs, dir, ret, need);
	rc = image_platforms(fs, dir->place.repository, &dir->place.image, &entries, &count, need);
	if (!is_index && is_unreadable(fs, dir, &dir->place.image, rc, need)) /* its config is */
		return list_unreadable(ret);
	if (rc)
		return rc;
	rc = listing_add(ret, "digest", S_IFREG, 0);
	if (!rc && is_index)
		rc = listing_add(ret, "index.json", S_IFREG, 0);
	if (!rc && !is_index && can_be(fs, dir, &document->image, "manifest.json", need))
		rc = listing_add(ret, "manifest.json", S_IFREG, 0);
	for (size_t i = 0; !rc && i < ARRAY_SIZE(flavours); i++)
		if (is_index ? count || family_named(flavours[i]) == document_family(document)
			     : can_be(fs, dir, &document->image, flavours[i], need))
			rc = listing_add(ret, flavours[i], S_IFDIR, 0);
	for (size_t i = 0; !rc && i < count; i++)
		rc = listing_add(ret, entries[i].name, S_IFDIR, 0);
	return rc || !is_index ? rc : list_referrers(fs, dir, &dir->place.image, ret, need);
}

static int image_xattr(
	struct fs *fs, struct node *node, const char *name, struct buf *ret, struct need *need)
{
	const struct digest *digest;
	const struct document *document;
	int rc = place_image(fs, node, &digest, need);

	if (rc)
		return rc;
	if (!strcmp(name, "digest"))
		return put_digest(ret, digest);
	rc = manifest_get(fs, node->place.repository, digest, &document, need);
	return rc ? rc : document_xattr(document, name, ret);
}

const struct view view_image = { .name = "image",
	.type = S_IFDIR,
	.lookup = image_lookup,
	.list = image_list,
	.xattr = image_xattr };
