/* SPDX-License-Identifier: Apache-2.0 */
/* Who refers to a manifest, as the source says.  Only what names a directory is kept. */
#include "fs/objects_internal.h"

#include "fs/names.h"

static const char untyped[] = "unknown";

struct referrers {
	struct referrer *items;
	size_t count;
};

struct referrers_object {
	struct load load;
	char *key;
	const char *repository;
	struct digest subject;
	struct referrers list;
	struct referrers fresh; /* run()'s result */
	UT_hash_handle hh;
};

static void referrers_release(struct referrers *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i].type);
	free(list->items);
	*list = (struct referrers){ NULL, 0 };
}

static void object_free(struct referrers_object *object)
{
	referrers_release(&object->list);
	referrers_release(&object->fresh);
	load_release(&object->load);
	free(object->key);
	free(object);
}

void referrers_free(struct fs *fs)
{
	struct referrers_object *object, *next;

	HASH_ITER(hh, fs->objects->referrers, object, next)
	{
		HASH_DEL(fs->objects->referrers, object);
		object_free(object);
	}
}

void referrers_forget(struct fs *fs)
{
	for (struct referrers_object *object = fs->objects->referrers; object;
		object = object->hh.next)
		load_forget(&object->load);
}

/* A type that cannot be a file name does not tell what it is. */
static char *type_name(const char *type)
{
	char name[ESCAPED_NAME_MAX];

	return strdup(type && *type && name_escape(name, type) ? name : untyped);
}

static int by_type(const void *a, const void *b)
{
	const struct referrer *x = a, *y = b;

	return strcmp(x->type, y->type);
}

static int take(struct referrers *ret, const struct descriptor *found, size_t count)
{
	ret->items = calloc(count + 1, sizeof *ret->items);
	if (!ret->items)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		struct referrer *item = &ret->items[i];

		item->digest = found[i].digest;
		item->type = type_name(found[i].artifact_type);
		if (!item->type)
			return -ENOMEM;
		ret->count++;
	}
	qsort(ret->items, count, sizeof *ret->items, by_type);
	return 0;
}

static int referrers_run(struct load *load)
{
	struct referrers_object *object = container_of(load, struct referrers_object, load);
	struct descriptor *found;
	size_t count;
	int rc;

	referrers_release(&object->fresh);
	rc = store_referrers(load->fs->store, object->repository, &object->subject, &found, &count,
		&load->cancel, &load->err);
	if (rc)
		return rc;
	load->is_stale = store_is_away(load->fs->store, NULL);
	rc = take(&object->fresh, found, count);
	descriptors_free(found, count);
	return rc ? error_set(&load->err, -rc, "out of memory") : 0;
}

static void referrers_publish(struct load *load)
{
	struct referrers_object *object = container_of(load, struct referrers_object, load);

	referrers_release(&object->list);
	object->list = object->fresh;
	object->fresh = (struct referrers){ NULL, 0 };
}

static const struct load_type referrers_type = {
	.pool = POOL_REQUEST,
	.run = referrers_run,
	.publish = referrers_publish,
	.is_optional = true,
};

int referrers_get(struct fs *fs, const char *repository, const struct digest *subject,
	const struct referrer **ret, size_t *ret_count, struct need *need)
{
	CLEANUP(freep)
	char *key = digest_key('r', repository, subject, DESCRIPTOR_SIZE_UNKNOWN);
	struct referrers_object *object;
	int rc;

	if (!key)
		return no_memory(need);
	HASH_FIND_STR(fs->objects->referrers, key, object);
	if (!object) {
		object = calloc(1, sizeof *object);
		if (!object)
			return no_memory(need);
		load_init(&object->load, fs, &referrers_type);
		object->key = TAKE(key);
		object->repository = repository;
		object->subject = *subject;
		HASH_ADD_KEYPTR(
			hh, fs->objects->referrers, object->key, strlen(object->key), object);
		if (!HASH_HAS(hh, object)) {
			object_free(object);
			return no_memory(need);
		}
	}
	rc = load_want_fresh(&object->load, need);
	if (rc)
		return rc;
	*ret = object->list.items;
	*ret_count = object->list.count;
	return 0;
}
