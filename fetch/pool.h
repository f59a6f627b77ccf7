/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool -- a bounded number of threads that run jobs, first come first served.
 *
 * There is one thread at first; more are started, up to the bound, when a job comes and all are at
 * work.  They stay.
 *
 * run() is called on a pool thread and may block; afterwards the job is handed
 * to pool->finished(), on that same thread, which passes it on to its owner.  The job belongs to
 * the pool from submit to finished.  A queued job whose cancel is set is still run: run() looks at
 * the cancel first.
 */
#ifndef FETCH_POOL_H
#define FETCH_POOL_H

#include "model/error.h"

struct job {
	void (*run)(struct job *job);
	struct job *next; /* the pool's */
};

struct pool;
/* name: of its threads, kept and not copied.  threads: at most so many, and at least one. */
int pool_new(struct pool **ret, const char *name, unsigned threads,
	void (*finished)(void *context, struct job *job), void *context, struct error *err);
void pool_submit(struct pool *pool, struct job *job);
/* Lets the queue run dry and joins the threads. */
void pool_free(struct pool *pool);

#endif
