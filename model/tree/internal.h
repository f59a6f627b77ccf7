/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of model/tree share and nobody else sees: the image's layout,
 * the helpers on names and paths, the builder's and the merge's structures.
 */
#ifndef MODEL_TREE_INTERNAL_H
#define MODEL_TREE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/buf.h"
#include "model/tree/merge.h"
#include "model/tree/tree.h"

/*
 * The image:
 *
 *	| tree_header | entry 0 | entry 1 | ... | string area, padded to 8 |
 *
 * Entries are numbered breadth first, so the children of entry 0, of entry 1,
 * and so on follow each other without a gap, and tree_open() needs no more
 * than one pass to know that they form one tree.
 */
struct tree_header {
	char magic[8];
	uint32_t byte_order; /* TREE_BYTE_ORDER as this machine writes it */
	uint32_t version;
	uint64_t image_len;
	uint32_t entry_count;
	uint32_t strings_len;
	uint64_t reserved[4]; /* 0 */
};

#define TREE_MAGIC "imgftree"
enum { TREE_BYTE_ORDER = 0x01020304, TREE_VERSION = 2 };

_Static_assert(sizeof(struct tree_header) == 64, "the header keeps entries aligned");
_Static_assert(sizeof(struct tree_entry) == 64, "entries are a part of the format");
_Static_assert(sizeof(struct tree_extra) == 24, "extras are a part of the format");

/* tree_extra.xattrs points at an array of these, aligned to 8. */
struct xattr_record {
	uint32_t name, name_len; /* offset; a NUL follows */
	uint32_t value, value_len;
};

#define WHITEOUT_PREFIX ".wh."
#define WHITEOUT_OPAQUE WHITEOUT_PREFIX WHITEOUT_PREFIX ".opq"
enum { WHITEOUT_PREFIX_LEN = 4 };

/* The first child whose name is not below the given one; *ret_is_equal: it is that name. */
uint32_t tree_bound(const struct tree *tree, uint32_t directory, const char *name, size_t len,
	bool *ret_is_equal);
int name_compare(const char *a, size_t a_len, const char *b, size_t b_len);

/* --- hash.c --- */

struct hash_key {
	uint64_t k0, k1;
};

struct hash_key hash_key_make(void);
uint64_t hash_bytes(const struct hash_key *key, uint64_t first, const void *bytes, size_t len);

/* Doubles an array that is full; NULL when out of memory, the array is then as it was. */
void *array_grow(void *array, uint32_t *capacity, uint32_t count, size_t size);

/* Numbers for (parent, name), counted up from 0; the names are borrowed. */
struct names_item {
	const char *name;
	uint32_t name_len;
	uint32_t parent;
	uint32_t next; /* in its bucket */
};

struct names {
	struct hash_key key;
	struct names_item *items;
	uint32_t count, capacity;
	uint32_t *buckets;
	uint32_t bucket_count; /* a power of two */
};

enum { NAMES_MAX = 1 << 30 };

void names_init(struct names *names);
void names_release(struct names *names);
void names_clear(struct names *names);
uint32_t names_find(const struct names *names, uint32_t parent, const char *name, size_t len);
/* The name must not be there yet.  -ENOMEM, -EFBIG. */
int names_add(struct names *names, uint32_t parent, const char *name, uint32_t len, uint32_t *ret);

/* --- strings.c --- */

enum strings_kind { STRINGS_TEXT, STRINGS_RECORD };

struct strings_slot {
	uint32_t hash;
	uint32_t offset; /* 0: empty */
};

struct strings {
	struct hash_key key;
	char *bytes;
	uint32_t len;
	size_t capacity;
	struct strings_slot *slots;
	uint32_t slot_count, used; /* the first a power of two */
};

int strings_init(struct strings *strings);
void strings_release(struct strings *strings);
/* Gives the one offset of this content.  -ENOMEM, -EFBIG. */
int strings_add(struct strings *strings, enum strings_kind kind, const void *bytes, size_t len,
	uint32_t *ret_offset);
/* The offset of a text, or TREE_NONE. */
uint32_t strings_find(const struct strings *strings, const char *text, size_t len);

/* --- path.c --- */

enum {
	PATH_ROOT = 0,
	PATH_LINKS_MAX = 40,        /* symlinks in one path, as in Linux */
	PATH_LINK_STEPS_MAX = 1024, /* components from their targets: bounds the work per entry */
	PATH_BYTES_MAX = 4 << 20,   /* a cleaned path; tar's headers are smaller */
};

/* Writes "a/b/c" without ".", "..", and empty components; "" is the root.
 * -EINVAL: it climbs out; -ENAMETOOLONG: a component does not fit; -ENOMEM, -EFBIG. */
int path_clean(struct buf *ret, const char *path, size_t len);
int path_push(struct buf *path, const char *name, size_t len);
/* Cuts a cleaned path that is not "" into its parent's and its own name. */
void path_split(const char *path, size_t len, size_t *ret_parent_len, const char **ret_name,
	size_t *ret_len);

enum path_step { PATH_DIRECTORY, PATH_SYMLINK, PATH_NONE };

struct path_ops {
	/* What the name is in directory *at.  PATH_DIRECTORY: *at is now that one;
	 * PATH_SYMLINK: *ret_target is its target; PATH_NONE: neither; or a negative errno. */
	int (*step)(
		void *context, uint32_t *at, const char *name, size_t len, const char **ret_target);
	uint32_t (*parent)(void *context, uint32_t at);
};

/* Walks a path from directory *at on and follows all symlinks inside the root.
 * *at is then the last directory that exists, *missing what is to come below it (or "").
 * -ELOOP, -ENAMETOOLONG, -ENOMEM, -EFBIG, or what a step returned. */
int path_resolve(const struct path_ops *ops, void *context, const char *path, size_t len,
	uint32_t *at, struct buf *missing);

/* --- builder.c, pack.c --- */

enum node_kind {
	NODE_FREE,
	NODE_PLAIN,    /* a name with its content */
	NODE_NAME,     /* one of several names, or one that was: the content is u.inode's */
	NODE_INODE,    /* content of NODE_NAMEs, in no directory */
	NODE_PENDING,  /* hard link whose target (u.link) has not come yet */
	NODE_SETTLING, /* a pending one on the chain that is being followed */
	NODE_DROPPED,  /* pending one that came to nothing */
};

/* A name in the archive, or the content of hard links.  72 bytes. */
struct node {
	uint32_t name; /* string area; equal names have equal offsets */
	uint16_t name_len;
	uint8_t kind;
	uint8_t flags; /* TREE_IMPLIED, TREE_OPAQUE, TREE_LINK_OUTSIDE */
	uint32_t mode, uid, gid, mtime_nsec;
	int64_t mtime;
	uint64_t size;
	union {
		uint64_t data_offset;
		struct {
			uint32_t first, count; /* list by sibling; once numbered: entries */
		} children;
		struct {
			uint32_t offset, len;
		} link;
		struct {
			uint32_t major, minor;
		} device;
		uint32_t inode;
	} u;
	uint32_t parent;
	uint32_t extra;
	uint32_t bucket_next;
	uint32_t sibling; /* next child of the parent; next free node */
	uint32_t number;  /* its entry, once numbered */
	uint32_t links;   /* NODE_INODE: how many names */
};

struct tree_builder {
	struct strings strings;
	struct node *nodes; /* 0 is the root */
	uint32_t node_count, node_capacity;
	uint32_t free_nodes;  /* list by sibling */
	uint32_t named_count; /* nodes that are in a directory, and the root */
	uint32_t *buckets;    /* (parent, name) -> list by bucket_next */
	uint32_t bucket_count;
	uint32_t dropped;
	struct buf path, missing; /* of the entry that is being added */
	struct buf link, link_missing;
	struct buf memo;         /* the parent path that came last ... */
	uint32_t memo_directory; /* ... and where it is, or TREE_NONE */
};

struct node *builder_content(const struct tree_builder *builder, uint32_t node);
/* Where a cleaned path leads, its last component not followed; TREE_NONE: nowhere yet, then
 * *ret_directory and builder->link_missing tell how far the parents are there. */
int builder_find(struct tree_builder *builder, const char *path, size_t len,
	uint32_t *ret_directory, uint32_t *ret_node);
/* Makes the content of a node sharable: gives its NODE_INODE. */
int builder_share(struct tree_builder *builder, uint32_t node, uint32_t *ret_inode);
void builder_drop(struct tree_builder *builder);

/* --- merge.c, graft.c --- */

/* A directory of an upper layer that belongs at another place than its own. */
struct graft {
	uint32_t layer;
	uint32_t entry; /* TREE_NONE: only a parent on the way to one */
	uint32_t next;  /* at the same site, of the same or a lower layer */
};

/* A path where grafts go, or a parent of one.  Its name is in merge.site_names,
 * under the same number; 0 is the root. */
struct site {
	uint32_t first_graft;
	uint32_t first_child, sibling;
};

/* A hard link out of its layer, and where it leads (layer UINT32_MAX: nowhere). */
struct outside {
	uint32_t entry;
	struct merge_ref target;
};

struct merge_layer {
	const struct tree *tree;
	struct outside *outside; /* by entry; tree->outside_count of them */
	uint32_t *kept;          /* in order: implied directories over symlinks that lead */
	uint32_t kept_count, kept_capacity; /* nowhere; they replace them */
};

/* A visited directory.  Its name is in merge.names, under the same number. */
struct directory {
	const struct merge_ref *stack; /* top first */
	uint32_t stack_count;
	uint32_t bottom; /* lower layers do not count here, even by a graft */
	struct merge_ref ref;
	bool is_ref_below; /* ref is below the stack */
	uint32_t site;     /* or TREE_NONE */
};

struct chunk;
struct arena {
	struct chunk *chunks;
	size_t left;
};

struct merge {
	struct merge_layer *layers;
	uint32_t layer_count;
	uint32_t limit; /* the view: layers from here on do not exist yet */

	struct names names;
	struct directory *directories;
	uint32_t directory_capacity;
	struct arena stacks;

	struct names site_names;
	struct site *sites;
	uint32_t site_capacity;
	struct graft *grafts;
	uint32_t graft_count, graft_capacity;
	struct arena site_text;

	struct merge_ref *scratch; /* stack of the child that is being looked for */
	uint32_t scratch_capacity;
};

/* 8-aligned, lives until the arena is released; NULL when out of memory. */
void *arena_alloc(struct arena *arena, size_t size);
void arena_release(struct arena *arena);

/* Forgets all visited directories and shows the layers below limit alone. */
int merge_set_view(struct merge *merge, uint32_t limit);
extern const struct path_ops merge_path_ops; /* context: the merge */

/* Both need the view that ends below the layer. */
int graft_links(struct merge *merge, uint32_t layer);
int graft_layer(struct merge *merge, uint32_t layer);
uint32_t graft_find_site(const struct merge *merge, uint32_t parent, const char *name, size_t len);

#endif
