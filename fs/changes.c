/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A depth-first walk over the top layer, with the matching directory of the
 * merge of the lower ones beside it.  In each directory two sorted lists are
 * taken together: the layer's own names, and the names it deletes.
 */
#include "fs/changes.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/cleanup.h"
#include "model/tree/merge.h"

enum { CANCEL_EVERY = 4096 };

struct level {
	uint32_t directory; /* in the top layer */
	uint32_t next;      /* its next child */
	uint32_t lower;     /* the directory below in the merge, or TREE_NONE */
	char **deleted;     /* sorted */
	size_t deleted_count, next_deleted;
	size_t path_len;
};

struct walk {
	const struct tree *const *layers;
	const struct tree *top;
	struct merge *lower;
	struct level *levels;
	size_t depth, capacity;
	struct buf path; /* of the current directory, without a slash at its end */
	struct buf *out;
};

static void walk_release(struct walk *walk)
{
	while (walk->depth) {
		struct level *level = &walk->levels[--walk->depth];

		for (size_t i = 0; i < level->deleted_count; i++)
			free(level->deleted[i]);
		free(level->deleted);
	}
	free(walk->levels);
	buf_release(&walk->path);
	merge_free(walk->lower);
}

static void put(struct walk *walk, char what, const char *name)
{
	const char *parts[] = { walk->path.data ? walk->path.data : "", "/", name };

	(void)buf_printf(walk->out, "%c ", what); /* the status sticks in out */
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		for (const unsigned char *p = (const unsigned char *)parts[i]; *p; p++) {
			if (*p < 0x20 || *p == 0x7f || *p == '\\')
				(void)buf_printf(walk->out, "\\%03o", *p);
			else
				(void)buf_append(walk->out, p, 1);
		}
	}
	(void)buf_append(walk->out, "\n", 1);
}

static int add_deleted(struct level *level, const char *name)
{
	if ((level->deleted_count & (level->deleted_count - 1)) == 0) {
		size_t room = level->deleted_count ? 2 * level->deleted_count : 1;
		char **more = realloc(level->deleted, room * sizeof *more);

		if (!more)
			return -ENOMEM;
		level->deleted = more;
	}
	level->deleted[level->deleted_count] = strdup(name);
	return level->deleted[level->deleted_count++] ? 0 : -ENOMEM;
}

struct collecting {
	struct walk *walk;
	struct level *level;
};

static int collect_hidden(
	void *context, const char *name, uint32_t name_len, const struct merge_child *child)
{
	struct collecting *collecting = context;

	(void)child;
	if (tree_lookup(collecting->walk->top, collecting->level->directory, name, name_len) !=
		TREE_NONE)
		return 0;
	return add_deleted(collecting->level, name);
}

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names a directory of the layer takes away from those below. */
static int collect_deleted(struct walk *walk, struct level *level)
{
	const struct tree_entry *directory = tree_entry(walk->top, level->directory);
	struct collecting collecting = { walk, level };
	struct merge_child child;
	int rc = 0;

	if (level->lower == TREE_NONE)
		return 0;
	if (directory->flags & TREE_OPAQUE)
		return merge_list(walk->lower, level->lower, 0, collect_hidden, &collecting);
	if (!(directory->flags & TREE_WHITEOUTS))
		return 0;
	for (uint32_t i = 0; !rc && i < directory->u.children.count; i++) {
		const char *name =
			tree_whiteout_of(tree_name(walk->top, directory->u.children.first + i));

		if (!name || !*name ||
			tree_lookup(walk->top, level->directory, name, strlen(name)) != TREE_NONE)
			continue;
		if (!merge_lookup(walk->lower, level->lower, name, strlen(name), &child))
			rc = add_deleted(level, name);
	}
	if (level->deleted_count)
		qsort(level->deleted, level->deleted_count, sizeof *level->deleted, compare_text);
	return rc;
}

static int descend(struct walk *walk, uint32_t directory, uint32_t lower, const char *name)
{
	struct level *level;

	if (walk->depth == walk->capacity) {
		size_t capacity = walk->capacity ? 2 * walk->capacity : 32;

		level = realloc(walk->levels, capacity * sizeof *level);
		if (!level)
			return -ENOMEM;
		walk->levels = level;
		walk->capacity = capacity;
	}
	level = &walk->levels[walk->depth++];
	*level = (struct level){
		.directory = directory, .lower = lower, .path_len = walk->path.len
	};
	if (name) {
		(void)buf_append(&walk->path, "/", 1);
		if (buf_append_text(&walk->path, name))
			return buf_status(&walk->path);
	}
	return collect_deleted(walk, level);
}

static bool is_same_directory(const struct walk *walk, uint32_t entry, struct merge_ref ref)
{
	const struct tree_entry *own = tree_entry(walk->top, entry);
	const struct tree_entry *below;

	if (own->flags & TREE_IMPLIED || ref.layer == UINT32_MAX)
		return true;
	below = tree_entry(walk->layers[ref.layer], ref.entry);
	return own->mode == below->mode && own->uid == below->uid && own->gid == below->gid;
}

static int visit(struct walk *walk, const struct level *level, uint32_t entry)
{
	const struct tree_entry *own = tree_entry(walk->top, entry);
	const char *name = tree_name(walk->top, entry);
	const struct tree_entry *directory = tree_entry(walk->top, level->directory);
	bool is_directory = S_ISDIR(own->mode);
	char whiteout[TREE_NAME_MAX + 8] = ".wh.";
	struct merge_child below;
	bool is_below;

	if (tree_whiteout_of(name))
		return 0;
	is_below = level->lower != TREE_NONE && !(directory->flags & TREE_OPAQUE) &&
		   !merge_lookup(walk->lower, level->lower, name, own->name_len, &below);
	if (!is_below)
		put(walk, 'A', name);
	else if (!is_directory || !below.is_directory || !is_same_directory(walk, entry, below.ref))
		put(walk, 'M', name);
	if (!is_directory)
		return 0;
	/* A whiteout beside it: a new directory of an old name. */
	strncat(whiteout, name, TREE_NAME_MAX);
	if (is_below && (!below.is_directory || tree_lookup(walk->top, level->directory, whiteout,
							strlen(whiteout)) != TREE_NONE))
		is_below = false;
	return descend(walk, entry, is_below ? below.directory : TREE_NONE, name);
}

/* One name of the innermost directory, or out of it when there are no more. */
static int step(struct walk *walk)
{
	struct level *level = &walk->levels[walk->depth - 1];
	const struct tree_entry *directory = tree_entry(walk->top, level->directory);
	uint32_t entry = directory->u.children.first + level->next;
	bool has_entry = level->next < directory->u.children.count;
	bool has_deleted = level->next_deleted < level->deleted_count;

	if (has_deleted && (!has_entry || strcmp(level->deleted[level->next_deleted],
						  tree_name(walk->top, entry)) < 0)) {
		put(walk, 'D', level->deleted[level->next_deleted++]);
		return 0;
	}
	if (has_entry) {
		level->next++;
		return visit(walk, level, entry);
	}
	for (size_t i = 0; i < level->deleted_count; i++)
		free(level->deleted[i]);
	free(level->deleted);
	walk->path.len = level->path_len;
	if (walk->path.data)
		walk->path.data[walk->path.len] = '\0';
	walk->depth--;
	return 0;
}

int changes_write(const struct tree *const *layers, uint32_t count, struct buf *ret,
	struct cancel *cancel, struct error *err)
{
	struct walk walk = { .layers = layers, .top = layers[count - 1], .out = ret };
	int rc;

	buf_init(&walk.path, CHANGES_MAX);
	rc = merge_new(&walk.lower, layers, count - 1, err);
	if (rc)
		return rc;
	rc = descend(&walk, 0, MERGE_ROOT, NULL);
	for (unsigned steps = 1; !rc && walk.depth; steps++) {
		rc = step(&walk);
		if (!rc)
			rc = buf_status(ret);
		if (!rc && steps % CANCEL_EVERY == 0 && cancel_is_set(cancel))
			rc = -EINTR;
	}
	walk_release(&walk);
	if (rc == -EFBIG)
		return error_set(err, EFBIG, "more than %d bytes of changes", CHANGES_MAX);
	return rc ? error_set(err, -rc, "comparing layers: %s", strerror(-rc)) : 0;
}
