/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs -- one mount: what its views and operations share.
 *
 * Everything here belongs to the loop's thread (see load.h).  The fields that
 * other threads touch say so.
 *
 * Numbers.  A node id names what the kernel talks about, an inode number what
 * a person sees; they differ on purpose, so that equal content has equal
 * inode numbers while directories never share a node:
 *
 *	node id				inode number
 *	1			root	as the node it stands for
 *	1<<62 | counter		node	own, or that of its content (struct node)
 *	space<<32 | number	tree	identity<<32 | entry
 *
 * A space is a table of nodes that need no memory each: the files of a layer,
 * the directories of one diff/ or rootfs/, the stored blobs.  An identity
 * stands for a digest, whatever path led there.
 */
#ifndef FS_FS_H
#define FS_FS_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "fetch/store/store.h"
#include "fs/answer.h"
#include "fs/load.h"
#include "fs/log.h"
#include "fs/options.h"
#include "model/image.h"

enum {
	CONTENT_TIMEOUT_S =
		86400,       /* of what is named by a digest, and of names no grammar allows */
	READ_MAX = 1 << 20,  /* bytes of one read request */
	SMALL_MAX = 1 << 20, /* bytes of a blob that comes no later than a piece of another would */
	STALE_WAIT_MS = 1000, /* how long a refresh may hold up one who has an old answer */
};

/* Threads that wait for a network: one has one transfer at a time, and each may take as long as
 * retries and stall_timeout let it.  What is here needs none of them (load.h). */
enum {
	/* Lists, tags, documents and proofs.  A few that hang shall hold up no others; many more at
	 * once would be a burden to a registry. */
	REQUEST_THREADS = 16,
};
/* Requests that wait at once: half a kilobyte each.  Whoever comes then gets ENOMEM, as from a
 * kernel with as many threads. */
enum { PARKED_MAX = 64 << 10 };
/* Large blobs: max_transfers.  Pieces of them, and small ones: as many, so that who wants a little
 * does not wait for who wants a lot. */
static inline unsigned fs_transfers_max(const struct options *options)
{
	return REQUEST_THREADS + 2 * (unsigned)options->max_transfers;
}

/* Every request the kernel makes, for the counters; those behind OP_PARKABLE wait for nothing. */
#define FS_OPERATIONS(X)                                                                           \
	X(lookup)                                                                                  \
	X(getattr)                                                                                 \
	X(readlink)                                                                                \
	X(opendir)                                                                                 \
	X(readdir)                                                                                 \
	X(readdirplus)                                                                             \
	X(read)                                                                                    \
	X(lseek)                                                                                   \
	X(getxattr)                                                                                \
	X(listxattr)                                                                               \
	X(open)                                                                                    \
	X(releasedir)                                                                              \
	X(forget)                                                                                  \
	X(statfs)                                                                                  \
	X(interrupt)

enum operation {
#define X(name) OP_##name,
	FS_OPERATIONS(X)
#undef X
		OP_COUNT
};

/* One kernel request.  On the stack while it runs, on the heap while it is parked. */
struct request {
	fuse_req_t req;
	enum operation op;
	fuse_ino_t ino;
	char *name; /* lookup, getxattr; owned while parked */
	size_t size;
	off_t offset;
	struct answer answer; /* read: what was found so far */
	int whence;           /* lseek: SEEK_DATA or SEEK_HOLE */
	pid_t pid;
	uint64_t since_ms; /* when it came */
	int given_up;      /* 0, or the answer of one that waits no longer: -EINTR, -ENOTCONN */
	/* In fs->disturbed, after a signal that is no reason to give up: the kernel tells one only.
	 */
	struct request *disturbed_next, *disturbed_prev;
	bool stale_is_fine;
	struct load *load;            /* what it waits for, or NULL */
	struct request *next, **prev; /* in the load's list, or in fs->ready */
};

struct nodes;
struct flavour_slot;
struct objects;
struct spaces;

struct fs {
	const struct options *options;
	struct log *log;
	struct observer *observer;
	struct cache *cache; /* may be NULL */
	struct store *store;
	struct pool *pools[POOL_COUNT];
	struct pool *replies;
	struct pool *notices; /* one thread; NULL until there are some */
	_Atomic unsigned notices_pending;
	_Atomic bool notices_are_cancelled;
	unsigned cores; /* threads that decode, and as many that send */
	struct fuse_session *session;
	int event_fd;  /* wakes the loop */
	int notify_fd; /* a service manager that hears how it goes, or -1; borrowed (notify.h) */
	pthread_mutex_t ended_lock;
	struct job *ended;         /* under ended_lock: jobs whose run() returned */
	struct load *running;      /* all running loads */
	struct request *ready;     /* requests to run again */
	unsigned parked;           /* requests that wait, or are ready */
	struct request *disturbed; /* of them, a ring (utlist.h); the next to be looked at */
	uint64_t disturbed_ms;     /* when signals were looked at */
	struct nodes *nodes;
	struct objects *objects;
	struct spaces *spaces;
	struct flavour_slot *flavours; /* a table, see view_flavour.c */
	size_t flavour_bytes;          /* of what is in it, about */
	uint64_t requests[OP_COUNT];
	uint64_t errors;            /* replies with an error other than ENOENT */
	uint64_t dropped;           /* entries of layers that were left out: see layer.h */
	uint64_t known_bytes;       /* of all layers seen in manifests so far */
	struct timespec mounted_at; /* wall clock: the time of what has no other */
	uint64_t started_ms;
	uint64_t ticked_ms, status_ms; /* see patience.h */
	bool shows_progress;
	bool has_inited;     /* the kernel's INIT was answered */
	bool wants_parallel; /* lookups in one directory: not said yet, see device.h */
	bool has_no_opendir; /* the kernel can be told that no directory has to be opened */
	uid_t uid;
	gid_t gid;
};

/* --- operations (ops.c) --- */

extern const struct fuse_lowlevel_ops fs_ops;
extern const char *const operation_names[OP_COUNT];

/* Runs a request from its start; replies, or parks it. */
void request_run(struct fs *fs, struct request *request);
/* Has those that were disturbed before give up when they get a signal that means it: some of them,
 * others the next time.  Returns how long poll() may sleep. */
int requests_look_at_signals(struct fs *fs, uint64_t now_ms);
/* One that waits for no load any more. */
void request_make_ready(struct fs *fs, struct request *request);
/* Runs everything in fs->ready. */
void requests_run_ready(struct fs *fs);

/* --- the loop (loop.c) --- */

int loop_init(struct fs *fs, struct error *err);
void loop_release(struct fs *fs);
/* Serves until the file system is unmounted or a signal ends it.  ready is called once, when the
 * kernel has been answered for the first time; if it fails, that is the end. */
int loop_run(struct fs *fs, int (*ready)(void *context, struct error *err), void *context,
	struct error *err);
/* After the pools are gone: takes over what their last jobs left. */
void loop_reap_last(struct fs *fs);
/* For pool_new(). */
void loop_job_ended(void *fs, struct job *job);
/* No: as many spans as there are cores are being decoded, and who looks for requests, or wakes up
 * to send something, takes a core from them. */
bool loop_has_idle_core(const struct fs *fs);

/* --- attributes --- */

/* Fills what every node has: owner, block size, times at the mount's. */
void fs_stat_init(const struct fs *fs, struct stat *st, fuse_ino_t ino, mode_t mode);

/* Days, not forever: in seconds. */
double fs_ttl(const struct fs *fs);

#endif
