/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layers/, one layer, and the doors to its tree (diff/) and to the merged one
 * (rootfs/).
 *
 * A door is a directory whose content is a space (spaces.h) that exists only
 * once the layers are there: looking at the door is free, going through it
 * fetches.  When everything is in memory already the door shows the inode
 * number of what is behind it, so that equal trees are equal at their roots.
 */
#include "fs/views.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/spaces.h"
#include "model/cleanup.h"

enum { INFO_MAX = 1 << 20 }; /* bytes of one info.json */

static const char title_annotation[] = "org.opencontainers.image.title";

/* "01-5d20c808ce19": the blob's digest, or the id of a V1 layer, whose digest nobody knows yet. */
static void layer_name(const struct image *image, size_t layer, char *name, size_t len)
{
	const struct descriptor *blob = &image->layers[layer];
	char hex[DIGEST_HEX_MAX];
	const char *digits = digest_is_set(&blob->digest) ? digest_hex(&blob->digest, hex)
			     : blob->layer_id             ? blob->layer_id
							  : "";

	(void)snprintf(name, len, "%02zu-%.12s", layer + 1, digits);
}

/* As image_get(). */
static int place_layers(
	struct fs *fs, struct node *node, const struct image **ret, struct need *need)
{
	const struct digest *manifest;
	int rc = place_manifest(fs, node, &manifest, need);

	*ret = NULL;
	return rc ? rc : image_get(fs, node->place.repository, manifest, ret, need);
}

/* --- info.json --- */

static void put_member(
	struct buf *ret, const char *indent, const char *name, const char *value, bool *is_first)
{
	(void)buf_printf(ret, "%s\n%s\"%s\": ", *is_first ? "" : ",", indent, name);
	(void)json_write_string(ret, value, strlen(value));
	*is_first = false;
}

/* Where the publisher says that the content is. */
static void put_urls(struct buf *ret, char *const *urls)
{
	(void)buf_append_text(ret, ",\n    \"urls\": [");
	for (size_t i = 0; urls[i]; i++) {
		(void)buf_append_text(ret, i ? ", " : "");
		(void)json_write_string(ret, urls[i], strlen(urls[i]));
	}
	(void)buf_append_text(ret, "]");
}

static void put_descriptor(struct buf *ret, const struct descriptor *descriptor)
{
	char text[DIGEST_TEXT_MAX];
	bool is_first = true;

	(void)buf_append_text(ret, "{");
	if (descriptor->media_type)
		put_member(ret, "    ", "mediaType", descriptor->media_type, &is_first);
	if (digest_is_set(&descriptor->digest))
		put_member(
			ret, "    ", "digest", digest_format(&descriptor->digest, text), &is_first);
	if (descriptor->layer_id)
		put_member(ret, "    ", "v1ID", descriptor->layer_id, &is_first);
	if (descriptor->size != DESCRIPTOR_SIZE_UNKNOWN)
		(void)buf_printf(ret, ",\n    \"size\": %" PRIu64, descriptor->size);
	if (descriptor->urls && *descriptor->urls)
		put_urls(ret, descriptor->urls);
	if (descriptor->annotations.count) {
		bool is_first_annotation = true;

		(void)buf_append_text(ret, ",\n    \"annotations\": {");
		for (size_t i = 0; i < descriptor->annotations.count; i++)
			put_member(ret, "      ", descriptor->annotations.items[i].key,
				descriptor->annotations.items[i].value, &is_first_annotation);
		(void)buf_append_text(ret, "\n    }");
	}
	(void)buf_append_text(ret, "\n  }");
}

static void put_history(struct buf *ret, const struct history_entry *history)
{
	bool is_first = true;

	if (!history) {
		(void)buf_append_text(ret, "null");
		return;
	}
	(void)buf_append_text(ret, "{");
	if (*history->created)
		put_member(ret, "    ", "created", history->created, &is_first);
	if (*history->created_by)
		put_member(ret, "    ", "created_by", history->created_by, &is_first);
	if (*history->author)
		put_member(ret, "    ", "author", history->author, &is_first);
	if (*history->comment)
		put_member(ret, "    ", "comment", history->comment, &is_first);
	(void)buf_append_text(ret, "\n  }");
}

/* What the manifest and the config say of a layer: two layer directories are the same if this is.
 */
static void write_told(const struct image *image, size_t layer, struct buf *ret)
{
	bool is_first = true;
	char text[DIGEST_TEXT_MAX];
	struct digest chain_id;

	(void)buf_append_text(ret, "{\n  \"descriptor\": ");
	put_descriptor(ret, &image->layers[layer]);
	is_first = false;
	if (layer < image->parsed.diff_id_count)
		put_member(ret, "  ", "diffID", digest_format(&image->parsed.diff_ids[layer], text),
			&is_first);
	if (image->has_config && !image_chain_id(&chain_id, image, layer, NULL))
		put_member(ret, "  ", "chainID", digest_format(&chain_id, text), &is_first);
	(void)buf_append_text(ret, ",\n  \"history\": ");
	put_history(ret, image_layer_history(image, layer));
	if (image->signature != SIGNATURE_NONE) {
		char signature[SIGNATURE_TEXT_MAX];

		put_member(ret, "  ", "manifestSignature", signature_format(image, signature),
			&is_first);
	}
}

/* What the layer proved to be. */
static void write_found(const struct image *image, size_t number, const struct layer_object *object,
	struct buf *ret)
{
	const struct layer *layer = object ? layer_object_layer(object) : NULL;
	bool is_first = false;
	char text[DIGEST_TEXT_MAX];
	char state[32];

	layer_object_state(object, state, sizeof state);
	if (!layer || strncmp(state, "indexed", 7)) /* a percentage would be old at once */
		(void)snprintf(state, sizeof state, "unfetched");
	put_member(ret, "  ", "state", state, &is_first);
	(void)buf_printf(ret, ",\n  \"verified\": %s", layer ? "true" : "false");
	if (layer) {
		put_member(
			ret, "  ", "foundDigest", digest_format(&layer->digest, text), &is_first);
		(void)buf_printf(ret, ",\n  \"storedSize\": %" PRIu64, layer->stored_size);
		put_member(ret, "  ", "coding", media_coding_name(layer->coding), &is_first);
		(void)buf_printf(ret, ",\n  \"uncompressedSize\": %" PRIu64, layer->plain_size);
		put_member(
			ret, "  ", "foundDiffID", digest_format(&layer->diff_id, text), &is_first);
		if (number < image->parsed.diff_id_count)
			(void)buf_printf(ret, ",\n  \"diffIDMatches\": %s",
				digest_equal(&layer->diff_id, &image->parsed.diff_ids[number])
					? "true"
					: "false");
		if (layer->status)
			put_member(ret, "  ", "error", layer->message, &is_first);
		else
			(void)buf_printf(ret, ",\n  \"entries\": %u,\n  \"dropped\": %u",
				layer->tree.entry_count, layer->dropped);
	}
	(void)buf_append_text(ret, "\n}\n");
}

static int lookup_info(struct fs *fs, struct node *dir, const struct image *image,
	struct fuse_entry_param *ret, struct need *need)
{
	size_t number = dir->place.layer;
	struct buf content;

	buf_init(&content, INFO_MAX);
	write_told(image, number, &content);
	write_found(image, number, layer_peek(fs, dir->place.repository, &image->layers[number]),
		&content);
	return entry_file(fs, dir, "info.json", &content, 1, ret, need);
}

/* --- the doors --- */

bool layers_are_loaded(struct fs *fs, const char *repository, const struct image *image,
	size_t first, size_t count)
{
	for (size_t i = first; i < first + count; i++) {
		const struct layer_object *object = layer_peek(fs, repository, &image->layers[i]);

		if (!object || !layer_object_layer(object))
			return false;
	}
	return true;
}

/* Are the layers here that make what is behind the door? */
static bool is_open(struct fs *fs, const struct node *node, const struct image *image)
{
	const char *repository = node->place.repository;

	return node->view == &view_rootfs
		       ? layers_are_loaded(fs, repository, image, 0, image->layer_count)
		       : layers_are_loaded(fs, repository, image, node->place.layer, 1);
}

bool alias_is_open(struct fs *fs, struct node *node, struct need *need)
{
	const struct image *image;

	return !place_layers(fs, node, &image, need) && is_open(fs, node, image);
}

int entry_alias(struct fs *fs, struct node *node, struct fuse_entry_param *ret, struct need *need)
{
	const struct image *image;
	struct stat behind;
	fuse_ino_t alias;
	int rc;

	if (!node)
		return error_set(&need->err, ENOMEM, "out of memory");
	rc = place_layers(fs, node, &image, need);
	/* A closed door needs no config, and who goes in waits for that and the layers at once. */
	if (rc && (rc != LOAD_PENDING || !image || is_open(fs, node, image)))
		return rc;
	rc = entry_node(fs, node, CONTENT_TIMEOUT_S, ret);
	/* Until somebody goes in: what the root is when no layer says otherwise. */
	ret->attr.st_mode = S_IFDIR | (0755 & ~(mode_t)fs->options->umask);
	ret->attr.st_uid = fs->options->has_uid ? (uid_t)fs->options->uid : 0;
	ret->attr.st_gid = fs->options->has_gid ? (gid_t)fs->options->gid : 0;
	ret->attr_timeout = 0;
	if (rc || !is_open(fs, node, image))
		return rc;
	if (node->view->alias(fs, node, &alias, need) || space_stat(fs, alias, &behind, need))
		return 0; /* the failure shows when somebody goes in */
	if (!node->lookups)
		node->ino = behind.st_ino;
	ret->attr = behind;
	ret->attr.st_ino = node->ino;
	ret->attr_timeout = CONTENT_TIMEOUT_S;
	return 0;
}

static int rootfs_alias(struct fs *fs, struct node *node, fuse_ino_t *ret, struct need *need)
{
	CLEANUP(freep) struct layer_object **layers = NULL;
	CLEANUP(freep) char *path = node_path(node);
	CLEANUP(freep) char *key = NULL;
	const struct image *image;
	char text[DIGEST_TEXT_MAX];
	int rc = place_layers(fs, node, &image, need);

	if (rc == LOAD_PENDING && image) /* they come while the config does */
		layers_start(fs, node->place.repository, image, need->asker);
	if (rc)
		return rc;
	if (image->is_artifact)
		return error_set(&need->err, EOPNOTSUPP, "an artifact has no root file system");
	layers = calloc(image->layer_count + 1, sizeof(struct layer_object *));
	if (!layers || !path ||
		asprintf(&key, "%s@%s", path, digest_format(&node->place.manifest, text)) < 0)
		return error_set(&need->err, ENOMEM, "out of memory");
	rc = layers_get(fs, node->place.repository, image, image->layer_count, layers, need);
	return rc ? rc : space_rootfs(fs, key, layers, (uint32_t)image->layer_count, ret, need);
}

const struct view view_rootfs = { .name = "rootfs", .type = S_IFDIR, .alias = rootfs_alias };

static int diff_alias(struct fs *fs, struct node *node, fuse_ino_t *ret, struct need *need)
{
	CLEANUP(freep) char *path = node_path(node);
	CLEANUP(freep) char *key = NULL;
	struct layer_object *object;
	const struct image *image;
	const struct layer *layer;
	char text[DIGEST_TEXT_MAX];
	int rc = place_layers(fs, node, &image, need);

	if (!rc)
		rc = layer_get(fs, node->place.repository, &image->layers[node->place.layer],
			&object, need);
	if (rc)
		return rc;
	layer = layer_object_layer(object);
	if (layer->status)
		return error_set(&need->err, -layer->status, "%s", layer->message);
	layer_note_history(fs, object, image, node->place.layer);
	if (!path || asprintf(&key, "%s@%s", path, digest_format(&node->place.manifest, text)) < 0)
		return error_set(&need->err, ENOMEM, "out of memory");
	return space_diff(fs, key, object, ret, need);
}

const struct view view_diff = { .name = "diff", .type = S_IFDIR, .alias = diff_alias };

/* --- one layer --- */

/* The name of the stored blob: by what it really is when that is known, else by its type. */
static void blob_name(
	struct fs *fs, const struct node *dir, const struct image *image, char *name, size_t len)
{
	const struct descriptor *blob = &image->layers[dir->place.layer];
	const struct media_type *type = media_type_find(blob->media_type);
	const struct layer_object *object = layer_peek(fs, dir->place.repository, blob);
	const struct layer *layer = object ? layer_object_layer(object) : NULL;
	const char *title = annotations_get(&blob->annotations, title_annotation);

	if (type->role == ROLE_LAYER) {
		enum media_coding coding = layer && layer->coding ? layer->coding : type->coding;

		(void)snprintf(name, len, "layer%s", media_coding_suffix(coding));
	} else if (title && *title && *title != '.' && !strchr(title, '/') && strlen(title) < len &&
		   strcmp(title, "info.json")) {
		(void)snprintf(name, len, "%s", title);
	} else {
		(void)snprintf(name, len, "blob");
	}
}

/* Of a schema 1 or V1 layer neither size nor coding is known before it has been read; then
 * its blob has no name to be listed by. */
static bool is_told(struct fs *fs, const struct node *dir, const struct image *image)
{
	const struct descriptor *blob = &image->layers[dir->place.layer];
	const struct media_type *type = media_type_find(blob->media_type);
	const struct layer_object *object;

	if (type->role != ROLE_LAYER ||
		(type->coding != CODING_UNKNOWN && blob->size != DESCRIPTOR_SIZE_UNKNOWN))
		return true;
	object = layer_peek(fs, dir->place.repository, blob);
	return object && layer_object_layer(object);
}

/* The stored blob, with what is known of it by now. */
static int lookup_blob(struct fs *fs, const struct node *dir, const struct image *image,
	struct fuse_entry_param *ret, struct need *need)
{
	const char *repository = dir->place.repository;
	const struct descriptor *blob = &image->layers[dir->place.layer];
	const struct layer_object *object = layer_peek(fs, repository, blob);
	const struct layer *layer = object ? layer_object_layer(object) : NULL;
	struct descriptor known = *layer_known(fs, repository, blob); /* only copied from */

	if (layer)
		known.size = layer->stored_size;
	return entry_blob(fs, repository, &known, false, ret, need);
}

static int lookup_plain(struct fs *fs, const struct node *dir, const struct image *image,
	struct fuse_entry_param *ret, struct need *need)
{
	struct layer_object *object;
	int rc = layer_get(
		fs, dir->place.repository, &image->layers[dir->place.layer], &object, need);

	return rc ? rc : entry_plain(fs, object, ret, need);
}

/* Made once for as long as the kernel knows the file. */
static int lookup_changes(struct fs *fs, struct node *dir, const struct image *image,
	struct fuse_entry_param *ret, struct need *need)
{
	struct node *node = node_child(fs, dir, "changes.txt");
	char *text;
	size_t len;
	int rc;

	if (!node) {
		rc = changes_take(fs, dir->place.repository, &dir->place.manifest, image,
			dir->place.layer, &text, &len, need);
		if (rc)
			return rc;
		node = node_make_file(fs, dir, "changes.txt", text, len);
	}
	if (entry_node(fs, node, CONTENT_TIMEOUT_S, ret))
		return error_set(&need->err, ENOMEM, "out of memory");
	return 0;
}

static int layer_lookup(struct fs *fs, struct node *dir, const char *name,
	struct fuse_entry_param *ret, struct need *need)
{
	char blob[NAME_MAX + 1];
	const struct descriptor *descriptor;
	const struct image *image;
	bool is_tar;
	int rc = place_layers(fs, dir, &image, need);

	if (rc)
		return rc;
	descriptor = &image->layers[dir->place.layer];
	is_tar = media_type_find(descriptor->media_type)->role == ROLE_LAYER;
	if (!strncmp(name, "layer.", 6) && !is_told(fs, dir, image)) {
		struct layer_object *object;

		rc = layer_get(fs, dir->place.repository, descriptor, &object, need);
		if (rc)
			return rc;
	}
	blob_name(fs, dir, image, blob, sizeof blob);
	if (!strcmp(name, "info.json"))
		return lookup_info(fs, dir, image, ret, need);
	if (!strcmp(name, blob))
		return lookup_blob(fs, dir, image, ret, need);
	if (is_tar && !strcmp(name, "layer.tar"))
		return lookup_plain(fs, dir, image, ret, need);
	if (is_tar && !strcmp(name, "diff"))
		return entry_alias(
			fs, node_make(fs, dir, name, &view_diff, &dir->place), ret, need);
	if (!is_tar && !image->is_artifact && !strcmp(name, "diff"))
		return error_set(&need->err, EOPNOTSUPP, "no layer type: '%s'",
			descriptor->media_type ? descriptor->media_type : "");
	if (is_tar && !image->is_artifact && !strcmp(name, "changes.txt"))
		return lookup_changes(fs, dir, image, ret, need);
	return no_such_file(need, name);
}

static int layer_list(struct fs *fs, struct node *dir, struct listing *ret, struct need *need)
{
	char blob[NAME_MAX + 1];
	const struct image *image;
	int rc = place_layers(fs, dir, &image, need);

	if (rc)
		return rc;
	blob_name(fs, dir, image, blob, sizeof blob);
	if (media_type_find(image->layers[dir->place.layer].media_type)->role == ROLE_LAYER) {
		if (!layers_are_loaded(fs, dir->place.repository, image, dir->place.layer, 1))
			need_again(need, 0); /* the blob may prove to be of another coding */
		rc = listing_add(ret, "diff", S_IFDIR, 0);
	}
	if (!rc)
		rc = listing_add(ret, "info.json", S_IFREG, 0);
	if (!rc && is_told(fs, dir, image))
		rc = listing_add(ret, blob, S_IFREG, 0);
	return rc;
}

static int layer_xattr(
	struct fs *fs, struct node *node, const char *name, struct buf *ret, struct need *need)
{
	const struct history_entry *history;
	const struct descriptor *descriptor;
	const struct image *image;
	char text[DIGEST_TEXT_MAX];
	char state[32];
	int rc = place_layers(fs, node, &image, need);

	if (rc)
		return rc;
	descriptor = layer_known(fs, node->place.repository, &image->layers[node->place.layer]);
	history = image_layer_history(image, node->place.layer);
	if ((!strcmp(name, "digest") || !strcmp(name, "layer")) &&
		digest_is_set(&descriptor->digest))
		return buf_append_text(ret, digest_format(&descriptor->digest, text));
	if (!strcmp(name, "diff_id") && node->place.layer < image->parsed.diff_id_count)
		return buf_append_text(
			ret, digest_format(&image->parsed.diff_ids[node->place.layer], text));
	if (!strcmp(name, "media_type") && descriptor->media_type)
		return buf_append_text(ret, descriptor->media_type);
	if (!strcmp(name, "created_by") && history && *history->created_by)
		return buf_append_text(ret, history->created_by);
	if (strcmp(name, "state"))
		return -ENODATA;
	layer_object_state(layer_peek(fs, node->place.repository, descriptor), state, sizeof state);
	return buf_append_text(ret, state);
}

const struct view view_layer = { .name = "layer",
	.type = S_IFDIR,
	.lookup = layer_lookup,
	.list = layer_list,
	.xattr = layer_xattr };

/* --- layers/ --- */

/* Equal layer directories have equal inode numbers: by what is told of the layer. */
static fuse_ino_t layer_directory_ino(struct fs *fs, const struct image *image, size_t layer)
{
	struct digest digest;
	struct buf told;
	uint32_t identity = 0;

	buf_init(&told, INFO_MAX);
	write_told(image, layer, &told);
	if (!buf_status(&told) && !digest_of(&digest, DIGEST_SHA256, told.data, told.len, NULL))
		identity = identity_of(fs, &digest);
	buf_release(&told);
	return identity ? identity_ino(identity, IDENTITY_DIRECTORY) : 0;
}

static int layers_lookup(struct fs *fs, struct node *dir, const char *name,
	struct fuse_entry_param *ret, struct need *need)
{
	struct place place = dir->place;
	const struct image *image;
	struct node *node;
	char expected[48];
	int rc = place_layers(fs, dir, &image, need);
	unsigned long number = strtoul(name, NULL, 10);

	if (rc)
		return rc;
	if (!number || number > image->layer_count)
		return no_such_file(need, name);
	layer_name(image, number - 1, expected, sizeof expected);
	if (strcmp(name, expected))
		return no_such_file(need, name);
	place = dir->place;
	place.layer = (uint32_t)number - 1;
	node = node_make(fs, dir, name, &view_layer, &place);
	if (node && node->ino == node->id) {
		fuse_ino_t ino = layer_directory_ino(fs, image, number - 1);

		node->ino = ino ? ino : node->ino;
	}
	if (entry_node(fs, node, CONTENT_TIMEOUT_S, ret))
		return error_set(&need->err, ENOMEM, "out of memory");
	return 0;
}

static int layers_list(struct fs *fs, struct node *dir, struct listing *ret, struct need *need)
{
	const struct image *image;
	char name[48];
	int rc = place_layers(fs, dir, &image, need);

	for (size_t i = 0; !rc && i < image->layer_count; i++) {
		layer_name(image, i, name, sizeof name);
		rc = listing_add(ret, name, S_IFDIR, 0);
	}
	return rc;
}

const struct view view_layers = {
	.name = "layers", .type = S_IFDIR, .lookup = layers_lookup, .list = layers_list
};
