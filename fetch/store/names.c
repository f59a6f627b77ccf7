/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Repositories, tags, and what tags point at.
 *
 * Each answer of a registry is kept.  When it is away (not when it says no),
 * the last one is given again, with a warning: only to an identity that once
 * got names of that repository itself.
 */
#include "fetch/store/internal.h"

#include <string.h>

#include "model/cleanup.h"
#include "model/image.h"

enum { LIST_TEXT_MAX = 256 << 20 }; /* bytes of a kept list */

bool names_may_fall_back(struct store *store, const char *repository, int rc)
{
	return store->cache && source_is_away(rc) && access_has_names(store, repository);
}

bool names_rest(struct store *store, const char *repository, struct error *ret_why)
{
	return store->cache && away_rests(store, ret_why) && access_has_names(store, repository);
}

int names_offline(const char *repository, struct error *err)
{
	return error_set(err, ENETUNREACH, "'%s': offline, and not in the cache", repository);
}

void names_tell_fallback(
	struct store *store, const char *what, const char *repository, const struct error *why)
{
	if (store->offline)
		return; /* as was asked for */
	observer_log(store->observer, away_level(store), "%s of '%s': %s; serving from cache", what,
		*repository ? repository : store->host, why->text);
}

/* --- lists --- */

static int split(struct name_list *ret, char *text, struct error *err)
{
	struct name_list list = { NULL, 0 };
	char *rest = NULL;
	int rc = 0;

	for (char *name = strtok_r(text, "\n", &rest); !rc && name;
		name = strtok_r(NULL, "\n", &rest))
		rc = name_list_add(&list, name, err);
	if (rc) {
		name_list_release(&list);
		return rc;
	}
	name_list_sort(&list);
	*ret = list;
	return 0;
}

static int get_list(struct store *store, const char *repository, const char *name,
	struct name_list *ret, uint64_t *ret_age_s, struct error *err)
{
	CLEANUP(buf_release) struct buf text = { .max = LIST_TEXT_MAX };
	int rc = cache_list_get(store->cache, store->host, repository, name, &text, ret_age_s, err);

	return rc ? rc : split(ret, text.data ? text.data : (char[]){ "" }, err);
}

static void put_list(
	struct store *store, const char *repository, const char *name, const struct name_list *list)
{
	CLEANUP(buf_release) struct buf text = { .max = LIST_TEXT_MAX };

	if (!store->cache)
		return;
	for (size_t i = 0; i < list->count; i++)
		if (!strchr(list->names[i], '\n'))
			(void)buf_printf(&text, "%s\n", list->names[i]);
	if (!buf_status(&text)) /* a list that is not kept is asked for again */
		(void)cache_list_put(store->cache, store->host, repository, name,
			text.data ? text.data : "", text.len, NULL);
}

static int ask_list(struct store *store, const char *repository, bool is_tags,
	struct name_list *ret, struct cancel *cancel, struct error *err)
{
	struct source *source = store->source;

	if (store->offline)
		return names_offline(repository, err);
	return is_tags ? source->ops->tags(source, repository, ret, cancel, err)
		       : source->ops->repositories(source, ret, cancel, err);
}

static int list(struct store *store, const char *repository, bool is_tags, struct name_list *ret,
	struct cancel *cancel, struct error *err)
{
	const char *name = is_tags ? "tags" : "repositories";
	struct error local = { "" }, why;
	uint64_t age_s = 0;
	int rc;

	err = err ? err : &local;
	if (names_rest(store, repository, &why) &&
		!get_list(store, repository, name, ret, &age_s, err)) {
		names_tell_fallback(store, name, repository, &why);
		return 0;
	}
	rc = ask_list(store, repository, is_tags, ret, cancel, err);
	away_note(store, rc, err);
	if (!is_remote(store))
		return rc;
	if (!rc) {
		access_grant_names(store, repository);
		put_list(store, repository, name, ret);
		return 0;
	}
	if (!names_may_fall_back(store, repository, rc) ||
		get_list(store, repository, name, ret, &age_s, &why))
		return rc;
	names_tell_fallback(store, name, repository, err);
	return 0;
}

int store_repositories(
	struct store *store, struct name_list *ret, struct cancel *cancel, struct error *err)
{
	return list(store, "", false, ret, cancel, err);
}

int store_tags(struct store *store, const char *repository, struct name_list *ret,
	struct cancel *cancel, struct error *err)
{
	return list(store, repository, true, ret, cancel, err);
}

/* --- tags --- */

static int get_ref(struct store *store, const char *repository, const char *tag,
	struct descriptor *ret, struct error *err)
{
	uint64_t age_s;

	return cache_ref_get(store->cache, store->host, repository, tag, ret, &age_s, err);
}

static int ask_manifest(struct store *store, const char *repository, const char *tag,
	struct descriptor *ret, struct cancel *cancel, struct error *err)
{
	CLEANUP(buf_release) struct buf body = { .max = DOCUMENT_MAX };
	int rc = store->source->ops->resolve_to_read(
		store->source, repository, tag, ret, &body, cancel, err);

	if (!rc)
		document_keep(store, repository, ret, &body);
	return rc;
}

static bool was_seen(struct store *store, const char *repository, const char *tag)
{
	struct descriptor kept = { 0 };
	int rc = get_ref(store, repository, tag, &kept, NULL);

	descriptor_release(&kept);
	return !rc;
}

static int ask_tag(struct store *store, const char *repository, const char *tag, bool is_to_read,
	struct descriptor *ret, struct cancel *cancel, struct error *err)
{
	struct source *source = store->source;

	if (store->offline)
		return names_offline(repository, err);
	if (is_to_read && source->ops->resolve_to_read && store->cache &&
		!was_seen(store, repository, tag))
		return ask_manifest(store, repository, tag, ret, cancel, err);
	return source->ops->resolve(source, repository, tag, ret, cancel, err);
}

static int resolve(struct store *store, const char *repository, const char *tag, bool is_to_read,
	struct descriptor *ret, struct cancel *cancel, struct error *err)
{
	struct error local = { "" }, why;
	int rc;

	err = err ? err : &local;
	if (names_rest(store, repository, &why) && !get_ref(store, repository, tag, ret, err)) {
		names_tell_fallback(store, tag, repository, &why);
		return 0;
	}
	rc = ask_tag(store, repository, tag, is_to_read, ret, cancel, err);
	away_note(store, rc, err);
	if (!is_remote(store))
		return rc;
	if (!rc) {
		access_grant_names(store, repository);
		if (store->cache) /* one that is not kept is asked for again */
			(void)cache_ref_put(store->cache, store->host, repository, tag, ret, NULL);
		return 0;
	}
	if (!names_may_fall_back(store, repository, rc) ||
		get_ref(store, repository, tag, ret, &why))
		return rc;
	names_tell_fallback(store, tag, repository, err);
	return 0;
}

int store_resolve(struct store *store, const char *repository, const char *tag,
	struct descriptor *ret, struct cancel *cancel, struct error *err)
{
	return resolve(store, repository, tag, false, ret, cancel, err);
}

int store_resolve_to_read(struct store *store, const char *repository, const char *tag,
	struct descriptor *ret, struct cancel *cancel, struct error *err)
{
	return resolve(store, repository, tag, true, ret, cancel, err);
}

/* --- whether there is anything --- */

/* Whose names they are is asked below a directory, of each repository. */
static bool knows_names(struct store *store, const char *repository, bool is_directory)
{
	return store->cache && cache_has_names(store->cache, store->host, repository) &&
	       (is_directory || access_has_names(store, repository));
}

int store_probe(struct store *store, const char *repository, bool is_directory,
	struct cancel *cancel, struct error *err)
{
	const char *what = is_directory ? "repositories" : "tags";
	struct source *source = store->source;
	struct error why;
	int rc;

	if (away_rests(store, &why) && knows_names(store, repository, is_directory)) {
		names_tell_fallback(store, what, repository, &why);
		return 0;
	}
	rc = source->ops->probe(source, is_directory ? NULL : repository, cancel, err);
	away_note(store, rc, err);
	if (!source_is_away(rc) || !knows_names(store, repository, is_directory))
		return rc;
	names_tell_fallback(store, what, repository, err);
	return 0;
}
