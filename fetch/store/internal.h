/* SPDX-License-Identifier: Apache-2.0 */
/*
 * internal -- what the store's files share.  Nobody outside fetch/store includes this.
 *
 * A request for files goes through these, top down:
 *	blobs.c     the calls of store.h
 *	locate.c    the digest of a layer that has none yet
 *	data.c      a blob that came inside its descriptor
 *	obtain.c    what is there already; else one of us makes it (work.c)
 *	foreign.c   blobs that are elsewhere
 *	pass.c      one pass over the bytes: where they lie, or from the source
 *	ranges.c    parts of a blob, without the rest
 *	landing.c   where new bytes land: the cache, else temporary files (uncached.c)
 *
 * Lock order: a cancel's lock, then store->lock.  No cancel_...() call is made
 * and no file is touched under store->lock.
 */
#ifndef FETCH_STORE_INTERNAL_H
#define FETCH_STORE_INTERNAL_H

#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>

#include "fetch/store/store.h"
#include "model/cleanup.h"

enum {
	KINDS = 3,          /* of enum cache_kind */
	PIECE = 64 << 10,   /* bytes between two looks at the cancel; so few are still in the
			     * processor's cache when they are used */
	UNCACHED_MAX = 32,  /* digests whose temporary files are kept open */
	PROOFS_MAX = 1024,  /* remembered in memory; the cache has them all */
	SEEN_MAX = 1024,    /* files remembered as verified */
	LOCATED_MAX = 1024, /* layers whose digest was found, in memory; the cache has them all */
};

/* What is open of a blob. */
struct files {
	struct reader *blob;    /* in the cache or in the source; NULL: not open */
	bool is_local;          /* the blob is in the source */
	int index_fd, spool_fd; /* -1: not open */
};
#define FILES_NONE ((struct files){ NULL, false, -1, -1 })

enum files_wanted {
	WANT_BLOB = 1 << CACHE_BLOB,
	WANT_INDEX = 1 << CACHE_INDEX,
	WANT_SPOOL = 1 << CACHE_SPOOL,
};

/* What one call of store.h asks for. */
struct request {
	struct store *store;
	enum store_step step;
	const char *repository;
	const struct descriptor *blob;
	struct progress *progress; /* may be NULL */
	struct cancel *cancel;     /* may be NULL */
};

struct uncached {
	struct digest digest; /* not set: free */
	int fds[KINDS];       /* by enum cache_kind; -1: none */
	uint64_t used;        /* a number that grows with each use */
};

struct proof {
	struct digest digest; /* of the key and the blob's digest */
	uint64_t granted_s;   /* monotonic */
};

/* A file that held a blob with this digest. */
struct seen {
	struct digest digest; /* not set: free */
	struct stat st;
};

/* A layer whose digest was found. */
struct located {
	struct digest key; /* of its repository and id; not set: free */
	struct digest digest;
	uint64_t size;
};

struct work;

struct store {
	struct source *source;
	struct cache *cache;
	struct observer *observer;
	char *host;
	struct urls *urls; /* NULL: they are not followed */
	bool offline;      /* and the source is not local */
	uint64_t fetch_limit;
	struct store_away away;  /* under lock */
	uint64_t away_until_ms;  /* under lock; see away_rests() */
	bool away_told;          /* under lock: somebody was warned */
	struct digest names;     /* stands for a repository's names in proofs */
	_Atomic uint64_t copied; /* bytes of seekable copies that are being made */
	_Atomic bool was_warned; /* that temporary files are used: said once */
	pthread_mutex_t lock;
	struct work *works;                     /* under lock */
	struct uncached uncached[UNCACHED_MAX]; /* under lock */
	uint64_t uncached_used;                 /* under lock */
	struct proof proofs[PROOFS_MAX];        /* under lock */
	struct seen seen[SEEN_MAX];             /* under lock */
	struct located located[LOCATED_MAX];    /* under lock */
};

void files_close(struct files *files);
bool files_has(const struct files *files, enum cache_kind kind);
/* Takes the fd, even on failure, in place of what was there. */
int files_put(struct files *files, enum cache_kind kind, int fd, struct error *err);
static inline bool is_remote(const struct store *store)
{
	return !store->source->is_local;
}
/* Even a look may have to wait for the source. */
static inline bool must_wait(const struct request *request)
{
	return request->step != STORE_FETCH && request->store->source->may_wait;
}
/* A listed blob that is not there is a fault, not an absence. */
static inline int listed(int rc)
{
	return rc == -ENOENT ? -EIO : rc;
}
void stream_free(struct blob_stream *stream);
int check_cancel(struct cancel *cancel, struct error *err);
/* -EBADMSG, counted as one of size. */
__attribute__((format(printf, 3, 4))) int wrong_size(
	struct store *store, struct error *err, const char *fmt, ...);
/* Counts and tells about a copy that is not what its digest says. */
void tell_mismatch(struct store *store, const struct error *why);

/* work.c: one worker for a digest and a step.  0: the work is the caller's, who ends it with its
 * result; or *ret is NULL: somebody else did it, or could not for reasons of their own, so look
 * again; negative: their failure. */
int work_begin(struct work **ret, const struct request *request, struct error *err);
void work_end(struct work *work, int rc, const struct error *err);

/* access.c: may the source's identity read the blob through the repository? */
bool access_is_proven(const struct request *request);
bool access_was_proven(const struct request *request); /* at any time */
int access_prove(const struct request *request, struct error *err);
void access_grant(const struct request *request);
/* The same for the names in a repository, of any age. */
bool access_has_names(struct store *store, const char *repository);
void access_grant_names(struct store *store, const char *repository);

/* away.c.  How a question to the source ended. */
void away_note(struct store *store, int rc, const struct error *why);
/* It was found to be away just now, for *ret_why (may be NULL): an older answer is all there is to
 * be had. */
bool away_rests(struct store *store, struct error *ret_why);
/* How loudly to say that the cache stands in: as a warning the first time it does. */
enum log_level away_level(struct store *store);

/* documents.c: a manifest that came with its tag, into the cache, as if it had been asked for. */
void document_keep(struct store *store, const char *repository, const struct descriptor *manifest,
	const struct buf *body);

/* names.c: what is kept of answers of a registry that no digest verifies. */
/* May the cache speak in the source's place?  rc is the source's failure. */
bool names_may_fall_back(struct store *store, const char *repository, int rc);
/* And before it is asked? */
bool names_rest(struct store *store, const char *repository, struct error *ret_why);
int names_offline(const char *repository, struct error *err);
void names_tell_fallback(
	struct store *store, const char *what, const char *repository, const struct error *why);

/* uncached.c: fds of entries that have no place in the cache.  The oldest are
 * forgotten; their space is free when the last caller closes theirs. */
int uncached_get(struct store *store, enum cache_kind kind, const struct digest *digest);
void uncached_put(struct store *store, enum cache_kind kind, const struct digest *digest, int fd);
void uncached_drop(struct store *store, enum cache_kind kind, const struct digest *digest);
void uncached_init(struct store *store);
void uncached_release(struct store *store);

/* foreign.c.  Does the source refuse a blob (rc) that is said to be elsewhere as well? */
bool foreign_is_meant(const struct request *request, int rc);
/* And are we to go there? */
bool foreign_may_follow(const struct request *request, int rc);
/* Says that we are not; returns rc. */
int foreign_refuse(int rc, struct error *err);
/* As source_ops.open_blob, from there if need be. */
int stream_open(const struct request *request, uint64_t offset, struct blob_stream **ret,
	uint64_t *ret_offset, struct error *err);

/* landing.c: where the bytes of a new entry land. */
struct landing {
	struct store *store;
	enum cache_kind kind;
	struct digest digest;
	bool is_nameless;            /* digest only stands in for what is not known yet */
	struct cache_writer *writer; /* NULL: a temporary file */
	int fd;                      /* the writer's, or owned; -1: not open */
	unsigned place;              /* of the temporary file */
	uint64_t len;                /* bytes that are there */
};
#define LANDING_NONE ((struct landing){ .fd = -1 })
/* from_place 0: the cache is tried first; else that temporary place or a later one.
 * A blob goes on where it was left: landing->len.  -EEXIST: complete by now. */
int landing_open(struct landing *landing, const struct request *request, enum cache_kind kind,
	unsigned from_place, struct error *err);
/* For a blob whose digest is found by reading it: landing_name() comes before
 * landing_publish().  Meanwhile it has the request's. */
int landing_open_nameless(
	struct landing *landing, const struct request *request, struct error *err);
void landing_name(struct landing *landing, const struct digest *digest);
int landing_append(struct landing *landing, const void *bytes, size_t len, struct error *err);
/* For what is written through the fd: len bytes more.  -ENOSPC: not there, fetch/disk.h. */
int landing_reserve(struct landing *landing, uint64_t len, struct error *err);
/* Starts over, in another place if need be. */
int landing_reset(struct landing *landing, struct error *err);
/* Verified: puts it where the next one finds it, and opens it among *ret. */
int landing_publish(struct landing *landing, struct files *ret, struct error *err);
void landing_release(struct landing *landing, bool keep_partial);

/* data.c: what the descriptor holds of its blob, verified.  -ENOENT: nothing, or nothing that is
 * right; -ENOMEM. */
int data_get(const struct request *request, char **ret, size_t *ret_len);
int data_open(const struct request *request, struct reader **ret);

/* pass.c.  With an index: index and spool (if one is needed) are made and published as
 * well.  -EBADMSG: not what its digest says; -EFBIG: over fetch_limit, or the spool is over
 * cache_size. */
enum pass_index {
	PASS_WITHOUT,
	PASS_WITH_INDEX,
	PASS_MAY_INDEX, /* the blob is what is wanted: where no index can be had, it does without */
};
int pass_file(const struct request *request, struct reader *blob, enum pass_index index,
	struct files *ret, struct error *err);
int pass_fetch(
	const struct request *request, enum pass_index index, struct files *ret, struct error *err);
/* -EFBIG: so many bytes of one blob are more than fetch_limit. */
int check_limit(const struct request *request, uint64_t bytes, struct error *err);
CLEANUP_POINTER(streamp, struct blob_stream, stream_free)

/* ranges.c */
bool has_ranges(const struct store *store);

/* obtain.c */
int store_find(struct store *store, enum cache_kind kind, const struct digest *digest,
	uint64_t size, struct error *err);
void store_drop(struct store *store, enum cache_kind kind, const struct digest *digest);
/* Opens what is wanted and there.  -ENOENT: something is missing, or (may_ask false) the
 * source would have to be asked whether we may have it. */
int files_find(const struct request *request, unsigned wanted, bool may_ask, struct files *ret,
	struct error *err);
/* Opens what is wanted (and maybe more); or the step (positive) it takes. */
int obtain(const struct request *request, unsigned wanted, struct files *ret, struct error *err);
/* Was this file seen to hold this blob? */
bool seen_has(struct store *store, const struct digest *digest, const struct stat *st);
void seen_put(struct store *store, const struct digest *digest, const struct stat *st);

#endif
