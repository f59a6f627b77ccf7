/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store -- a descriptor in, verified bytes out: joins one source and the cache.
 *
 * Everything it gives has been verified against its digest, store_range() excepted.  All calls
 * block and are made from job threads; any number at once.  Two calls for one blob that are at the
 * same step (below): the second waits for the first's result (flock of the partial, or an
 * in-process table).
 *
 * Rules it keeps: a document is fetched once and kept by digest; local blobs are never
 * copied, only their indexes are (foreign layers lie in the cache); a cached blob is served only
 * after this identity proved access through this repository; a bad copy (digest mismatch) is
 * dropped and fetched afresh once, then -EBADMSG; when the registry is away (source_is_away()),
 * what is in the cache goes on, with one warning until it answers again; offline: nothing but the
 * cache is asked, -ENETUNREACH for what it does not have; a full disk degrades to unlinked
 * temporary files, and to -ENOSPC only when there is no place at all. A listed blob that the source
 * does not have is -EIO, never -ENOENT.
 */
#ifndef FETCH_STORE_STORE_H
#define FETCH_STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "fetch/cache/cache.h"
#include "fetch/cancel.h"
#include "fetch/layer/layer.h"
#include "fetch/observer.h"
#include "fetch/reader.h"
#include "fetch/source.h"

struct http_config;
struct store;

struct store_config {
	const char *host; /* names the source in refs/: host[:port], or "" for local ones */
	bool offline;
	/* Bytes of one blob that are fetched, and plain bytes of a layer; 0: none.  Over it: -EFBIG
	 */
	uint64_t fetch_limit;
	/* Foreign layers: a blob that the source does not have is fetched from the URLs in its
	 * descriptor, by a client made from http (fetch/urls). */
	bool follow_urls;
	const struct http_config *http; /* follow_urls only; needed by store_new() alone */
};

/* How far a call may go.  When that is not far enough, it returns the step (positive) that has to
 * be taken next, and the caller calls again with that one: on another thread, perhaps, so that what
 * is in the cache waits neither for a network nor behind long work.  The others' results are given
 * by any step, if they are there by then. */
enum store_step {
	STORE_LOOK,  /* opens what is there.  No network, no long work, and no waiting for others */
	STORE_ASK,   /* asks the source whether what is there may be read: a small request */
	STORE_WORK,  /* makes what can be made from what is there, by reading all of it.  No network
		      */
	STORE_FETCH, /* does what it takes: the last step, and fine as the only one */
};

/* Takes the source; borrows cache (may be NULL: no cache, temporary files) and observer. */
int store_new(struct store **ret, struct source *source, struct cache *cache,
	const struct store_config *config, struct observer *observer, struct error *err);
void store_free(struct store *store);
struct source *store_source(struct store *store);

/* Lists and tags go to the source and refresh the cache; the caller minds the age. */
int store_repositories(
	struct store *store, struct name_list *ret, struct cancel *cancel, struct error *err);
int store_tags(struct store *store, const char *repository, struct name_list *ret,
	struct cancel *cancel, struct error *err);
int store_resolve(struct store *store, const char *repository, const char *tag,
	struct descriptor *ret, struct cancel *cancel, struct error *err);
/* The same, for who reads the manifest next: of a tag that was never seen it comes along. */
int store_resolve_to_read(struct store *store, const char *repository, const char *tag,
	struct descriptor *ret, struct cancel *cancel, struct error *err);
/* Is the source there and may it be used, by source_ops.probe of a repository, or (is_directory) of
 * the source itself, below whose repository we are to look?  When it is away: does the cache have
 * any names there? */
int store_probe(struct store *store, const char *repository, bool is_directory,
	struct cancel *cancel, struct error *err);

/* A source that did not answer when it was asked last. */
struct store_away {
	uint64_t since_ms; /* monotonic */
	int rc;            /* the last failure */
	struct error why;
};
/* ret may be NULL. */
bool store_is_away(struct store *store, struct store_away *ret);
/* The caller has found out that it is: rc and why, as of a call that failed. */
void store_note_away(struct store *store, int rc, const struct error *why);
/* Who asks next is not told what was found out a moment ago. */
void store_ask_again(struct store *store);

/* Manifests whose subject is this one, as in source_ops.referrers and kept as names are; the
 * caller's: descriptors_free().  A source that knows of none has none. */
int store_referrers(struct store *store, const char *repository, const struct digest *subject,
	struct descriptor **ret, size_t *ret_count, struct cancel *cancel, struct error *err);

/* A manifest or index (a signed schema 1 manifest by the digest of its payload): at most
 * DOCUMENT_MAX bytes, owned by the caller, followed by a NUL.  *ret_type as in source_ops.manifest;
 * may be NULL. */
int store_manifest(struct store *store, enum store_step step, const char *repository,
	const struct digest *digest, char **ret_bytes, size_t *ret_len, char **ret_type,
	struct cancel *cancel, struct error *err);
/* Can store_manifest() do without the source, if that is away? */
bool store_has_manifest(struct store *store, const char *repository, const struct digest *digest);
/* A config or other small blob, likewise.  Data inside the descriptor is used, here and by
 * store_blob(), if it is what it should be. */
int store_document(struct store *store, enum store_step step, const char *repository,
	const struct descriptor *blob, char **ret_bytes, size_t *ret_len, struct cancel *cancel,
	struct error *err);

/* A verified blob, readable in place. */
struct stored_blob {
	struct reader *bytes; /* owned */
	uint64_t size;
	bool is_local;  /* in a file of the source: could be changed by others */
	struct stat st; /* of that file when the blob was verified */
};
int store_blob(struct store *store, enum store_step step, const char *repository,
	const struct descriptor *blob, struct stored_blob *ret, struct progress *progress,
	struct cancel *cancel, struct error *err);
void stored_blob_release(struct stored_blob *blob);
/* False when the local file was touched since the blob was verified. */
bool stored_blob_is_intact(const struct stored_blob *blob);

/* Finds the digest and the size of a layer that has nothing but a layer_id, by reading it once;
 * *ret becomes a copy of its descriptor with both.  A registry's layer enters the cache by that,
 * and what was found is remembered there. */
int store_locate(struct store *store, enum store_step step, const char *repository,
	const struct descriptor *layer, struct descriptor *ret, struct progress *progress,
	struct cancel *cancel, struct error *err);

/* A layer's index, made if there is none: one pass over the blob, which a registry's
 * layer enters the cache by as well. */
int store_layer(struct store *store, enum store_step step, const char *repository,
	const struct descriptor *blob, struct layer **ret, struct progress *progress,
	struct cancel *cancel, struct error *err);
/* What layer_decode_span() needs: the blob (fetched again when it has been evicted) and
 * the spool (*ret_spool_fd -1 when not needed).  The caller unrefs and closes them.  may_lack_blob:
 * *ret_blob becomes NULL instead, where store_range() can be tried. */
int store_layer_files(struct store *store, enum store_step step, const char *repository,
	const struct descriptor *blob, const struct layer *layer, bool may_lack_blob,
	struct reader **ret_blob, int *ret_spool_fd, struct progress *progress,
	struct cancel *cancel, struct error *err);
/* len bytes (not 0) at offset of a layer's blob, which has size bytes, by one request; they are
 * kept nowhere.  fetched: bytes of it that came so before, which count against fetch_limit.  *ret
 * has the size of the blob, and these bytes at least.  NOT verified: layer_decode_span() does that.
 * -EOPNOTSUPP: no parts are to be had, the blob has to be fetched whole. */
int store_range(struct store *store, const char *repository, const struct descriptor *blob,
	uint64_t size, uint64_t fetched, uint64_t offset, size_t len, struct reader **ret,
	struct progress *progress, struct cancel *cancel, struct error *err);
/* What store_range() gave was not what it should be: the source may have other ways. */
void store_distrust(struct store *store, const struct digest *digest);
/* A span proved to be damaged: drops the cached blob, spool and index, so that the next call
 * makes them anew. */
void store_layer_damaged(struct store *store, const struct layer *layer);
/* The same for a blob that is not local, and whose bytes can no longer be read. */
void store_blob_damaged(struct store *store, const struct digest *digest);

#endif
