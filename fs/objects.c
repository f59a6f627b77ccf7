/* SPDX-License-Identifier: Apache-2.0 */
/* Tables and lists: repositories, tags, what tags point at. */
#include "fs/objects_internal.h"

#include <inttypes.h>
#include <stdio.h>

#include "fs/notices.h"

int objects_new(struct fs *fs, struct error *err)
{
	fs->objects = calloc(1, sizeof *fs->objects);
	return fs->objects ? 0 : error_set(err, ENOMEM, "out of memory");
}

static void list_free(struct list_object *object)
{
	name_list_release(&object->list);
	name_list_release(&object->fresh);
	load_release(&object->load);
	free(object->key);
	free(object);
}

static void ref_free(struct ref_object *object)
{
	descriptor_release(&object->descriptor);
	descriptor_release(&object->fresh);
	load_release(&object->load);
	free(object->key);
	free(object);
}

void objects_free(struct fs *fs)
{
	struct objects *objects = fs->objects;
	struct list_object *list, *next_list;
	struct ref_object *ref, *next_ref;
	struct interned *name, *next_name;

	if (!objects)
		return;
	layers_free(fs);
	locations_free(fs);
	documents_free(fs);
	referrers_free(fs);
	HASH_ITER(hh, objects->lists, list, next_list)
	{
		HASH_DEL(objects->lists, list);
		list_free(list);
	}
	HASH_ITER(hh, objects->refs, ref, next_ref)
	{
		HASH_DEL(objects->refs, ref);
		ref_free(ref);
	}
	HASH_ITER(hh, objects->interned, name, next_name)
	{
		HASH_DEL(objects->interned, name);
		free(name);
	}
	free(objects);
	fs->objects = NULL;
}

const char *intern(struct fs *fs, const char *text)
{
	struct interned *found;
	size_t len = strlen(text);

	HASH_FIND_STR(fs->objects->interned, text, found);
	if (found)
		return found->text;
	found = malloc(sizeof *found + len + 1);
	if (!found)
		return NULL;
	memcpy(found->text, text, len + 1);
	HASH_ADD_KEYPTR(hh, fs->objects->interned, found->text, len, found);
	if (HASH_HAS(hh, found))
		return found->text;
	free(found);
	return NULL;
}

char *digest_key(char kind, const char *repository, const struct digest *digest, uint64_t size)
{
	char text[DIGEST_TEXT_MAX];
	char *key = NULL;

	if (asprintf(&key, "%c%" PRIu64 " %s@%s", kind, size, repository,
		    digest_format(digest, text)) < 0)
		return NULL;
	return key;
}

void objects_forget_lists(struct fs *fs)
{
	for (struct list_object *list = fs->objects->lists; list; list = list->hh.next) {
		load_forget(&list->load);
		if (list->has_list) /* the kernel may not ask for what it thinks is not there */
			load_start(&list->load, 0);
	}
	for (struct ref_object *ref = fs->objects->refs; ref; ref = ref->hh.next)
		load_forget(&ref->load);
	referrers_forget(fs);
}

/* --- lists --- */

static int list_run(struct load *load)
{
	struct list_object *object = container_of(load, struct list_object, load);
	struct store *store = load->fs->store;
	struct source *source = store_source(store);
	int rc;

	name_list_release(&object->fresh);
	if (!object->repository)
		rc = store_repositories(store, &object->fresh, &load->cancel, &load->err);
	else if (object->is_untagged)
		rc = source->ops->untagged(
			source, object->repository, &object->fresh, &load->cancel, &load->err);
	else
		rc = store_tags(
			store, object->repository, &object->fresh, &load->cancel, &load->err);
	load->is_stale = !rc && store_is_away(store, NULL);
	return rc;
}

static void list_publish(struct load *load)
{
	struct list_object *object = container_of(load, struct list_object, load);

	if (object->has_list && !object->is_untagged)
		notices_tell_new(load->fs, object->repository, &object->list, &object->fresh);
	object->has_list = true;
	name_list_release(&object->list);
	object->list = object->fresh;
	object->fresh = (struct name_list){ NULL, 0 };
}

static const struct load_type list_type = {
	.pool = POOL_REQUEST, .run = list_run, .publish = list_publish
};

static int list_get(struct fs *fs, const char *repository, bool is_untagged,
	const struct name_list **ret, struct need *need)
{
	CLEANUP(freep) char *key = NULL;
	struct list_object *object;
	int rc;

	if (asprintf(&key, "%s%s", repository ? repository : "/", is_untagged ? "@" : "") < 0)
		return no_memory(need);
	HASH_FIND_STR(fs->objects->lists, key, object);
	if (!object) {
		object = calloc(1, sizeof *object);
		if (!object)
			return no_memory(need);
		load_init(&object->load, fs, &list_type);
		object->key = TAKE(key);
		object->repository = repository;
		object->is_untagged = is_untagged;
		HASH_ADD_KEYPTR(hh, fs->objects->lists, object->key, strlen(object->key), object);
		if (!HASH_HAS(hh, object)) {
			list_free(object);
			return no_memory(need);
		}
	}
	rc = load_want_fresh(&object->load, need);
	if (rc)
		return rc;
	*ret = &object->list;
	return 0;
}

int repositories_get(struct fs *fs, const struct name_list **ret, struct need *need)
{
	return list_get(fs, NULL, false, ret, need);
}

int repositories_visited(struct fs *fs, struct name_list *ret, struct need *need)
{
	for (struct list_object *list = fs->objects->lists; list; list = list->hh.next) {
		int rc = 0;

		if (list->repository && !list->is_untagged && list->load.state == LOAD_READY)
			rc = name_list_add(ret, list->repository, &need->err);
		if (rc)
			return rc;
	}
	name_list_sort(ret);
	return 0;
}

int tags_get(struct fs *fs, const char *repository, const struct name_list **ret, struct need *need)
{
	return list_get(fs, repository, false, ret, need);
}

int untagged_get(
	struct fs *fs, const char *repository, const struct name_list **ret, struct need *need)
{
	static const struct name_list none;

	if (!store_source(fs->store)->ops->untagged) {
		*ret = &none; /* this kind has no manifests without a name */
		return 0;
	}
	return list_get(fs, repository, true, ret, need);
}

/* --- tags --- */

static int ref_run(struct load *load)
{
	struct ref_object *object = container_of(load, struct ref_object, load);
	struct store *store = load->fs->store;
	int rc;

	descriptor_release(&object->fresh);
	rc = store_resolve(
		store, object->repository, object->tag, &object->fresh, &load->cancel, &load->err);
	load->is_stale = !rc && store_is_away(store, NULL);
	return rc;
}

static void note_move(const struct ref_object *object)
{
	const struct fs *fs = object->load.fs;
	char from[DIGEST_TEXT_MAX], to[DIGEST_TEXT_MAX];

	if (!digest_is_set(&object->descriptor.digest) ||
		digest_equal(&object->descriptor.digest, &object->fresh.digest))
		return;
	observer_count(fs->observer, tag_moves, 1);
	log_line(fs->log, LOG_LEVEL_INFO, "tag '%s' of '%s' moved from %s to %s", object->tag,
		object->repository, digest_format(&object->descriptor.digest, from),
		digest_format(&object->fresh.digest, to));
}

static void ref_publish(struct load *load)
{
	struct ref_object *object = container_of(load, struct ref_object, load);

	note_move(object);
	descriptor_release(&object->descriptor);
	object->descriptor = object->fresh;
	object->fresh = (struct descriptor){ 0 };
}

static const struct load_type ref_type = {
	.pool = POOL_REQUEST, .run = ref_run, .publish = ref_publish
};

/* A tag holds no '/', so the key is unambiguous. */
static struct ref_object *ref_find(struct fs *fs, const char *repository, const char *tag)
{
	CLEANUP(freep) char *key = NULL;
	struct ref_object *object;

	if (asprintf(&key, "%s\n%s", repository, tag) < 0)
		return NULL;
	HASH_FIND_STR(fs->objects->refs, key, object);
	return object;
}

static struct ref_object *ref_new(struct fs *fs, const char *repository, const char *tag)
{
	CLEANUP(freep) struct ref_object *object = calloc(1, sizeof *object);
	CLEANUP(freep) char *key = NULL;

	if (!object)
		return NULL;
	object->repository = repository;
	object->tag = intern(fs, tag);
	if (!object->tag || asprintf(&key, "%s\n%s", repository, tag) < 0)
		return NULL;
	load_init(&object->load, fs, &ref_type);
	HASH_ADD_KEYPTR(hh, fs->objects->refs, key, strlen(key), object);
	if (!HASH_HAS(hh, object)) {
		load_release(&object->load);
		return NULL;
	}
	object->key = TAKE(key);
	return TAKE(object);
}

int ref_get(struct fs *fs, const char *repository, const char *tag, const struct descriptor **ret,
	struct need *need)
{
	struct ref_object *object = ref_find(fs, repository, tag);
	int rc;

	if (!object)
		object = ref_new(fs, repository, tag);
	if (!object)
		return no_memory(need);
	rc = load_want_fresh(&object->load, need);
	if (rc)
		return rc;
	*ret = &object->descriptor;
	return 0;
}
