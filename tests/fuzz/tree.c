/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers of any entries: built, opened, merged, and walked.
 *
 * Each byte of the input is a choice among few names, so that entries meet:
 * a layer ends at 0xff, an entry is its type, its path and its link's target.  What is
 * listed must be what is found; no whiteout may show; an image with one byte changed
 * may be refused, but not read outside.
 */
#include "model/tree/merge.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/cleanup.h"
#include "model/tar/tar.h"

enum { LAYERS_MAX = 4, ENTRIES_MAX = 64, COMPONENTS_MAX = 4, VISITS_MAX = 4096 };

CLEANUP_POINTER(tree_builder_freep, struct tree_builder, tree_builder_free)
CLEANUP_POINTER(merge_freep, struct merge, merge_free)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *at, *end;
};

static void require(bool holds)
{
	if (!holds)
		abort();
}

static uint8_t next(struct input *input)
{
	return input->at < input->end ? *input->at++ : 0;
}

static void next_path(struct input *input, char path[static 64])
{
	static const char *const names[16] = { "a", "b", "c", "d", "ab", "", ".", "..", ".wh.a",
		".wh.b", ".wh.", ".wh..wh..opq", ".wh..wh.plnk", "e", "a", "b" };
	uint8_t count = next(input) % (COMPONENTS_MAX + 1);

	path[0] = '\0';
	for (uint8_t i = 0; i < count; i++) {
		strcat(path, i ? "/" : "");
		strcat(path, names[next(input) % 16]);
	}
}

static void add_entry(struct tree_builder *builder, struct input *input, uint8_t choice)
{
	static const struct tar_segment segments[] = { { 0, 512 }, { 4096, 1 } };
	static const struct tar_xattr xattr = { "user.a", "\0b", 2 };
	char path[64], link[64];
	struct tar_entry entry = { .type = (enum tar_type)(choice % 7), .path = path, .link = "" };

	next_path(input, path);
	entry.path_len = strlen(path);
	if (entry.type == TAR_SYMLINK || entry.type == TAR_HARDLINK) {
		next_path(input, link);
		entry.link = link;
		entry.link_len = strlen(link);
	}
	if (entry.type == TAR_REGULAR) {
		entry.size = 8192;
		entry.is_sparse = choice & 0x40;
		entry.segments = segments;
		entry.segment_count = entry.is_sparse ? ARRAY_SIZE(segments) : 0;
	}
	entry.xattrs = &xattr;
	entry.xattr_count = choice >> 7;
	require(tree_builder_add(builder, &entry, NULL) == 0);
}

static void build(struct input *input, void **ret_image, size_t *ret_len)
{
	CLEANUP(tree_builder_freep) struct tree_builder *builder = NULL;

	require(tree_builder_new(&builder, NULL) == 0);
	for (int i = 0; i < ENTRIES_MAX && input->at < input->end; i++) {
		uint8_t choice = next(input);

		if (choice == 0xff)
			break;
		add_entry(builder, input, choice);
	}
	require(tree_builder_finish(builder, ret_image, ret_len, NULL) == 0);
}

static void read_tree(const struct tree *tree)
{
	volatile size_t sum = 0; /* so that nothing is left out */

	for (uint32_t i = 0; i < tree->entry_count; i++) {
		const struct tree_entry *entry = tree_entry(tree, i);
		struct tree_segment single;
		struct tree_xattr xattr;
		uint32_t count;
		const struct tree_segment *segments = tree_segments(tree, i, &single, &count);

		for (uint32_t k = 0; k < count; k++)
			sum += segments[k].size;
		for (uint32_t k = 0; k < 16 && tree_xattr(tree, i, k, &xattr); k++)
			sum += strlen(xattr.name) + xattr.value_len;
		if (S_ISLNK(entry->mode) || entry->flags & TREE_LINK_OUTSIDE)
			sum += strlen(tree_link(tree, i));
		if (i)
			require(tree_lookup(tree, entry->parent, tree_name(tree, i),
					entry->name_len) == i);
	}
	(void)sum;
}

/* Changes one byte of a copy. */
static void damage(struct input *input, const void *image, size_t len)
{
	size_t at = ((size_t)next(input) << 8 | next(input)) % len;
	uint8_t *copy = malloc(len);
	struct tree tree;

	require(copy != NULL);
	memcpy(copy, image, len);
	copy[at] ^= (uint8_t)(next(input) | 1);
	if (tree_open(&tree, copy, len, NULL) == 0)
		read_tree(&tree);
	free(copy);
}

struct visit {
	struct merge *merge;
	uint32_t directory;
	uint32_t *visits;
};

static int visit_child(
	void *context, const char *name, uint32_t len, const struct merge_child *listed)
{
	struct visit *visit = context;
	struct visit below = { visit->merge, 0, visit->visits };
	struct merge_child child;

	require(!tree_whiteout_of(name) && strlen(name) == len);
	require(merge_lookup(visit->merge, visit->directory, name, len, &child) == 0);
	require(child.is_directory == listed->is_directory &&
		child.ref.layer == listed->ref.layer && child.ref.entry == listed->ref.entry);
	if (++*visit->visits > VISITS_MAX)
		return 1;
	if (!child.is_directory)
		return 0;
	require(merge_parent(visit->merge, child.directory) == visit->directory);
	below.directory = child.directory;
	return merge_list(visit->merge, child.directory, 0, visit_child, &below);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, data + size };
	CLEANUP(merge_freep) struct merge *merge = NULL;
	void *images[LAYERS_MAX] = { 0 };
	struct tree trees[LAYERS_MAX];
	const struct tree *stack[LAYERS_MAX];
	uint32_t count = 0, visits = 0;
	struct visit visit;

	for (; count < LAYERS_MAX && (!count || input.at < input.end); count++) {
		size_t len;

		build(&input, &images[count], &len);
		require(tree_open(&trees[count], images[count], len, NULL) == 0);
		read_tree(&trees[count]);
		damage(&input, images[count], len);
		stack[count] = &trees[count];
	}
	require(merge_new(&merge, stack, count, NULL) == 0);
	visit = (struct visit){ merge, MERGE_ROOT, &visits };
	(void)merge_list(merge, MERGE_ROOT, 0, visit_child, &visit);
	for (uint32_t i = 0; i < count; i++)
		free(images[i]);
	return 0;
}
