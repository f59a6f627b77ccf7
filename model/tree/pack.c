/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a build: hard links whose target had not come are settled, the nodes are
 * numbered breadth first, and everything is written down as one image.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/cleanup.h"
#include "model/error.h"
#include "model/tree/internal.h"

/* --- hard links whose target had not come --- */

/* Pending links that lead to each other, from the first to the last that was reached. */
struct chain {
	uint32_t *nodes;
	uint32_t count, capacity;
};

static int chain_push(struct chain *chain, struct node *node, uint32_t number)
{
	uint32_t *nodes = array_grow(chain->nodes, &chain->capacity, chain->count, sizeof *nodes);

	if (!nodes)
		return -ENOMEM;
	chain->nodes = nodes;
	chain->nodes[chain->count++] = number;
	node->kind = NODE_SETTLING;
	return 0;
}

static void chain_drop(struct tree_builder *builder, const struct chain *chain)
{
	for (uint32_t i = 0; i < chain->count; i++) {
		builder->nodes[chain->nodes[i]].kind = NODE_DROPPED;
		builder_drop(builder);
	}
}

static int chain_share(
	struct tree_builder *builder, const struct chain *chain, uint32_t count, uint32_t target)
{
	uint32_t inode;
	int rc = count ? builder_share(builder, target, &inode) : 0;

	for (uint32_t i = 0; !rc && i < count; i++) {
		builder->nodes[chain->nodes[i]].kind = NODE_NAME;
		builder->nodes[chain->nodes[i]].u.inode = inode;
		builder->nodes[inode].links++;
	}
	return rc;
}

/* Puts a component in front of a path that ends at text[TREE_LINK_MAX]. */
static bool prepend(char *text, size_t *at, const char *name, size_t len)
{
	size_t slash = *at < TREE_LINK_MAX;

	if (*at < len + slash)
		return false;
	if (slash)
		text[--*at] = '/';
	*at -= len;
	memcpy(text + *at, name, len);
	return true;
}

/*
 * The last link of a chain leads out of the layer.  What this layer knows of the
 * way there (its symlinks) is followed here, since lower layers do not have it.
 */
static int set_outside(struct tree_builder *builder, uint32_t number, uint32_t directory)
{
	struct node *node = &builder->nodes[number];
	const char *link = builder->strings.bytes + node->u.link.offset;
	const struct buf *missing = &builder->link_missing;
	char text[TREE_LINK_MAX + 1] = "";
	size_t at = TREE_LINK_MAX, parent_len, len;
	const char *name;
	bool fits;

	path_split(link, node->u.link.len, &parent_len, &name, &len);
	fits = prepend(text, &at, name, len);
	if (fits && missing->len)
		fits = prepend(text, &at, missing->data, missing->len);
	for (; fits && directory != PATH_ROOT; directory = builder->nodes[directory].parent)
		fits = prepend(text, &at, builder->strings.bytes + builder->nodes[directory].name,
			builder->nodes[directory].name_len);
	if (!fits)
		return -ENAMETOOLONG;
	node->kind = NODE_PLAIN;
	node->flags = TREE_LINK_OUTSIDE;
	node->u.link.len = (uint32_t)(TREE_LINK_MAX - at);
	return strings_add(&builder->strings, STRINGS_TEXT, text + at, TREE_LINK_MAX - at,
		&node->u.link.offset);
}

static int settle(struct tree_builder *builder, uint32_t first, struct chain *chain)
{
	uint32_t directory, target = first, last;
	int rc = 0;

	chain->count = 0;
	do {
		const struct node *node = &builder->nodes[target];

		last = target;
		rc = chain_push(chain, &builder->nodes[last], last);
		if (!rc)
			rc = builder_find(builder, builder->strings.bytes + node->u.link.offset,
				node->u.link.len, &directory, &target);
		if (rc < 0)
			return rc;
	} while (!rc && target != TREE_NONE && builder->nodes[target].kind == NODE_PENDING);

	if (!rc && target == TREE_NONE) {
		rc = set_outside(builder, last, directory);
		if (!rc)
			return chain_share(builder, chain, chain->count - 1, last);
	} else if (!rc && builder->nodes[target].kind != NODE_SETTLING &&
		   builder->nodes[target].kind != NODE_DROPPED &&
		   !S_ISDIR(builder->nodes[target].mode)) {
		return chain_share(builder, chain, chain->count, target);
	}
	if (rc < 0 && rc != -ENAMETOOLONG)
		return rc;
	chain_drop(builder, chain); /* a ring, a directory, or no such path can be */
	return 0;
}

static int settle_all(struct tree_builder *builder)
{
	struct chain chain = { 0 };
	int rc = 0;

	for (uint32_t i = 0; !rc && i < builder->node_count; i++)
		if (builder->nodes[i].kind == NODE_PENDING)
			rc = settle(builder, i, &chain);
	free(chain.nodes);
	return rc;
}

/* --- numbers --- */

struct sort_key {
	uint64_t prefix; /* first bytes of the name: most comparisons look no further */
	const char *name;
	uint32_t name_len;
	uint32_t node;
};

static int compare_keys(const void *a, const void *b)
{
	const struct sort_key *left = a, *right = b;

	if (left->prefix != right->prefix)
		return left->prefix < right->prefix ? -1 : 1;
	return name_compare(left->name, left->name_len, right->name, right->name_len);
}

static struct sort_key key_of(const struct tree_builder *builder, uint32_t number)
{
	const struct node *node = &builder->nodes[number];
	struct sort_key key = {
		.name = builder->strings.bytes + node->name,
		.name_len = node->name_len,
		.node = number,
	};

	for (size_t i = 0; i < sizeof key.prefix; i++)
		key.prefix =
			key.prefix << 8 | (i < node->name_len ? (unsigned char)key.name[i] : 0);
	return key;
}

/* Which node each entry is. */
struct numbering {
	uint32_t *nodes;
	uint32_t count;
	struct sort_key *keys;
	uint32_t key_capacity;
};

/* Appends the children of a directory in order; its list of them ends here. */
static int number_children(
	struct tree_builder *builder, struct numbering *numbering, uint32_t directory)
{
	uint32_t next = builder->nodes[directory].u.children.first, count = 0;

	for (; next != TREE_NONE; next = builder->nodes[next].sibling) {
		struct sort_key *keys;

		if (builder->nodes[next].kind == NODE_DROPPED)
			continue;
		keys = array_grow(numbering->keys, &numbering->key_capacity, count, sizeof *keys);
		if (!keys)
			return -ENOMEM;
		numbering->keys = keys;
		keys[count++] = key_of(builder, next);
	}
	if (count > 1)
		qsort(numbering->keys, count, sizeof *numbering->keys, compare_keys);
	builder->nodes[directory].u.children.first = numbering->count;
	builder->nodes[directory].u.children.count = count;
	for (uint32_t i = 0; i < count; i++) {
		builder->nodes[numbering->keys[i].node].number = numbering->count;
		numbering->nodes[numbering->count++] = numbering->keys[i].node;
	}
	return 0;
}

static int number_all(struct tree_builder *builder, struct numbering *numbering)
{
	int rc = 0;

	numbering->nodes = malloc(builder->named_count * sizeof *numbering->nodes);
	if (!numbering->nodes)
		return -ENOMEM;
	numbering->nodes[0] = PATH_ROOT;
	numbering->count = 1;
	for (uint32_t i = 0; !rc && i < numbering->count; i++) {
		const struct node *node = &builder->nodes[numbering->nodes[i]];

		if (node->kind == NODE_PLAIN && S_ISDIR(node->mode))
			rc = number_children(builder, numbering, numbering->nodes[i]);
	}
	return rc;
}

/* --- the image --- */

static void write_entry(
	struct tree_builder *builder, uint32_t number, uint32_t own, struct tree_entry *entries)
{
	const struct node *node = &builder->nodes[own];
	struct node *content = builder_content(builder, own);
	struct tree_entry *entry = &entries[number];

	if (node->kind == NODE_NAME && content->number == TREE_NONE)
		content->number = number; /* the first of the names stands for all */
	*entry = (struct tree_entry){
		.name = node->name,
		.name_len = node->name_len,
		.flags = content->flags,
		.mode = content->mode,
		.uid = content->uid,
		.gid = content->gid,
		.nlink = node->kind == NODE_NAME ? content->links : 1,
		.mtime = content->mtime,
		.mtime_nsec = content->mtime_nsec,
		.parent = builder->nodes[node->parent].number,
		.size = content->size,
		.extra = content->extra,
		.inode = node->kind == NODE_NAME ? content->number : number,
	};
	memcpy(&entry->u, &content->u, sizeof entry->u);
	if (S_ISDIR(entry->mode)) {
		entry->nlink = 2;
		entry->flags |=
			entry->flags & TREE_IMPLIED ? TREE_HOLLOW : 0; /* until a child says no */
		if (number)
			entries[entry->parent].nlink++;
	}
}

/* From the last to the first, so that a parent hears of what is deep below it. */
static void set_flags(struct tree_entry *entries, uint32_t count, const char *strings)
{
	for (uint32_t i = count; i-- > 1;) {
		struct tree_entry *parent = &entries[entries[i].parent];
		const char *name = strings + entries[i].name;

		if (tree_whiteout_of(name))
			parent->flags |= TREE_WHITEOUTS | TREE_SPECIAL;
		else if (!(entries[i].flags & TREE_HOLLOW))
			parent->flags &= (uint16_t)~TREE_HOLLOW;
		if (!strcmp(name, WHITEOUT_OPAQUE))
			parent->flags |= TREE_OPAQUE;
		if (entries[i].flags & (TREE_SPECIAL | TREE_LINK_OUTSIDE))
			parent->flags |= TREE_SPECIAL;
	}
}

static int write_image(struct tree_builder *builder, const struct numbering *numbering,
	void **ret_image, size_t *ret_len)
{
	uint32_t strings_len = (builder->strings.len + 7) & ~7u;
	size_t entries_len = (size_t)numbering->count * sizeof(struct tree_entry);
	size_t len = sizeof(struct tree_header) + entries_len + strings_len;
	struct tree_entry *entries;
	char *image = malloc(len);

	if (!image)
		return -ENOMEM;
	*(struct tree_header *)(void *)image = (struct tree_header){
		.magic = TREE_MAGIC,
		.byte_order = TREE_BYTE_ORDER,
		.version = TREE_VERSION,
		.image_len = len,
		.entry_count = numbering->count,
		.strings_len = strings_len,
	};
	entries = (struct tree_entry *)(void *)(image + sizeof(struct tree_header));
	for (uint32_t i = 0; i < numbering->count; i++)
		write_entry(builder, i, numbering->nodes[i], entries);
	set_flags(entries, numbering->count, builder->strings.bytes);
	memcpy(image + len - strings_len, builder->strings.bytes, builder->strings.len);
	memset(image + len - strings_len + builder->strings.len, 0,
		strings_len - builder->strings.len);
	*ret_image = image;
	*ret_len = len;
	return 0;
}

int tree_builder_finish(
	struct tree_builder *builder, void **ret_image, size_t *ret_len, struct error *err)
{
	struct numbering numbering = { 0 };
	int rc = settle_all(builder);

	if (!rc)
		rc = number_all(builder, &numbering);
	if (!rc)
		rc = write_image(builder, &numbering, ret_image, ret_len);
	free(numbering.nodes);
	free(numbering.keys);
	return rc ? error_set(err, -rc, "finish the tree: %s", strerror(-rc)) : 0;
}
