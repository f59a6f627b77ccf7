/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/log.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "fetch/clock.h"
#include "fs/log_sink.h"
#include "model/cleanup.h"

/*
 * Lines that tell of one cause are one incident.  When a registry fails under thousands of readers,
 * the first INCIDENT_LINES in INCIDENT_MS are written and the others counted; the number is told
 * with the next line of any kind, or when somebody reads the log.  So a flood neither fills the
 * disk nor pushes out of the ring what led to it.
 *
 * Two causes are one when they differ in nothing but words with a digit in them: digests, ports,
 * attempts.
 */
enum { INCIDENTS = 64, INCIDENT_LINES = 5, INCIDENT_MS = 10000, CAUSE_MAX = 200 };

struct incident {
	uint64_t key; /* 0: free */
	uint64_t since_ms;
	unsigned lines, suppressed;
	enum log_level level;
	char cause[CAUSE_MAX]; /* escaped, cut */
};

struct log {
	struct observer observer;
	enum log_level level;
	pthread_mutex_t lock;
	struct log_sink *sink;                /* under lock */
	char *ring[LOG_RING];                 /* under lock */
	unsigned next;                        /* under lock: where the next line goes */
	struct incident incidents[INCIDENTS]; /* under lock */
};

static const struct {
	const char *name;
	int priority;
} levels[] = {
	[LOG_LEVEL_ERROR] = { "error", LOG_ERR },
	[LOG_LEVEL_WARNING] = { "warning", LOG_WARNING },
	[LOG_LEVEL_INFO] = { "info", LOG_INFO },
	[LOG_LEVEL_DEBUG] = { "debug", LOG_DEBUG },
	[LOG_LEVEL_TRACE] = { "trace", LOG_DEBUG },
};

int log_level_parse(const char *text, enum log_level *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		if (!strcmp(text, levels[i].name)) {
			*ret = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* How many bytes of UTF-8 start at text: 0 when none do. */
static size_t utf8_length(const unsigned char *text)
{
	size_t more = *text >= 0xf0 && *text < 0xf5   ? 3
		      : *text >= 0xe0 && *text < 0xf0 ? 2
		      : *text >= 0xc2 && *text < 0xe0 ? 1
						      : 0;

	if (*text < 0x80)
		return 1;
	for (size_t i = 1; i <= more; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	/* C1 controls (U+0080..U+009F) move terminals as well. */
	if (*text == 0xc2 && text[1] < 0xa0)
		return 0;
	return more ? more + 1 : 0;
}

/* Of the messages for people, which may have a second line of this, one line is made. */
static const char hint[] = "\nhint: ";

void log_escape(const char *from, char *to, size_t room)
{
	const unsigned char *p = (const unsigned char *)from;
	size_t used = 0;

	while (*p && used + 5 < room) {
		size_t len = utf8_length(p);

		if (!strncmp((const char *)p, hint, strlen(hint))) {
			used += (size_t)snprintf(to + used, room - used, "; ");
			p++;
		} else if (len && *p >= 0x20 && *p != 0x7f) {
			memcpy(to + used, p, len);
			used += len;
			p += len;
		} else {
			used += (size_t)snprintf(to + used, room - used, "\\x%02x", *p);
			p++;
		}
	}
	to[used] = '\0';
}

static void write_line(struct log *log, enum log_level level, const char *text)
{
	log_sink_write(log->sink, levels[level].priority, levels[level].name, text);
}

static void keep_line(struct log *log, enum log_level level, const char *text)
{
	char *line = NULL;

	if (asprintf(&line, "%s: %s", levels[level].name, text) < 0)
		return;
	free(log->ring[log->next]);
	log->ring[log->next] = line;
	log->next = (log->next + 1) % LOG_RING;
}

/* Under lock. */
static void put_line(struct log *log, enum log_level level, const char *text)
{
	keep_line(log, level, text); /* the ring keeps info lines whatever the level */
	if (level <= log->level)
		write_line(log, level, text);
}

/* --- incidents; all of it under lock --- */

/* FNV-1a over the words without a digit, and what stands between words. */
static uint64_t incident_key(const char *cause)
{
	uint64_t key = UINT64_C(0xcbf29ce484222325);

	while (*cause) {
		size_t len = 0;
		bool has_digit = false;

		for (; isalnum((unsigned char)cause[len]); len++)
			has_digit |= isdigit((unsigned char)cause[len]) != 0;
		for (size_t i = 0; !has_digit && i < len; i++)
			key = (key ^ (unsigned char)cause[i]) * UINT64_C(0x100000001b3);
		cause += len;
		if (*cause)
			key = (key ^ (unsigned char)*cause++) * UINT64_C(0x100000001b3);
	}
	return key ? key : 1;
}

static void close_incident(struct log *log, struct incident *incident)
{
	char text[CAUSE_MAX + 64];

	if (incident->suppressed) {
		(void)snprintf(text, sizeof text, "%u more like it not written: %s",
			incident->suppressed, incident->cause);
		put_line(log, incident->level, text);
	}
	incident->key = 0;
}

static void close_incidents(struct log *log, uint64_t older_than_ms)
{
	uint64_t now = now_ms();

	for (size_t i = 0; i < INCIDENTS; i++)
		if (log->incidents[i].key && now - log->incidents[i].since_ms >= older_than_ms)
			close_incident(log, &log->incidents[i]);
}

static struct incident *find_incident(struct log *log, enum log_level level, const char *cause)
{
	uint64_t key = incident_key(cause);
	struct incident *oldest = log->incidents;

	for (size_t i = 0; i < INCIDENTS; i++) {
		struct incident *incident = &log->incidents[i];

		if (incident->key == key)
			return incident;
		if (oldest->key && (!incident->key || incident->since_ms < oldest->since_ms))
			oldest = incident;
	}
	if (oldest->key)
		close_incident(log, oldest);
	*oldest = (struct incident){ .key = key, .since_ms = now_ms(), .level = level };
	log_escape(cause, oldest->cause, sizeof oldest->cause);
	return oldest;
}

/* One more line of an incident: is it one too many? */
static bool is_suppressed(struct log *log, enum log_level level, const char *cause)
{
	struct incident *incident = find_incident(log, level, cause);

	if (incident->lines < INCIDENT_LINES) {
		incident->lines++;
		return false;
	}
	incident->suppressed++;
	return true;
}

static void log_text(struct log *log, enum log_level level, const char *cause, const char *text)
{
	char escaped[LOG_LINE_MAX];

	if (level > log->level && level > LOG_LEVEL_INFO)
		return;
	log_escape(text, escaped, sizeof escaped);
	(void)pthread_mutex_lock(&log->lock);
	close_incidents(log, INCIDENT_MS);
	if (level > LOG_LEVEL_WARNING || !is_suppressed(log, level, cause))
		put_line(log, level, escaped);
	(void)pthread_mutex_unlock(&log->lock);
}

static void observe(struct observer *observer, enum log_level level, const char *text)
{
	log_text(container_of(observer, struct log, observer), level, text, text);
}

void log_line(struct log *log, enum log_level level, const char *fmt, ...)
{
	char text[LOG_LINE_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	log_text(log, level, text, text);
}

void log_notice(struct log *log, const char *fmt, ...)
{
	char text[LOG_LINE_MAX], escaped[LOG_LINE_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	log_escape(text, escaped, sizeof escaped);
	(void)pthread_mutex_lock(&log->lock);
	close_incidents(log, INCIDENT_MS);
	keep_line(log, LOG_LEVEL_INFO, escaped);
	if (log->level >= LOG_LEVEL_WARNING)
		write_line(log, LOG_LEVEL_INFO, escaped);
	(void)pthread_mutex_unlock(&log->lock);
}

void log_failure(struct log *log, const char *cause, const char *fmt, ...)
{
	char text[LOG_LINE_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	log_text(log, LOG_LEVEL_ERROR, cause, text);
}

int log_new(struct log **ret, const char *where, enum log_level level, struct error *err)
{
	CLEANUP(freep) struct log *log = calloc(1, sizeof *log);
	int rc;

	if (!log)
		return error_set(err, ENOMEM, "out of memory");
	log->observer.log = observe;
	log->level = level;
	rc = log_sink_new(&log->sink, where, err);
	if (rc)
		return rc;
	(void)pthread_mutex_init(&log->lock, NULL); /* cannot fail with default attributes */
	*ret = TAKE(log);
	return 0;
}

int log_start(struct log *log, struct error *err)
{
	return log_sink_start(log->sink, err);
}

void log_free(struct log *log)
{
	if (!log)
		return;
	close_incidents(log, 0);
	for (size_t i = 0; i < LOG_RING; i++)
		free(log->ring[i]);
	log_sink_free(log->sink);
	(void)pthread_mutex_destroy(&log->lock);
	free(log);
}

struct observer *log_observer(struct log *log)
{
	return &log->observer;
}

void log_detach(struct log *log)
{
	(void)pthread_mutex_lock(&log->lock);
	log_sink_detach(&log->sink);
	(void)pthread_mutex_unlock(&log->lock);
}

void log_ring(struct log *log, struct buf *ret)
{
	(void)pthread_mutex_lock(&log->lock);
	close_incidents(log, INCIDENT_MS);
	for (unsigned i = 0; i < LOG_RING; i++) {
		const char *line = log->ring[(log->next + i) % LOG_RING];

		if (line)
			(void)buf_printf(ret, "%s\n", line); /* the status sticks in ret */
	}
	(void)pthread_mutex_unlock(&log->lock);
}
