/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spaces -- nodes that need no memory each: files of layers, directories of
 * diff/ and rootfs/, stored blobs.  Their node id is space<<32 | number (fs.h).
 *
 * A space stays until the unmount; there is one for each layer, each diff/ and
 * each rootfs/ that was entered, and one for all blobs.
 */
#ifndef FS_SPACES_H
#define FS_SPACES_H

#include "fs/node.h"
#include "fs/objects.h"

/* Numbers in a layer's identity that are no entries (those are below 1<<24). */
enum { IDENTITY_BLOB = 0x7fffffff, IDENTITY_PLAIN = 0x7ffffffe, IDENTITY_DIRECTORY = 0x7ffffffd };

int spaces_new(struct fs *fs, struct error *err);
void spaces_free(struct fs *fs);

/* The identity of a digest: equal content, equal number.  0: out of memory. */
uint32_t identity_of(struct fs *fs, const struct digest *digest);
/* Adds the blob's size to fs->known_bytes, once for each digest. */
void identity_count(struct fs *fs, const struct descriptor *blob);
static inline fuse_ino_t identity_ino(uint32_t identity, uint32_t number)
{
	return (fuse_ino_t)identity << 32 | number;
}

/* A new space for the files of a layer, for its object. */
uint32_t space_add_files(struct fs *fs, struct layer_object *object);
/* The root directory of a layer's diff/, of a merged rootfs/: key is the path that
 * leads to it, so that one path is one space.  *ret is its node id. */
int space_diff(struct fs *fs, const char *key, struct layer_object *object, fuse_ino_t *ret,
	struct need *need);
int space_rootfs(struct fs *fs, const char *key, struct layer_object **layers, uint32_t count,
	fuse_ino_t *ret, struct need *need);

/* The size of a stored blob.  One that no descriptor told is found by having the blob. */
int blob_find_size(struct fs *fs, const char *repository, const struct descriptor *blob,
	bool is_manifest, uint64_t *ret, struct need *need);

/* Entries for *ret of a lookup. */
/* A stored blob, read as it is.  is_manifest: it comes from the manifests endpoint. */
int entry_blob(struct fs *fs, const char *repository, const struct descriptor *blob,
	bool is_manifest, struct fuse_entry_param *ret, struct need *need);
/* A generated blob, held in memory (copied). */
int entry_generated(struct fs *fs, const struct digest *digest, const char *bytes, size_t len,
	const char *converted, struct fuse_entry_param *ret, struct need *need);
/* A layer's plain tar. */
int entry_plain(struct fs *fs, struct layer_object *object, struct fuse_entry_param *ret,
	struct need *need);

/* The operations on an id of a space; all as ops.c needs them. */
bool space_has(struct fs *fs, fuse_ino_t id);
int space_lookup(struct fs *fs, fuse_ino_t id, const char *name, struct fuse_entry_param *ret,
	struct need *need);
int space_stat(struct fs *fs, fuse_ino_t id, struct stat *ret, struct need *need);
int space_readlink(struct fs *fs, fuse_ino_t id, const char **ret, struct need *need);
/* The bytes at offset; lowers answer->len to what there is. */
int space_read(
	struct fs *fs, fuse_ino_t id, uint64_t offset, struct answer *answer, struct need *need);
/* Where lseek(2) goes from offset in a file of size bytes, of which the segments are stored:
 * to data, or to a hole.  -ENXIO: there is none any more. */
int segments_seek(const struct tree_segment *segments, uint32_t count, uint64_t size,
	uint64_t offset, bool to_data, uint64_t *ret);
/* The same in a file of a space. */
int space_seek(struct fs *fs, fuse_ino_t id, uint64_t offset, bool to_data, uint64_t *ret,
	struct need *need);
/* Calls fn for each child, with the entry a lookup would give, from behind the one that had this
 * place (0: from the first); stops at a return that is not 0, and gives it back. */
typedef int space_list_fn(
	void *context, const char *name, const struct fuse_entry_param *entry, uint64_t place);
int space_list(struct fs *fs, fuse_ino_t id, uint64_t after, space_list_fn *fn, void *context,
	struct need *need);
/* Value of one attribute, names of all listed ones (each with its NUL). */
int space_xattr(struct fs *fs, fuse_ino_t id, const char *name, struct buf *ret, struct need *need);
int space_xattr_list(struct fs *fs, fuse_ino_t id, struct buf *ret, struct need *need);

#endif
