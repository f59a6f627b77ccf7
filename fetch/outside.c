/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/outside.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct call {
	int (*function)(void *context);
	void *context;
	int rc;
	bool is_done;
	struct call *next;
};

/* Of the process, like the sandbox: whoever calls from deep below has no handle to it. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool is_there, has_ended;   /* under lock, like all below */
	struct call *first, **last; /* not begun yet */
} outside = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

struct work {
	void (*inside)(void *context);
	void *context;
};

static void *run_inside(void *context)
{
	struct work *work = context;

	work->inside(work->context);
	(void)pthread_mutex_lock(&outside.lock);
	outside.has_ended = true;
	(void)pthread_cond_broadcast(&outside.changed);
	(void)pthread_mutex_unlock(&outside.lock);
	return NULL;
}

static void set_there(bool is_there)
{
	(void)pthread_mutex_lock(&outside.lock);
	outside.is_there = is_there;
	outside.has_ended = false;
	outside.first = NULL;
	outside.last = &outside.first;
	(void)pthread_mutex_unlock(&outside.lock);
}

static void serve_calls(void)
{
	(void)pthread_mutex_lock(&outside.lock);
	while (!outside.has_ended) {
		struct call *call = outside.first;

		if (!call) {
			(void)pthread_cond_wait(&outside.changed, &outside.lock);
			continue;
		}
		outside.first = call->next;
		if (!outside.first)
			outside.last = &outside.first;
		(void)pthread_mutex_unlock(&outside.lock);
		call->rc = call->function(call->context);
		(void)pthread_mutex_lock(&outside.lock);
		call->is_done = true;
		(void)pthread_cond_broadcast(&outside.changed);
	}
	(void)pthread_mutex_unlock(&outside.lock);
}

int outside_run(void (*inside)(void *context), void *context, struct error *err)
{
	struct work work = { inside, context };
	pthread_t thread;
	int rc;

	set_there(true);
	rc = pthread_create(&thread, NULL, run_inside, &work);
	if (!rc) {
		serve_calls();
		(void)pthread_join(thread, NULL);
	}
	set_there(false);
	return rc ? error_set(err, rc, "no thread: %s", strerror(rc)) : 0;
}

int outside_call(int (*function)(void *context), void *context)
{
	struct call call = { .function = function, .context = context };

	(void)pthread_mutex_lock(&outside.lock);
	if (!outside.is_there) {
		(void)pthread_mutex_unlock(&outside.lock);
		return function(context);
	}
	*outside.last = &call;
	outside.last = &call.next;
	(void)pthread_cond_broadcast(&outside.changed);
	while (!call.is_done)
		(void)pthread_cond_wait(&outside.changed, &outside.lock);
	(void)pthread_mutex_unlock(&outside.lock);
	return call.rc;
}
