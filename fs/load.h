/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load -- things that arrive, and the requests that wait for them.
 *
 * All of fs/ runs on one thread, the loop's.  An operation never waits: it
 * runs on what is in memory, and when something is missing it returns
 * LOAD_PENDING with need->load saying what.  The request is then parked on
 * that load, and run again from its start when the load is there or has
 * failed.  Only run() works elsewhere, on a pool's thread, and touches nothing
 * but the load's own fields and what fetch makes thread-safe.
 *
 * Threads that wait for a network are bounded (fs.h), and a registry may hold all of them as
 * long as it likes.  So what is in the cache must not need them: run() is called on the pool that
 * looks for what is there, which never waits for others, and only when that is not enough once
 * more, on the pool for what is lacking:
 *
 *	POOL_LOOK ----> POOL_REQUEST	a small answer: a list, a tag, a document, a proof
 *	          ----> POOL_PIECE	some bytes: a piece of a layer, a small blob
 *	          ----> POOL_TRANSFER	a large one, which takes long
 *	          ----> POOL_WORK	long work on what is here: none of that
 *
 * What can only be asked for begins on its own pool, as what needs no look (POOL_DECODE) does.
 *
 *	IDLE --load_want()--> RUNNING --job done--> READY
 *	  ^                      |
 *	  |                      +--error--> FAILED --LOAD_RETRY_MS later--+
 *	  +------------EINTR, load_forget()------------------------------- +
 *
 * A load whose last waiter was interrupted is cancelled, unless it is nearly
 * done; one that is wanted again while its cancelled job still runs is
 * started anew when that job has ended.
 */
#ifndef FS_LOAD_H
#define FS_LOAD_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fetch/cancel.h"
#include "fetch/clock.h"
#include "fetch/observer.h"
#include "fetch/pool.h"
#include "fetch/store/store.h"
#include "model/error.h"

struct fs;
struct load;
struct request;

enum {
	LOAD_PENDING = -EINPROGRESS, /* never leaves fs/ */
	LOAD_RETRY_MS = 5000,        /* a failure is remembered for so long */
};

/* Which threads a job runs on.  Apart, so that nothing short waits for something long, and nothing
 * that is here for a network. */
enum load_pool {
	POOL_LOOK,
	POOL_REQUEST,
	POOL_PIECE,
	POOL_TRANSFER,
	POOL_WORK,
	POOL_DECODE,
	POOL_COUNT,
};

enum load_state { LOAD_IDLE, LOAD_RUNNING, LOAD_READY, LOAD_FAILED };

struct load_type {
	enum load_pool pool;       /* where it begins */
	enum load_pool fetch_pool; /* where it goes on with STORE_FETCH, if it is not small */
	/* Pool thread: does the work, leaves the result in the load; 0 or -errno and load->err.
	 * Or the step (positive, see store.h) that has to be taken: then it is called once more,
	 * with that as load->step, on that step's pool. */
	int (*run)(struct load *load);
	/* Loop thread, after every last run(), before anything else: may change load->rc; -EINTR
	 * means that the waiters shall try again.  May be NULL. */
	void (*settle)(struct load *load);
	/* Loop thread, when load->rc is 0: makes the result visible.  May be NULL. */
	void (*publish)(struct load *load);
	/* Who lists a directory can do without: after STALE_WAIT_MS waiters are run again, and
	 * those who look at need->stale_is_fine go on. */
	bool is_optional;
	/* For status lines: what is on its way.  NULL: not shown. */
	void (*describe)(const struct load *load, char *text, size_t len);
};

struct load {
	struct job job;
	struct fs *fs;
	const struct load_type *type;
	enum load_state state;
	enum store_step step; /* for run() */
	int rc;               /* of the last run */
	struct error err;     /* of the last run */
	uint64_t ended_ms;    /* when the last run ended, by the monotonic clock */
	uint64_t started_ms;
	struct cancel cancel;
	struct progress progress;
	bool is_small;           /* fetched as a piece is; set by the owner, once */
	bool is_stale;           /* the result is of an earlier time: to be tried again soon */
	bool has_old;            /* an earlier result is still there, too old to be given freely */
	struct request *waiters; /* a list; requests unlink themselves */
	struct load *next_running, **prev_running;
	pid_t asker;             /* who wanted it first */
	_Atomic bool is_at_work; /* a thread has it: it does not wait for its turn */
	/* what was told of it, see patience.h */
	unsigned told;
	bool is_silent;
	uint64_t seen_done, moved_ms; /* bytes, and when they became so many */
};

/* What an operation lacks, or why it failed. */
struct need {
	struct load *load; /* for LOAD_PENDING */
	struct error err;  /* for other failures */
	pid_t asker;
	uint64_t since_ms;  /* when the request came: what was asked for since is new enough */
	bool is_stale;      /* something that was given is stale */
	bool stale_is_fine; /* old lists and tags will do: their refresh took too long */
	bool is_unread;     /* -EIO is of the way to the last document asked for, not its own */
	/* By now_ms(): what was found may be another one then.  UINT64_MAX at first: never. */
	uint64_t good_until_ms;
};

/* What was found depends on something that may be another one at that time; 0: at any time. */
static inline void need_again(struct need *need, uint64_t at_ms)
{
	if (at_ms < need->good_until_ms)
		need->good_until_ms = at_ms;
}

void load_init(struct load *load, struct fs *fs, const struct load_type *type);
/* The job must not be running. */
void load_release(struct load *load);

/* 0 when it is there; LOAD_PENDING when it is on its way, started if it was not;
 * else the remembered failure, with need->err. */
int load_want(struct load *load, struct need *need);
/* The same for what is asked for again when it is older than ttl. */
int load_want_fresh(struct load *load, struct need *need);
/* Starts it if idle, and waits for nothing. */
void load_start(struct load *load, pid_t asker);
/* What was there, or why it was not, is too old: the next load_want() starts it again. */
void load_forget(struct load *load);

/* The job of a load has ended (called by the loop): goes on with the next step, or publishes and
 * hands the waiters back as a list to run again. */
struct request *load_ended(struct load *load);

/* Says nothing about the thing itself, only that it could not be had now. */
bool load_is_transient(int rc);
/* The same of a document, or what is made of one. */
bool need_is_transient(const struct need *need, int rc);

void load_park(struct load *load, struct request *request);
/* Takes a request off; cancels the load if nobody else waits and it is not nearly done. */
void load_unpark(struct load *load, struct request *request);

#endif
