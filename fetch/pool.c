/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One mutex, one condition, a singly linked queue.  Threads are started at
 * once, with all signals blocked: those belong to the main thread.
 */
#include "fetch/pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "model/cleanup.h"

enum { THREAD_NAME_MAX = 16 }; /* what the kernel keeps, with the NUL */

struct pool {
	void (*finished)(void *context, struct job *job);
	void *context;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct job *first, **last; /* under lock */
	bool is_closing;           /* under lock */
	unsigned count;
	pthread_t threads[];
};

/* The next job, or NULL when there will be none. */
static struct job *take(struct pool *pool)
{
	struct job *job;

	(void)pthread_mutex_lock(&pool->lock);
	while (!pool->first && !pool->is_closing)
		(void)pthread_cond_wait(&pool->changed, &pool->lock);
	job = pool->first;
	if (job) {
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

static int start_threads(struct pool *pool, const char *name, unsigned threads)
{
	char thread_name[THREAD_NAME_MAX];
	sigset_t all, before;
	int rc = 0;

	(void)snprintf(thread_name, sizeof thread_name, "%s", name);
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	for (; !rc && pool->count < threads; pool->count += !rc) {
		rc = pthread_create(&pool->threads[pool->count], NULL, work, pool);
		if (!rc) /* for ps and debuggers only */
			(void)pthread_setname_np(pool->threads[pool->count], thread_name);
	}
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
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
	(void)pthread_mutex_init(&pool->lock, NULL); /* cannot fail with default attributes */
	(void)pthread_cond_init(&pool->changed, NULL);
	rc = start_threads(pool, name, threads);
	if (rc && !pool->count) { /* some of them are as good as all, only slower */
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
	(void)pthread_cond_signal(&pool->changed);
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
