/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One mutex, one condition, a singly linked queue.  A thread is started when a job is
 * submitted that no waiting one is there for; with all signals blocked: those belong to the
 * main thread.  The first one is there from the start, so that no job is left without.
 */
#include "fetch/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "fetch/thread.h"
#include "model/cleanup.h"

struct pool {
	void (*finished)(void *context, struct job *job);
	void *context;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct job *first, **last; /* under lock, like all below */
	unsigned queued, waiting;  /* jobs; threads that sleep, or were just woken */
	bool is_closing;
	const char *name;    /* never changes, like max */
	unsigned max, count; /* threads; none is added once is_closing is set */
	pthread_t threads[];
};

/* The next job, or NULL when there will be none. */
static struct job *take(struct pool *pool)
{
	struct job *job;

	(void)pthread_mutex_lock(&pool->lock);
	while (!pool->first && !pool->is_closing) {
		pool->waiting++;
		(void)pthread_cond_wait(&pool->changed, &pool->lock);
		pool->waiting--;
	}
	job = pool->first;
	if (job) {
		pool->queued--;
		pool->first = job->next;
		if (!pool->first)
			pool->last = &pool->first;
		job->next = NULL;
	}
	(void)pthread_mutex_unlock(&pool->lock);
	return job;
}

static void *work(void *context)
{
	struct pool *pool = context;
	struct job *job;

	while ((job = take(pool)) != NULL) {
		job->run(job);
		pool->finished(pool->context, job);
	}
	return NULL;
}

/* Under lock, or before others know the pool.  0 or a positive errno. */
static int start_thread(struct pool *pool)
{
	int rc = thread_start(&pool->threads[pool->count], pool->name, work, pool);

	pool->count += !rc;
	return rc;
}

int pool_new(struct pool **ret, const char *name, unsigned threads,
	void (*finished)(void *context, struct job *job), void *context, struct error *err)
{
	struct pool *pool;
	int rc;

	if (!threads)
		threads = 1;
	pool = calloc(1, sizeof *pool + threads * sizeof *pool->threads);
	if (!pool)
		return error_set(err, ENOMEM, "pool '%s': out of memory", name);
	pool->finished = finished;
	pool->context = context;
	pool->last = &pool->first;
	pool->max = threads;
	pool->name = name;
	(void)pthread_mutex_init(&pool->lock, NULL); /* cannot fail with default attributes */
	(void)pthread_cond_init(&pool->changed, NULL);
	rc = start_thread(pool);
	if (rc) {
		pool_free(pool);
		return error_set(err, rc, "pool '%s': no thread: %s", name, strerror(rc));
	}
	*ret = pool;
	return 0;
}

void pool_submit(struct pool *pool, struct job *job)
{
	job->next = NULL;
	(void)pthread_mutex_lock(&pool->lock);
	*pool->last = job;
	pool->last = &job->next;
	pool->queued++;
	(void)pthread_cond_signal(&pool->changed);
	if (pool->queued > pool->waiting && pool->count < pool->max && !pool->is_closing)
		(void)start_thread(pool); /* without it the job takes longer */
	(void)pthread_mutex_unlock(&pool->lock);
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	(void)pthread_mutex_lock(&pool->lock);
	pool->is_closing = true;
	(void)pthread_cond_broadcast(&pool->changed);
	(void)pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->count; i++)
		(void)pthread_join(pool->threads[i], NULL);
	(void)pthread_cond_destroy(&pool->changed);
	(void)pthread_mutex_destroy(&pool->lock);
	free(pool);
}
