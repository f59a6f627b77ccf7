/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tree -- one layer's files as a packed, mappable image.
 *
 * A builder takes tar entries in archive order and applies what an extractor
 * would do inside one layer (OCI image-spec layer.md; missing parents, type
 * changes, last duplicate wins, hard links).  It ends as one flat piece of
 * bytes that is used in place, from a file mapped read-only: no allocation per
 * entry, nothing parsed at open.
 *
 * Invariants of an opened tree:
 *  1. entry 0 is the root directory; every other entry's parent is a directory
 *     with a smaller number.
 *  2. a directory's children are contiguous and sorted by name, by bytes.
 *  3. no name is empty, ".", "..", longer than 255 bytes, or holds '/' or NUL.
 *  4. every offset and count was checked by tree_open(), so the accessors
 *     need not and do not fail.
 * Whiteouts stay in the tree as the files they are stored as; flags tell where
 * a reader has to look for them.  Byte order is the machine's: an index of
 * another machine is refused by its header and made anew.
 */
#ifndef MODEL_TREE_TREE_H
#define MODEL_TREE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct tar_entry;

enum {
	TREE_NONE = UINT32_MAX,      /* no such entry */
	TREE_ENTRIES_MAX = 1 << 24,  /* entries of one layer */
	TREE_NAME_MAX = 255,         /* bytes; longer ones are left out and counted */
	TREE_LINK_MAX = 4095,        /* bytes of a symlink's target */
	TREE_STRINGS_MAX = 1u << 31, /* bytes of names, targets, attributes, maps */
};

enum tree_entry_flags {
	TREE_IMPLIED = 1 << 0,   /* a parent that the archive does not hold */
	TREE_OPAQUE = 1 << 1,    /* directory with an opaque whiteout, or in the place of a file of
				  * its own layer, which had removed what was below */
	TREE_WHITEOUTS = 1 << 2, /* directory with .wh. children */
	TREE_SPECIAL = 1 << 3,   /* directory: somewhere below, .wh. names, opaque
				  * markers or links out of the layer (itself included);
				  * merged, it may differ from what is stored */
	TREE_LINK_OUTSIDE = 1 << 4, /* hard link whose target is not in this layer:
				     * S_IFREG, size 0, tree_link() is the target path */
	TREE_HOLLOW = 1 << 5,       /* implied, with nothing but whiteouts below: does not replace a
				     * file of a lower layer */
};

/* Fixed size, used in place.  64 bytes. */
struct tree_entry {
	uint32_t name; /* offset of the name in the string area */
	uint16_t name_len;
	uint16_t flags; /* enum tree_entry_flags */
	uint32_t mode;  /* S_IFMT and permission bits */
	uint32_t uid, gid;
	uint32_t nlink; /* names in this layer; directories: 2 + subdirectories */
	int64_t mtime;
	uint32_t mtime_nsec;
	uint32_t parent; /* entry of the directory it is in; the root: itself */
	uint64_t size;   /* files: bytes a reader sees; symlinks: length of the target */
	union {
		uint64_t data_offset; /* regular: in the plain tar */
		struct {
			uint32_t first, count;
		} children; /* directory */
		struct {
			uint32_t offset, len;
		} link; /* symlink, LINK_OUTSIDE */
		struct {
			uint32_t major, minor;
		} device; /* char, block */
	} u;
	uint32_t extra; /* string area: struct tree_extra, or 0 */
	uint32_t inode; /* the entry that stands for all hard links of this file; own number
			   otherwise */
};

/* What few entries have.  Aligned to 8 in the string area. */
struct tree_extra {
	uint32_t xattrs; /* string area: records, see tree.c */
	uint32_t xattr_count;
	uint32_t segments; /* string area: struct tree_segment, aligned to 8 */
	uint32_t segment_count;
	uint64_t is_sparse; /* 0 or 1 */
};

/* size stored bytes at data_offset of the plain tar hold the file's bytes from
 * offset on; what no segment covers reads as zero. */
struct tree_segment {
	uint64_t offset;
	uint64_t size;
	uint64_t data_offset;
};

/* --- building --- */

struct tree_builder;

int tree_builder_new(struct tree_builder **ret, struct error *err);
void tree_builder_free(struct tree_builder *builder);

/* Signature of tar_entry_fn, with the builder as context.  An entry that cannot be a
 * name here (".." that climbs out, a component over 255 bytes, a bad hard link)
 * is left out and counted.  -EFBIG over a ceiling. */
int tree_builder_add(void *builder, const struct tar_entry *entry, struct error *err);

/* How many entries were left out. */
uint32_t tree_builder_dropped(const struct tree_builder *builder);

/* Ends the build: *ret_image (caller frees) is what tree_open() takes. */
int tree_builder_finish(
	struct tree_builder *builder, void **ret_image, size_t *ret_len, struct error *err);

/* --- reading --- */

/* Borrows the image, which must be aligned to 8 and outlive the tree. */
struct tree {
	const struct tree_entry *entries;
	uint32_t entry_count;
	uint32_t implied_count; /* how many entries bear TREE_IMPLIED */
	uint32_t outside_count; /* how many bear TREE_LINK_OUTSIDE */
	const char *strings;
	uint32_t strings_len;
};

/* Checks everything an accessor relies on, in one pass; -EIO when it does not hold. */
int tree_open(struct tree *ret, const void *image, size_t len, struct error *err);

static inline const struct tree_entry *tree_entry(const struct tree *tree, uint32_t entry)
{
	return &tree->entries[entry];
}

static inline const char *tree_name(const struct tree *tree, uint32_t entry)
{
	return tree->strings + tree->entries[entry].name; /* name_len bytes, and a NUL */
}

/* The target of a symlink or of a link out of the layer: ends in NUL. */
const char *tree_link(const struct tree *tree, uint32_t entry);

/* The child of that name, or TREE_NONE; binary search. */
uint32_t tree_lookup(const struct tree *tree, uint32_t directory, const char *name, size_t len);

/* The entry at a path of plain components ("a/b", "" is the root), or
 * TREE_NONE.  Follows no links. */
uint32_t tree_walk(const struct tree *tree, const char *path);

/* Segments of a regular file: one for plain files (*count 1, or 0 when
 * empty), which is then written to *single; never NULL. */
const struct tree_segment *tree_segments(
	const struct tree *tree, uint32_t entry, struct tree_segment *single, uint32_t *count);

/* Blocks of 512 bytes that the stored content fills. */
uint64_t tree_blocks(const struct tree *tree, uint32_t entry);

/* The k-th extended attribute; false when there are not so many. */
struct tree_xattr {
	const char *name; /* ends in NUL */
	const void *value;
	uint32_t value_len;
};
bool tree_xattr(const struct tree *tree, uint32_t entry, uint32_t k, struct tree_xattr *ret);

/* "d.wh.NAME": is name a whiteout, and of what?  tree_is_whiteout("x") is NULL,
 * (".wh.x") is "x".  Opaque markers and AUFS leftovers (.wh..wh.*) and the bare
 * ".wh." give "". */
const char *tree_whiteout_of(const char *name);

#endif
