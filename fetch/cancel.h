/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cancel -- tells a blocking call that nobody waits for it any more.
 *
 * Shared by the one who may give up and the thread that works.  Work between
 * waits asks cancel_is_set(); a wait registers a wake function, which is called
 * at most once, from the cancelling thread, and must only make the waiter look
 * again.  A cancelled call returns -EINTR.
 *
 * It may also keep the time since when whoever waits has been waiting in vain, over all the calls
 * that are made for them, so that each gives up in time.
 */
#ifndef FETCH_CANCEL_H
#define FETCH_CANCEL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct cancel {
	pthread_mutex_t lock;
	bool is_set;          /* under lock */
	void (*wake)(void *); /* under lock; NULL when nobody sleeps */
	void *wake_context;   /* under lock */
	/* now_ms() when the wait began, or something arrived last; 0: nobody counts. */
	_Atomic uint64_t waiting_since_ms;
};

void cancel_init(struct cancel *cancel);
void cancel_release(struct cancel *cancel);
void cancel_set(struct cancel *cancel);
bool cancel_is_set(struct cancel *cancel); /* NULL: false */

/* Registers; returns false (and registers nothing) when it is set already.
 * cancel may be NULL: true, nothing registered. */
bool cancel_watch(struct cancel *cancel, void (*wake)(void *), void *context);
/* After it returns the wake function is not running and will not be called. */
void cancel_unwatch(struct cancel *cancel);

/* From now on somebody waits. */
void cancel_start_wait(struct cancel *cancel);
/* Something arrived for them, if they are counted at all.  cancel may be NULL. */
void cancel_note_arrival(struct cancel *cancel);
/* Since when nothing did, by now_ms(); now, where nobody counts.  cancel may be NULL. */
uint64_t cancel_waiting_since(struct cancel *cancel);

#endif
