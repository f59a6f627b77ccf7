/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers and their open files; stored blobs; changes.txt.
 */
#include "fs/objects_internal.h"

#include <stdio.h>
#include <sys/stat.h>

#include "fs/changes.h"
#include "fs/spaces.h"

/* --- names of attributes --- */

static bool has_name(char *const *names, const char *name)
{
	for (; names && *names; names++)
		if (!strcmp(*names, name))
			return true;
	return false;
}

/* Of the names that tools ask for on every file, layers use a handful, however many entries bear
 * them; a hostile layer that uses more is taken to use all. */
static void find_xattr_names(struct layer_object *object)
{
	const struct tree *tree = &object->layer->tree;
	struct tree_xattr xattr;
	size_t count = 0;
	char **names = calloc(1, sizeof *names);

	for (uint32_t entry = 0; names && entry < tree->entry_count; entry++) {
		for (uint32_t k = 0;
			tree_entry(tree, entry)->extra && tree_xattr(tree, entry, k, &xattr); k++) {
			char **more, *copy;

			if (strncmp(xattr.name, "security.", 9) &&
				strncmp(xattr.name, "system.", 7))
				continue;
			if (has_name(names, xattr.name) || count == XATTR_NAMES_MAX)
				continue;
			more = realloc(names, (count + 2) * sizeof *names);
			copy = strdup(xattr.name);
			if (more)
				names = more;
			if (!more || !copy) {
				free(copy);
				continue;
			}
			names[count++] = copy;
			names[count] = NULL;
		}
	}
	object->uses_any_xattr = count == XATTR_NAMES_MAX;
	object->xattr_names = names;
}

/* --- the index --- */

static int layer_run(struct load *load)
{
	struct layer_object *object = container_of(load, struct layer_object, load);
	int rc = store_layer(load->fs->store, load->step, object->repository, &object->descriptor,
		&object->layer, &load->progress, &load->cancel, &load->err);

	if (!rc)
		find_xattr_names(object);
	return rc;
}

static void describe_blob(const struct descriptor *blob, char *text, size_t len)
{
	char digest[DIGEST_TEXT_MAX];

	(void)digest_format(&blob->digest, digest);
	(void)snprintf(text, len, "%.19s", digest); /* "sha256:" and 12 digits */
}

static void layer_describe(const struct load *load, char *text, size_t len)
{
	describe_blob(&container_of(load, struct layer_object, load)->descriptor, text, len);
}

static void layer_publish(struct load *load)
{
	struct layer_object *object = container_of(load, struct layer_object, load);

	load->fs->dropped += object->layer->dropped;
	if (object->layer->dropped)
		log_line(load->fs->log, LOG_LEVEL_WARNING,
			"%s: %u entries left out: their names or links cannot be shown",
			object->key, object->layer->dropped);
}

static const struct load_type layer_type = { .pool = POOL_LOOK,
	.fetch_pool = POOL_TRANSFER,
	.run = layer_run,
	.publish = layer_publish,
	.describe = layer_describe };

/* --- the files --- */

static int files_run(struct load *load)
{
	struct layer_files *files = container_of(load, struct layer_files, load);
	struct layer_object *object = container_of(files, struct layer_object, files);
	struct store *store = load->fs->store;
	const struct layer *layer = object->layer;
	int rc;

	layer_free(files->fresh_layer); /* of a run that went no further */
	files->fresh_layer = NULL;
	if (files->is_damaged) {
		if (load->step == STORE_LOOK) /* and not what comes instead */
			store_layer_damaged(store, layer);
		rc = store_layer(store, load->step, object->repository, &object->descriptor,
			&files->fresh_layer, &load->progress, &load->cancel, &load->err);
		if (rc)
			return rc;
		layer = files->fresh_layer;
	}
	return store_layer_files(store, load->step, object->repository, &object->descriptor, layer,
		!files->needs_whole, &files->fresh_blob, &files->fresh_spool_fd, &load->progress,
		&load->cancel, &load->err);
}

void layer_files_close(struct layer_object *object)
{
	struct layer_files *files = &object->files;

	if (files->load.state != LOAD_READY)
		return;
	reader_unref(TAKE(files->blob));
	closep(&files->spool_fd);
	files->spool_fd = -1;
	files->load.state = LOAD_IDLE;
	files->load.fs->objects->files_open--;
}

/* False: nobody has any but keep, or they are in use. */
static bool close_oldest_files(struct objects *objects, const struct layer_object *keep)
{
	struct layer_object *oldest = NULL;

	for (struct layer_object *object = objects->layers; object; object = object->hh.next)
		if (object != keep && object->files.load.state == LOAD_READY &&
			!object->files.readers &&
			(!oldest || object->files.used_ms < oldest->files.used_ms))
			oldest = object;
	if (oldest)
		layer_files_close(oldest);
	return oldest;
}

/* What was made from the old index stays as it is, merges among it; only its spans go. */
static void replace_layer(struct objects *objects, struct layer_object *object)
{
	struct layer_files *files = &object->files;
	struct layer **retired =
		realloc(object->retired, (object->retired_count + 1) * sizeof(struct layer *));

	spans_forget(objects, object);
	if (!retired) /* the new one must do without its place: it is equal but for its damage */
		return;
	object->retired = retired;
	object->retired[object->retired_count++] = object->layer;
	object->layer = TAKE(files->fresh_layer);
}

static void files_publish(struct load *load)
{
	struct layer_files *files = container_of(load, struct layer_files, load);
	struct layer_object *object = container_of(files, struct layer_object, files);
	struct objects *objects = load->fs->objects;

	files->blob = TAKE(files->fresh_blob);
	files->spool_fd = files->fresh_spool_fd;
	files->used_ms = now_ms();
	if (files->blob)
		pieces_free(object);
	if (files->is_damaged) {
		files->is_damaged = false;
		replace_layer(objects, object);
	}
	if (++objects->files_open > FILES_MAX)
		(void)close_oldest_files(objects, object);
}

static void files_describe(const struct load *load, char *text, size_t len)
{
	const struct layer_files *files = container_of(load, struct layer_files, load);

	describe_blob(&container_of(files, struct layer_object, files)->descriptor, text, len);
}

static const struct load_type files_type = { .pool = POOL_LOOK,
	.fetch_pool = POOL_TRANSFER,
	.run = files_run,
	.publish = files_publish,
	.describe = files_describe };

/* --- layer objects --- */

static void layer_object_free(struct layer_object *object)
{
	layer_files_close(object);
	pieces_free(object);
	layer_free(object->layer);
	layer_free(object->files.fresh_layer);
	for (size_t i = 0; i < object->retired_count; i++)
		layer_free(object->retired[i]);
	free(object->retired);
	for (char **name = object->xattr_names; name && *name; name++)
		free(*name);
	free(object->xattr_names);
	descriptor_release(&object->descriptor);
	load_release(&object->files.load);
	load_release(&object->load);
	free(object->key);
	free(object);
}

struct layer_object *layer_peek(
	struct fs *fs, const char *repository, const struct descriptor *blob)
{
	CLEANUP(freep) char *key = NULL;
	struct layer_object *object = NULL;

	blob = layer_known(fs, repository, blob);
	if (digest_is_set(&blob->digest))
		key = digest_key('b', repository, &blob->digest, blob->size);
	if (key)
		HASH_FIND_STR(fs->objects->layers, key, object);
	return object;
}

static struct layer_object *layer_object_new(
	struct fs *fs, const char *repository, const struct descriptor *blob, struct need *need)
{
	struct layer_object *object = calloc(1, sizeof *object);

	if (!object)
		return NULL;
	load_init(&object->load, fs, &layer_type);
	load_init(&object->files.load, fs, &files_type);
	object->load.is_small = object->files.load.is_small = blob->size <= SMALL_MAX;
	object->repository = repository;
	object->files.spool_fd = -1;
	object->key = digest_key('b', repository, &blob->digest, blob->size);
	object->identity = identity_of(fs, &blob->digest);
	if (!object->key || !object->identity ||
		descriptor_copy(&object->descriptor, blob, &need->err)) {
		layer_object_free(object);
		return NULL;
	}
	HASH_ADD_KEYPTR(hh, fs->objects->layers, object->key, strlen(object->key), object);
	if (!HASH_HAS(hh, object)) {
		layer_object_free(object);
		return NULL;
	}
	object->space = space_add_files(fs, object); /* last: it stays, and names the object */
	if (!object->space) {
		HASH_DEL(fs->objects->layers, object);
		layer_object_free(object);
		return NULL;
	}
	return object;
}

/* What can be told from the descriptor alone. */
static int check_layer_type(const struct descriptor *blob, struct need *need)
{
	switch (media_type_find(blob->media_type)->role) {
	case ROLE_LAYER:
		return 0;
	case ROLE_ENCRYPTED_LAYER:
		return error_set(
			&need->err, EOPNOTSUPP, "an encrypted layer (%s)", blob->media_type);
	default:
		return error_set(&need->err, EOPNOTSUPP, "no layer type: '%s'",
			blob->media_type ? blob->media_type : "");
	}
}

static struct layer_object *layer_object_get(
	struct fs *fs, const char *repository, const struct descriptor *blob, struct need *need)
{
	struct layer_object *object = layer_peek(fs, repository, blob);

	if (!object)
		object = layer_object_new(fs, repository, blob, need);
	if (!object)
		(void)no_memory(need);
	return object;
}

int layer_get(struct fs *fs, const char *repository, const struct descriptor *blob,
	struct layer_object **ret, struct need *need)
{
	struct layer_object *object;
	int rc = check_layer_type(blob, need);

	if (!rc)
		rc = layer_locate(fs, repository, blob, &blob, need);
	if (rc)
		return rc;
	object = layer_object_get(fs, repository, blob, need);
	if (!object)
		return -ENOMEM;
	rc = load_want(&object->load, need);
	if (rc)
		return rc;
	*ret = object;
	return 0;
}

/* Starts what is missing of all layers, so that they arrive side by side, and waits for none. */
static int start_layers(struct fs *fs, const char *repository, const struct image *image,
	size_t count, struct need *need)
{
	for (size_t i = 0; i < count; i++) {
		const struct descriptor *blob;
		struct layer_object *object;
		int rc = check_layer_type(&image->layers[i], need);

		if (!rc)
			rc = layer_locate(fs, repository, &image->layers[i], &blob, need);
		if (rc == LOAD_PENDING)
			continue;
		if (rc)
			return error_prefix(
				&need->err, rc, "layer %zu of %zu", i + 1, image->layer_count);
		object = layer_object_get(fs, repository, blob, need);
		if (!object)
			return -ENOMEM;
		load_start(&object->load, need->asker);
	}
	return 0;
}

void layers_start(struct fs *fs, const char *repository, const struct image *image, pid_t asker)
{
	struct need unused = { .asker = asker };

	/* What is wrong with one shows when they are asked for. */
	(void)start_layers(fs, repository, image, image->layer_count, &unused);
}

void layer_note_history(
	struct fs *fs, struct layer_object *object, const struct image *image, size_t layer)
{
	const struct history_entry *history = image_layer_history(image, layer);

	if (!object->created_by && history)
		object->created_by = intern(fs, history->created_by);
}

int layers_get(struct fs *fs, const char *repository, const struct image *image, size_t count,
	struct layer_object **ret, struct need *need)
{
	int rc = start_layers(fs, repository, image, count, need);

	for (size_t i = 0; !rc && i < count; i++) {
		const struct layer *layer;

		rc = layer_get(fs, repository, &image->layers[i], &ret[i], need);
		if (rc == LOAD_PENDING)
			return rc;
		layer = rc ? NULL : ret[i]->layer;
		if (layer && layer->status)
			rc = error_set(&need->err, -layer->status, "%s", layer->message);
		if (rc)
			return error_prefix(
				&need->err, rc, "layer %zu of %zu", i + 1, image->layer_count);
		layer_note_history(fs, ret[i], image, i);
	}
	return rc;
}

/* A layer that is no tar, but can be decoded, has facts as well. */
static int find_facts(const struct layer_object *object, struct layer_facts *ret, struct need *need)
{
	const struct layer *layer = object->layer;

	if (!digest_is_set(&layer->diff_id))
		return error_set(&need->err, layer->status ? -layer->status : EIO, "%s",
			*layer->message ? layer->message : "cannot be decoded");
	*ret = (struct layer_facts){
		.digest = layer->digest,
		.size = layer->stored_size,
		.diff_id = layer->diff_id,
		.coding = layer->coding,
	};
	return 0;
}

int layer_facts_get(struct fs *fs, const char *repository, const struct image *image,
	struct layer_facts **ret, struct need *need)
{
	CLEANUP(freep)
	struct layer_facts *facts = calloc(image->layer_count + 1, sizeof *facts);
	int rc = facts ? start_layers(fs, repository, image, image->layer_count, need)
		       : no_memory(need);

	for (size_t i = 0; !rc && i < image->layer_count; i++) {
		struct layer_object *object;

		rc = layer_get(fs, repository, &image->layers[i], &object, need);
		if (!rc)
			rc = find_facts(object, &facts[i], need);
		if (rc && rc != LOAD_PENDING)
			return error_prefix(
				&need->err, rc, "layer %zu of %zu", i + 1, image->layer_count);
	}
	if (!rc)
		*ret = TAKE(facts);
	return rc;
}

const struct layer *layer_object_layer(const struct layer_object *object)
{
	return object->load.state == LOAD_READY ? object->layer : NULL;
}

uint32_t layer_object_space(const struct layer_object *object)
{
	return object->space;
}

uint32_t layer_object_identity(const struct layer_object *object)
{
	return object->identity;
}

const struct descriptor *layer_object_descriptor(const struct layer_object *object)
{
	return &object->descriptor;
}

const char *layer_object_created_by(const struct layer_object *object)
{
	return object->created_by;
}

void layer_object_state(const struct layer_object *object, char *text, size_t len)
{
	uint64_t done, total;

	if (!object || object->load.state == LOAD_IDLE || object->load.state == LOAD_FAILED) {
		(void)snprintf(text, len, "unfetched");
		return;
	}
	if (object->load.state == LOAD_READY) {
		(void)snprintf(text, len, "indexed");
		return;
	}
	done = atomic_load(&object->load.progress.done);
	total = atomic_load(&object->load.progress.total);
	(void)snprintf(text, len, "indexing %u%%", total ? (unsigned)(done * 100 / total) : 0);
}

bool layer_object_uses_xattr(const struct layer_object *object, const char *name)
{
	return has_name(object->xattr_names, name) || object->uses_any_xattr;
}

/* --- stored blobs --- */

static int blob_run(struct load *load)
{
	struct blob_object *object = container_of(load, struct blob_object, load);

	return store_blob(load->fs->store, load->step, object->repository, &object->descriptor,
		&object->blob, &load->progress, &load->cancel, &load->err);
}

static void blob_close(struct blob_object *object)
{
	if (!object->is_open)
		return;
	stored_blob_release(&object->blob);
	object->is_open = false;
	if (object->load.state == LOAD_READY)
		object->load.state = LOAD_IDLE;
	object->load.fs->objects->blobs_open--;
}

/* Likewise. */
static bool close_oldest_blob(struct objects *objects, const struct blob_object *keep)
{
	struct blob_object *oldest = NULL;

	for (struct blob_object *each = objects->blobs; each; each = each->hh.next)
		if (each != keep && each->is_open && (!oldest || each->used_ms < oldest->used_ms))
			oldest = each;
	if (oldest)
		blob_close(oldest);
	return oldest;
}

bool objects_give_up_files(struct fs *fs)
{
	struct objects *objects = fs->objects;
	unsigned files = (objects->files_open + 1) / 2, blobs = (objects->blobs_open + 1) / 2;
	bool has_closed = false;

	while (files-- && close_oldest_files(objects, NULL))
		has_closed = true;
	while (blobs-- && close_oldest_blob(objects, NULL))
		has_closed = true;
	return has_closed;
}

static void blob_publish(struct load *load)
{
	struct blob_object *object = container_of(load, struct blob_object, load);
	struct objects *objects = load->fs->objects;

	object->is_open = true;
	object->used_ms = now_ms();
	if (++objects->blobs_open > FILES_MAX)
		(void)close_oldest_blob(objects, object);
}

static void blob_describe(const struct load *load, char *text, size_t len)
{
	describe_blob(&container_of(load, struct blob_object, load)->descriptor, text, len);
}

static const struct load_type blob_type = { .pool = POOL_LOOK,
	.fetch_pool = POOL_TRANSFER,
	.run = blob_run,
	.publish = blob_publish,
	.describe = blob_describe };

static void blob_free(struct blob_object *object)
{
	blob_close(object);
	descriptor_release(&object->descriptor);
	load_release(&object->load);
	free(object->key);
	free(object);
}

/* The object, whether or not the blob is there; NULL when out of memory. */
static struct blob_object *blob_object_get(
	struct fs *fs, const char *repository, const struct descriptor *blob)
{
	CLEANUP(freep) char *key = digest_key('b', repository, &blob->digest, blob->size);
	struct blob_object *object = NULL;

	if (!key)
		return NULL;
	HASH_FIND_STR(fs->objects->blobs, key, object);
	if (object)
		return object;
	object = calloc(1, sizeof *object);
	if (!object)
		return NULL;
	load_init(&object->load, fs, &blob_type);
	object->load.is_small = blob->size <= SMALL_MAX;
	object->repository = repository;
	object->key = TAKE(key);
	if (descriptor_copy(&object->descriptor, blob, NULL)) {
		blob_free(object);
		return NULL;
	}
	HASH_ADD_KEYPTR(hh, fs->objects->blobs, object->key, strlen(object->key), object);
	if (HASH_HAS(hh, object))
		return object;
	blob_free(object);
	return NULL;
}

void blob_start(struct fs *fs, const char *repository, const struct descriptor *blob, pid_t asker)
{
	struct blob_object *object = blob_object_get(fs, repository, blob);

	if (object)
		load_start(&object->load, asker);
}

int blob_get(struct fs *fs, const char *repository, const struct descriptor *blob,
	struct blob_object **ret, struct need *need)
{
	struct blob_object *object = blob_object_get(fs, repository, blob);
	int rc;

	if (!object)
		return no_memory(need);
	if (object->is_open && !stored_blob_is_intact(&object->blob))
		blob_close(object);
	rc = load_want(&object->load, need);
	if (rc)
		return rc;
	object->used_ms = now_ms();
	*ret = object;
	return 0;
}

/* A copy that was right, and that the disk does not give any more, is fetched afresh: once. */
static int blob_renew(struct blob_object *object, struct need *need)
{
	struct fs *fs = object->load.fs;

	log_line(fs->log, LOG_LEVEL_WARNING, "%s: %s; fetching it afresh", object->key,
		need->err.text);
	object->was_damaged = true;
	store_blob_damaged(fs->store, &object->descriptor.digest);
	blob_close(object);
	return load_want(&object->load, need);
}

int blob_read(struct blob_object *object, uint64_t offset, size_t len, struct answer *answer,
	struct need *need)
{
	char *room = answer_room(answer, &need->err);
	ssize_t n = room ? reader_read(object->blob.bytes, room, len, offset, &need->err) : -ENOMEM;

	if (n == -EBADMSG && !object->blob.is_local && !object->was_damaged)
		return blob_renew(object, need);
	if (n < 0)
		return error_prefix(&need->err, (int)n, "%s", object->key);
	if ((size_t)n < len)
		return error_set(&need->err, EIO, "%s: content beyond the blob's end", object->key);
	object->was_damaged = false;
	answer->done += len;
	return 0;
}

uint64_t blob_object_size(const struct blob_object *object)
{
	return object->blob.size;
}

/* --- changes.txt --- */

static int changes_run(struct load *load)
{
	struct changes_object *object = container_of(load, struct changes_object, load);
	struct buf text;
	int rc;

	buf_init(&text, CHANGES_MAX);
	rc = changes_write(object->trees, object->count, &text, &load->cancel, &load->err);
	if (!rc)
		object->text = buf_take(&text, &object->len);
	buf_release(&text);
	return rc;
}

static const struct load_type changes_type = { .pool = POOL_WORK, .run = changes_run };

static void changes_free(struct changes_object *object)
{
	load_release(&object->load);
	free(object->trees);
	free(object->text);
	free(object->key);
	free(object);
}

/* Takes the key.  The trees stay where they are, whatever becomes of their layers. */
static struct changes_object *changes_new(
	struct fs *fs, char *key, struct layer_object **layers, uint32_t count)
{
	struct changes_object *object = calloc(1, sizeof *object);

	if (object)
		object->trees = calloc(count, sizeof *object->trees);
	if (!object || !object->trees) {
		free(object);
		free(key);
		return NULL;
	}
	load_init(&object->load, fs, &changes_type);
	for (uint32_t i = 0; i < count; i++)
		object->trees[i] = &layers[i]->layer->tree;
	object->count = count;
	object->key = key;
	HASH_ADD_KEYPTR(hh, fs->objects->changes, object->key, strlen(object->key), object);
	if (HASH_HAS(hh, object))
		return object;
	changes_free(object);
	return NULL;
}

int changes_take(struct fs *fs, const char *repository, const struct digest *manifest,
	const struct image *image, size_t layer, char **ret_text, size_t *ret_len,
	struct need *need)
{
	CLEANUP(freep)
	struct layer_object **layers = calloc(layer + 1, sizeof(struct layer_object *));
	CLEANUP(freep) char *name = digest_key('m', repository, manifest, 0);
	CLEANUP(freep) char *key = NULL;
	struct changes_object *object;
	int rc;

	if (!layers || !name || asprintf(&key, "%s %zu", name, layer) < 0)
		return no_memory(need);
	HASH_FIND_STR(fs->objects->changes, key, object);
	if (!object) {
		rc = layers_get(fs, repository, image, layer + 1, layers, need);
		if (rc)
			return rc;
		object = changes_new(fs, TAKE(key), layers, (uint32_t)layer + 1);
		if (!object)
			return no_memory(need);
	}
	rc = load_want(&object->load, need);
	if (rc)
		return rc;
	*ret_text = TAKE(object->text);
	*ret_len = object->len;
	HASH_DEL(fs->objects->changes, object);
	changes_free(object);
	return 0;
}

void layers_free(struct fs *fs)
{
	struct objects *objects = fs->objects;
	struct changes_object *changes, *next_changes;
	struct blob_object *blob, *next_blob;
	struct layer_object *layer, *next_layer;

	HASH_ITER(hh, objects->changes, changes, next_changes)
	{
		HASH_DEL(objects->changes, changes);
		changes_free(changes);
	}
	spans_free(objects);
	HASH_ITER(hh, objects->blobs, blob, next_blob)
	{
		HASH_DEL(objects->blobs, blob);
		blob_free(blob);
	}
	HASH_ITER(hh, objects->layers, layer, next_layer)
	{
		HASH_DEL(objects->layers, layer);
		layer_object_free(layer);
	}
}
