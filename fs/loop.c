/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop: one thread that takes requests from the kernel, runs them, and
 * runs parked ones again when what they wait for has arrived.
 *
 * It sleeps in poll() on three things: the FUSE device, an eventfd that pool
 * threads write when a job has ended, and a signalfd.  After an answer it looks
 * for SPIN_US before it sleeps: who walks a tree asks again at once, and waking a
 * thread costs more than the whole answer.  Each time nobody asked in the meantime it looks
 * for half as long the next time, until somebody is that quick again.  An idle mount costs
 * nothing; nor does anybody look while all cores decode.
 */
#include "fs/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "fs/control.h"
#include "fs/node.h"
#include "fs/notices.h"
#include "fs/notify.h"
#include "fs/objects.h"
#include "fs/patience.h"
#include "fs/replies.h"
#include "model/cleanup.h"

enum {
	STALE_POLL_MS = 100,
	NOTICE_POLL_MS = 10,
	BATCH = 64,
	SPIN_US = 50,
	QUICK_US = 4 * SPIN_US, /* who asks so soon, our waking up included, may ask again */
};

int loop_init(struct fs *fs, struct error *err)
{
	fs->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fs->event_fd < 0)
		return error_set(err, errno, "eventfd: %s", strerror(errno));
	(void)pthread_mutex_init(&fs->ended_lock, NULL); /* cannot fail with default attributes */
	return 0;
}

void loop_release(struct fs *fs)
{
	(void)close(fs->event_fd); /* no data in it to lose */
	(void)pthread_mutex_destroy(&fs->ended_lock);
}

void loop_job_ended(void *context, struct job *job)
{
	struct fs *fs = context;
	uint64_t one = 1;

	(void)pthread_mutex_lock(&fs->ended_lock);
	job->next = fs->ended;
	fs->ended = job;
	(void)pthread_mutex_unlock(&fs->ended_lock);
	if (write(fs->event_fd, &one, sizeof one) < 0)
		return; /* only when the counter is full: then the loop is awake anyway */
}

static void wake(struct fs *fs, struct request *waiters)
{
	while (waiters) {
		struct request *next = waiters->next;

		request_make_ready(fs, waiters);
		waiters = next;
	}
}

static void reap(struct fs *fs)
{
	struct job *job;
	uint64_t count;

	if (read(fs->event_fd, &count, sizeof count) < 0)
		return; /* nothing was written since: a poll too many */
	(void)pthread_mutex_lock(&fs->ended_lock);
	job = fs->ended;
	fs->ended = NULL;
	(void)pthread_mutex_unlock(&fs->ended_lock);
	while (job) {
		struct job *next = job->next;

		wake(fs, load_ended(container_of(job, struct load, job)));
		requests_run_ready(fs); /* before the next one pushes out what they waited for */
		job = next;
	}
}

void loop_reap_last(struct fs *fs)
{
	reap(fs);
}

/* Somebody waits who was not told yet that it takes long. */
static bool has_patient(const struct load *load)
{
	const struct request *request = load->waiters;

	while (request && request->stale_is_fine)
		request = request->next;
	return request;
}

/* Those who have an old answer do not wait longer than STALE_WAIT_MS for a newer one, nor those
 * who can do without.
 * Returns how long poll() may sleep. */
static int release_stale(struct fs *fs, uint64_t now)
{
	bool have_some = false;

	for (struct load *load = fs->running; load; load = load->next_running) {
		if (!(load->has_old || load->type->is_optional) || !has_patient(load))
			continue;
		have_some = true;
		if (now - load->started_ms < STALE_WAIT_MS)
			continue;
		for (struct request *request = load->waiters; request; request = request->next)
			request->stale_is_fine = true;
		wake(fs, TAKE(load->waiters));
	}
	return have_some ? STALE_POLL_MS : -1;
}

static void forget_lists(struct fs *fs)
{
	log_line(fs->log, LOG_LEVEL_INFO, "forgetting tag lists");
	store_ask_again(fs->store);
	objects_forget_lists(fs);
	notices_expire(fs);
	nodes_forget_lists(fs);
}

/* A terminal that goes takes with it what runs in its foreground; not so a service, nor by the
 * signal of `imgfs refresh`, which is queued. */
static bool is_hangup(const struct fs *fs, const struct signalfd_siginfo *info)
{
	return fs->options->foreground && fs->notify_fd < 0 && info->ssi_code != SI_QUEUE;
}

static void take_signals(struct fs *fs, int fd)
{
	struct signalfd_siginfo info;

	while (read(fd, &info, sizeof info) == (ssize_t)sizeof info) {
		switch (info.ssi_signo) {
		case SIGUSR1:
			control_log_status(fs);
			break;
		case SIGHUP:
			if (is_hangup(fs, &info))
				fuse_session_exit(fs->session);
			else
				forget_lists(fs);
			break;
		default:
			fuse_session_exit(fs->session);
		}
	}
}

static int open_signals(struct error *err)
{
	static const int taken[] = { SIGHUP, SIGINT, SIGTERM, SIGUSR1 };
	sigset_t set;
	int fd;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
		(void)sigaddset(&set, taken[i]);
	/* Threads were started with these blocked (main.c), so they all come here. */
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return error_set(err, errno, "signalfd: %s", strerror(errno));
	return fd;
}

/* Takes what the kernel has, up to a batch.  The device does not block: a request can be
 * taken back between poll() and read(). */
static int serve(struct fs *fs, struct fuse_buf *buf)
{
	for (int i = 0; i < BATCH && !fuse_session_exited(fs->session); i++) {
		int rc = fuse_session_receive_buf(fs->session, buf);

		if (rc == -EINTR || rc == -EAGAIN)
			return 0;
		if (rc <= 0)
			return rc ? rc : -ENODEV; /* unmounted */
		fuse_session_process_buf(fs->session, buf);
		requests_run_ready(fs);
	}
	return 0;
}

/* Nobody sent a signal to those who wait: what they hear is that the mount has ended. */
static void give_up_all(struct fs *fs)
{
	for (struct load *load = fs->running; load; load = load->next_running) {
		cancel_set(&load->cancel);
		for (struct request *request = load->waiters; request; request = request->next)
			request->given_up = -ENOTCONN;
		wake(fs, TAKE(load->waiters));
	}
	requests_run_ready(fs);
}

/* A notice waits for a lock that the one who sent a request holds, who waits for us. */
static void let_notices_end(struct fs *fs, struct fuse_buf *buf)
{
	struct pollfd device = { .fd = fuse_session_fd(fs->session), .events = POLLIN };

	notices_cancel(fs);
	fuse_session_reset(fs->session); /* an ended one throws away what it reads */
	while (notices_are_pending(fs)) {
		if (poll(&device, 1, NOTICE_POLL_MS) > 0 && serve(fs, buf))
			break; /* unmounted: nobody holds a lock any more */
		give_up_all(fs);
	}
	fuse_session_exit(fs->session);
	notices_stop(fs);
}

/* Nobody stays unanswered: what waits gets ENOTCONN, what runs is cancelled and awaited. */
static void drain(struct fs *fs, struct fuse_buf *buf)
{
	give_up_all(fs);
	let_notices_end(fs, buf);
	replies_stop(fs);
}

bool loop_has_idle_core(const struct fs *fs)
{
	unsigned decoding = 0;

	for (const struct load *load = fs->running; load; load = load->next_running)
		decoding += load->type->pool == POOL_DECODE;
	return decoding < fs->cores;
}

/* Of two times for poll(). */
static int sooner(int a_ms, int b_ms)
{
	return a_ms < 0 || (b_ms >= 0 && b_ms < a_ms) ? b_ms : a_ms;
}

/* *spin_us: how long to look for, adapted to what happens. */
static int wait_for(struct fs *fs, struct pollfd *fds, nfds_t count, uint64_t *spin_us)
{
	uint64_t now = now_ms();
	int timeout_ms = sooner(requests_look_at_signals(fs, now),
		sooner(release_stale(fs, now), patience_tick(fs, now)));
	uint64_t begin = now_us(), until = begin + (loop_has_idle_core(fs) ? *spin_us : 0);
	int rc;

	while (now_us() < until) {
		rc = poll(fds, count, 0);
		if (rc) {
			*spin_us = SPIN_US;
			return rc;
		}
	}
	rc = poll(fds, count, timeout_ms);
	*spin_us = now_us() - begin < QUICK_US ? SPIN_US : *spin_us / 2;
	return rc;
}

static int loop(struct fs *fs, int signals, struct fuse_buf *buf,
	int (*ready)(void *, struct error *), void *context, struct error *err)
{
	struct pollfd fds[] = {
		{ .fd = fuse_session_fd(fs->session), .events = POLLIN },
		{ .fd = fs->event_fd, .events = POLLIN },
		{ .fd = signals, .events = POLLIN },
	};
	uint64_t spin_us = 0;

	while (!fuse_session_exited(fs->session)) {
		int rc = wait_for(fs, fds, ARRAY_SIZE(fds), &spin_us);

		if (rc < 0 && errno != EINTR)
			return error_set(err, errno, "poll: %s", strerror(errno));
		if (rc < 0)
			continue;
		if (fds[1].revents)
			reap(fs);
		requests_run_ready(fs);
		if (fds[2].revents)
			take_signals(fs, signals);
		if (fds[0].revents) {
			rc = serve(fs, buf);
			if (rc == -ENODEV)
				return 0;
			if (rc < 0)
				return error_set(
					err, -rc, "reading from /dev/fuse: %s", strerror(-rc));
		}
		if (fs->has_inited && ready) {
			rc = ready(context, err);
			if (rc)
				return rc;
			ready = NULL;
		}
	}
	return 0;
}

int loop_run(struct fs *fs, int (*ready)(void *, struct error *), void *context, struct error *err)
{
	CLEANUP(closep) int signals = open_signals(err);
	int fd = fuse_session_fd(fs->session);
	struct fuse_buf buf = { 0 };
	int rc;

	if (signals < 0)
		return signals;
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
		return error_set(err, errno, "/dev/fuse: %s", strerror(errno));
	rc = loop(fs, signals, &buf, ready, context, err);
	notify_send(fs->notify_fd, "STOPPING=1\n");
	drain(fs, &buf);
	free(buf.mem);
	return rc;
}
