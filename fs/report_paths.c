/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/report_paths.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Room for one more behind count, which is full at powers of two; NULL: out of memory. */
static void *grow(void *array, size_t size, size_t count)
{
	return count & (count - 1) ? array : reallocarray(array, count ? count * 2 : 1, size);
}

static int add_node(struct paths *paths, uint32_t parent, const char *name, uint32_t *ret)
{
	size_t at = paths->names.len;
	struct path_node *nodes;

	if (paths->node_count == PATHS_MAX)
		return -EFBIG;
	nodes = grow(paths->nodes, sizeof *nodes, paths->node_count);
	if (!nodes)
		return -ENOMEM;
	paths->nodes = nodes;
	if (buf_append(&paths->names, name, strlen(name) + 1))
		return buf_status(&paths->names);
	nodes[paths->node_count] = (struct path_node){
		.parent = parent,
		.first_child = PATH_NONE,
		.next = PATH_NONE,
		.name = (uint32_t)at,
		.file = PATH_NONE,
	};
	*ret = paths->node_count++;
	return 0;
}

int paths_init(struct paths *paths)
{
	uint32_t root;
	int rc;

	*paths = (struct paths){ .layer = 0 };
	buf_init(&paths->names, PATH_NAMES_MAX);
	rc = add_node(paths, PATH_NONE, "", &root);
	if (!rc)
		paths->nodes[root].kind = PATH_DIRECTORY;
	return rc;
}

void paths_release(struct paths *paths)
{
	free(paths->nodes);
	free(paths->files);
	free(paths->links);
	buf_release(&paths->names);
	*paths = (struct paths){ .layer = 0 };
}

void paths_next_layer(struct paths *paths)
{
	paths->layer++;
}

const char *paths_name(const struct paths *paths, uint32_t path)
{
	return paths->names.data + paths->nodes[path].name;
}

/* --- names --- */

static uint32_t behind(const struct paths *paths, uint32_t directory, uint32_t cursor)
{
	return cursor == PATH_NONE ? paths->nodes[directory].first_child
				   : paths->nodes[cursor].next;
}

uint32_t paths_find(
	const struct paths *paths, uint32_t directory, const char *name, uint32_t *cursor)
{
	uint32_t next;
	int order = -1;

	/* The cursor stops before the name, which may be asked for again. */
	while ((next = behind(paths, directory, *cursor)) != PATH_NONE) {
		order = strcmp(paths_name(paths, next), name);
		if (order >= 0)
			break;
		*cursor = next;
	}
	return next != PATH_NONE && !order ? next : PATH_NONE;
}

int paths_get(
	struct paths *paths, uint32_t directory, const char *name, uint32_t *cursor, uint32_t *ret)
{
	uint32_t path = paths_find(paths, directory, name, cursor);
	int rc = 0;

	if (path == PATH_NONE) {
		rc = add_node(paths, directory, name, &path);
		if (rc)
			return rc;
		paths->nodes[path].next = behind(paths, directory, *cursor);
		if (*cursor == PATH_NONE)
			paths->nodes[directory].first_child = path;
		else
			paths->nodes[*cursor].next = path;
	}
	*ret = path;
	return 0;
}

uint32_t paths_walk(const struct paths *paths, uint32_t top, uint32_t path)
{
	const struct path_node *nodes = paths->nodes;

	if (nodes[path].first_child != PATH_NONE)
		return nodes[path].first_child;
	while (path != top && nodes[path].next == PATH_NONE)
		path = nodes[path].parent;
	return path == top ? PATH_NONE : nodes[path].next;
}

void paths_format(const struct paths *paths, uint32_t path, struct buf *ret)
{
	const struct path_node *nodes = paths->nodes;
	size_t len = 0, at;

	for (uint32_t p = path; p != PATH_ROOT; p = nodes[p].parent)
		len += strlen(paths_name(paths, p)) + 1;
	at = ret->len + len;
	if (!len) {
		(void)buf_append_text(ret, "/"); /* failures stick */
		return;
	}
	for (; len; len--)
		if (buf_append(ret, "/", 1))
			return;
	for (uint32_t p = path; p != PATH_ROOT; p = nodes[p].parent) {
		size_t name_len = strlen(paths_name(paths, p));

		at -= name_len;
		memcpy(ret->data + at, paths_name(paths, p), name_len);
		at--; /* the slash that is there */
	}
}

/* --- what layers do --- */

static void end_file(struct paths *paths, uint32_t path, bool is_deleted)
{
	struct path_node *node = &paths->nodes[path];

	if (node->kind != PATH_FILE)
		return;
	paths->files[node->file].end = (uint16_t)paths->layer;
	paths->files[node->file].is_deleted = is_deleted;
}

void paths_empty(struct paths *paths, uint32_t directory)
{
	uint32_t path = directory;

	while ((path = paths_walk(paths, directory, path)) != PATH_NONE) {
		end_file(paths, path, true);
		paths->nodes[path].kind = PATH_ABSENT;
	}
}

void paths_delete(struct paths *paths, uint32_t path)
{
	paths_empty(paths, path);
	end_file(paths, path, true);
	paths->nodes[path].kind = PATH_ABSENT;
}

void paths_put(struct paths *paths, uint32_t path, enum path_kind kind)
{
	struct path_node *node = &paths->nodes[path];

	if (node->kind == PATH_DIRECTORY && kind != PATH_DIRECTORY)
		paths_empty(paths, path);
	end_file(paths, path, kind != PATH_FILE);
	node->kind = kind;
}

static int add_link(struct paths *paths, uint64_t inode, uint32_t file)
{
	struct path_link *links = grow(paths->links, sizeof *links, paths->link_count);

	if (!links)
		return -ENOMEM;
	paths->links = links;
	links[paths->link_count++] = (struct path_link){ inode, file };
	return 0;
}

int paths_put_file(struct paths *paths, uint32_t path, uint64_t size, uint64_t inode)
{
	struct path_node *node = &paths->nodes[path];
	uint32_t number = paths->file_count;
	struct path_file *files;

	if (number == PATHS_MAX)
		return -EFBIG;
	files = grow(paths->files, sizeof *files, number);
	if (!files)
		return -ENOMEM;
	paths->files = files;
	paths_put(paths, path, PATH_FILE);
	/* Deleted by this very layer: that was to make room. */
	if (node->file != PATH_NONE && files[node->file].end == paths->layer)
		files[node->file].is_deleted = false;
	files[number] = (struct path_file){
		.size = size,
		.path = path,
		.before = node->file,
		.layer = (uint16_t)paths->layer,
		.end = LAYER_NONE,
	};
	node->file = number;
	paths->file_count++;
	return inode ? add_link(paths, inode, number) : 0;
}

/* --- the end --- */

static int compare_links(const void *a, const void *b, void *context)
{
	const struct path_link *x = a, *y = b;
	const struct paths *paths = context;
	unsigned x_layer = paths->files[x->file].layer, y_layer = paths->files[y->file].layer;

	if (x_layer != y_layer)
		return x_layer < y_layer ? -1 : 1;
	if (x->inode != y->inode)
		return x->inode < y->inode ? -1 : 1;
	return x->file < y->file ? -1 : x->file > y->file;
}

/* The names of one file: links[0] to links[count - 1]. */
static void choose_name(struct paths *paths, const struct path_link *links, uint32_t count)
{
	uint32_t chosen = 0;

	for (uint32_t i = 1; i < count; i++) /* LAYER_NONE is later than any layer */
		if (paths->files[links[i].file].end > paths->files[links[chosen].file].end)
			chosen = i;
	for (uint32_t i = 0; i < count; i++)
		paths->files[links[i].file].is_uncounted = i != chosen;
}

void paths_settle(struct paths *paths)
{
	uint32_t first = 0;

	if (paths->link_count)
		qsort_r(paths->links, paths->link_count, sizeof *paths->links, compare_links,
			paths);
	for (uint32_t i = 1; i <= paths->link_count; i++) {
		const struct path_link *links = paths->links;

		if (i < paths->link_count && links[i].inode == links[first].inode &&
			paths->files[links[i].file].layer == paths->files[links[first].file].layer)
			continue;
		choose_name(paths, links + first, i - first);
		first = i;
	}
}
