/* SPDX-License-Identifier: Apache-2.0 */
/* internal -- what the cache's files share.  Nobody outside fetch/cache includes this. */
#ifndef FETCH_CACHE_INTERNAL_H
#define FETCH_CACHE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "fetch/cache/cache.h"

/* Directories held open from cache_open() to cache_close(). */
enum cache_dir {
	DIR_BLOBS, /* sha256, then sha512: entry_dir() */
	DIR_INDEX = DIR_BLOBS + 2,
	DIR_SPOOL = DIR_INDEX + 2,
	DIR_PARTIAL = DIR_SPOOL + 2, /* the ones up to here count as used */
	DIR_TMP,
	DIR_REFS,
	DIR_PROOF,
	DIR_COUNT,
};

enum {
	TMP_NAME_MAX = 48,
	DIR_MODE = 0700,
	FILE_MODE = 0600,
	DISTRUSTED_MAX = 64, /* the oldest are forgotten, to be found out again */
};

/* A damaged file that could not be removed: disks that fail are often read-only by then. */
struct distrusted {
	dev_t dev;
	ino_t ino; /* 0: free */
	struct timespec mtime;
};

struct cache {
	struct observer *observer;
	char *path;
	uint64_t size_max;
	bool is_surveyed; /* by cache_open_existing(): nothing is made */
	int root;
	int dirs[DIR_COUNT]; /* -1: could not be made, the disk is read-only */
	struct secret secret;
	bool has_secret;
	_Atomic unsigned serial;
	_Atomic bool was_warned; /* that nothing can be written: said once */
	pthread_mutex_t lock;
	uint64_t used;        /* under lock; exact after a scan */
	uint64_t unscanned;   /* under lock; bytes that came since */
	uint64_t scanned_s;   /* under lock; monotonic; 0: never */
	bool is_scanning;     /* under lock; one thread does, others go on */
	char **own;           /* under lock; size_max 0: paths to remove at the end */
	size_t own_count;     /* under lock */
	uint64_t put_records; /* under lock; refs, lists and proofs since the last look at all */
	uint64_t put_record_bytes; /* under lock */
	bool is_ageing;            /* under lock; one thread looks, others go on */
	struct distrusted distrusted[DISTRUSTED_MAX]; /* under lock */
	_Atomic unsigned distrusted_count;            /* ever; 0: none, the usual case */
};

/* cache.c */
const char *dir_name(enum cache_dir dir); /* "blobs/sha256" */
enum cache_dir entry_dir(enum cache_kind kind, const struct digest *digest);
/* Opens path below from step by step, following no link; with create the missing
 * directories are made.  -1 and errno. */
int open_below(int from, const char *path, bool create);
/* A file that may be used: regular and ours. */
bool is_own_file(const struct stat *st);
/* Is it one that cache_drop() could not remove? */
bool is_distrusted(struct cache *cache, const struct stat *st);
/* An errno of the disk as the header names it, warning once when nothing can be written. */
int disk_error(struct cache *cache, int code, struct error *err, const char *what);
/* With size_max 0 everything we put is noted, to be removed at the end. */
__attribute__((format(printf, 2, 3))) void note_own(struct cache *cache, const char *fmt, ...);

/* secret.c: reads or makes it. */
void secret_open(struct cache *cache);

/* records.c: all below refs or proof, in no order; path is told from there. */
/* A record that is there: *ret_bytes is to be freed, *ret_body lies in it.  -ENOENT: not there;
 * -EBADMSG: damaged; else what the disk, or want of memory or descriptors, has against it. */
int record_read(struct cache *cache, int dir, const char *name, char **ret_bytes, char **ret_body,
	size_t *ret_len, uint64_t *ret_time, struct error *err);
/* The body of a ref; -ENOENT: it is none. */
int parse_ref(struct descriptor *ret, char *body, struct error *err);
typedef void record_fn(struct cache *cache, const char *path, const struct stat *st, void *context);
/* 0, or the -errno for which some may have been left out. */
int each_record(struct cache *cache, enum cache_dir dir, record_fn *fn, void *context);

/* ageing.c */
/* Is a record of that size worth writing, or would it push most others out? */
bool record_fits(const struct cache *cache, size_t len);
/* A record of len bytes came: keeps refs and proofs in bounds. */
void account_record(struct cache *cache, size_t len);
/* Removes a record, and the directories that held nothing else. */
bool remove_record(struct cache *cache, enum cache_dir dir, const char *path);

/* writer.c: a locked file in tmp/, readable and writable; name has TMP_NAME_MAX bytes.
 * -1 and errno. */
int tmp_create(struct cache *cache, char *name);

/* evict.c */
/* fn is called for each name; listing a directory of ours cannot be made to go on for ever.  0, or
 * the -errno for which some may have been left out. */
typedef void file_fn(struct cache *cache, enum cache_dir dir, const char *name, void *context);
int each_file(struct cache *cache, enum cache_dir dir, file_fn *fn, void *context);
/* When a file was used last. */
struct timespec used_at(const struct stat *st);
int compare_times(const struct timespec *a, const struct timespec *b);
/* An entry of size bytes came: keeps the sum, and to size_max, sparing this entry. */
void account_added(struct cache *cache, uint64_t size, enum cache_dir dir, const char *name);
void account_removed(struct cache *cache, uint64_t size);
/* The disk is full: gives some of ours back.  False when there is nothing to give. */
bool make_room(struct cache *cache);
/* Removes what dead writers left in tmp/. */
void collect_dead(struct cache *cache);

#endif
