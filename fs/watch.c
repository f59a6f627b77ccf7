/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/watch.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#include "fetch/clock.h"
#include "model/cleanup.h"

enum { WATCH_STOP, WATCH_SIGNAL, WATCH_HERALD, WATCH_COUNT };

static int time_left(const struct watch *watch)
{
	uint64_t now = now_ms();

	if (watch->deadline_ms == UINT64_MAX)
		return -1;
	if (now >= watch->deadline_ms)
		return 0;
	return watch->deadline_ms - now < INT_MAX ? (int)(watch->deadline_ms - now) : INT_MAX;
}

static void *listen_for_an_end(void *context)
{
	struct watch *watch = context;
	struct pollfd fds[WATCH_COUNT] = {
		[WATCH_STOP] = { .fd = watch->stop_fd, .events = POLLIN },
		[WATCH_SIGNAL] = { .fd = watch->signal_fd, .events = POLLIN },
		[WATCH_HERALD] = { .fd = watch->herald_fd }, /* POLLERR: nobody reads it */
	};
	int n;

	do
		n = poll(fds, WATCH_COUNT, time_left(watch));
	while (n < 0 && errno == EINTR);
	if (fds[WATCH_STOP].revents)
		return NULL;
	watch->is_late = n == 0;
	cancel_set(&watch->cancel);
	return NULL;
}

int watch_start(struct watch *watch, uint64_t timeout_ms, int herald_fd, struct error *err)
{
	uint64_t now = now_ms();
	sigset_t ends;
	int rc;

	*watch = (struct watch){ .stop_fd = -1, .signal_fd = -1, .herald_fd = herald_fd };
	watch->deadline_ms = timeout_ms < UINT64_MAX - now ? now + timeout_ms : UINT64_MAX;
	cancel_init(&watch->cancel);
	(void)sigemptyset(&ends);
	(void)sigaddset(&ends, SIGINT);
	(void)sigaddset(&ends, SIGTERM);
	(void)sigaddset(&ends, SIGHUP);
	watch->stop_fd = eventfd(0, EFD_CLOEXEC);
	watch->signal_fd = signalfd(-1, &ends, SFD_CLOEXEC);
	rc = watch->stop_fd < 0 || watch->signal_fd < 0
		     ? errno
		     : pthread_create(&watch->thread, NULL, listen_for_an_end, watch);
	if (!rc)
		return 0;
	closep(&watch->stop_fd);
	closep(&watch->signal_fd);
	cancel_release(&watch->cancel);
	return error_set(err, rc, "watch: %s", strerror(rc));
}

int watch_stop(struct watch *watch, int rc, struct error *err)
{
	uint64_t one = 1;

	(void)!write(watch->stop_fd, &one, sizeof one); /* cannot block: it is written once */
	(void)pthread_join(watch->thread, NULL);
	closep(&watch->stop_fd);
	closep(&watch->signal_fd);
	cancel_release(&watch->cancel);
	if (rc == -EINTR)
		return watch->is_late ? error_set(err, ETIMEDOUT, "no answer within mount_timeout")
				      : error_set(err, EINTR, "interrupted");
	return rc;
}
