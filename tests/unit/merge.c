/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stacks of layers and what they make together.  Expected trees follow the
 * OCI image-spec (layer.md, "Applying Changesets") and what umoci extracts.
 */
#include "model/tree/merge.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "layers.h"
#include "model/buf.h"
#include "model/cleanup.h"

enum { LAYERS_MAX = 5, LISTING_MAX = 1 << 20 };

/* In a listing: a directory ends in '/' and its mode if that is not 0755, a file in the number of
 * its layer, a symlink in its target. */
static const struct merge_case {
	const char *name;
	const char *layers[LAYERS_MAX];
	const char *expected;
} merge_cases[] = {
	{ "one layer", { "d a\nf a/b" }, "a/ a/b=0" },
	{ "files from above hide those below", { "f a\nf b", "f b" }, "a=0 b=1" },
	{ "directories join", { "d a\nf a/x", "d a\nf a/y" }, "a/ a/x=0 a/y=1" },
	{ "a directory's looks come from above", { "d a 0700\nf a/x", "d a 0711" }, "a/711 a/x=0" },
	{ "a whiteout removes", { "f a\nf b", "f .wh.a" }, "b=0" },
	{ "a whiteout removes a directory", { "d a\nf a/x", "f .wh.a" }, "" },
	{ "a whiteout of nothing", { "f a", "f .wh.b" }, "a=0" },
	{ "a whiteout does not touch its own layer", { "f a", "f a\nf .wh.a" }, "a=1" },
	{ "a whiteout and a new directory", { "d a\nf a/old", "f .wh.a\nd a\nf a/new" },
		"a/ a/new=1" },
	{ "a whiteout behind the new directory", { "d a\nf a/old", "d a\nf a/new\nf .wh.a" },
		"a/ a/new=1" },
	{ "a whiteout, then back again", { "d a\nf a/old", "f .wh.a", "d a\nf a/new" },
		"a/ a/new=2" },
	{ "opaque", { "d a\nf a/old", "d a\nf a/.wh..wh..opq\nf a/new" }, "a/ a/new=1" },
	{ "opaque comes late", { "d a\nf a/old", "d a\nf a/new\nf a/.wh..wh..opq" }, "a/ a/new=1" },
	{ "opaque without its directory", { "d a\nf a/old", "f a/.wh..wh..opq" }, "a/" },
	{ "opaque of what is not below", { "f x", "f a/.wh..wh..opq" }, "a/ x=0" },
	{ "opaque hides all layers below",
		{ "d a\nf a/1", "d a\nf a/2", "d a\nf a/.wh..wh..opq", "d a\nf a/4" }, "a/ a/4=3" },
	{ "opaque deep down", { "d a\nd a/b\nf a/b/old\nf a/kept", "f a/b/.wh..wh..opq" },
		"a/ a/b/ a/kept=0" },
	{ "opaque at the root", { "f old\nd d\nf d/x", "f .wh..wh..opq\nf new" }, "new=1" },
	{ "whiteout tricks",
		{ "f a\nf .wh.", "f .wh.\nf .wh..\nf .wh...\nf .wh..wh.plnk\nf .wh..wh.orph" },
		"a=0" },
	{ "a file over a directory", { "d a\nf a/x", "f a" }, "a=1" },
	{ "a directory over a file", { "f a", "d a\nf a/x" }, "a/ a/x=1" },
	{ "directory, file, directory", { "d a\nf a/old", "f a", "d a\nf a/new" }, "a/ a/new=2" },
	{ "a symlink over a directory", { "d a\nf a/x", "l a b" }, "a->b" },
	{ "an explicit directory over a symlink", { "d u\nl a u", "d a\nf a/x" }, "a/ a/x=1 u/" },
	{ "a path through a lower symlink",
		{ "d usr\nd usr/bin\nf usr/bin/old\nl bin usr/bin", "f bin/new" },
		"bin->usr/bin usr/ usr/bin/ usr/bin/new=1 usr/bin/old=0" },
	{ "through an absolute symlink", { "d usr\nd usr/bin\nl bin /usr/bin", "f bin/new" },
		"bin->/usr/bin usr/ usr/bin/ usr/bin/new=1" },
	{ "through a symlink that climbs out", { "d etc\nl e ../../../etc", "f e/new" },
		"e->../../../etc etc/ etc/new=1" },
	{ "through a symlink to nothing", { "l bin usr/bin", "f bin/new" },
		"bin->usr/bin usr/ usr/bin/ usr/bin/new=1" },
	{ "a symlink loop, which extractors refuse", { "l a b\nl b a\nf x", "f a/new" },
		"a/ a/new=1 b->a x=0" },
	{ "a whiteout through a symlink",
		{ "d usr\nd usr/bin\nf usr/bin/old\nl bin usr/bin", "f bin/.wh.old" },
		"bin->usr/bin usr/ usr/bin/" },
	{ "a symlink over a symlinked path",
		{ "d usr\nd usr/bin\nl bin usr/bin", "f bin/new", "f bin/newer" },
		"bin->usr/bin usr/ usr/bin/ usr/bin/new=1 usr/bin/newer=2" },
	{ "no directory entries at all", { "f a/b/c", "f a/b/d\nf a/e" },
		"a/ a/b/ a/b/c=0 a/b/d=1 a/e=1" },
	{ "a hard link into a lower layer", { "f a 5", "h b a" }, "a=0 b=0" },
	{ "its target removed later", { "f a 5", "h b a", "f .wh.a" }, "b=0" },
	{ "its target removed in the same layer", { "f a 5", "h b a\nf .wh.a" }, "b=0" },
	{ "its target replaced later", { "f a 5", "h b a", "f a 9" }, "a=2 b=0" },
	{ "a chain of links over layers", { "f a 5", "h b a", "h c b" }, "a=0 b=0 c=0" },
	{ "links to each other in one layer", { "f a 5", "h c b\nh b a" }, "a=0 b=0 c=0" },
	{ "a hard link to nothing", { "f x", "h b gone" }, "x=0" },
	{ "a hard link out of the base", { "h b gone\nf x" }, "x=0" },
	{ "a hard link to a lower directory", { "d a", "h b a" }, "a/" },
	{ "a hard link through a lower symlink", { "d usr\nf usr/x 5\nl u usr", "h y u/x" },
		"u->usr usr/ usr/x=0 y=0" },
	{ "a whiteout stored as a hard link", { "f a\nf b", "h .wh.a b" }, "b=0" },
	{ "opaque keeps what the directory below looks like",
		{ "d a 0700\nf a/old", "f a/.wh..wh..opq" }, "a/700" },
	{ "an implied directory over a file", { "f a", "f a/x" }, "a/ a/x=1" },
	{ "implied, explicit, symlink", { "d u\nl a u", "d a\nf a/x", "f a/y" },
		"a/ a/x=1 a/y=2 u/" },
	{ "explicit, implied, symlink", { "d u\nl a u", "f a/x", "d a\nf a/y" },
		"a/ a/y=2 u/ u/x=1" },
	{ "a whiteout of the symlink in the same layer", { "d u\nl a u", "f .wh.a\nf a/x" },
		"a/ a/x=1 u/" },
	{ "opaque above the symlink in the same layer", { "d u\nl a u", "f .wh..wh..opq\nf a/x" },
		"a/ a/x=1" },
	{ "opaque through a symlink", { "d u\nf u/old\nl a u", "f a/.wh..wh..opq\nf a/x" },
		"a->u u/ u/x=1" },
	{ "a graft's place removed later", { "d u\nd u/b\nl a u/b", "f a/x", "f .wh.u" },
		"a->u/b" },
	{ "a graft's place removed and made again",
		{ "d u\nd u/b\nl a u/b", "f a/x", "f .wh.u\nd u\nd u/b" }, "a->u/b u/ u/b/" },
	{ "a graft's parent emptied later", { "d u\nl a u/b", "f a/x", "d u\nf u/.wh..wh..opq" },
		"a->u/b u/" },
	{ "a grafted file removed later, by its path",
		{ "d u\nl a u", "f a/x\nf a/y", "f u/.wh.x" }, "a->u u/ u/y=1" },
	{ "a grafted file removed later, through the symlink",
		{ "d u\nl a u", "f a/x\nf a/y", "f a/.wh.x" }, "a->u u/ u/y=1" },
	{ "a graft and a file of its own", { "d u\nl a u", "f a/x\nf u/y" },
		"a->u u/ u/x=1 u/y=1" },
	{ "two grafts at one place", { "d u\nl a u\nl b u", "f a/x\nf b/y" },
		"a->u b->u u/ u/x=1 u/y=1" },
	{ "a graft below a graft", { "d u\nd v\nl u/w ../v\nl a u", "f a/w/x" },
		"a->u u/ u/w->../v v/ v/x=1" },
	{ "a graft through a chain of symlinks", { "d u\nl b u\nl a b", "f a/d/x" },
		"a->b b->u u/ u/d/ u/d/x=1" },
	{ "a graft below an explicit directory", { "d d\nd u\nl d/a ../u", "d d 0700\nf d/a/x" },
		"d/700 d/a->../u u/ u/x=1" },
	{ "a graft where a file is", { "f f\nl a f", "f a/x" }, "a->f f/ f/x=1" },
	{ "a graft over a later symlink", { "l a u", "d u\nl u/b ../v", "f a/b/x" },
		"a->u u/ u/b->../v v/ v/x=2" },
	{ "a replaced symlink takes no grafts", { "d u\nl a u", "d a", "f a/x" }, "a/ a/x=2 u/" },
	{ "a hard link to a symlink takes grafts", { "d u\nl a u", "h b a", "f b/x" },
		"a->u b->u u/ u/x=2" },
	{ "a hard link to what a graft brought", { "d u\nl a u", "f a/x", "h y u/x\nh z a/x" },
		"a->u u/ u/x=1 y=1 z=1" },
	{ "a hard link through its own layer's symlink", { "d u\nf u/x", "l s u\nh y s/x" },
		"s->u u/ u/x=0 y=0" },
	{ "a hard link to what a whiteout removed", { "f a", "f .wh.a", "h b a" }, "" },
	{ "a link into the layer, then one out of it", { "f a", "f b\nh c b\nh d a" },
		"a=0 b=1 c=1 d=0" },
	{ "the topmost file wins under a name", { "f a\nf b", "f .wh.a\nf .wh.b\nf a", "f .wh.a" },
		"" },
	{ "a file, then a directory, in one layer", { "d a\nf a/old", "f a\nd a\nf a/new" },
		"a/ a/new=1" },
	{ "whiteouts below what is a file", { "f a\nf b", "f a/.wh.x\nf b/c/.wh..wh..opq" },
		"a=0 b=0" },
	{ "whiteouts and a file below what is a file", { "f a", "f a/.wh.x\nf a/y" }, "a/ a/y=1" },
	{ "a whiteout below a whiteout", { "d a\nf a/x", "f .wh.a", "f a/.wh.x\nf a/y" },
		"a/ a/y=2" },
	{ "a directory named as a whiteout", { "f a\nf b", "d .wh.a\nf .wh.a/x" }, "b=0" },
	{ "a lower directory under a file under a directory",
		{ "d a\nf a/1", "l a x", "d a\nf a/3" }, "a/ a/3=2" },
	{ "names sort by bytes", { "f a-b\nf a.b\nd a\nf a/x" }, "a/ a/x=0 a-b=0 a.b=0" },
	{ "no layers' files", { "" }, "" },
};

struct stack {
	struct test_layer layers[LAYERS_MAX];
	const struct tree *trees[LAYERS_MAX];
	uint32_t count;
	struct merge *merge;
};

static void stack_open(struct stack *stack, const char *const *layers)
{
	*stack = (struct stack){ .count = 0 };
	for (; stack->count < LAYERS_MAX && layers[stack->count]; stack->count++) {
		assert_int_equal(layer_make(&stack->layers[stack->count], layers[stack->count]), 0);
		stack->trees[stack->count] = &stack->layers[stack->count].tree;
	}
	assert_int_equal(merge_new(&stack->merge, stack->trees, stack->count, NULL), 0);
}

static void stack_close(struct stack *stack)
{
	merge_free(stack->merge);
	for (uint32_t i = 0; i < stack->count; i++)
		free(stack->layers[i].image);
}

struct listing {
	struct stack *stack;
	struct buf *text;
	uint32_t directory;
	const char *path;
};

static void list(struct stack *stack, uint32_t directory, const char *path, struct buf *text);

static void show_mode(const struct stack *stack, struct merge_ref ref, struct buf *text)
{
	uint32_t mode = 0755;

	if (ref.layer != UINT32_MAX)
		mode = tree_entry(stack->trees[ref.layer], ref.entry)->mode & 07777;
	if (mode != 0755)
		(void)buf_printf(text, "%o", mode);
}

static int show(void *context, const char *name, uint32_t len, const struct merge_child *listed)
{
	const struct listing *listing = context;
	struct stack *stack = listing->stack;
	struct merge_child child;
	const struct tree_entry *entry;
	char path[1024];

	assert_int_equal(strlen(name), len);
	/* What is listed is what is found, and finding it twice gives the same number. */
	assert_int_equal(merge_lookup(stack->merge, listing->directory, name, len, &child), 0);
	assert_int_equal(child.is_directory, listed->is_directory);
	assert_memory_equal(&child.ref, &listed->ref, sizeof child.ref);
	assert_true(snprintf(path, sizeof path, "%s%s", listing->path, name) < (int)sizeof path);
	(void)buf_printf(listing->text, "%s%s", listing->text->len ? " " : "", path);
	if (child.is_directory) {
		uint32_t number = child.directory;

		assert_int_equal(
			merge_lookup(stack->merge, listing->directory, name, len, &child), 0);
		assert_int_equal(child.directory, number);
		assert_int_equal(merge_parent(stack->merge, number), listing->directory);
		(void)strcat(path, "/");
		(void)buf_append_text(listing->text, "/");
		show_mode(stack, child.ref, listing->text);
		list(stack, number, path, listing->text);
		return 0;
	}
	entry = tree_entry(stack->trees[child.ref.layer], child.ref.entry);
	if (S_ISLNK(entry->mode))
		(void)buf_printf(listing->text, "->%s",
			tree_link(stack->trees[child.ref.layer], child.ref.entry));
	else
		(void)buf_printf(listing->text, "=%u", child.ref.layer);
	return 0;
}

static void list(struct stack *stack, uint32_t directory, const char *path, struct buf *text)
{
	struct listing listing = { stack, text, directory, path };

	assert_int_equal(merge_list(stack->merge, directory, 0, show, &listing), 0);
}

static void merges(void **state)
{
	const struct merge_case *c = *state;
	struct stack stack;
	struct buf text;

	buf_init(&text, LISTING_MAX);
	stack_open(&stack, c->layers);
	list(&stack, MERGE_ROOT, "", &text);
	assert_string_equal(text.data ? text.data : "", c->expected);
	buf_release(&text);
	stack_close(&stack);
}

struct stop {
	char name[16];
	uint64_t place;
};

static int stop_at_once(
	void *context, const char *name, uint32_t len, const struct merge_child *child)
{
	struct stop *stop = context;

	assert_true(len < sizeof stop->name);
	memcpy(stop->name, name, len + 1);
	stop->place = child->place;
	return 1;
}

static void list_name_by_name(struct merge *merge, const char *const *names, size_t count)
{
	struct stop stop = { 0 };

	for (size_t i = 0; i < count; i++) {
		assert_int_equal(merge_list(merge, MERGE_ROOT, stop.place, stop_at_once, &stop), 1);
		assert_string_equal(stop.name, names[i]);
	}
	assert_int_equal(merge_list(merge, MERGE_ROOT, stop.place, stop_at_once, &stop), 0);
}

static void a_listing_goes_on_where_it_stopped(void **state)
{
	static const char *const layers[LAYERS_MAX] = { "f a\nf c\nf e", "f b\nf d\nf .wh.c" };
	static const char *const names[] = { "a", "b", "d", "e" };
	struct stack stack;

	(void)state;
	stack_open(&stack, layers);
	list_name_by_name(stack.merge, names, ARRAY_SIZE(names));
	stack_close(&stack);
}

/* They come from a program's lseek(). */
static void a_place_that_is_none_is_refused(void **state)
{
	static const char *const layers[LAYERS_MAX] = { "f a", "f b" };
	static const uint64_t places[] = { 1, UINT32_MAX, UINT64_C(1) << 32 | 2, UINT64_C(3) << 32,
		UINT64_C(4097) << 32, UINT64_C(4098) << 32, UINT64_MAX };
	struct stop stop;
	struct stack stack;

	(void)state;
	stack_open(&stack, layers);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		assert_int_equal(
			merge_list(stack.merge, MERGE_ROOT, places[i], stop_at_once, &stop),
			-EINVAL);
	stack_close(&stack);
}

static void whiteouts_cannot_be_looked_up(void **state)
{
	static const char *const layers[LAYERS_MAX] = { "f a", "f .wh.a\nd d\nf d/.wh..wh..opq" };
	struct merge_child child;
	struct stack stack;

	(void)state;
	stack_open(&stack, layers);
	assert_int_equal(merge_lookup(stack.merge, MERGE_ROOT, ".wh.a", 5, &child), -ENOENT);
	assert_int_equal(merge_lookup(stack.merge, MERGE_ROOT, "d", 1, &child), 0);
	assert_int_equal(
		merge_lookup(stack.merge, child.directory, ".wh..wh..opq", 12, &child), -ENOENT);
	stack_close(&stack);
}

static void looks_of_a_directory(void **state)
{
	static const char *const layers[LAYERS_MAX] = { "d a 0700\nf a/x", "f a/y",
		"d a 0711\nf a/z", "f a/w" };
	struct merge_child child;
	struct stack stack;

	(void)state;
	stack_open(&stack, layers);
	assert_int_equal(merge_lookup(stack.merge, MERGE_ROOT, "a", 1, &child), 0);
	/* The topmost that an archive really held, not the implied one above it. */
	assert_int_equal(child.ref.layer, 2);
	assert_int_equal(tree_entry(stack.trees[2], child.ref.entry)->mode & 07777, 0711);
	stack_close(&stack);
}

/* Equal content must be told by equal stacks, or diff -r has to walk everything. */
static void shared_directories_are_told(void **state)
{
	static const char *const layers[LAYERS_MAX] = {
		"d usr\nd usr/share\nf usr/share/x\nd usr/lib\nf usr/lib/y",
		"f usr/lib/z\nf usr/.wh.none"
	};
	const struct merge_ref *refs;
	struct merge_child usr, child;
	struct stack stack;
	uint32_t count;
	bool is_unique;

	(void)state;
	stack_open(&stack, layers);
	assert_int_equal(merge_lookup(stack.merge, MERGE_ROOT, "usr", 3, &usr), 0);
	assert_int_equal(merge_lookup(stack.merge, usr.directory, "share", 5, &child), 0);
	refs = merge_stack(stack.merge, child.directory, &count, &is_unique);
	assert_int_equal(count, 1);
	assert_int_equal(refs[0].layer, 0);
	assert_false(is_unique);
	assert_int_equal(tree_entry(stack.trees[0], refs[0].entry)->flags & TREE_SPECIAL, 0);
	assert_int_equal(merge_lookup(stack.merge, usr.directory, "lib", 3, &child), 0);
	refs = merge_stack(stack.merge, child.directory, &count, &is_unique);
	assert_int_equal(count, 2);
	assert_int_equal(refs[0].layer, 1);
	assert_false(is_unique);
	(void)merge_stack(stack.merge, usr.directory, &count, &is_unique);
	assert_false(is_unique); /* a whiteout is part of the stack */
	stack_close(&stack);
}

static void what_is_more_than_its_stack_is_told(void **state)
{
	static const char *const grafts[LAYERS_MAX] = { "d usr\nd usr/bin\nl bin usr/bin",
		"f bin/new" };
	static const char *const links[LAYERS_MAX] = { "d a\nf a/x\nd c\nf c/z", "d b\nh b/y a/x" };
	struct merge_child child;
	struct stack stack;
	uint32_t count;
	bool is_unique;

	(void)state;
	stack_open(&stack, grafts);
	assert_int_equal(merge_lookup(stack.merge, MERGE_ROOT, "usr", 3, &child), 0);
	(void)merge_stack(stack.merge, child.directory, &count, &is_unique);
	assert_true(is_unique);
	stack_close(&stack);
	stack_open(&stack, links);
	assert_int_equal(merge_lookup(stack.merge, MERGE_ROOT, "b", 1, &child), 0);
	(void)merge_stack(stack.merge, child.directory, &count, &is_unique);
	assert_true(is_unique);
	assert_int_equal(merge_lookup(stack.merge, MERGE_ROOT, "c", 1, &child), 0);
	(void)merge_stack(stack.merge, child.directory, &count, &is_unique);
	assert_false(is_unique);
	stack_close(&stack);
}

static void paths_follow_symlinks_inside_the_root(void **state)
{
	static const char *const layers[LAYERS_MAX] = {
		"d usr\nd usr/lib\nf usr/lib/x\nl lib ../usr/lib\nl up ../../..",
		"f usr/lib/y\nl last usr/lib/x"
	};
	static const struct {
		const char *path;
		int rc;
	} paths[] = { { "usr/lib/x", 0 }, { "lib/x", 0 }, { "lib/y", 0 }, { "up/usr/lib/y", 0 },
		{ "last", 0 }, { "last/x", -ENOTDIR }, { "lib/none", -ENOENT }, { "", 0 } };
	struct merge_child child;
	struct stack stack;

	(void)state;
	stack_open(&stack, layers);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		assert_int_equal(merge_walk(stack.merge, paths[i].path, &child), paths[i].rc);
	stack_close(&stack);
}

/* The paths of grafts have names of their own in listings, wherever one goes on. */
static void a_listing_goes_on_among_grafts(void **state)
{
	static const char *const layers[LAYERS_MAX] = { "l a m/x\nl b k/y\nf l", "f a/1\nf b/2" };
	static const char *const names[] = { "a", "b", "k", "l", "m" };
	struct stack stack;

	(void)state;
	stack_open(&stack, layers);
	list_name_by_name(stack.merge, names, ARRAY_SIZE(names));
	stack_close(&stack);
}

static void a_walk_numbers_directories(void **state)
{
	static const char *const layers[LAYERS_MAX] = { "d a\nd a/b\nl s a", "f a/b/c" };
	struct merge_child walked, child;
	struct stack stack;

	(void)state;
	stack_open(&stack, layers);
	assert_int_equal(merge_walk(stack.merge, "s/b", &walked), 0);
	assert_true(walked.is_directory);
	assert_int_equal(merge_lookup(stack.merge, walked.directory, "c", 1, &child), 0);
	assert_int_equal(
		merge_parent(stack.merge, merge_parent(stack.merge, walked.directory)), MERGE_ROOT);
	assert_int_equal(merge_walk(stack.merge, "", &walked), 0);
	assert_int_equal(walked.directory, MERGE_ROOT);
	stack_close(&stack);
}

/* Neither depth nor a million symlinks' worth of links may take the stack, or square time. */
static void layers_may_be_deep(void **state)
{
	enum { DEEP = 20000 };
	char *lower = malloc(2 * DEEP + 16), *upper = malloc(2 * DEEP + 16),
	     *path = malloc(2 * DEEP + 16);
	struct stack stack = { .count = 2 };
	struct merge_child child;

	(void)state;
	for (size_t i = 0; i < DEEP; i++)
		memcpy(path + 2 * i, "d/", 3);
	for (uint32_t i = 0; i < 2; i++) {
		struct tar_entry entry = { .path = i ? upper : lower, .link = "", .mode = 0644 };
		struct test_layer *layer = &stack.layers[i];
		struct tree_builder *builder = NULL;

		(void)sprintf(i ? upper : lower, "%s%u", path, i);
		entry.path_len = strlen(entry.path);
		assert_int_equal(tree_builder_new(&builder, NULL), 0);
		assert_int_equal(tree_builder_add(builder, &entry, NULL), 0);
		assert_int_equal(tree_builder_finish(builder, &layer->image, &layer->len, NULL), 0);
		tree_builder_free(builder);
		assert_int_equal(tree_open(&layer->tree, layer->image, layer->len, NULL), 0);
		stack.trees[i] = &layer->tree;
	}
	assert_int_equal(merge_new(&stack.merge, stack.trees, 2, NULL), 0);
	assert_int_equal(merge_walk(stack.merge, lower, &child), 0);
	assert_int_equal(child.ref.layer, 0);
	assert_int_equal(merge_walk(stack.merge, upper, &child), 0);
	assert_int_equal(child.ref.layer, 1);
	assert_int_equal(merge_directories(stack.merge), DEEP + 1);
	stack_close(&stack);
	free(lower);
	free(upper);
	free(path);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(merge_cases) + 9] = {
		cmocka_unit_test(a_listing_goes_on_where_it_stopped),
		cmocka_unit_test(a_place_that_is_none_is_refused),
		cmocka_unit_test(whiteouts_cannot_be_looked_up),
		cmocka_unit_test(looks_of_a_directory),
		cmocka_unit_test(shared_directories_are_told),
		cmocka_unit_test(what_is_more_than_its_stack_is_told),
		cmocka_unit_test(paths_follow_symlinks_inside_the_root),
		cmocka_unit_test(a_listing_goes_on_among_grafts),
		cmocka_unit_test(a_walk_numbers_directories),
		cmocka_unit_test(layers_may_be_deep),
	};

	for (size_t i = 0; i < ARRAY_SIZE(merge_cases); i++)
		tests[i + 9] = (struct CMUnitTest){ .name = merge_cases[i].name,
			.test_func = merges,
			.initial_state = (void *)&merge_cases[i] };
	return cmocka_run_group_tests_name("merge", tests, NULL, NULL);
}
