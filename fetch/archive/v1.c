/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archives without a manifest.json (moby image/spec/v1.md):
 *
 *	repositories     { "NAME": { "TAG": "ID" } }; absent when saved by id
 *	ID/json          the V1 JSON, which names its parent
 *	ID/layer.tar     plain, or empty
 *	ID/VERSION       1.0
 *
 * The parents are read when the archive is opened, for heads are those that
 * nobody has for a parent.  The rest of a JSON is read again when an image is made.
 */
#include "fetch/archive/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "fetch/cancel.h"
#include "fetch/observer.h"
#include "model/cleanup.h"
#include "model/image.h"
#include "model/json.h"

enum { MEMBER_MAX = V1_ID_LEN + sizeof "/layer.tar" };

bool archive_v1_id_is_valid(const char *text)
{
	return strlen(text) == V1_ID_LEN && strspn(text, "0123456789abcdef") == V1_ID_LEN;
}

static int by_id(const void *id, const void *node)
{
	return strcmp(id, ((const struct v1_node *)node)->id);
}

static struct v1_node *find_node(struct archive *archive, const char *id)
{
	return archive->node_count ? bsearch(id, archive->nodes, archive->node_count,
					     sizeof *archive->nodes, by_id)
				   : NULL;
}

/* --- reading --- */

/* Appends ID/json; fills parent_id. */
static int read_json(struct archive *archive, const char *id, struct buf *text,
	char parent_id[static V1_ID_LEN + 1], struct error *err)
{
	CLEANUP(json_putp) struct json_object *root = NULL;
	CLEANUP(freep) char *own_id = NULL;
	CLEANUP(freep) char *parent = NULL;
	char path[MEMBER_MAX];
	int rc;

	(void)snprintf(path, sizeof path, "%s/json", id);
	rc = bundle_read(archive->bundle, path, text, err);
	if (!rc)
		rc = json_parse(&root, text->data ? text->data : "", text->len, err);
	if (!rc && !json_object_is_type(root, json_type_object))
		rc = error_set(err, EIO, "not an object");
	if (!rc)
		rc = json_get_string(root, "id", &own_id, err);
	if (!rc && (!own_id || strcmp(own_id, id) != 0))
		rc = error_set(err, EIO, "its id is '%.100s'", own_id ? own_id : "");
	if (!rc)
		rc = json_get_string(root, "parent", &parent, err);
	if (!rc && parent && *parent && !archive_v1_id_is_valid(parent))
		rc = error_set(err, EIO, "its parent is '%.100s'", parent);
	if (rc)
		return error_prefix(err, rc, "V1 image %.12s", id);
	strcpy(parent_id, parent ? parent : "");
	return 0;
}

/* Broken ones stay, without a parent: what needs them says why they are. */
static int add_node(struct archive *archive, const char *id, struct error *err)
{
	CLEANUP(buf_release) struct buf text = { 0 };
	struct v1_node *node = &archive->nodes[archive->node_count];
	struct error why = { "" };
	int rc;

	*node = (struct v1_node){ .parent = V1_NONE, .image = V1_NONE };
	buf_init(&text, DOCUMENT_MAX);
	rc = read_json(archive, id, &text, node->parent_id, &why);
	if (rc == -ENOMEM)
		return error_set(err, ENOMEM, "%s", why.text);
	if (rc == -ENOENT) /* some other directory */
		return 0;
	strcpy(node->id, id);
	archive->node_count++;
	return 0;
}

/* The names come sorted, and so lie the nodes. */
static int read_nodes(struct archive *archive, struct cancel *cancel, struct error *err)
{
	struct name_list names = { NULL, 0 };
	size_t count = 0;
	int rc = bundle_list(archive->bundle, "", &names, err);

	for (size_t i = 0; i < names.count; i++)
		count += archive_v1_id_is_valid(names.names[i]);
	if (!rc && count > ARCHIVE_IMAGES_MAX)
		rc = error_set(err, EFBIG, "more than %d V1 images", ARCHIVE_IMAGES_MAX);
	if (!rc)
		archive->nodes = calloc(count + 1, sizeof *archive->nodes);
	if (!rc && !archive->nodes)
		rc = error_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; !rc && i < names.count; i++) {
		if (cancel_is_set(cancel))
			rc = error_set(err, EINTR, "interrupted");
		else if (archive_v1_id_is_valid(names.names[i]))
			rc = add_node(archive, names.names[i], err);
	}
	name_list_release(&names);
	return rc;
}

static void link_nodes(struct archive *archive)
{
	for (size_t i = 0; i < archive->node_count; i++) {
		struct v1_node *parent = find_node(archive, archive->nodes[i].parent_id);

		if (!parent)
			continue;
		parent->is_parent = true;
		archive->nodes[i].parent = (size_t)(parent - archive->nodes);
	}
}

/* The image with this head, one for all its names. */
static int add_head(struct archive *archive, const char *id, size_t *ret, struct error *err)
{
	struct v1_node *node = archive_v1_id_is_valid(id) ? find_node(archive, id) : NULL;
	struct archive_image image = { 0 };
	struct error why = { "" };
	int rc = 0;

	if (node && node->image != V1_NONE) {
		*ret = node->image;
		return 0;
	}
	if (node)
		strcpy(image.head, node->id);
	else
		rc = error_set(&why, EIO, "V1 image '%.100s' is not in the archive", id);
	rc = archive_image_break(&image, rc, &why, err);
	if (!rc)
		rc = archive_add_image(archive, &image, ret, err);
	if (rc)
		archive_image_release(&image);
	else if (node)
		node->image = *ret;
	return rc;
}

static int parse_repository(
	struct archive *archive, const char *name, struct json_object *tags, struct error *err)
{
	int rc = 0;

	if (!json_object_is_type(tags, json_type_object)) {
		observer_log(archive->observer, LOG_LEVEL_WARNING,
			"%s: repositories: '%s' left out: not an object",
			bundle_name(archive->bundle), name);
		return 0;
	}
	json_object_object_foreach(tags, tag, id)
	{
		const char *text =
			json_object_is_type(id, json_type_string) ? json_object_get_string(id) : "";
		size_t image;

		if (!rc)
			rc = add_head(archive, text, &image, err);
		if (!rc)
			rc = archive_add_name(archive, name, strlen(name), tag, image, err);
	}
	return rc;
}

static int read_names(struct archive *archive, struct error *err)
{
	CLEANUP(json_putp) struct json_object *root = NULL;
	CLEANUP(buf_release) struct buf text = { 0 };
	int rc;

	buf_init(&text, DOCUMENT_MAX);
	rc = bundle_read(archive->bundle, "repositories", &text, err);
	if (rc == -ENOENT)
		return 0;
	if (!rc)
		rc = json_parse(&root, text.data ? text.data : "", text.len, err);
	if (!rc && !json_object_is_type(root, json_type_object))
		rc = error_set(err, EIO, "not an object");
	if (rc)
		return error_prefix(err, rc, "repositories");
	json_object_object_foreach(root, name, tags)
	{
		if (!rc)
			rc = parse_repository(archive, name, tags, err);
	}
	return rc;
}

int archive_v1_open(struct archive *archive, struct cancel *cancel, struct error *err)
{
	int rc = read_nodes(archive, cancel, err);
	size_t image;

	if (rc)
		return rc;
	link_nodes(archive);
	rc = read_names(archive, err);
	if (!rc && !archive->node_count && !archive->name_count)
		rc = error_set(err, ENOENT, "holds no image: neither manifest.json nor V1 images");
	for (size_t i = 0; !rc && i < archive->node_count; i++) {
		const struct v1_node *node = &archive->nodes[i];

		if (!node->is_parent && node->image == V1_NONE)
			rc = add_head(archive, node->id, &image, err);
	}
	return rc;
}

/* --- making --- */

/* Walks up from the head: a chain longer than there are images goes round in a loop. */
static int measure(
	struct archive *archive, const struct v1_node *head, size_t *ret, struct error *err)
{
	const struct v1_node *node = head;
	size_t count = 1;

	for (; node->parent != V1_NONE; node = &archive->nodes[node->parent])
		if (count++ == archive->node_count)
			return error_set(err, EIO, "its parents go round in a loop");
	if (*node->parent_id)
		return error_set(err, EIO, "V1 image %.12s: its parent %.12s is not in the archive",
			node->id, node->parent_id);
	if (count > IMAGE_LAYERS_MAX)
		return error_set(err, EFBIG, "more than %d layers", IMAGE_LAYERS_MAX);
	*ret = count;
	return 0;
}

static int read_entry(struct archive *archive, const struct v1_node *node, struct v1_entry *entry,
	size_t *room, struct error *err)
{
	CLEANUP(buf_release) struct buf text = { 0 };
	char parent_id[V1_ID_LEN + 1];
	int rc;

	buf_init(&text, *room);
	rc = read_json(archive, node->id, &text, parent_id, err);
	if (rc)
		return rc == -ENOENT ? -EIO : rc;
	*room -= text.len;
	entry->id = strdup(node->id);
	entry->json = buf_take(&text, &entry->json_len);
	return entry->id && entry->json ? 0 : error_set(err, ENOMEM, "out of memory");
}

int archive_v1_make(struct archive *archive, const struct archive_image *image, struct buf *ret,
	struct cancel *cancel, struct error *err)
{
	const struct v1_node *node = find_node(archive, image->head);
	size_t room = DOCUMENT_MAX; /* the document holds all of them */
	struct v1_entry *entries;
	size_t count = 0;
	int rc = measure(archive, node, &count, err);

	if (rc)
		return rc;
	entries = calloc(count + 1, sizeof *entries);
	if (!entries)
		return error_set(err, ENOMEM, "out of memory");
	for (size_t i = count; !rc && i-- > 0;) {
		rc = cancel_is_set(cancel) ? error_set(err, EINTR, "interrupted")
					   : read_entry(archive, node, &entries[i], &room, err);
		node = i ? &archive->nodes[node->parent] : NULL;
	}
	if (!rc)
		rc = v1_document_write(entries, count, ret, err);
	v1_entries_free(entries, count);
	return rc;
}

/* --- layers --- */

/* Hashes what passes, and tells the archive at the end which blob it was. */
struct layer_stream {
	struct blob_stream base;
	struct archive *archive;
	struct blob_stream *below;
	struct hasher *hasher; /* NULL once it has told */
	char path[MEMBER_MAX];
};

static int tell(struct layer_stream *stream, struct error *err)
{
	struct hasher *hasher = TAKE(stream->hasher);
	struct digest digest;
	int rc;

	if (!hasher)
		return 0;
	rc = hasher_final(hasher, &digest, err);
	hasher_free(hasher);
	return rc ? rc : archive_blob_remember(stream->archive, &digest, stream->path, err);
}

static ssize_t layer_read(struct blob_stream *base, void *bytes, size_t len, struct error *err)
{
	struct layer_stream *stream = container_of(base, struct layer_stream, base);
	ssize_t n = stream->below->ops->read(stream->below, bytes, len, err);
	int rc = 0;

	if (n > 0 && stream->hasher)
		rc = hasher_update(stream->hasher, bytes, (size_t)n, err);
	else if (n == 0 && len)
		rc = tell(stream, err);
	return rc ? rc : n;
}

static void layer_free(struct blob_stream *base)
{
	struct layer_stream *stream = container_of(base, struct layer_stream, base);

	if (stream->below)
		stream->below->ops->free(stream->below);
	hasher_free(stream->hasher);
	free(stream);
}

static const struct blob_stream_ops layer_stream_ops = { layer_read, layer_free };

int archive_v1_open_layer(struct archive *archive, const char *layer_id, struct blob_stream **ret,
	struct cancel *cancel, struct error *err)
{
	CLEANUP(readerp) struct reader *reader = NULL;
	const struct v1_node *node =
		archive_v1_id_is_valid(layer_id) ? find_node(archive, layer_id) : NULL;
	struct layer_stream *stream;
	int rc;

	if (!node)
		return error_set(err, ENOENT, "no V1 image '%.100s'", layer_id);
	stream = calloc(1, sizeof *stream);
	if (!stream)
		return error_set(err, ENOMEM, "out of memory");
	stream->base.ops = &layer_stream_ops;
	stream->archive = archive;
	(void)snprintf(stream->path, sizeof stream->path, "%s/layer.tar", node->id);
	rc = bundle_file(archive->bundle, stream->path, &reader, err);
	if (rc == -ENOENT)
		rc = error_set(err, EIO, "'%s' is not in the archive", stream->path);
	if (!rc)
		rc = reader_stream(&stream->below, reader, 0, cancel, err);
	if (!rc)
		rc = hasher_new(&stream->hasher, DIGEST_SHA256, err);
	if (rc) {
		layer_free(&stream->base);
		return rc;
	}
	*ret = &stream->base;
	return 0;
}
