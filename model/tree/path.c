/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths as extractors read them.  An entry's own path is cleaned as text, ".."
 * included, before any link in it is looked at (containerd and umoci
 * do so); a symlink's target is then walked component by component, ".."
 * going up from where the walk stands, and never above the root.
 */
#include "model/tree/internal.h"

#include <errno.h>
#include <string.h>

struct cursor {
	const char *at, *end;
};

/* Gives the next component that is neither empty nor "."; false at the end. */
static bool next_component(struct cursor *cursor, const char **ret_name, size_t *ret_len)
{
	while (cursor->at < cursor->end) {
		const char *name = cursor->at;
		const char *slash = memchr(name, '/', (size_t)(cursor->end - name));
		size_t len = (size_t)((slash ? slash : cursor->end) - name);

		cursor->at = slash ? slash + 1 : cursor->end;
		if (len == 0 || (len == 1 && name[0] == '.'))
			continue;
		*ret_name = name;
		*ret_len = len;
		return true;
	}
	return false;
}

static bool is_dotdot(const char *name, size_t len)
{
	return len == 2 && name[0] == '.' && name[1] == '.';
}

static void pop(struct buf *path)
{
	const char *slash = memrchr(path->data, '/', path->len);

	path->len = slash ? (size_t)(slash - path->data) : 0;
	path->data[path->len] = '\0';
}

int path_push(struct buf *path, const char *name, size_t len)
{
	if (path->len)
		(void)buf_append(path, "/", 1);
	(void)buf_append(path, name, len);
	return buf_status(path);
}

int path_clean(struct buf *ret, const char *path, size_t len)
{
	struct cursor cursor = { path, path + len };
	const char *name;
	size_t name_len;
	int rc = 0;

	buf_clear(ret);
	while (!rc && next_component(&cursor, &name, &name_len)) {
		if (is_dotdot(name, name_len)) {
			if (!ret->len)
				return -EINVAL;
			pop(ret);
		} else if (name_len > TREE_NAME_MAX) {
			rc = -ENAMETOOLONG;
		} else if (ret->len) { /* there was one before: its '/' comes along */
			rc = buf_append(ret, name - 1, name_len + 1);
		} else {
			rc = buf_append(ret, name, name_len);
		}
	}
	return rc;
}

void path_split(const char *path, size_t len, size_t *ret_parent_len, const char **ret_name,
	size_t *ret_len)
{
	const char *slash = len ? memrchr(path, '/', len) : NULL;

	*ret_parent_len = slash ? (size_t)(slash - path) : 0;
	*ret_name = slash ? slash + 1 : path;
	*ret_len = len - (size_t)(*ret_name - path);
}

/* The targets being walked, innermost last; the first is the path itself. */
struct walk {
	struct cursor cursors[PATH_LINKS_MAX + 1];
	uint32_t depth;      /* how many cursors are in use */
	uint32_t links;      /* symlinks followed so far */
	uint32_t link_steps; /* components taken out of their targets */
};

static int walk_next(struct walk *walk, const char **ret_name, size_t *ret_len)
{
	while (walk->depth) {
		if (next_component(&walk->cursors[walk->depth - 1], ret_name, ret_len)) {
			if (walk->depth > 1 && ++walk->link_steps > PATH_LINK_STEPS_MAX)
				return -ELOOP;
			return *ret_len > TREE_NAME_MAX ? -ENAMETOOLONG : 1;
		}
		walk->depth--;
	}
	return 0;
}

static int walk_link(struct walk *walk, const char *target)
{
	if (walk->links++ >= PATH_LINKS_MAX)
		return -ELOOP;
	walk->cursors[walk->depth++] = (struct cursor){ target, target + strlen(target) };
	return 0;
}

int path_resolve(const struct path_ops *ops, void *context, const char *path, size_t len,
	uint32_t *at, struct buf *missing)
{
	struct walk walk = { .cursors = { { path, path + len } }, .depth = 1 };
	const char *name, *target;
	size_t name_len;
	int rc;

	buf_clear(missing);
	while ((rc = walk_next(&walk, &name, &name_len)) > 0) {
		if (is_dotdot(name, name_len)) {
			if (missing->len)
				pop(missing);
			else
				*at = ops->parent(context, *at);
			continue;
		}
		rc = missing->len ? PATH_NONE : ops->step(context, at, name, name_len, &target);
		if (rc == PATH_NONE) {
			rc = path_push(missing, name, name_len);
		} else if (rc == PATH_SYMLINK) {
			if (target[0] == '/')
				*at = PATH_ROOT;
			rc = walk_link(&walk, target);
		}
		if (rc < 0)
			return rc;
	}
	return rc;
}
