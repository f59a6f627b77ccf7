/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening and reading images (internal.h draws one).  The image may come from a damaged
 * disk, so tree_open() believes nothing; what it has checked, the accessors
 * use without looking again.
 */
#include "model/tree/internal.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "model/error.h"
#include "model/tar/tar.h"

/* --- opening --- */

static bool is_range(const struct tree *tree, uint64_t offset, uint64_t len)
{
	return offset <= tree->strings_len && len <= tree->strings_len - offset;
}

/* len bytes without a NUL, and a NUL. */
static bool is_text(const struct tree *tree, uint32_t offset, uint32_t len)
{
	return is_range(tree, offset, (uint64_t)len + 1) && !tree->strings[offset + len] &&
	       !memchr(tree->strings + offset, 0, len);
}

static bool is_name(const struct tree *tree, const struct tree_entry *entry)
{
	const char *name = tree->strings + entry->name;

	return entry->name_len > 0 && entry->name_len <= TREE_NAME_MAX &&
	       is_text(tree, entry->name, entry->name_len) && !memchr(name, '/', entry->name_len) &&
	       strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* An array in the string area; NULL when it does not lie there. */
static const void *array_at(const struct tree *tree, uint32_t offset, uint64_t count, size_t size)
{
	if (offset % 8 || !is_range(tree, offset, count * size))
		return NULL;
	return tree->strings + offset;
}

static bool are_xattrs(const struct tree *tree, const struct tree_extra *extra)
{
	const struct xattr_record *records =
		array_at(tree, extra->xattrs, extra->xattr_count, sizeof *records);

	if (!records || extra->xattr_count > TAR_XATTRS_MAX)
		return false;
	for (uint32_t i = 0; i < extra->xattr_count; i++)
		if (!is_text(tree, records[i].name, records[i].name_len) ||
			!is_range(tree, records[i].value, records[i].value_len))
			return false;
	return true;
}

static bool are_segments(const struct tree *tree, const struct tree_extra *extra, uint64_t size)
{
	const struct tree_segment *segments =
		array_at(tree, extra->segments, extra->segment_count, sizeof *segments);
	uint64_t end = 0;

	if (!segments || extra->segment_count > TAR_SPARSE_MAX)
		return false;
	for (uint32_t i = 0; i < extra->segment_count; i++) {
		const struct tree_segment *segment = &segments[i];

		if (!segment->size || segment->offset < end || segment->offset > size ||
			segment->size > size - segment->offset || segment->size > INT64_MAX ||
			segment->data_offset > INT64_MAX - segment->size)
			return false;
		end = segment->offset + segment->size;
	}
	return true;
}

static bool is_extra(const struct tree *tree, const struct tree_entry *entry)
{
	const struct tree_extra *extra;

	if (!entry->extra)
		return true;
	extra = array_at(tree, entry->extra, 1, sizeof *extra);
	if (!extra || !are_xattrs(tree, extra) || extra->is_sparse > 1)
		return false;
	if (!extra->is_sparse)
		return !extra->segment_count;
	return S_ISREG(entry->mode) && are_segments(tree, extra, entry->size);
}

static bool is_link(const struct tree *tree, const struct tree_entry *entry)
{
	return entry->u.link.len <= TREE_LINK_MAX &&
	       is_text(tree, entry->u.link.offset, entry->u.link.len);
}

static bool is_content(const struct tree *tree, const struct tree_entry *entry)
{
	if (entry->mode & ~(uint32_t)(S_IFMT | 07777) || entry->mtime_nsec >= 1000000000 ||
		(!S_ISREG(entry->mode) && entry->flags & TREE_LINK_OUTSIDE) ||
		!is_extra(tree, entry))
		return false;
	switch (entry->mode & S_IFMT) {
	case S_IFREG:
		if (entry->flags & TREE_LINK_OUTSIDE)
			return !entry->size && !entry->extra && is_link(tree, entry);
		return entry->size <= INT64_MAX && entry->u.data_offset <= INT64_MAX - entry->size;
	case S_IFLNK:
		return entry->size == entry->u.link.len && is_link(tree, entry);
	case S_IFDIR: /* its children: are_children() */
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
		return !entry->size;
	default:
		return false;
	}
}

/* The file that stands for all names is one of them, looks the same, and stands for itself. */
static bool is_inode(const struct tree *tree, uint32_t number)
{
	const struct tree_entry *entry = &tree->entries[number];
	const struct tree_entry *inode;

	if (entry->inode > number || (S_ISDIR(entry->mode) && entry->inode != number))
		return false;
	inode = &tree->entries[entry->inode];
	return inode->inode == entry->inode && inode->mode == entry->mode &&
	       inode->size == entry->size && inode->extra == entry->extra &&
	       (inode->flags & TREE_LINK_OUTSIDE) == (entry->flags & TREE_LINK_OUTSIDE) &&
	       !memcmp(&inode->u, &entry->u, entry->inode == number ? 0 : sizeof entry->u);
}

/* The children of a directory start at *next and are in order; *next is then behind them. */
static bool are_children(const struct tree *tree, uint32_t directory, uint32_t *next)
{
	uint32_t first = tree->entries[directory].u.children.first;
	uint32_t count = tree->entries[directory].u.children.count;

	if (first != *next || count > tree->entry_count - first)
		return false;
	for (uint32_t i = first; i < first + count; i++) {
		const struct tree_entry *entry = &tree->entries[i];

		if (entry->parent != directory || !is_name(tree, entry))
			return false;
		if (i > first && strcmp(tree_name(tree, i - 1), tree_name(tree, i)) >= 0)
			return false;
	}
	*next = first + count;
	return true;
}

static bool is_tree(struct tree *tree)
{
	const struct tree_entry *root = &tree->entries[0];
	uint32_t next = 1; /* the first entry that is in no directory yet */

	if (!S_ISDIR(root->mode) || root->parent || root->name || root->name_len ||
		tree->strings[0])
		return false;
	for (uint32_t i = 0; i < tree->entry_count; i++) {
		const struct tree_entry *entry = &tree->entries[i];

		if (i >= next || !is_content(tree, entry) || !is_inode(tree, i))
			return false;
		if (S_ISDIR(entry->mode) && !are_children(tree, i, &next))
			return false;
		tree->implied_count += (entry->flags & TREE_IMPLIED) != 0;
		tree->outside_count += (entry->flags & TREE_LINK_OUTSIDE) != 0;
	}
	return true; /* each was in a directory before its turn came, so next is the count */
}

int tree_open(struct tree *ret, const void *image, size_t len, struct error *err)
{
	const struct tree_header *header = image;
	struct tree tree = { 0 };

	if (len < sizeof *header || memcmp(header->magic, TREE_MAGIC, sizeof header->magic) ||
		header->byte_order != TREE_BYTE_ORDER || header->version != TREE_VERSION)
		return error_set(err, EIO, "not a tree of this version and machine");
	if (!header->entry_count || header->entry_count > TREE_ENTRIES_MAX ||
		header->strings_len < 8 || header->strings_len % 8 || header->image_len != len ||
		len != sizeof *header + header->entry_count * sizeof(struct tree_entry) +
				header->strings_len)
		return error_set(err, EIO, "tree of %zu bytes: its parts do not fit", len);
	tree.entries = (const struct tree_entry *)(const void *)(header + 1);
	tree.entry_count = header->entry_count;
	tree.strings = (const char *)(tree.entries + tree.entry_count);
	tree.strings_len = header->strings_len;
	if (!is_tree(&tree))
		return error_set(err, EIO, "tree of %u entries: damaged", tree.entry_count);
	*ret = tree;
	return 0;
}

/* --- reading --- */

int name_compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return order ? order : (a_len > b_len) - (a_len < b_len);
}

uint32_t tree_bound(const struct tree *tree, uint32_t directory, const char *name, size_t len,
	bool *ret_is_equal)
{
	uint32_t low = tree->entries[directory].u.children.first;
	uint32_t high = low + tree->entries[directory].u.children.count;

	*ret_is_equal = false;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int order = name_compare(
			tree_name(tree, middle), tree->entries[middle].name_len, name, len);

		if (order == 0) {
			*ret_is_equal = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint32_t tree_lookup(const struct tree *tree, uint32_t directory, const char *name, size_t len)
{
	bool is_equal;
	uint32_t entry;

	if (!S_ISDIR(tree->entries[directory].mode))
		return TREE_NONE;
	entry = tree_bound(tree, directory, name, len, &is_equal);
	return is_equal ? entry : TREE_NONE;
}

uint32_t tree_walk(const struct tree *tree, const char *path)
{
	uint32_t entry = 0;

	while (*path && entry != TREE_NONE) {
		size_t len = strcspn(path, "/");

		entry = tree_lookup(tree, entry, path, len);
		path += len + (path[len] == '/');
	}
	return entry;
}

const char *tree_link(const struct tree *tree, uint32_t entry)
{
	return tree->strings + tree->entries[entry].u.link.offset;
}

static const void *area(const struct tree *tree, uint32_t offset)
{
	return tree->strings + offset;
}

const struct tree_segment *tree_segments(
	const struct tree *tree, uint32_t entry, struct tree_segment *single, uint32_t *count)
{
	const struct tree_entry *file = &tree->entries[entry];
	const struct tree_extra *extra = file->extra ? area(tree, file->extra) : NULL;

	if (extra && extra->is_sparse) {
		*count = extra->segment_count;
		return area(tree, extra->segments);
	}
	*single = (struct tree_segment){ 0 };
	*count = S_ISREG(file->mode) && file->size;
	if (*count)
		*single = (struct tree_segment){ 0, file->size, file->u.data_offset };
	return single;
}

uint64_t tree_blocks(const struct tree *tree, uint32_t entry)
{
	struct tree_segment single;
	uint32_t count;
	const struct tree_segment *segments = tree_segments(tree, entry, &single, &count);
	uint64_t stored = 0; /* at most the size: segments do not overlap */

	for (uint32_t i = 0; i < count; i++)
		stored += segments[i].size;
	return stored / 512 + (stored % 512 != 0);
}

bool tree_xattr(const struct tree *tree, uint32_t entry, uint32_t k, struct tree_xattr *ret)
{
	uint32_t offset = tree->entries[entry].extra;
	const struct tree_extra *extra = offset ? area(tree, offset) : NULL;
	const struct xattr_record *record;

	if (!extra || k >= extra->xattr_count)
		return false;
	record = (const struct xattr_record *)area(tree, extra->xattrs) + k;
	*ret = (struct tree_xattr){
		.name = tree->strings + record->name,
		.value = area(tree, record->value),
		.value_len = record->value_len,
	};
	return true;
}

const char *tree_whiteout_of(const char *name)
{
	if (strncmp(name, WHITEOUT_PREFIX, WHITEOUT_PREFIX_LEN) != 0)
		return NULL;
	name += WHITEOUT_PREFIX_LEN;
	return strncmp(name, WHITEOUT_PREFIX, WHITEOUT_PREFIX_LEN) != 0 ? name : "";
}
