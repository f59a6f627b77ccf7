/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A registry: repositories as directories, and in each its _tags/ and
 * _digests/.  The same for a layout with full names.
 *
 * Where a registry has no list (most public ones), a directory lists what was
 * visited and lets in every name the grammar allows; whether there is such a
 * repository is asked when its _tags is looked up.
 */
#include "fs/views.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/names.h"
#include "model/cleanup.h"
#include "model/reference.h"

static const char tags_name[] = "_tags", digests_name[] = "_digests", untagged_name[] = "_untagged";

/* The list, or NULL when this source has none. */
static int repository_list(struct fs *fs, const struct name_list **ret, struct need *need)
{
	int rc = repositories_get(fs, ret, need);

	if (rc == -EACCES || rc == -ENOENT || rc == -EOPNOTSUPP) {
		*ret = NULL;
		return 0;
	}
	return rc;
}

static bool is_local(const struct fs *fs)
{
	return store_source(fs->store)->is_local;
}

/* Is path a repository of the list, or a directory on the way to some? */
static bool is_on_the_way(const struct name_list *list, const char *path)
{
	size_t len = strlen(path);
	size_t low = 0, high = list->count;

	if (name_list_has(list, path))
		return true;
	while (low < high) { /* the first name not below "path/" */
		size_t middle = low + (high - low) / 2;
		int order = strncmp(list->names[middle], path, len);

		if (order < 0 || (order == 0 && (unsigned char)list->names[middle][len] < '/'))
			low = middle + 1;
		else
			high = middle;
	}
	return low < list->count && !strncmp(list->names[low], path, len) &&
	       list->names[low][len] == '/';
}

static char *join(const char *prefix, const char *name)
{
	char *path = NULL;

	if (asprintf(&path, "%s%s%s", prefix, *prefix ? "/" : "", name) < 0)
		return NULL;
	return path;
}

static int lookup_special(struct fs *fs, struct node *dir, const char *name,
	const struct name_list *list, struct fuse_entry_param *ret, struct need *need)
{
	const struct name_list *tags;
	const struct view *view = !strcmp(name, tags_name)                       ? &view_tags
				  : !strcmp(name, digests_name)                  ? &view_digests
				  : !strcmp(name, untagged_name) && is_local(fs) ? &view_untagged
										 : NULL;
	const char *repository = dir->place.repository;

	if (!view || (list && !name_list_has(list, repository)) || (!list && !*repository))
		return no_such_file(need, name);
	if (!list) {
		int rc = tags_get(fs, repository, &tags, need);

		if (rc)
			return rc;
	}
	return entry_directory(fs, dir, name, view, &dir->place, CONTENT_TIMEOUT_S, ret);
}

static int lookup(struct fs *fs, struct node *dir, const char *name, struct fuse_entry_param *ret,
	struct need *need)
{
	char component[ESCAPED_NAME_MAX];
	CLEANUP(freep) char *path = NULL;
	const struct name_list *list;
	struct place place = dir->place;
	int rc;

	if (*name != '_' && !is_local(fs) && !repository_component_is_valid(name, strlen(name)))
		return no_such_file(need, name); /* .git, HEAD and the like cost no request */
	rc = repository_list(fs, &list, need);
	if (rc)
		return rc;
	if (*name == '_')
		return lookup_special(fs, dir, name, list, ret, need);
	if (!name_unescape(component, name))
		return no_such_file(need, name);
	path = join(dir->place.repository, component);
	place.repository = path ? intern(fs, path) : NULL;
	if (!place.repository)
		return error_set(&need->err, ENOMEM, "out of memory");
	if (list ? !is_on_the_way(list, path) : strlen(path) > REPOSITORY_MAX)
		return no_such_file(need, name);
	return entry_directory(fs, dir, name, &view_repositories, &place, fs_ttl(fs), ret);
}

/* Adds the component of path that follows the prefix, if it lies below. */
static int add_component(
	struct name_list *ret, const char *path, const char *prefix, struct need *need)
{
	CLEANUP(freep) char *component = NULL;
	size_t len = strlen(prefix);

	if (strncmp(path, prefix, len) || (len && path[len] != '/'))
		return 0;
	path += len + (len ? 1 : 0);
	component = strndup(path, strcspn(path, "/"));
	if (!component)
		return error_set(&need->err, ENOMEM, "out of memory");
	return *component ? name_list_add(ret, component, &need->err) : 0;
}

static int list_components(
	struct listing *ret, const struct name_list *names, const char *prefix, struct need *need)
{
	struct name_list components = { NULL, 0 };
	int rc = 0;

	for (size_t i = 0; !rc && i < names->count; i++)
		rc = add_component(&components, names->names[i], prefix, need);
	name_list_sort(&components);
	for (size_t i = 0; !rc && i < components.count; i++) {
		char name[ESCAPED_NAME_MAX];

		if (name_escape(name, components.names[i]))
			rc = listing_add(ret, name, S_IFDIR, 0);
	}
	name_list_release(&components);
	return rc;
}

static int list_repository(
	struct fs *fs, const char *repository, struct listing *ret, struct need *need)
{
	const struct name_list *untagged;
	int rc = listing_add(ret, tags_name, S_IFDIR, 0);

	if (rc || !is_local(fs))
		return rc;
	rc = untagged_get(fs, repository, &untagged, need);
	if (!rc && untagged->count)
		rc = listing_add(ret, untagged_name, S_IFDIR, 0);
	return rc;
}

static int list(struct fs *fs, struct node *dir, struct listing *ret, struct need *need)
{
	struct name_list visited = { NULL, 0 };
	const char *prefix = dir->place.repository;
	const struct name_list *names;
	int rc = repository_list(fs, &names, need);

	if (rc)
		return rc;
	if (!names) {
		need_again(need, 0); /* somebody may go somewhere else */
		rc = repositories_visited(fs, &visited, need);
		names = &visited;
	}
	if (!rc)
		rc = list_components(ret, names, prefix, need);
	if (!rc && name_list_has(names, prefix))
		rc = list_repository(fs, prefix, ret, need);
	name_list_release(&visited);
	return rc;
}

const struct view view_repositories = {
	.name = "repositories", .type = S_IFDIR, .lists_names = true, .lookup = lookup, .list = list
};
