/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache -- blobs, indexes and refs on disk, by digest; shared by mounts.
 *
 *	blobs/ALG/HEX      verified blobs
 *	index/ALG/HEX      layer indexes, by the digest of the blob
 *	spool/ALG/HEX      seekable copies of blobs that cannot be entered, by the same
 *	partial/HEX        blobs on their way, resumable, each under a flock
 *	refs/HOST/REPO/TAG what a tag pointed at, with the time
 *	proof/KEY/HEX      this identity may read this blob through this repository
 *	tmp/               entries on their way that cannot be resumed
 *	secret             fetch/secret.h
 *
 * Complete means: written to a temporary name, fsynced, renamed, directory
 * fsynced.  kill -9 at any moment loses at most a partial.  A damaged entry is a miss.
 * The directory is made 0700; one that is not ours, or that others may write to, is refused.
 * Thread-safe, and safe between processes.  When the disk is full (or the directory
 * read-only) writers get -ENOSPC (-EROFS) and readers go on without a cache.
 */
#ifndef FETCH_CACHE_CACHE_H
#define FETCH_CACHE_CACHE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "fetch/secret.h"
#include "model/buf.h"
#include "model/descriptor.h"
#include "model/digest.h"
#include "model/error.h"

struct cache;
struct cancel;
struct observer;

/* path: created when missing; size_max in bytes is what eviction keeps to (0: everything
 * goes when the cache is closed). */
int cache_open(struct cache **ret, const char *path, uint64_t size_max, struct observer *observer,
	struct error *err);
void cache_close(struct cache *cache);
const char *cache_path(const struct cache *cache);
/* The cache's own, which lies in it; where it cannot, one that goes with the process.  NULL: there
 * is none, also without a cache (NULL) and of one by cache_open_existing(). */
const struct secret *cache_secret(const struct cache *cache);
uint64_t cache_used(struct cache *cache); /* bytes; may be some seconds old */

/* Is an entry of that size worth writing, or would it push everything else out? */
bool cache_fits(const struct cache *cache, uint64_t size);

enum cache_kind { CACHE_BLOB, CACHE_INDEX, CACHE_SPOOL };

/* A read-only fd of a complete entry, or -ENOENT: also where the disk does not give it, after a
 * warning.  Counts as use for eviction.  A blob's size is checked against size (unless
 * DESCRIPTOR_SIZE_UNKNOWN); a wrong one is dropped. */
int cache_lookup(struct cache *cache, enum cache_kind kind, const struct digest *digest,
	uint64_t size, struct error *err);
/* Marks a file of the cache as in use, for as long as the fd, a copy or a mapping of it is there:
 * cache_prune() spares it.  cache_lookup() does so itself; this is for what came from
 * cache_writer_reader(), after the commit. */
void cache_hold(int fd);
/* Drops an entry that turned out to be damaged, or that the disk does not read.  One that cannot be
 * removed is not found again. */
void cache_drop(struct cache *cache, enum cache_kind kind, const struct digest *digest);

/* A new entry on its way.  Nothing is visible before cache_writer_commit(). */
struct cache_writer;
int cache_writer_new(struct cache_writer **ret, struct cache *cache, enum cache_kind kind,
	const struct digest *digest, struct error *err);
/* The same for a blob that may have been begun before: *ret_offset bytes are there, to be
 * read back through cache_writer_fd() (they are NOT verified).  Takes the lock of the
 * partial; waits while another process or thread has it, until cancel. After the wait the blob may
 * be complete: -EEXIST, look it up again. */
int cache_writer_resume(struct cache_writer **ret, struct cache *cache, const struct digest *digest,
	uint64_t *ret_offset, struct cancel *cancel, struct error *err);
int cache_writer_fd(
	const struct cache_writer *writer); /* read-write, at any offset by pread/pwrite */
/* A read-only fd of the same file, the caller's; before the commit.  It stays good
 * whatever becomes of the entry. */
int cache_writer_reader(const struct cache_writer *writer, struct error *err);
int cache_writer_append(
	struct cache_writer *writer, const void *bytes, size_t len, struct error *err);
/* len bytes more are going to be written through the fd, which nobody asked for (fetch/disk.h):
 * what was used longest ago makes room for them.  -ENOSPC: there is none. */
int cache_writer_reserve(struct cache_writer *writer, uint64_t len, struct error *err);
/* Starts over: what was written is dropped. */
int cache_writer_reset(struct cache_writer *writer, struct error *err);
/* What the entry shall be called after all, when only its content tells: one begun by
 * cache_writer_new(). */
void cache_writer_name(struct cache_writer *writer, const struct digest *digest);
/* The content was verified by the caller: publish. */
int cache_writer_commit(struct cache_writer *writer, struct error *err);
/* Without a commit before: keep_partial leaves what a later cache_writer_resume() can use. */
void cache_writer_free(struct cache_writer *writer, bool keep_partial);

/* What a tag pointed at.  *ret_age_s: seconds since it was seen.  -ENOENT. */
int cache_ref_get(struct cache *cache, const char *host, const char *repository, const char *tag,
	struct descriptor *ret, uint64_t *ret_age_s, struct error *err);
int cache_ref_put(struct cache *cache, const char *host, const char *repository, const char *tag,
	const struct descriptor *descriptor, struct error *err);
/* A list of tags or repositories (names joined by '\n') seen last, for when the
 * registry is away; name is "tags" or "repositories". */
int cache_list_get(struct cache *cache, const char *host, const char *repository, const char *name,
	struct buf *ret, uint64_t *ret_age_s, struct error *err);
int cache_list_put(struct cache *cache, const char *host, const char *repository, const char *name,
	const char *text, size_t len, struct error *err);
/* Was anything of these kept of the repository, or of one below it?  "": of the host. */
bool cache_has_names(struct cache *cache, const char *host, const char *repository);

/* --- for `imgfs cache` --- */

/* A cache that is there; nothing is made or removed.  -ENOENT, -EINVAL: it is none, -EACCES: not
 * ours. */
int cache_open_existing(
	struct cache **ret, const char *path, struct observer *observer, struct error *err);

struct cache_entry {
	enum cache_kind kind;
	bool is_partial; /* a blob on its way: nothing about it is verified */
	bool is_in_use;  /* somebody has it open */
	struct digest digest;
	uint64_t size;        /* bytes */
	struct timespec used; /* last */
	uint64_t number;      /* of the file, to tell it from one that took its place */
};

/* All entries, the one used last first; *ret is to be freed. */
int cache_entries(
	struct cache *cache, struct cache_entry **ret, size_t *ret_count, struct error *err);
/* As cache_lookup(), but no use of it. */
int cache_entry_open(struct cache *cache, const struct cache_entry *entry, struct error *err);
/* "blobs/sha256/HEX", in text. */
enum { CACHE_ENTRY_NAME_MAX = 32 + DIGEST_HEX_MAX };
char *cache_entry_name(const struct cache_entry *entry, char text[static CACHE_ENTRY_NAME_MAX]);
/* Removes it, unless another file took its place (errno: ENOENT), or (spare_used) somebody has it
 * open (EWOULDBLOCK).  False, and errno. */
bool cache_entry_remove(struct cache *cache, const struct cache_entry *entry, bool spare_used);

/* A ref or a list. */
struct cache_record {
	const char *path; /* from the cache's directory on */
	bool is_damaged;  /* then the rest is not set */
	const char *host; /* "": local */
	const char *repository;
	const char *tag;        /* NULL: a list */
	struct digest digest;   /* of a ref */
	const char *media_type; /* of a ref, or NULL */
};
typedef void cache_record_fn(const struct cache_record *record, void *context);
/* All records, or an error: then some may have been left out. */
int cache_records(struct cache *cache, cache_record_fn *fn, void *context, struct error *err);
bool cache_record_remove(struct cache *cache, const char *path);

struct cache_pruned {
	uint64_t removed, removed_bytes;
	uint64_t spared, spared_bytes; /* which would have gone, but are in use */
	uint64_t records;              /* removed: what they name is not there */
	uint64_t left_bytes;
};
/* Removes what was used longest ago until no more than size bytes are left, but nothing that is in
 * use; then records of what is gone.  is_trial: only says what would go. */
int cache_prune(struct cache *cache, uint64_t size, bool is_trial, struct cache_pruned *ret,
	struct error *err);

/* Proof of access: key tells registry, repository and identity. */
enum { CACHE_PROOF_MAX_AGE_S = 86400 };
bool cache_proof_has(
	struct cache *cache, const char *key, const struct digest *digest, bool any_age);
void cache_proof_put(struct cache *cache, const char *key, const struct digest *digest);

#endif
