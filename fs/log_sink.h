/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_sink -- where the lines of the log go: stderr, syslog or a file.
 *
 * A terminal may be stopped, a pipe's reader or syslog may stand still; nobody who has something to
 * say waits for that.  So all lines but those for regular files are written by a thread.
 * LOG_WAITING lines wait for it; more are counted, and their number is written in their place.
 *
 * Not thread-safe: one call at a time.
 */
#ifndef FS_LOG_SINK_H
#define FS_LOG_SINK_H

#include "model/error.h"

enum {
	LOG_WAITING = 256,     /* lines; each of LOG_LINE_MAX bytes at most */
	LOG_PATIENCE_MS = 300, /* of a part of unmounting, which takes less than a second */
};

struct log_sink;

/* where: NULL or "stderr", "syslog", or a file to append to. */
int log_sink_new(struct log_sink **ret, const char *where, struct error *err);
/* Lines that the thread cannot write within LOG_PATIENCE_MS are lost. */
void log_sink_free(struct log_sink *sink);
/* Starts the thread, after the last fork() and in the sandbox.  Until then lines wait; when it
 * never is, they are written by log_sink_free(), for as long as that takes.  -EAGAIN: no thread. */
int log_sink_start(struct log_sink *sink, struct error *err);
/* The terminal goes away: instead of stderr there is syslog.  Else, or where that cannot be,
 * nothing changes. */
void log_sink_detach(struct log_sink **sink);
/* priority: syslog(3)'s.  name: its word. */
void log_sink_write(struct log_sink *sink, int priority, const char *name, const char *text);

#endif
