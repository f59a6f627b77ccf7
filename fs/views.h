/* SPDX-License-Identifier: Apache-2.0 */
/*
 * views -- the kinds of directories above the trees, and what they share.
 * One view_*.c for each group; the tree they make is drawn in imgfs(5).
 */
#ifndef FS_VIEWS_H
#define FS_VIEWS_H

#include "fs/node.h"
#include "fs/objects.h"

extern const struct view view_repositories; /* place.repository is the path so far */
extern const struct view view_tags;
extern const struct view view_untagged;  /* _untagged/, and _untagged/ALG/ */
extern const struct view view_digests;   /* _digests/, and _digests/ALG/ */
extern const struct view view_image;     /* what a tag points at */
extern const struct view view_platform;  /* one platform of it */
extern const struct view view_oci;       /* oci/ ... */
extern const struct view view_oci_blobs; /* ... blobs/ and blobs/ALG/ */
extern const struct view view_docker;    /* docker/ */
extern const struct view view_schema1;   /* schema1/ */
extern const struct view view_layers;
extern const struct view view_layer;
extern const struct view view_diff;
extern const struct view view_rootfs;
extern const struct view view_referrers;      /* of place.manifest */
extern const struct view view_referrers_type; /* those of one type */
extern const struct view view_attestations;
extern const struct view view_control; /* .imgfs/ */
extern const struct view view_control_blobs;
extern const struct view view_file; /* content in the node */

/* 0, or a failure with need->err: how lookups end. */
int no_such_file(struct need *need, const char *name);

/* A directory in dir, as the entry of a lookup. */
int entry_directory(struct fs *fs, struct node *dir, const char *name, const struct view *view,
	const struct place *place, double timeout, struct fuse_entry_param *ret);
/* A generated file in dir; takes the text out of buf (which may have failed). */
int entry_file(struct fs *fs, struct node *dir, const char *name, struct buf *text, double timeout,
	struct fuse_entry_param *ret, struct need *need);

/* A door: diff/ or rootfs/ (view_layers.c). */
int entry_alias(struct fs *fs, struct node *node, struct fuse_entry_param *ret, struct need *need);
/* Is what is behind it here, so that to look there costs nothing?  Waits for nothing. */
bool alias_is_open(struct fs *fs, struct node *node, struct need *need);

/* The indexes of these layers are in memory. */
bool layers_are_loaded(struct fs *fs, const char *repository, const struct image *image,
	size_t first, size_t count);

/* What a node is about, found and pinned to it at first need. */
int place_image(struct fs *fs, struct node *node, const struct digest **ret, struct need *need);
int place_manifest(struct fs *fs, struct node *node, const struct digest **ret, struct need *need);

/* The view of a tag or digest: its platform, when one was chosen for the mount. */
const struct view *image_view(const struct fs *fs);

/* referrers/ of a manifest or index (view_referrers.c), attestations/ of one of an index's
 * (view_attestations.c): there when there are any.  What cannot be had is not listed, and no
 * error for its siblings. */
#define REFERRERS_NAME    "referrers"
#define ATTESTATIONS_NAME "attestations"
int lookup_referrers(struct fs *fs, struct node *dir, const struct digest *subject,
	struct fuse_entry_param *ret, struct need *need);
int list_referrers(struct fs *fs, struct node *dir, const struct digest *subject,
	struct listing *ret, struct need *need);
int lookup_attestations(
	struct fs *fs, struct node *dir, struct fuse_entry_param *ret, struct need *need);
int list_attestations(struct fs *fs, struct node *dir, struct listing *ret, struct need *need);

/* blobs/sha256 and the like: the algorithm a name stands for, or DIGEST_NONE. */
enum digest_algorithm algorithm_named(const char *name);

/* --- view_flavour.c --- */

/* An image in one family: what its manifests become, and the blobs they name. */
struct flavour_document {
	struct descriptor descriptor; /* as in that family */
	struct digest source;         /* the manifest it was made from */
	char *bytes;                  /* NULL: the source as it is */
	char *converted;              /* for the attribute: from what, what was dropped */
};
/* A config or a layer. */
struct flavour_blob {
	struct descriptor descriptor;
	char *bytes; /* made here; NULL: stored */
};
struct flavour {
	struct flavour_document *documents; /* children before parents */
	size_t document_count;
	struct flavour_blob *blobs; /* sorted by digest, each once */
	size_t blob_count;
	size_t top; /* number of the document that is the whole */
};
/* *ret is good until the next flavour is asked for, or the operation returns. */
int flavour_get(struct fs *fs, const char *repository, const struct digest *digest,
	enum media_family family, const struct flavour **ret, struct need *need);
/* What a document says; good until the operation returns. */
int flavour_document_bytes(struct fs *fs, const char *repository,
	const struct flavour_document *document, const char **ret, size_t *ret_len,
	struct need *need);
/* A config or layer as the flavour's source has it; NULL when it names none of that digest. */
const struct flavour_blob *flavour_find_blob(
	const struct flavour *flavour, const struct digest *digest);
/* The same for one manifest as unsigned schema 1, which calls itself name:tag. */
int schema1_flavour_get(struct fs *fs, const struct place *place, const struct digest *manifest,
	const struct flavour **ret, struct need *need);
/* Is there any use in looking into the directory of that family?  0, or -EOPNOTSUPP. */
int flavour_check(const struct image *image, enum media_family family, struct need *need);
/* The document or blob of a flavour, as the entry of a lookup. */
int entry_flavour_document(struct fs *fs, const char *repository,
	const struct flavour_document *document, struct fuse_entry_param *ret, struct need *need);
int entry_flavour_blob(struct fs *fs, const char *repository, const struct flavour_blob *blob,
	struct fuse_entry_param *ret, struct need *need);
/* The family that the option manifest= asks for; FAMILY_OTHER: as it is. */
enum media_family manifest_family(const struct fs *fs);
/* A manifest as it is, whatever is wrong with it. */
int entry_raw_manifest(struct fs *fs, const char *repository, const struct digest *digest,
	struct fuse_entry_param *ret, struct need *need);
/* manifest.json by the option manifest=. */
int entry_manifest(struct fs *fs, const char *repository, const struct digest *digest,
	struct fuse_entry_param *ret, struct need *need);
void flavours_free(struct fs *fs);

#endif
