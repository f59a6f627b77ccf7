/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch -- ends what runs before the mount is live: when its time is up, when a
 * signal asks for it, or when whoever started us has gone.
 *
 * The loop does not run yet, so a thread of its own listens.  Signals must be
 * blocked.
 */
#ifndef FS_WATCH_H
#define FS_WATCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "fetch/cancel.h"
#include "model/error.h"

struct watch {
	struct cancel cancel; /* what is passed to those who may wait */
	pthread_t thread;
	int stop_fd, signal_fd;
	int herald_fd; /* the end of a pipe whose other end the parent has, or -1 */
	uint64_t deadline_ms;
	_Atomic bool is_late;
};

/* timeout_ms UINT64_MAX: no deadline. */
int watch_start(struct watch *watch, uint64_t timeout_ms, int herald_fd, struct error *err);
/* Joins the thread.  rc is how it ended; -EINTR becomes -ETIMEDOUT when the time was up. */
int watch_stop(struct watch *watch, int rc, struct error *err);

#endif
