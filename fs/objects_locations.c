/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers of V1 images: known by an id, which says nothing of their content.
 * Reading one finds its digest; from then on it is a layer like any other.
 */
#include "fs/objects_internal.h"

#include <stdio.h>

static int location_run(struct load *load)
{
	struct location_object *object = container_of(load, struct location_object, load);

	descriptor_release(&object->found);
	return store_locate(load->fs->store, load->step, object->repository, &object->layer,
		&object->found, &load->progress, &load->cancel, &load->err);
}

static void location_describe(const struct load *load, char *text, size_t len)
{
	const struct location_object *object = container_of(load, struct location_object, load);

	(void)snprintf(text, len, "layer %.12s", object->layer.layer_id);
}

static const struct load_type location_type = { .pool = POOL_LOOK,
	.fetch_pool = POOL_TRANSFER,
	.run = location_run,
	.describe = location_describe };

static void location_free(struct location_object *object)
{
	descriptor_release(&object->layer);
	descriptor_release(&object->found);
	load_release(&object->load);
	free(object->key);
	free(object);
}

void locations_free(struct fs *fs)
{
	struct location_object *object, *next;

	HASH_ITER(hh, fs->objects->locations, object, next)
	{
		HASH_DEL(fs->objects->locations, object);
		location_free(object);
	}
}

/* An id holds no '\n'. */
static char *location_key(const char *repository, const struct descriptor *layer)
{
	char *key = NULL;

	return asprintf(&key, "%s\n%s", layer->layer_id, repository) < 0 ? NULL : key;
}

static struct location_object *location_find(
	struct fs *fs, const char *repository, const struct descriptor *layer)
{
	CLEANUP(freep) char *key = location_key(repository, layer);
	struct location_object *object = NULL;

	if (key)
		HASH_FIND_STR(fs->objects->locations, key, object);
	return object;
}

static struct location_object *location_new(
	struct fs *fs, const char *repository, const struct descriptor *layer)
{
	struct location_object *object = calloc(1, sizeof *object);

	if (!object)
		return NULL;
	load_init(&object->load, fs, &location_type);
	object->repository = repository;
	object->key = location_key(repository, layer);
	if (!object->key || descriptor_copy(&object->layer, layer, NULL)) {
		location_free(object);
		return NULL;
	}
	HASH_ADD_KEYPTR(hh, fs->objects->locations, object->key, strlen(object->key), object);
	if (HASH_HAS(hh, object))
		return object;
	location_free(object);
	return NULL;
}

int layer_locate(struct fs *fs, const char *repository, const struct descriptor *layer,
	const struct descriptor **ret, struct need *need)
{
	struct location_object *object;
	int rc;

	if (digest_is_set(&layer->digest)) {
		*ret = layer;
		return 0;
	}
	if (!layer->layer_id)
		return error_set(&need->err, EIO, "a layer without a digest");
	object = location_find(fs, repository, layer);
	if (!object)
		object = location_new(fs, repository, layer);
	if (!object)
		return no_memory(need);
	rc = load_want(&object->load, need);
	if (rc)
		return rc;
	*ret = &object->found;
	return 0;
}

const struct descriptor *layer_known(
	struct fs *fs, const char *repository, const struct descriptor *layer)
{
	const struct location_object *object;

	if (digest_is_set(&layer->digest) || !layer->layer_id)
		return layer;
	object = location_find(fs, repository, layer);
	return object && object->load.state == LOAD_READY ? &object->found : layer;
}
