/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log -- one place that writes lines: to stderr, syslog or a file, and into a
 * ring of the last LOG_RING lines for .imgfs/log.
 *
 * Thread-safe.  Text from outside is escaped here: control characters and
 * what is not UTF-8 become \xHH, so a server cannot write to a terminal.
 * Of errors and warnings with one cause (but for words with a digit: digests, attempts) five are
 * written in ten seconds; the others are counted, and the count written later.
 */
#ifndef FS_LOG_H
#define FS_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "fetch/observer.h"
#include "model/buf.h"
#include "model/error.h"

enum { LOG_RING = 256, LOG_LINE_MAX = 1100 };

struct log;

/* where: NULL or "stderr", "syslog", or a file to append to. */
int log_new(struct log **ret, const char *where, enum log_level level, struct error *err);
/* From now on lines are written, but for those to a regular file, which were before:
 * log_sink_start(). */
int log_start(struct log *log, struct error *err);
void log_free(struct log *log);
/* Its observer, for fetch; counters included. */
struct observer *log_observer(struct log *log);
/* The terminal goes away: stderr becomes syslog. */
void log_detach(struct log *log);
void log_ring(struct log *log, struct buf *ret); /* the ring as lines */

__attribute__((format(printf, 3, 4))) void log_line(
	struct log *log, enum log_level level, const char *fmt, ...);

/* For whoever looks after the mount: information, but written as a warning would be. */
__attribute__((format(printf, 2, 3))) void log_notice(struct log *log, const char *fmt, ...);

/* An error that many may meet at once: cause is the part of the line that is the same for all. */
__attribute__((format(printf, 3, 4))) void log_failure(
	struct log *log, const char *cause, const char *fmt, ...);

/* Text from outside as a part of a line, cut where the room (6 bytes at least) ends. */
void log_escape(const char *from, char *to, size_t room);

int log_level_parse(const char *text, enum log_level *ret); /* -EINVAL */

#endif
