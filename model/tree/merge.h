/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merge -- a stack of layer trees as one file system, found lazily.
 *
 * Nothing is merged that nobody visits: each visited directory keeps the stack
 * of layer directories it is made of, top first.  A child is the first hit from
 * the top; a whiteout stops the search below its own layer; directories
 * collect downward until one is opaque, is whited out, or a non-directory
 * ends them.  The rules are those of extractors (containerd, umoci): OCI
 * image-spec layer.md "Applying Changesets"; own entries of a layer and its
 * whiteouts act apart from each other, whatever their order.
 *
 * Two things cannot be seen from one directory and are prepared in merge_new():
 * an implied directory over a lower symlink goes where the symlink leads
 * (inside the root), and a hard link may lead into a lower layer.
 *
 * Not thread-safe: one thread, or a lock around it.  Borrows the trees.
 */
#ifndef MODEL_TREE_MERGE_H
#define MODEL_TREE_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/tree/tree.h"

struct merge;

enum { MERGE_ROOT = 0 }; /* number of the root directory */

/* A place in one layer. */
struct merge_ref {
	uint32_t layer; /* 0 is the base */
	uint32_t entry;
};

struct merge_child {
	bool is_directory;
	uint32_t directory;   /* is_directory: its number in this merge */
	struct merge_ref ref; /* the entry whose type, mode, owner and times count; for a
			       * hard link into a lower layer: the file it leads to.
			       * A directory made of nothing but a graft has layer UINT32_MAX. */
	uint64_t place;       /* from merge_list(): where it goes on behind this child */
};

/* layers[0] is the base.  -ENOMEM, -EFBIG. */
int merge_new(
	struct merge **ret, const struct tree *const *layers, uint32_t count, struct error *err);
void merge_free(struct merge *merge);

/* Both: 0, -ENOENT, -ENOMEM, or -EIO for a hard link that leads nowhere. */
int merge_lookup(struct merge *merge, uint32_t directory, const char *name, size_t len,
	struct merge_child *ret);

/* Calls fn for each child in the order of names; stops at a non-zero return
 * and returns it.  Starts behind the child of that place (0: at the first), so a
 * listing can go on where it stopped; a place stays good as long as the merge, and
 * one that is none gives -EINVAL.  Children that are directories get no
 * number: child.directory is TREE_NONE.  fn may look names up. */
typedef int merge_list_fn(
	void *context, const char *name, uint32_t name_len, const struct merge_child *child);
int merge_list(
	struct merge *merge, uint32_t directory, uint64_t after, merge_list_fn *fn, void *context);

/* The entry whose metadata a directory shows (see merge_child.ref). */
struct merge_ref merge_directory_ref(const struct merge *merge, uint32_t directory);
/* The parent's number; the root's is the root. */
uint32_t merge_parent(const struct merge *merge, uint32_t directory);

/* What a directory is made of, top first; *count is how many.  Equal stacks of equal layers
 * mean equal content, unless *ret_is_unique: then something from outside the
 * stack (a graft, a link into a lower layer) plays in.  With one ref and no
 * TREE_SPECIAL the directory is that layer's directory. */
const struct merge_ref *merge_stack(
	const struct merge *merge, uint32_t directory, uint32_t *count, bool *ret_is_unique);

/* How many directories have been visited so far (each costs memory). */
uint32_t merge_directories(const struct merge *merge);

/* Walks a path of plain components from the root ("a/b/c"), following symlinks in
 * all but the last one, inside the root, at most 40 of them.  As merge_lookup(), and -ELOOP,
 * -ENOTDIR, -ENAMETOOLONG. */
int merge_walk(struct merge *merge, const char *path, struct merge_child *ret);

#endif
