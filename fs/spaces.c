/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree nodes: how a number becomes an entry of a layer, a directory of a
 * merge, or a blob, and what can be done with it.
 */
#include "fs/spaces.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "fs/hash.h"
#include "model/cleanup.h"

enum space_kind { SPACE_NONE, SPACE_BLOBS, SPACE_FILES, SPACE_DIFF, SPACE_ROOTFS };

enum {
	BLOBS = 1,            /* the space of all blobs */
	SPACES_MAX = 1 << 29, /* below the bit that marks nodes */
	IDENTITY_STACKS = 1,  /* merged directories of several layers */
};

struct space {
	enum space_kind kind;
	char *key;                    /* DIFF, ROOTFS: the path that leads here */
	struct layer_object *layer;   /* FILES, DIFF */
	struct layer_object **layers; /* ROOTFS: base first */
	uint32_t layer_count;
	const struct tree **trees; /* ROOTFS: the merge borrows the array */
	struct merge *merge;
	uint32_t number;
	UT_hash_handle hh;
};

struct identity {
	struct digest digest;
	uint32_t number;
	bool is_counted;
	UT_hash_handle hh;
};

struct stack {
	uint32_t number;
	size_t len;
	UT_hash_handle hh;
	uint64_t key[];
};

struct blob {
	char *key;
	const char *repository;
	struct descriptor descriptor;
	bool is_manifest;
	char *generated; /* or NULL */
	char *converted; /* what a generated one was made from */
	uint32_t identity, number;
	UT_hash_handle hh;
};

struct spaces {
	struct space **table; /* by number; [0] and [BLOBS] are NULL */
	uint32_t count, capacity;
	struct space *by_key;
	struct identity *identities;
	uint32_t last_identity;
	struct stack *stacks;
	uint32_t last_stack;
	struct blob **blobs; /* by number */
	uint32_t blob_count, blob_capacity;
	struct blob *blob_by_key;
};

int spaces_new(struct fs *fs, struct error *err)
{
	fs->spaces = calloc(1, sizeof *fs->spaces);
	if (!fs->spaces)
		return error_set(err, ENOMEM, "out of memory");
	fs->spaces->count = BLOBS + 1;
	fs->spaces->last_identity = IDENTITY_STACKS;
	return 0;
}

static void space_free(struct space *space)
{
	merge_free(space->merge);
	free(space->trees);
	free(space->layers);
	free(space->key);
	free(space);
}

void spaces_free(struct fs *fs)
{
	struct spaces *spaces = fs->spaces;
	struct identity *identity, *next_identity;
	struct stack *stack, *next_stack;

	if (!spaces)
		return;
	HASH_CLEAR(hh, spaces->by_key);
	for (uint32_t i = BLOBS + 1; i < spaces->count; i++)
		space_free(spaces->table[i]);
	free(spaces->table);
	HASH_CLEAR(hh, spaces->blob_by_key);
	for (uint32_t i = 0; i < spaces->blob_count; i++) {
		descriptor_release(&spaces->blobs[i]->descriptor);
		free(spaces->blobs[i]->key);
		free(spaces->blobs[i]->generated);
		free(spaces->blobs[i]->converted);
		free(spaces->blobs[i]);
	}
	free(spaces->blobs);
	HASH_ITER(hh, spaces->identities, identity, next_identity)
	{
		HASH_DEL(spaces->identities, identity);
		free(identity);
	}
	HASH_ITER(hh, spaces->stacks, stack, next_stack)
	{
		HASH_DEL(spaces->stacks, stack);
		free(stack);
	}
	free(spaces);
	fs->spaces = NULL;
}

/* --- identities --- */

static struct identity *identity_find(struct fs *fs, const struct digest *digest)
{
	struct spaces *spaces = fs->spaces;
	struct identity *found;

	HASH_FIND(hh, spaces->identities, digest, sizeof *digest, found);
	if (found)
		return found;
	found = calloc(1, sizeof *found);
	if (!found || spaces->last_identity >= SPACES_MAX) {
		free(found);
		return NULL;
	}
	found->digest = *digest;
	HASH_ADD(hh, spaces->identities, digest, sizeof found->digest, found);
	if (!HASH_HAS(hh, found)) {
		free(found);
		return NULL;
	}
	found->number = ++spaces->last_identity;
	return found;
}

uint32_t identity_of(struct fs *fs, const struct digest *digest)
{
	struct identity *identity = identity_find(fs, digest);

	return identity ? identity->number : 0;
}

void identity_count(struct fs *fs, const struct descriptor *blob)
{
	struct identity *identity = identity_find(fs, &blob->digest);

	if (!identity || identity->is_counted || blob->size == DESCRIPTOR_SIZE_UNKNOWN)
		return;
	identity->is_counted = true;
	fs->known_bytes += blob->size;
}

/* Equal stacks of equal layers have one inode number; salt keeps apart what is more than its stack.
 * 0: out of memory. */
static fuse_ino_t stack_ino(struct fs *fs, const struct space *space, const struct merge_ref *refs,
	uint32_t count, uint64_t salt)
{
	struct spaces *spaces = fs->spaces;
	size_t len = ((size_t)count + 1) * sizeof(uint64_t);
	struct stack *stack = malloc(sizeof *stack + len);
	struct stack *found;

	if (!stack)
		return 0;
	for (uint32_t i = 0; i < count; i++)
		stack->key[i] = identity_ino(
			layer_object_identity(space->layers[refs[i].layer]), refs[i].entry);
	stack->key[count] = salt;
	HASH_FIND(hh, spaces->stacks, stack->key, len, found);
	if (found) {
		free(stack);
		return identity_ino(IDENTITY_STACKS, found->number);
	}
	stack->len = len;
	HASH_ADD_KEYPTR(hh, spaces->stacks, stack->key, stack->len, stack);
	if (!HASH_HAS(hh, stack)) {
		free(stack);
		return 0;
	}
	stack->number = ++spaces->last_stack;
	return identity_ino(IDENTITY_STACKS, stack->number);
}

/* --- making spaces --- */

/* Takes the space; 0 when out of memory. */
static uint32_t add_space(struct fs *fs, struct space *space)
{
	struct spaces *spaces = fs->spaces;

	if (spaces->count >= spaces->capacity) {
		uint32_t capacity = spaces->capacity ? 2 * spaces->capacity : 64;
		struct space **table = realloc(spaces->table, capacity * sizeof *table);

		if (!table || capacity > SPACES_MAX) {
			space_free(space);
			return 0;
		}
		spaces->table = table;
		spaces->capacity = capacity;
		memset(table, 0, (BLOBS + 1) * sizeof *table);
	}
	if (space->key) {
		HASH_ADD_KEYPTR(hh, spaces->by_key, space->key, strlen(space->key), space);
		if (!HASH_HAS(hh, space)) {
			space_free(space);
			return 0;
		}
	}
	space->number = spaces->count;
	spaces->table[spaces->count++] = space;
	return space->number;
}

uint32_t space_add_files(struct fs *fs, struct layer_object *object)
{
	struct space *space = calloc(1, sizeof *space);

	if (!space)
		return 0;
	space->kind = SPACE_FILES;
	space->layer = object;
	return add_space(fs, space);
}

static struct space *space_by_key(struct fs *fs, const char *key)
{
	struct space *found;

	HASH_FIND_STR(fs->spaces->by_key, key, found);
	return found;
}

static fuse_ino_t space_id(uint32_t space, uint32_t number)
{
	return (fuse_ino_t)space << 32 | number;
}

int space_diff(struct fs *fs, const char *key, struct layer_object *object, fuse_ino_t *ret,
	struct need *need)
{
	struct space *space = space_by_key(fs, key);

	if (!space) {
		space = calloc(1, sizeof *space);
		if (!space)
			return error_set(&need->err, ENOMEM, "out of memory");
		space->kind = SPACE_DIFF;
		space->layer = object;
		space->key = strdup(key);
		if (!space->key) {
			space_free(space);
			return error_set(&need->err, ENOMEM, "out of memory");
		}
		if (!add_space(fs, space))
			return error_set(&need->err, ENOMEM, "out of memory");
	}
	*ret = space_id(space->number, 0);
	return 0;
}

int space_rootfs(struct fs *fs, const char *key, struct layer_object **layers, uint32_t count,
	fuse_ino_t *ret, struct need *need)
{
	struct space *space = space_by_key(fs, key);
	int rc;

	if (space) {
		*ret = space_id(space->number, MERGE_ROOT);
		return 0;
	}
	space = calloc(1, sizeof *space);
	if (!space)
		return error_set(&need->err, ENOMEM, "out of memory");
	space->kind = SPACE_ROOTFS;
	space->key = strdup(key);
	space->trees = calloc(count ? count : 1, sizeof *space->trees);
	space->layers = calloc(count ? count : 1, sizeof(struct layer_object *));
	if (!space->key || !space->trees || !space->layers) {
		space_free(space);
		return error_set(&need->err, ENOMEM, "out of memory");
	}
	for (uint32_t i = 0; i < count; i++) {
		space->layers[i] = layers[i];
		space->trees[i] = &layer_object_layer(layers[i])->tree;
	}
	space->layer_count = count;
	rc = merge_new(&space->merge, space->trees, count, &need->err);
	if (rc) {
		space_free(space);
		return rc;
	}
	if (!add_space(fs, space))
		return error_set(&need->err, ENOMEM, "out of memory");
	*ret = space_id(space->number, MERGE_ROOT);
	return 0;
}

/* --- attributes --- */

static void own(const struct fs *fs, struct stat *st)
{
	const struct options *options = fs->options;

	if (options->has_uid)
		st->st_uid = (uid_t)options->uid;
	if (options->has_gid)
		st->st_gid = (gid_t)options->gid;
	st->st_mode &= ~(mode_t)options->umask;
}

/* Shown as overlayfs would have it stored. */
static bool is_overlay_whiteout(const struct fs *fs, const struct tree *tree, uint32_t entry)
{
	const char *whiteout;

	if (fs->options->whiteouts != WHITEOUTS_OVERLAY)
		return false;
	whiteout = tree_whiteout_of(tree_name(tree, entry));
	return whiteout && *whiteout;
}

static void tree_stat(
	struct fs *fs, const struct layer_object *object, uint32_t entry, struct stat *st)
{
	const struct tree *tree = &layer_object_layer(object)->tree;
	const struct tree_entry *file = tree_entry(tree, entry);

	fs_stat_init(fs, st, identity_ino(layer_object_identity(object), file->inode), file->mode);
	st->st_uid = file->uid;
	st->st_gid = file->gid;
	st->st_nlink = file->nlink;
	st->st_mtim = (struct timespec){ file->mtime, file->mtime_nsec };
	st->st_atim = st->st_ctim = st->st_mtim;
	if (is_overlay_whiteout(fs, tree, entry)) {
		st->st_mode = S_IFCHR;
		return;
	}
	st->st_size = (off_t)file->size;
	if (S_ISREG(file->mode))
		st->st_blocks = (blkcnt_t)tree_blocks(tree, entry);
	else if (S_ISCHR(file->mode) || S_ISBLK(file->mode))
		st->st_rdev = makedev(file->u.device.major, file->u.device.minor);
	own(fs, st);
}

/* 0, or -ENOMEM: a directory without its number would be another one. */
static int merged_directory_stat(
	struct fs *fs, const struct space *space, uint32_t directory, struct stat *st)
{
	struct merge_ref ref = merge_directory_ref(space->merge, directory);
	const struct merge_ref *refs;
	const struct layer_object *only;
	uint32_t count;
	bool is_unique;

	if (ref.layer == UINT32_MAX) {
		fs_stat_init(fs, st, 0, S_IFDIR | 0755);
		own(fs, st);
	} else {
		tree_stat(fs, space->layers[ref.layer], ref.entry, st);
	}
	refs = merge_stack(space->merge, directory, &count, &is_unique);
	only = count == 1 ? space->layers[refs[0].layer] : NULL;
	if (only && !is_unique &&
		!(tree_entry(&layer_object_layer(only)->tree, refs[0].entry)->flags & TREE_SPECIAL))
		return 0;
	st->st_nlink = 1; /* unknown: counting would mean listing */
	st->st_ino = stack_ino(
		fs, space, refs, count, is_unique ? space_id(space->number, directory) : 0);
	return st->st_ino ? 0 : -ENOMEM;
}

static void blob_stat(struct fs *fs, const struct blob *blob, struct stat *st)
{
	fs_stat_init(fs, st, identity_ino(blob->identity, IDENTITY_BLOB), S_IFREG | 0444);
	st->st_size = (off_t)blob->descriptor.size;
	st->st_blocks = (blkcnt_t)((blob->descriptor.size + 511) / 512);
}

static void plain_stat(struct fs *fs, const struct layer_object *object, struct stat *st)
{
	uint64_t size = layer_object_layer(object)->plain_size;

	fs_stat_init(fs, st, identity_ino(layer_object_identity(object), IDENTITY_PLAIN),
		S_IFREG | 0444);
	st->st_size = (off_t)size;
	st->st_blocks = (blkcnt_t)((size + 511) / 512);
}

/* --- entries for lookups --- */

static void entry_init(struct fuse_entry_param *ret, fuse_ino_t id)
{
	*ret = (struct fuse_entry_param){
		.ino = id, .entry_timeout = CONTENT_TIMEOUT_S, .attr_timeout = CONTENT_TIMEOUT_S
	};
}

static int blob_add(struct fs *fs, struct blob *blob)
{
	struct spaces *spaces = fs->spaces;

	if (spaces->blob_count == spaces->blob_capacity) {
		uint32_t capacity = spaces->blob_capacity ? 2 * spaces->blob_capacity : 64;
		struct blob **blobs = realloc(spaces->blobs, capacity * sizeof *blobs);

		if (!blobs)
			return -ENOMEM;
		spaces->blobs = blobs;
		spaces->blob_capacity = capacity;
	}
	HASH_ADD_KEYPTR(hh, spaces->blob_by_key, blob->key, strlen(blob->key), blob);
	if (!HASH_HAS(hh, blob))
		return -ENOMEM;
	blob->number = spaces->blob_count;
	spaces->blobs[spaces->blob_count++] = blob;
	return 0;
}

/* The blob of that kind ('m', 'b', 'g': manifest, blob, generated), digest and size: a descriptor
 * that lies about the size is another thing.  A new one is empty but for that, and stays so when
 * there is no memory to fill it: until somebody comes who can. */
static struct blob *blob_get_or_new(struct fs *fs, char kind, const char *repository,
	const struct digest *digest, uint64_t size)
{
	CLEANUP(freep) char *key = NULL;
	char text[DIGEST_TEXT_MAX];
	struct blob *blob;

	if (asprintf(&key, "%c%" PRIu64 " %s@%s", kind, size, repository,
		    digest_format(digest, text)) < 0)
		return NULL;
	HASH_FIND_STR(fs->spaces->blob_by_key, key, blob);
	if (blob)
		return blob;
	blob = calloc(1, sizeof *blob);
	if (!blob)
		return NULL;
	blob->identity = identity_of(fs, digest);
	blob->descriptor = (struct descriptor){ .digest = *digest, .size = size };
	blob->key = TAKE(key);
	if (blob->identity && !blob_add(fs, blob))
		return blob;
	free(blob->key);
	free(blob);
	return NULL;
}

int blob_find_size(struct fs *fs, const char *repository, const struct descriptor *descriptor,
	bool is_manifest, uint64_t *ret, struct need *need)
{
	const struct document *document;
	struct blob_object *object;
	int rc;

	*ret = descriptor->size;
	if (descriptor->size != DESCRIPTOR_SIZE_UNKNOWN)
		return 0;
	if (is_manifest) {
		rc = manifest_raw_get(fs, repository, &descriptor->digest, &document, need);
		if (!rc)
			*ret = document->len;
		return rc;
	}
	rc = blob_get(fs, repository, descriptor, &object, need);
	if (!rc)
		*ret = blob_object_size(object);
	return rc;
}

/* All of it, or nothing. */
static int fill_blob(struct blob *blob, const char *repository, const struct descriptor *descriptor,
	bool is_manifest, struct error *err)
{
	struct descriptor copy = { 0 };
	uint64_t size = blob->descriptor.size;
	int rc = descriptor_copy(&copy, descriptor, err);

	if (rc)
		return rc;
	blob->descriptor = copy;
	blob->descriptor.size = size;
	blob->is_manifest = is_manifest;
	blob->repository = repository;
	return 0;
}

int entry_blob(struct fs *fs, const char *repository, const struct descriptor *descriptor,
	bool is_manifest, struct fuse_entry_param *ret, struct need *need)
{
	struct blob *blob;
	uint64_t size;
	int rc = blob_find_size(fs, repository, descriptor, is_manifest, &size, need);

	if (rc)
		return rc;
	blob = blob_get_or_new(fs, is_manifest ? 'm' : 'b', repository, &descriptor->digest, size);
	if (!blob)
		return error_set(&need->err, ENOMEM, "out of memory");
	if (!blob->repository)
		rc = fill_blob(blob, repository, descriptor, is_manifest, &need->err);
	if (rc)
		return rc;
	entry_init(ret, space_id(BLOBS, blob->number));
	blob_stat(fs, blob, &ret->attr);
	return 0;
}

int entry_generated(struct fs *fs, const struct digest *digest, const char *bytes, size_t len,
	const char *converted, struct fuse_entry_param *ret, struct need *need)
{
	struct blob *blob = blob_get_or_new(fs, 'g', "", digest, len);

	if (!blob)
		return error_set(&need->err, ENOMEM, "out of memory");
	if (!blob->generated) {
		CLEANUP(freep) char *copy = malloc(len + 1);
		CLEANUP(freep) char *why = strdup(converted);

		if (!copy || !why)
			return error_set(&need->err, ENOMEM, "out of memory");
		memcpy(copy, bytes, len);
		copy[len] = '\0';
		blob->generated = TAKE(copy);
		blob->converted = TAKE(why);
	}
	entry_init(ret, space_id(BLOBS, blob->number));
	blob_stat(fs, blob, &ret->attr);
	return 0;
}

int entry_plain(
	struct fs *fs, struct layer_object *object, struct fuse_entry_param *ret, struct need *need)
{
	uint64_t size;
	int rc = layer_plain_size(object, &size, need);

	if (rc)
		return rc;
	entry_init(ret, space_id(layer_object_space(object), IDENTITY_PLAIN));
	plain_stat(fs, object, &ret->attr);
	return 0;
}

static void entry_tree(
	struct fs *fs, struct layer_object *object, uint32_t entry, struct fuse_entry_param *ret)
{
	const struct tree *tree = &layer_object_layer(object)->tree;

	entry_init(ret, space_id(layer_object_space(object), tree_entry(tree, entry)->inode));
	tree_stat(fs, object, entry, &ret->attr);
}

/* --- by number --- */

struct target {
	enum space_kind kind;
	struct space *space;
	struct layer_object *layer; /* FILES, DIFF */
	uint32_t number;
	struct blob *blob;
};

static bool find_target(struct fs *fs, fuse_ino_t id, struct target *ret)
{
	struct spaces *spaces = fs->spaces;
	uint64_t number = id >> 32;

	*ret = (struct target){ .number = (uint32_t)id };
	if (number == BLOBS && ret->number < spaces->blob_count) {
		ret->kind = SPACE_BLOBS;
		ret->blob = spaces->blobs[ret->number];
		return true;
	}
	if (number <= BLOBS || number >= spaces->count)
		return false;
	ret->space = spaces->table[number];
	ret->kind = ret->space->kind;
	ret->layer = ret->space->layer;
	return true;
}

bool space_has(struct fs *fs, fuse_ino_t id)
{
	struct target target;

	return find_target(fs, id, &target);
}

static int no_entry(struct need *need)
{
	return error_set(&need->err, ENOENT, "no such file");
}

/* Files of a layer are the same nodes wherever they show, directories are not. */
static void diff_entry(
	struct fs *fs, const struct target *dir, uint32_t entry, struct fuse_entry_param *ret)
{
	entry_tree(fs, dir->layer, entry, ret);
	if (S_ISDIR(ret->attr.st_mode))
		ret->ino = space_id(dir->space->number, entry);
}

static int diff_lookup(struct fs *fs, const struct target *dir, const char *name,
	struct fuse_entry_param *ret, struct need *need)
{
	const struct tree *tree = &layer_object_layer(dir->layer)->tree;
	uint32_t entry = tree_lookup(tree, dir->number, name, strlen(name));
	char whiteout[TREE_NAME_MAX + 8];

	if (fs->options->whiteouts == WHITEOUTS_OVERLAY) {
		if (tree_whiteout_of(name))
			return no_entry(need);
		(void)snprintf(whiteout, sizeof whiteout, ".wh.%s", name);
		if (entry == TREE_NONE)
			entry = tree_lookup(tree, dir->number, whiteout, strlen(whiteout));
	}
	if (entry == TREE_NONE)
		return no_entry(need);
	diff_entry(fs, dir, entry, ret);
	return 0;
}

static int rootfs_entry(struct fs *fs, const struct space *space, const struct merge_child *child,
	struct fuse_entry_param *ret)
{
	if (!child->is_directory) {
		entry_tree(fs, space->layers[child->ref.layer], child->ref.entry, ret);
		return 0;
	}
	entry_init(ret, space_id(space->number, child->directory));
	return merged_directory_stat(fs, space, child->directory, &ret->attr);
}

static int rootfs_lookup(struct fs *fs, const struct target *dir, const char *name,
	struct fuse_entry_param *ret, struct need *need)
{
	struct space *space = dir->space;
	struct merge_child child;
	int rc = merge_lookup(space->merge, dir->number, name, strlen(name), &child);

	if (rc)
		return error_set(&need->err, -rc, "'%s': %s", name,
			rc == -EIO ? "a hard link that leads nowhere" : strerror(-rc));
	rc = rootfs_entry(fs, space, &child, ret);
	return rc ? error_set(&need->err, -rc, "%s", strerror(-rc)) : 0;
}

int space_lookup(struct fs *fs, fuse_ino_t id, const char *name, struct fuse_entry_param *ret,
	struct need *need)
{
	struct target dir;

	if (!find_target(fs, id, &dir))
		return no_entry(need);
	switch (dir.kind) {
	case SPACE_DIFF:
		return diff_lookup(fs, &dir, name, ret, need);
	case SPACE_ROOTFS:
		return rootfs_lookup(fs, &dir, name, ret, need);
	case SPACE_NONE:
	case SPACE_BLOBS:
	case SPACE_FILES:
		break;
	}
	return error_set(&need->err, ENOTDIR, "not a directory");
}

int space_stat(struct fs *fs, fuse_ino_t id, struct stat *ret, struct need *need)
{
	struct target target;

	if (!find_target(fs, id, &target))
		return no_entry(need);
	switch (target.kind) {
	case SPACE_BLOBS:
		blob_stat(fs, target.blob, ret);
		break;
	case SPACE_FILES:
		if (target.number == IDENTITY_PLAIN)
			plain_stat(fs, target.layer, ret);
		else
			tree_stat(fs, target.layer, target.number, ret);
		break;
	case SPACE_DIFF:
		tree_stat(fs, target.layer, target.number, ret);
		break;
	case SPACE_ROOTFS:
		if (merged_directory_stat(fs, target.space, target.number, ret))
			return error_set(&need->err, ENOMEM, "out of memory");
		break;
	case SPACE_NONE:
		return no_entry(need);
	}
	return 0;
}

int space_readlink(struct fs *fs, fuse_ino_t id, const char **ret, struct need *need)
{
	struct target target;
	const struct tree *tree;

	if (!find_target(fs, id, &target) || target.kind != SPACE_FILES)
		return error_set(&need->err, EINVAL, "not a symbolic link");
	tree = &layer_object_layer(target.layer)->tree;
	if (target.number >= tree->entry_count || !S_ISLNK(tree_entry(tree, target.number)->mode))
		return error_set(&need->err, EINVAL, "not a symbolic link");
	*ret = tree_link(tree, target.number);
	return 0;
}

/* --- content --- */

/* The first segment that ends behind offset. */
static uint32_t find_segment(const struct tree_segment *segments, uint32_t count, uint64_t offset)
{
	uint32_t low = 0, high = count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (segments[middle].offset + segments[middle].size <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static size_t clamp(uint64_t size, uint64_t offset, size_t len)
{
	return offset >= size ? 0 : len < size - offset ? len : (size_t)(size - offset);
}

static int tree_read(struct fs *fs, struct layer_object *object, uint32_t entry, uint64_t offset,
	struct answer *answer, struct need *need)
{
	const struct tree *tree = &layer_object_layer(object)->tree;
	uint64_t size = tree_entry(tree, entry)->size;
	struct tree_segment single;
	const struct tree_segment *segments;
	uint32_t count, i;
	int rc = 0;

	answer->len = clamp(size, offset, answer->len);
	segments = tree_segments(tree, entry, &single, &count);
	i = find_segment(segments, count, offset + answer->done);
	while (!rc && answer->done < answer->len) {
		uint64_t at = offset + answer->done;
		uint64_t hole_end = i < count ? segments[i].offset : size;
		size_t left = answer->len - answer->done;

		if (at < hole_end) {
			rc = answer_add_zeroes(answer, clamp(hole_end, at, left), &need->err);
			continue;
		}
		at -= segments[i].offset;
		rc = layer_read(fs, object, segments[i].data_offset + at,
			clamp(segments[i].size, at, left),
			segments[i].data_offset + segments[i].size, answer, need);
		i++;
	}
	return rc;
}

static int blob_content(
	struct fs *fs, struct blob *blob, uint64_t offset, struct answer *answer, struct need *need)
{
	const struct document *document;
	struct blob_object *object;
	int rc;

	if (blob->generated)
		return answer_add(answer, blob->generated + offset, answer->len, NULL, &need->err);
	if (blob->is_manifest) {
		rc = manifest_raw_get(
			fs, blob->repository, &blob->descriptor.digest, &document, need);
		if (rc)
			return rc;
		if (offset > document->len || answer->len > document->len - offset)
			return error_set(&need->err, EBADMSG,
				"%s: %zu bytes, its descriptor says %" PRIu64, blob->key,
				document->len, blob->descriptor.size);
		return answer_add(answer, document->bytes + offset, answer->len, NULL, &need->err);
	}
	rc = blob_get(fs, blob->repository, &blob->descriptor, &object, need);
	return rc ? rc : blob_read(object, offset, answer->len, answer, need);
}

int space_read(
	struct fs *fs, fuse_ino_t id, uint64_t offset, struct answer *answer, struct need *need)
{
	struct target target;

	if (!find_target(fs, id, &target))
		return no_entry(need);
	if (target.kind == SPACE_BLOBS) {
		answer->len = clamp(target.blob->descriptor.size, offset, answer->len);
		return blob_content(fs, target.blob, offset, answer, need);
	}
	if (target.kind != SPACE_FILES)
		return error_set(&need->err, EISDIR, "a directory");
	if (target.number == IDENTITY_PLAIN) {
		uint64_t size = layer_object_layer(target.layer)->plain_size;

		answer->len = clamp(size, offset, answer->len);
		return layer_read(fs, target.layer, offset + answer->done,
			answer->len - answer->done, size, answer, need);
	}
	return tree_read(fs, target.layer, target.number, offset, answer, need);
}

int segments_seek(const struct tree_segment *segments, uint32_t count, uint64_t size,
	uint64_t offset, bool to_data, uint64_t *ret)
{
	uint32_t i = find_segment(segments, count, offset);

	if (offset >= size || (to_data && i == count))
		return -ENXIO;
	*ret = offset;
	if (to_data && segments[i].offset > offset)
		*ret = segments[i].offset;
	for (; !to_data && i < count && segments[i].offset <= *ret; i++)
		*ret = segments[i].offset + segments[i].size;
	return 0;
}

int space_seek(struct fs *fs, fuse_ino_t id, uint64_t offset, bool to_data, uint64_t *ret,
	struct need *need)
{
	struct tree_segment single = { 0 };
	const struct tree_segment *segments = &single;
	uint32_t count = 1;
	struct target target;
	uint64_t size;
	int rc;

	if (!find_target(fs, id, &target))
		return no_entry(need);
	if (target.kind == SPACE_FILES && target.number != IDENTITY_PLAIN) {
		const struct tree *tree = &layer_object_layer(target.layer)->tree;

		segments = tree_segments(tree, target.number, &single, &count);
		size = tree_entry(tree, target.number)->size;
	} else if (target.kind == SPACE_FILES) {
		single.size = size = layer_object_layer(target.layer)->plain_size;
	} else if (target.kind == SPACE_BLOBS) {
		single.size = size = target.blob->descriptor.size;
	} else {
		return error_set(&need->err, EISDIR, "a directory");
	}
	rc = segments_seek(segments, count, size, offset, to_data, ret);
	return rc ? error_set(&need->err, -rc, "%s", strerror(-rc)) : 0;
}

/* --- listings --- */

/* How a child shows: as "name", or not at all. */
static const char *diff_shown_name(
	const struct fs *fs, const struct tree *tree, uint32_t directory, uint32_t entry)
{
	const char *name = tree_name(tree, entry);
	const char *whiteout;

	if (fs->options->whiteouts != WHITEOUTS_OVERLAY)
		return name;
	whiteout = tree_whiteout_of(name);
	if (!whiteout)
		return name;
	return *whiteout && tree_lookup(tree, directory, whiteout, strlen(whiteout)) == TREE_NONE
		       ? whiteout
		       : NULL;
}

/* A place is the number of children up to it. */
static int diff_list(
	struct fs *fs, const struct target *dir, uint64_t after, space_list_fn *fn, void *context)
{
	const struct tree *tree = &layer_object_layer(dir->layer)->tree;
	const struct tree_entry *directory = tree_entry(tree, dir->number);
	int rc = 0;

	for (uint64_t i = after; !rc && i < directory->u.children.count; i++) {
		uint32_t child = directory->u.children.first + (uint32_t)i;
		const char *name = diff_shown_name(fs, tree, dir->number, child);
		struct fuse_entry_param entry;

		if (!name)
			continue;
		diff_entry(fs, dir, child, &entry);
		rc = fn(context, name, &entry, i + 1);
	}
	return rc;
}

struct merge_listing {
	struct fs *fs;
	const struct target *dir;
	space_list_fn *fn;
	void *context;
};

static int add_merged(
	void *context, const char *name, uint32_t name_len, const struct merge_child *child)
{
	struct merge_listing *listing = context;
	struct space *space = listing->dir->space;
	struct merge_child found = *child;
	struct fuse_entry_param entry;
	int rc = 0;

	if (child->is_directory) /* to have its number */
		rc = merge_lookup(space->merge, listing->dir->number, name, name_len, &found);
	if (!rc)
		rc = rootfs_entry(listing->fs, space, &found, &entry);
	if (rc)
		return rc;
	return listing->fn(listing->context, name, &entry, child->place);
}

int space_list(struct fs *fs, fuse_ino_t id, uint64_t after, space_list_fn *fn, void *context,
	struct need *need)
{
	struct target dir;
	struct merge_listing listing = { .fs = fs, .dir = &dir, .fn = fn, .context = context };
	int rc;

	if (!find_target(fs, id, &dir))
		return no_entry(need);
	if (dir.kind == SPACE_DIFF)
		rc = diff_list(fs, &dir, after, fn, context);
	else if (dir.kind == SPACE_ROOTFS)
		rc = merge_list(dir.space->merge, dir.number, after, add_merged, &listing);
	else
		return error_set(&need->err, ENOTDIR, "not a directory");
	return rc < 0 ? error_set(&need->err, -rc, "%s", strerror(-rc)) : rc;
}

/* --- extended attributes --- */

/* The entry behind a number, and its layer; false for blobs and made-up directories. */
static bool target_entry(
	const struct target *target, struct layer_object **ret, uint32_t *ret_entry)
{
	struct merge_ref ref;

	switch (target->kind) {
	case SPACE_FILES:
		if (target->number == IDENTITY_PLAIN)
			return false;
		/* fall through */
	case SPACE_DIFF:
		*ret = target->layer;
		*ret_entry = target->number;
		return true;
	case SPACE_ROOTFS:
		ref = merge_directory_ref(target->space->merge, target->number);
		if (ref.layer == UINT32_MAX)
			return false;
		*ret = target->space->layers[ref.layer];
		*ret_entry = ref.entry;
		return true;
	case SPACE_NONE:
	case SPACE_BLOBS:
		break;
	}
	return false;
}

static int put_digest(struct buf *ret, const struct digest *digest)
{
	char text[DIGEST_TEXT_MAX];

	return buf_append_text(ret, digest_format(digest, text));
}

static int put_text(struct buf *ret, const char *text)
{
	return text && *text ? buf_append_text(ret, text) : -ENODATA;
}

static int layer_attribute(const struct layer_object *object, const char *name, struct buf *ret)
{
	const struct descriptor *descriptor = layer_object_descriptor(object);
	char state[32];

	if (!strcmp(name, "layer"))
		return put_digest(ret, &descriptor->digest);
	if (!strcmp(name, "diff_id"))
		return put_digest(ret, &layer_object_layer(object)->diff_id);
	if (!strcmp(name, "created_by"))
		return put_text(ret, layer_object_created_by(object));
	if (!strcmp(name, "state")) {
		layer_object_state(object, state, sizeof state);
		return buf_append_text(ret, state);
	}
	return -ENODATA;
}

static int put_converted(struct fs *fs, const struct blob *blob, struct buf *ret)
{
	const char *made_from = store_source(fs->store)->makes_manifests_from;

	if (!blob->is_manifest || !made_from)
		return put_text(ret, blob->converted);
	return buf_printf(ret, "made up from the %s", made_from);
}

static int put_signature(struct fs *fs, const struct blob *blob, struct buf *ret, struct need *need)
{
	char text[SIGNATURE_TEXT_MAX];
	const struct document *document;
	int rc = blob->is_manifest ? manifest_get(fs, blob->repository, &blob->descriptor.digest,
					     &document, need)
				   : -ENODATA;

	return rc ? rc : put_text(ret, signature_format(&document->image, text));
}

static int blob_attribute(struct fs *fs, const struct blob *blob, const char *name, struct buf *ret,
	struct need *need)
{
	const struct digest *digest = &blob->descriptor.digest;

	if (!strcmp(name, "digest"))
		return put_digest(ret, digest);
	if (!strcmp(name, "media_type"))
		return put_text(ret, blob->descriptor.media_type);
	if (!strcmp(name, "converted"))
		return put_converted(fs, blob, ret);
	if (!strcmp(name, "signature"))
		return put_signature(fs, blob, ret, need);
	if (!strcmp(name, "state")) {
		struct layer_object *object =
			blob->generated ? NULL
					: layer_peek(fs, blob->repository, &blob->descriptor);
		char state[32];

		if (blob->generated || blob->is_manifest)
			return buf_append_text(ret, "cached");
		layer_object_state(object, state, sizeof state);
		return buf_append_text(ret, state);
	}
	return -ENODATA;
}

/* ls -l asks for some attributes on every entry; told once that they are not supported, it
 * stops.  Where a layer does use the name, the truth is that this file has none. */
static int absent(const struct layer_object *object, const char *name)
{
	if ((!strncmp(name, "security.", 9) || !strncmp(name, "system.", 7)) &&
		!(object && layer_object_uses_xattr(object, name)))
		return -EOPNOTSUPP;
	return -ENODATA;
}

static const char overlay_opaque[] = "trusted.overlay.opaque";

/* Does a directory replace what is below?  The layer says so within, or by a whiteout beside it. */
static bool is_overlay_opaque(
	const struct fs *fs, const struct target *target, const struct tree *tree, uint32_t entry)
{
	const struct tree_entry *directory = tree_entry(tree, entry);
	char whiteout[TREE_NAME_MAX + 8];

	if (fs->options->whiteouts != WHITEOUTS_OVERLAY || target->kind != SPACE_DIFF ||
		!S_ISDIR(directory->mode))
		return false;
	(void)snprintf(whiteout, sizeof whiteout, ".wh.%s", tree_name(tree, entry));
	return directory->flags & TREE_OPAQUE ||
	       tree_lookup(tree, directory->parent, whiteout, strlen(whiteout)) != TREE_NONE;
}

int space_xattr(struct fs *fs, fuse_ino_t id, const char *name, struct buf *ret, struct need *need)
{
	static const char prefix[] = "user.imgfs.";
	struct layer_object *object = NULL;
	struct tree_xattr xattr;
	struct target target;
	uint32_t entry = 0;
	bool has_entry;

	if (!find_target(fs, id, &target))
		return no_entry(need);
	has_entry = target_entry(&target, &object, &entry);
	if (!strncmp(name, prefix, sizeof prefix - 1)) {
		if (target.kind == SPACE_BLOBS)
			return blob_attribute(fs, target.blob, name + sizeof prefix - 1, ret, need);
		object = has_entry ? object : target.layer;
		/* Of what is in a layer the digest is unknown; its door is the layer. */
		if (target.kind == SPACE_DIFF && !target.number &&
			!strcmp(name + sizeof prefix - 1, "digest"))
			return put_digest(ret, &layer_object_descriptor(object)->digest);
		return object ? layer_attribute(object, name + sizeof prefix - 1, ret) : -ENODATA;
	}
	if (!has_entry)
		return absent(NULL, name);
	for (uint32_t k = 0; tree_xattr(&layer_object_layer(object)->tree, entry, k, &xattr); k++)
		if (!strcmp(xattr.name, name))
			return buf_append(ret, xattr.value, xattr.value_len);
	if (!strcmp(name, overlay_opaque) &&
		is_overlay_opaque(fs, &target, &layer_object_layer(object)->tree, entry))
		return buf_append(ret, "y", 1);
	return absent(object, name);
}

int space_xattr_list(struct fs *fs, fuse_ino_t id, struct buf *ret, struct need *need)
{
	struct layer_object *object;
	struct tree_xattr xattr;
	struct target target;
	const struct tree *tree;
	uint32_t entry;
	int rc = 0;

	if (!find_target(fs, id, &target))
		return no_entry(need);
	if (!target_entry(&target, &object, &entry))
		return 0;
	tree = &layer_object_layer(object)->tree;
	for (uint32_t k = 0; !rc && tree_xattr(tree, entry, k, &xattr); k++)
		rc = buf_append(ret, xattr.name, strlen(xattr.name) + 1);
	if (!rc && is_overlay_opaque(fs, &target, tree, entry))
		rc = buf_append(ret, overlay_opaque, sizeof overlay_opaque);
	return rc;
}
