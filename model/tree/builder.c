/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries are applied in archive order to a tree of nodes, as an extractor
 * applies them to a disk.  Three things hold between calls:
 *
 *  1. a name that is replaced keeps its node, so nothing ever leaves the middle of a list
 *     of siblings; only whole subtrees go, to the list of free nodes.
 *  2. content that has, or had, several names lies in a NODE_INODE of its own,
 *     so any of its names may go without harm to the others.
 *  3. nothing is changed before it is clear that the entry is not left out.
 */
#include "model/tree/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/cleanup.h"
#include "model/error.h"
#include "model/tar/tar.h"

enum {
	DROPPED = 1, /* the entry is left out; errors are negative */
	BUCKETS_MIN = 256,
	NODES_MAX = 2 * TREE_ENTRIES_MAX, /* names, and inodes of hard links */
};

/* Where an entry goes: builder->missing lies between the directory and its name. */
struct place {
	uint32_t directory;
	const char *name;
	size_t len;
};

CLEANUP_POINTER(builder_freep, struct tree_builder, tree_builder_free)

/* --- nodes --- */

static uint32_t bucket_of(const struct tree_builder *builder, uint32_t parent, uint32_t name)
{
	uint64_t pair = (uint64_t)parent << 32 | name;

	return (uint32_t)hash_bytes(&builder->strings.key, pair, NULL, 0) &
	       (builder->bucket_count - 1);
}

static bool is_named(const struct node *node)
{
	return node->kind != NODE_FREE && node->kind != NODE_INODE;
}

static int grow_buckets(struct tree_builder *builder)
{
	uint32_t count = builder->bucket_count ? builder->bucket_count * 2 : BUCKETS_MIN;
	uint32_t *buckets = malloc(count * sizeof *buckets);

	if (!buckets)
		return -ENOMEM;
	memset(buckets, 0xff, count * sizeof *buckets);
	free(builder->buckets);
	builder->buckets = buckets;
	builder->bucket_count = count;
	for (uint32_t i = PATH_ROOT + 1; i < builder->node_count; i++) {
		struct node *node = &builder->nodes[i];
		uint32_t bucket;

		if (!is_named(node))
			continue;
		bucket = bucket_of(builder, node->parent, node->name);
		node->bucket_next = buckets[bucket];
		buckets[bucket] = i;
	}
	return 0;
}

/* The child of that name, which is an offset. */
static uint32_t child_at(const struct tree_builder *builder, uint32_t parent, uint32_t name)
{
	uint32_t i = builder->buckets[bucket_of(builder, parent, name)];

	while (i != TREE_NONE &&
		(builder->nodes[i].parent != parent || builder->nodes[i].name != name))
		i = builder->nodes[i].bucket_next;
	return i;
}

static uint32_t find_child(
	const struct tree_builder *builder, uint32_t parent, const char *name, size_t len)
{
	uint32_t offset = strings_find(&builder->strings, name, len);

	return offset == TREE_NONE ? TREE_NONE : child_at(builder, parent, offset);
}

static int node_alloc(struct tree_builder *builder, uint32_t *ret)
{
	struct node *nodes;

	if (builder->free_nodes != TREE_NONE) {
		*ret = builder->free_nodes;
		builder->free_nodes = builder->nodes[*ret].sibling;
		return 0;
	}
	if (builder->node_count >= NODES_MAX)
		return -EFBIG;
	nodes = array_grow(
		builder->nodes, &builder->node_capacity, builder->node_count, sizeof *nodes);
	if (!nodes)
		return -ENOMEM;
	builder->nodes = nodes;
	*ret = builder->node_count++;
	return 0;
}

static void node_release(struct tree_builder *builder, uint32_t number)
{
	builder->nodes[number].kind = NODE_FREE;
	builder->nodes[number].sibling = builder->free_nodes;
	builder->free_nodes = number;
}

static int child_new(
	struct tree_builder *builder, uint32_t parent, uint32_t name, size_t len, uint32_t *ret)
{
	struct node *node;
	uint32_t bucket;
	int rc = 0;

	if (builder->named_count >= TREE_ENTRIES_MAX)
		return -EFBIG;
	/* Each node in a bucket that is not the one looked for is a cache miss. */
	if (builder->named_count >= builder->bucket_count / 2)
		rc = grow_buckets(builder);
	if (!rc)
		rc = node_alloc(builder, ret);
	if (rc)
		return rc;
	node = &builder->nodes[*ret];
	*node = (struct node){
		.name = name,
		.name_len = (uint16_t)len,
		.kind = NODE_PLAIN,
		.parent = parent,
		.sibling = builder->nodes[parent].u.children.first,
		.number = TREE_NONE,
	};
	builder->nodes[parent].u.children.first = *ret;
	bucket = bucket_of(builder, parent, name);
	node->bucket_next = builder->buckets[bucket];
	builder->buckets[bucket] = *ret;
	builder->named_count++;
	return 0;
}

struct node *builder_content(const struct tree_builder *builder, uint32_t number)
{
	struct node *node = &builder->nodes[number];

	return node->kind == NODE_NAME ? &builder->nodes[node->u.inode] : node;
}

static bool is_directory(const struct tree_builder *builder, uint32_t number)
{
	return builder->nodes[number].kind == NODE_PLAIN && S_ISDIR(builder->nodes[number].mode);
}

static void inode_unref(struct tree_builder *builder, uint32_t inode)
{
	if (--builder->nodes[inode].links == 0)
		node_release(builder, inode);
}

static void unlink_bucket(struct tree_builder *builder, uint32_t number)
{
	const struct node *node = &builder->nodes[number];
	uint32_t *link = &builder->buckets[bucket_of(builder, node->parent, node->name)];

	while (*link != number)
		link = &builder->nodes[*link].bucket_next;
	*link = node->bucket_next;
}

/* All that is below a directory: a list of what is to go, which each directory's children join. */
static void remove_children(struct tree_builder *builder, uint32_t directory)
{
	uint32_t next = builder->nodes[directory].u.children.first;

	while (next != TREE_NONE) {
		uint32_t number = next;
		struct node *node = &builder->nodes[number];

		next = node->sibling;
		if (is_directory(builder, number) && node->u.children.first != TREE_NONE) {
			uint32_t last = node->u.children.first;

			while (builder->nodes[last].sibling != TREE_NONE)
				last = builder->nodes[last].sibling;
			builder->nodes[last].sibling = next;
			next = node->u.children.first;
		}
		unlink_bucket(builder, number);
		if (node->kind == NODE_NAME)
			inode_unref(builder, node->u.inode);
		builder->named_count--;
		node_release(builder, number);
	}
}

/* Takes the content from a name; it is then nothing yet. */
static void clear(struct tree_builder *builder, uint32_t number)
{
	struct node *node = &builder->nodes[number];

	builder->memo_directory = TREE_NONE;
	if (is_directory(builder, number))
		remove_children(builder, number);
	else if (node->kind == NODE_NAME)
		inode_unref(builder, node->u.inode);
	node->kind = NODE_PLAIN;
	node->mode = 0;
	node->flags = 0;
	node->extra = 0;
}

/* The node of that name, new or cleared; a directory stays when a directory comes over it. */
static int take_name(struct tree_builder *builder, uint32_t parent, const char *name, size_t len,
	bool wants_directory, uint32_t *ret)
{
	uint32_t known = builder->strings.len, offset;
	int rc = strings_add(&builder->strings, STRINGS_TEXT, name, len, &offset);

	if (rc)
		return rc;
	/* A name that was nowhere is not here. */
	*ret = offset < known ? child_at(builder, parent, offset) : TREE_NONE;
	if (*ret == TREE_NONE)
		return child_new(builder, parent, offset, len, ret);
	if (wants_directory && is_directory(builder, *ret))
		return 0;
	clear(builder, *ret);
	if (wants_directory) /* what was here has already removed what lower layers have */
		builder->nodes[*ret].flags = TREE_OPAQUE;
	return 0;
}

int builder_share(struct tree_builder *builder, uint32_t number, uint32_t *ret_inode)
{
	struct node *node;
	uint32_t inode;
	int rc;

	if (builder->nodes[number].kind == NODE_NAME) {
		*ret_inode = builder->nodes[number].u.inode;
		return 0;
	}
	rc = node_alloc(builder, &inode);
	if (rc)
		return rc;
	node = &builder->nodes[number];
	builder->nodes[inode] = *node;
	builder->nodes[inode].kind = NODE_INODE;
	builder->nodes[inode].links = 1;
	builder->nodes[inode].number = TREE_NONE;
	node->kind = NODE_NAME;
	node->u.inode = inode;
	*ret_inode = inode;
	return 0;
}

void builder_drop(struct tree_builder *builder)
{
	if (builder->dropped < UINT32_MAX)
		builder->dropped++;
}

/* --- paths --- */

static int step(void *context, uint32_t *at, const char *name, size_t len, const char **ret_target)
{
	const struct tree_builder *builder = context;
	uint32_t child = find_child(builder, *at, name, len);
	const struct node *content;

	if (child == TREE_NONE)
		return PATH_NONE;
	content = builder_content(builder, child);
	if (content->kind != NODE_PLAIN && content->kind != NODE_INODE)
		return PATH_NONE;
	if (S_ISDIR(content->mode)) {
		*at = child;
		return PATH_DIRECTORY;
	}
	if (!S_ISLNK(content->mode))
		return PATH_NONE;
	*ret_target = builder->strings.bytes + content->u.link.offset;
	return PATH_SYMLINK;
}

static uint32_t parent_of(void *context, uint32_t at)
{
	const struct tree_builder *builder = context;

	return builder->nodes[at].parent; /* the root's is the root */
}

static const struct path_ops builder_path_ops = { step, parent_of };

/* A path that cannot be walked drops the entry; other failures are ours. */
static int drop_unless_fatal(int rc)
{
	return rc == -ELOOP || rc == -ENAMETOOLONG || rc == -EINVAL ? DROPPED : rc;
}

static int clean(struct buf *ret, const char *path, size_t len)
{
	return drop_unless_fatal(path_clean(ret, path, len));
}

static bool is_memo(const struct tree_builder *builder, size_t parent_len)
{
	return builder->memo_directory != TREE_NONE && builder->memo.len == parent_len &&
	       !memcmp(builder->memo.data, builder->path.data, parent_len);
}

/* Where builder->path leads; nothing is made yet. */
static int find_place(struct tree_builder *builder, struct place *ret)
{
	const struct buf *path = &builder->path;
	size_t parent_len;

	path_split(path->data, path->len, &parent_len, &ret->name, &ret->len);
	if (parent_len && is_memo(builder, parent_len)) {
		buf_clear(&builder->missing);
		ret->directory = builder->memo_directory;
		return 0;
	}
	ret->directory = PATH_ROOT;
	return drop_unless_fatal(path_resolve(&builder_path_ops, builder, path->data, parent_len,
		&ret->directory, &builder->missing));
}

int builder_find(struct tree_builder *builder, const char *path, size_t len,
	uint32_t *ret_directory, uint32_t *ret_node)
{
	size_t parent_len, name_len;
	const char *name;
	int rc;

	path_split(path, len, &parent_len, &name, &name_len);
	*ret_directory = PATH_ROOT;
	*ret_node = TREE_NONE;
	rc = path_resolve(&builder_path_ops, builder, path, parent_len, ret_directory,
		&builder->link_missing);
	if (!rc && !builder->link_missing.len)
		*ret_node = find_child(builder, *ret_directory, name, name_len);
	return drop_unless_fatal(rc);
}

static int make_implied(struct tree_builder *builder, const char *name, size_t len,
	const struct tar_entry *entry, uint32_t *directory)
{
	struct node *node;
	uint32_t number;
	int rc = take_name(builder, *directory, name, len, true, &number);

	if (rc)
		return rc;
	node = &builder->nodes[number];
	if (!S_ISDIR(node->mode)) {
		node->mode = S_IFDIR | 0755;
		node->uid = node->gid = 0;
		node->mtime = entry->mtime;
		node->mtime_nsec = entry->mtime_nsec;
		node->size = 0;
		node->flags |= TREE_IMPLIED;
		node->u.children.first = TREE_NONE;
	}
	*directory = number;
	return 0;
}

/* Makes the directories that are missing on the way to a place. */
static int make_parents(
	struct tree_builder *builder, struct place *place, const struct tar_entry *entry)
{
	const char *at = builder->missing.data;
	const char *end = at ? at + builder->missing.len : NULL;
	size_t parent_len = (size_t)(place->name - builder->path.data);
	int rc = 0;

	while (!rc && at < end) {
		const char *slash = memchr(at, '/', (size_t)(end - at));
		size_t len = (size_t)((slash ? slash : end) - at);

		rc = make_implied(builder, at, len, entry, &place->directory);
		at += len + (slash != NULL);
	}
	if (rc || !parent_len || is_memo(builder, parent_len - 1))
		return rc;
	buf_clear(&builder->memo);
	rc = buf_append(&builder->memo, builder->path.data, parent_len - 1);
	builder->memo_directory = place->directory;
	return rc;
}

/* --- content --- */

static const uint32_t type_bits[] = {
	[TAR_REGULAR] = S_IFREG,
	[TAR_HARDLINK] = S_IFREG,
	[TAR_SYMLINK] = S_IFLNK,
	[TAR_CHAR] = S_IFCHR,
	[TAR_BLOCKDEV] = S_IFBLK,
	[TAR_DIRECTORY] = S_IFDIR,
	[TAR_FIFO] = S_IFIFO,
};

static int add_xattrs(struct strings *strings, const struct tar_entry *entry, uint32_t *ret_offset)
{
	CLEANUP(freep) struct xattr_record *records = calloc(entry->xattr_count, sizeof *records);
	int rc = records ? 0 : -ENOMEM;

	for (size_t i = 0; !rc && i < entry->xattr_count; i++) {
		const struct tar_xattr *xattr = &entry->xattrs[i];
		size_t name_len = strlen(xattr->name);

		if (name_len > TREE_STRINGS_MAX || xattr->value_len > TREE_STRINGS_MAX)
			return -EFBIG;
		records[i].name_len = (uint32_t)name_len;
		records[i].value_len = (uint32_t)xattr->value_len;
		rc = strings_add(strings, STRINGS_TEXT, xattr->name, name_len, &records[i].name);
		if (!rc)
			rc = strings_add(strings, STRINGS_RECORD, xattr->value, xattr->value_len,
				&records[i].value);
	}
	if (!rc)
		rc = strings_add(strings, STRINGS_RECORD, records,
			entry->xattr_count * sizeof *records, ret_offset);
	return rc;
}

static int add_segments(
	struct strings *strings, const struct tar_entry *entry, struct tree_extra *extra)
{
	CLEANUP(freep)
	struct tree_segment *segments = calloc(entry->segment_count + 1, sizeof *segments);
	uint64_t data_offset = entry->data_offset;

	if (!segments)
		return -ENOMEM;
	for (size_t i = 0; i < entry->segment_count; i++) {
		const struct tar_segment *from = &entry->segments[i];

		if (!from->size) /* only marks where the file ends */
			continue;
		segments[extra->segment_count++] =
			(struct tree_segment){ from->offset, from->size, data_offset };
		data_offset += from->size;
	}
	return strings_add(strings, STRINGS_RECORD, segments,
		extra->segment_count * sizeof *segments, &extra->segments);
}

static int add_extra(struct strings *strings, const struct tar_entry *entry, uint32_t *ret_offset)
{
	bool is_sparse = entry->type == TAR_REGULAR && entry->is_sparse;
	struct tree_extra extra = { .xattr_count = (uint32_t)entry->xattr_count,
		.is_sparse = is_sparse };
	int rc = 0;

	*ret_offset = 0;
	if (!entry->xattr_count && !is_sparse)
		return 0;
	if (entry->xattr_count)
		rc = add_xattrs(strings, entry, &extra.xattrs);
	if (!rc && is_sparse)
		rc = add_segments(strings, entry, &extra);
	return rc ? rc : strings_add(strings, STRINGS_RECORD, &extra, sizeof extra, ret_offset);
}

static void set_owner_and_times(struct node *node, const struct tar_entry *entry)
{
	node->mode = type_bits[entry->type] | (entry->mode & 07777);
	node->uid = entry->uid;
	node->gid = entry->gid;
	node->mtime = entry->mtime;
	node->mtime_nsec = entry->mtime_nsec;
	node->size = 0;
	node->flags &= TREE_OPAQUE;
}

/* Gives a name that is cleared, or a directory for a directory, what the entry says. */
static int fill(struct tree_builder *builder, uint32_t number, const struct tar_entry *entry)
{
	struct node *node = &builder->nodes[number];
	bool had_children = S_ISDIR(node->mode);
	int rc = add_extra(&builder->strings, entry, &node->extra);

	if (rc)
		return rc;
	set_owner_and_times(node, entry);
	switch (entry->type) {
	case TAR_REGULAR:
		node->size = entry->size;
		node->u.data_offset = entry->data_offset;
		break;
	case TAR_SYMLINK:
		node->size = entry->link_len;
		node->u.link.len = (uint32_t)entry->link_len;
		return strings_add(&builder->strings, STRINGS_TEXT, entry->link, entry->link_len,
			&node->u.link.offset);
	case TAR_CHAR:
	case TAR_BLOCKDEV:
		node->u.device.major = entry->dev_major;
		node->u.device.minor = entry->dev_minor;
		break;
	case TAR_DIRECTORY:
		if (!had_children)
			node->u.children.first = TREE_NONE;
		break;
	case TAR_HARDLINK: /* only a whiteout is filled as one: an empty file */
	case TAR_FIFO:
		node->u.data_offset = 0;
		break;
	}
	return 0;
}

/* --- adding --- */

/* A whiteout speaks of lower layers, so it takes nothing away from its own: one that lies below
 * a file of its layer is of something that the file has replaced. */
static bool is_whiteout_below_file(const struct tree_builder *builder, const struct place *place)
{
	const struct buf *missing = &builder->missing;

	return missing->len && tree_whiteout_of(place->name) &&
	       find_child(builder, place->directory, missing->data, strcspn(missing->data, "/")) !=
		       TREE_NONE;
}

static int add_plain(struct tree_builder *builder, const struct tar_entry *entry)
{
	bool is_dir = entry->type == TAR_DIRECTORY;
	struct place place;
	uint32_t number;
	int rc;

	if (entry->type == TAR_SYMLINK && entry->link_len > TREE_LINK_MAX)
		return DROPPED;
	rc = find_place(builder, &place);
	if (!rc && is_whiteout_below_file(builder, &place))
		return DROPPED;
	if (!rc)
		rc = make_parents(builder, &place, entry);
	if (!rc)
		rc = take_name(builder, place.directory, place.name, place.len, is_dir, &number);
	return rc ? rc : fill(builder, number, entry);
}

static int set_pending(struct tree_builder *builder, uint32_t number, const struct tar_entry *entry)
{
	struct node *node = &builder->nodes[number];

	set_owner_and_times(node, entry);
	node->kind = NODE_PENDING;
	node->u.link.len = (uint32_t)builder->link.len;
	return strings_add(&builder->strings, STRINGS_TEXT, builder->link.data, builder->link.len,
		&node->u.link.offset);
}

/*
 * A link to what is there already shares it as of now, whatever happens to that name later.
 * Otherwise builder_finish() looks again.
 */
static int add_hard_link(struct tree_builder *builder, const struct tar_entry *entry)
{
	uint32_t inode = TREE_NONE, target_directory, target, number;
	struct place place;
	int rc = clean(&builder->link, entry->link, entry->link_len);

	if (!rc)
		rc = builder->link.len ? find_place(builder, &place) : DROPPED;
	if (!rc)
		rc = builder_find(
			builder, builder->link.data, builder->link.len, &target_directory, &target);
	if (rc)
		return rc;
	if (target != TREE_NONE) {
		if (is_directory(builder, target) ||
			(!builder->missing.len && target == find_child(builder, place.directory,
								    place.name, place.len)))
			return DROPPED;
		if (builder->nodes[target].kind != NODE_PENDING) {
			rc = builder_share(builder, target, &inode);
			if (rc)
				return rc;
			builder->nodes[inode].links++; /* the new name's */
		}
	}
	rc = make_parents(builder, &place, entry);
	if (!rc)
		rc = take_name(builder, place.directory, place.name, place.len, false, &number);
	if (rc || inode == TREE_NONE)
		return rc ? rc : set_pending(builder, number, entry);
	builder->nodes[number].kind = NODE_NAME;
	builder->nodes[number].u.inode = inode;
	return 0;
}

static int add(struct tree_builder *builder, const struct tar_entry *entry)
{
	size_t parent_len, len;
	const char *name;
	int rc = clean(&builder->path, entry->path, entry->path_len);

	if (rc)
		return rc;
	if (!builder->path.len) /* "./": the root stays a directory whatever comes */
		return entry->type == TAR_DIRECTORY ? fill(builder, PATH_ROOT, entry) : DROPPED;
	path_split(builder->path.data, builder->path.len, &parent_len, &name, &len);
	if (entry->type == TAR_HARDLINK && !tree_whiteout_of(name))
		return add_hard_link(builder, entry);
	return add_plain(builder, entry);
}

int tree_builder_add(void *context, const struct tar_entry *entry, struct error *err)
{
	struct tree_builder *builder = context;
	int rc = add(builder, entry);

	if (rc == DROPPED) {
		builder_drop(builder);
		return 0;
	}
	if (rc == -EFBIG)
		return error_set(err, EFBIG,
			"more than %d entries, or more than %u bytes of names and attributes",
			TREE_ENTRIES_MAX, TREE_STRINGS_MAX);
	return rc ? error_set(err, -rc, "build the tree: %s", strerror(-rc)) : 0;
}

/* --- life cycle --- */

int tree_builder_new(struct tree_builder **ret, struct error *err)
{
	CLEANUP(builder_freep) struct tree_builder *builder = calloc(1, sizeof *builder);
	uint32_t root;

	if (!builder)
		return error_set(err, ENOMEM, "build the tree: out of memory");
	buf_init(&builder->path, PATH_BYTES_MAX);
	buf_init(&builder->missing, PATH_BYTES_MAX);
	buf_init(&builder->link, PATH_BYTES_MAX);
	buf_init(&builder->link_missing, PATH_BYTES_MAX);
	buf_init(&builder->memo, PATH_BYTES_MAX);
	builder->free_nodes = builder->memo_directory = TREE_NONE;
	if (strings_init(&builder->strings) || grow_buckets(builder) || node_alloc(builder, &root))
		return error_set(err, ENOMEM, "build the tree: out of memory");
	builder->nodes[root] = (struct node){
		.kind = NODE_PLAIN,
		.flags = TREE_IMPLIED,
		.mode = S_IFDIR | 0755,
		.u.children.first = TREE_NONE,
		.parent = root,
	};
	builder->named_count = 1;
	*ret = TAKE(builder);
	return 0;
}

void tree_builder_free(struct tree_builder *builder)
{
	if (!builder)
		return;
	strings_release(&builder->strings);
	free(builder->nodes);
	free(builder->buckets);
	buf_release(&builder->path);
	buf_release(&builder->missing);
	buf_release(&builder->link);
	buf_release(&builder->link_missing);
	buf_release(&builder->memo);
	free(builder);
}

uint32_t tree_builder_dropped(const struct tree_builder *builder)
{
	return builder->dropped;
}
