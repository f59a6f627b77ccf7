/* SPDX-License-Identifier: Apache-2.0 */
/*
 * internal -- what the archive's files share.  Nobody outside fetch/archive includes this.
 *
 *	archive.c   the source: names, and which image a question is about
 *	saved.c     images of manifest.json
 *	v1.c        images without one
 *	members.c   what is known of members and blobs
 *	complete.c  docker_archive_prefers_layout()
 *
 * Images and names are read when the archive is opened and stay as they are;
 * what is found out later is under the lock, which is held for memory alone.
 */
#ifndef FETCH_ARCHIVE_INTERNAL_H
#define FETCH_ARCHIVE_INTERNAL_H

#include <pthread.h>

#include "fetch/archive/archive.h"
#include "model/descriptor.h"
#include "model/media_type.h"

#define V1_ID_LEN 64
#define V1_NONE   SIZE_MAX

/* A layer that may lie elsewhere: LayerSources, if it has URLs. */
struct foreign_layer {
	struct digest diff_id;
	struct descriptor descriptor;
};

struct archive_image {
	bool has_name;
	/* manifest.json; names of members are normalised. */
	char *config;
	char **layers; /* base first */
	size_t layer_count;
	struct foreign_layer *foreign;
	size_t foreign_count;
	/* V1. */
	char head[V1_ID_LEN + 1];
	/* What is wrong with it, as far as that was seen at once. */
	int rc;
	char *why;

	bool was_tried;       /* under lock: made, or failed for good */
	struct digest digest; /* under lock; of its manifest, when that was made */
	uint64_t size;        /* under lock */
};

struct archive_name {
	char *repository, *tag;
	size_t image;
	bool is_lost; /* a later image has the name */
};

/* A V1 image as a link of chains. */
struct v1_node {
	char id[V1_ID_LEN + 1];
	char parent_id[V1_ID_LEN + 1]; /* "" for none, or unknown */
	size_t parent;                 /* V1_NONE: none in the archive */
	size_t image;                  /* whose head it is, or V1_NONE */
	bool is_parent;
};

struct archive_member;
struct archive_blob;

struct archive {
	struct source base;
	struct bundle *bundle;
	struct observer *observer;
	bool is_v1;
	struct archive_image *images;
	size_t image_count;
	struct archive_name *names; /* by repository, tag, order of appearance */
	size_t name_count;
	struct v1_node *nodes; /* by id */
	size_t node_count;
	pthread_mutex_t lock;
	struct archive_member *members; /* under lock; by path */
	struct archive_blob *blobs;     /* under lock; by digest */
};

/* archive.c: adds an image, broken or not; *ret is its number. */
int archive_add_image(
	struct archive *archive, const struct archive_image *image, size_t *ret, struct error *err);
/* A name; one that no repository and tag can be made of is left out with a warning. */
int archive_add_name(struct archive *archive, const char *repository, size_t repository_len,
	const char *tag, size_t image, struct error *err);
void archive_image_release(struct archive_image *image);
/* Remembers what is wrong with an image; returns -ENOMEM or 0. */
int archive_image_break(
	struct archive_image *image, int rc, const struct error *why, struct error *err);

/* saved.c */
int archive_saved_open(struct archive *archive, const char *bytes, size_t len, struct error *err);
/* Appends the image's manifest. */
int archive_saved_make(struct archive *archive, const struct archive_image *image, struct buf *ret,
	struct cancel *cancel, struct error *err);

/* v1.c */
bool archive_v1_id_is_valid(const char *text);
int archive_v1_open(struct archive *archive, struct cancel *cancel, struct error *err);
int archive_v1_make(struct archive *archive, const struct archive_image *image, struct buf *ret,
	struct cancel *cancel, struct error *err);
int archive_v1_open_layer(struct archive *archive, const char *layer_id, struct blob_stream **ret,
	struct cancel *cancel, struct error *err);

/* members.c */
struct member_facts {
	enum media_coding coding; /* as sniffed */
	uint64_t size;            /* of what is stored */
	struct digest digest;     /* of it, if it is compressed */
};
/* The name as bundles want it; -EIO if it leads outside or nowhere. */
int archive_member_path(char **ret, const char *name, struct error *err);
/* -ENOENT when there is no such member.  Two threads may both look; one result stays. */
int archive_member_examine(struct archive *archive, const char *path, struct member_facts *ret,
	struct cancel *cancel, struct error *err);
/* That the member has this digest, or claims so.  The first one stays. */
int archive_blob_remember(
	struct archive *archive, const struct digest *digest, const char *path, struct error *err);
/* -ENOENT when nobody has told. */
int archive_blob_open(struct archive *archive, const struct digest *digest, struct reader **ret,
	struct error *err);
void archive_members_release(struct archive *archive);

#endif
