/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool -- a fixed number of threads that run jobs, first come first served.
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
int pool_new(struct pool **ret, const char *name, unsigned threads,
	void (*finished)(void *context, struct job *job), void *context, struct error *err);
void pool_submit(struct pool *pool, struct job *job);
/* Lets the queue run dry and joins the threads. */
void pool_free(struct pool *pool);

#endif
