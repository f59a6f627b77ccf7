/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source -- where images come from: one interface over registry, layout, and
 * whatever follows.
 *
 * All calls may block and are made from several threads at once; each takes a
 * cancel (may be NULL) and returns -EINTR soon after it is set.  What a source
 * gives is NOT verified; fetch/store does that for everybody.
 *
 * Errors: ENOENT (no such repository, tag or digest), EACCES, EDQUOT (rate
 * limited), EHOSTUNREACH, ETIMEDOUT, EPROTO (TLS, HTTP nonsense), EIO.
 */
#ifndef FETCH_SOURCE_H
#define FETCH_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "model/buf.h"
#include "model/descriptor.h"
#include "model/error.h"

struct cancel;
struct reader;

/* A sorted list of unique names.  Owns them. */
struct name_list {
	char **names;
	size_t count;
};

enum {
	LIST_NAMES_MAX = 2000000, /* names of one list */
	LIST_BYTES_MAX = 8 << 20, /* bytes of one page */
	LIST_PAGES_MAX = 10000,
};

/* Does a failure say nothing about what was asked for?  Nobody could be asked (no route, no such
 * host, refused, TLS), or nobody answered in time, or not with an answer: 429, 5xx, nonsense, bytes
 * that are not those asked for.  Then what was known before may stand in.  A no never is such a
 * failure (-EACCES, -ENOENT: 401, 403, 404), nor is trouble of our own. */
bool source_is_away(int rc);

int name_list_add(struct name_list *list, const char *name, struct error *err);
void name_list_sort(struct name_list *list);                        /* by bytes; drops duplicates */
bool name_list_has(const struct name_list *list, const char *name); /* sorted lists only */
void name_list_release(struct name_list *list);

/* The bytes of one blob, in order. */
struct blob_stream;
struct blob_stream_ops {
	/* Blocks until there is something; 0 at the end; negative errno. */
	ssize_t (*read)(struct blob_stream *stream, void *bytes, size_t len, struct error *err);
	void (*free)(struct blob_stream *stream);
};
struct blob_stream {
	const struct blob_stream_ops *ops;
};

enum source_kind {
	SOURCE_NONE,
	SOURCE_LAYOUT, /* OCI layouts and archives of them */
	SOURCE_REGISTRY,
	SOURCE_REGISTRY_V1,
	SOURCE_MIRRORS,        /* a registry by several routes */
	SOURCE_DOCKER_ARCHIVE, /* docker save, of any age */
	SOURCE_DIR,            /* containers-transports(5) "dir:" */
	SOURCE_DAEMON,
};

enum { REFERRERS_MAX = 10000 }; /* referrers of one manifest */

struct source {
	enum source_kind kind;
	const struct source_ops *ops;
	/* Refs are plain tags of one nameless repository "" (true), or there is
	 * a level of repositories above the tags (false). */
	bool is_single_repository;
	/* Blobs lie in local files (open_reader works) and are never copied to the cache. */
	bool is_local;
	/* is_local, and yet manifest() and open_reader() may wait for somebody else: for an engine
	 * that has to save an image once more. */
	bool may_wait;
	/* There is one image: resolve() gives it for repository "" and tag "". */
	bool is_single_image;
	/* Manifests are made up here, from this ("manifest.json of the archive"); NULL: stored
	 * ones. */
	const char *makes_manifests_from;
};

struct source_ops {
	/* -EACCES, -ENOENT or -EOPNOTSUPP when this source has no list. */
	int (*repositories)(struct source *source, struct name_list *ret, struct cancel *cancel,
		struct error *err);
	int (*tags)(struct source *source, const char *repository, struct name_list *ret,
		struct cancel *cancel, struct error *err);
	/* Digests of manifests without a name ("sha256:..."); NULL: this kind has none. */
	int (*untagged)(struct source *source, const char *repository, struct name_list *ret,
		struct cancel *cancel, struct error *err);
	/* What a tag points at.  ret->size may be DESCRIPTOR_SIZE_UNKNOWN and
	 * ret->media_type NULL, when the source does not say. */
	int (*resolve)(struct source *source, const char *repository, const char *tag,
		struct descriptor *ret, struct cancel *cancel, struct error *err);
	/* The same, and the manifest's bytes, in one request; body has its ceiling set.  NULL: this
	 * kind has no requests to save. */
	int (*resolve_to_read)(struct source *source, const char *repository, const char *tag,
		struct descriptor *ret, struct buf *body, struct cancel *cancel, struct error *err);
	/* The bytes of a manifest or index, by digest; body has its ceiling set.  *ret_type
	 * (may be NULL) becomes the announced media type or NULL; the caller frees it. */
	int (*manifest)(struct source *source, const char *repository, const struct digest *digest,
		struct buf *body, char **ret_type, struct cancel *cancel, struct error *err);
	/* A blob (layer or config) from offset on.  The cancel must outlive the stream.
	 * *ret_offset is where it really starts: offset, or 0 when that cannot be had.
	 * -ERANGE: it has no byte there. */
	int (*open_blob)(struct source *source, const char *repository,
		const struct descriptor *blob, uint64_t offset, struct blob_stream **ret,
		uint64_t *ret_offset, struct cancel *cancel, struct error *err);
	/* The same for len bytes (not 0) at offset alone.  -EOPNOTSUPP: the server sends no parts
	 * of it.  NULL: this kind has none. */
	int (*open_range)(struct source *source, const char *repository,
		const struct descriptor *blob, uint64_t offset, uint64_t len,
		struct blob_stream **ret, struct cancel *cancel, struct error *err);
	/* is_local: the stored blob, readable at any offset; the caller unrefs it.  Only regular
	 * files inside the source are opened.  NULL otherwise. */
	int (*open_reader)(struct source *source, const struct digest *digest, struct reader **ret,
		struct cancel *cancel, struct error *err);
	/* What came for this blob had another digest: it is to come from elsewhere the next time.
	 * NULL: there is nowhere else. */
	void (*distrust)(struct source *source, const struct digest *digest);
	/* V1: the stored bytes of a layer by its id, whose digest nobody knows yet.  As open_blob.
	 * A local source remembers by finished reading what the digest is: open_reader() then finds
	 * it.  NULL: layers have digests. */
	int (*open_layer)(struct source *source, const char *repository, const char *layer_id,
		struct blob_stream **ret, struct cancel *cancel, struct error *err);
	/* Manifests whose subject is this one (distribution-spec "Listing Referrers"): descriptors
	 * with artifact_type and annotations; *ret is the caller's: descriptors_free().  None is no
	 * error. NULL: this kind has none. */
	int (*referrers)(struct source *source, const char *repository,
		const struct digest *subject, struct descriptor **ret, size_t *ret_count,
		struct cancel *cancel, struct error *err);
	/* May this identity read the blob through this repository?  0, or -EACCES, -ENOENT, ...
	 * Asked before a cached blob is served.  NULL: always. */
	int (*prove)(struct source *source, const char *repository, const struct descriptor *blob,
		struct cancel *cancel, struct error *err);
	/* Names the repository and identity for the cache: who was allowed to read.  "" for local.
	 */
	const char *(*identity)(struct source *source);
	/* One cheap round trip (or none) that tells whether the source is there and may
	 * be used: repository may be NULL (the source itself). */
	int (*probe)(struct source *source, const char *repository, struct cancel *cancel,
		struct error *err);
	void (*free)(struct source *source);
};

void source_free(struct source *source); /* NULL is fine */

#endif
