/* SPDX-License-Identifier: Apache-2.0 */
/*
 * objects -- what a mount knows: lists, tags, documents, layers, spans.
 *
 * Each is a load (load.h), found by its key in a table.  The xxx_get() calls
 * return 0 with the thing, LOAD_PENDING with need->load, or a negative errno
 * with need->err.  What they give belongs to the table and is good until the
 * operation returns.
 *
 * Bounds: documents DOCUMENTS_MAX bytes, open files of layers FILES_MAX, of
 * which the least recently used go first; spans as many bytes as the option
 * span_cache says (objects_spans.c).  What went comes back from the cache on
 * disk when it is wanted again.
 */
#ifndef FS_OBJECTS_H
#define FS_OBJECTS_H

#include "fs/fs.h"
#include "model/tree/merge.h"

#define DOCUMENTS_MAX (UINT64_C(64) << 20) /* bytes of documents kept in memory */

enum {
	FILES_MAX = 512,            /* layers whose files are open at once */
	DOCUMENT_RECENT_MS = 10000, /* younger ones are never evicted: somebody is at them */
};

int objects_new(struct fs *fs, struct error *err);
void objects_free(struct fs *fs);
/* The process has no descriptors left: gives up half of those that are kept open for who may come
 * again.  False: there are none. */
bool objects_give_up_files(struct fs *fs);
/* SIGHUP: lists, tags and referrers are asked for anew. */
void objects_forget_lists(struct fs *fs);

/* A string that lives as long as the mount; equal text gives the equal pointer. */
const char *intern(struct fs *fs, const char *text);

/* --- lists and tags; older than ttl they are asked for again --- */

int repositories_get(struct fs *fs, const struct name_list **ret, struct need *need);
/* Repositories whose tags were listed so far, for sources that have no list. */
int repositories_visited(struct fs *fs, struct name_list *ret, struct need *need);
int tags_get(
	struct fs *fs, const char *repository, const struct name_list **ret, struct need *need);
int untagged_get(
	struct fs *fs, const char *repository, const struct name_list **ret, struct need *need);
/* What a tag points at. */
int ref_get(struct fs *fs, const char *repository, const char *tag, const struct descriptor **ret,
	struct need *need);

/* A manifest that has another one as its subject. */
struct referrer {
	char *type; /* what it is, as a directory's name */
	struct digest digest;
};

/* All of a manifest or index, sorted by type; likewise. */
int referrers_get(struct fs *fs, const char *repository, const struct digest *subject,
	const struct referrer **ret, size_t *ret_count, struct need *need);

/* --- documents --- */

struct platform_entry {
	char *name;                 /* of its directory */
	struct descriptor manifest; /* owned */
};

struct document {
	const char *bytes; /* followed by a NUL */
	size_t len;
	enum document_kind kind;  /* DOCUMENT_UNKNOWN: a config or another plain blob */
	struct image image;       /* manifests */
	struct image_index index; /* indexes */
	/* Made at first need, see image_platforms(). */
	struct platform_entry *platforms;
	size_t platform_count;
	bool has_platforms;
};

static inline bool document_is_index(const struct document *document)
{
	return document->kind == DOCUMENT_OCI_INDEX || document->kind == DOCUMENT_DOCKER_LIST;
}

/* A manifest or index, parsed.  Malformed ones fail. */
int manifest_get(struct fs *fs, const char *repository, const struct digest *digest,
	const struct document **ret, struct need *need);
/* Its bytes alone: malformed ones too. */
int manifest_raw_get(struct fs *fs, const char *repository, const struct digest *digest,
	const struct document **ret, struct need *need);
/* A config or other small blob. */
int small_blob_get(struct fs *fs, const char *repository, const struct descriptor *blob,
	const struct document **ret, struct need *need);
/* A manifest whose config has been read as well (unless it is an artifact).  LOAD_PENDING: when the
 * manifest is there, *ret is the image as far as that tells; else NULL. */
int image_get(struct fs *fs, const char *repository, const struct digest *digest,
	const struct image **ret, struct need *need);
/* The platforms of an index (nested ones too) with their directory names, or the single one of a
 * manifest; none for an artifact. */
int image_platforms(struct fs *fs, const char *repository, const struct digest *digest,
	const struct platform_entry **ret, size_t *ret_count, struct need *need);

/* --- layers --- */

struct layer_object;

/* The descriptor of a layer of an image, with its digest: a layer of a V1 image has to be read
 * for that.  *ret is good as long as the image, or for ever. */
int layer_locate(struct fs *fs, const char *repository, const struct descriptor *layer,
	const struct descriptor **ret, struct need *need);
/* The same as far as it is known already: perhaps without a digest. */
const struct descriptor *layer_known(
	struct fs *fs, const char *repository, const struct descriptor *layer);

/* The index of a layer, located first. */
int layer_get(struct fs *fs, const char *repository, const struct descriptor *blob,
	struct layer_object **ret, struct need *need);
/* All layers of an image that has a root file system; all are started before one is waited for. */
int layers_get(struct fs *fs, const char *repository, const struct image *image, size_t count,
	struct layer_object **ret, struct need *need);
/* The layers of an image, perhaps without its config, will be wanted: starts them, and waits for
 * nothing. */
void layers_start(struct fs *fs, const char *repository, const struct image *image, pid_t asker);
/* What passes over the layers found, one for each, for the caller to free. */
int layer_facts_get(struct fs *fs, const char *repository, const struct image *image,
	struct layer_facts **ret, struct need *need);
/* Whatever is known of it without starting anything; NULL when it was never asked for. */
struct layer_object *layer_peek(
	struct fs *fs, const char *repository, const struct descriptor *blob);
/* The opened index; NULL until it is there. */
const struct layer *layer_object_layer(const struct layer_object *object);
uint32_t layer_object_space(const struct layer_object *object); /* of its files' node ids */
uint32_t layer_object_identity(
	const struct layer_object *object); /* of its entries' inode numbers */
const struct descriptor *layer_object_descriptor(const struct layer_object *object);
void layer_note_history(
	struct fs *fs, struct layer_object *object, const struct image *image, size_t layer);
/* What the history says made it, in the image it was first seen in; NULL when unknown. */
const char *layer_object_created_by(const struct layer_object *object);
/* "unfetched", "indexing 61%", "indexed". */
void layer_object_state(const struct layer_object *object, char *text, size_t len);
/* Does any entry of the layer bear this security. or system. attribute? */
bool layer_object_uses_xattr(const struct layer_object *object, const char *name);

/* Bytes of the plain stream of a layer that is there; the failure of one that cannot be decoded. */
int layer_plain_size(const struct layer_object *object, uint64_t *ret, struct need *need);
/* Adds len plain bytes at offset.  They are part of something that ends at end, which is how far
 * anything is fetched ahead; all inside plain_size. */
int layer_read(struct fs *fs, struct layer_object *object, uint64_t offset, size_t len,
	uint64_t end, struct answer *answer, struct need *need);

/* --- stored blobs --- */

struct blob_object;
int blob_get(struct fs *fs, const char *repository, const struct descriptor *blob,
	struct blob_object **ret, struct need *need);
/* It will be wanted: starts it, and waits for nothing. */
void blob_start(struct fs *fs, const char *repository, const struct descriptor *blob, pid_t asker);
/* Adds len bytes at offset (inside its size). */
int blob_read(struct blob_object *object, uint64_t offset, size_t len, struct answer *answer,
	struct need *need);
uint64_t blob_object_size(const struct blob_object *object);

/* --- changes.txt --- */

/* Lines of layer number layer against those below, for the caller to free.  They can be long, so
 * they are kept by nobody else. */
int changes_take(struct fs *fs, const char *repository, const struct digest *manifest,
	const struct image *image, size_t layer, char **ret_text, size_t *ret_len,
	struct need *need);

#endif
