/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "fetch/clock.h"
#include "fetch/thread.h"
#include "model/cleanup.h"

enum sink_kind { SINK_STDERR, SINK_SYSLOG, SINK_FILE };

struct line {
	int priority;
	char *text; /* as it is written; NULL: there was no memory for it */
};

struct log_sink {
	enum sink_kind kind;
	int fd;          /* but for syslog */
	bool may_stall;  /* who writes there may have to wait: lines are for the thread */
	bool has_writer; /* which has been started */
	pthread_t writer;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct line waiting[LOG_WAITING]; /* under lock */
	uint64_t posted, written;         /* under lock */
	uint64_t dropped;                 /* under lock: and not told yet */
	bool is_closing;                  /* under lock */
	bool is_done;                     /* under lock: the thread is about to end */
	bool is_abandoned;                /* under lock: the thread frees this when it is done */
};

/* --- writing --- */

static void write_line(const struct log_sink *sink, const struct line *line)
{
	if (!line->text)
		return;
	if (sink->kind == SINK_SYSLOG)
		syslog(line->priority, "%s", line->text);
	else if (write(sink->fd, line->text, strlen(line->text)) < 0)
		return; /* a full or closed log must not stop the file system */
}

static char *compose(const struct log_sink *sink, const char *name, const char *text)
{
	char stamp[32] = "", *line = NULL;
	time_t now = time(NULL);
	struct tm tm;

	if (sink->kind == SINK_SYSLOG)
		return strdup(text);
	if (sink->kind == SINK_FILE && gmtime_r(&now, &tm))
		(void)strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ ", &tm);
	return asprintf(&line, "%simgfs: %s: %s\n", stamp, name, text) < 0 ? NULL : line;
}

/* With the lock: the next line to write, which may be about those that found no room. */
static struct line take_line(struct log_sink *sink)
{
	struct line line = { .priority = LOG_WARNING };
	char text[80];

	if (sink->written < sink->posted)
		return sink->waiting[sink->written++ % LOG_WAITING];
	(void)snprintf(text, sizeof text, "%ju lines were lost: the log stood still",
		(uintmax_t)sink->dropped);
	sink->dropped = 0;
	line.text = compose(sink, "warning", text);
	return line;
}

static void sink_destroy(struct log_sink *sink)
{
	while (sink->written < sink->posted)
		free(sink->waiting[sink->written++ % LOG_WAITING].text);
	if (sink->kind == SINK_FILE && sink->fd >= 0)
		(void)close(sink->fd); /* nothing to do about a log that cannot be closed */
	(void)pthread_cond_destroy(&sink->changed);
	(void)pthread_mutex_destroy(&sink->lock);
	free(sink);
}

static void *work(void *context)
{
	struct log_sink *sink = context;
	bool is_abandoned;

	(void)pthread_mutex_lock(&sink->lock);
	while (!sink->is_abandoned) {
		struct line line;

		if (sink->written == sink->posted && !sink->dropped) {
			if (sink->is_closing)
				break;
			(void)pthread_cond_wait(&sink->changed, &sink->lock);
			continue;
		}
		line = take_line(sink);
		(void)pthread_mutex_unlock(&sink->lock);
		write_line(sink, &line);
		free(line.text);
		(void)pthread_mutex_lock(&sink->lock);
	}
	sink->is_done = true;
	is_abandoned = sink->is_abandoned;
	(void)pthread_cond_signal(&sink->changed);
	(void)pthread_mutex_unlock(&sink->lock);
	if (is_abandoned)
		sink_destroy(sink);
	return NULL;
}

int log_sink_start(struct log_sink *sink, struct error *err)
{
	int rc = sink->may_stall ? thread_start(&sink->writer, "log", work, sink) : 0;

	sink->has_writer = sink->may_stall && !rc;
	return rc ? error_set(err, rc, "log: no thread: %s", strerror(rc)) : 0;
}

/* For want of a thread, or before there is one. */
static void write_waiting(struct log_sink *sink)
{
	while (sink->written < sink->posted || sink->dropped) {
		struct line line = take_line(sink);

		write_line(sink, &line);
		free(line.text);
	}
}

/* Ends the thread when it has written what waits.  A thread that still waits after LOG_PATIENCE_MS
 * is left to itself, and the sink to it: false.  A thread cannot be made to leave write() or
 * syslog() in a way that sanitizers understand. */
static bool stop(struct log_sink *sink)
{
	struct timespec until = deadline_in_ms(LOG_PATIENCE_MS);
	bool is_done;
	int rc = 0;

	if (!sink->has_writer) {
		write_waiting(sink);
		return true;
	}
	(void)pthread_mutex_lock(&sink->lock);
	sink->is_closing = true;
	(void)pthread_cond_signal(&sink->changed);
	while (!rc && !sink->is_done)
		rc = pthread_cond_clockwait(&sink->changed, &sink->lock, CLOCK_MONOTONIC, &until);
	is_done = sink->is_done;
	sink->is_abandoned = !is_done;
	if (!is_done)
		(void)pthread_detach(sink->writer);
	(void)pthread_mutex_unlock(&sink->lock);
	if (is_done)
		(void)pthread_join(sink->writer, NULL);
	return is_done;
}

static void post(struct log_sink *sink, const struct line *line)
{
	(void)pthread_mutex_lock(&sink->lock);
	if (sink->posted - sink->written < LOG_WAITING) {
		sink->waiting[sink->posted++ % LOG_WAITING] = *line;
	} else {
		free(line->text);
		sink->dropped++;
	}
	(void)pthread_cond_signal(&sink->changed);
	(void)pthread_mutex_unlock(&sink->lock);
}

/* --- what others call --- */

static bool is_regular(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

int log_sink_new(struct log_sink **ret, const char *where, struct error *err)
{
	struct log_sink *sink = calloc(1, sizeof *sink);
	int rc = 0;

	if (!sink)
		return error_set(err, ENOMEM, "out of memory");
	(void)pthread_mutex_init(&sink->lock, NULL); /* these cannot fail with default attributes */
	(void)pthread_cond_init(&sink->changed, NULL);
	sink->fd = STDERR_FILENO;
	openlog("imgfs", LOG_PID, LOG_DAEMON);
	if (where && !strcmp(where, "syslog")) {
		sink->kind = SINK_SYSLOG;
	} else if (where && strcmp(where, "stderr")) {
		sink->kind = SINK_FILE;
		sink->fd = open(where, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
		if (sink->fd < 0)
			rc = error_set(err, errno, "log file '%s': %s", where, strerror(errno));
	}
	sink->may_stall = sink->kind == SINK_SYSLOG || !is_regular(sink->fd);
	if (rc)
		log_sink_free(sink);
	else
		*ret = sink;
	return rc;
}

void log_sink_write(struct log_sink *sink, int priority, const char *name, const char *text)
{
	struct line line = { priority, compose(sink, name, text) };

	if (sink->may_stall) {
		post(sink, &line);
		return;
	}
	write_line(sink, &line);
	free(line.text);
}

void log_sink_detach(struct log_sink **sink)
{
	struct log_sink *after = NULL;

	if ((*sink)->kind != SINK_STDERR || log_sink_new(&after, "syslog", NULL))
		return;
	if (log_sink_start(after, NULL)) {
		log_sink_free(after);
		return;
	}
	log_sink_free(*sink);
	*sink = after;
}

void log_sink_free(struct log_sink *sink)
{
	if (sink && stop(sink))
		sink_destroy(sink);
}
