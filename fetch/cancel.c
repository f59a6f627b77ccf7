/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/cancel.h"

#include <stddef.h>

#include "fetch/clock.h"

void cancel_init(struct cancel *cancel)
{
	*cancel = (struct cancel){ .is_set = false };
	(void)pthread_mutex_init(&cancel->lock, NULL); /* cannot fail with default attributes */
}

void cancel_release(struct cancel *cancel)
{
	(void)pthread_mutex_destroy(&cancel->lock);
}

void cancel_set(struct cancel *cancel)
{
	(void)pthread_mutex_lock(&cancel->lock);
	if (!cancel->is_set) {
		cancel->is_set = true;
		if (cancel->wake)
			cancel->wake(cancel->wake_context);
	}
	(void)pthread_mutex_unlock(&cancel->lock);
}

bool cancel_is_set(struct cancel *cancel)
{
	bool is_set;

	if (!cancel)
		return false;
	(void)pthread_mutex_lock(&cancel->lock);
	is_set = cancel->is_set;
	(void)pthread_mutex_unlock(&cancel->lock);
	return is_set;
}

bool cancel_watch(struct cancel *cancel, void (*wake)(void *), void *context)
{
	bool is_set;

	if (!cancel)
		return true;
	(void)pthread_mutex_lock(&cancel->lock);
	is_set = cancel->is_set;
	if (!is_set) {
		cancel->wake = wake;
		cancel->wake_context = context;
	}
	(void)pthread_mutex_unlock(&cancel->lock);
	return !is_set;
}

void cancel_unwatch(struct cancel *cancel)
{
	if (!cancel)
		return;
	(void)pthread_mutex_lock(&cancel->lock);
	cancel->wake = NULL;
	(void)pthread_mutex_unlock(&cancel->lock);
}

void cancel_start_wait(struct cancel *cancel)
{
	atomic_store(&cancel->waiting_since_ms, now_ms());
}

void cancel_note_arrival(struct cancel *cancel)
{
	if (cancel && atomic_load(&cancel->waiting_since_ms))
		cancel_start_wait(cancel);
}

uint64_t cancel_waiting_since(struct cancel *cancel)
{
	uint64_t since = cancel ? atomic_load(&cancel->waiting_since_ms) : 0;

	return since ? since : now_ms();
}
